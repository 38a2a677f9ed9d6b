"""A CLIP, its text bank and a zero-shot detector, from the folder of a finished run."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax import clip, zero_shot_detectors
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import given
from adapt_jax.data.set_names import ID, ood_side
from adapt_jax.detectors import Detector, Outputs
from adapt_jax.inference import calibrated, clip_encoder, zero_shot_files
from adapt_jax.inference.calibrated import CalibratedDetector
from adapt_jax.inference.live_stream import Stream
from adapt_jax.inference.ready import BLOCK, Ready
from adapt_jax.inference.zero_shot_files import Text
from adapt_jax.metrics import conformal
from adapt_jax.results.scores import load_scores, path_of
from adapt_jax.results.scoring import stream_key
from adapt_jax.runtime import sharding
from adapt_jax.zero_shot_detectors.streams import is_static

NEAREST_LABEL = "nearest label"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZeroShotPipeline(Ready):
    """A CLIP, its text bank and a detector: what `adapt_jax.load` returns of a zero-shot run.

    `embed` gives unit embeddings (N, D) as features. `score` and `decide` take static detectors;
    those that adapt (AdaNeg, TANL) score in a `stream`.

    path: of the run.
    record: what the run keeps, see `zero_shot_files.read`.
    text: the bank, with the names of its rows.
    noise: embeddings of noise images (N, D), where the run has some.
    named: whether the detector was asked for by name.
    static: whether the detector does not adapt.
    model: the CLIP, its parameters on every device; None where embeddings were made elsewhere.
    """

    path: pathlib.Path
    record: Mapping[str, Any]
    text: Text
    noise: np.ndarray | None
    named: bool
    static: bool
    model: clip.Model | None

    def stream(self, folder: str | os.PathLike) -> Stream:
        """Opens the stream of images in a folder, a new one or one that goes on, see `Stream`.

        The detector is the one that was asked for, else the first of the run's that adapts.

        Raises:
          InputError: none adapts, the folder belongs to another stream, or is open already.
        """
        spec = self.detector.spec if self.named else self._adaptive()
        if spec is None:
            raise InputError(
                f"{self.path} was made with detectors that do not adapt "
                f"({self.record['detectors']}); name one that does, for example adaneg, or score "
                "images without a stream"
            )
        calibration = _in_streams(self.path, self.record, spec)
        detector = self.detector._replace(
            spec=spec,
            calibration=calibration,
            calibrated_on=f"{len(calibration)} ID images as the run's streams scored them",
        )
        return Stream(
            folder,
            outputs_of=self.embed,
            detector=detector,
            tpr=self.tpr,
            text=self.text,
            noise=self.noise,
            checkpoint=self.record["checkpoint_sha256"],
            batch_size=self.record["batch_size"],
        )

    def _adaptive(self) -> Spec | None:
        return _first(self.record, self.text, self.noise, static=False)


def load(
    path: pathlib.Path, detector: str = "", *, tpr: float | None = None, alpha: float | None = None
) -> ZeroShotPipeline:
    """Restores a zero-shot run, with a detector that is calibrated on its ID images.

    Args:
      path: folder of the run.
      detector: spec string such as "neglabel?groups=5"; by default the first of the run's that
        does not adapt.
      tpr, alpha: arguments of the same names of `pipeline.load`.

    Raises:
      InputError: a file of the run is missing or has changed, the CLIP is another, or the detector
        does not fit.
    """
    record = zero_shot_files.read(path)
    text = zero_shot_files.load_text(path, record)
    kept = record["embeddings"]
    noise = None
    if zero_shot_files.NOISE in kept:
        noise = zero_shot_files.arrays(path, record, kept[zero_shot_files.NOISE])["embeddings"]
    if detector:
        specs = zero_shot_detectors.parse(detector)
        if len(specs) > 1:
            raise InputError(f"--detector takes one detector, got {detector!r}")
        spec = specs[0]
    else:
        spec = _first(record, text, noise, static=True)
        spec = spec or zero_shot_detectors.parse(record["detectors"])[0]
    tpr = calibrated.TPR if tpr is None else tpr
    ready = _calibrated(path, record, spec, text, noise)
    threshold = ready.threshold(tpr)
    if alpha is not None:
        threshold = conformal.threshold(ready.calibration, alpha)
    transform, outputs, model = _network(path, record)
    return ZeroShotPipeline(
        facts={"class_names": text.class_names, **record},
        size=transform.keywords["size"],
        cut=transform,
        outputs=outputs,
        detector=ready,
        threshold=threshold,
        tpr=tpr,
        alpha=alpha,
        path=path,
        record=record,
        text=text,
        noise=noise,
        named=bool(detector),
        static=_is_static(spec, text, noise),
        model=model,
    )


def _first(record, text: Text, noise, *, static: bool) -> Spec | None:
    """The first detector of the run that is static, or that adapts."""
    for spec in zero_shot_detectors.parse(record["detectors"]):
        if _is_static(spec, text, noise) == static:
            return spec
    return None


def _is_static(spec: Spec, text: Text, noise) -> bool:
    detector: Any = spec.make()
    return is_static(detector.step, *_begun(detector, text, noise))


def _begun(detector, text: Text, noise) -> tuple[Any, int]:
    return detector.start(text.bank, noise), text.bank.labels.shape[1]


def _calibrated(path, record, spec: Spec, text: Text, noise) -> CalibratedDetector:
    made: Any = spec.make()
    state, width = _begun(made, text, noise)
    if not is_static(made.step, state, width):
        score, calibration = _refusing(spec), _in_streams(path, record, spec)
        where = "ID images as the run's streams scored them"
    else:
        own = zero_shot_files.arrays(path, record, record["embeddings"][ID])["embeddings"]
        score = scoring(made.step)
        calibration, where = score(state, Outputs(own)), f"images of {record['id']}"
    return CalibratedDetector(
        spec,
        Detector(fit=lambda train, val=None, head=None: state, score=score),
        state,
        calibration,
        f"{len(calibration)} {where}",
        np.asarray(text.bank.labels),
        NEAREST_LABEL,
    )


def scoring(step: Callable) -> Callable[[Any, Outputs], np.ndarray]:
    """A static detector's step as scores of any number of rows, BLOCK at a time."""

    def block(state, rows: jax.Array) -> jax.Array:
        return step(state, rows, jnp.ones(rows.shape[:1], bool))[0]

    return lambda state, outputs: map_rows(partial(block, state), outputs.features, BLOCK)


