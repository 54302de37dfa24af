"""What a check says: errors about parameters, and warnings."""

from __future__ import annotations

import sys
import warnings

from fastkm.bases import join


class InvalidParameterError(ValueError, TypeError):
    """A parameter of a fit has the wrong type or value, whatever the samples."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called in, outside fastkm and scikit-learn's wrappers."""
    join()  # where scikit-learn has such a category, it is to be one of those
    frame, level = sys._getframe(1), 2
    inside = ("fastkm.", "sklearn.")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def warn_of_one_init(n_init: int) -> None:
    """Warn that given centers make one run of several."""
    warn(
        "Explicit initial center position passed: performing only one init in place of "
        f"n_init={n_init}, for all would be the same",
        RuntimeWarning,
    )
