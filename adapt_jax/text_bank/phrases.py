"""CSP's noun phrases (Chen et al., NeurIPS 2024; MengyuanChen21/NeurIPS2024-CSP).

An adjective alone describes no picture; with the name of a superclass it covers many: "wet" becomes
"wet landscape".
"""

import random
from collections.abc import Sequence

SUPERCLASSES = (
    "environment", "space", "object", "scene", "place", "item", "area", "view", "thing", "pattern",
    "structure", "landscape", "vista", "creature",
)  # fmt: skip


def of(adjectives: Sequence[str], seed: int = 0) -> tuple[str, ...]:
    """One phrase per adjective, its superclass drawn as the original draws it.

    Args:
      adjectives: adjectives, in the order in which the original visits them.
      seed: seed of Python's own generator; the original's is 0.
    """
    draw = random.Random(seed).choice
    return tuple(f"{adjective} {draw(SUPERCLASSES)}" for adjective in adjectives)