def _refusing(spec: Spec) -> Callable:
    def score(state, outputs):
        raise InputError(
            f"{spec.text} adapts to the images it sees, one after the other; open a stream "
            "(--stream=DIR, or .stream(folder) in Python), or choose a detector such as mcm"
        )

    return score


def _in_streams(path: pathlib.Path, record, spec: Spec) -> np.ndarray:
    """The scores of the ID images in the run's streams, those of one OOD set after another's.

    Raises:
      InputError: the run has not scored anything with this detector.
    """
    if spec.text not in {s.text for s in zero_shot_detectors.parse(record["detectors"])}:
        raise InputError(
            f"a threshold for {spec.text} comes from the scores of ID images in the run's own "
            f"streams, and {path} was made with {record['detectors']}; run zero_shot with "
            f"--config.detectors={spec.text}"
        )
    keys = [stream_key(ID, name) for name in ood_side(record["groups"])]
    if path_of(path, spec.text, ID).is_file():
        keys = [ID]
    return np.concatenate([load_scores(path_of(path, spec.text, key)).scores for key in keys])


def _network(
    path: pathlib.Path, record: Mapping[str, Any]
) -> tuple[partial, Callable, clip.Model | None]:
    """How images are cut, what makes outputs of them, and with which model."""
    if record["clip"] is None:

        def no_images(*args, **kwargs):
            raise InputError(
                f"{path} was made from embeddings (--from_features) and has no CLIP; give "
                "embeddings to `score_embeddings` of its stream, or to `detector.score`"
            )

        return partial(no_images, size=1), no_images, None
    encoder = clip_encoder.load(
        clip_encoder.Source(**record["clip"]), sharding.make_mesh(), lambda text: None
    )
    if encoder.sha256 != record["checkpoint_sha256"]:
        raise InputError(
            f"the CLIP at {record['clip']['path']} is not the one {path} was made with; restore "
            f"it, or {zero_shot_files.AGAIN}"
        )
    transform = partial(clip.pixels_uint8, **record["preprocess"])
    size, batch_size = record["preprocess"]["size"], record["image_batch_size"]
    return transform, embedding(encoder, size, batch_size), encoder.model


def embedding(
    encoder: clip_encoder.Encoder, size: int, batch_size: int = BLOCK
) -> Callable[[np.ndarray], Outputs]:
    """What makes unit embeddings of images (N, size, size, 3) uint8."""

    def outputs(squares: np.ndarray) -> Outputs:
        given.check_squares(squares, size)
        return Outputs(encoder.images([squares], len(squares), min(batch_size, BLOCK), "images"))

    return outputs
