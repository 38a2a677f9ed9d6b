"""A CLIP's image tower and a static zero-shot detector, from an export of a zero-shot run."""

import dataclasses
import pathlib
from functools import partial
from typing import Any

from adapt_jax import clip, zero_shot_detectors
from adapt_jax.clip import architecture, model
from adapt_jax.core.registry import Spec
from adapt_jax.detectors import Detector, states
from adapt_jax.inference import calibrated, clip_encoder, zero_shot_pipeline
from adapt_jax.inference.ready import Ready
from adapt_jax.metrics import conformal
from adapt_jax.runtime import sharding
from adapt_jax.workdir import bundle


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZeroShotExport(Ready):
    """What `adapt_jax.load` returns of an export of a zero-shot run.

    `embed` gives unit embeddings (N, D) as features.

    path: of the export.
    model: the CLIP without its text tower, its parameters on every device.
    """

    path: pathlib.Path
    model: clip.Model


def load(
    path: pathlib.Path, detector: str = "", *, tpr: float | None = None, alpha: float | None = None
) -> ZeroShotExport:
    """Restores an export of a zero-shot run.

    Args:
      path: folder of the export, which `bundle.verify` has checked.
      detector: spec string that must be the export's; "" for whatever it is.
      tpr, alpha: arguments of the same names of `pipeline.load`.

    Raises:
      InputError: a file does not fit the others, or another detector is asked for.
    """
    data = bundle.read_json(path, bundle.DATA)
    calibrated_detector, usual_tpr = calibrated.read(path, detector, _specified)
    tpr = usual_tpr if tpr is None else tpr
    threshold = calibrated_detector.threshold(tpr)
    if alpha is not None:
        threshold = conformal.threshold(calibrated_detector.calibration, alpha)
    about = data["clip"]
    built = architecture.from_json(about["architecture"])
    shapes = {"visual": model.shapes(built)["visual"]}
    params, _ = bundle.read_weights(path, shapes)
    mesh = sharding.make_mesh()
    tower = clip.Model(built, params, about["dtype"], about["source"])
    tower = tower.placed(partial(sharding.replicate, mesh))
    encoder = clip_encoder.Encoder(tower, about["sha256"], mesh, lambda text: None)
    size = data["image_size"]
    return ZeroShotExport(
        facts=data,
        size=size,
        cut=partial(clip.pixels_uint8, **data["preprocess"]),
        outputs=zero_shot_pipeline.embedding(encoder, size),
        detector=calibrated_detector,
        threshold=threshold,
        tpr=tpr,
        alpha=alpha,
        path=path,
        model=tower,
    )


def _specified(text: str) -> tuple[Spec, Detector, Any]:
    spec = zero_shot_detectors.parse(text)[0]
    made: Any = spec.make()
    detector = Detector(
        fit=lambda train, val=None, head=None: None, score=zero_shot_pipeline.scoring(made.step)
    )
    return spec, detector, states.like(made.init)
