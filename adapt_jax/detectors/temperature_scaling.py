"""MSP of calibrated logits (Guo et al. 2017), the temperature found as OpenOOD does.

Paper: On Calibration of Modern Neural Networks (ICML 2017),
https://proceedings.mlr.press/v70/guo17a.html. Code: https://github.com/Jingkang50/OpenOOD.

Its 50 L-BFGS steps at rate 0.01 stop well before the optimum: on a network that is right about
nearly every validation image they end at T = 1.14 where the likelihood is largest at 0.15. Scores
at the official T are what its tables show, so the default takes the same steps.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import positive, positive_int
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import logits_of, val_of
from adapt_jax.detectors.logits import max_softmax

_BLOCK = 512
_HOST_ROWS = 8192  # rows held in float64 at a time
_START = 1.5
_WHERE = "temperature_scaling.fit"


class Temperature(NamedTuple):
    """temperature (): what logits are divided by."""

    temperature: jax.Array


def make(*, steps: int = 50, learning_rate: float = 0.01) -> Detector:
    """score = max_c softmax(l / T)_c, T from the likelihood of the validation labels.

    Args:
      steps: maximum number of L-BFGS steps, from T = 1.5 and without line search.
      learning_rate: share of a quasi-Newton step that is taken, as in torch.optim.LBFGS.

    State: `Temperature`; that of the largest likelihood in [0.01, 100] where the steps overshoot
    into negative ones. Needs logits, and val with labels, of some classes at least; `fit` raises
    InputError when they are missing.
    """
    positive_int(steps=steps)
    positive(learning_rate=learning_rate)

    def fit(train: Outputs, val: Outputs | None = None, head=None) -> Temperature:
        logits = logits_of(val_of(val, _WHERE), _WHERE)
        labels = _labels(val, logits.shape[1])
        lead = logits - np.take_along_axis(logits, labels[:, None], axis=1)  # over the label's own
        temperature = _lbfgs(partial(_nll, lead), _START, steps, learning_rate)
        if not 0 < temperature < np.inf:  # no softmax has it: the steps overshot
            temperature = _optimum(lead)
        return Temperature(jnp.asarray(temperature, working_dtype(logits.dtype)))

    def score(state: Temperature, outputs: Outputs) -> np.ndarray:
        logits = logits_of(outputs, "temperature_scaling.score")
        return map_rows(partial(max_softmax, temperature=state.temperature), logits, _BLOCK)

    return Detector(fit, score, needs=frozenset(["logits", "val"]))


def _labels(val: Outputs, classes: int) -> np.ndarray:
    """As `checks.labels_of`, but a small validation set may lack classes."""
    if val.labels is None:
        raise InputError(f"{_WHERE}: needs the labels of val, got labels=None")
    labels = np.asarray(val.labels)
    if labels.shape != (len(val.features),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{_WHERE}: labels of val must be {len(val.features)} integers, got {labels.dtype} of "
            f"shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{_WHERE}: labels of val must lie in 0..{classes - 1}, "
            f"got {labels.min()}..{labels.max()}"
        )
    return labels


def _nll(lead: np.ndarray, temperature: float) -> tuple[float, float]:
    """Mean of -log softmax(l / T) at the label, and its derivative with respect to T."""
    value = slope = 0.0
    for start in range(0, len(lead), _HOST_ROWS):
        scaled = lead[start : start + _HOST_ROWS].astype(np.float64) / temperature
        top = scaled.max(axis=1, keepdims=True)
        weight = np.exp(scaled - top)
        total = weight.sum(axis=1)
        value += np.sum(top[:, 0] + np.log(total))
        slope -= np.sum(np.einsum("nc,nc->n", weight, scaled) / total)
    return value / len(lead), slope / temperature / len(lead)


def _optimum(lead: np.ndarray) -> float:
    """The T in [0.01, 100] of the largest likelihood, which has one peak in log T."""
    from scipy.optimize import minimize_scalar  # slow to import

    optimum = minimize_scalar(
        lambda log_t: _nll(lead, np.exp(log_t))[0],
        bounds=np.log((0.01, 100.0)),
        method="bounded",
    )
    return float(np.exp(optimum.x))


def _lbfgs(function, x: float, steps: int, rate: float) -> float:
    """torch.optim.LBFGS.step for one number, with its tolerances.

    In one dimension the two-loop recursion is the secant step of the last pair with positive
    curvature; before there is one, it is gradient descent.
    """
    value, slope = function(x)
    if abs(slope) <= 1e-7:
        return x
    inverse_curvature, step = 1.0, rate * min(1.0, 1 / abs(slope)) * -slope
    for i in range(steps):
        if inverse_curvature * slope**2 < 1e-9:
            break
        x += step
        if i == steps - 1 or x <= 0:
            break
        last_value, last_slope = value, slope
        value, slope = function(x)
        if abs(slope) <= 1e-7 or abs(step) <= 1e-9 or abs(value - last_value) < 1e-9:
            break
        change = slope - last_slope
        if change * step > 1e-10:
            inverse_curvature = step / change
        step = -rate * inverse_curvature * slope
    return x
