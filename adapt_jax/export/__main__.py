"""Job: a run -> one directory with network, fitted detector, model card and a StableHLO scorer.

    python -m adapt_jax.export --workdir=runs/mine --out=exports/mine [--detector=knn?k=50]

Needs an evaluated run, or another export, and none of its images. `predict`, `evaluate` and `load`
here read what it writes; OUT/score.py scores images where this package is not installed. See
docs/export.md.
"""

from absl import flags

from adapt_jax.export import job
from adapt_jax.export import scorer as export_scorer
from adapt_jax.inference import calibrated
from adapt_jax.runtime import cli, terminal

WORKDIR = flags.DEFINE_string("workdir", "", "Folder of an evaluated run, or an export.")
OUT = flags.DEFINE_string("out", "", "Directory to write.")
DETECTOR = flags.DEFINE_string("detector", "", "E.g. knn?k=50; the run's first by default.")
TPR = flags.DEFINE_float("tpr", calibrated.TPR, "Share of held-out ID images that are kept.")
PLATFORMS = flags.DEFINE_list(
    "platforms", list(export_scorer.PLATFORMS), "What the scorer runs on."
)
LICENCE = flags.DEFINE_string("license", "unknown", "Of the weights, for the model card.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an export.")


def main() -> None:
    """Exports and says how large the parts are."""
    console = terminal.console()
    with terminal.doing(console) as report_progress:
        folder = job.export(
            WORKDIR.value,
            OUT.value,
            detector=DETECTOR.value,
            tpr=TPR.value,
            platforms=tuple(PLATFORMS.value),
            licence=LICENCE.value,
            overwrite=OVERWRITE.value,
            report_progress=report_progress,
        )
    for file in sorted(folder.iterdir()):
        console.print(f"{file.stat().st_size / 1e6:9.3f} MB  {file}", highlight=False)


cli.run(main)
