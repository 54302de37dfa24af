"""scikit-learn's classes among the bases of ours, as soon as there are any.

Neither importing fastkm nor using it imports scikit-learn. But in a program that has
imported it, our estimators should be its estimators and our warnings its warnings: for
`isinstance`, `set_output`, metadata routing, the diagram in a notebook, or `except
NotFittedError`. So a class that has counterparts there names them,

    @joins("sklearn.base.ClusterMixin")
    class KMeans(Parameters): ...

and `join` adds them to the bases of that class. No second class is made: whatever was
created, pickled or derived before stays what it is, and now is scikit-learn's, too.

`join` is called where it may matter: when an estimator is made, before a warning or an
error that has a counterpart, and when an estimator is asked for what scikit-learn has
to provide (`Estimator.__getattr__`), which is the only case that imports it.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

Class = TypeVar("Class", bound=type)

_waiting: list[tuple[type, tuple[str, ...]]] = []
_lock = threading.RLock()

FROM_SKLEARN = re.compile(
    "set_output|get_feature_names_out|get_metadata_routing|set_[a-z_]+_request"
    "|_repr_html_|_repr_mimebundle_|__sklearn_clone__"
)


def joins(*names: str) -> Callable[[Class], Class]:
    """Decorate a class whose bases are to begin with those named, once they exist.

    The class must not be a direct heir of a built-in one: Python keeps the first base
    of such a class (its memory has another layout).
    """

    def register(cls: Class) -> Class:
        _waiting.append((cls, names))
        join()
        return cls

    return register


def join() -> None:
    """Add the bases that wait for scikit-learn, if the program has imported it."""
    if not _waiting or "sklearn.base" not in sys.modules:
        return
    with _lock:
        joined = [cls for cls, _ in _waiting]
        for cls, names in _waiting:
            theirs = tuple(_named(name) for name in names)
            cls.__bases__ = (*theirs, *cls.__bases__)
        _waiting.clear()
        # What scikit-learn does when a class is derived: `set_output` wraps
        # `transform`, `sample_weight` becomes a request that can be routed.
        for cls in _heirs(joined):
            super(cls, cls).__init_subclass__()


def at_home() -> bool:
    """Import scikit-learn and join; says whether it is installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module("sklearn.base")
    join()
    return not _waiting


def _named(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    found: type = getattr(importlib.import_module(module), attribute)
    return found


def _heirs(classes: list[Any]) -> list[Any]:
    """Give the classes and all that derive from them, each once, parents first."""
    found = dict.fromkeys(classes)
    for cls in classes:
        found.update(dict.fromkeys(_heirs(cls.__subclasses__())))
    return sorted(found, key=lambda cls: len(cls.__mro__))


class Estimator:
    """Root of the estimators: fetches scikit-learn for what only it provides."""

    if not TYPE_CHECKING:  # else every misspelt attribute would pass as one

        def __getattr__(self, name: str) -> Any:
            """Look again with scikit-learn's bases, if it may have the attribute."""
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if FROM_SKLEARN.fullmatch(name):
                if not at_home():
                    message += ": scikit-learn provides it, and is not installed"
                elif hasattr(type(self), name):
                    return super().__getattribute__(name)
            raise AttributeError(message)

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn; its own method takes over."""
        at_home()
        return self.__sklearn_tags__()


class NotFitted(ValueError, AttributeError):
    """Built-in bases of `NotFittedError`."""


@joins("sklearn.exceptions.NotFittedError")
class NotFittedError(NotFitted):
    """A result was asked for before `fit`."""


class FitWarning(UserWarning):
    """Built-in base of the warnings that follow."""


@joins("sklearn.exceptions.ConvergenceWarning")
class ConvergenceWarning(FitWarning):
    """The result has fewer clusters than were asked for."""


@joins("sklearn.exceptions.DataConversionWarning")
class DataConversionWarning(FitWarning):
    """An input was read in another shape than it has."""
