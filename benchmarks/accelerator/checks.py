"""Right on the device: recorded cases, two steps against the CPU, bfloat16, killed and resumed."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np

from adapt_jax import detectors, metrics, train
from adapt_jax.data import augment
from adapt_jax.experiment import build, checks, record
from adapt_jax.inference import forward
from adapt_jax.inference.restore import restore
from adapt_jax.runtime import config_files, sharding
from adapt_jax.training import train_state, train_step
from benchmarks.accelerator import cases
from benchmarks.accelerator.stages import DETERMINISTIC, Job

ROOT = pathlib.Path(__file__).parents[2]


def recorded(job: Job) -> None:
    """The tests of recorded cases, on the device, float32 products at the highest precision."""
    chosen = dict(list(cases.RECORDED.items())[:1]) if job.rehearse else cases.RECORDED
    files = [f"tests/{file}" for group in chosen.values() for file in group]
    environment = os.environ | {
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=3",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        cases.NOTES: str(job.notes),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", cases.__name__, "-o", "filterwarnings=default", *files]
    if importlib.util.find_spec("xdist") and not job.rehearse:
        command += ["-n", "6", "--dist", "worksteal"]
    for group in chosen:
        job.note("right", cases.row(group), tests=0, failed=0, **{"all ran": False})
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False)
    if done.returncode not in (0, 1):  # 1: some failed
        raise RuntimeError(f"pytest ended with {done.returncode} before all cases had run")
    for group in chosen:
        job.note("right", cases.row(group), **{"all ran": True})


def two_steps(job: Job) -> None:
    """Two steps of ADAPT in float32 at the highest precision, on the device and on the CPU."""
    config = _digits()
    config.model.dtype, config.batch_size = "float32", 32
    if job.rehearse:
        config.model.width, config.model.blocks = 4, (1, 1, 1, 1)
    after = [_steps(config, device) for device in (jax.devices()[0], jax.devices("cpu")[0])]
    (losses, params), (expected, reference) = after
    distance = np.sqrt(
        sum(np.sum((a - b) ** 2) for a, b in zip(params, reference, strict=True))
        / sum(np.sum(b**2) for b in reference)
    )
    job.note(
        "right",
        "two steps of ADAPT, float32, against the CPU",
        loss=losses[-1],
        loss_difference=float(np.abs(losses - expected).max()),
        relative_distance_of_weights=float(distance),
    )


def _steps(config, device) -> tuple[np.ndarray, list[np.ndarray]]:
    """Losses and weights of two steps on random images, on one device."""
    mesh = sharding.make_mesh([device])
    rng, count, side = np.random.default_rng(0), config.batch_size, config.image_size
    images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = (np.arange(count) % 6).astype(np.int32)
    with jax.default_device(device), jax.default_matmul_precision("highest"):
        parts = build.make_parts(config, mesh=mesh, num_classes=6, num_images=count, mean_std=None)
        state = train_state.create(jax.random.key(0), parts, (side, side, 3))
        step = jax.jit(train_step.make_step(parts))
        losses = []
        for _ in range(2):
            state, seen = step(state, images, labels)
            losses.append(float(seen["loss"]))
        return np.array(losses), [np.asarray(x) for x in jax.tree.leaves(state.params)]


def bfloat16(job: Job) -> None:
    """Trains in bfloat16, then compares embeddings and AUROC of the network in both types."""
    config, folder = _digits(), job.scratch / "digits"
    config.model.dtype, config.ood = "bfloat16", ""
    config.epochs = 1 if job.rehearse else 20
    config.log_every = config.checkpoint_every = 5 if job.rehearse else 100
    if job.rehearse:
        config.model.width, config.model.blocks = 4, (1, 1, 1, 1)
    train.train(config, str(folder))
    config.ood = "near/digits6-9=digits?classes=6-9,far/photos=photos:colour"
    experiment = record.make(config, checks.load_data(config))
    state = restore(experiment, folder)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    outputs = {
        dtype: _outputs(experiment, model, variables)
        for dtype, model in (
            ("bfloat16", experiment.parts.model),
            ("float32", record.float32_model(experiment)),
        )
    }
    cosine = np.sum(outputs["bfloat16"]["test"] * outputs["float32"]["test"], axis=1) / (
        np.linalg.norm(outputs["bfloat16"]["test"], axis=1)
        * np.linalg.norm(outputs["float32"]["test"], axis=1)
    )
    job.note("right", "bfloat16 against float32: cosine of features", least=float(cosine.min()))
    for name in ("mahalanobis", "knn?k=5"):
        found = {
            dtype: _auroc(name, sets, experiment.data.train.labels)
            for dtype, sets in outputs.items()
        }
        for ood, value in found["float32"].items():
            job.note(
                "right",
                f"bfloat16 against float32: AUROC of {name.partition('?')[0]}, {ood}",
                float32=100 * value,
                bfloat16=100 * found["bfloat16"][ood],
            )


def _outputs(experiment, model, variables) -> dict[str, np.ndarray]:
    normalize = augment.make_normalize(*experiment.eval_mean_std)
    extract = forward.make(model, variables, normalize, experiment.mesh, 256)
    data = experiment.data
    sets = {"train": data.train, "test": data.test, **data.ood}
    return {name: extract(dataset.images)["features"] for name, dataset in sets.items()}


def _auroc(name: str, features, labels) -> dict[str, float]:
    detector = detectors.make(name)
    state = detector.fit(detectors.Outputs(features["train"], None, labels))
    scores = {key: detector.score(state, rows) for key, rows in features.items() if key != "train"}
    own = scores.pop("test")
    return {key: metrics.ood_metrics(own, other)["auroc"] for key, other in scores.items()}


def resume(job: Job) -> None:
    """Runs killed and resumed, as the command is and with deterministic kernels."""
    kinds = {"as it is": "", f"with {DETERMINISTIC}": DETERMINISTIC}
    if jax.default_backend() != "gpu":
        del kinds[f"with {DETERMINISTIC}"]
    for kind, flag in kinds.items():
        folder, row = job.scratch / str(len(flag)), f"killed and resumed, {kind}"
        whole = _train(folder / "whole", flag, job.rehearse)
        if ended := _killed(folder / "killed", flag, job.rehearse):
            job.note("right", row, equal="not tried", how=ended)
            continue
        again = _train(folder / "killed", flag, job.rehearse)
        same = sum(whole[name] == again.get(name) for name in whole)
        job.note(
            "right",
            row,
            equal=same == len(whole),
            arrays=f"{same} of {len(whole)}",
            how="with the compiled programs of the unbroken run, from JAX's compilation cache",
        )


def _train(folder: pathlib.Path, flag: str, rehearse: bool) -> dict[str, str]:
    """SHA-256 of every array at the end of a run."""
    process = _start(folder, flag, rehearse)
    if process.wait():
        raise RuntimeError(f"{' '.join(process.args)} ended with {process.returncode}")
    return json.loads(_saved(folder, _steps_of(rehearse)[0]).read_text())["arrays"]


def _killed(folder: pathlib.Path, flag: str, rehearse: bool) -> str:
    """Kills a run after its first checkpoint; how it ended if not so."""
    process, sent = _start(folder, flag, rehearse), False
    last, first = (_saved(folder, step) for step in _steps_of(rehearse))
    while process.poll() is None:
        if not sent and first.exists():
            process.send_signal(signal.SIGKILL)
            sent = True
        time.sleep(0.001)
    if last.exists():
        return "the run to be killed was over before"
    if not sent or process.returncode != -signal.SIGKILL:
        return f"the run to be killed ended by itself, with {process.returncode}"
    return ""


def _start(folder: pathlib.Path, flag: str, rehearse: bool) -> subprocess.Popen:
    steps, every = _steps_of(rehearse)
    command = [sys.executable, "-m", "adapt_jax.train", "--config=configs/digits_adapt.py"]
    changes = {"ood": "", "total_steps": steps, "checkpoint_every": every, "log_every": every}
    if rehearse:
        changes |= {"model.width": 4, "model.blocks": "(1,1,1,1)", "batch_size": 32}
    command += [f"--workdir={folder}", *(f"--config.{k}={v}" for k, v in changes.items())]
    environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sys.stderr)


def _steps_of(rehearse: bool) -> tuple[int, int]:
    """How many steps a run takes, and after how many it saves."""
    return (12, 4) if rehearse else (600, 100)


def _saved(folder: pathlib.Path, step: int) -> pathlib.Path:
    """What a checkpoint has when it is complete."""
    return folder / "checkpoints" / str(step) / "metrics" / "metrics"


def _digits():
    return config_files.load_config(str(ROOT / "configs/digits_adapt.py"))
