"""Clusterings for a range of numbers of clusters, and what speaks for each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines, seeding, small, validation
from fastkm.api import KMeansResult, as_result, as_weighted
from fastkm.fits import OverAnEngine
from fastkm.metrics.dispersion import calinski_harabasz, davies_bouldin
from fastkm.metrics.partition import Partition
from fastkm.metrics.silhouettes import draw_samples, silhouette, simplified_silhouette
from fastkm.monitor import Monitor
from fastkm.restarts import Progress

Array = NDArray[Any]


class KMeansPath(NamedTuple):
    """A table with a row for each number of clusters, ascending.

    Attributes
    ----------
    n_clusters : (n_rows,) int64
    inertia : (n_rows,) float64
    silhouette, simplified_silhouette : (n_rows,) float64
        High is good. See `fastkm.metrics.silhouette_score` and
        `simplified_silhouette_score`.
    davies_bouldin : (n_rows,) float64
        Low is good. See `fastkm.metrics.davies_bouldin_score`.
    calinski_harabasz : (n_rows,) float64
        High is good. See `fastkm.metrics.calinski_harabasz_score`.
    fits : list of KMeansResult

    The indices are NaN where they are not defined: for one cluster, and where every
    sample has a cluster of its own.
    """

    n_clusters: Array
    inertia: Array
    silhouette: Array
    simplified_silhouette: Array
    davies_bouldin: Array
    calinski_harabasz: Array
    fits: list[KMeansResult]

    @property
    def elbow(self) -> int:
        """The n_clusters at which the inertia bends most.

        With both axes scaled to 0 ... 1, where the curve is farthest below the straight
        line from its first point to its last; the lowest among equals. Satopää,
        Albrecht, Irwin and Raghavan, Finding a "kneedle" in a haystack (2011), section
        3, without its smoothing.
        """
        n_clusters, inertia = self.n_clusters, self.inertia
        share = (n_clusters - n_clusters[0]) / max(n_clusters[-1] - n_clusters[0], 1)
        fallen = (inertia[0] - inertia) / ((inertia[0] - inertia[-1]) or 1.0)
        return int(n_clusters[np.argmax(fallen - share)])


def kmeans_path(
    X: ArrayLike,
    n_clusters: Iterable[int] = range(2, 11),
    *,
    sample_weight: ArrayLike | None = None,
    init: str = "k-means++",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-4,
    sample_size: int | None = 10_000,
    random_state: validation.Seed = None,
    n_threads: int | None = None,
    engine: str = "auto",
) -> KMeansPath:
    """Run k-means for every number of clusters in a range, and judge the results.

    Shared by all of them: the check of X, the scale of `tol`, the samples as each
    engine in use holds them (a k-d tree, sorted blocks, leading coordinates), the
    samples that the silhouette is taken of, and the seeding. One seeding is made for
    the largest number, and the run for k starts from its first k samples: each of the
    named inits chooses one sample after the other, so these are a seeding for k, with
    the number of local trials of the largest. So with its samples `indices`,

        fits[row] == kmeans(X, k, init=X[indices[:k]], ...)

    bit for bit, and with n_init > 1 the best of these over as many seedings. Held until
    the end: the engines in use, and 4 bytes per sample for the labels of each row.

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite
    n_clusters : iterable of int, from 1 to n_samples
        Numbers of clusters; sorted, each once.
    sample_weight : array-like (n_samples,), not negative, optional
        For the fits and the inertia. The other indices count each sample once.
    init : {"k-means++", "random", "farthest"}
    n_init : int or "auto"
        Seedings, each for all numbers of clusters. "auto" is 10 for "random", else 1.
    max_iter : int, at least 1
    tol : float, at least 0
    sample_size : int or None
        The full silhouette, whose work grows with the square of the samples, is taken
        of so many of them: the same for every row, and drawn after all the seedings.
        All when None, or where there are no more.
    random_state : int, Generator, RandomState, SeedSequence or None
    n_threads : int, optional
    engine : "auto" or the name of an engine

    Returns
    -------
    KMeansPath(n_clusters, inertia, silhouette, simplified_silhouette, davies_bouldin, \
calinski_harabasz, fits)

    Raises
    ------
    ValueError
        If an argument is outside the ranges above; the message names it.

    Warns
    -----
    ConvergenceWarning
        When X has fewer distinct samples than a number of clusters.

    Examples
    --------
    >>> X = [[0.0], [0.2], [0.4], [5.0], [5.2], [5.4], [9.0], [9.2], [9.4]]
    >>> path = kmeans_path(X, range(2, 8), random_state=0)
    >>> path.silhouette.round(2)
    array([0.73, 0.94, 0.68, 0.43, 0.37, 0.11])
    >>> int(path.n_clusters[path.silhouette.argmax()]), path.elbow
    (3, 3)
    """
    X, weights = as_weighted(X, sample_weight)
    numbers = validation.as_cluster_numbers(n_clusters, len(X))
    init = validation.check_named_init(init)
    n_init = validation.check_n_init(n_init, init)
    max_iter = validation.check_integer(max_iter, "max_iter")
    tol = validation.check_tol(tol)
    if sample_size is not None:
        sample_size = validation.check_integer(sample_size, "sample_size", least=3)
    n_threads = validation.check_n_threads(n_threads)
    name = validation.check_engine(engine)
    rng = validation.check_random_state(random_state)  # last: it may draw a seed

    samples = engines.Lanes(X, weights, n_threads)
    seedings = [
        seeding.initial_centers(samples, int(numbers[-1]), init, rng)
        for _ in range(n_init)
    ]
    drawn = draw_samples(len(X), sample_size or len(X), rng)
    unweighted = engines.Lanes(X, None, n_threads)
    some = engines.Lanes(X[drawn], None, n_threads)

    held: dict[str, engines.InMemory] = {}
    fits, rows = [], []
    for k in map(int, numbers):
        chosen, reason = engines.decide(X, k, name, len(numbers) * n_init * max_iter)
        if chosen not in held:
            held[chosen] = engines.ENGINES[chosen](X, weights, n_threads)
        held[chosen].counts.clear()
        choice = engines.Choice(held[chosen], chosen, reason)
        options = small.Options(k, init, max_iter, tol, n_threads)
        over = OverAnEngine(choice, samples, options, rng, Monitor(n_init, max_iter))
        progress = Progress()
        for number, seeds in enumerate(seedings):
            best = over.run(seeds[:k], number + 1, progress)
        fit = as_result(over, progress, best, n_threads)
        fits.append(fit)
        sampled = _full_index(some, fit.labels[drawn])
        rows.append((fit.inertia, sampled, *_other_indices(unweighted, fit.labels)))
    inertia, full, simplified, bouldin, harabasz = np.array(rows).T
    return KMeansPath(numbers, inertia, full, simplified, bouldin, harabasz, fits)


def _full_index(samples: engines.Lanes, labels: Array) -> float:
    """Mean silhouette."""
    partition = _partition(samples, labels)
    return math.nan if partition is None else float(silhouette(partition).mean())


def _other_indices(samples: engines.Lanes, labels: Array) -> tuple[float, float, float]:
    """Simplified silhouette, Davies-Bouldin, Calinski-Harabasz."""
    partition = _partition(samples, labels)
    if partition is None:
        return math.nan, math.nan, math.nan
    simplified = float(simplified_silhouette(partition).mean())
    return simplified, davies_bouldin(partition), calinski_harabasz(partition)


def _partition(samples: engines.Lanes, labels: Array) -> Partition | None:
    """None where no index is defined."""
    names, numbers = np.unique(labels, return_inverse=True)
    if not 2 <= len(names) < len(labels):
        return None
    return Partition(samples, numbers)
