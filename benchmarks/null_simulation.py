"""False alarms of the comparisons where there is nothing to find: `adapt_jax.metrics.comparison`.

    python benchmarks/null_simulation.py [--draws=4000] [--resamples=200] [--only='and images']

Two methods (or five, for Holm's correction) are equally good by construction. Scores of one image
are correlated over runs and more so over those of one method, training seeds shift the ID scores of
a run, and every draw makes new images and new seeds. Prints how many draws the tests call
significant at 5 %.
"""

import argparse

import numpy as np

from adapt_jax.metrics import comparison

# name, methods, runs per method, images per side, spread over seeds, ties, metric, paired seeds
SETTINGS = (
    ("DeLong, one run each", 2, 1, 300, 0.0, False, "auroc", False),
    ("DeLong, one run each, ties", 2, 1, 300, 0.0, True, "auroc", False),
    ("bootstrap, one run each", 2, 1, 300, 0.0, False, "auroc", False),
    ("bootstrap, one run each", 2, 1, 300, 0.0, False, "fpr95", False),
    ("bootstrap, one run each", 2, 1, 300, 0.0, False, "fpr95_idpos_nearest", False),
    ("DeLong, seeds and images", 2, 3, 300, 0.1, False, "auroc", False),
    ("DeLong, seeds and images", 2, 5, 300, 0.1, False, "auroc", False),
    ("DeLong, seeds and images, paired", 2, 5, 300, 0.1, False, "auroc", True),
    ("bootstrap, seeds and images", 2, 3, 300, 0.1, False, "fpr95", False),
    ("DeLong, one run each, Holm", 5, 1, 300, 0.0, False, "auroc", False),
    ("DeLong, seeds and images, Holm", 5, 3, 300, 0.1, False, "auroc", False),
    ("bootstrap, one run each", 2, 1, 1000, 0.0, False, "fpr95", False),
    ("bootstrap, seeds and images", 2, 3, 1000, 0.1, False, "fpr95", False),
)


def scores(rng, setting, shift) -> np.ndarray:
    """Scores (runs, images), correlated 0.5 by the images, 0.7 within a method."""
    _, methods, seeds, count, _, ties, *_ = setting
    image, own = rng.normal(size=count), rng.normal(size=(methods * seeds, count))
    of_method = np.repeat(rng.normal(size=(methods, count)), seeds, axis=0)
    found = shift + np.sqrt(0.5) * image + np.sqrt(0.2) * of_method + np.sqrt(0.3) * own
    return np.round(2 * found) if ties else found


def alarm(rng, setting, resamples: int) -> bool:
    """Whether any comparison of one draw is called significant."""
    name, methods, seeds, _, spread, _, metric, paired = setting
    runs = methods * seeds
    by_seed = rng.normal(size=seeds) * np.ones((methods, 1)) if paired else 0
    shift = 1.5 + spread * (rng.normal(size=(methods, seeds)) + by_seed).reshape(runs, 1)
    id_scores = scores(rng, setting, shift)
    ood_scores = [scores(rng, setting, 0.0)]
    if name.startswith("DeLong"):
        estimate = comparison.delong(id_scores, ood_scores)
    else:
        seed = int(rng.integers(2**31))
        estimate = comparison.bootstrap(id_scores, ood_scores, metric, resamples, seed=seed)
    members = np.arange(runs).reshape(methods, seeds)
    found = comparison.pairwise(estimate, members, [0] * methods if paired else None)
    return bool(found.min() <= comparison.LEVEL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--only", default="", help="settings whose name contains this text")
    options = parser.parse_args()
    print("| test | metric | methods | runs each | images per side | false alarms | draws |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for i, setting in enumerate(SETTINGS):
        name, methods, seeds, count, *_, metric, _ = setting
        if options.only not in name:
            continue
        draws = options.draws // (1 if name.startswith("DeLong") else 2)
        rng = np.random.default_rng(i)
        share = np.mean([alarm(rng, setting, options.resamples) for _ in range(draws)])
        error = np.sqrt(share * (1 - share) / draws)
        print(
            f"| {name} | {metric} | {methods} | {seeds} | {count} "
            f"| {100 * share:.1f} ± {100 * error:.1f} % | {draws} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
