"""Memory and time of an exact kNN bank of ImageNet's size on this machine.

    python benchmarks/knn_bank.py [--rows=1200000] [--width=512] [--k=1000] [--queries=2048]

Random features stand in for a network's. Prints the peak of the process's resident memory after
each stage; the features themselves are part of it. Run it alone.
"""

import argparse
import time

import jax
import numpy as np

from adapt_jax import detectors
from adapt_jax.runtime import provenance


def peak() -> float:
    return provenance.host_peak_bytes() / 2**30


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("rows", 1_200_000), ("width", 512), ("k", 1000), ("queries", 2048)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    features = np.empty((args.rows, args.width), np.float32)
    for start in range(0, args.rows, 50_000):
        part = features[start : start + 50_000]
        rng.standard_normal(part.shape, dtype=np.float32, out=part)
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(f"features {args.rows:,} x {args.width}: {features.nbytes / 2**30:.2f} GiB; ", end="")
    print(f"peak {peak():.2f} GiB")
    detector = detectors.make("knn", k=args.k)
    began = time.perf_counter()
    state = jax.block_until_ready(detector.fit(detectors.Outputs(features)))
    print(f"fit: {time.perf_counter() - began:.1f} s, peak {peak():.2f} GiB")
    queries = detectors.Outputs(rng.standard_normal((args.queries, args.width), dtype=np.float32))
    detector.score(state, queries._replace(features=queries.features[:1]))  # compile
    began = time.perf_counter()
    scores = detector.score(state, queries)
    seconds = time.perf_counter() - began
    assert np.isfinite(scores).all()
    print(f"score: {args.queries / seconds:.0f} queries/s, peak {peak():.2f} GiB")


if __name__ == "__main__":
    main()
