"""Job: zero-shot OOD detection with CLIP: words and images -> embeddings -> detectors -> results.

    python -m adapt_jax.zero_shot --config=configs/imagenet_adaneg.py --workdir=runs/adaneg

Every sentence and image goes through CLIP once (kept in WORKDIR/text and WORKDIR/features, by
content); detectors work on that. Writes results.json, results.csv, scores/<detector>/<set>.npz,
predictions/<set>.csv and report.html. With --from_features=DIR the embeddings were made elsewhere,
see `adapt_jax.zero_shot.feature_files`; of the config then only the detectors and the stream count.

--orders=shuffled,id_first,ood_first --seeds=0,1,2 scores streams of each order with each seed and
writes one table, mean and deviation over the seeds: orders.md, orders.csv, orders.json.
"""

from absl import flags

from adapt_jax.runtime import cli
from adapt_jax.zero_shot import job, plan

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for caches and results.")
FEATURES = flags.DEFINE_string("from_features", "", "Folder of embeddings made elsewhere.")

ORDERS = flags.DEFINE_list("orders", [], "Orders of streams that are compared.")
SEEDS = flags.DEFINE_list("seeds", [], "Seeds of these streams, 0 by default.")


def main():
    """Runs a config, on images or on embeddings."""
    config = cli.required(CONFIG)
    chosen = {"given": cli.given(), "sweep": plan.read_sweep(ORDERS.value, SEEDS.value)}
    if FEATURES.value:
        job.from_features(config, FEATURES.value, WORKDIR.value, **chosen)
    else:
        job.zero_shot(config, WORKDIR.value, **chosen)


cli.run(main)
