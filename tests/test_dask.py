"""Dask collections: the bits of one array, on any workers, also when one is lost."""

import os
import pickle
import signal

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import fastkm
import fastkm.dask
from fastkm import shares
from fastkm.__main__ import main

distributed = pytest.importorskip("distributed", reason="clusters are distributed's")

# What dask.distributed itself warns of, when many clusters come and go in one process.
pytestmark = pytest.mark.filterwarnings("ignore::Warning:distributed.*")

INITS = ["k-means++", "k-means||", "random", "farthest"]


def samples(n=9000, d=5, dtype="f8"):
    return np.random.default_rng(2).random((n, d)).astype(dtype)


def same(fast, slow):
    fast = np.asarray(fast)
    assert fast.dtype == slow.dtype and fast.shape == slow.shape
    assert fast.tobytes() == slow.tobytes()


def check(X, collection, weights=None, weight_collection=None, **options):
    options = {"n_clusters": 6, "random_state": 0, **options}
    slow = fastkm.KMeans(**options).fit(X, sample_weight=weights)
    fast = fastkm.dask.KMeans(**options)
    fast.fit(collection, sample_weight=weight_collection)
    same(fast.cluster_centers_, slow.cluster_centers_)
    assert fast.inertia_ == slow.inertia_ and fast.n_iter_ == slow.n_iter_
    assert fast.report_.inertias == slow.report_.inertias
    same(fast.labels_.compute(), slow.labels_)
    return fast, slow


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_bits_of_one_array_on_threads(init, weighted, dtype):
    X = samples(dtype=dtype)
    weights = np.random.default_rng(3).gamma(0.4, size=len(X)) if weighted else None
    given = None if weights is None else da.from_array(weights, chunks=1000)
    X_in_blocks = da.from_array(X, chunks=(2000, 2))
    fast, slow = check(X, X_in_blocks, weights, given, init=init, n_init=2)
    same(fast.predict(X_in_blocks).compute(), slow.predict(X))
    same(fast.transform(X_in_blocks).compute(), slow.transform(X))
    assert fast.score(X_in_blocks, sample_weight=given) == slow.score(
        X, sample_weight=weights
    )


def test_few_samples_that_are_sorted_first():
    X = samples(60, 3)
    check(X, da.from_array(X, chunks=(7, 3)))


def test_frames_and_empty_partitions():
    X = samples()
    frame = pd.DataFrame(X, columns=list("abcde"))
    check(X, dd.from_pandas(frame, npartitions=4))
    parts = dd.from_pandas(frame, npartitions=4)
    none = dd.from_pandas(frame[:0], npartitions=1)
    check(X, dd.concat([parts, none]))


def test_given_centers_refilled_clusters_and_frozen_ones():
    X = samples().round(1)
    init = np.concatenate([X[:3], np.full((3, 5), 9.0)])
    in_blocks = da.from_array(X, chunks=(2500, 5))
    _, slow = check(X, in_blocks, init=init, n_init=1, max_iter=5)
    assert slow.report_.n_refilled >= 3
    check(X, in_blocks, init=init, n_init=1, frozen=[False] * 5 + [True])
    check(X, in_blocks, init=lambda X, k, random_state: np.eye(6, 5), n_init=1)


@pytest.mark.parametrize(
    ("given", "weights", "options", "words"),
    [
        (np.eye(3), None, {}, "X is a ndarray"),
        (da.ones(5, chunks=2), None, {}, r"X has shape \(5,\); it must be 2-D"),
        (da.ones((5, 2), chunks=2), None, {"n_swaps": 3}, "n_swaps=3 is not"),
        (da.ones((5, 2), chunks=2), None, {"n_clusters": 0}, "n_clusters=0"),
        (da.ones((5, 2), chunks=2), None, {"n_clusters": 9}, "n_samples=5 should be"),
        (da.ones((5, 2), chunks=2), da.ones(4), {}, r"sample_weight has shape \(4,\)"),
        (da.ones((5, 2), chunks=2), -da.ones(5), {}, "must not be negative"),
        (da.ones((5, 2), chunks=2), da.zeros(5), {}, "one must be positive"),
        (da.ones((0, 2)), None, {}, "0 sample"),
        (1e200 * da.ones((5, 2), chunks=2), None, {}, "overflow"),
        (da.ones((5, 2), chunks=2) * 1j, None, {}, "Complex data not supported"),
    ],
)
def test_wrong_calls(given, weights, options, words):
    model = fastkm.dask.KMeans(**{"n_clusters": 2, **options})
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(given, sample_weight=weights)


