"""A trained network with a fitted and calibrated detector, which scores new images.

From the folder of an evaluated run, or from an export of one.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from adapt_jax import detectors
from adapt_jax.config import completed
from adapt_jax.core.arrays import to_host
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import augment, decode, given, sources
from adapt_jax.data.set_names import ID
from adapt_jax.detectors import Head, ImageDetector, Outputs
from adapt_jax.experiment import record
from adapt_jax.inference import (
    calibrated,
    feature_cache,
    forward,
    outputs,
    zero_shot_export,
    zero_shot_files,
    zero_shot_pipeline,
)
from adapt_jax.inference.ready import BLOCK, Ready
from adapt_jax.inference.restore import restore
from adapt_jax.metrics import conformal
from adapt_jax.models import wrapped
from adapt_jax.models.base import Model
from adapt_jax.models.wrapped import Wrapped
from adapt_jax.runtime import buckets
from adapt_jax.workdir import bundle, checkpoints


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipeline(Ready):
    """A trained network and a calibrated detector: what `adapt_jax.load` returns of a trained run.

    config: of the run, its `model.dtype` that of the last evaluation.
    resize: as in `data.decode.fit`, how images are cut.
    model, normalize, variables: the network in parts; normalize(images) is what model.apply takes,
    and variables are on the host.
    method_state, step, checkpoint: of the training state; checkpoint is the digest of variables.
    """

    config: ConfigDict
    resize: int | str | None
    model: Model
    normalize: Callable
    variables: Any
    method_state: Any
    step: int
    checkpoint: str


def load(
    workdir: str | pathlib.Path,
    detector: str = "",
    *,
    tpr: float | None = None,
    alpha: float | None = None,
    model: Wrapped | None = None,
) -> Ready:
    """Restores a run, a zero-shot run or an export, with a detector that is fitted and calibrated.

    Args:
      workdir: folder of an evaluated run, of a zero-shot run, or of an export.
      detector: spec string such as "knn?k=50"; by default the export's, or the first of the run's.
      tpr: share of held-out ID images the threshold keeps; by default the export's, or 0.95.
      alpha: largest share of new ID images that may be rejected, given instead of `tpr`.
      model: network of the evaluation, if it was given as an object and not by name.

    Returns:
      A `Pipeline`; of a zero-shot run a `ZeroShotPipeline`, of its export a `ZeroShotExport`.

    Raises:
      InputError: none of these is there, the run was not evaluated, the detector does not fit, or
        there are too few held-out images for this alpha.
    """
    if tpr is not None:
        calibrated.check_tpr(tpr)
    if alpha is not None:
        conformal.check_share("--alpha", alpha)
    if model is not None:
        wrapped.named(model)
    path = buckets.local(workdir)
    if not str(workdir) or not path.is_dir():
        raise InputError(f"--workdir {workdir} is not a folder; give that of a finished run")
    packed = bundle.is_export(path)
    if packed:
        bundle.verify(path)
    if zero_shot_files.is_run(path):
        return zero_shot_pipeline.load(path, detector, tpr=tpr, alpha=alpha)
    if packed and bundle.of_zero_shot(path):
        return zero_shot_export.load(path, detector, tpr=tpr, alpha=alpha)
    config = completed(checkpoints.recall_config(path))
    facts = checkpoints.recall_data(path)
    if "mean" not in facts:
        raise InputError(f"{path} does not say how images are normalised; evaluate the run again")
    spec = None if packed else _spec(detector, config.detectors)
    experiment = record.recall(config, facts)
    state = restore(experiment, path)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    on_host = to_host(variables)
    checkpoint = checkpoints.tree_sha256(on_host)
    if packed:
        calibrated_detector, usual_tpr = calibrated.read(path, detector)
        resize = bundle.read_json(path, bundle.DATA)["resize"]
    else:
        layer = experiment.parts.model.classifier(variables)
        head = layer and Head(*map(np.asarray, layer))
        seen = _outputs_of(path, checkpoint)
        if config.model.dtype == "auto":  # what the detector is fitted on, on whatever machine
            config.model.dtype = feature_cache.dtype(path / "features", checkpoint) or "auto"
            experiment = record.recall(config, facts)
        method = experiment.parts.method
        calibrated_detector = calibrated.fit(spec, seen, method, state.method_state, head)
        resize, usual_tpr = sources.parse(calibrated.held_out(seen)[0]).resize, calibrated.TPR
    tpr = usual_tpr if tpr is None else tpr
    if alpha is None:
        threshold = calibrated_detector.threshold(tpr)
    else:
        threshold = conformal.threshold(calibrated_detector.calibration, alpha)
    parts = experiment.parts
    normalize = augment.make_normalize(*experiment.eval_mean_std, dtype=parts.dtype)
    batch_size = min(config.eval_batch_size, BLOCK)
    run = forward.make(parts.model, variables, normalize, experiment.mesh, batch_size)

    def outputs_of(squares: np.ndarray) -> Outputs:
        given.check_squares(squares, config.image_size)
        return outputs.as_outputs(run(squares))

    return Pipeline(
        config=config,
        facts=facts,
        size=config.image_size,
        resize=resize,
        cut=partial(decode.fit, size=config.image_size, resize=resize),
        outputs=outputs_of,
        model=parts.model,
        normalize=normalize,
        variables=on_host,
        method_state=to_host(state.method_state),
        step=int(state.step),
        checkpoint=checkpoint,
        detector=calibrated_detector,
        threshold=threshold,
        tpr=tpr,
        alpha=alpha,
    )


def _spec(detector: str, configured: str) -> Spec:
    specs = detectors.parse(detector or _first_named(configured))
    if detector and len(specs) > 1:
        raise InputError(f"--detector takes one detector, got {detector!r}")
    calibrated.make_detector(specs[0])
    return specs[0]


def _first_named(text: str) -> str:
    """The first detector of a run that works on outputs; kNN where it asks for all there are."""
    named = (s for s in detectors.parse(text) if s.named)
    return next((s.text for s in named if not isinstance(s.make(), ImageDetector)), "knn")


def _outputs_of(path: pathlib.Path, checkpoint: str):
    """What the last evaluation of the run left in its cache, by set."""
    cached_outputs = feature_cache.recall(path / "features", checkpoint)
    for name in ("train", ID):
        if name not in cached_outputs:
            raise InputError(
                f"{path} has no outputs of its {name} set at this checkpoint; run "
                f"python -m adapt_jax.evaluate --workdir={path} first"
            )
    return cached_outputs
