"""The tree of Blocks, and the data that it likes least."""

import numpy as np
import pytest
from cases import Case
from hypothesis import given
from hypothesis import strategies as st
from test_contract import check_run, check_step, same

from fastkm import engines, kmeans, lloyd, reference
from fastkm.engines import blocks
from fastkm.engines.blocks import Blocks
from fastkm.kernels import kdtree
from fastkm.kernels._jit import serial


def spread_out(rng, n):
    """Scales from 1e-9 to 1e9, so that any regular grid is empty almost everywhere."""
    return rng.normal(size=(n, 2)) * 10.0 ** rng.uniform(-9, 9, (n, 1))


def with_outlier(rng, n):
    X = rng.normal(size=(n, 2))
    X[n // 3] = 1e12, -1e12
    return X


def mostly_one(rng, n):
    """One value, but for a few that a pick of samples does not meet."""
    X = np.full((n, 2), 0.1)
    X[[3, n // 2 + 1, n - 2]] = [[0.1, 0.2], [np.nextafter(0.1, 1), 0.1], [-7, 1e9]]
    return X


SHAPES = {
    "normal": lambda rng, n: rng.normal(size=(n, 2)),
    "one_feature": lambda rng, n: rng.standard_cauchy((n, 1)),
    "three_features": lambda rng, n: rng.normal(size=(n, 3)),
    "five_features": lambda rng, n: rng.normal(size=(n, 5)),
    "equal": lambda rng, n: np.full((n, 2), 0.1),
    "collinear": lambda rng, n: rng.normal(size=(n, 1)) * [1.0, 1e-3, 1e3],
    "diagonal": lambda rng, n: np.repeat(rng.normal(size=(n, 1)), 3, axis=1),
    "sorted": lambda rng, n: np.sort(rng.normal(size=(n, 2)), axis=0),
    "lattice": lambda rng, n: rng.integers(0, 12, (n, 2)).astype(float),
    "two_values": lambda rng, n: rng.integers(0, 2, (n, 3)).astype(float),
    "heavy_tail": lambda rng, n: rng.standard_cauchy((n, 2)) ** 3,
    "spread_out": spread_out,
    "outlier": with_outlier,
    "mostly_one": mostly_one,
    "circle": lambda rng, n: np.stack(
        [np.cos(t := np.linspace(0, 6.28, n)), np.sin(t)], 1
    ),
}

every_shape = pytest.mark.parametrize("shape", SHAPES)


def make(shape, rng, n=3000, dtype="f8"):
    return np.ascontiguousarray(SHAPES[shape](rng, n), dtype)


def walk(tree):
    """All nodes from the root, parents first."""
    found = [1]
    for node in found:
        child = tree.nodes[node, kdtree.CHILD]
        if child > 0:
            found += [child, child + 1]
    return found


@serial
def divide(
    node, level, rows, weights, origins, nodes, boxes, totals, next_nodes, last_nodes
):
    """As `kdtree.divide`, for Python to call."""
    return kdtree.divide(
        node, level, rows, weights, origins, nodes, boxes, totals, next_nodes,
        last_nodes,
    )  # fmt: skip


def divide_all(tree):
    """Divide what may be divided."""
    for node, level in (queue := [(1, 0)]):
        child = tree.nodes[node, kdtree.CHILD]
        if child < 0:
            child = divide(
                node, level, tree.rows, tree.weights, tree.origins, tree.nodes,
                tree.boxes, tree.sums, tree.next_nodes, tree.last_nodes,
            )  # fmt: skip
        if child > 0:
            queue += [(child, level + 1), (child + 1, level + 1)]


@every_shape
@pytest.mark.parametrize("n_chunks", [1, 3])
def test_tree_holds_the_samples(shape, n_chunks, rng):
    X = make(shape, rng)
    weights = rng.gamma(1.0, size=len(X))
    tree = Blocks(X, weights, n_chunks).tree
    check_tree(tree, X, shape)
    divide_all(tree)
    check_tree(tree, X, shape)
    for node in walk(tree):
        first, last, child = tree.nodes[node]
        is_point = (tree.rows[first:last] == tree.rows[first]).all()
        assert child > 0 or is_point or last - first <= kdtree.LARGE_LEAF


def check_tree(tree, X, shape):
    assert sorted(map(tuple, tree.rows)) == sorted(map(tuple, X))
    for node in walk(tree):
        first, last, child = tree.nodes[node]
        rows, row_weights = tree.rows[first:last], tree.weights[first:last]
        same(tree.boxes[node], np.stack([rows.min(axis=0), rows.max(axis=0)]))
        sums, total = reference.sum_clusters(
            rows, np.zeros(len(rows), np.int32), 1, row_weights
        )
        high, low, slack = tree.sums[node]
        assert (slack == 0).all() or shape in ("spread_out", "heavy_tail", "mostly_one")
        if (slack == 0).all():
            same(high + low + 0.0, np.append(sums[0], total))
        if child > 0:
            parts = tree.nodes[child], tree.nodes[child + 1]
            assert [first, parts[0][1], last] == [
                parts[0][0],
                parts[1][0],
                parts[1][1],
            ]
            assert all(part[0] < part[1] for part in parts)


@every_shape
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_labels_and_sums_on(shape, dtype, rng):
    X = make(shape, rng, dtype=dtype)
    centers = X[rng.permutation(len(X))[:9]]
    check_step(Blocks, Case(X, centers, None))
    weights = rng.gamma(0.5, size=len(X)) * (rng.random(len(X)) < 0.8)
    check_step(Blocks, Case(X, centers, weights))


@every_shape
def test_runs_on(shape, rng):
    X = make(shape, rng, n=700)
    check_run(Blocks, Case(X, X[rng.permutation(len(X))[:5]], None))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_matter(n_threads, monkeypatch, rng):
    monkeypatch.setattr(engines.InMemory, "n_chunks", lambda *_: n_threads)
    X = make("normal", rng, n=20_000)
    centers = X[:40]
    check_step(Blocks, Case(X, centers, None), n_threads)


@pytest.mark.parametrize("n_clusters", [300, 2000])
def test_many_centers(n_clusters, rng):
    X = make("normal", rng, n=2000)
    check_step(Blocks, Case(X, X[rng.permutation(2000)[:n_clusters]], None))


@pytest.mark.parametrize("offset", [1e4, 1e8, 1e15])
def test_far_from_the_origin(offset, rng):
    """Rounding makes neighbours equal: boxes that are points, distances that tie."""
    X = make("normal", rng) + offset
    check_step(Blocks, Case(X, X[:7], None))


def test_centers_on_a_ulp(rng):
    """Centers that differ in their last bits: nothing is certain but D."""
    X = make("normal", rng)
    centers = np.repeat(X[:1], 6, axis=0)
    for j in range(6):
        centers[j, j % 2] += (j - 2) * np.spacing(centers[j, j % 2])
    check_step(Blocks, Case(X, centers, None))


@given(st.data())
def test_lattices_are_full_of_ties(data):
    """Samples and centers on half integers, also far off and in other scales."""
    d = data.draw(st.integers(1, 3))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    scale = 2.0 ** data.draw(st.sampled_from([-540, -30, 0, 40, 500]))
    offset = data.draw(st.sampled_from([0, 7, 2**30]))
    X = rng.integers(-6, 7, (data.draw(st.integers(1, 900)), d)) + offset
    centers = rng.integers(-12, 13, (data.draw(st.integers(1, 12)), d)) / 2 + offset
    X, centers = X * scale, centers * scale
    engine = Blocks(X, None, 2)
    labels, distances = engine.assign(centers)
    with np.errstate(over="ignore"):
        slow_labels, slow_distances = reference.assign(X, centers)
    same(labels, slow_labels)
    same(distances, slow_distances)


def test_sums_follow_many_small_moves(rng):
    """Nodes change owner, split and join again: every step against sums made anew."""
    X = make("normal", rng, n=5000)
    engine = Blocks(X, None, 2)
    centers = X[:12].copy()
    before = np.full(len(X), -1, np.int32)
    for _ in range(60):
        labels, sums, weights = reference.step(X, centers)
        step = engine.step(centers)
        assert step.n_changed == (labels != before).sum()
        totals = lloyd.exact_totals(engine, step, labels)
        same(totals, np.column_stack([sums, weights]))
        before = labels
        centers = centers + rng.normal(size=centers.shape) * rng.choice([0.0, 0.01, 1])


@every_shape
@pytest.mark.parametrize("n_threads", [1, 3])
def test_steps_in_leaves_only(shape, n_threads, rng, monkeypatch):
    """Centers that drift, slower and faster, also from one place: all as made anew."""
    monkeypatch.setattr(blocks, "GAIN", np.inf)
    monkeypatch.setattr(engines.InMemory, "n_chunks", lambda *_: n_threads)
    X = make(shape, rng)
    weights = rng.integers(0, 3, len(X)).astype(float)
    engine = Blocks(X, weights, n_threads)
    centers = X[rng.permutation(len(X))[:12]]
    drift = rng.normal(size=centers.shape) * X.std(axis=0) * 2e-3
    before = np.full(len(X), -1, np.int32)
    for n in range(40):
        labels, sums, totals = reference.step(X, centers, weights)
        step = engine.step(centers)
        assert step.n_changed == (labels != before).sum()
        same(engine.label(centers), labels)
        exact = lloyd.exact_totals(engine, step, labels)
        same(exact, np.column_stack([sums, totals]))
        before = labels
        drift[rng.integers(12)] *= rng.choice([0.0, 0.5, 3.0], p=[0.05, 0.5, 0.45])
        centers = centers + drift * rng.uniform(0.5, 1.0)
        if n % 10 == 9:  # away, two to one place, and on from there
            centers = centers[::-1].copy()
            centers[5] = centers[4]
    # Leaves of these are points, which one center wins.
    few_values = shape in ("equal", "two_values", "mostly_one")
    assert engine.counts["steps in leaves only"] > 20 or few_values


def test_too_many_leaves_to_be_written_down(rng, monkeypatch):
    monkeypatch.setattr(blocks, "GAIN", np.inf)
    X = make("normal", rng)
    engine = Blocks(X, None, 1)
    engine._notes = np.empty((1, 40), np.int64)
    for n in range(6):
        centers = X[:9] + n * 1e-3
        engine.step(centers)
        same(engine.label(centers), reference.assign(X, centers)[0])
    assert engine.counts["steps in leaves only"] == 0


def test_most_samples_are_never_looked_at(rng):
    engine = Blocks(make("normal", rng, n=100_000), None, 2)
    engine.step(engine.X[:6])
    assert engine.counts["samples compared one by one"] < 15_000


@pytest.mark.parametrize(
    ("shape", "n_clusters", "n_steps", "name"),
    [
        ((20_000, 2), 6, 300, "blocks"),
        ((20_000, 4), 6, 300, "blocks"),
        ((20_000, 2), 400, 3, "blocks"),
        ((20_000, 2), 6, 0, "lanes"),
        ((20_000, 2), 6, 5, "lanes"),
        ((20_000, 5), 6, 300, "skips"),
        ((2_000, 2), 6, 300, "lanes"),
        ((20_000, 2), 5000, 300, "skips"),
    ],
)
def test_the_build_has_to_be_repaid(shape, n_clusters, n_steps, name):
    choice = engines.choose(np.zeros(shape), None, n_clusters, 1, n_steps=n_steps)
    assert choice.name == name


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_whole_fits_are_those_of_lanes(dtype, rng):
    X = make("outlier", rng, n=70_000, dtype=dtype)
    weights = rng.integers(0, 3, len(X)).astype(float)
    runs = [
        kmeans(X, 8, sample_weight=weights, n_init=2, random_state=0, engine=engine)
        for engine in ("auto", "lanes")
    ]
    assert [run.report.engine for run in runs] == ["blocks", "lanes"]
    same(runs[0].centers, runs[1].centers)
    same(runs[0].labels, runs[1].labels)
    assert runs[0].inertia == runs[1].inertia
    assert runs[0].report.n_changed == runs[1].report.n_changed
    counts = runs[0].report.counts
    assert (
        0
        < counts["samples compared one by one"]
        < len(X) * sum(run.n_iter + 2 for run in runs)
    )
