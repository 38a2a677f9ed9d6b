"""Loss, optimiser and schedule together against ReweightOOD's own training loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import methods
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.training import optimizers, schedules

WEIGHTS = ("W1", "b1", "W2", "b2")


def network(params, x):
    """Linear, ReLU, linear, unit rows; weights are stored (out, in)."""
    hidden = jax.nn.relu(x @ params["W1"].T + params["b1"][None, None])
    return l2_normalize(hidden @ params["W2"].T + params["b2"][None, None])


@pytest.mark.parametrize("case", ["traj", "traj_ft"])
def test_two_recorded_epochs(golden, case):
    """`traj` climbs through the negative rates of epoch 0; `traj_ft` "warms up" downwards."""
    recorded = golden("reweightood_loss")
    base_lr, planned, epochs, per_epoch, decay = recorded[f"{case}__hp"]
    epochs, per_epoch = int(epochs), int(per_epoch)
    rate = schedules.make(
        "reweightood_as_executed",
        base_lr=float(base_lr),
        total_steps=int(planned) * per_epoch,
        steps_per_epoch=per_epoch,
    )
    method = methods.make("reweightood")
    sgd = optimizers.sgd(momentum=0.9, nesterov=True, weight_decay=float(decay))
    params = {k: jnp.asarray(recorded[f"{case}__init_{k}"]) for k in WEIGHTS}
    momenta = sgd.init(params)

    @jax.jit
    def update(params, momenta, step, views, labels):
        loss_fn = lambda p: method.loss(network(p, views), labels, ())[0]  # noqa: E731
        loss, gradient = jax.value_and_grad(loss_fn)(params)
        direction, momenta = sgd.update(gradient, momenta, params)
        lr = rate(step)
        return jax.tree.map(lambda p, d: p - lr * d, params, direction), momenta, loss, lr

    losses, rates = [], []
    for epoch in range(epochs):
        for i in range(per_epoch):
            part = f"{case}__e{epoch}_s{i}"
            views = jnp.stack([recorded[f"{part}_v1"], recorded[f"{part}_v2"]])  # (V, B, D)
            step = epoch * per_epoch + i
            params, momenta, loss, lr = update(params, momenta, step, views, recorded[f"{part}_y"])
            losses.append(loss)
            rates.append(lr)
        for k in WEIGHTS:
            after = recorded[f"{case}__after_e{epoch}_{k}"]
            np.testing.assert_allclose(params[k], after, atol=1e-5, rtol=0, err_msg=k)
    np.testing.assert_allclose(losses, recorded[f"{case}__losses"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(rates, recorded[f"{case}__lrs"], atol=1e-8, rtol=0)
