"""Peak memory of a fit, beside that of its samples alone."""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.data import make_engine
from fastkm.engines import ENGINES

N_CLUSTERS = 6
N_STEPS = 2
NUMBERS = 20_000_000  # 160 MB
FEATURES = (2, 16, 100)


def _samples(n_features, n_samples):
    # Not of data.py's makers: their own peaks would hide that of the fit.
    return np.random.default_rng(0).random((n_samples, n_features))


def _fit(engine, X):
    """Two steps and the final labels, as `lloyd` asks for them."""
    some = make_engine(engine, X, N_CLUSTERS)
    for _ in range(N_STEPS):
        some.step(X[:N_CLUSTERS])
    some.inertia(some.assign(X[:N_CLUSTERS])[1])


class Peak:
    """All of the process: peakmem_samples is the empty baseline of peakmem_fit."""

    params = (list(ENGINES), list(FEATURES))
    param_names = ("engine", "n_features")
    timeout = 300

    def setup_cache(self):
        """Compile in another process: the compiler's memory is not the fit's."""
        for engine in ENGINES:
            for n_features in FEATURES:
                try:
                    _fit(engine, _samples(n_features, 100_000))
                except NotImplementedError:  # not for these samples
                    continue

    def setup(self, engine, n_features):
        _fit(engine, _samples(n_features, 100_000))
        self.X = _samples(n_features, NUMBERS // n_features)

    def peakmem_samples(self, engine, n_features):
        pass

    def peakmem_fit(self, engine, n_features):
        _fit(engine, self.X)

    def track_bytes_per_sample(self, engine, n_features):
        before = _peak_bytes()
        _fit(engine, self.X)
        return (_peak_bytes() - before) / len(self.X)

    peakmem_samples.pretty_name = "Peak memory of the samples alone"
    peakmem_fit.pretty_name = "Peak memory of a fit"
    track_bytes_per_sample.pretty_name = "Memory of a fit per sample"
    track_bytes_per_sample.unit = "bytes beyond the samples"


def _peak_bytes():
    """Peak memory of this process so far."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
