"""Modules that are called like the function they are about: `adapt_jax.train(config, workdir)`."""

import importlib
import inspect
import sys
import types
from typing import Any


class _CallableModule(types.ModuleType):
    """A module whose `_called` is "module:function"."""

    def _function(self):
        module, _, name = self._called.partition(":")
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args, **kwargs) -> Any:
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())


def make_callable(module: str, called: str) -> None:
    """Lets a call of a module be a call of a function.

    Args:
      module: `__name__` of the module, which is being imported.
      called: the function as "module:function"; its module is imported at the first call.
    """
    made = sys.modules[module]
    vars(made)["_called"] = called
    made.__class__ = _CallableModule
