"""The image sets of a run: loaded and checked together, before any long work."""

import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import sources, suites
from adapt_jax.data.set_names import ID, OOD_VAL, SHIFTED, VAL
from adapt_jax.data.sources import Dataset, read_while_training
from adapt_jax.detectors.fitting import fitting
from adapt_jax.experiment import id_sets
from adapt_jax.methods.base import Method

# What the training images may take, decoded, on every device and in the machine's memory.
AT_MOST = 8 << 30
INPUTS = {"auto": AT_MOST, "device": None, "host": 0}  # decoded bytes from which they stay files


class Data(NamedTuple):
    """Every image set of a run, decoded; a large training set is read when needed.

    `suite` says what each set should hold, `specs` are the detectors that score them.
    `ood` maps each set's name to its images, `groups` to its group; covariate-shifted ID sets are
    among them, in the group "shifted". `val` are held-out ID images, `ood_val` the OOD images of a
    hyper-parameter search; None where the config has none. `label_rules` says how the labels of
    test, validation and shifted sets were matched with the classes of `train`, see `data.classes`.
    """

    train: Dataset
    test: Dataset
    ood: dict[str, Dataset]
    groups: dict[str, str]
    suite: suites.Suite
    specs: Sequence[Spec]
    val: Dataset | None = None
    ood_val: Dataset | None = None
    label_rules: Mapping[str, str] = types.MappingProxyType({})

    def evaluated(self) -> dict[str, Dataset]:
        """Every set an evaluation looks at, by the name it has in files."""
        held_out = {VAL: self.val, OOD_VAL: self.ood_val}
        held_out = {name: dataset for name, dataset in held_out.items() if dataset is not None}
        return {"train": self.train, ID: self.test, **held_out, **self.ood}


def check(config) -> None:
    """Finds what is wrong with the config's sources without reading images.

    Raises:
      InputError: a source is malformed or not there, or a choice lacks the sets it needs.
    """
    if config.input not in INPUTS:
        raise InputError(f"config field input is one of {', '.join(INPUTS)}; got {config.input!r}")
    sources.check(config.train_data)
    plan = suite(config)
    for source in (plan.id_test, plan.id_val, plan.ood_val):
        if source.source:
            sources.check(source.source)
    for ood_set in plan.sets:
        sources.check(ood_set.source)
    if config.full_spectrum and not any(s.group == SHIFTED for s in plan.sets):
        raise InputError(
            "full_spectrum needs covariate-shifted ID sets and there are none; name some as "
            f"{SHIFTED}/name=source among the OOD sets"
        )
    if config.search and not (plan.id_val.source and plan.ood_val.source):
        raise InputError(
            "search chooses hyper-parameters on validation sets: give val_data (ID) and "
            "ood_val_data, which no test set contains"
        )


def suite(config) -> suites.Suite:
    """The sets of the config's protocol: those a suite fixes, else the config's own.

    Covariate-shifted sets are among them in a full-spectrum evaluation only.
    """
    protocol = suites.resolve(config.ood) if config.ood.strip() else suites.Suite("", ())
    shown = [s for s in protocol.sets if config.full_spectrum or s.group != SHIFTED]
    return protocol._replace(
        sets=tuple(shown),
        id_test=protocol.id_test if protocol.id_test.source else suites.Expected(config.test_data),
        id_val=protocol.id_val if protocol.id_val.source else suites.Expected(config.val_data),
        ood_val=protocol.ood_val
        if protocol.ood_val.source
        else suites.Expected(config.ood_val_data),
    )


def fixed_by_suite(config) -> dict[str, str]:
    """The sources that the config's suite decides."""
    if not config.ood.strip():
        return {}
    suite = suites.resolve(config.ood)
    fixed = {"test_data": suite.id_test, "val_data": suite.id_val, "ood_val_data": suite.ood_val}
    why = f"suite {suite.name} fixes that set; name your own sets in ood to use others"
    return {field: why for field, expected in fixed.items() if expected.source}


