"""State dicts as training programs leave them: wrappers' prefixes, counters, averaged copies."""

import re
from collections.abc import Mapping

import numpy as np

from adapt_jax.core.errors import InputError

# Attributes that hold the network: DataParallel and SWA, torch.compile, Lightning, EMA programs.
WRAPPERS = (
    *("module", "_orig_mod", "model", "net", "network", "clip_model", "online_model"),
    *("ema", "ema_model", "model_ema", "averaged_model", "swa_model"),
)
_COUNTERS = ("n_averaged", "num_updates", "decay", "initted", "step")  # of averaged copies
_AVERAGED = re.compile(r"(^|_)(ema|swa|avg|averaged?|shadow)(_|$)")


def unwrapped(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of one network under the names it has itself.

    `module.` and `_orig_mod.` are dropped wherever they stand, other wrappers' prefixes in front,
    one after the other, and the counters that come with averaged weights.

    Args:
      state: name -> array, as in a file.

    Raises:
      InputError: the file holds two copies of a network, such as an averaged one.
    """
    state = {re.sub(r"(^|\.)((module|_orig_mod)\.)+", r"\1", n): v for n, v in state.items()}
    state = {n: v for n, v in state.items() if n not in _COUNTERS or np.size(v) > 1}
    while prefixes := sorted({name.partition(".")[0] for name in state} & set(WRAPPERS)):
        if len(prefixes) > 1:
            raise InputError(
                "the file holds copies of a network under "
                f"{' and '.join(f'{p}.' for p in prefixes)} (one may be averaged); save the "
                "one you want alone"
            )
        shorter = {name.removeprefix(f"{prefixes[0]}."): value for name, value in state.items()}
        if len(shorter) < len(state) or shorter.keys() == state.keys():
            break
        state = shorter
    return state


def averaged_copies(entries: Mapping) -> list[str]:
    """The keys of a checkpoint that hold an averaged copy of its network: ema, model_ema, swa."""
    return [
        key
        for key, value in entries.items()
        if isinstance(key, str) and isinstance(value, dict) and value and _AVERAGED.search(key)
    ]
