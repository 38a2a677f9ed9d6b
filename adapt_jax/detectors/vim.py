"""What a feature holds outside the principal subspace: ViM and Residual (Wang et al. 2022).

Paper: ViM: Out-Of-Distribution with Virtual-logit Matching (CVPR 2022),
https://arxiv.org/abs/2203.10807. Code: https://github.com/Jingkang50/OpenOOD.

Features are taken from the origin u = -pinv(W) b, where all logits vanish (as nearly as they can).
Principal are the first `dim` eigenvectors of E[(f - u)(f - u)^T]; the residual is the length of
the rest. OpenOOD forms that matrix in float32 and uses a solver for unsymmetric
matrices, which costs the scores about 1e-4; here it is float64 and symmetric.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import matmul, on_device, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import positive_int
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector, Head, Outputs
from adapt_jax.detectors.checks import features_of, head_of, val_of

_BLOCK = 512


class Complement(NamedTuple):
    """What the principal subspace leaves out: `(f - center) @ basis + offset`, for f - u.

    center (D,), the mean, lies nearer to the features than u does, so less is rounded;
    basis (D, D - dim) orthonormal; offset (D - dim,) is (center - u) @ basis.
    """

    center: jax.Array
    basis: jax.Array
    offset: jax.Array


class Vim(NamedTuple):
    """The complement, the classifier (kernel (D, C), bias (C,)) and the residual's weight alpha."""

    complement: Complement
    head: Head
    alpha: jax.Array


def make(*, dim: int = 256) -> Detector:
    """score = logsumexp(l) - alpha * residual, alpha = mean max l / mean residual, over training.

    Args:
      dim: dimension of the principal subspace; OpenOOD takes 256 for 512 features, the paper 512
        for up to 1,500 features and 1000 for more.

    State: `Vim`. Needs the head, which also makes the logits. `fit` raises InputError when `dim` is
    not below the rank of the training features around u: every residual would be zero.
    """
    positive_int(dim=dim)

    def fit(train: Outputs, val=None, head=None) -> Vim:
        features = features_of(train, "vim.fit")
        head = head_of(head, "vim.fit", features.shape[1])
        complement, rank = _complement(features, head, dim, "vim.fit")
        if dim >= rank:
            raise _too_few(rank, dim, rank - 1, "training", "vim.fit")
        dtype = complement.center.dtype
        head = Head(on_device(head.kernel, dtype), on_device(head.bias, dtype))
        model = Vim(complement, head, on_device(0, dtype))
        terms = map_rows(lambda rows: _terms(rows, model)[1], features, _BLOCK)
        largest, residual = terms.mean(axis=0, dtype=np.float64)
        return model._replace(alpha=on_device(largest / residual, dtype))

    def score(state: Vim, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "vim.score", width=len(state.complement.center))
        return map_rows(lambda rows: _terms(rows, state)[0], features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["head"]), minimum_images=2)


def make_residual(*, dim: int = 512) -> Detector:
    """score = -residual, the subspace from held-out ID images (as the code of OpenOOD has it).

    Args:
      dim: dimension of the principal subspace; OpenOOD's 512 needs more than 512 features and as
        many images.

    State: `Complement`. Needs the head and val, no use is made of train. `fit` raises InputError
    when `dim` is not below D (the score would be constant), or exceeds the rank of the features of
    val around u (the subspace would be arbitrary).
    """
    positive_int(dim=dim)

    def fit(train: Outputs, val=None, head=None) -> Complement:
        features = features_of(val_of(val, "residual.fit"), "residual.fit")
        head = head_of(head, "residual.fit", features.shape[1])
        complement, rank = _complement(features, head, dim, "residual.fit")
        if dim > rank:
            raise _too_few(rank, dim, rank, "held-out", "residual.fit")
        return complement

    def score(state: Complement, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "residual.score", width=len(state.center))
        return map_rows(lambda rows: -_residual(rows, state), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["head", "val"]))


def _complement(features, head: Head, dim: int, where: str) -> tuple[Complement, int]:
    """Also the rank of E[(f - u)(f - u)^T], by the rule `core.gaussian.whitening` cuts with."""
    width = features.shape[1]
    if dim >= width:
        raise InputError(
            f"{where}: dim={dim} leaves nothing of {width} features as residual; "
            f"choose dim below {width}"
        )
    kernel, bias = (np.asarray(x, np.float64) for x in head)
    origin = -np.linalg.lstsq(kernel.T, bias, rcond=None)[0]
    one = np.zeros(len(features), np.int64)
    of = gaussian.moments(features, one, 1)
    values, vectors = np.linalg.eigh(of.around(origin) / len(features))  # ascending
    rank = int(np.count_nonzero(values > width * gaussian.EPS * max(values[-1], 0.0)))
    basis = vectors[:, : width - dim]
    dtype = working_dtype(features.dtype)
    center = of.means[0].astype(dtype)
    offset = (center.astype(np.float64) - origin) @ basis
    return Complement(*(on_device(x, dtype) for x in (center, basis, offset))), rank


def _too_few(rank: int, dim: int, most: int, which: str, where: str) -> InputError:
    return InputError(
        f"{where}: the {which} features span {rank} dimensions around the head's origin, too few "
        f"for dim={dim}; choose dim up to {most} or fit on more images"
    )


@jax.jit
def _residual(rows: jax.Array, model: Complement) -> jax.Array:
    rest = matmul(rows - model.center[None], model.basis) + model.offset[None]
    return jnp.linalg.norm(rest, axis=1)


@jax.jit
def _terms(rows: jax.Array, model: Vim) -> tuple[jax.Array, jax.Array]:
    """The score (B,); the largest logit and the residual (B, 2), for alpha."""
    logits = matmul(rows, model.head.kernel) + model.head.bias[None]
    residual = _residual(rows, model.complement)
    score = jax.nn.logsumexp(logits, axis=1) - model.alpha * residual
    return score, jnp.stack([jnp.max(logits, axis=1), residual], axis=1)
