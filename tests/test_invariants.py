"""What holds for every result, of every engine and by every public entry."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from cases import DTYPES, SPECIAL

import fastkm
from fastkm import ClusterClassifier, KMeans, kmeans
from fastkm.engines import ENGINES, InMemory

ENTRIES = {
    "function": lambda X, k, weights, **options: kmeans(
        X, k, sample_weight=weights, **options
    ),
    "estimator": lambda X, k, weights, **options: _result(
        KMeans(k, **options).fit(X, sample_weight=weights)
    ),
    "classifier": lambda X, k, weights, **options: _result(
        ClusterClassifier(k, **options).fit(X, np.arange(len(X)) % 3, weights)
    ),
}
every_entry = pytest.mark.parametrize("entry", ENTRIES)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def _result(model):
    return fastkm.KMeansResult(
        model.cluster_centers_,
        model.labels_,
        model.inertia_,
        model.n_iter_,
        model.report_,
    )


def bits(result):
    return result.centers.tobytes(), result.labels.tobytes(), result.inertia


@pytest.fixture
def many_chunks(monkeypatch):
    """As many chunks as threads, however small the work."""
    monkeypatch.setattr(InMemory, "n_chunks", lambda self, work: self.n_threads)


@pytest.fixture(params=["float32", "float64", "weighted"])
def problem(request, rng):
    X = rng.normal(size=(900, 5)) * rng.gamma(1.0, size=5)
    weights = rng.integers(0, 4, 900) * 0.25 if request.param == "weighted" else None
    return X.astype("f4" if request.param == "float32" else "f8"), weights


@every_engine
@every_entry
def test_same_bits_for_any_threads_and_layout(
    entry, engine, problem, tmp_path, many_chunks
):
    X, weights = problem
    np.save(tmp_path / "X.npy", X)
    wide = np.zeros((len(X), 10), X.dtype)
    wide[:, ::2] = X
    layouts = {
        "C": X,
        "Fortran": np.asfortranarray(X),
        "strided": wide[:, ::2],
        "memmap": np.load(tmp_path / "X.npy", mmap_mode="r"),
    }
    before = X.copy(), None if weights is None else weights.copy()
    found = {
        bits(
            ENTRIES[entry](
                layouts[layout], 7, weights, random_state=2, n_threads=n, engine=engine
            )
        )
        for layout, n in [
            *(("C", n) for n in (1, 2, 3, 8)),
            *((layout, 2) for layout in layouts),
        ]
    }
    assert len(found) == 1
    assert np.array_equal(X, before[0])
    assert weights is None or np.array_equal(weights, before[1])


@every_engine
@pytest.mark.parametrize("init", ["k-means++", "random", "farthest"])
def test_labels_and_inertia_belong_to_the_centers(engine, init, problem):
    X, weights = problem
    for max_iter in (1, 2, 300):
        model = KMeans(
            7, init=init, max_iter=max_iter, random_state=1, engine=engine, tol=0
        ).fit(X, sample_weight=weights)
        assert np.array_equal(model.labels_, model.predict(X))
        assert model.inertia_ == -model.score(X, sample_weight=weights)
        assert len(np.unique(model.labels_)) == 7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECIAL)
@every_engine
def test_special_cases_keep_them_too(engine, name, dtype):
    X, centers, weights = SPECIAL[name](dtype)
    model = KMeans(
        len(centers), init=centers, n_init=1, max_iter=5, tol=0, engine=engine
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastkm.ConvergenceWarning)
        model.fit(X, sample_weight=weights)
    assert np.array_equal(model.labels_, model.predict(X))
    assert model.inertia_ == -model.score(X, sample_weight=weights)
    assert np.isfinite(model.cluster_centers_).all()


@every_engine
def test_inertia_never_rises(engine, problem):
    X, weights = problem
    found = [
        kmeans(
            X,
            9,
            init=X[:9],
            sample_weight=weights,
            max_iter=n,
            tol=0,
            engine=engine,
        ).inertia
        for n in (1, 2, 3, 4, 6, 9, 15, 300)
    ]
    # Centers are rounded to the dtype of X: each moves by half a unit in its last
    # place, which costs at most that squared, per sample and feature, and weight.
    ulp = np.spacing(np.abs(X).max())
    slack = X.size * float(ulp) ** 2
    for before, after in pairwise(found):
        assert after <= before + slack
