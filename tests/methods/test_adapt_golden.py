"""ADAPT against arrays recorded from the official code (JINHYUKSUH/ADAPT, float64 runs)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import methods
from adapt_jax.core import assignment

STEPS = [
    "adapt_step_balanced",
    "adapt_step_absent",
    "adapt_step_singleclass",
    "adapt_step_m09_lam05",
    "adapt_k0",
    "adapt_k_eq_cache",
    "adapt_nviews1",
    "adapt_beta0",
    "adapt_beta05",
    "adapt_lam0",
    "adapt_cache1",
    "adapt_clamp",
    "adapt_far",
    "adapt_overflow_beta12",
]


def from_case(case):
    """Method and initial state with the recorded hyper-parameters and prototypes."""
    keys = {
        "cache_size": int(case["hp_cache_size"]),
        "top_k": int(case["hp_k"]),
        "temperature": float(case["hp_temp"]),
        "proto_momentum": float(case["hp_proto_m"]),
        "beta": float(case["hp_beta"]),
        "lambda_pcon": float(case["hp_lambda_pcon"]),
    }
    protos = case["protos_in"]
    method = methods.make(
        "adapt", num_classes=int(case["hp_C"]), feature_dim=protos.shape[1], **keys
    )
    state = jax.eval_shape(method.init, jax.random.key(0))
    return method, state._replace(prototypes=protos.reshape(state.prototypes.shape))


def recorded(case, key):
    return case[f"{key}_f64"] if f"{key}_f64" in case else case[key]


@pytest.mark.parametrize("name", STEPS)
def test_step(golden, name):
    case = golden(name)
    method, state = from_case(case)
    features = np.swapaxes(case["features"], 0, 1)  # (V, B, D)
    labels = case["labels"]

    gradients = {"total": "grad_total", "mle": "grad_mle", "proto_contra": "grad_proto_contra"}
    if "grad_proto_contra" not in case:
        del gradients["proto_contra"]

    def one_of(f, which):  # as one program for all gradients
        total, (new, metrics) = method.loss(f, labels, state)
        named = {"total": total, **metrics}
        return which @ jnp.stack([named[key] for key in gradients]), (total, new, metrics)

    gradient = jax.jit(jax.grad(one_of, has_aux=True))
    found = {}
    for key, which in zip(gradients, np.eye(len(gradients), dtype=np.float32), strict=True):
        found[key], (total, new, metrics) = gradient(features, which)
    np.testing.assert_allclose(total, recorded(case, "loss_total"), atol=1e-5)
    np.testing.assert_allclose(metrics["mle"], recorded(case, "loss_mle"), atol=1e-5)
    np.testing.assert_allclose(metrics["alignment"], recorded(case, "sim_mean"), atol=1e-6)
    np.testing.assert_allclose(metrics["tau"], recorded(case, "tau"), atol=1e-6)
    flat = new.prototypes.reshape(case["protos_in"].shape)
    np.testing.assert_allclose(flat, recorded(case, "protos_out"), atol=2e-6)
    if "grad_proto_contra" not in case:
        assert metrics["proto_contra"] == 0
    else:
        np.testing.assert_allclose(
            metrics["proto_contra"], recorded(case, "loss_proto_contra"), atol=1e-5
        )
    for which, key in gradients.items():
        wanted = np.swapaxes(recorded(case, key), 0, 1)
        if not np.isfinite(wanted).all():  # the float32 original overflowed; grad_total is float64
            assert name == "adapt_overflow_beta12"
            assert key == "grad_mle"
            continue
        atol = 2e-5 * np.abs(wanted).max()
        np.testing.assert_allclose(found[which], wanted, atol=atol, err_msg=key)


@pytest.mark.parametrize("name", ["adapt_traj20", "adapt_traj20_absent_m09"])
def test_trajectory(golden, name):
    case = golden(name)
    method, state = from_case(case)
    loss = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    for t, (features, labels) in enumerate(zip(case["features"], case["labels"], strict=True)):
        views = np.swapaxes(features, 0, 1)
        (total, (state, metrics)), grad = loss(views, labels, state)
        np.testing.assert_allclose(total, case["loss_total_f64"][t], atol=1e-5)
        np.testing.assert_allclose(metrics["alignment"], case["sim_mean_f64"][t], atol=1e-6)
        np.testing.assert_allclose(
            state.prototypes.reshape(case["protos_in"].shape), case["protos"][t], atol=2e-6
        )
    wanted = np.swapaxes(case["grad_last"], 0, 1)
    np.testing.assert_allclose(grad, wanted, atol=2e-5 * np.abs(wanted).max())


def test_sinkhorn(golden):
    case = golden("sinkhorn")
    similarity = case["features"] @ case["protos"].T
    sinkhorn = jax.jit(lambda s: [assignment.sinkhorn(s, float(e), 3) for e in case["hp_epsilons"]])
    for i, ours in enumerate(sinkhorn(similarity)):
        np.testing.assert_allclose(ours, case[f"Q{i}_f64"], atol=1e-5 * case[f"Q{i}_f64"].max())


def test_sinkhorn_floors(golden):
    case = golden("sinkhorn_clamp")
    sinkhorn = jax.jit(lambda s: assignment.sinkhorn(s, 0.05, 3))
    for i in range(2):
        ours = sinkhorn(case[f"features{i}"] @ case[f"protos{i}"].T)
        wanted = recorded(case, f"Q{i}")
        np.testing.assert_allclose(ours, wanted, atol=1e-5 * wanted.max())
