"""What may be given as samples: tables, small integers, sparse matrices, memmaps."""

import subprocess
import sys
import tracemalloc
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
from cases import Case, Slices
from test_contract import check_run_of, check_step_of

import fastkm
from fastkm import (
    ClusterClassifier,
    KMeans,
    engines,
    inputs,
    lloyd,
    metrics,
    seeding,
    validation,
)
from fastkm.engines import chunks

FITTED = ("cluster_centers_", "labels_", "inertia_", "n_iter_")


def same(fast, slow):
    """Same dtype, shape and bits."""
    fast, slow = np.asarray(fast), np.asarray(slow)
    assert (fast.dtype, fast.shape) == (slow.dtype, slow.shape)
    assert fast.tobytes() == slow.tobytes()


def check_everything(X, plain, *, n_clusters=5, weights=None):
    """Everything that takes samples gives the same bits for X as for a plain array."""
    given = {"sample_weight": weights}
    options = {"random_state": 3, "max_iter": 20}
    model = KMeans(n_clusters, **options).fit(X, **given)
    other = KMeans(n_clusters, **options).fit(plain, **given)
    for name in FITTED:
        same(getattr(model, name), getattr(other, name))
    same(model.predict(X), other.predict(plain))
    same(model.transform(X), other.transform(plain))
    same(model.score(X, **given), other.score(plain, **given))
    same(model.fit_predict(X, **given), other.labels_)
    same(model.fit_transform(X, **given), other.transform(plain))
    for init in ("random", "farthest", plain[:n_clusters], first_samples):
        fast = fastkm.kmeans(X, n_clusters, init=init, n_init=1, **options, **given)
        slow = fastkm.kmeans(plain, n_clusters, init=init, n_init=1, **options, **given)
        for one, two in zip(fast[:4], slow[:4], strict=True):
            same(one, two)
    seeds = {"random_state": 7, **given}
    for one, two in zip(
        fastkm.kmeans_plusplus(X, n_clusters, **seeds),
        fastkm.kmeans_plusplus(plain, n_clusters, **seeds),
        strict=True,
    ):
        same(one, two)
    centers = other.cluster_centers_
    for one, two in zip(
        fastkm.assign(X, centers), fastkm.assign(plain, centers), strict=True
    ):
        same(one, two)
    same(metrics.inertia(X, centers, **given), metrics.inertia(plain, centers, **given))
    same(
        metrics.squared_distances(X, centers),
        metrics.squared_distances(plain, centers),
    )
    y = np.arange(plain.shape[0]) % 3
    classes = [
        ClusterClassifier(n_clusters, **options).fit(some, y, **given).predict(some)
        for some in (X, plain)
    ]
    same(*classes)


def first_samples(X, n_clusters, random_state):
    """Give initial centers from whatever a callable is given."""
    some = X[:n_clusters]
    some = some.toarray() if hasattr(some, "toarray") else some
    return some - 0.5  # would wrap around in unsigned integers


# --- integers that are held as they are

SMALL = [np.bool_, np.uint8, np.int8, np.uint16, np.int16]


@pytest.fixture
def held(monkeypatch):
    """However few integers stay what they are."""
    monkeypatch.setattr(validation.samples, "HELD_AS_INTEGERS", 0)


def integers(dtype, n, d, *, some_values=None, seed=0):
    rng = np.random.default_rng(seed)
    if some_values is not None:
        return rng.choice(some_values, size=(n, d)).astype(dtype)
    if dtype is np.bool_:
        return rng.random((n, d)) < 0.5
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (n, d), dtype, endpoint=True)


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("weighted", [False, True])
def test_small_integers_have_the_bits_of_float64(dtype, weighted, held, rng):
    X = integers(dtype, 150, 9)
    weights = rng.gamma(0.5, size=150) if weighted else None
    assert not np.issubdtype(validation.as_input(X).dtype, np.floating)
    check_everything(X, X.astype(np.float64), weights=weights)


