"""Many fits at once: restarts on one data set, or many data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import small, validation
from fastkm.api import as_weighted
from fastkm.bases import ConvergenceWarning
from fastkm.engines import Lanes

Array = NDArray[Any]


class KMeansRuns(NamedTuple):
    """Many clusterings; all that has one index belongs together.

    centers (n_runs, n_clusters, n_features) of the dtype of X; labels (n_runs,
    n_samples) int32, a list of arrays where the runs differ in n_samples; inertia
    (n_runs,) float64; n_iter (n_runs,) int64.
    """

    centers: Array
    labels: Array | list[Array]
    inertia: Array
    n_iter: Array


def kmeans_many(
    X: Any,
    n_clusters: int,
    *,
    n_runs: int | None = None,
    sample_weight: Any = None,
    init: Any = "k-means++",
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state: validation.Seed = None,
    n_threads: int | None = None,
) -> KMeansRuns:
    """Cluster one data set `n_runs` times, or each of many data sets.

    The same bits as `fastkm.kmeans` with `n_init=1`, called for one run after the other
    with one generator; but small problems, of up to some 65 thousand samples x features
    x clusters, are fitted on all threads at once and without a return to Python
    between them: 20 to 30 microseconds for 300 samples in the plane.

    Parameters
    ----------
    X : array-like (n_samples, n_features), with `n_runs`
        Or without: a sequence of such arrays, equal in n_features and dtype, or an
        array (n_runs, n_samples, n_features). Finite.
    n_clusters : int, from 1 to n_samples
    n_runs : int, optional
        How often to cluster X; each run's inertia and labels are returned.
    sample_weight : array-like (n_samples,), not negative, optional
        Without `n_runs`: a sequence of them, one for each array.
    init : {"k-means++", "k-means||", "random", "farthest"}, array-like or callable
        As in `fastkm.kmeans`; centers are for all runs, (n_clusters, n_features), or
        for each, (n_runs, n_clusters, n_features).
    max_iter, tol, random_state, n_threads
        As in `fastkm.kmeans`.

    Returns
    -------
    KMeansRuns(centers, labels, inertia, n_iter)

    Raises
    ------
    ValueError
        If an argument is outside the ranges above; the message names it.

    Warns
    -----
    ConvergenceWarning
        When runs have clusters without a sample, for want of distinct samples.

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]]
    >>> runs = kmeans_many(X, 2, n_runs=5, init="random", random_state=0)
    >>> runs.inertia.tolist()
    [81.0, 81.0, 4.0, 81.0, 4.0]
    >>> few, more = [[0.0], [1.0], [5.0]], [[0.0], [1.0], [7.0], [9.0]]
    >>> runs = kmeans_many([few, more], 2, random_state=0)
    >>> runs.inertia.tolist(), [len(labels) for labels in runs.labels]
    ([0.5, 2.5], [3, 4])
    """
    n_threads = validation.check_n_threads(n_threads)
    if n_runs is None:
        problems = _as_problems(X, sample_weight, n_threads)
        fewest = min(samples.n_samples for samples in problems)
    else:
        n_runs = validation.check_integer(n_runs, "n_runs")
        samples = Lanes(*as_weighted(X, sample_weight), n_threads)
        problems, fewest = [samples] * n_runs, samples.n_samples
    n_clusters = validation.check_n_clusters(n_clusters, fewest)
    options = small.Options(
        n_clusters,
        _as_init(init, problems, n_clusters),
        validation.check_integer(max_iter, "max_iter"),
        validation.check_tol(tol),
        n_threads,
    )
    rng = validation.check_random_state(random_state)  # last: it may draw a seed
    runs = small.fit_all(problems, options, rng, history=False)
    n_short = sum(run.n_empty > 0 for run in runs)
    if n_short:
        validation.warn(
            f"{n_short} of {len(runs)} runs found fewer distinct clusters than "
            f"n_clusters ({n_clusters}). Possibly due to duplicate points in X.",
            ConvergenceWarning,
        )
    labels: Any = [run.labels for run in runs]
    if len({len(some) for some in labels}) == 1:
        labels = np.array(labels)
    return KMeansRuns(
        np.array([run.centers for run in runs]),
        labels,
        np.array([run.inertia for run in runs]),
        np.array([run.n_iter for run in runs]),
    )


def _as_problems(X: Any, sample_weight: Any, n_threads: int) -> list[Lanes]:
    """Check a sequence of data sets and their weights."""
    try:
        arrays = list(X)
    except TypeError:
        raise ValueError(
            f"X={X!r} must be a sequence of arrays (n_samples, n_features), or one "
            "array given with n_runs"
        ) from None
    if not arrays:
        raise ValueError("X is empty: at least one array of samples is required")
    weights = [None] * len(arrays) if sample_weight is None else list(sample_weight)
    if len(weights) != len(arrays):
        raise ValueError(
            f"sample_weight has {len(weights)} entries for {len(arrays)} arrays in X: "
            "one for each, or None, is required"
        )
    problems = []
    for b, (array, some) in enumerate(zip(arrays, weights, strict=True)):
        try:
            problems.append(Lanes(*as_weighted(array, some), n_threads))
        except ValueError as error:
            raise ValueError(
                f"in data set {b} of X (to cluster one array many times, give n_runs): "
                f"{error}"
            ) from None
    first = problems[0].X
    for b, samples in enumerate(problems):
        if samples.X.shape[1] != first.shape[1] or samples.X.dtype != first.dtype:
            raise ValueError(
                f"data set {b} of X has {samples.X.shape[1]} features of "
                f"{samples.X.dtype}, the first {first.shape[1]} of {first.dtype}: all "
                "must be alike"
            )
    return problems


def _as_init(init: Any, problems: Sequence[Lanes], n_clusters: int) -> Any:
    """Check `init`; centers become (n_runs, n_clusters, n_features)."""
    init = validation.check_init(init)
    if isinstance(init, str) or callable(init):
        return init
    total_weight = max(samples.total_weight() for samples in set(problems))
    each = [init] if np.ndim(init) != 3 else init
    if len(each) not in (1, len(problems)):
        raise ValueError(
            f"init has centers for {len(each)} runs, X for {len(problems)}: give as "
            "many, or (n_clusters, n_features) for all"
        )
    checked = [
        validation.as_init(centers, problems[0].X, n_clusters, total_weight)
        for centers in each
    ]
    shape = len(problems), *checked[0].shape
    return np.broadcast_to(np.array(checked), shape)
