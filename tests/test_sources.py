"""Sources: what is read in chunks gives the bits of one array, or a clear error."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from scripts import run, script

import fastkm
from fastkm import KMeans, sources
from fastkm.sources import Checked, recognize
from fastkm.spool import spooled

h5py = pytest.importorskip("h5py", reason="HDF5 is read by h5py")
zarr = pytest.importorskip("zarr", reason="Zarr arrays are read by zarr")

# Of 9000 samples, which do not fit into any: what is kept may fill half of it.
KEEPS_LABELS, KEEPS_STATE, KEEPS_NOTHING = 700_000, 150_000, 140_000

DTYPES = ["f4", "f8", "i2", "f2", "u1"]


class Yielding:
    """Arrays of rows, yielded anew by every iteration."""

    def __init__(self, *chunks, length=None):
        self.chunks = chunks
        self.length = sum(map(len, chunks)) if length is None else length

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(self.chunks)


def samples(dtype="f8", n=97, d=5):
    values = 50 * np.random.default_rng(3).random((n, d))
    return values.astype(dtype)


def names(X):
    return [f"c{f}" for f in range(X.shape[1])]


def as_memmap(X, tmp_path, order="C"):
    path = tmp_path / "samples.dat"
    mapped = np.memmap(path, X.dtype, "w+", shape=X.shape, order=order)
    mapped[:] = X
    mapped.flush()
    return np.memmap(path, X.dtype, "r", shape=X.shape, order=order)


def as_folder(X, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for n, some in enumerate(np.array_split(X, 12)):  # part-10 comes after part-2
        np.save(folder / f"part-{n}.npy", some)
    (folder / "notes.txt").write_text("not a part")
    return folder


def as_npy(X, tmp_path):
    np.save(tmp_path / "samples.npy", X)
    return str(tmp_path / "samples.npy")


def as_fortran_npy(X, tmp_path):
    np.save(tmp_path / "samples.npy", np.asfortranarray(X))
    return tmp_path / "samples.npy"


def as_hdf5(X, tmp_path):
    file = h5py.File(tmp_path / "samples.h5", "w")
    return file.create_dataset("X", data=X, chunks=(10, 2), compression="gzip")


def as_zarr(X, tmp_path):
    path = str(tmp_path / "samples.zarr")
    chunks = max(7, len(X) // 20), 3
    array = zarr.open(path, mode="w", shape=X.shape, chunks=chunks, dtype=X.dtype)
    array[:] = X
    return zarr.open(path, mode="r")


def as_parquet(X, tmp_path):
    frame = pd.DataFrame(X, columns=names(X))
    rows = max(31, len(X) // 20)
    frame.to_parquet(tmp_path / "samples.parquet", row_group_size=rows)
    return tmp_path / "samples.parquet"


def as_parquet_folder(X, tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    for n, some in enumerate(np.array_split(X, 3)):
        frame = pl.DataFrame(some, schema=names(X))
        frame.write_parquet(folder / f"{n}.parquet")
    return folder


def as_parquet_file(X, tmp_path):
    return pyarrow.parquet.ParquetFile(as_parquet(X, tmp_path))


def as_dataset(X, tmp_path):
    return pyarrow.dataset.dataset(as_parquet_folder(X, tmp_path))


def as_yielded(X, tmp_path):
    return Yielding(X[:40], X[40:40], X[40:41], X[41:])


def as_view(X, tmp_path):
    wide = np.zeros((2 * len(X), X.shape[1] + 2), X.dtype)
    wide[::2, 1:-1] = X
    return as_memmap(wide, tmp_path)[::2, 1:-1]


MAKERS = [
    *(as_memmap, as_folder, as_npy, as_fortran_npy, as_hdf5, as_zarr, as_parquet),
    *(as_parquet_folder, as_parquet_file, as_dataset, as_yielded, as_view),
]
every_source = pytest.mark.parametrize("make", MAKERS)


def nowhere(shape, dtype):
    return None


def checked(X, chunk_bytes=2**24, place=nowhere):
    source = recognize(X, "X", chunk_bytes) or sources.Rows(X, "X", chunk_bytes)
    return Checked(source, place)


def same(fast, slow):
    assert fast.dtype == slow.dtype and fast.shape == slow.shape
    assert fast.tobytes() == slow.tobytes()


@every_source
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chunk_bytes", [1, 8 * 5 * 13, 2**24])
def test_the_values_of_one_array(make, dtype, chunk_bytes, tmp_path):
    if dtype == "f2" and make in (as_parquet_folder, as_dataset):
        dtype = "f4"  # Polars has no half floats
    X = samples(dtype)
    expected = X.astype("f4" if dtype in ("f2", "f4") else "f8")
    given = make(X, tmp_path)
    chunks = checked(given, chunk_bytes)
    assert chunks.shape == X.shape and chunks.dtype == expected.dtype
    assert chunks.largest == np.abs(expected).max()
    same(np.concatenate(list(chunks)), expected)
    n_chunks = len(chunks.starts) - 1
    chosen = [0, n_chunks // 2, n_chunks - 1][: 1 if n_chunks < 3 else 3]
    some = [expected[chunks.starts[c] : chunks.starts[c + 1]] for c in chosen]
    same(np.concatenate(list(chunks.some(chosen))), np.concatenate(some))
    assert list(chunks.some([])) == []
    indices = np.array([96, 0, 40, 40, 13])
    same(chunks.rows(indices), expected[indices])
    same(chunks.rows(indices[:0]), expected[:0])
    if chunk_bytes == 1:
        assert len(chunks.starts) == 98
    held = checked(given, chunk_bytes, np.empty)
    same(held.array, expected)


@every_source
def test_the_fit_of_one_array(make, tmp_path):
    """In memory, in chunks with labels kept, and with nothing kept."""
    X = samples(n=9000)  # too many to be sorted before seeding
    options = {"n_clusters": 6, "random_state": 1, "tol": 0, "max_iter": 20}
    slow = fastkm.kmeans(X, **options)
    given = make(X, tmp_path)
    for max_memory in (None, KEEPS_LABELS, KEEPS_STATE, KEEPS_NOTHING):
        fast = fastkm.kmeans(given, **options, max_memory=max_memory)
        assert (fast.report.engine == "chunks") == (max_memory is not None)
        same(fast.centers, slow.centers)
        same(fast.labels, slow.labels)
        assert fast.inertia == slow.inertia and fast.n_iter == slow.n_iter
        assert (-1 in fast.report.n_changed) == (max_memory == KEEPS_NOTHING)


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random", "farthest"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("max_memory", [KEEPS_LABELS, KEEPS_STATE, KEEPS_NOTHING])
def test_every_init_and_weights(init, weighted, max_memory):
    X = samples(n=9000, d=4).round(1)
    weight = np.random.default_rng(5).gamma(0.5, size=9000) if weighted else None
    options = {"init": init, "n_init": 2, "random_state": 1, "sample_weight": weight}
    slow = fastkm.kmeans(X, 9, **options)
    given = Yielding(*np.array_split(X, 11))
    fast = fastkm.kmeans(given, 9, **options, max_memory=max_memory)
    same(fast.centers, slow.centers)
    same(fast.labels, slow.labels)
    assert fast.report.inertias == slow.report.inertias


def test_empty_clusters_are_refilled_without_labels():
    X = samples(n=9000).round(0)
    init = np.concatenate([X[:3], np.full((4, 5), 900.0)])
    slow = fastkm.kmeans(X, 7, init=init, max_iter=5)
    assert slow.report.n_refilled >= 4
    given = Yielding(*np.array_split(X, 7))
    fast = fastkm.kmeans(given, 7, init=init, max_iter=5, max_memory=KEEPS_NOTHING)
    assert fast.report.n_refilled == slow.report.n_refilled
    assert set(fast.report.n_changed[1:]) == {-1}  # nothing is kept
    same(fast.centers, slow.centers)
    same(fast.labels, slow.labels)


def test_an_array_in_memory_is_held_to_max_memory_as_well():
    X = samples(n=9000)
    fast = fastkm.kmeans(X, 4, random_state=0, max_memory="0.6 MB")
    assert fast.report.engine == "chunks"
    same(fast.centers, fastkm.kmeans(X, 4, random_state=0).centers)


# --- outputs


def test_labels_and_distances_go_where_they_are_asked_to(tmp_path):
    X = samples(n=9000)
    given = Yielding(*np.array_split(X, 7))
    path = tmp_path / "labels.npy"
    model = KMeans(5, random_state=0, max_memory=KEEPS_NOTHING, labels_out=path).fit(
        given
    )
    assert isinstance(model.labels_, np.memmap) and not model.labels_.flags.writeable
    slow = KMeans(5, random_state=0).fit(X)
    same(np.asarray(model.labels_), slow.labels_)
    same(np.load(path), slow.labels_)
    same(model.predict(given), slow.labels_)
    assert model.score(given) == slow.score(X)

    labels, distances = np.empty(9000, "i4"), tmp_path / "distances.npy"
    centers = slow.cluster_centers_
    for X_or_chunks in (X, given):
        answer = fastkm.assign(
            X_or_chunks, centers, labels_out=labels, distances_out=distances
        )
        assert answer[0] is labels
        same(labels, slow.labels_)
        same(np.load(distances), fastkm.assign(X, centers)[1])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["distances.npy", "labels.npy"]


def test_in_memory_labels_go_to_a_file_too(tmp_path):
    path = tmp_path / "labels.npy"
    result = fastkm.kmeans(samples(), 3, random_state=0, labels_out=path)
    same(np.load(path), np.asarray(result.labels))


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.empty(96, "i4"), r"labels_out has shape \(96,\)"),
        (np.empty(97), "labels_out has .* float64; it must be an array .* of int32"),
        (3, "labels_out=3 must be an array"),
        ("/nowhere/labels.npy", "in a folder that exists"),
    ],
)
def test_a_wrong_place_for_labels(out, words):
    with pytest.raises(ValueError, match=words):
        fastkm.kmeans(samples(), 3, labels_out=out)
    with pytest.raises(ValueError, match=words):
        fastkm.assign(samples(), samples()[:3], labels_out=out)


@pytest.mark.parametrize("make", [as_npy, as_folder, as_memmap, as_hdf5, as_dataset])
def test_samples_are_not_written_over(make, tmp_path):
    X = samples()
    given = make(X, tmp_path)
    (file,) = sources.paths(given)[:1]
    path = tmp_path / file / "part-0.npy" if make is as_folder else file
    before = Path(path).read_bytes()
    for function in (fastkm.kmeans, fastkm.assign):
        with pytest.raises(ValueError, match=r"labels_out=.* among, the samples"):
            function(given, 3 if function is fastkm.kmeans else X[:3], labels_out=path)
    assert Path(path).read_bytes() == before


def test_no_room_for_labels():
    X = np.zeros((300_000, 1), "f4")
    with pytest.raises(ValueError, match="give labels_out, a file for them"):
        fastkm.kmeans(Yielding(X), 2, max_memory="1 MB")


def test_nothing_half_written_is_left(tmp_path):
    """Chunk 1 changes when the labels are written, after all else went well."""
    X = samples(n=9000)

    class Turning(Yielding):
        passes = 0

        def __iter__(self):
            self.passes += 1
            yield X[:5000]
            yield X[5000:] + (self.passes > 1)

    path = tmp_path / "labels.npy"
    with pytest.raises(ValueError, match="something else than in its first pass"):
        fastkm.assign(Turning(X), X[:2], labels_out=path, max_memory=KEEPS_NOTHING)
    assert list(tmp_path.iterdir()) == []


# --- errors


def with_nan(X, row, column):
    X = X.copy()
    X[row, column] = np.nan
    return X


@every_source
def test_a_missing_value_is_named(make, tmp_path):
    given = make(with_nan(samples(), 93, 2), tmp_path)
    with pytest.raises(ValueError, match=r"\(chunk \d+\)\[93, 2\].* is nan") as caught:
        checked(given, 8 * 5 * 13)
    assert "must not contain NaN" in str(caught.value)


def test_columns_of_tables_are_named(tmp_path):
    table = pa.table({"a": [1.0, 2.0, None], "b": [1, 2, 3]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"\[2, 0\] \(column 'a'\) is nan"):
        fastkm.kmeans(tmp_path / "t.parquet", 1)
    table = pa.table({"a": [1.0, 2.0], "b": ["x", "y"]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"column 'b'.* must hold numbers"):
        fastkm.kmeans(tmp_path / "t.parquet", 1)


X5 = samples(n=5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Yielding(X5, X5[:, :4]), "chunk 1.* has 4 columns, those before it have 5"),
        (Yielding(X5, X5.astype("f4")), "chunk 1.* has dtype float32"),
        (Yielding(X5, X5.astype(complex)), "chunk 1.* has dtype complex128"),
        (Yielding(X5, X5[0]), r"chunk 1\) has shape \(5,\); it must be 2-D"),
        (Yielding(X5, [["a"] * 5]), "chunk 1.* must hold numbers"),
        (Yielding(X5, length=6), "yields 5 rows, but its length is 6"),
        (Yielding(X5, X5, length=6), "yields 10 rows, but its length is 6"),
        (Yielding(), "0 sample"),
        (Yielding(X5[:, :0]), "0 feature"),
        (iter([X5]), "can be gone through once"),
        ((x for x in [X5]), "can be gone through once"),
        ("no such.npy", "or name a file or folder that exists"),
        (__file__, "must be a .npy or .parquet file"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("max_memory", [None, KEEPS_NOTHING])
def test_what_is_no_source(given, words, max_memory):
    with pytest.raises(ValueError, match=words):
        KMeans(2, max_memory=max_memory).fit(given)


def test_what_changes_is_an_error_not_a_result():
    class Shuffled(Yielding):
        def __iter__(self):
            rng = np.random.default_rng()
            yield from np.array_split(rng.permutation(self.chunks[0]), 3)

    class Shrinking(Yielding):
        passes = 0

        def __iter__(self):
            self.passes += 1
            yield self.chunks[0][:50]
            if self.passes == 1:
                yield self.chunks[0][50:]

    for kind in (Shuffled, Shrinking):
        with pytest.raises(ValueError, match="every pass must give the same samples"):
            fastkm.kmeans(kind(samples(n=9000)), 2, max_memory=KEEPS_NOTHING)


def test_damaged_files(tmp_path):
    X = samples()
    path = as_npy(X, tmp_path)
    chunks = checked(path, 400)
    whole = (tmp_path / "samples.npy").read_bytes()
    (tmp_path / "samples.npy").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="ends before row 97"):
        list(chunks)
    with pytest.raises(ValueError, match=r"samples.npy cannot be read"):
        recognize(path, "X")
    (tmp_path / "samples.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"samples.npy cannot be read"):
        recognize(path, "X")
    np.save(path, np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"samples.npy cannot be read"):
        recognize(path, "X")
    np.save(path, X[0])
    with pytest.raises(ValueError, match=r"shape \(5,\); it must be 2-D"):
        recognize(path, "X")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(ValueError, match=r"x.parquet cannot be read"):
        recognize(tmp_path / "x.parquet", "X")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"or a folder of files of one of these"):
        recognize(tmp_path / "empty", "X")
    with pytest.raises(ValueError, match=r"x.parquet|one of these kinds"):
        recognize(tmp_path, "X")  # kinds are mixed


@pytest.mark.parametrize("given", ["2 parsecs", "", "GB", -1, 10, True, np.nan, [1]])
def test_max_memory_is_checked(given):
    with pytest.raises(ValueError, match=r"max_memory=.* must be a number of bytes"):
        fastkm.kmeans(samples(), 2, max_memory=given)


# --- reading


def test_reading_ahead():
    read = []

    def items():
        for n in range(5):
            read.append(n)
            yield n
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        for n in sources.ahead(items()):
            seen.append(n)
            assert len(read) <= n + 2  # at most one ahead
    assert seen == list(range(5))
    walk = sources.ahead(items())
    assert next(walk) == 0
    walk.close()


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are asked of Linux")
@pytest.mark.parametrize("kind", ["memmap", "path"])
def test_peak_memory_is_held_to_max_memory(kind, tmp_path):
    """Samples of 410 MB, of which 60 may be held, 3 MB of labels among them."""
    path = tmp_path / "samples.npy"
    code = """
        import resource
        import numpy as np
        import fastkm

        X = np.lib.format.open_memmap(PATH, "w+", "f8", (800_000, 64))
        for start in range(0, len(X), 100_000):
            rng = np.random.default_rng(start)
            X[start : start + 100_000] = rng.random((100_000, 64))
        X.flush()
        del X
        given = np.load(PATH, mmap_mode="r") if KIND == "memmap" else PATH
        options = dict(n_clusters=5, random_state=0, max_iter=2)
        fastkm.kmeans(np.random.default_rng(1).random((70_000, 64)), **options,
                      max_memory="20 MB")  # compiled
    """
    measure = """
        def peak():  # since it was reset
            status = dict(line.split(":", 1) for line in open("/proc/self/status"))
            return 1024 * int(status["VmHWM"].split()[0])

        open("/proc/self/clear_refs", "w").write("5")
        before = peak()
        fastkm.kmeans(given, **options, max_memory="60 MB")
        print(peak() - before)
    """
    names = f"PATH, KIND = {(str(path), kind)}"
    used = int(run(script(names, code, measure)))
    assert used < 90e6  # the whims of the allocator, and the stacks of threads


# --- spools


@every_source
def test_a_spool_gives_the_values_and_is_removed(make, tmp_path):
    X = samples(n=9000)
    (tmp_path / "spools").mkdir()
    given = make(X, tmp_path)
    if isinstance(given, np.memmap):
        with pytest.raises(ValueError, match="not a source that is read anew"):
            with spooled(given, tmp_path / "spools"):
                pass
        return
    with spooled(given, tmp_path / "spools") as path:
        assert list((tmp_path / "spools").iterdir()) == [path]
        same(np.load(path), X)
        options = {"random_state": 0, "max_memory": KEEPS_NOTHING}
        fast = fastkm.kmeans(path, 4, **options)
        same(fast.centers, fastkm.kmeans(X, 4, random_state=0).centers)
    assert not list((tmp_path / "spools").iterdir())


def test_a_spool_of_wrong_samples_leaves_nothing(tmp_path):
    (tmp_path / "spools").mkdir()
    with pytest.raises(ValueError, match=r"\(chunk 0\)\[1, 2\] is nan"):
        with spooled(Yielding(with_nan(samples(), 1, 2)), tmp_path / "spools"):
            pass
    assert not list((tmp_path / "spools").iterdir())