CONTRACT = {
    "all values": lambda dtype: integers(dtype, 300, 70),
    "three features": lambda dtype: integers(dtype, 300, 3),
    "ties": lambda dtype: integers(dtype, 300, 9, some_values=[0, 1, 2]),
    "extremes": lambda dtype: integers(
        dtype, 300, 17, some_values=[np.iinfo(dtype).min, np.iinfo(dtype).max]
    ),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
@pytest.mark.parametrize("engine", engines.ENGINES)
def test_every_engine_takes_small_integers(engine, dtype):
    for make in CONTRACT.values():
        X = make(dtype)
        plain = X.astype(np.float64)
        weights = np.random.default_rng(1).integers(0, 4, len(X)).astype(float)
        for some in (None, weights):
            case = Case(plain, plain[5:12] + 0.25, some)
            check_step_of(engines.ENGINES[engine](X, some, 2), case)
            check_run_of(engines.ENGINES[engine](X, some, 2), case)


def test_few_integers_become_float64_and_many_stay():
    few, many = np.zeros((10, 4), np.uint8), np.zeros((2**20, 4), np.uint8)
    assert validation.as_input(few).dtype == np.float64
    for X in (many, many.view(np.bool_), many.view(np.int8)):
        assert np.shares_memory(validation.as_input(X), many)
    for dtype in (np.int32, np.uint64):
        assert validation.as_input(many.astype(dtype)).dtype == np.float64
    assert validation.as_samples(many).dtype == np.float64
    swapped = many.astype(">i2")
    assert validation.as_input(swapped).dtype == np.int16
    assert validation.as_input(swapped).dtype.isnative


def peak_bytes(call):
    """Most memory that NumPy held at once during a call, beyond what it held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_images_are_clustered_without_a_wide_copy():
    """Ten prototypes of 1024 bytes each, and noise: 20 MB of images, 160 as float64."""
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 200, (10, 1024))
    X = prototypes[rng.integers(0, 10, 20_000)] + rng.integers(0, 50, (20_000, 1024))
    X = X.astype(np.uint8)
    fit = KMeans(10, random_state=0, n_threads=1).fit
    fit(X)  # compiles
    # What is kept of a sample beside it, coordinates above all, is no copy of it.
    assert peak_bytes(lambda: fit(X)) < X.nbytes


# --- sparse matrices

FORMS = {
    "csr_array": scipy.sparse.csr_array,
    "csr_matrix": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_array,
    "coo": scipy.sparse.coo_matrix,
    "lil": scipy.sparse.lil_array,
}


def sparse_samples(n=160, d=12, dtype=np.float64, seed=0):
    """A third of the values, some of them explicit zeros, some rows empty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.3)
    X[::17] = 0
    matrix = scipy.sparse.csr_array(X.astype(dtype))
    matrix.data[::5] = 0
    matrix.data[1::9] = -0.0
    return matrix


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 37 samples of 12 features in float64."""
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 8 * 12 * 37)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_sparse_has_the_bits_of_dense(form, dtype, small_chunks):
    X = FORMS[form](sparse_samples(dtype=dtype))
    # Not all forms keep a -0.0 on the way to the CSR form, which is what is read.
    check_everything(X, X.tocsr().toarray())


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_both_widths_of_indices_and_weights(index, small_chunks, rng):
    X = sparse_samples()
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    weights = rng.gamma(0.5, size=X.shape[0])
    weights[::3] = 0
    check_everything(X, X.toarray(), weights=weights)
    assert X.indices.dtype == X.indptr.dtype == index


def test_unsorted_and_repeated_indices(small_chunks):
    """Numbers at one place are added; the matrix stays as it is."""
    plain = sparse_samples()
    rng = np.random.default_rng(2)
    # Every number in three parts, each row's in any order.
    parts = rng.normal(size=(3, plain.nnz))
    parts[2] = plain.data
    rows = np.repeat(np.arange(plain.shape[0]), np.diff(plain.indptr))
    order = np.lexsort((rng.random(3 * plain.nnz), np.tile(rows, 3)))
    indptr = 3 * plain.indptr
    data, indices = parts.ravel()[order], np.tile(plain.indices, 3)[order]
    X = scipy.sparse.csr_array((data, indices, indptr), plain.shape)
    before = data.copy(), indices.copy()
    check_everything(X, X.toarray())
    assert X.nnz == 3 * plain.nnz
    same(X.data, before[0])
    same(X.indices, before[1].astype(X.indices.dtype))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.longdouble])
def test_other_dtypes_of_sparse_matrices(dtype, small_chunks):
    dense = (sparse_samples().toarray() * 3).astype(dtype)
    check_everything(scipy.sparse.csr_array(dense), dense)


def test_overflowing_sums_of_repeated_indices_are_refused():
    X = scipy.sparse.csr_array(
        (np.full(3, 1e308), [1, 1, 0], [0, 0, 2, 3]), shape=(3, 2)
    )
    with pytest.raises(ValueError, match=r"X\[1, 1\] is inf"):
        KMeans(2).fit(X)


def test_a_bad_value_is_named_by_its_row_in_the_matrix(small_chunks):
    X = sparse_samples().tolil()
    X[101, 7] = np.nan
    for call in (KMeans(2).fit, KMeans(2).fit(np.eye(9, 12)).predict):
        with pytest.raises(ValueError, match=r"X\[101, 7\] is nan"):
            call(X)


def test_a_sparse_matrix_is_never_dense_as_a_whole():
    """320 MB as an array."""
    n, d = 2000, 20_000
    columns = np.random.default_rng(0).integers(0, d, n)
    X = scipy.sparse.csr_array((np.ones(n), columns, np.arange(n + 1)), shape=(n, d))
    centers = X[:3].toarray()
    fastkm.kmeans(X, 3, init=centers, max_iter=1)  # compiles
    peak = peak_bytes(lambda: fastkm.kmeans(X, 3, init=centers, max_iter=2))
    some = (chunks.MOST_WORKERS + 3) * chunks.CHUNK_BYTES
    assert peak < some < 8 * n * d / 2


def test_a_callable_gets_the_sparse_matrix_itself():
    X = sparse_samples()

    def init(samples, n_clusters, random_state):
        assert samples is X
        return samples[:n_clusters].toarray()

    KMeans(3, init=init).fit(X)


def test_the_report_tells_of_chunks():
    report = KMeans(3, random_state=0).fit(sparse_samples()).report_
    assert report.engine == "chunks"
    assert "one at a time" in report.reason


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_the_engine_of_a_chunk_may_be_chosen(engine, small_chunks):
    X = sparse_samples()
    options = {"random_state": 0, "engine": engine, "tol": 0}
    fast = fastkm.kmeans(X, 4, **options)
    slow = fastkm.kmeans(X.toarray(), 4, **options)
    same(fast.centers, slow.centers)
    same(fast.labels, slow.labels)


@pytest.mark.parametrize("n_rows", [1, 2, 59, 1000])
def test_the_size_of_chunks_does_not_matter(n_rows, rng):
    X = rng.normal(size=(120, 5))
    X[60:] = X[:60]
    weights = rng.gamma(0.4, size=120)
    slow = fastkm.kmeans(X, 7, random_state=1, sample_weight=weights)
    samples = engines.Chunked(Slices(X, n_rows), weights, 2)
    centers = seeding.initial_centers(samples, 7, "k-means++", np.random.default_rng(1))
    threshold = 1e-4 * lloyd.mean_variance(samples)
    fast = lloyd.lloyd(samples, centers, max_iter=300, threshold=threshold)
    same(fast.centers, slow.centers)
    same(fast.labels, slow.labels)
    same(fast.inertia, slow.inertia)


def test_a_step_is_one_pass(rng):
    """What a pass costs is what samples on a disk will cost."""
    passes = []

    class Counted(Slices):
        def __iter__(self):
            passes.append(1)
            return super().__iter__()

    X = rng.normal(size=(50, 3))
    engine = engines.Chunked(Counted(X, 20), None, 1)
    engine.step(X[:4])
    assert len(passes) == 1
    engine.assign(X[1:5])
    assert len(passes) == 2


def test_a_pass_that_breaks_off_is_forgotten(rng):
    """Also when it breaks off between a chunk's sums and its labels."""
    X = rng.normal(size=(50, 3))

    class Breaking(engines.Lanes):
        left = 3

        def update(self, *arguments):
            changed = super().update(*arguments)
            Breaking.left -= 1
            if Breaking.left == 0:
                raise KeyboardInterrupt
            return changed

    engine = engines.Chunked(
        Slices(X, 20), None, 1, lambda X, weights, _, n: Breaking(X, weights, n)
    )
    with pytest.raises(KeyboardInterrupt):
        engine.step(X[:4])
    again = engines.Chunked(Slices(X, 20), None, 1).step(X[:4])
    same(engine.step(X[:4]).totals.rounded()[0], again.totals.rounded()[0])


