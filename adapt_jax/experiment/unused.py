"""Which fields of a training config have no effect, given the others."""

from adapt_jax.config.unused import Reasons
from adapt_jax.experiment import image_sets
from adapt_jax.experiment.build import make_method


def reasons(config) -> Reasons:
    """The fields that have no effect in a run of this config, with the reasons.

    Args:
      config: the run's config, complete and correct.
    """
    unused_fields = image_sets.fixed_by_suite(config)
    if config.total_steps is not None:
        unused_fields["epochs"] = f"total_steps is {config.total_steps}, and goes first"
    if not config.search:
        unused_fields.setdefault("ood_val_data", "only a search sees it, and search is False")
    if not config.augment.jitter_probability:
        for name in ("brightness", "contrast", "saturation", "hue"):
            unused_fields[f"augment.{name}"] = "augment.jitter_probability is 0"
    if not config.model.trainable:
        unused_fields["model.frozen_batch_norm"] = "model.trainable is empty: no stage is frozen"
    if make_method(config, num_classes=2, num_images=None).reads == "logits":
        unused_fields["model.embedding_dim"] = (
            f"{config.method.name} trains a classifier, no embedding"
        )
    return unused_fields
