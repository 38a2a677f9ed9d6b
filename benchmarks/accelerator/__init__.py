"""What an accelerator does with this code: is it right, how fast, and against PyTorch how fast.

    python -m benchmarks.accelerator                  # on a machine with a GPU or TPU, 7 minutes
    python -m benchmarks.accelerator --rehearse       # every stage in tiny sizes, on any machine

A stage (`stages.STAGES`) is a process of its own with a time limit, which notes every figure on
disk as soon as it has it: a stage that fails or hangs loses nothing else, and tables are written
after every stage, beside those of other stages of the same commit and device. Some stages only run
when `--stages` names them: deterministic kernels, ResNet-34 beside PyTorch
(`adapt_resnet34_pytorch`) and training rows. `--prepare=DIR` packs what a machine without network
needs, see `prepare`.
"""
