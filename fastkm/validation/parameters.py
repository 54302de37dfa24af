"""Checks of parameters: numbers, names, paths."""

from __future__ import annotations

import math
import numbers
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm import inputs
from fastkm.engines import ENGINES
from fastkm.kernels import default_threads, most_threads
from fastkm.validation.messages import InvalidParameterError, warn

Array = NDArray[Any]
Seed = (
    None
    | int
    | np.random.Generator
    | np.random.RandomState
    | np.random.SeedSequence
    | np.random.BitGenerator
)

# Tuples are made once, and look at Python's own types first: 0.9 -> 0.3 us a check.
BOOL = bool, np.bool_
INTEGRAL = int, numbers.Integral
REAL = float, int, numbers.Real

INITS = ("k-means++", "k-means||", "random", "farthest")
ALGORITHMS = ("lloyd", "elkan")
STRATEGIES = ("biggest_inertia", "largest_cluster")


def check_integer(value: Any, name: str, *, least: int = 1) -> int:
    """Give an integer that is at least `least`."""
    if isinstance(value, BOOL) or not isinstance(value, INTEGRAL):
        raise InvalidParameterError(
            f"{name}={value!r} must be an integer of at least {least}"
        )
    if value < least:
        raise InvalidParameterError(f"{name}={value} must be at least {least}")
    return int(value)


def check_flag(value: Any, name: str) -> bool:
    """Give True or False."""
    if not isinstance(value, BOOL):
        raise InvalidParameterError(f"{name}={value!r} must be True or False")
    return bool(value)


def check_n_clusters(n_clusters: Any, n_samples: int) -> int:
    """Give a number of clusters from 1 to n_samples."""
    n_clusters = check_integer(n_clusters, "n_clusters")
    if n_clusters > n_samples:
        raise ValueError(f"n_samples={n_samples} should be >= n_clusters={n_clusters}")
    return int(n_clusters)


def as_cluster_numbers(n_clusters: Any, n_samples: int) -> Array:
    """Numbers of clusters, each from 1 to n_samples: ascending, each once."""
    try:
        given = list(n_clusters)
    except TypeError:
        raise ValueError(
            f"n_clusters={n_clusters!r} must be several integers, such as range(2, 11)"
        ) from None
    if not given:
        raise ValueError(f"n_clusters={n_clusters!r} must hold one integer or more")
    return np.array(sorted({check_n_clusters(number, n_samples) for number in given}))


def check_tol(tol: Any) -> float:
    """Give a finite tolerance of at least 0."""
    if isinstance(tol, bool) or not isinstance(tol, REAL):
        raise InvalidParameterError(f"tol={tol!r} must be a number of at least 0")
    if not 0 <= float(tol) < math.inf:
        raise InvalidParameterError(f"tol={tol} must be a finite number of at least 0")
    return float(tol)


def check_max_time(max_time: Any) -> float:
    """Give a number of seconds above 0, infinity for None."""
    if max_time is None:
        return math.inf
    if isinstance(max_time, bool) or not isinstance(max_time, REAL):
        raise ValueError(f"max_time={max_time!r} must be a number of seconds or None")
    if not float(max_time) > 0:
        raise ValueError(f"max_time={max_time} must be above 0 seconds")
    return float(max_time)


def check_callback(callback: Any) -> Any:
    """Give a callable, or None."""
    if callback is not None and not callable(callback):
        raise ValueError(f"callback={callback!r} must be callable or None")
    return callback


def check_verbose(verbose: Any) -> int:
    """Give 0, 1 or a higher number; False and True count."""
    if isinstance(verbose, BOOL):
        return int(verbose)
    return check_integer(verbose, "verbose", least=0)


def as_checkpoint(checkpoint: Any) -> Path | None:
    """Give the path of a file, there or not, in a folder that exists; or None."""
    return None if checkpoint is None else as_file(checkpoint, "checkpoint")


def as_file(given: Any, name: str, *, or_else: str = "") -> Path:
    """Give the path of a file, there or not, in a folder that exists.

    `or_else` says for the message what may be given besides.
    """
    try:
        path = Path(given)
    except TypeError:
        raise ValueError(f"{name}={given!r} must be {or_else}a path or None") from None
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            f"{name}={str(given)!r} must be a file in a folder that exists"
        )
    return path


