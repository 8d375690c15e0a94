"""Packages that can be called: `redalign_jax.sweep(data)` is `redalign_jax.api.sweep(data)`.

`sweep`, `advise` and `report` are packages, whose modules the engine imports, and functions of the
API. Python has one attribute for both.
"""

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class Room(ModuleType):
    """A package with the function of its name: its call, its signature and its words."""

    @property
    def _function(self) -> Callable:
        from redalign_jax import api

        return getattr(api, self.__name__.rpartition(".")[2])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function."""
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def __doc__(self) -> str | None:
        return self._function.__doc__


def callable_package(name: str) -> None:
    """Makes the package of this name callable."""
    sys.modules[name].__class__ = Room
