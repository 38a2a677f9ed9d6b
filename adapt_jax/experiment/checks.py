"""Checks of a whole config before any image is read."""

from collections.abc import Callable, Collection, Sequence

from adapt_jax import detectors, models
from adapt_jax.config import default_config
from adapt_jax.config import fields as config_fields
from adapt_jax.config import unused as config_unused
from adapt_jax.config.diff import flatten
from adapt_jax.config.fields import check_bootstrap
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import derived, image_sets, unused
from adapt_jax.experiment.build import make_method, make_parts
from adapt_jax.models import wrapped
from adapt_jax.runtime import sharding, terminal


def check_config(config, *, training: bool = True, given: Collection[str] | None = ()) -> None:
    """Finds every mistake that can be found without reading images.

    Args:
      config: the run's config.
      training: whether the run is about to train; for an evaluation the batch size is not checked.
      given: fields that were set by hand, each of which must have an effect; None where nobody can
        tell which were, and those without an effect are only named in a warning.

    Raises:
      InputError: names the field, what is wrong with it and what to do.
    """
    config_fields.check(config)
    if training and wrapped.is_own(config.model.name):
        raise InputError(f"{config.model.name} was made elsewhere; it is evaluated, not trained")
    mesh = sharding.make_mesh()
    if training:
        sharding.check_batch(mesh, config.batch_size, config.microbatches)
    derived.profile_range(config)
    parts = make_parts(
        config, mesh=mesh, num_classes=2, num_images=None, mean_std=derived.mean_std(config)
    )
    if parts.method.label_kind == "indices" and config.views < 2:
        raise InputError(f"{config.method.name} without labels contrasts views: views must be >= 2")
    derived.mean_std(config, evaluation=True)
    if config.image_size < (smallest := models.SMALLEST_IMAGE[config.model.stem]):
        raise InputError(
            f"config field image_size must be at least {smallest} with the {config.model.stem} "
            f"stem, got {config.image_size}"
        )
    detectors.parse(config.detectors)
    check_bootstrap(config.bootstrap)
    image_sets.check(config)
    defaults = default_config(config.method.name).to_dict()
    reasons, values = dict(unused.reasons(config)), config.to_dict()
    if given is not None:
        config_unused.refuse(given, reasons, values, defaults)
        return
    reasons.pop("epochs", None)  # config files give it; total_steps is known to go first
    for sentence in config_unused.without_effect(list(flatten(values)), reasons, values, defaults):
        terminal.warn(sentence)


def load_data(
    config,
    report_progress: Callable[[str], None] = lambda text: None,
    class_names: Sequence[str] = (),
) -> image_sets.Data:
    """Decodes every set of the config before any long work starts, see `image_sets.load`."""
    method = make_method(config, num_classes=2, num_images=None)
    return image_sets.load(config, method, report_progress, class_names)
