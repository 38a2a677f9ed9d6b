"""Defaults that fit the network: what a published default becomes where it cannot be used.

The defaults of knn, nnguide, vim and residual are OpenOOD's, for 50,000 images and 512 features.
Where there are fewer they are replaced by the same share of what there is; hyper-parameters that
were given are never changed.
"""

from collections.abc import Mapping
from typing import Any

from adapt_jax.core.registry import Spec

_BANK = 500  # images of NNGuide's bank on CIFAR: 1 % of them
_OF_THE_BANK = 5  # of which every fifth, k = 100, is averaged
_TENTH = 10  # kNN's k = 50 is kept down to a bank of 500


def fitting(
    spec: Spec, *, images: int, features: int | None = None, held_out: int | None = None
) -> dict[str, Any]:
    """The hyper-parameters of a detector that replace defaults which cannot be used.

    Args:
      spec: the detector.
      images: number of training images.
      features: number of features; None where it is not known yet, and nothing depends on it.
      held_out: number of held-out ID images; None where it is not known.

    Returns:
      Values by name, such as {"k": 7}; empty where every default fits.
    """
    given = spec.params
    defaults: Mapping[str, Any] = spec.registry.defaults(spec.name)
    if spec.name == "knn" and "k" not in given and images < _TENTH * defaults["k"]:
        return {"k": max(1, images // _TENTH)}
    if spec.name == "nnguide" and given.get("bank", defaults["bank"]) == "random":
        return _nnguide(given, defaults, images)
    dims = {"vim": images, "residual": held_out}  # what the subspace is fitted on
    if spec.name in dims and "dim" not in given and features is not None:
        most = min(features, dims[spec.name] or features)
        if defaults["dim"] >= most > 1:
            return {"dim": most // 2}
    return {}


def adapted(spec: Spec, **sizes: int | None) -> Spec:
    """The same with the hyper-parameters of `fitting`, which its text then names."""
    chosen = fitting(spec, **sizes)
    if not chosen:
        return spec
    params = {**spec.params, **chosen}
    text = "&".join(f"{key}={value}" for key, value in params.items())
    return spec._replace(text=f"{spec.name}?{text}", params=params)


def same(one: Spec, other: Spec) -> bool:
    """Whether two specs make the same detector: "knn" is "knn?k=50"."""
    return one.name == other.name and _whole(one) == _whole(other)


def _whole(spec: Spec) -> dict[str, Any]:
    return {**spec.registry.defaults(spec.name), **spec.params}


def _nnguide(given: Mapping[str, Any], defaults: Mapping[str, Any], images: int) -> dict[str, Any]:
    k, alpha = (given.get(key, defaults[key]) for key in ("k", "alpha"))
    if k <= int(alpha * images):
        return {}
    chosen: dict[str, Any] = {}
    if "alpha" not in given:
        alpha = chosen["alpha"] = round(min(1.0, _BANK / images), 4)
    if "k" not in given:
        chosen["k"] = max(1, min(k, int(alpha * images) // _OF_THE_BANK))
    return chosen
