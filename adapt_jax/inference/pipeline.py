"""A trained network with a fitted and calibrated detector, which scores new images.

From the folder of an evaluated run, or from an export of one.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from adapt_jax import detectors
from adapt_jax.config import completed
from adapt_jax.core.arrays import to_host
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import augment, given, sources
from adapt_jax.data.given import Images
from adapt_jax.data.set_names import ID
from adapt_jax.detectors import Head, ImageDetector, Outputs
from adapt_jax.experiment import record
from adapt_jax.inference import calibrated, feature_cache, forward, outputs
from adapt_jax.inference.calibrated import CalibratedDetector
from adapt_jax.inference.restore import restore
from adapt_jax.metrics import conformal
from adapt_jax.models import wrapped
from adapt_jax.models.base import Model
from adapt_jax.models.wrapped import Wrapped
from adapt_jax.workdir import bundle, checkpoints

BLOCK = 256  # images scored together


class Pipeline(NamedTuple):
    """A trained network and a calibrated detector: what `adapt_jax.load` returns.

    `embed`, `score` and `decide` take images as they are, see `data.given.blocks`: one or several
    paths, PIL images or uint8 arrays of any size, treated as `python -m adapt_jax.predict` treats
    files.

    config: of the run, its `model.dtype` that of the last evaluation.
    facts: what data.json says of its training images.
    square: how `data.decode.read` cuts images: (size, resize).
    outputs: images (N, S, S, 3) uint8, cut already -> what detectors score; N is any number.
    model, normalize, variables: the same in parts; normalize(images) is what model.apply takes, and
    variables are on the host.
    method_state, step, checkpoint: of the training state; checkpoint is the SHA-256 of variables.
    detector: fitted and calibrated.
    threshold: scores from there on are in-distribution; it keeps the share `tpr` of held-out ID
    images, unless it has the conformal level `alpha`.
    """

    config: ConfigDict
    facts: Mapping[str, Any]
    square: tuple[int, int | str | None]
    outputs: Callable[[np.ndarray], Outputs]
    model: Model
    normalize: Callable
    variables: Any
    method_state: Any
    step: int
    checkpoint: str
    detector: CalibratedDetector
    threshold: float
    tpr: float
    alpha: float | None = None

    def embed(self, images: Images) -> Outputs:
        """What the network says about N images: features (N, D), logits (N, C) or None.

        Raises:
          InputError: an image cannot be used; it is named.
        """
        return outputs.joined([self.outputs(b) for b in given.blocks(images, *self.square)])

    def score(self, images: Images) -> np.ndarray:
        """Scores (N,) float32 of N images; larger means more in-distribution. Raises as `embed`."""
        return self.detector.score(self.embed(images))

    def decide(self, images: Images) -> np.ndarray:
        """Whether each of N images is in-distribution: (N,) bool. Raises as `embed`."""
        return self.score(images) >= self.threshold


def load(
    workdir: str | pathlib.Path,
    detector: str = "",
    *,
    tpr: float | None = None,
    alpha: float | None = None,
    model: Wrapped | None = None,
) -> Pipeline:
    """Restores a run or an export, with a detector that is fitted and calibrated.

    Args:
      workdir: folder of an evaluated run, or of an export.
      detector: spec string such as "knn?k=50"; by default the export's, or the first of the run's.
      tpr: share of held-out ID images the threshold keeps; by default the export's, or 0.95.
      alpha: largest share of new ID images that may be rejected, given instead of `tpr`.
      model: network of the evaluation, if it was given as an object and not by name.

    Raises:
      InputError: neither is there, the run was not evaluated, the detector does not fit, or there
        are too few held-out images for this alpha.
    """
    if tpr is not None:
        calibrated.check_tpr(tpr)
    if alpha is not None:
        conformal.check_share("--alpha", alpha)
    if model is not None:
        wrapped.named(model)
    path = pathlib.Path(workdir).expanduser()
    if not str(workdir) or not path.is_dir():
        raise InputError(f"--workdir {workdir} is not a folder; give that of a finished run")
    packed = bundle.is_export(path)
    if packed:
        bundle.verify(path)
    run_config = checkpoints.recall_config(path)
    if "clip" in run_config:
        raise InputError(
            f"{path} is a zero-shot run, which keeps no detector for other images; score them with "
            "python -m adapt_jax.zero_shot, their folder among its OOD sets"
        )
    config = completed(run_config)
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
        calibrated_detector, resize, usual_tpr = _exported(path, detector)
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
        square=(config.image_size, resize),
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


def _exported(path: pathlib.Path, detector: str):
    """The detector of an export, how it cuts images, and the share its threshold keeps."""
    description = bundle.read_json(path, bundle.DETECTOR)
    if detector and detector != description["detector"]:
        raise InputError(
            f"{path} holds the detector {description['detector']} and not {detector}; leave "
            "--detector out, or export the run again with it"
        )
    resize = bundle.read_json(path, bundle.DATA)["resize"]
    return calibrated.read(path), resize, description["tpr"]


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