def test_a_missing_value_is_named_with_its_partition():
    X = samples()
    X[4100, 3] = np.nan
    with pytest.raises(ValueError, match=r"X \(partition 2\)\[100, 3\] is nan"):
        fastkm.dask.KMeans(2).fit(da.from_array(X, chunks=(2000, 5)))


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_worker_processes(cluster, init):
    X = samples(d=7, n=9000)
    with distributed.Client(cluster):
        check(X, da.from_array(X, chunks=(1300, 7)), init=init)
        many = np.random.default_rng(1).random((3000, 700))  # centers are scattered
        given = da.from_array(many, chunks=(1000, 700))
        check(many, given, n_clusters=40, init="random", n_init=1, max_iter=4)


@pytest.mark.parametrize("weighted", [False, True])
def test_an_interrupted_fit_goes_on_from_its_checkpoint(weighted, tmp_path):
    X = samples()
    weights = np.random.default_rng(3).gamma(0.4, size=len(X)) if weighted else None
    given = None if weights is None else da.from_array(weights, chunks=2000)
    in_blocks = da.from_array(X, chunks=(2000, 5))

    class Enough(Exception):
        pass

    def interrupt(state):
        if state.iteration == 3:
            raise Enough

    options = {"checkpoint": tmp_path / "state", "tol": 0}
    model = fastkm.dask.KMeans(6, random_state=0, callback=interrupt, **options)
    with pytest.raises(Enough):
        model.fit(in_blocks, sample_weight=given)
    assert (tmp_path / "state").exists()
    other = fastkm.dask.KMeans(6, random_state=0, **options)
    for wrong in (in_blocks.rechunk((3000, 5)), in_blocks + 1):
        same_parts = None if given is None else given.rechunk((wrong.chunks[0],))
        with pytest.raises(ValueError, match="belongs to another fit"):
            other.fit(wrong, sample_weight=same_parts)
    fast = other.fit(in_blocks, sample_weight=given)
    slow = fastkm.KMeans(6, random_state=0, tol=0).fit(X, sample_weight=weights)
    same(fast.cluster_centers_, slow.cluster_centers_)
    assert fast.inertia_ == slow.inertia_
    assert fast.report_.shifts == slow.report_.shifts
    assert not (tmp_path / "state").exists()


def test_a_worker_killed_in_the_middle_of_a_fit():
    """Its partitions are made again, from the graph; the bits are the same."""
    X = samples(40_000, 8)
    lost = []
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def kill_one(state):
            if state.iteration == 3:
                ((_, pid), *_) = client.run(os.getpid).items()
                os.kill(pid, signal.SIGKILL)
                lost.append(pid)

        check(X, da.from_array(X, chunks=(5000, 8)), tol=0, callback=kill_one)
    assert len(lost) == 2  # the reference calls back as well


