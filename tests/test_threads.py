"""Threads and processes: same bits, no abort, no hang."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastkm import KMeans, kmeans
from fastkm.engines import ENGINES, InMemory


@pytest.fixture
def X(rng):
    return rng.normal(size=(4000, 12)) * rng.gamma(1.0, size=12)


def bits(result):
    return result.centers.tobytes(), result.labels.tobytes(), result.inertia


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("init", ["k-means++", "random", "farthest"])
def test_same_bits_for_any_number_of_threads(engine, init, X, monkeypatch):
    monkeypatch.setattr(InMemory, "n_chunks", lambda self, work: self.n_threads)
    results = {
        bits(kmeans(X, 15, init=init, random_state=3, n_threads=n, engine=engine))
        for n in (1, 2, 3, 5, 8)
    }
    assert len(results) == 1


def test_engines_agree(X):
    results = {bits(kmeans(X, 15, random_state=3, engine=name)) for name in ENGINES}
    assert len(results) == 1


def test_layout_does_not_matter(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    wide = np.zeros((4000, 24))
    wide[:, ::2] = X
    frozen = X.copy()
    frozen.flags.writeable = False
    layouts = {
        "C": X,
        "F": np.asfortranarray(X),
        "strided": wide[:, ::2],
        "reversed": X[::-1].copy()[::-1],
        "read-only": frozen,
        "memmap": np.load(tmp_path / "X.npy", mmap_mode="r"),
        "list": X.tolist(),
    }
    before = X.copy()
    results = {name: bits(kmeans(Y, 9, random_state=1)) for name, Y in layouts.items()}
    assert len(set(results.values())) == 1
    assert np.array_equal(X, before)


def test_fits_from_many_python_threads(X):
    expected = bits(kmeans(X, 15, random_state=3))
    with ThreadPoolExecutor(8) as pool:
        fits = [pool.submit(kmeans, X, 15, random_state=3) for _ in range(24)]
        assert {bits(fit.result(timeout=120)) for fit in fits} == {expected}


def test_predictions_from_many_python_threads(X):
    model = KMeans(15, random_state=3).fit(X)
    with ThreadPoolExecutor(8) as pool:
        labels = [pool.submit(model.predict, X) for _ in range(50)]
        assert all(np.array_equal(task.result(120), model.labels_) for task in labels)