# --- memmaps


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_a_memmap_is_read_where_it_lies(dtype, tmp_path, held):
    X = np.random.default_rng(0).integers(0, 200, (90, 4)).astype(dtype)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert np.shares_memory(validation.as_input(mapped), mapped)
    check_everything(mapped, X if dtype != np.uint8 else X.astype(np.float64))


# --- tables


def pandas_table(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def polars_table(columns):
    return pytest.importorskip("polars").DataFrame(columns)


def arrow_table(columns):
    return pytest.importorskip("pyarrow").table(columns)


def arrow_batch(columns):
    return arrow_table(columns).to_batches()[0]


TABLES = [pandas_table, polars_table, arrow_table, arrow_batch]
every_table = pytest.mark.parametrize("table", TABLES)


def columns(dtype=np.float64, n=80):
    X = np.random.default_rng(4).normal(size=(n, 3)) * 5
    return {name: X[:, f].astype(dtype) for f, name in enumerate("abc")}


@every_table
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_tables_have_the_bits_of_arrays(table, dtype):
    given = columns(dtype)
    check_everything(table(given), np.column_stack(list(given.values())))


@every_table
def test_columns_of_several_dtypes_become_the_widest(table):
    given = columns()
    given["b"] = given["b"].astype(np.float32)
    given["c"] = given["c"] > 0
    given["d"] = np.arange(80, dtype=np.int16)
    plain = np.column_stack([column.astype(np.float64) for column in given.values()])
    check_everything(table(given), plain)


@every_table
def test_a_missing_value_is_named_with_its_column(table):
    given = {name: list(column) for name, column in columns().items()}
    given["b"][7] = None
    model = KMeans(2).fit(table(columns()))
    for call in (KMeans(2).fit, model.predict):
        with pytest.raises(ValueError, match=r"X\[7, 1\] \(column 'b'\) is nan"):
            call(table(given))


@every_table
@pytest.mark.parametrize(
    "values", [[True, None], [3, None]], ids=["boolean", "integer"]
)
def test_missing_values_among_other_types(table, values):
    given = {**columns(), "flag": values * 40}
    with pytest.raises(ValueError, match=r"X\[1, 3\] \(column 'flag'\) is nan"):
        KMeans(2).fit(table(given))


@every_table
def test_a_column_of_text_is_named(table):
    given = {**columns(), "city": ["Ghent", "Bruges"] * 40}
    with pytest.raises(ValueError, match=r"column 'city'.*'Ghent'"):
        KMeans(2).fit(table(given))


@every_table
def test_a_column_of_dates_is_named(table):
    dates = np.arange(80).astype("M8[D]").astype("M8[ms]")
    with pytest.raises(ValueError, match=r"column 'day'.*datetime64"):
        KMeans(2).fit(table({**columns(), "day": dates}))


@every_table
def test_weights_classes_and_centers_from_tables(table):
    given = columns()
    whole = table({**given, "w": np.arange(80.0), "y": ["p", "q"] * 40})
    X = np.column_stack(list(given.values()))
    weights, y = whole["w"], whole["y"]
    centers = table({name: column[:4] for name, column in given.items()})
    fast = fastkm.kmeans(X, 4, init=centers, sample_weight=weights)
    slow = fastkm.kmeans(X, 4, init=X[:4], sample_weight=np.arange(80.0))
    same(fast.centers, slow.centers)
    model = ClusterClassifier(4, random_state=0).fit(X, y)
    assert model.classes_.tolist() == ["p", "q"]


NULLABLE = ["Int8", "UInt16", "Int64", "Float32", "Float64", "boolean"]
NULLABLE += ["int32[pyarrow]", "double[pyarrow]", "bool[pyarrow]"]


@pytest.mark.parametrize("dtype", NULLABLE)
def test_nullable_columns_of_pandas(dtype):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    values = np.random.default_rng(5).integers(0, 2, (60, 3))
    frame = pandas.DataFrame(values, columns=["5", "x", "y 1"]).astype(dtype)
    plain = values.astype(np.float32 if dtype == "Float32" else np.float64)
    check_everything(frame, plain)
    frame.iloc[9, 2] = pandas.NA
    with pytest.raises(ValueError, match=r"X\[9, 2\] \(column 'y 1'\) is nan"):
        KMeans(2).fit(frame)
    with pytest.raises(ValueError, match=r"sample_weight\[9\] is nan"):
        KMeans(2).fit(plain, sample_weight=frame.iloc[:, 2])
    with pytest.raises(ValueError, match=r"y\[9\]"):
        ClusterClassifier(2).fit(plain, frame.iloc[:, 2])


def test_categories_of_pandas():
    """Categories that are numbers count as these, any others are refused."""
    pandas = pytest.importorskip("pandas")
    values = np.array([[1, 7], [7, 1], [1, 1], [9, 7]] * 10)
    frame = pandas.DataFrame(values, columns=["m", "n"])
    check_everything(frame.astype("category"), values, n_clusters=3)
    frame["n"] = frame["n"].map(str).astype("category")
    with pytest.raises(ValueError, match=r"column 'n'.*'7'"):
        KMeans(2).fit(frame)


def test_two_columns_of_one_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1.0, 2.0], [np.nan, 3.0]], columns=["a", "a"])
    with pytest.raises(ValueError, match=r"X\[1, 0\] \(column 'a'\)"):
        fastkm.kmeans(frame, 1)


