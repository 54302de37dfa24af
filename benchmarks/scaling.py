"""How time grows: with samples, clusters, features and threads."""

from __future__ import annotations

import functools
import importlib

from benchmarks import data, peers
from benchmarks.data import CURVE_CLUSTERS, CURVES, LONGEST, N_THREADS, SIZES, Timed
from fastkm import kmeans
from fastkm.engines import ENGINES
from fastkm.plotting import fitted_exponent

N_ITER = 10  # of runs with a fixed number of iterations
N_STARTS = 3  # of whole fits, whose numbers of iterations differ by start
REFERENCE_TERMS = 1_000_000  # samples x features; more would take minutes
FITTED_FROM = 10_000  # samples; below, a call's fixed costs hide the slope
KMEANS = {
    "fastkm": "fastkm",
    "scikit-learn": "sklearn.cluster",
    "oneDAL": "sklearnex.cluster",
}


@functools.lru_cache(maxsize=1)
def _point(curve, program, log10_n):
    """Run, samples and initial centers of a point, run once."""
    n_samples = SIZES[log10_n]
    run = peers.find(program)
    X = data.curve_samples(curve, n_samples)
    if program == "reference" and X.size > REFERENCE_TERMS:
        raise NotImplementedError("the reference would take minutes")
    centers = data.initial_centers(X, CURVE_CLUSTERS)
    run(X, centers, N_ITER)
    return run, X, centers


class Samples(Timed):
    """Ten iterations against the number of samples: the study notebook's curves.

    The graph to look at has log10_n as its horizontal axis and the log scale on.
    """

    params = (list(CURVES), [*peers.PEERS, "reference"], list(SIZES))
    param_names = ("curve", "program", "log10_n")

    def setup(self, curve, program, log10_n):
        self.run, self.X, self.centers = _point(curve, program, log10_n)

    def time_iterations(self, curve, program, log10_n):
        self.run(self.X, self.centers, N_ITER)

    time_iterations.pretty_name = "10 iterations against samples"


def _whole_fit(program, X, start, **options):
    """Fit to scikit-learn's default tolerance from one of several starts."""
    options |= {"init": data.initial_centers(X, CURVE_CLUSTERS, start)}
    KMeans = importlib.import_module(KMEANS[program]).KMeans
    KMeans(CURVE_CLUSTERS, n_init=1, max_iter=LONGEST, **options).fit(X)


@functools.lru_cache(maxsize=1)
def _fitted(curve, program, log10_n):
    """Samples of a point, fitted once."""
    peers.find(program)
    X = data.curve_samples(curve, SIZES[log10_n])
    _whole_fit(program, X, 0)
    return X


class WholeFits(Timed):
    """Fits from random samples to the end, against the number of samples."""

    params = (list(CURVES), list(KMEANS), list(SIZES))
    param_names = ("curve", "program", "log10_n")

    def setup(self, curve, program, log10_n):
        self.X = _fitted(curve, program, log10_n)

    def time_three_fits(self, curve, program, log10_n):
        for start in range(N_STARTS):
            _whole_fit(program, self.X, start)

    time_three_fits.pretty_name = "3 whole fits against samples"


def _iterations_seconds(X, engine):
    """Seconds of a fixed number of iterations, the least of five runs."""
    run = _call(X, CURVE_CLUSTERS, N_THREADS, engine)
    return [min(data.elapsed(run) for _ in range(5))]


def _fits_seconds(X, engine):
    """Seconds of whole fits, one for each start."""
    return [
        data.elapsed(functools.partial(_whole_fit, "fastkm", X, start, engine=engine))
        for start in range(N_STARTS)
    ]


WORKS = {"10 iterations": _iterations_seconds, "whole fits": _fits_seconds}


class Exponent:
    """Fitted exponent of fastkm's time against the number of samples.

    1 is linear. An engine that decides many samples at once may be below by design;
    whole fits may be above, for more samples may take more iterations.
    """

    params = (list(CURVES), list(WORKS), ["auto", *ENGINES])
    param_names = ("curve", "work", "engine")
    timeout = 1200
    unit = "exponent"

    def setup(self, curve, work, engine):
        data.make_engine(engine, data.curve_samples(curve, 100), CURVE_CLUSTERS)

    def track_exponent(self, curve, work, engine):
        seconds_of = WORKS[work]
        sizes = [n for n in SIZES.values() if n >= FITTED_FROM]
        seconds_of(data.curve_samples(curve, sizes[0]), engine)  # compile
        seconds = [seconds_of(data.curve_samples(curve, n), engine) for n in sizes]
        return fitted_exponent(sizes, seconds)

    track_exponent.pretty_name = "Exponent of time against samples"


def _call(X, n_clusters, n_threads, engine="auto"):
    """Ten iterations of fastkm as a call."""
    options = {
        "init": data.initial_centers(X, n_clusters),
        "max_iter": N_ITER,
        "tol": 0,
        "n_threads": n_threads,
        "engine": engine,
    }
    return functools.partial(kmeans, X, n_clusters, **options)


@functools.lru_cache(maxsize=1)
def _mixture(n_samples, n_features, n_clusters, n_threads=N_THREADS):
    """Ten iterations on a mixture as a call that was called once."""
    X = data.mixture(n_samples, n_features, 100, 3.0, "float32")
    call = _call(X, n_clusters, n_threads)
    call()
    return call


class Clusters(Timed):
    """Against the number of clusters, 100 000 samples of 16 features."""

    params = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
    param_names = ("n_clusters",)

    def setup(self, n_clusters):
        self.run = _mixture(100_000, 16, n_clusters)

    def time_iterations(self, n_clusters):
        self.run()

    time_iterations.pretty_name = "10 iterations against clusters"


class Features(Timed):
    """Against the number of features, 20 clusters, 6.4 million numbers in all."""

    params = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    param_names = ("n_features",)

    def setup(self, n_features):
        self.run = _mixture(6_400_000 // n_features, n_features, 20)

    def time_iterations(self, n_features):
        self.run()

    time_iterations.pretty_name = "10 iterations against features"


class Threads(Timed):
    """Against the number of threads, 400 000 samples of 32 features, 64 clusters."""

    params = tuple(n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n <= N_THREADS)
    param_names = ("n_threads",)

    def setup(self, n_threads):
        self.run = _mixture(400_000, 32, 64, n_threads)

    def time_iterations(self, n_threads):
        self.run()

    time_iterations.pretty_name = "10 iterations against threads"
