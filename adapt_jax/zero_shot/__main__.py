"""Job: zero-shot OOD detection with CLIP: words and images -> embeddings -> detectors -> results.

    python -m adapt_jax.zero_shot --config=configs/imagenet_adaneg.py --workdir=runs/adaneg

Every sentence and image goes through CLIP once (kept in WORKDIR/text and WORKDIR/features, by
content); detectors work on that. Writes results.json, results.csv, scores/<detector>/<set>.npz,
predictions/<set>.csv and report.html. With --from_features=DIR the embeddings were made elsewhere,
see `adapt_jax.zero_shot.feature_files`; of the config then only the detectors and the stream count.
"""

from absl import flags

from adapt_jax.runtime import cli
from adapt_jax.zero_shot import job

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for caches and results.")
FEATURES = flags.DEFINE_string("from_features", "", "Folder of embeddings made elsewhere.")


def main():
    """Runs a config, on images or on embeddings."""
    config = cli.required(CONFIG)
    if FEATURES.value:
        job.from_features(config, FEATURES.value, WORKDIR.value, given=cli.given())
    else:
        job.zero_shot(config, WORKDIR.value, given=cli.given())


cli.run(main)
