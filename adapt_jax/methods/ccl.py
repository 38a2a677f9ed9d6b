"""CCL: cluster-aware contrastive learning for OOD detection without labels.

Paper: Cluster-aware Contrastive Learning for Unsupervised Out-of-distribution Detection (arXiv
2023), https://arxiv.org/abs/2302.02598. Code: none found.

Implemented from the abstract: neither code nor the full text could be found, so only the idea is
the paper's. Instance-level contrast is joined by clusters, found anew during training; an image is
pulled towards the centre of its cluster and towards the other images in it. The equations, the
schedule and every default are ours; docs/ccl.md lists them one by one. No published number is
promised.

With unit rows z_i (all views of the batch), clusters a(i), unit centres c_k, temperatures t, t_c,
P(i) = {j != i: a(j) = a(i)} and g = centre_weight, the "joint" form is the mean over i of

    D_i = sum_{j != i} exp(z_i.z_j / t) + sum_k exp(z_i.c_k / t_c)
    L_i = [ sum_{p in P(i)} (log D_i - z_i.z_p / t) + g (log D_i - z_i.c_a(i) / t_c) ]
          / (|P(i)| + g)

and the "sum" form adds three separate contrasts, each with a denominator of its own kind:
NT-Xent + local_weight * SupCon(clusters) + centre_weight * ProtoNCE(centres).
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from adapt_jax.core import checks, kmeans, views
from adapt_jax.core.arrays import l2_normalize, matmul
from adapt_jax.methods.base import Method

Form = Literal["joint", "sum"]


class CclState(NamedTuple):
    """centres (K, D) unit rows; assignment (N,) int32, the cluster of each training image.

    refreshes () int32 counts the clusterings so far. While it is 0 (the warm-up) centres and
    assignment are zeros and the loss does not look at them.
    """

    centres: jax.Array
    assignment: jax.Array
    refreshes: jax.Array


def make(
    *,
    feature_dim: int,
    num_classes: int | None = None,
    num_images: int | None = None,
    num_clusters: int | None = None,
    warmup_temperature: float = 0.5,
    temperature: float = 0.2,
    centre_temperature: float | None = None,
    centre_weight: float = 1.0,
    local_weight: float = 1.0,
    warmup_epochs: int = 100,
    refresh_period: int = 1,
    kmeans_iterations: int = 20,
    kmeans_restarts: int = 3,
    form: Form = "joint",
) -> Method:
    """CCL with our starting values; its loss takes image indices in place of labels.

    Args:
      feature_dim: width D of the embeddings.
      num_classes: number of classes, used only as the default of `num_clusters`.
      num_images: number N of training images. With None the first `refresh` sets it, which
        changes the shape of the state; a compiled training loop does not allow that.
      num_clusters: number of clusters K; None takes `num_classes`.
      warmup_temperature: temperature of NT-Xent, before the first clustering.
      temperature: temperature t of the contrast between samples, after the first clustering.
      centre_temperature: temperature t_c of the contrast with centres; None takes `temperature`.
      centre_weight: weight g of the centres; 0 removes them from the denominator as well.
      local_weight: weight of the samples in the same cluster, used in the "sum" form only.
      warmup_epochs: number of epochs of plain NT-Xent at the start.
      refresh_period: number of epochs between clusterings after the warm-up.
      kmeans_iterations: number of k-means iterations.
      kmeans_restarts: number of independent starts of k-means.
      form: form of the loss, "joint" or "sum", see the module.

    Metrics: `local` and `centre`, the contrast with the samples and with the centres before any
    weight (0 for the centres during the warm-up); `positives`, the mean |P(i)|.

    Rows without any positive (one view, alone in its cluster) are left out, as in SupCon.

    Raises:
      ValueError: a value out of its range, or neither num_clusters nor num_classes.
    """
    num_clusters = num_classes if num_clusters is None else num_clusters
    if num_clusters is None:
        raise ValueError("num_clusters must be given where the number of classes is not known")
    centre_temperature = temperature if centre_temperature is None else centre_temperature
    checks.positive_int(
        feature_dim=feature_dim,
        num_clusters=num_clusters,
        num_images=1 if num_images is None else num_images,
        refresh_period=refresh_period,
        kmeans_iterations=kmeans_iterations,
        kmeans_restarts=kmeans_restarts,
    )
    checks.positive(
        warmup_temperature=warmup_temperature,
        temperature=temperature,
        centre_temperature=centre_temperature,
    )
    checks.non_negative(
        centre_weight=centre_weight, local_weight=local_weight, warmup_epochs=warmup_epochs
    )
    checks.one_of(get_args(Form), form=form)
    if num_images is not None and num_images < num_clusters:
        raise ValueError(f"num_clusters {num_clusters} exceeds the {num_images} training images")

    def init(key: jax.Array) -> CclState:
        del key
        return CclState(
            jnp.zeros((num_clusters, feature_dim)),
            jnp.zeros(num_images or 0, jnp.int32),
            jnp.zeros((), jnp.int32),
        )

    def refresh_due(epoch: int) -> bool:
        """Whether `epoch` begins with a clustering."""
        since = epoch - warmup_epochs
        return since >= 0 and since % refresh_period == 0

    def refresh(state: CclState, embeddings: jax.Array, key: jax.Array) -> CclState:
        """Clusters the whole training set (N, D), whatever the epoch; bad embeddings: no change."""
        if num_images is not None and len(embeddings) != num_images:
            raise ValueError(f"embeddings of {len(embeddings)} images, num_images is {num_images}")
        rows = l2_normalize(embeddings)
        clusters = kmeans.spherical(key, rows, num_clusters, kmeans_iterations, kmeans_restarts)
        new = CclState(
            clusters.centres.astype(state.centres.dtype), clusters.assignment, state.refreshes + 1
        )
        new = jax.lax.stop_gradient(new)
        if len(state.assignment) != len(embeddings):
            return new
        fine = jnp.all(jnp.isfinite(embeddings))
        return jax.tree.map(lambda n, o: jnp.where(fine, n, o), new, state)

    def loss(embeddings, indices, state):
        """Embeddings (V, B, D) unit rows, indices (B,) int32 -> loss (), (CclState, metrics)."""
        notes = state.assignment
        if len(notes) == 0:  # sized by a refresh that has not come yet
            notes = jnp.zeros(1, jnp.int32)
        clustered = state.refreshes > 0
        cluster = jnp.take(notes, indices, mode="clip")  # (B,)
        rows, cluster = views.flatten(embeddings, cluster)  # (R, D), (R,)
        image = jnp.tile(jnp.arange(embeddings.shape[1]), embeddings.shape[0])  # (R,)

        logits = matmul(rows, rows.T) / jnp.where(clustered, temperature, warmup_temperature)
        centres = jax.lax.stop_gradient(state.centres)
        centre_logits = matmul(rows, centres.T) / centre_temperature  # (R, K)
        own_logit = jnp.take_along_axis(centre_logits, cluster[:, None], axis=1)[:, 0]

        other = ~jnp.eye(len(rows), dtype=bool)
        siblings = (image[:, None] == image[None, :]) & other
        members = jnp.where(clustered, (cluster[:, None] == cluster[None, :]) & other, siblings)
        weight = jnp.where(clustered, centre_weight, 0.0)  # g

        if form == "joint":
            everything = jnp.concatenate([logits, centre_logits], axis=1)  # (R, R + K)
            present = jnp.broadcast_to(weight > 0, centre_logits.shape)
            present = jnp.concatenate([other, present], axis=1)
            log_d = jax.nn.logsumexp(everything, axis=1, where=present)
            local, count = _contrast(logits, log_d, members)
            centre = log_d - own_logit
            positives = count + weight
            per_row = (count * local + weight * centre) / jnp.maximum(positives, 1e-6)
            value = _mean_over(per_row, positives > 0)
        else:
            log_d = jax.nn.logsumexp(logits, axis=1, where=other)
            instance, copies = _contrast(logits, log_d, siblings)
            local, count = _contrast(logits, log_d, members)
            centre = jax.nn.logsumexp(centre_logits, axis=1) - own_logit
            value = _mean_over(instance, copies > 0) + weight * jnp.mean(centre)
            value += jnp.where(clustered, local_weight, 0.0) * _mean_over(local, count > 0)
        metrics = {
            "local": _mean_over(local, count > 0),
            "centre": jnp.where(clustered, jnp.mean(centre), 0.0),
            "positives": jnp.mean(count),
        }
        return value, (state, metrics)

    return Method(init, loss, refresh=refresh, refresh_due=refresh_due, label_kind="indices")


def _contrast(logits: jax.Array, log_d: jax.Array, positive: jax.Array):
    """Per row: the mean of log_d - logit over its positives (0 without any), and their number.

    logits, positive (R, R); log_d (R,).
    """
    count = jnp.sum(positive, axis=1)
    mean = jnp.sum(jnp.where(positive, logits, 0.0), axis=1) / jnp.maximum(count, 1)
    return jnp.where(count > 0, log_d - mean, 0.0), count.astype(logits.dtype)


def _mean_over(values: jax.Array, counted: jax.Array) -> jax.Array:
    """Mean of the counted values (R,); 0 if none counts."""
    return jnp.sum(jnp.where(counted, values, 0.0)) / jnp.maximum(jnp.sum(counted), 1)
