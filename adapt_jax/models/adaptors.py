"""Networks of several libraries as one thing: a function of parameters and images, and a head.

The features of a network with a head are what the head is given: its linear last layer is found by
name and its input is recorded, so that no network has to be rewritten. Logits are then
features @ kernel + bias, whatever the network does with them afterwards.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core.errors import InputError

Pair = tuple[jax.Array, jax.Array]  # kernel (D, C), bias (C,)


class Adapted(NamedTuple):
    """A network of any library.

    features: (params, images (N, S, S, 3) float32, normalised) -> (N, D); pure and differentiable.
    params: arrays in nested dicts, statistics and whatever else does not train among them.
    head: params -> the linear layer that makes the logits; None where there is none.
    """

    features: Callable[[Any, jax.Array], jax.Array]
    params: Any
    head: Callable[[Any], Pair] | None


def adapt(network: Any, params: Any, head: str | Callable | None, call: Mapping) -> Adapted:
    """Recognises the library; arguments as those of `wrap`.

    Raises:
      InputError: it is none of those known, or what goes with it is missing.
    """
    for library, make in (("flax.nnx", _nnx), ("flax.linen", _linen), ("keras", _keras)):
        if any(f"{kind.__module__}.".startswith(f"{library}.") for kind in type(network).__mro__):
            return make(network, params, head, call)
    if not callable(network):
        raise InputError(
            f"cannot wrap a {type(network).__name__}; give a Flax NNX or Linen module, a Keras "
            "model, or function(params, images) -> features"
        )
    if params is None:
        raise InputError("a function is wrapped with its parameters: wrap(function, params, ...)")
    return Adapted(lambda p, images: network(p, images, **call), params, _layer(head))


def _linen(module, variables, head, call) -> Adapted:
    import flax
    from flax import linen

    if variables is None:
        raise InputError("a Linen module is wrapped with its variables: wrap(module, variables)")
    variables = flax.core.unfreeze(variables)
    where = tuple(head.split("/")) if isinstance(head, str) else None

    def features(variables, images):
        seen = []

        def record(go_on, args, kwargs, context):
            if context.module.path == where and context.method_name == "__call__":
                seen.append(args[0])
            return go_on(*args, **kwargs)

        with linen.intercept_methods(record):
            output = module.apply(variables, images, **call)
        return output if where is None else _once(seen, head)

    layer = _layer(head)
    return Adapted(features, variables, layer and (lambda v: layer(v["params"])))


def _nnx(module, params, head, call) -> Adapted:
    from flax import nnx

    _no_params(params, "an NNX module")
    module = nnx.clone(module)
    module.eval()
    parts: Any = nnx.split(module, nnx.RngState, ...)
    graph, noise, arrays = parts

    def features(params, images):
        state = jax.tree.map(lambda leaf: leaf, arrays)  # which the next line changes
        nnx.replace_by_pure_dict(state, params)
        network, seen = nnx.merge(graph, noise, state), []
        if isinstance(head, str):
            *path, last = head.split("/")
            owner = network
            for name in path:
                owner = owner[int(name)] if name.isdigit() else getattr(owner, name, None)
            layer = getattr(owner, last, None)
            if layer is None:
                raise InputError(f"the network has no layer {head!r}; write it as backbone/fc")

            def recorded(x, *args, **kwargs):
                seen.append(x)
                return layer(x, *args, **kwargs)

            vars(owner)[last] = recorded  # of this copy only
        output = network(images, **call)
        return _once(seen, head) if isinstance(head, str) else output

    return Adapted(features, nnx.to_pure_dict(arrays), _layer(head))


def _keras(model, params, head, call) -> Adapted:
    import keras

    _no_params(params, "a Keras model")
    if keras.backend.backend() != "jax":
        raise InputError("Keras runs on another library; set KERAS_BACKEND=jax before importing it")
    if isinstance(head, str):
        if head not in [layer.name for layer in model.layers]:
            names = ", ".join(layer.name for layer in model.layers[-3:])
            raise InputError(f"the model has no layer {head!r}; its last ones are {names}")
        layer = model.get_layer(head)
        model = keras.Model(model.inputs[0], layer.input)
    held = {"trainable": model.trainable_variables, "others": model.non_trainable_variables}
    params = {kind: [v.value for v in variables] for kind, variables in held.items()}
    if isinstance(head, str):
        params["head"] = {"kernel": layer.kernel.value}
        if layer.bias is not None:
            params["head"]["bias"] = layer.bias.value

    def features(params, images):
        arguments = {"training": False} | dict(call)
        return model.stateless_call(params["trainable"], params["others"], images, **arguments)[0]

    return Adapted(features, params, _layer("head" if isinstance(head, str) else head))


def _layer(head: str | Callable | None) -> Callable[[Any], Pair] | None:
    """How a linear layer is found in nested dicts: by its path, or by a function of the user's."""
    if not isinstance(head, str):
        return head

    def kernel_and_bias(params) -> Pair:
        layer = params
        for name in head.split("/"):
            key = int(name) if name.isdigit() and int(name) in layer else name
            if not isinstance(layer, Mapping) or key not in layer:
                names = ", ".join(map(str, layer)) if isinstance(layer, Mapping) else "no layers"
                raise InputError(f"head {head!r}: there is no {name!r} among {names}")
            layer = layer[key]
        if not isinstance(layer, Mapping) or "kernel" not in layer:
            raise InputError(f"head {head!r} is no linear layer: it has no kernel")
        kernel = layer["kernel"]
        return kernel, layer.get("bias", jnp.zeros(kernel.shape[-1:], kernel.dtype))

    return kernel_and_bias


def _once(seen: list, head: str) -> jax.Array:
    if len(seen) != 1:
        raise InputError(
            f"the layer {head!r} is called {len(seen)} times in a forward pass, not once; write a "
            "longer path as backbone/fc, or wrap a function"
        )
    return seen[0]


def _no_params(params, what: str) -> None:
    if params is not None:
        raise InputError(f"{what} holds its parameters itself; give no others")
