"""Inputs of the kinds that break programs: damaged files, foreign JSON, odd arrays, odd text."""

import io
import json

import numpy as np
from hypothesis import strategies as st
from PIL import Image

# Every character but the surrogates, as by default: working out what UTF-8 has takes seconds.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(
    st.integers(), st.integers(-3, 3), st.floats(), st.sampled_from([2**31, 2**32, 2**63, 10**400])
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
JSON = st.recursive(
    LEAVES, lambda x: st.lists(x, max_size=4) | st.dictionaries(TEXT, x, max_size=4), max_leaves=8
)
DTYPES = st.sampled_from(
    [np.float32, np.float64, np.float16, np.int64, np.uint8, np.int32, np.uint64, bool, "U3", "S3",
     complex, "M8[s]", [("a", "f4")]]
)  # fmt: skip


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """A file with a few bytes changed, left out, doubled, or its end cut off; or no such file."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=64))
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "cut", "skip", "double", "zero", "other"]))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del content[at:]
        elif kind == "skip":
            del content[at : at + draw(st.integers(1, 16))]
        elif kind == "double":
            content[at:at] = content[at : at + draw(st.integers(1, 32))]
        elif kind == "zero":
            content[at : at + 4] = bytes(4)
        elif content:
            content[at] = draw(st.integers(0, 255))
    return bytes(content)


@st.composite
def changed(draw, whole) -> object:
    """JSON of a known shape in which something, somewhere, is something else or is not there."""
    content = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        content = _changed(draw, content)
    return content


def _changed(draw, content):
    if isinstance(content, dict | list) and content and draw(st.integers(0, 7)):
        keys = sorted(content) if isinstance(content, dict) else list(range(len(content)))
        key = draw(st.sampled_from(keys))
        kind = draw(st.sampled_from(["deeper", "deeper", "other", "gone"]))
        if kind == "gone":
            del content[key]
        else:
            content[key] = _changed(draw, content[key]) if kind == "deeper" else draw(JSON)
        return content
    return draw(JSON)


@st.composite
def array(draw, *lengths: int) -> np.ndarray:
    """An array that nearly has the shape and the type that are wanted."""
    shape = [draw(st.sampled_from([n, n, n, n, 0, 1, n + 1])) for n in lengths]
    if draw(st.integers(0, 5)) == 0:
        shape = draw(st.lists(st.integers(0, 5), max_size=5))
    values = np.random.default_rng(draw(st.integers(0, 9))).normal(size=shape) * draw(
        st.sampled_from([1, 1, 0, 1e30, 1e300])
    )
    kind = np.dtype(draw(DTYPES) if draw(st.integers(0, 2)) == 0 else np.float32)
    with np.errstate(all="ignore"):
        if kind.kind not in "fiub":
            return np.zeros(shape, kind)
        made = np.asarray(np.clip(values, -1e9, 1e9) if kind.kind in "iub" else values).astype(kind)
    if made.size and kind.kind == "f" and draw(st.integers(0, 4)) == 0:
        made[(0,) * made.ndim] = draw(st.sampled_from([np.nan, np.inf]))
    return made


def npz(**arrays) -> bytes:
    """The bytes of an .npz file."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def image(kind: str, mode: str = "RGB", **options) -> bytes:
    """The bytes of a small image file."""
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).convert(mode)
    content = io.BytesIO()
    pixels.save(content, kind, **options)
    return content.getvalue()
