"""Job: zero-shot OOD detection with CLIP: words and images -> embeddings -> detectors -> results.

    python -m adapt_jax.zero_shot --config=configs/imagenet_adaneg.py --workdir=runs/adaneg

Every sentence and image goes through CLIP once (kept in WORKDIR/text and WORKDIR/features, by
content); detectors work on that. Writes results.json, results.csv, scores/<detector>/<set>.npz,
predictions/<set>.csv and report.html. With --from_features=DIR the embeddings were made elsewhere,
see `adapt_jax.zero_shot.feature_files`; of the config then only the detectors and the stream count.

--sweep=FIELD=V1,V2,... scores with each value of a config field, or with detectors.NAME of a
hyper-parameter of the detectors, and writes one table and one figure, mean and deviation over
--seeds=0,1,2: sweep.md, .csv, .json, .png and .svg. --orders=shuffled,id_first,ood_first is a sweep
of stream.order, in files called orders. --proxies also draws where texts, images and AdaNeg's
proxies lie: proxies.png and .svg.
"""

from absl import flags

from adapt_jax.runtime import cli
from adapt_jax.zero_shot import job, variants

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for caches and results.")
FEATURES = flags.DEFINE_string("from_features", "", "Folder of embeddings made elsewhere.")

SWEEP = flags.DEFINE_string("sweep", "", "FIELD=V1,V2,...: values that are compared.")
ORDERS = flags.DEFINE_list("orders", [], "Orders of streams that are compared.")
PROXIES = flags.DEFINE_bool("proxies", False, "Also draw AdaNeg's proxies: proxies.png, .svg.")
SEEDS = flags.DEFINE_list("seeds", [], "Seeds of these streams, 0 by default.")


def main():
    """Runs a config, on images or on embeddings."""
    config = cli.required(CONFIG)
    sweep = variants.read(SWEEP.value, ORDERS.value, SEEDS.value)
    options = {"given": cli.given(), "sweep": sweep, "proxies": PROXIES.value}
    if FEATURES.value:
        job.from_features(config, FEATURES.value, WORKDIR.value, **options)
    else:
        job.zero_shot(config, WORKDIR.value, **options)


cli.run(main)