def load(
    config,
    method: Method,
    report_progress: Callable[[str], None] = lambda text: None,
    class_names: Sequence[str] = (),
) -> Data:
    """Decodes every set before any long work starts.

    Args:
      config: the run's config.
      method: the objective, which decides whether labels are needed.
      report_progress: function called with one line per set.
      class_names: names of the classes as the run numbers them, if it was trained already.

    Raises:
      InputError: names the source and what is wrong with it.
    """
    size, labeled = config.image_size, method.label_kind == "labels"
    read = partial(
        sources.load, config.train_data, size, labeled=labeled, at_most=INPUTS[config.input]
    )
    train = id_sets.training_set(read, config.train_data, class_names, report_progress)
    kinds = "no labels" if train.labels is None else f"{num_classes(train)} classes"
    summary = f"{len(train.images):,} images, {kinds}; {_kept(config.input, train)}{train.note}"
    report_progress(f"train  {config.train_data}: {summary}")
    if read_while_training(train) and not config.mean:
        raise InputError(
            f"train_data {config.train_data} is read while training, so its mean and deviation are "
            "not known before: set the config fields mean and std"
        )
    if labeled and num_classes(train) < 2:
        raise InputError(
            f"train_data {config.train_data} has one class; training needs at least two"
        )
    if len(train.images) < config.batch_size:
        raise InputError(
            f"batch_size {config.batch_size} is larger than the training set "
            f"({len(train.images)} images); use a smaller one"
        )
    _check_classes(config.train_data, train)
    specs = detectors.parse(config.detectors)
    _check_detectors(specs, config.train_data, train, clusters=method.refresh is not None)

    plan, own = suite(config), id_sets.classes_of(train, config.train_data)
    fixed = {split.name: split for split in plan.splits}
    rules: dict[str, str] = {}
    test = val = None
    test, rules[ID] = id_sets.id_set(
        "test", fixed["id_test"], own, size, plan.name, report_progress
    )
    if "id_val" in fixed:
        val, rules[VAL] = id_sets.id_set(
            "val", fixed["id_val"], own, size, plan.name, report_progress
        )
    if test.content_sha256 == train.content_sha256:
        report_progress(
            "warning: train_data and test_data hold the same images; ID scores will look too good"
        )
    for field, why in fixed_by_suite(config).items():
        if config[field]:
            report_progress(f"note: {field} {config[field]} is not used: {why}")
    _say_how_many_a_suite_trains_on(plan, config.train_data, train, report_progress)
    ood_val = None
    if config.search:
        ood_val = id_sets.counted(fixed["ood_val"], size, plan.name)
        count = f"{len(ood_val.images):,} OOD images for the search{ood_val.note}"
        report_progress(f"val    {plan.ood_val.source}: {count}")
    ood, groups = {}, {}
    for ood_set in plan.sets:
        name = ood_set.name
        if ood_set.group == SHIFTED:
            what = f"{SHIFTED} {name} ="
            ood[name], rules[name] = id_sets.id_set(
                what, ood_set, own, size, plan.name, report_progress, part=True
            )
        else:
            ood[name] = id_sets.counted(ood_set, size, plan.name)
            count = f"{len(ood[name].images):,} images{ood[name].note}"
            report_progress(f"{ood_set.group:<6} {name} = {ood_set.source}: {count}")
        groups[name] = ood_set.group
    data = Data(train, test, ood, groups, plan, specs, val, ood_val, rules)
    _check_held_out(data, report_progress)
    return data


def _kept(input_kind: str, train: Dataset) -> str:
    """Where the training images are, and why."""
    count = train.images.nbytes
    size = f"{count / 2**30:.2f} GiB" if count >> 30 else f"{count / 2**20:.1f} MiB"
    if not read_while_training(train):
        return f"decoded, {size}"
    why = f"more than {AT_MOST >> 30} GiB" if input_kind == "auto" else "input=host"
    return f"read when needed ({size} decoded, {why})"


def _say_how_many_a_suite_trains_on(
    plan: suites.Suite, source: str, train: Dataset, report_progress
) -> None:
    """Where the training images are not as many as those of the suite's protocol."""
    wanted = plan.id_train.count
    if wanted is not None and wanted != len(train.images):
        report_progress(
            f"note: {plan.name} trains on {wanted:,} images, train_data {source} has "
            f"{len(train.images):,}"
        )


def _check_held_out(data: Data, report_progress) -> None:
    """Validation sets are not test sets."""
    compared = {ID: data.test, **data.ood}
    for name, dataset in compared.items():
        if data.ood_val is not None and dataset.content_sha256 == data.ood_val.content_sha256:
            raise InputError(
                f"ood_val_data holds the images of set {name!r}; a search on test images would "
                "choose what fits them: give other images"
            )
        if data.val is not None and dataset.content_sha256 == data.val.content_sha256:
            report_progress(
                f"warning: val_data holds the images of set {name!r}; give other images"
            )


def _check_classes(source: str, train: Dataset) -> None:
    """A class may have lost its images to `limit=` or to a slice."""
    if train.labels is None:
        return
    absent = np.flatnonzero(np.bincount(train.labels) == 0)
    if absent.size:
        name = train.class_names[absent[0]] if train.class_names else absent[0]
        raise InputError(
            f"train_data {source}: class {name} ({absent.size} in all) has no image, so nothing "
            "can be learnt or measured for it; take more images, or choose classes with ?classes="
        )


def _check_detectors(specs, source: str, train: Dataset, clusters: bool) -> None:
    """Finds detectors that cannot be fitted on the training images, before anything is trained."""
    for spec in specs:
        detector = spec.make(**fitting(spec, images=len(train.images)))
        if not spec.named:
            continue
        if isinstance(detector, detectors.Detector) and len(train.images) < (
            detector.minimum_images
        ):
            raise InputError(
                f"detector {spec.text!r} needs at least {detector.minimum_images} training images, "
                f"there are {len(train.images)}"
            )
        if "labels" in detector.needs and train.labels is None and not clusters:
            raise InputError(
                f"detector {spec.text!r} needs labels, which train_data {source} does not "
                "have; use knn or ssd"
            )


def names_sha256(data: Data) -> str:
    """SHA-256 over the names of the images that were compared, set by set, in order."""
    compared = {ID: data.test, **data.ood}
    return suites.names_sha256({name: dataset.names for name, dataset in compared.items()})


def num_classes(train: Dataset) -> int | None:
    """C of a labelled set, whose labels are 0..C-1; None without labels."""
    return None if train.labels is None else int(train.labels.max()) + 1
