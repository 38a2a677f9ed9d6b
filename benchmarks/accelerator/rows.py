"""Rows of the papers' tables on CIFAR-10: ReweightOOD, ADAPT and PALM at 100 epochs, one seed.

Needs the folder of `--prepare` with cifar10_train, cifar10_test and OOD sets; every other name in
it is an OOD set, near where `NEAR` has it. The rehearsal takes the embedded digits where the folder
is missing. Scores of every image are kept in OUT/row_METHOD.zip.
"""

import pathlib
import time
import zipfile

from adapt_jax import train
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.runtime import config_files
from benchmarks.accelerator import prepare
from benchmarks.accelerator.stages import Job

ROOT = pathlib.Path(__file__).parents[2]
TRAIN, TEST = "cifar10_train", "cifar10_test"
NEAR = ("cifar100", "tin")
EPOCHS = 100


def row(job: Job, method: str) -> None:
    """Trains one method, which is a row, and evaluates it: a row per detector and OOD set."""
    config = config_files.load_config(str(ROOT / f"configs/cifar10_{method}.py"))
    config.epochs, config.report = EPOCHS, False
    if job.prepared:
        _prepared(config, prepare.unpack(job.prepared, job.scratch / "images"))
    elif job.rehearse:
        config.train_data, config.test_data = "digits:train?classes=0-5", "digits:test?classes=0-5"
        config.ood = "near/digits6-9=digits?classes=6-9"
    else:
        raise ValueError("the training rows need --prepared=DIR")
    if job.rehearse:
        config.total_steps, config.log_every, config.checkpoint_every = 4, 2, 4
        config.model.width, config.batch_size, config.image_size = 8, 32, 8
        config.model.blocks = (1, 1, 1, 1)
        config.detectors = "mahalanobis?covariance=within,knn?k=5"
    folder = job.scratch / method
    began, ood, config.ood = time.perf_counter(), config.ood, ""
    train.train(config, str(folder))
    job.note("rows", f"{method}, trained", seconds=round(time.perf_counter() - began))
    results = evaluate_job.evaluate_run(str(folder), ood=ood)
    seconds = time.perf_counter() - began
    for found in results["rows"]:
        job.note(
            "rows",
            f"{method}, {found['detector']}, {found['group']}/{found['ood']}",
            AUROC=100 * found["auroc"],
            FPR95=100 * found["fpr95"],
            images=found.get("n_ood", ""),
            seconds=round(seconds),
        )
    _keep(folder, job.out / f"row_{method}.zip")


def _prepared(config, files: dict[str, pathlib.Path]) -> None:
    missing = {TRAIN, TEST} - set(files)
    if missing:
        raise ValueError(f"the prepared folder has no {', '.join(sorted(missing))}")
    config.train_data, config.test_data = f"npz:{files.pop(TRAIN)}", f"npz:{files.pop(TEST)}"
    config.ood = ",".join(
        f"{'near' if name in NEAR else 'far'}/{name}=npz:{file}" for name, file in files.items()
    )


def _keep(folder: pathlib.Path, archive: pathlib.Path) -> None:
    """Results and scores of a run, without its weights."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    kept = [folder / "results.json", folder / "config.json", folder / "metrics.jsonl"]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in [*kept, *sorted((folder / "scores").rglob("*.npz"))]:
            if path.exists():
                file.write(path, path.relative_to(folder))
