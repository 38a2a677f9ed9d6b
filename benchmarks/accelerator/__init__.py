"""What an accelerator does with this code: is it right, how fast, and against PyTorch how fast.

    python -m benchmarks.accelerator                  # on a machine with a GPU or TPU, 7 minutes
    python -m benchmarks.accelerator --rehearse       # the same in tiny sizes, on any machine

A stage (`stages.STAGES`) is a process of its own with a time limit, which notes every figure on
disk as soon as it has it: a stage that fails or hangs loses nothing else, and tables are written
after every stage. Some stages, `adapt_resnet18_deterministic` (with the flag
`--xla_gpu_deterministic_ops=true`), `adapt_resnet34_pytorch` and `row_*`, only run when --stages
names them. --minutes, --out and --commit are for the time, the folder and the commit of the tables;
`--prepare=DIR` packs what a machine without network needs, see `prepare`, and --prepared=DIR uses
it. docs/profiling.md describes all of them.
"""