def check_init(init: Any) -> Any:
    """Give one of INITS, a callable, or something to be read as centers."""
    if isinstance(init, str) and init not in INITS:
        raise InvalidParameterError(
            f"init={init!r} must be one of {INITS}, an array (n_clusters, n_features) "
            "or a callable"
        )
    return init


def as_frozen(frozen: Any, n_clusters: int, init: Any) -> Array | None:
    """Which centers are frozen (n_clusters,) bool, or None where none is."""
    if frozen is None:
        return None
    array = inputs.as_array(frozen, "frozen")
    if array.shape != (n_clusters,) or array.dtype != bool:
        raise ValueError(
            f"frozen has shape {array.shape} and dtype {array.dtype}; expected "
            f"{(n_clusters,)} bool: one for each center"
        )
    if isinstance(init, str):
        raise ValueError(
            f"frozen needs the centers that are not to move: init={init!r} must be an "
            "array (n_clusters, n_features) or a callable"
        )
    return array if array.any() else None


def check_n_nearest(n_nearest: Any, n_clusters: int) -> int:
    """Give a number of centers from 1 to n_clusters."""
    n_nearest = check_integer(n_nearest, "n_nearest")
    if n_nearest > n_clusters:
        raise ValueError(f"n_nearest={n_nearest} must be at most {n_clusters} centers")
    return n_nearest


def check_named_init(init: Any, *, or_else: str = "") -> str:
    """Give one of INITS; `or_else` tells what else the caller takes."""
    if not isinstance(init, str) or init not in INITS:
        raise ValueError(f"init={init!r} must be one of {INITS}{or_else}")
    return init


def check_splitting_init(init: Any) -> Any:
    """Give one of INITS or a callable: something that works in every cluster."""
    return init if callable(init) else check_named_init(init, or_else=" or a callable")


def check_bisecting_strategy(strategy: Any) -> str:
    """Give one of STRATEGIES."""
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise ValueError(f"bisecting_strategy={strategy!r} must be one of {STRATEGIES}")
    return strategy


def check_n_init(n_init: Any, init: Any, *, many: int = 10) -> int:
    """Give the number of runs; 'auto' is `many` for 'random' and callables, else 1."""
    if isinstance(n_init, str):
        if n_init != "auto":
            raise InvalidParameterError(
                f"n_init={n_init!r} must be 'auto' or an integer of at least 1"
            )
        is_random = isinstance(init, str) and init == "random"
        return many if callable(init) or is_random else 1
    return check_integer(n_init, "n_init")


def check_algorithm(algorithm: Any, n_clusters: int) -> None:
    """Refuse what is not in ALGORITHMS; warn as scikit-learn does."""
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidParameterError(
            f"algorithm={algorithm!r} must be one of {ALGORITHMS}"
        )
    if algorithm == "elkan" and n_clusters == 1:
        warn(
            "algorithm='elkan' doesn't make sense for a single cluster: there is "
            "nothing to skip",
            RuntimeWarning,
        )


def check_share(value: Any, name: str) -> float:
    """Give a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, REAL):
        raise ValueError(f"{name}={value!r} must be a number from 0 to 1")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{name}={value} must be from 0 to 1")
    return float(value)


def check_engine(engine: Any) -> str:
    """Give 'auto' or the name of an engine."""
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise InvalidParameterError(
            f"engine={engine!r} must be one of {('auto', *ENGINES)}"
        )
    return engine


def check_n_threads(n_threads: Any) -> int:
    """Give the number of threads to use: never more than the process may start."""
    if n_threads is None:
        return default_threads()
    return min(check_integer(n_threads, "n_threads"), most_threads())


def check_random_state(random_state: Any) -> np.random.Generator:
    """Give a Generator from whatever can seed one."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, size=4, dtype="u8"))
    try:
        if isinstance(random_state, BOOL):
            raise TypeError
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise InvalidParameterError(
            f"random_state={random_state!r} must be None, a non-negative integer, or a "
            "numpy Generator, RandomState, BitGenerator or SeedSequence"
        ) from None
