"""Every field of an experiment's config with its default; the files in configs/ change a few.

seed: one integer decides initialisation, batches and augmentation.
train_data, test_data: sources of the ID images (see docs/data.md); training needs labels.
ood: a suite's name, or "group/name=source,..."; "" skips the evaluation. A suite that fixes its own
  ID test, ID validation and OOD validation sets overrides the next fields and test_data.
val_data: held-out ID images for detectors that want some; "" gives them training images.
ood_val_data: OOD images that only `search` sees.
full_spectrum: whether the covariate-shifted ID sets (group "shifted") count as ID; else unused.
search: whether hyper-parameters of detectors are chosen on val_data and ood_val_data.
bootstrap: resamples behind the intervals in results; 0 for none.
input: where training images are: "device" keeps the whole set on every device, decoded; "host"
  decodes and crops them from the files while training; "auto" is "host" where the decoded set would
  exceed 8 GiB.
input_workers: processes per process of the job that decode; 0 is threads of its own; unset, one per
  core but one.
prefetch: batches they are ahead.
image_size: side in pixels; other images are resized (shorter side) and centre-cropped.
mean, std: channel statistics on the scale 0..1; () takes those of the training set.
eval_mean, eval_std: the same for evaluation; () uses those of training.
batch_size: images per step over all devices; the network sees `views` of each.
microbatches: parts of the batch that go through the network one after the other, where memory is
  short: loss and gradient are those of the whole batch, batch normalisation sees one part.
views: augmented copies of each image.
epochs, total_steps: length of the run; total_steps wins when set.
method.name, method.params: the objective and its hyper-parameters.
model: the network; `blocks` () keeps the usual depth; `dtype` "auto" is bfloat16 on accelerators
  and float32 on CPUs, "float64" checks equality across devices.
model.stem: "cifar" for small images, "imagenet" for sides of 224.
model.feature_norm: temperature of train-time feature normalisation (T2FNorm) under cross_entropy;
  0 is off.
model.pretrained: weights the run starts from: a .npz or .safetensors file of PyTorch tensors, or a
  name of docs/checkpoints.md, which is fetched; "" for none.
model.allow_pickle: whether `pretrained` may be a checkpoint of PyTorch's; see docs/checkpoints.md.
model.trainable: the stages that train, e.g. "layer4,head"; "" trains all. The others stay as they
  are to the bit, batch normalisation included; frozen_batch_norm False lets its statistics drift.
optimizer: SGD; learning_rate, and the schedule that changes it by name, with warmup_epochs.
augment: probabilities and ranges of the training views.
detectors: names, with hyper-parameters behind "?": "mahalanobis,knn?k=50&normalize=True".
eval_batch_size: images per forward pass over all devices.
eval_checkpoint: "last" or "best" (lowest mean training loss among the saved ones; the official
  programs rank epochs, which is the same if checkpoint_every is an epoch).
checkpoint_every, log_every: steps between saves, and between records; a short run is recorded more
  often, so that it has a curve.
profile: "START:STOP" traces those steps into WORKDIR/profile and sums them up; "" does not.
tracking: "wandb" sends scalars to Weights & Biases as well, see `workdir.trackers`; "" keeps them
  here.
linear_probe: whether the evaluation also trains a linear classifier on the frozen features.
selective: whether rows have AURC and AUGRC, without and with OOD images; needs a classifier.
report: whether the evaluation writes report.html.
"""

import pathlib
import runpy

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from adapt_jax import methods
from adapt_jax.core.errors import InputError

_KINDS = {float: (int, float), tuple: (tuple, list)}  # what JSON may have made of a value


def default_config(method: str = "adapt") -> ConfigDict:
    """A complete config for `method`, its hyper-parameters at their defaults."""
    return ConfigDict(
        {
            "seed": 0,
            "train_data": "digits:train",
            "test_data": "digits:test",
            "ood": "",
            "val_data": "",
            "ood_val_data": "",
            "full_spectrum": False,
            "search": False,
            "bootstrap": 0,
            "input": "auto",
            "input_workers": placeholder(int),
            "prefetch": 2,
            "image_size": 32,
            "mean": (),
            "std": (),
            "eval_mean": (),
            "eval_std": (),
            "batch_size": 512,
            "microbatches": 1,
            "views": 2,
            "epochs": 500,
            "total_steps": placeholder(int),
            "method": {"name": method, "params": method_params(method)},
            "model": {
                "name": "resnet18",
                "width": 64,
                "blocks": (),
                "stem": "cifar",
                "embedding_dim": 128,
                "feature_norm": 0.0,
                "pretrained": "",
                "allow_pickle": False,
                "trainable": "",
                "frozen_batch_norm": True,
                "dtype": "auto",
                "remat": False,
            },
            "optimizer": {
                "learning_rate": 0.5,
                "momentum": 0.9,
                "nesterov": True,
                "weight_decay": 1e-6,
                "schedule": "linear_warmup_cosine",
                "warmup_epochs": 10,
            },
            "augment": {
                "crop_scale": (0.2, 1.0),
                "flip": 0.5,
                "jitter_probability": 0.8,
                "brightness": 0.4,
                "contrast": 0.4,
                "saturation": 0.4,
                "hue": 0.1,
                "grayscale": 0.2,
            },
            "detectors": "mahalanobis,knn",
            "eval_batch_size": 512,
            "eval_checkpoint": "last",
            "checkpoint_every": 1000,
            "log_every": 100,
            "profile": "",
            "tracking": "",
            "linear_probe": False,
            "selective": False,
            "report": True,
        }
    )


def method_params(method: str) -> dict:
    """Every hyper-parameter a config can give a method, at its default."""
    optional = {k: placeholder(kind) for k, kind in methods.optional(method).items()}
    return methods.defaults(method) | optional


def completed(recorded: dict) -> ConfigDict:
    """A finished run's config, the fields that are younger than the run at their defaults.

    Raises:
      InputError: a field has a value of another type than it can have.
    """

    def fill(given, defaults, place=""):
        merged = dict(given)
        for key, default in defaults.items():
            if key not in given:
                merged[key] = default
                continue
            kinds = _KINDS.get(type(default), type(default))
            wrong = isinstance(given[key], bool) and kinds is not bool
            if default is not None and (wrong or not isinstance(given[key], kinds)):
                raise InputError(
                    f"the run's config.json has {given[key]!r} in the field {place}{key}, which is "
                    f"no {type(default).__name__}; restore the file"
                )
            if isinstance(default, dict) and key != "params":
                merged[key] = fill(given[key], default, f"{key}.")
        return merged

    return ConfigDict(fill(recorded, default_config(recorded["method"]["name"]).to_dict()))


def inherit(file: str, sibling: str, *, method: str = "") -> ConfigDict:
    """The config of another file, usually under another method: the same recipe, the same data.

    Args:
      file: `__file__` of the config that inherits; any working directory will do.
      sibling: name of the file beside it whose `get_config()` is taken.
      method: replaces the method; its hyper-parameters are at their defaults. "" for no change.
    """
    path = pathlib.Path(file).resolve().with_name(sibling)
    config = runpy.run_path(str(path))["get_config"]()
    if method:
        config.method = {"name": method, "params": method_params(method)}
    return config
