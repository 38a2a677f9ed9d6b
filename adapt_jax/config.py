"""Every field of an experiment's config with its default; the files in configs/ change a few.

seed: one integer decides initialisation, batches and augmentation.
train_data, test_data: sources of the ID images (see docs/data.md); training needs labels.
ood: a suite's name, or "group/name=source,..."; "" skips the evaluation.
image_size: side in pixels; other images are resized (shorter side) and centre-cropped.
mean, std: channel statistics on the scale 0..1; () takes those of the training set.
eval_mean, eval_std: the same for evaluation; () uses those of training.
batch_size: images per step over all devices; the network sees `views` of each.
views: augmented copies of each image.
epochs, total_steps: length of the run; total_steps wins when set.
method.name, method.params: the objective and its hyper-parameters.
model: the network; `blocks` () keeps the usual depth; `dtype` "auto" is bfloat16 on accelerators
  and float32 on CPUs, "float64" checks equality across devices.
optimizer: SGD and its schedule by name.
augment: probabilities and ranges of the training views.
detectors: names, with hyper-parameters behind "?": "mahalanobis,knn?k=50&normalize=True".
eval_batch_size: images per forward pass over all devices.
eval_checkpoint: "last" or "best" (lowest mean training loss among the saved ones).
checkpoint_every, log_every: steps between saves, and between records.
profile: "START:STOP" traces those steps into WORKDIR/profile; "" does not.
report: whether the evaluation writes report.html.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from adapt_jax import methods


def default_config(method: str = "adapt") -> ConfigDict:
    """A complete config for `method`, its hyper-parameters at their defaults."""
    return ConfigDict(
        {
            "seed": 0,
            "train_data": "digits:train",
            "test_data": "digits:test",
            "ood": "",
            "image_size": 32,
            "mean": (),
            "std": (),
            "eval_mean": (),
            "eval_std": (),
            "batch_size": 512,
            "views": 2,
            "epochs": 500,
            "total_steps": placeholder(int),
            "method": {"name": method, "params": methods.defaults(method)},
            "model": {
                "name": "resnet18",
                "width": 64,
                "blocks": (),
                "embedding_dim": 128,
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
            "report": True,
        }
    )
