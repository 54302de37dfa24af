"""Training time against the number of samples, beside scikit-learn."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import sklearn.cluster
from numpy.typing import NDArray

import fastkm
from fastkm import plotting
from fastkm.tour.pictures import BLUE, ORANGE, Album, Picture, new_figure

Array = NDArray[Any]
Generate = Callable[..., Array]
Track = Callable[[Iterable[Any], str], Iterable[Any]]

N_CLUSTERS = 6
EXPONENTS = range(8, 53)
LEAST_POINTS = 3  # to fit a slope to
MAX_ITER = 10_000  # never reached: every run goes to convergence
# Below, a call's fixed costs hide the slope.
FITTED_FROM = 10_000


class Point(NamedTuple):
    """One number of samples: the seconds of all runs, and their median iterations."""

    n_samples: int
    fastkm_runs: list[float]
    sklearn_runs: list[float]
    n_iter: float

    @property
    def fastkm(self) -> float:
        """Median seconds."""
        return statistics.median(self.fastkm_runs)

    @property
    def sklearn(self) -> float:
        """Median seconds."""
        return statistics.median(self.sklearn_runs)


class Limits(NamedTuple):
    """How much is measured: every which size, how often, and when to go no further.

    stride int, n_runs int, seconds for the curve, n_bytes of the samples.
    """

    stride: int
    n_runs: int
    seconds: float
    n_bytes: float


class Curve(NamedTuple):
    """All points of one curve, and what its report tells about it."""

    n_features: int
    n_runs: int
    points: list[Point]
    end: str
    fitted_from: int
    exponents: dict[str, float]
    difference: float
    report: fastkm.Report
    picture: Picture


def sizes() -> list[int]:
    """Numbers of samples of the notebook: 3 floor(1.3^e), e = 8 ... 52."""
    return [3 * math.floor(1.3**e) for e in EXPONENTS]


def measure(
    generate: Generate,
    n_features: int,
    limits: Limits,
    *,
    seed: int,
    album: Album,
    track: Track,
) -> Curve:
    """Time fastkm and scikit-learn from the same centers on the same samples."""
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    races: list[_Race] = []
    end = "the end of the notebook's range"
    took = 0.0
    for n_samples in track(sizes()[:: limits.stride], f"{n_features}-D"):
        if 8 * n_samples * n_features > limits.n_bytes:
            end = f"the limit of {limits.n_bytes / 1e9:.2g} GB for the samples"
            break
        before = time.perf_counter()
        # The next size takes 1.3 times the samples, and often more iterations.
        expected = before - start + 1.5 * took
        if len(races) >= LEAST_POINTS and expected > limits.seconds:
            end = f"the limit of {limits.seconds:.2g} seconds for this curve"
            break
        X = generate(n_samples, random_state=rng)
        races.append(_race(X, limits.n_runs, rng))
        took = time.perf_counter() - before
    points = [race.point for race in races]
    return Curve(
        n_features,
        limits.n_runs,
        points,
        end,
        _sloping(points)[0].n_samples,
        _exponents(_sloping(points)),
        max(race.difference for race in races),
        races[-1].report,
        _draw(points, n_features, album),
    )


class _Race(NamedTuple):
    """Runs of both on one sample: the point, and what else the report tells."""

    point: Point
    difference: float
    report: fastkm.Report


def _race(X: Array, n_runs: int, rng: np.random.Generator) -> _Race:
    starts = [X[rng.choice(len(X), N_CLUSTERS, replace=False)] for _ in range(n_runs)]
    # Not in turns: the threads that one has used stay busy for a while after it.
    ours, our_seconds = _timed(fastkm.KMeans, X, starts)
    theirs, their_seconds = _timed(sklearn.cluster.KMeans, X, starts)
    differences = [
        abs(our.inertia_ - their.inertia_) / their.inertia_
        for our, their in zip(ours, theirs, strict=True)
    ]
    n_iter = statistics.median(model.n_iter_ for model in ours)
    point = Point(len(X), our_seconds, their_seconds, n_iter)
    return _Race(point, max(differences), ours[-1].report_)


def _timed(KMeans: Any, X: Array, starts: list[Array]) -> tuple[list[Any], list[float]]:
    """Models fitted from each start, and the seconds of each."""
    models, seconds = [], []
    for centers in starts:
        model = KMeans(N_CLUSTERS, init=centers, n_init=1, max_iter=MAX_ITER)
        start = time.perf_counter()
        models.append(model.fit(X))
        seconds.append(time.perf_counter() - start)
    return models, seconds


def _sloping(points: list[Point]) -> list[Point]:
    """Give the points to fit a slope to: all where there are few large ones."""
    large = [p for p in points if p.n_samples >= FITTED_FROM]
    return large if len(large) >= LEAST_POINTS else points


def _columns(points: list[Point]) -> tuple[list[int], dict[str, list[list[float]]]]:
    """Sizes, and the seconds of the runs of each program."""
    seconds = {
        "fastkm": [point.fastkm_runs for point in points],
        "scikit-learn": [point.sklearn_runs for point in points],
    }
    return [point.n_samples for point in points], seconds


def _exponents(points: list[Point]) -> dict[str, float]:
    n_samples, seconds = _columns(points)
    return {
        name: plotting.fitted_exponent(n_samples, runs)
        for name, runs in seconds.items()
    }


def _draw(points: list[Point], n_features: int, album: Album) -> Picture:
    figure = new_figure(5.4, 4.4)
    ax = figure.subplots()
    ax.set_prop_cycle(color=[BLUE, ORANGE])
    n_samples, seconds = _columns(points)
    for name, runs in seconds.items():
        plotting.plot_time_curve(n_samples, runs, label=name, ax=ax)
    return album.add(
        f"time-{n_features}d",
        figure,
        f"Training time of fastkm and scikit-learn against the number of samples, "
        f"{n_features} features, both axes logarithmic",
    )
