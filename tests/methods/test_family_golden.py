"""PALM, CIDER, SupCon and ReweightOOD against arrays recorded from their official code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import methods
from adapt_jax.core.arrays import l2_normalize

REWEIGHT_CASES = [
    "mix", "c10", "c100", "distinct", "single_class", "no_positive", "elu_negative", "collapsed",
    "antipodal", "norms_wide", "imbalanced", "hyper",
]  # fmt: skip


def recorded(case, key):
    return case[f"{key}_f64"] if f"{key}_f64" in case else case[key]


def close_gradient(ours, wanted, rtol=2e-5):
    np.testing.assert_allclose(ours, wanted, atol=rtol * max(np.abs(wanted).max(), 1e-30))


def loss_and_gradients(method, *named):
    """(features, labels, state) -> the loss, its state and metrics; gradients of it and `named`.

    One program for all gradients, which is called once for each.
    """

    def one_of(features, labels, state, which):
        total, (new, metrics) = method.loss(features, labels, state)
        parts = jnp.stack([total, *(metrics[name] for name in named)])
        return which @ parts, (total, new, metrics)

    gradient = jax.jit(jax.grad(one_of, has_aux=True))

    def run(*given):
        rows = np.eye(1 + len(named), dtype=np.float32)
        gradients, found = zip(*(gradient(*given, which) for which in rows), strict=True)
        return *found[0], *gradients

    return run


def palm_from(case):
    protos = case["protos_in"]
    method = methods.make(
        "palm",
        num_classes=int(case["hp_C"]),
        feature_dim=protos.shape[1],
        cache_size=int(case["hp_cache_size"]),
        top_k=int(case["hp_k"]),
        temperature=float(case["hp_temp"]),
        proto_momentum=float(case["hp_proto_m"]),
        lambda_pcon=float(case["hp_lambda_pcon"]),
    )
    state = jax.eval_shape(method.init, jax.random.key(0))
    return method, state._replace(prototypes=protos.reshape(state.prototypes.shape))


@pytest.mark.parametrize(
    "name",
    [
        "palm_step_balanced",
        "palm_step_absent",
        "palm_k0_m09",
        "palm_nviews1",
        "palm_far",
        "palm_overflow_temp001",
    ],
)
def test_palm_step(golden, name):
    case = golden(name)
    method, state = palm_from(case)
    features, labels = np.swapaxes(case["features"], 0, 1), case["labels"]
    total, new, metrics, grad, contrast = loss_and_gradients(method, "proto_contra")(
        features, labels, state
    )
    wanted = recorded(case, "loss_total")
    np.testing.assert_allclose(total, wanted, atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(metrics["mle"], recorded(case, "loss_mle"), atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(
        metrics["proto_contra"], recorded(case, "loss_proto_contra"), atol=1e-5
    )
    protos = new.prototypes.reshape(case["protos_in"].shape)
    np.testing.assert_allclose(protos, recorded(case, "protos_out"), atol=2e-6)
    close_gradient(grad, np.swapaxes(recorded(case, "grad_total"), 0, 1))
    if np.isfinite(case["grad_proto_contra"]).all():
        close_gradient(contrast, np.swapaxes(case["grad_proto_contra"], 0, 1))


def test_palm_trajectory(golden):
    case = golden("palm_traj20")
    method, state = palm_from(case)
    loss = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    for t in range(20):
        features = np.swapaxes(case["features"][t], 0, 1)
        (total, (state, _)), grad = loss(features, case["labels"][t], state)
        np.testing.assert_allclose(total, case["loss_total_f64"][t], atol=1e-5)
        protos = state.prototypes.reshape(case["protos_in"].shape)
        np.testing.assert_allclose(protos, case["protos"][t], atol=2e-6)
    close_gradient(grad, np.swapaxes(case["grad_last"], 0, 1))


def cider_from(case):
    method = methods.make(
        "cider",
        num_classes=int(case["hp_C"]),
        feature_dim=int(case["hp_D"]),
        temperature=float(case["hp_temp"]),
        proto_momentum=float(case["hp_proto_m"]),
        weight=float(case["hp_w"]),
    )
    state = jax.eval_shape(method.init, jax.random.key(0))
    return method, state._replace(prototypes=case["prototypes_in"])


def cider_steps(case):
    """Steps of a case as (V, B, D) features, (B,) labels, whether it records one or many."""
    features, labels = case["features"], case["labels"]
    if features.ndim == 2:
        features, labels = features[None], labels[None]
    return [(f.reshape(2, -1, f.shape[-1]), y) for f, y in zip(features, labels, strict=True)]


@pytest.mark.parametrize("name", ["cider_step", "cider_step_absent", "cider_traj10"])
def test_cider(golden, name):
    case = golden(name)
    method, state = cider_from(case)
    loss = loss_and_gradients(method, "dispersion", "compactness")
    steps = cider_steps(case)
    for t, (features, labels) in enumerate(steps):
        _, state, metrics, grad, dispersion, compactness = loss(features, labels, state)
        at = (t,) if len(steps) > 1 else ()
        np.testing.assert_allclose(metrics["dispersion"], case["loss_dis_f64"][at], atol=1e-5)
        np.testing.assert_allclose(metrics["compactness"], case["loss_comp_f64"][at], atol=1e-5)
        wanted = case["prototypes_out_f64"][at]
        np.testing.assert_allclose(state.prototypes, wanted, atol=2e-6)
    close_gradient(grad.reshape(case["grad_total"].shape), case["grad_total_f64"])
    close_gradient(dispersion.reshape(case["grad_dis"].shape), case["grad_dis"])
    close_gradient(compactness.reshape(case["grad_comp"].shape), case["grad_comp"])


def test_cider_class_means(golden):
    from adapt_jax.methods import cider

    case = golden("cider_step")
    start = jax.jit(cider.class_means, static_argnums=2)(
        case["init_features"], case["init_labels"], int(case["hp_C"])
    )
    np.testing.assert_allclose(start.prototypes, case["prototypes_in"], atol=1e-6)


@pytest.mark.parametrize("name", ["supcon", "supcon_one"])
@pytest.mark.parametrize("suffix", ["", "_nolabels"])
def test_supcon(golden, name, suffix):
    case = golden(name)
    method = methods.make(
        "supcon",
        temperature=float(case["hp_temp"]),
        base_temperature=float(case["hp_base_temp"]),
        contrast_mode=str(case["hp_contrast_mode"]),
        use_labels=not suffix,
    )
    features = np.swapaxes(case["features"], 0, 1)
    value, grad = jax.jit(jax.value_and_grad(lambda f: method.loss(f, case["labels"], ())[0]))(
        features
    )
    np.testing.assert_allclose(value, case[f"loss{suffix}_f64"], atol=1e-5)
    close_gradient(grad, np.swapaxes(case[f"grad{suffix}_f64"], 0, 1))


@pytest.mark.parametrize("name", REWEIGHT_CASES)
def test_reweightood(golden, name):
    case = golden("reweightood_loss")
    temperature, m_b, c_b, m_w, c_w = (float(h) for h in case[f"{name}__hp"])
    method = methods.make(
        "reweightood", temperature=temperature, m_b=m_b, c_b=c_b, m_w=m_w, c_w=c_w
    )
    rows, labels = case[f"{name}__feat"], case[f"{name}__labels"]

    def loss(raw):  # one "view" of 2B rows: the pairs do not depend on which view a row is
        return method.loss(l2_normalize(raw)[None], labels, ())

    (value, (_, metrics)), grad = jax.jit(jax.value_and_grad(loss, has_aux=True))(rows)
    np.testing.assert_allclose(value, case[f"{name}__loss_f64"], atol=2e-5)
    for key in ("pos_lse", "neg_lse"):
        np.testing.assert_allclose(metrics[key], case[f"{name}__{key}_f64"], atol=2e-5)
    wanted = case[f"{name}__grad_f64"]
    assert np.isfinite(grad).all()
    close_gradient(grad, wanted, rtol=5e-4 if name == "collapsed" else 1e-5)