def test_the_command_line(cluster, tmp_path, capsys, monkeypatch):
    X = samples()
    folder = tmp_path / "parts"
    folder.mkdir()
    for n, part in enumerate(np.array_split(X, 11)):
        np.save(folder / f"part-{n}.npy", part)
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.to_parquet(tmp_path / "X.parquet", row_group_size=700)
    np.save(tmp_path / "X.npy", X)
    monkeypatch.chdir(tmp_path)
    results = []
    for n, command in enumerate(
        [
            "fit X.npy",
            "fit X.npy --max-memory 0.5MB --checkpoint state",
            "fit parts",
            "fit parts --max-memory 0.5MB",
            "fit X.parquet --max-memory 0.5MB",
            "fit X.parquet --max-memory 0.5MB --spool .",
            f"fit parts --scheduler {cluster.scheduler_address} --checkpoint state",
            f"fit X.parquet --scheduler {cluster.scheduler_address}",
        ]
    ):
        assert main(f"{command} -k 5 -o {n}.npz --labels {n}.npy".split()) == 0
        assert "samples     9000 x 5 features, float64" in capsys.readouterr().out
        results.append(fastkm.KMeans.load(f"{n}.npz").cluster_centers_.tobytes())
        results.append(np.load(f"{n}.npy").tobytes())
    assert len(set(results[::2])) == len(set(results[1::2])) == 1
    assert not (tmp_path / "state").exists()
    assert len(list(tmp_path.glob("*.npy"))) == 1 + len(results) // 2  # no spool


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("parts --key a", "--key is not for what is read in chunks"),
        ("parts --max-memory much", "max_memory='much' must be a number of bytes"),
        ("parts --labels parts/0.npy", "parts/0.npy would be among the samples"),
        ("X.npy --checkpoint X.npy", "X.npy would be overwritten"),
        ("nowhere.parquet", "or name a file or folder that exists"),
        ("X.npy --scheduler tcp://localhost:1", "--scheduler is for Parquet files"),
        ("parts --scheduler h --max-memory 1GB", "--max-memory does not go together"),
        ("X.npy --spool .", "--spool is for Parquet files and folders"),
        ("parts --spool nowhere", "nowhere"),
    ],
)
def test_wrong_command_lines(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    np.save("parts/0.npy", samples(20))
    np.save("X.npy", samples(20))
    assert main(f"fit {options} -k 2".split()) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "model.npz").exists()


def shares_of(X, weights=None, n_clusters=5):
    settings = shares.Settings(n_clusters, "auto", 50, 0)
    return fastkm.dask.Workers(X, weights, settings)


def test_partitions_of_a_worker_share_an_engine(cluster):
    X = samples(9000, 7)
    in_blocks = da.from_array(X, chunks=(700, 7))
    with distributed.Client(cluster):
        workers = shares_of(in_blocks)
        assert len(workers.places) == 13
        assert len(workers.shares) == len({n for n, _ in workers.places}) <= 2
        found = workers.rows(np.array([8999, 0, 701, 699]))
        same(found, X[[8999, 0, 701, 699]])
    here = shares_of(in_blocks)
    assert here.places == [(0, n) for n in range(13)]
    (share,) = here.shares
    same(share.X, X)
    alone = shares.Share([shares.Block(X, None)], share.settings)
    assert np.shares_memory(alone.X, X)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_share_that_is_sent_begins_anew(weighted):
    X = samples()
    weights = np.arange(9000) % 3.0 if weighted else None
    given = None if weights is None else da.from_array(weights, chunks=2000)
    (share,) = shares_of(da.from_array(X, chunks=(2000, 5)), given).shares
    first, second = X[:5], X[5:10]
    shares.step_of(share, first, "")
    last = shares.digest(first)
    sent = pickle.loads(pickle.dumps(share))
    expected = shares.step_of(share, second, last)
    step = shares.step_of(sent, second, last)
    assert (step.totals.rounded()[0] == expected.totals.rounded()[0]).all()
    assert step.touched.all() and step.n_changed == 9000
    labels, distances = fastkm.assign(X, second)
    for number, start in enumerate(range(0, 9000, 2000)):
        part = sent.part(number, start)
        rows = slice(start, start + 2000)
        found = part.engine(5).assignment(second)
        same(found.labels, labels[rows])
        same(found.distances, distances[rows])
        found.labels[:] = 9  # its own
    same(sent.assign(second)[0], labels)
