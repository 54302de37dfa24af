"""The functions that users call: check the arguments, run, wrap the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import ArrayLike, NDArray

from fastkm import engines, lloyd, seeding, validation

Array = NDArray[Any]


class ConvergenceWarning(UserWarning):
    """The result has fewer clusters than were asked for."""


@dataclass(frozen=True)
class Report:
    """How a result came about.

    Attributes
    ----------
    engine, reason : str
        The engine that carried out the steps, and why it was chosen.
    n_threads : int
        Threads that were allowed; small steps use fewer.
    stop : str
        What ended the best run: "unchanged" (no center changed, bit for bit), "tol"
        (the centers moved less than `tol` asks for) or "max_iter".
    inertias : list of float
        Inertia of every run, in the order of the runs.
    best_run : int
        The run that was kept: the least inertia, the first among equals.
    n_refilled : int
        Empty clusters of the best run that took a sample.
    n_empty : int
        Clusters of the result without a sample.
    shifts : list of float
        Summed squared movement of the centers, per iteration of the best run.
    n_changed : list of int
        Samples that changed their label, per iteration of the best run.
    counts : dict of str to int
        What the engine counted over all runs, of samples or pairs of sample and center.
    """

    engine: str
    reason: str
    n_threads: int
    stop: str
    inertias: list[float] = field(repr=False)
    best_run: int
    n_refilled: int
    n_empty: int
    shifts: list[float] = field(repr=False)
    n_changed: list[int] = field(repr=False)
    counts: dict[str, int]


class KMeansResult(NamedTuple):
    """A clustering; all fields belong together.

    centers (n_clusters, n_features) of the dtype of X, labels (n_samples,) int32,
    inertia float, n_iter int, report `Report`.
    """

    centers: Array
    labels: Array
    inertia: float
    n_iter: int
    report: Report


def kmeans(
    X: ArrayLike,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    init: Any = "k-means++",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state: validation.Seed = None,
    n_threads: int | None = None,
    engine: str = "auto",
) -> KMeansResult:
    """Split the samples into `n_clusters` groups by Lloyd's algorithm.

    Finds a local minimum of  inertia = sum_i w_i |X_i - centers[labels_i]|^2.
    Same bits as `fastkm.reference.kmeans`, for any number of threads.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
        float32 stays float32, float16 becomes float32, all else float64. Large arrays
        of booleans or of integers of at most 16 bits are used as they are, sparse
        matrices are made dense some MB at a time.
    n_clusters : int, from 1 to n_samples
    sample_weight : array-like (n_samples,), not negative, optional
        A sample of weight 3 counts as three samples.
    init : {"k-means++", "random", "farthest"}, array-like or callable
        Greedy k-means++; different random samples; a random sample, then always the
        one farthest from all before; centers (n_clusters, n_features); or
        `init(X, n_clusters, random_state=Generator)` that returns centers.
    n_init : int or "auto"
        Runs from different initial centers; the one with the least inertia is
        returned. "auto" is 10 for "random" and callables, otherwise 1.
    max_iter : int, at least 1
        Iterations of one run.
    tol : float, at least 0
        A run stops when the summed squared movement of the centers is at most `tol`
        times the mean variance of the features (weighted as the samples are). With 0
        it stops only when no center changes.
    random_state : int, Generator, RandomState, SeedSequence or None
        Same integer, same result.
    n_threads : int, optional
        All that Numba may start when None.
    engine : "auto" or the name of an engine
        How the steps are carried out. The result is the same.

    Returns
    -------
    KMeansResult(centers, labels, inertia, n_iter, report)

    Raises
    ------
    ValueError
        If an argument is outside the ranges above; the message names it.

    Warns
    -----
    ConvergenceWarning
        When X has fewer distinct samples than `n_clusters`: some clusters stay empty.

    References
    ----------
    Lloyd, Least squares quantization in PCM (1982), section "Method I".

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]]
    >>> result = kmeans(X, 2, init=[[0.0, 0.0], [9.0, 0.0]])
    >>> result.centers.tolist(), result.inertia
    ([[0.0, 1.0], [9.0, 1.0]], 4.0)
    """
    data, weights = as_weighted(X, sample_weight, validation.as_input)
    n_clusters = validation.check_n_clusters(n_clusters, len(data))
    init = validation.check_init(init)
    n_init = validation.check_n_init(n_init, init)
    max_iter = validation.check_integer(max_iter, "max_iter")
    tol = validation.check_tol(tol)
    n_threads = validation.check_n_threads(n_threads)
    name = validation.check_engine(engine)
    samples = engines.exact_engine(data, weights, n_threads)
    if not isinstance(init, str) and not callable(init):
        init = validation.as_init(init, data, n_clusters, samples.total_weight())
        if n_init > 1:
            validation.warn(
                f"n_init={n_init} with an array as init: one run is done, for all "
                "would be the same",
                RuntimeWarning,
            )
            n_init = 1
    rng = validation.check_random_state(random_state)  # last: it may draw a seed

    choice = engines.choose(
        data, weights, n_clusters, n_threads, name, n_init * max_iter
    )
    threshold = tol * lloyd.mean_variance(choice.engine) if tol > 0 else 0.0
    best, best_run, inertias = None, 0, []
    for number in range(n_init):
        centers = seeding.initial_centers(samples, n_clusters, init, rng)
        run = lloyd.lloyd(
            choice.engine, centers, max_iter=max_iter, threshold=threshold
        )
        inertias.append(run.inertia)
        if best is None or run.inertia < best.inertia:
            best, best_run = run, number
    assert best is not None
    if best.n_empty:
        validation.warn(
            f"Number of distinct clusters ({n_clusters - best.n_empty}) found smaller "
            f"than n_clusters ({n_clusters}). Possibly due to duplicate points in X.",
            ConvergenceWarning,
        )
    report = Report(
        engine=choice.name,
        reason=choice.reason,
        n_threads=n_threads,
        stop=best.stop,
        inertias=inertias,
        best_run=best_run,
        n_refilled=best.n_refilled,
        n_empty=best.n_empty,
        shifts=best.shifts,
        n_changed=best.n_changed,
        counts=dict(choice.engine.counts),
    )
    return KMeansResult(best.centers, best.labels, best.inertia, best.n_iter, report)


def as_weighted(
    X: Any,
    sample_weight: ArrayLike | None,
    as_samples: Callable[..., Any] = validation.as_samples,
) -> tuple[Any, Array | None]:
    """Checked samples and weights (None where all are one)."""
    samples = as_samples(X)
    weights = validation.as_weights(sample_weight, len(samples))
    if weights is not None:
        as_samples(samples, total_weight=float(weights.sum()))
    return samples, weights


def assign(
    X: ArrayLike, centers: ArrayLike, *, n_threads: int | None = None
) -> tuple[Array, Array]:
    """Find the nearest center of each sample, the lowest index among equals.

    Same bits as `fastkm.reference.assign`: decided by the squared distance whose every
    operation is rounded in float64, whatever the dtypes of X and centers.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
    centers : array-like (n_clusters, n_features), finite
    n_threads : int, optional

    Returns
    -------
    labels : (n_samples,) int32
    distances : (n_samples,) float64
        Squared.

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> labels, distances = assign([[1.0], [4.0], [2.5]], [[1.0], [4.0]])
    >>> labels.tolist(), distances.tolist()
    ([0, 1, 0], [0.0, 0.0, 2.25])
    """
    samples = validation.as_input(X)
    centers = validation.as_centers(
        centers, n_features=samples.shape[1], total_weight=len(samples)
    )
    n_threads = validation.check_n_threads(n_threads)
    choice = engines.choose(samples, None, len(centers), n_threads)
    return choice.engine.assign(centers)


def kmeans_plusplus(
    X: ArrayLike,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    n_local_trials: int | None = None,
    random_state: validation.Seed = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """Choose samples as initial centers by greedy k-means++.

    Same draws as `fastkm.reference.kmeans_plusplus`.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
    n_clusters : int, from 1 to n_samples
    sample_weight : array-like (n_samples,), optional
    n_local_trials : int, optional
        Candidates per step, of which the best is kept: 2 + floor(log(n_clusters))
        when None; 1 is plain k-means++.
    random_state : int, Generator, RandomState, SeedSequence or None
    n_threads : int, optional

    Returns
    -------
    centers : (n_clusters, n_features), of the dtype of X, float64 for integers
    indices : (n_clusters,) int64
        The chosen samples: centers == X[indices].

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007),
    section 2.2; the greedy form is in section 5.

    Examples
    --------
    >>> X = [[0.0], [0.1], [9.0], [9.1]]
    >>> centers, indices = kmeans_plusplus(X, 2, random_state=0)
    >>> centers.round().ravel().tolist()
    [9.0, 0.0]
    """
    data, weights = as_weighted(X, sample_weight, validation.as_input)
    n_clusters = validation.check_n_clusters(n_clusters, len(data))
    if n_local_trials is not None:
        n_local_trials = validation.check_integer(n_local_trials, "n_local_trials")
    samples = engines.exact_engine(data, weights, validation.check_n_threads(n_threads))
    rng = validation.check_random_state(random_state)
    indices = seeding.plusplus(samples, n_clusters, rng, n_local_trials)
    return samples.rows(indices), indices
