"""Job: a checkpoint's outputs on every set -> detectors -> results. Re-evaluates finished runs.

    python -m adapt_jax.evaluate --workdir=runs/demo [--detectors=all] [--ood=...] [--suite=...]

Each set goes through the network once per checkpoint (cached in WORKDIR/features); detectors work
on the cache. Writes results.json, results.csv, scores/<detector>/<set>.npz and report.html,
replacing those of the last evaluation. With --from_features=DIR the outputs were made elsewhere,
see `adapt_jax.evaluate.feature_files`; with an export as WORKDIR they go to --out. A network of
your own: --model=package.module:factory, see docs/own_model.md.
"""

from absl import flags

from adapt_jax.core.errors import InputError
from adapt_jax.evaluate import features, job
from adapt_jax.runtime import cli

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run, or an export.")
OUT = flags.DEFINE_string("out", "", "Where the results of an export go.")
FEATURES = flags.DEFINE_string("from_features", "", "Folder of outputs made elsewhere.")
DETECTORS = flags.DEFINE_string("detectors", "", 'E.g. mahalanobis,knn?k=100; or "all".')
MODEL = flags.DEFINE_string("model", "", "A network of yours, package.module:factory.")
TRAIN = flags.DEFINE_string("train_data", "", "With --model: what detectors are fitted on.")
TEST = flags.DEFINE_string("test_data", "", "With --model: the ID test images.")
OOD = flags.DEFINE_string("ood", "", 'Instead of the run\'s: "group/name=source,...".')
SUITE = flags.DEFINE_string("suite", "", "The same by a suite's name.")
VAL = flags.DEFINE_string("val_data", "", "Held-out ID images, instead of the run's.")
OOD_VAL = flags.DEFINE_string("ood_val_data", "", "OOD images that only a search sees.")
PROBE = flags.DEFINE_bool("linear_probe", None, "Also train a linear classifier on features.")
WHICH = flags.DEFINE_string("checkpoint", "", '"last" or "best", instead of the run\'s.')
FULL = flags.DEFINE_bool("full_spectrum", None, "Count covariate-shifted ID sets as ID.")
SEARCH = flags.DEFINE_bool("search", None, "Choose hyper-parameters on validation sets.")
PROFILE = flags.DEFINE_string("profile", "", "START:STOP: batches to trace, see docs/profiling.md.")
SELECTIVE = flags.DEFINE_bool("selective", None, "Add AURC and AUGRC, without and with OOD images.")
BOOTSTRAP = flags.DEFINE_integer("bootstrap", None, "Resamples behind intervals; 0 for none.")


def main():
    """Evaluates a run, or features."""
    changes = {
        "detectors": DETECTORS.value,
        "full_spectrum": FULL.value,
        "search": SEARCH.value,
        "bootstrap": BOOTSTRAP.value,
        "selective": SELECTIVE.value,
    }
    if FEATURES.value:
        sets = ("model", "train_data", "test_data", "ood", "suite", "val_data", "ood_val_data")
        for name in ("out", *sets, "linear_probe", "checkpoint", "profile"):
            if flags.FLAGS[name].present:
                raise InputError(f"--{name} does not go with --from_features: files say it all")
        features.evaluate_features(FEATURES.value, WORKDIR.value, **changes)
        return
    if OOD.value and SUITE.value:
        raise InputError("--ood and --suite both say which sets; give one of them")
    if not MODEL.value and (TRAIN.value or TEST.value):
        raise InputError("--train_data and --test_data go with --model; a run has its own")
    job.evaluate_run(
        WORKDIR.value,
        model=MODEL.value,
        train_data=TRAIN.value,
        test_data=TEST.value,
        out=OUT.value,
        profile=PROFILE.value,
        **changes,
        ood=OOD.value or SUITE.value,
        val_data=VAL.value,
        ood_val_data=OOD_VAL.value,
        eval_checkpoint=WHICH.value,
        linear_probe=PROBE.value,
    )


cli.run(main)
