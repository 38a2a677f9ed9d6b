"""A network and its detector as one StableHLO program, which scores images without this package."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from adapt_jax.core.arrays import matmul
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs
from adapt_jax.export.contents import Contents
from adapt_jax.inference.calibrated import CLASSIFIER
from adapt_jax.models import wrapped

PLATFORMS = ("cpu", "cuda", "tpu")
_KNOWN = (*PLATFORMS, "rocm")
# How much scores may differ when compared, as a share of the largest.
_LIMITS = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 5e-2}


def here() -> str:
    """This machine's platform."""
    return export.default_export_platform()


def check(platforms: tuple[str, ...]) -> None:
    """Finds what can be found before anything is built.

    Raises:
      InputError: a platform there is not, one is missing that is needed to check the program, or a
        library.
    """
    unknown = [p for p in platforms if p not in _KNOWN]
    if unknown or not platforms:
        raise InputError(
            f"--platforms are some of {', '.join(_KNOWN)}, got {','.join(unknown) or 'none'}"
        )
    if here() not in platforms:
        raise InputError(
            f"--platforms lacks {here()}, on which the scorer is checked; add it, or export on a "
            f"machine with {platforms[0]}"
        )
    try:
        import flatbuffers  # noqa: F401  jax.export writes its files with it
    except ModuleNotFoundError:
        raise InputError("writing the scorer needs: pip install flatbuffers") from None


def build(content: Contents, platforms: tuple[str, ...]) -> bytes:
    """The program: images (B, S, S, 3) uint8 -> {"score": (B,) float32, "class": (B,) int32}.

    B is any number. "class" is there where there is a classifier, class means or a text bank.
    Parameters and the detector's state are constants of the program. The network computes in its
    dtype, the detector in float32.

    Args:
      content: the network and the detector.
      platforms: platforms to compile the program for.

    Raises:
      InputError: it cannot be compiled for one of them.
    """
    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, content.size, content.size, 3), jnp.uint8)
    try:
        program = export.export(jax.jit(_scorer(content)), platforms=platforms)(images)
        return bytes(program.serialize())
    except NotImplementedError as e:
        raise InputError(
            f"{content.detector.spec.text} cannot be exported for {','.join(platforms)} ({e}); "
            "name fewer with --platforms"
        ) from e
    except (TypeError, ValueError) as e:
        if not wrapped.is_own(content.network):
            raise
        raise InputError(
            f"{content.network} cannot be compiled for any number of images "
            f"({str(e).splitlines()[0]}); in its code, write images.shape[0] for len(images), and "
            "-1 for sizes that follow from it"
        ) from e


def _scorer(content: Contents):
    # From the host: what lives on a mesh would make it a program for so many devices.
    detector = content.detector
    state, means = jax.tree.map(np.asarray, detector.state), detector.class_means

    def scorer(images):
        seen = content.traced(images)
        wide = [x if x is None else _widened(x) for x in (seen.features, seen.logits)]
        seen = Outputs(*wide)
        constants = jax.tree.map(jnp.asarray, state)
        result = {"score": detector.detector.score(constants, seen).astype(jnp.float32)}
        if detector.by == CLASSIFIER:
            result["class"] = jnp.argmax(seen.logits, axis=1).astype(jnp.int32)
        elif means is not None:
            closeness = matmul(seen.features, jnp.asarray(means, jnp.float32).T)
            result["class"] = jnp.argmax(closeness, axis=1).astype(jnp.int32)
        return result

    return scorer


def _widened(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def compare(program: bytes, content: Contents) -> float:
    """The largest difference of scores, program against package, as a share of the largest score.

    The images are made up: noise, and smooth gradients, of a fixed seed. Both sides see them on one
    device and in one batch: for other batches a GPU may choose other algorithms.

    Raises:
      RuntimeError: it is more than rounding makes it.
    """
    images = _made_up(content.size)
    got = export.deserialize(bytearray(program)).call(images)
    seen = content.direct(images)
    wanted = content.detector.score(seen)
    worst = float(np.max(np.abs(np.asarray(got["score"]) - wanted)) / np.max(np.abs(wanted)))
    limit = _LIMITS.get(content.dtype, 1e-3)
    if not worst <= limit:
        raise RuntimeError(
            f"the exported scorer differs from {content.detector.spec.text} by {worst:.2g} of the "
            f"largest score, more than {limit:g}; nothing was written"
        )
    classes = content.detector.classify(seen)
    if classes is not None and np.mean(np.asarray(got["class"]) == classes) < 0.9:
        raise RuntimeError("the exported scorer predicts other classes; nothing was written")
    return worst


def _made_up(size: int, count: int = 16) -> np.ndarray:
    """(count, size, size, 3) uint8, half of it noise."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (count // 2, size, size, 3), np.uint8)
    ramp = np.linspace(0, 1, size)
    weights = rng.uniform(0, 127, (count - count // 2, 2, 1, 1, 3))
    smooth = weights[:, 0] * ramp[:, None, None] + weights[:, 1] * ramp[None, :, None]
    return np.concatenate([noise, smooth.astype(np.uint8)])
