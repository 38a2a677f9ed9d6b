"""What an export is made of, whatever network is behind it, that of a trained run or a CLIP."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from adapt_jax import clip
from adapt_jax.clip import architecture
from adapt_jax.clip.preprocess import VARIANTS
from adapt_jax.core import named
from adapt_jax.core.arrays import l2_normalize, to_host
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs
from adapt_jax.experiment import derived
from adapt_jax.inference import forward, outputs
from adapt_jax.inference.calibrated import CalibratedDetector
from adapt_jax.inference.clip_encoder import unit
from adapt_jax.inference.pipeline import Pipeline
from adapt_jax.inference.ready import Ready
from adapt_jax.inference.zero_shot_export import ZeroShotExport
from adapt_jax.inference.zero_shot_pipeline import ZeroShotPipeline
from adapt_jax.results import result_files
from adapt_jax.runtime import sharding
from adapt_jax.workdir import bundle

_LEFT_OUT = ("config", "seconds", "peak_memory_bytes")  # of results.json, in the card


class Contents(NamedTuple):
    """The parts of an export that differ between kinds of runs.

    network: name of the network. dtype: what it computes in.
    size: height and width of its images.
    detector: fitted and calibrated.
    config, data: content of config.json and of data.json.
    weights: arrays of the network, by name.
    traced: traceable function from images (B, size, size, 3) uint8 to what the detector scores.
    direct: the same as the package computes it, on one device and in one batch.
    card: fields of card.json about the network, its data and its results.
    """

    network: str
    dtype: str
    size: int
    detector: CalibratedDetector
    config: dict[str, Any]
    data: dict[str, Any]
    weights: dict[str, np.ndarray]
    traced: Callable[[jax.Array], Outputs]
    direct: Callable[[np.ndarray], Outputs]
    card: dict[str, Any]


def of(ready: Ready, path: pathlib.Path) -> Contents:
    """The contents of an export of a run, or of an export.

    Args:
      ready: network and detector.
      path: folder they are from.

    Raises:
      InputError: it was not evaluated, has no image tower, or the detector adapts to a stream.
    """
    if isinstance(ready, Pipeline):
        return _of_trained(ready, path)
    return _of_zero_shot(ready, path)


def _of_trained(ready: Pipeline, path: pathlib.Path) -> Contents:
    evaluation = _results(path, ready.checkpoint)
    if ready.config.model.dtype == "auto":
        ready.config.model.dtype = derived.compute_dtype("auto")
    config = ready.config
    data = dict(ready.facts) | {"image_size": ready.size, "resize": ready.resize}
    parameters = named.flatten(params=ready.variables["params"])

    def traced(images):
        return ready.model.apply(ready.variables, ready.normalize(images), train=False)[0]

    def direct(images):
        one = sharding.make_mesh(jax.local_devices()[:1])
        run = forward.make(ready.model, ready.variables, ready.normalize, one, len(images))
        return outputs.as_outputs(run(images))

    return Contents(
        network=config.model.name,
        dtype=config.model.dtype,
        size=ready.size,
        detector=ready.detector,
        config=config.to_dict(),
        data=data,
        weights=named.flatten(**ready.variables, method=ready.method_state),
        traced=traced,
        direct=direct,
        card={
            "method": derived.trained_by(config),
            "model": config.model.name,
            "parameters": sum(v.size for v in parameters.values()),
            "step": ready.step,
            "checkpoint_sha256": ready.checkpoint,
            "data": {
                "train": config.train_data,
                "fingerprint": data["train_fingerprint"],
                "images": data["num_images"],
                "classes": data["num_classes"],
                **_cutting(data, evaluation),
            },
            "results": evaluation,
        },
    )


def _of_zero_shot(ready: Ready, path: pathlib.Path) -> Contents:
    if isinstance(ready, ZeroShotPipeline):
        _check(ready)
        config, data = result_files.read(path)["config"], _data(ready)
    else:
        assert isinstance(ready, ZeroShotExport)
        config, data = (bundle.read_json(path, name) for name in (bundle.CONFIG, bundle.DATA))
    about, model = data["clip"], ready.model
    evaluation = _results(path, about["sha256"])
    tower = to_host({"visual": model.params["visual"]})
    alone = clip.Model(model.architecture, tower, model.dtype)
    weights = named.flatten(**tower)

    def traced(images):
        rows = clip.image_features(tower, model.architecture, images, model.dtype)
        return Outputs(l2_normalize(rows))

    def direct(images):
        return Outputs(unit(np.asarray(alone.encode_image(images)), "images"))

    return Contents(
        network="CLIP",
        dtype=model.dtype,
        size=data["image_size"],
        detector=ready.detector,
        config=config,
        data=data,
        weights=weights,
        traced=traced,
        direct=direct,
        card={
            "method": "zero_shot",
            "model": about["name"],
            "parameters": sum(v.size for v in weights.values()),
            "step": 0,
            "checkpoint_sha256": about["sha256"],
            "data": {
                "id": evaluation["id"],
                "classes": len(data["class_names"]),
                "negatives": data["negatives"],
                "prompts": evaluation.get("prompts"),
                "corpus": evaluation.get("corpus"),
                **_cutting(data, evaluation),
            },
            "results": evaluation,
        },
    )


def _check(ready: ZeroShotPipeline) -> None:
    """Raises InputError for what has no program that scores images."""
    if ready.model is None:
        raise InputError(
            f"{ready.path} was made from embeddings (--from_features) and has no image tower to "
            "export; run zero_shot on images with a CLIP"
        )
    if not ready.static:
        raise InputError(
            f"{ready.detector.spec.text} adapts to the images it sees and has no score of one "
            "image to export; score in a stream (python -m adapt_jax.predict --stream=DIR), or "
            "export a detector that does not adapt with --detector, such as neglabel"
        )


def _data(ready: ZeroShotPipeline) -> dict[str, Any]:
    """The content of data.json of a zero-shot run."""
    model, record = ready.model, ready.record
    assert model is not None
    rule = VARIANTS[record["preprocess"]["variant"]]
    return {
        "class_names": list(ready.text.class_names),
        "negatives": len(ready.text.bank.negatives),
        "words": list(ready.text.negatives),
        "image_size": ready.size,
        "resize": "stretch" if rule.squash else record["preprocess"]["resize"],
        "mean": list(model.mean),
        "std": list(model.std),
        "cut": {
            "filter": rule.filter.name,
            "rgb_first": rule.rgb_first,
            "floor_crop": rule.floor_crop,
            "stretch": rule.stretch,
        },
        "preprocess": record["preprocess"],
        "clip": {
            "name": record["clip"]["path"],
            "source": model.source,
            "sha256": record["checkpoint_sha256"],
            "dtype": model.dtype,
            "architecture": architecture.as_json(model.architecture),
        },
    }


def _cutting(data: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    names = ("image_size", "resize", "mean", "std")
    lists = {"evaluation_lists_sha256": evaluation.get("lists_sha256", "")}
    cut = data.get("cut", {})
    resampling = {name: cut[name] for name in ("filter", "stretch") if name in cut}
    return {name: data[name] for name in names} | resampling | lists


def _results(path: pathlib.Path, checkpoint: str) -> dict[str, Any]:
    """The last evaluation of the run, or what the export knows of it."""
    if bundle.is_export(path):
        return bundle.read_json(path, bundle.CARD)["results"]
    evaluation = result_files.read(path)
    if evaluation["checkpoint_sha256"] != checkpoint:
        raise InputError(f"{path} holds results of another checkpoint; evaluate it again")
    return {k: v for k, v in evaluation.items() if k not in _LEFT_OUT}
