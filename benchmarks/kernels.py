"""Engines and kernels, and the share of the machine's limit that they reach."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from benchmarks import data, limits
from benchmarks.data import CASES, N_THREADS, Timed
from fastkm import lloyd
from fastkm.engines import ENGINES, Lanes
from fastkm.engines.chosen import ChosenInMemory
from fastkm.kernels import sums

N_OTHERS = 4  # centers or candidates of a kernel that takes some at once


def least_seconds(call, n_runs=5):
    """Least seconds of a call that was called before."""
    return min(data.elapsed(call) for _ in range(n_runs))


@functools.lru_cache(maxsize=1)
def _stepper(case, name):
    """Give an engine, and a call that steps it to and fro between iterations 3 and 4.

    So every step finds the labels and brings the sums of the step before up to date.
    """
    X, centers, _ = data.work(case)
    engine = data.make_engine(name, X, len(centers))
    two = [lloyd.lloyd(engine, centers, max_iter=n, threshold=0.0) for n in (3, 4)]
    turn = itertools.cycle([run.centers for run in two])
    return engine, lambda: engine.step(next(turn))


class Engines(Timed):
    """A Lloyd step of every engine on every case."""

    params = (list(CASES), list(ENGINES))
    param_names = ("case", "engine")

    def setup(self, case, engine):
        self.engine, self.step = _stepper(case, engine)

    def time_step(self, case, engine):
        self.step()

    def track_share_of_limit(self, case, engine):
        X, centers, _ = data.work(case)
        limit = limits.iteration(*X.shape, len(centers), str(X.dtype), N_THREADS)
        return 100 * limit / least_seconds(self.step)

    time_step.pretty_name = "Lloyd step of an engine"
    track_share_of_limit.pretty_name = "Limit of all pairs / Lloyd step of an engine"
    track_share_of_limit.unit = "% (over 100: pairs were skipped)"


class Passes(Timed):
    """The kernels that pass over the samples once, and the memory's limit."""

    names = (
        "weighted_total",
        "own_distances",
        "update",
        "choose",
        "potentials",
        "distance_table",
    )
    params = (list(CASES), list(names))
    param_names = ("case", "kernel")

    def setup(self, case, kernel):
        self.call, self.n_bytes = _passes(case)[kernel]
        self.call()

    def time_pass(self, case, kernel):
        self.call()

    def track_share_of_limit(self, case, kernel):
        limit = self.n_bytes / limits.bytes_read(N_THREADS)
        return 100 * limit / least_seconds(self.call)

    time_pass.pretty_name = "Kernel that passes over the samples"
    track_share_of_limit.pretty_name = "Reading and writing memory / kernel"
    track_share_of_limit.unit = "% (over 100: from the caches)"


@functools.lru_cache(maxsize=1)
def _passes(case):
    """For each kernel its call, and the bytes that it reads or writes."""
    X, centers, _ = data.work(case)
    samples = Lanes(X, None, N_THREADS)
    labels, distances = data.make_engine("auto", X, len(centers)).assign(centers)
    n_chunks = samples.n_chunks(1.0 * X.size)
    some = np.arange(1, 1 + N_OTHERS)
    chosen = ChosenInMemory(samples, 0, len(centers), N_OTHERS)
    chosen.potentials(some)
    wide = centers.astype(np.float64)
    per_sample = 8 * len(X)
    return {
        "weighted_total": (lambda: samples.inertia(distances), per_sample),
        "own_distances": (
            lambda: sums.own_distances(n_chunks, X, wide, labels, distances),
            X.nbytes + per_sample + labels.nbytes,
        ),
        "update": (
            lambda: samples.sums(labels, len(centers)),
            X.nbytes + 2 * labels.nbytes,
        ),
        "choose": (lambda: chosen.choose(0), chosen.masks.nbytes),
        "potentials": (
            lambda: chosen.potentials(some),
            chosen.sketch.packed.nbytes + chosen.limits.nbytes,
        ),
        "distance_table": (
            lambda: samples.distance_table(X[some]),
            X.nbytes + N_OTHERS * per_sample,
        ),
    }
