"""A published result's runs, scaled down to seconds: embedded images, a tiny network, four steps.

The path is that of the real runs, from the config to the verdict; the figures mean nothing.
"""

import pathlib
from typing import Any

import numpy as np

from adapt_jax.reproduce.plan import Plan
from adapt_jax.runtime import cli

WARNING = "REHEARSAL: embedded images and a tiny network; this reproduces nothing"

_ID = "digits:test?classes=0-5"
_OOD = ("digits:test?classes=6-9", "photos")
_SMALL = (
    "train_data=digits:train?classes=0-5,val_data=digits:train?classes=0-5&per_class=20,ood_val_data=photos:grey,"
    "input=auto,image_size=8,mean=(),std=(),eval_mean=(),eval_std=(),batch_size=64,total_steps=4,"
    "microbatches=1,log_every=2,checkpoint_every=2,linear_probe=False,report=False,"
    "model.blocks=(1,1,1,1),model.stem=cifar,model.embedding_dim=16,model.pretrained=,"
    "model.trainable=,search=False"
)


def scaled_down(plan: Plan) -> Plan:
    """The same runs on embedded images; of a zero-shot result see `embeddings`."""
    sets = tuple(s._replace(source=_OOD[i % 2], count=None) for i, s in enumerate(plan.sets))
    if plan.zero_shot:
        return plan._replace(config=cli.override(plan.config, ["report=False"]), sets=sets)
    width = 33 if "vim" in plan.config.detectors else 4  # ViM's 256 dimensions of 8 * width
    config = cli.override(plan.config, [_SMALL, f"model.width={width}"])
    config.test_data = _ID
    config.ood = ",".join(f"{s.group}/{s.name}={s.source}" for s in sets)
    if config.full_spectrum:
        config.ood += f",shifted/rehearsal={_ID}"
    return plan._replace(config=config, sets=sets)


def embeddings(plan: Plan, folder: pathlib.Path, seed: int) -> str:
    """Writes random embeddings where `zero_shot.job.from_features` reads them.

    Args:
      plan: runs of a zero-shot result.
      folder: folder to write to.
      seed: seed of the embeddings.

    Returns:
      The folder.
    """
    rng = np.random.default_rng(seed)

    def rows(count: int) -> np.ndarray:
        return 2 + rng.normal(size=(count, 64))  # CLIP's embeddings have much in common, too

    labels, classes = rows(6), np.arange(120) % 6
    arrays: dict[str, dict[str, Any]] = {
        "text": {"labels": labels, "negatives": rows(200)},
        "id": {"embeddings": rows(120) + 0.5 * labels[classes], "labels": classes},
    }
    for s in plan.sets:
        arrays[f"{s.group}/{s.name}"] = {"embeddings": rows(80)}
    if plan.config.full_spectrum:
        arrays["shifted/rehearsal"] = arrays["id"]
    for name, content in arrays.items():
        path = folder / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **content)
    return str(folder)
