"""A trained network with one detector fitted and calibrated: all that a new image needs.

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
from adapt_jax.data import augment, sources
from adapt_jax.data.set_names import ID
from adapt_jax.detectors import Head, ImageDetector, Outputs
from adapt_jax.experiment import record
from adapt_jax.inference import calibrated, feature_cache, forward, outputs
from adapt_jax.inference.calibrated import CalibratedDetector
from adapt_jax.inference.restore import restore
from adapt_jax.models.base import Model
from adapt_jax.workdir import bundle, checkpoints

BLOCK = 256  # images scored together


class Pipeline(NamedTuple):
    """A trained network and a calibrated detector.

    config: of the run, its `model.dtype` that of the last evaluation.
    facts: what data.json says of its training images.
    square: how `data.decode.read` cuts images: (size, resize).
    outputs: images (N, S, S, 3) uint8 -> what detectors score; N is any number.
    model, normalize, variables: the same in parts; normalize(images) is what model.apply takes, and
    variables are on the host.
    method_state, step, checkpoint: of the training state; checkpoint is the digest of variables.
    detector: fitted and calibrated; tpr: the share of held-out ID images that its threshold keeps
    by default.
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
    tpr: float = calibrated.TPR


def load(workdir: str | pathlib.Path, *, detector: str = "") -> Pipeline:
    """Restores a run or an export.

    Args:
      workdir: of an evaluated run, or an export.
      detector: e.g. "knn?k=50"; by default the export's, or the first of the run's.

    Raises:
      InputError: neither is there, the run was not evaluated, or the detector does not fit.
    """
    path = pathlib.Path(workdir).expanduser()
    if not str(workdir) or not path.is_dir():
        raise InputError(f"--workdir {workdir} is not a folder; give that of a finished run")
    packed = bundle.is_export(path)
    if packed:
        bundle.verify(path)
    config = completed(checkpoints.recall_config(path))
    facts = checkpoints.recall_data(path)
    if "mean" not in facts:
        raise InputError(f"{path} does not say how images are normalised; evaluate the run again")
    spec = None if packed else _spec(detector, config.detectors)
    experiment = record.recall(config, facts)
    state = restore(experiment, path)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    on_host = to_host(variables)
    checkpoint = checkpoints.digest(on_host)
    if packed:
        calibrated_detector, resize, tpr = _exported(path, detector)
    else:
        layer = experiment.parts.model.classifier(variables)
        head = layer and Head(*map(np.asarray, layer))
        known = _outputs_of(path, checkpoint)
        if config.model.dtype == "auto":  # what the detector is fitted on, on whatever machine
            config.model.dtype = feature_cache.dtype(path / "features", checkpoint) or "auto"
            experiment = record.recall(config, facts)
        method = experiment.parts.method
        calibrated_detector = calibrated.fit(spec, known, method, state.method_state, head)
        resize, tpr = sources.parse(calibrated.held_out(known)[0]).resize, calibrated.TPR
    parts = experiment.parts
    normalize = augment.make_normalize(*experiment.eval_mean_std, dtype=parts.dtype)
    batch_size = min(config.eval_batch_size, BLOCK)
    run = forward.make(parts.model, variables, normalize, experiment.mesh, batch_size)
    return Pipeline(
        config=config,
        facts=facts,
        square=(config.image_size, resize),
        outputs=lambda images: outputs.as_outputs(run(images)),
        model=parts.model,
        normalize=normalize,
        variables=on_host,
        method_state=to_host(state.method_state),
        step=int(state.step),
        checkpoint=checkpoint,
        detector=calibrated_detector,
        tpr=tpr,
    )


def _exported(path: pathlib.Path, detector: str):
    """The detector of an export, how it cuts images, and the share its threshold keeps."""
    known = bundle.read_json(path, bundle.DETECTOR)
    if detector and detector != known["detector"]:
        raise InputError(
            f"{path} holds the detector {known['detector']} and not {detector}; leave --detector "
            "out, or export the run again with it"
        )
    resize = bundle.read_json(path, bundle.DATA)["resize"]
    return calibrated.read(path), resize, known["tpr"]


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
    known = feature_cache.recall(path / "features", checkpoint)
    for name in ("train", ID):
        if name not in known:
            raise InputError(
                f"{path} has no outputs of its {name} set at this checkpoint; run "
                f"python -m adapt_jax.evaluate --workdir={path} first"
            )
    return known
