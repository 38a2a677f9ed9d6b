"""A fitted and calibrated detector: from outputs to score, decision and class."""

import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax import detectors
from adapt_jax.core import named
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data.set_names import ID, VAL
from adapt_jax.detectors import Detector, Head, ImageDetector, Outputs, states
from adapt_jax.detectors.fitting import adapted, same
from adapt_jax.inference import outputs, probes
from adapt_jax.workdir import bundle

TPR = 0.95
CLASSIFIER, NEAREST_MEAN = "classifier", "nearest class mean"


class CalibratedDetector(NamedTuple):
    """A fitted detector, and the scores that it is calibrated on.

    spec, detector, state: the detector, as asked for, made and fitted.
    calibration (M,) float32: its scores of held-out ID images; `calibrated_on` says whose.
    class_means (C, D) float64: directions of the training features' class means; None where the
      network has a classifier of its own, or the training set no labels.
    by: what names the class: `CLASSIFIER`, `NEAREST_MEAN`, of a CLIP "nearest label", or None.
    """

    spec: Spec
    detector: Detector
    state: Any
    calibration: np.ndarray
    calibrated_on: str
    class_means: np.ndarray | None
    by: str | None

    def score(self, outputs: Outputs) -> np.ndarray:
        """Scores (N,) float32 of a network's outputs; larger means more in-distribution."""
        return self.detector.score(self.state, outputs)

    def classify(self, outputs: Outputs) -> np.ndarray | None:
        """Predicted classes (N,): the classifier's, else the nearest class mean's, or None."""
        if self.by == CLASSIFIER:
            return outputs.logits.argmax(axis=1)
        if self.class_means is None:
            return None
        return probes.nearest(self.class_means, outputs.features)

    def threshold(self, tpr: float) -> float:
        """The largest score that at least the share `tpr` of the held-out ID images reach."""
        return threshold(self.calibration, tpr)


def make_detector(spec: Spec) -> Detector:
    """The detector of a spec.

    Raises:
      InputError: it works on images, not on outputs.
    """
    made = spec.make()
    if isinstance(made, ImageDetector):
        raise InputError(
            f"{spec.text} needs images to be calibrated, and a run keeps outputs only; "
            "use another detector"
        )
    return made


def fit(spec: Spec, cached_outputs, method, method_state, head: Head | None) -> CalibratedDetector:
    """Fits a detector on the cached outputs of a run and scores its held-out ID images.

    Args:
      spec: the detector.
      cached_outputs: outputs by set, from `feature_cache.recall`, with the training and the ID test
        set at least.
      method, method_state: the run's method and its state; a method that finds clusters has them in
        place of labels.
      head: the classifier, where there is one.

    Raises:
      InputError: the detector does not fit.
    """
    source, arrays = held_out(cached_outputs)
    labelled = outputs.as_outputs(cached_outputs["train"][1])
    train = outputs.training_outputs(cached_outputs["train"][1], method, method_state)
    held = outputs.as_outputs(arrays)
    val = held if VAL in cached_outputs else train
    images, features = train.features.shape
    spec = adapted(spec, images=images, features=features, held_out=len(val.features))
    detector = make_detector(spec)
    state = detector.fit(train, val=val, head=head)
    kept = detector.score(state, held)
    means = by = None
    if head is not None:
        by = CLASSIFIER
    elif labelled.labels is not None:
        means, by = probes.mean_directions(labelled), NEAREST_MEAN
    return CalibratedDetector(
        spec, detector, state, kept, f"{len(kept)} images of {source}", means, by
    )


def held_out(cached_outputs) -> tuple[str, dict[str, np.ndarray]]:
    """Where the held-out ID images of a run come from, and its outputs of them."""
    return cached_outputs[VAL if VAL in cached_outputs else ID]


def files(
    calibrated: CalibratedDetector, tpr: float
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What an export holds of a detector: the content of detector.json, and its arrays by name.

    Raises:
      InputError: the state is laid out for the devices of this machine.
    """
    if calibrated.spec.params.get("sharded"):
        raise InputError(
            f"{calibrated.spec.text} splits its state over the devices of this machine; export it "
            "without sharded=true"
        )
    trees = {"state": calibrated.state, "calibration": calibrated.calibration}
    if calibrated.class_means is not None:
        trees["class_means"] = calibrated.class_means
    arrays = named.flatten(**trees)
    about = {
        "detector": calibrated.spec.text,
        "name": calibrated.spec.name,
        "params": dict(calibrated.spec.params),
        "threshold": calibrated.threshold(tpr),
        "tpr": tpr,
        "calibrated_on": calibrated.calibrated_on,
        "class_by": calibrated.by,
        "arrays": {k: {"shape": list(v.shape), "dtype": str(v.dtype)} for k, v in arrays.items()},
    }
    return about, arrays


def _specified(text: str) -> tuple[Spec, Detector, Any]:
    """A detector and the pytree of its state, from its spec string."""
    spec = detectors.parse(text)[0]
    detector = make_detector(spec)
    return spec, detector, states.like(detector.fit)


def read(
    folder: pathlib.Path, wanted: str = "", specified=_specified
) -> tuple[CalibratedDetector, float]:
    """The detector of an export, and the share of ID images that its threshold keeps.

    Args:
      folder: folder of the export.
      wanted: spec string of the detector that is asked for, "" for the one there is.
      specified: function that returns the spec, the detector and the pytree of its state, from a
        spec string.

    Raises:
      InputError: the export holds another detector, it cannot be made, or its arrays do not fit it.
    """
    about = bundle.read_json(folder, bundle.DETECTOR)
    spec, detector, state_like = specified(about["detector"])
    if wanted and not same(spec, specified(wanted)[0]):
        raise InputError(
            f"{folder} holds the detector {about['detector']} and not {wanted}; leave "
            "--detector out, or export the run again with it"
        )
    like = {"state": state_like, "calibration": 0}
    if about["class_by"] not in (None, CLASSIFIER):
        like["class_means"] = 0

    def as_recorded(path, leaf):
        recorded = about["arrays"].get(named.name(path))
        return jax.ShapeDtypeStruct(recorded["shape"], recorded["dtype"]) if recorded else leaf

    arrays = bundle.read_arrays(folder, bundle.DETECTOR_ARRAYS)
    like = jax.tree.map_with_path(as_recorded, like)
    state = named.unflatten(arrays, like, str(folder / bundle.DETECTOR_ARRAYS))
    calibrated = CalibratedDetector(
        spec,
        detector,
        jax.tree.map(jnp.asarray, state["state"]),
        state["calibration"],
        about["calibrated_on"],
        state.get("class_means"),
        about["class_by"],
    )
    return calibrated, about["tpr"]


def threshold(scores: np.ndarray, tpr: float) -> float:
    """The largest value that at least the share `tpr` of the scores (N,) reach."""
    descending = np.sort(scores)[::-1]
    # The small term: 0.95 * 20 is 19.000000000000004 in floating point.
    return float(descending[int(np.ceil(tpr * len(scores) - 1e-9)) - 1])


def check_tpr(tpr: float) -> None:
    """Raises InputError unless `tpr` is a share."""
    if not 0 < tpr <= 1:
        raise InputError(f"--tpr is a share in (0, 1], got {tpr:g}")