def test_polars_and_arrow_categories():
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    numbers = pyarrow.array([3, 5, 3, 9] * 10)
    table = pyarrow.table({"code": numbers.dictionary_encode()})
    check_everything(table, numbers.to_numpy().reshape(-1, 1), n_clusters=2)
    text = polars.Series("kind", ["a", "b"] * 20, dtype=polars.Categorical)
    for frame in (text.to_frame(), text.to_frame().to_arrow()):
        with pytest.raises(ValueError, match="column 'kind'"):
            KMeans(2).fit(frame)
    lists = polars.DataFrame({"pair": [[1, 2], [3, 4]]})
    with pytest.raises(ValueError, match="column 'pair'"):
        KMeans(2).fit(lists)


def test_objects_that_are_numbers():
    X = [[Decimal("1.5"), 2], [Fraction(1, 4), True], [np.float32(3), 10**20]]
    plain = np.array([[1.5, 2], [0.25, 1], [3, 1e20]])
    check_everything(np.array(X, object), plain, n_clusters=2)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_the_largest_value_of_many_is_found_block_by_block(dtype, monkeypatch, rng):
    monkeypatch.setattr(inputs, "BLOCK", 3)
    X = (100 * rng.random((50, 7))).astype(dtype)
    for i, value in ((0, 101), (24, 107), (49, 113)):
        X[i, 3] = value
        assert inputs.largest(X, "X") == value
        assert inputs.largest(X[:, ::-1], "X") == value


@pytest.mark.parametrize("row", [0, 24, 49])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_value_among_many_is_found(row, bad, monkeypatch, rng):
    monkeypatch.setattr(inputs, "BLOCK", 3)
    X = rng.random((50, 7))
    X[row, 6] = bad
    with pytest.raises(ValueError, match=rf"X\[{row}, 6\] is {bad}: X must not"):
        inputs.largest(X, "X")


def test_no_library_of_tables_is_imported():
    code = (
        "import sys, numpy as np, fastkm\n"
        "before = set(sys.modules)\n"
        "fastkm.KMeans(2, random_state=0).fit(np.eye(5)).predict([[0] * 5])\n"
        "tables = {'pandas', 'polars', 'pyarrow'}\n"
        "assert not tables & set(sys.modules), tables & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
