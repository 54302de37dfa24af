"""Wrong arguments: one row per message, raised before anything is computed."""

import importlib
import pkgutil

import numpy as np
import pytest
import scipy.sparse

import fastkm
from fastkm import ClusterClassifier, KMeans, kernels, metrics

X = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [9.0, 7.0]])
Y = np.array([0, 0, 1, 1])
NAN, INF = float("nan"), float("inf")


def with_value(value, row=2, column=1, dtype=float):
    wrong = X.astype(dtype)
    wrong[row, column] = value
    return wrong


def kmeans(*arguments, **options):
    """Row: fastkm.kmeans(X, 2) but for what is given."""
    return lambda _: fastkm.kmeans(*(arguments or (X, 2)), **options)


def fit(samples=X, *, sample_weight=None, n_clusters=2, **options):
    """Row: KMeans(2).fit(X) but for what is given."""
    return lambda _: KMeans(n_clusters, **options).fit(
        samples, sample_weight=sample_weight
    )


def classify(samples=X, y=Y, *, sample_weight=None, **options):
    """Row: ClusterClassifier(2).fit(X, Y) but for what is given."""
    return lambda _: ClusterClassifier(2, **options).fit(
        samples, y, sample_weight=sample_weight
    )


class SparseLike:
    def toarray(self):
        raise AssertionError("a sparse matrix is not to be made dense unasked")


# name: (call, words that the message holds[, exception type])
WRONG = {
    # X
    "X NaN": (fit(with_value(NAN)), ["X[2, 1]", "nan", "NaN"]),
    "X inf": (fit(with_value(INF)), ["X[2, 1]", "inf", "infinity"]),
    "X -inf": (fit(with_value(-INF, 3, 0)), ["X[3, 0]", "-inf"]),
    "X float32 NaN": (fit(with_value(NAN, dtype="f4")), ["X[2, 1]", "NaN"]),
    "X float16 inf": (fit(with_value(INF, dtype="f2")), ["X[2, 1]", "infinity"]),
    "X object NaN": (fit(with_value(NAN, dtype=object)), ["X[2, 1]", "NaN"]),
    "X None inside": (fit(with_value(None, dtype=object)), ["X[2, 1]", "NaN"]),
    "X NaN before inf": (fit([[1.0, NAN], [INF, 2.0]]), ["X[0, 1]", "NaN"]),
    "X longdouble": (fit(with_value("1e400", dtype="g")), ["X[2, 1]", "inf"]),
    "X 1-D": (fit([1.0, 2.0]), ["X", "(2,)", "2-D", "reshape(-1, 1)"]),
    "X 3-D": (fit(np.zeros((2, 3, 4))), ["X", "(2, 3, 4)", "2-D"]),
    "X scalar": (fit(3.0), ["X", "()", "2-D"]),
    "X None": (fit(None), ["X", "()"]),
    "X empty list": (fit([]), ["X", "(0,)"]),
    "X no samples": (fit(np.zeros((0, 3))), ["X", "(0, 3)", "0 sample"]),
    "X no features": (fit(np.zeros((3, 0))), ["X", "(3, 0)", "0 feature"]),
    "X ragged": (fit([[1.0, 2.0], [3.0]]), ["X must"]),
    "X strings": (fit(X.astype(str)), ["X", "<U", "numbers"]),
    "X bytes": (fit(X.astype("S")), ["X", "|S", "numbers"]),
    "X object text": (fit(with_value("ham", dtype=object)), ["X", "'ham'"]),
    "X object number as text": (fit(with_value("5", dtype=object)), ["X", "'5'"]),
    "X dates": (fit(np.zeros((2, 2), "M8[s]")), ["X", "datetime64"]),
    "X durations": (fit(np.zeros((2, 2), "m8[s]")), ["X", "timedelta64"]),
    "X records": (fit(np.zeros((2, 2), "f8,f8")), ["X", "f8"]),
    "X complex": (fit(X * 1j), ["X", "complex128", "Complex data not supported"]),
    "X object complex": (
        fit(with_value(1j, dtype=object)),
        ["X", "complex"],
        TypeError,
    ),
    "X sparse NaN": (fit(scipy.sparse.csr_array(with_value(NAN))), ["X[2, 1]", "NaN"]),
    "X sparse -inf": (
        fit(scipy.sparse.coo_array(with_value(-INF, 3, 0))),
        ["X[3, 0]", "-inf"],
    ),
    "X sparse complex": (fit(scipy.sparse.csr_array(X * 1j)), ["X", "Complex"]),
    "X sparse no samples": (
        fit(scipy.sparse.csr_array((0, 3))),
        ["X", "(0, 3)", "0 sample"],
    ),
    "X sparse 1e300": (
        fit(scipy.sparse.csr_matrix(with_value(1e300))),
        ["X", "1e+300", "overflow"],
    ),
    "X sparse-like": (fit(SparseLike()), ["X", "sparse", "SparseLike"], TypeError),
    "X 1e300": (fit(with_value(1e300)), ["X", "1e+300", "overflow"]),
    "X -1e200": (fit(with_value(-1e200)), ["X", "1e+200", "overflow"]),
    "X set": (fit({1.0, 2.0}), ["X", "'set'", "number"], TypeError),
    "X string": (fit("data.csv"), ["X", "numbers"]),
    "kmeans X NaN": (kmeans(with_value(NAN), 2), ["X[2, 1]", "nan"]),
    # n_clusters
    "k above n": (fit(n_clusters=5), ["n_samples=4", "n_clusters=5"]),
    "k huge": (fit(n_clusters=10**30), ["n_clusters=1" + 30 * "0"]),
    "k zero": (fit(n_clusters=0), ["n_clusters=0", "at least 1"]),
    "k negative": (fit(n_clusters=-3), ["n_clusters=-3", "at least 1"]),
    "k float": (fit(n_clusters=2.0), ["n_clusters=2.0", "integer"]),
    "k NaN": (fit(n_clusters=NAN), ["n_clusters=nan", "integer"]),
    "k bool": (fit(n_clusters=True), ["n_clusters=True", "integer"]),
    "k numpy bool": (fit(n_clusters=np.True_), ["n_clusters=", "True", "integer"]),
    "k text": (fit(n_clusters="2"), ["n_clusters='2'", "integer"]),
    "k None": (fit(n_clusters=None), ["n_clusters=None", "integer"]),
    "k array": (fit(n_clusters=np.array([2])), ["n_clusters=array([2])", "integer"]),
    "kmeans k above n": (kmeans(X, 9), ["n_samples=4", "n_clusters=9"]),
    # sample_weight
    "weight short": (fit(sample_weight=[1.0, 2.0]), ["sample_weight", "(2,)", "(4,)"]),
    "weight long": (fit(sample_weight=np.ones(9)), ["sample_weight", "(9,)", "(4,)"]),
    "weight empty": (fit(sample_weight=[]), ["sample_weight", "(0,)", "(4,)"]),
    "weight 2-D": (
        fit(sample_weight=np.ones((4, 1))),
        ["sample_weight", "(4, 1)", "(4,)"],
    ),
    "weight negative": (
        fit(sample_weight=[1, 1, -0.5, 1]),
        ["sample_weight[2]", "-0.5", "negative"],
    ),
    "weight number negative": (fit(sample_weight=-2), ["sample_weight", "-2"]),
    "weight zero": (
        fit(sample_weight=np.zeros(4)),
        ["sample_weight", "zero", "positive"],
    ),
    "weight number zero": (fit(sample_weight=0), ["sample_weight", "zero", "positive"]),
    "weight NaN": (fit(sample_weight=[1, NAN, 1, 1]), ["sample_weight[1]", "NaN"]),
    "weight inf": (fit(sample_weight=[1, 1, 1, INF]), ["sample_weight[3]", "inf"]),
    "weight None inside": (
        fit(sample_weight=[1, None, 1, 1]),
        ["sample_weight[1]", "NaN"],
    ),
    "weight text": (fit(sample_weight=list("abcd")), ["sample_weight", "'a'"]),
    "weight numbers as text": (fit(sample_weight=list("1234")), ["sample_weight"]),
    "weight string": (fit(sample_weight="balanced"), ["sample_weight", "'balanced'"]),
    "weight complex": (fit(sample_weight=np.ones(4) * 1j), ["sample_weight"]),
    "weight complex number": (fit(sample_weight=1j), ["sample_weight", "1j"]),
    "weight ragged": (fit(sample_weight=[1, [1, 2], 1, 1]), ["sample_weight"]),
    "weight dict": (fit(sample_weight={0: 1.0}), ["sample_weight"], TypeError),
    "weight sum overflows": (
        fit(sample_weight=np.full(4, 1e308)),
        ["sample_weight", "1e+308", "overflow"],
    ),
    "weight sum overflows at zero": (
        fit(np.zeros((4, 2)), sample_weight=np.full(4, 1e308)),
        ["sample_weight", "1e+308", "overflow"],
    ),
    "weight and X overflow": (
        fit(with_value(1e100), sample_weight=np.full(4, 1e200)),
        ["X", "1e+100", "overflow"],
    ),
    "kmeans weight": (kmeans(sample_weight=[1.0]), ["sample_weight", "(1,)", "(4,)"]),
    # init
    "init name": (fit(init="kmeans++"), ["init='kmeans++'", "k-means++", "random"]),
    "init None": (fit(init=None), ["init"]),
    "init number": (fit(init=3), ["init"]),
    "init short": (fit(init=X[:1]), ["init", "(1, 2)", "(2, 2)"]),
    "init long": (fit(init=X), ["init", "(4, 2)", "(2, 2)"]),
    "init narrow": (fit(init=X[:2, :1]), ["init", "(2, 1)", "(2, 2)"]),
    "init 1-D": (fit(init=[1.0, 2.0]), ["init", "(2,)", "2-D"]),
    "init NaN": (fit(init=with_value(NAN)[1:3]), ["init[1, 1]", "NaN"]),
    "init inf": (fit(init=with_value(INF)[1:3]), ["init[1, 1]", "inf"]),
    "init text": (fit(init=[["a", "b"], ["c", "d"]]), ["init", "<U1"]),
    "init complex": (fit(init=X[:2] * 1j), ["init", "complex128"]),
    "init 1e300": (fit(init=X[:2] + 1e300), ["init", "1e+300", "overflow"]),
    "init above float32": (
        fit(X.astype("f4"), init=with_value(1e100)[1:3]),
        ["init[1, 1]", "inf"],
    ),
    "init sparse": (
        fit(init=scipy.sparse.csr_array(X[:2])),
        ["init", "sparse"],
        TypeError,
    ),
    "kmeans init shape": (kmeans(init=X), ["init", "(4, 2)", "(2, 2)"]),
    # n_init
    "n_init zero": (fit(n_init=0), ["n_init=0", "at least 1"]),
    "n_init float": (fit(n_init=1.0), ["n_init=1.0", "integer"]),
    "n_init bool": (fit(n_init=True), ["n_init=True", "integer"]),
    "n_init text": (fit(n_init="ten"), ["n_init='ten'", "'auto'"]),
    "n_init None": (fit(n_init=None), ["n_init=None", "integer"]),
    # max_iter
    "max_iter zero": (fit(max_iter=0), ["max_iter=0", "at least 1"]),
    "max_iter negative": (fit(max_iter=-1), ["max_iter=-1", "at least 1"]),
    "max_iter float": (fit(max_iter=1e3), ["max_iter=1000.0", "integer"]),
    "max_iter bool": (fit(max_iter=True), ["max_iter=True", "integer"]),
    "max_iter None": (fit(max_iter=None), ["max_iter=None", "integer"]),
    # tol
    "tol negative": (fit(tol=-1e-4), ["tol=-0.0001", "at least 0"]),
    "tol NaN": (fit(tol=NAN), ["tol=nan", "finite"]),
    "tol inf": (fit(tol=INF), ["tol=inf", "finite"]),
    "tol text": (fit(tol="0.1"), ["tol='0.1'", "number"]),
    "tol None": (fit(tol=None), ["tol=None", "number"]),
    "tol bool": (fit(tol=False), ["tol=False", "number"]),
    "tol complex": (fit(tol=1j), ["tol=1j", "number"]),
    # n_threads
    "n_threads zero": (fit(n_threads=0), ["n_threads=0", "at least 1"]),
    "n_threads -1": (fit(n_threads=-1), ["n_threads=-1", "at least 1"]),
    "n_threads float": (fit(n_threads=2.0), ["n_threads=2.0", "integer"]),
    "n_threads text": (fit(n_threads="all"), ["n_threads='all'", "integer"]),
    # what has no effect, or one on the estimators only
    "algorithm": (fit(algorithm="auto"), ["algorithm='auto'", "'lloyd'", "'elkan'"]),
    "algorithm None": (fit(algorithm=None), ["algorithm=None", "'lloyd'"]),
    "copy_x": (fit(copy_x="no"), ["copy_x='no'", "True or False"]),
    "warm_start": (fit(warm_start=1), ["warm_start=1", "True or False"]),
    # verbose, callback, max_time, checkpoint
    "verbose negative": (fit(verbose=-1), ["verbose=-1", "at least 0"]),
    "verbose text": (fit(verbose="yes"), ["verbose='yes'", "integer"]),
    "verbose None": (fit(verbose=None), ["verbose=None", "integer"]),
    "callback text": (fit(callback="stop"), ["callback='stop'", "callable"]),
    "callback list": (fit(callback=[print]), ["callback=[", "callable"]),
    "max_time zero": (fit(max_time=0), ["max_time=0", "above 0"]),
    "max_time negative": (fit(max_time=-1.5), ["max_time=-1.5", "above 0"]),
    "max_time NaN": (fit(max_time=NAN), ["max_time=nan", "above 0"]),
    "max_time text": (fit(max_time="1h"), ["max_time='1h'", "seconds"]),
    "max_time bool": (fit(max_time=True), ["max_time=True", "seconds"]),
    "checkpoint number": (fit(checkpoint=3), ["checkpoint=3", "path"]),
    "checkpoint bool": (fit(checkpoint=True), ["checkpoint=True", "path"]),
    "checkpoint nowhere": (fit(checkpoint="/no/such/f"), ["'/no/such/f'", "folder"]),
    "checkpoint folder": (fit(checkpoint="."), ["checkpoint='.'", "must be a file"]),
    "classify callback": (classify(callback=1), ["callback=1", "callable"]),
    # engine
    "engine name": (fit(engine="gpu"), ["engine='gpu'", "'auto'", "'lanes'"]),
    "engine None": (fit(engine=None), ["engine=None", "'auto'"]),
    "engine list": (fit(engine=["lanes"]), ["engine=['lanes']", "'auto'"]),
    "engine array": (fit(engine=np.array(["a", "b"])), ["engine=", "'auto'"]),
    # random_state
    "seed negative": (fit(random_state=-1), ["random_state=-1", "non-negative"]),
    "seed float": (fit(random_state=0.5), ["random_state=0.5", "integer"]),
    "seed text": (fit(random_state="42"), ["random_state='42'", "integer"]),
    "seed module": (fit(random_state=np.random), ["random_state=<module", "Generator"]),
    # predict, transform, score
    "predict features": (
        lambda model: model.predict(np.ones((3, 5))),
        ["X", "5 features", "KMeans is expecting 2"],
    ),
    "predict 1-D": (lambda model: model.predict([1.0, 2.0]), ["X", "(2,)", "2-D"]),
    "predict NaN": (lambda model: model.predict(with_value(NAN)), ["X[2, 1]", "NaN"]),
    "predict nothing": (lambda model: model.predict(X[:0]), ["X", "(0, 2)"]),
    "transform features": (
        lambda model: model.transform(X[:, :1]),
        ["X", "1 features", "KMeans is expecting 2"],
    ),
    "transform inf": (lambda model: model.transform(with_value(INF)), ["X[2, 1]"]),
    "score features": (
        lambda model: model.score(np.ones((3, 5))),
        ["X", "5 features", "KMeans is expecting 2"],
    ),
    "score weight": (
        lambda model: model.score(X, sample_weight=[1.0]),
        ["sample_weight", "(1,)", "(4,)"],
    ),
    "predict not fitted": (lambda _: KMeans().predict(X), ["KMeans", "not fitted"]),
    "transform not fitted": (lambda _: KMeans().transform(X), ["KMeans", "not fitted"]),
    "score not fitted": (lambda _: KMeans().score(X), ["KMeans", "not fitted"]),
    # assign
    "assign X": (lambda _: fastkm.assign(with_value(NAN), X), ["X[2, 1]", "NaN"]),
    "assign centers": (
        lambda _: fastkm.assign(X, with_value(INF)),
        ["centers[2, 1]", "infinity"],
    ),
    "assign features": (
        lambda _: fastkm.assign(X, np.ones((2, 3))),
        ["centers", "(2, 3)", "(2, 2)"],
    ),
    "assign no centers": (lambda _: fastkm.assign(X, X[:0]), ["centers", "(0, 2)"]),
    "assign 1-D": (lambda _: fastkm.assign(X, X[0]), ["centers", "(2,)", "2-D"]),
    "assign threads": (lambda _: fastkm.assign(X, X, n_threads=0), ["n_threads=0"]),
    # kmeans_plusplus
    "plusplus k": (
        lambda _: fastkm.kmeans_plusplus(X, 5),
        ["n_samples=4", "n_clusters=5"],
    ),
    "plusplus trials": (
        lambda _: fastkm.kmeans_plusplus(X, 2, n_local_trials=0),
        ["n_local_trials=0", "at least 1"],
    ),
    "plusplus trials float": (
        lambda _: fastkm.kmeans_plusplus(X, 2, n_local_trials=1.5),
        ["n_local_trials=1.5", "integer"],
    ),
    "plusplus weight": (
        lambda _: fastkm.kmeans_plusplus(X, 2, sample_weight=[1, 1, 1, -1]),
        ["sample_weight[3]", "-1"],
    ),
    "plusplus seed": (
        lambda _: fastkm.kmeans_plusplus(X, 2, random_state="x"),
        ["random_state='x'"],
    ),
    # metrics
    "distances Y": (
        lambda _: metrics.squared_distances(X, np.ones((2, 3))),
        ["Y", "(2, 3)", "(2, 2)"],
    ),
    "distances Y NaN": (
        lambda _: metrics.squared_distances(X, with_value(NAN)),
        ["Y[2, 1]", "NaN"],
    ),
    "distances X": (lambda _: metrics.squared_distances([1.0], X), ["X", "(1,)"]),
    "inertia centers": (
        lambda _: metrics.inertia(X, np.ones((2, 3))),
        ["centers", "(2, 3)", "(2, 2)"],
    ),
    "inertia weight": (
        lambda _: metrics.inertia(X, X, sample_weight=[0, 0, 0, 0]),
        ["sample_weight", "positive"],
    ),
    "loss X": (lambda _: metrics.cluster_loss(with_value(NAN), Y), ["X[2, 1]", "NaN"]),
    "loss labels short": (
        lambda _: metrics.cluster_loss(X, [0, 1]),
        ["labels", "(2,)", "(4,)"],
    ),
    "loss labels float": (
        lambda _: metrics.cluster_loss(X, [0.0, 1.0, 0.0, 1.0]),
        ["labels", "float64", "integers"],
    ),
    "loss labels 2-D": (
        lambda _: metrics.cluster_loss(X, [[0], [1], [0], [1]]),
        ["labels", "(4, 1)", "(4,)"],
    ),
    "loss labels text": (
        lambda _: metrics.cluster_loss(X, list("abcd")),
        ["labels", "<U1", "integers"],
    ),
    "loss labels ragged": (
        lambda _: metrics.cluster_loss(X, [0, [1], 0, 1]),
        ["labels"],
    ),
    # ClusterClassifier
    "classes short": (classify(y=[0, 1]), ["y", "(2,)", "(4,)"]),
    "classes 2-D": (
        classify(y=[[0, 0], [1, 1], [0, 0], [1, 1]]),
        ["y", "(4, 2)", "(4,)"],
    ),
    "classes continuous": (classify(y=[0, 0.5, 1, 1]), ["y[1]", "0.5", "continuous"]),
    "classes NaN": (classify(y=[0, 1, NAN, 1]), ["y[2]", "NaN"]),
    "classes None": (classify(y=None), ["y", "None"]),
    "classes None inside": (classify(y=["a", None, "b", "a"]), ["y", "None"]),
    "classes mixed": (classify(y=np.array(["a", 1, "b", 2], object)), ["y", "object"]),
    "classes object NaN": (
        classify(y=np.array([0.0, NAN, 1.0, 1.0], object)),
        ["y[1]", "NaN"],
    ),
    "classes ragged": (classify(y=[0, [1], 0, 1]), ["y must"]),
    "classify X": (classify(with_value(NAN)), ["X[2, 1]", "NaN"]),
    "classify weight": (
        classify(sample_weight=[1, 1, 1, -1]),
        ["sample_weight[3]", "-1"],
    ),
    "classify tol": (classify(tol=-1), ["tol=-1"]),
    "classify not fitted": (
        lambda _: ClusterClassifier().predict(X),
        ["ClusterClassifier", "not fitted"],
    ),
    "proba not fitted": (
        lambda _: ClusterClassifier().predict_proba(X),
        ["ClusterClassifier", "not fitted"],
    ),
    "accuracy not fitted": (
        lambda _: ClusterClassifier().score(X, Y),
        ["ClusterClassifier", "not fitted"],
    ),
    # set_params
    "parameter name": (
        lambda model: model.set_params(n_cluster=3),
        ["'n_cluster'", "KMeans", "'n_clusters'"],
    ),
}


@pytest.fixture(scope="module")
def model():
    return KMeans(2, random_state=0).fit(X)


@pytest.fixture
def no_kernels(monkeypatch):
    """Every kernel fails, so an error that comes after some work is another one."""

    def computed(*arguments):
        raise AssertionError("something was computed before the error")

    for info in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"fastkm.kernels.{info.name}")
        for name, kernel in list(vars(module).items()):
            home = str(getattr(kernel, "__module__", ""))
            if not info.name.startswith("_") and home.startswith("fastkm.kernels"):
                monkeypatch.setattr(module, name, computed)


@pytest.mark.parametrize("row", WRONG)
def test_a_wrong_argument_is_named_before_anything_is_computed(row, model, no_kernels):
    call, words, *kind = WRONG[row]
    with pytest.raises(*kind or [ValueError]) as caught:
        call(model)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def result(value):
    return lambda X, n_clusters, random_state: value


# What a callable init may give back wrongly; it is called with checked samples.
JUNK = {
    "None": (None, ["init", "()"]),
    "number": (7, ["init", "()"]),
    "text": ("k-means++", ["init", "numbers"]),
    "few": (X[:1], ["init", "(1, 2)", "(2, 2)"]),
    "many": (X, ["init", "(4, 2)", "(2, 2)"]),
    "narrow": (X[:2, :1], ["init", "(2, 1)", "(2, 2)"]),
    "1-D": (X[0], ["init", "(2,)", "2-D"]),
    "NaN": (with_value(NAN)[1:3], ["init[1, 1]", "NaN"]),
    "inf": (with_value(-INF)[1:3], ["init[1, 1]", "inf"]),
    "complex": (X[:2] * 1j, ["init", "complex128"]),
    "huge": (X[:2] * 1e300, ["init", "e+300", "overflow"]),
    "centers and indices": ((X[:2], np.arange(2)), ["init"]),
}


@pytest.mark.parametrize("row", JUNK)
def test_junk_from_a_callable_init_is_named(row):
    value, words = JUNK[row]
    with pytest.raises(ValueError) as caught:
        KMeans(2, init=result(value)).fit(X)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []


def test_how_many_wrong_calls_are_answered():
    """Tables of wrong calls and files: parameters, samples, files, command line."""
    import test_cli
    import test_files
    import test_interrupts

    tables = [WRONG, JUNK, FAILING, test_cli.ERRORS]
    tables += [test_files.BAD_SAMPLES, test_files.BAD_MODELS, test_files.HOSTILE]
    tables += [test_interrupts.OTHER, test_interrupts.DAMAGED]
    assert sum(map(len, tables)) >= 300


def test_an_error_inside_a_callable_init_passes_through():
    def init(X, n_clusters, random_state):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        KMeans(2, init=init).fit(X)


FAILING = {
    "X": lambda model: model.fit(with_value(NAN)),
    "n_clusters": lambda model: model.set_params(n_clusters=9).fit(X),
    "sample_weight": lambda model: model.fit(X, sample_weight=-np.ones(4)),
    "init": lambda model: model.set_params(init=X).fit(X),
    "junk": lambda model: model.set_params(init=result(None)).fit(X),
    "n_features": lambda model: model.predict(X[:, :1]),
}


@pytest.mark.parametrize("row", FAILING)
def test_a_failed_call_leaves_the_former_fit_alone(row):
    model = KMeans(2, random_state=0).fit(X)
    before = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    copies = {name: np.array(before[name]) for name in ("cluster_centers_", "labels_")}
    with pytest.raises(ValueError):
        FAILING[row](model)
    after = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    for name, copy in copies.items():
        np.testing.assert_array_equal(getattr(model, name), copy)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.fit(with_value(NAN), Y),
        lambda model: model.fit(X, [0, 1]),
        lambda model: model.set_params(n_clusters=9).fit(X, Y),
    ],
)
def test_a_failed_fit_leaves_the_former_classifier_alone(call):
    model = ClusterClassifier(2, random_state=0).fit(X, Y)
    before = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    with pytest.raises(ValueError):
        call(model)
    assert all(getattr(model, name) is value for name, value in before.items())


def test_a_failed_fit_fits_nothing():
    model = KMeans(9)
    with pytest.raises(ValueError):
        model.fit(X)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_a_failed_fit_leaves_a_generator_where_it_was():
    generator, untouched = np.random.default_rng(1), np.random.default_rng(1)
    with pytest.raises(ValueError):
        KMeans(2, random_state=generator, engine="gpu").fit(X)
    with pytest.raises(ValueError):
        KMeans(2, random_state=generator, init=X).fit(X)
    assert generator.random() == untouched.random()


def test_a_failed_fit_leaves_a_random_state_where_it_was():
    state, untouched = np.random.RandomState(1), np.random.RandomState(1)
    with pytest.raises(ValueError):
        KMeans(2, random_state=state, engine="gpu").fit(X)
    assert state.randint(10**6) == untouched.randint(10**6)


def test_not_fitted_is_a_value_error_and_an_attribute_error():
    with pytest.raises(AttributeError, match="not fitted"):
        KMeans().predict(X)


# Just inside the limits: taken, and finite.

LIMIT = 1e150  # 4 samples of 2 features: sqrt(1.8e308 / (4 x 2 x 4)) = 2.3e153


# Squares below 1e-324 underflow to 0, so that samples at 1e-200 are all alike.
@pytest.mark.filterwarnings("ignore::fastkm.ConvergenceWarning")
@pytest.mark.parametrize("scale", [LIMIT, -LIMIT, 1e-150, 1e-200, 5e-324])
def test_extreme_values_inside_the_limit_are_clustered(scale):
    model = KMeans(2, random_state=0).fit(X * scale)
    assert np.isfinite(model.inertia_)
    assert np.isfinite(model.cluster_centers_).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_features", [1, 3, 7])
@pytest.mark.parametrize("init", ["k-means++", "random", "farthest"])
def test_values_at_the_limit_do_not_overflow(weighted, n_features, init):
    signs = np.where(np.arange(7) % 2, 1.0, -1.0)
    weights = np.array([1e-300, 3.0, 0.1, 7.0, 1e10, 0.3, 11.0]) if weighted else None
    total = 7.0 if weights is None else max(7.0, weights.sum())
    limit = np.sqrt(np.finfo(float).max / 4 / n_features / total)
    # A hair inside, for the message's limit is itself rounded.
    corners = np.outer(signs, np.full(n_features, limit * (1 - 1e-12)))
    model = KMeans(1, init=init, random_state=0).fit(corners, sample_weight=weights)
    assert np.isfinite(model.inertia_)
    assert np.isfinite(model.score(corners, sample_weight=weights))


@pytest.mark.parametrize(
    "options",
    [
        {"n_clusters": np.int8(2)},
        {"tol": 0},
        {"tol": np.float32(0.5)},
        {"max_iter": np.int64(3)},
        {"n_init": np.uint8(2)},
        {"n_threads": np.int32(1)},
        {"init": np.str_("random")},
        {"random_state": np.uint32(7)},
        {"random_state": 2**200},
        {"engine": "lanes"},
    ],
    ids=str,
)
def test_numpy_numbers_and_edges_are_taken(options):
    KMeans(**({"n_clusters": 2} | options)).fit(X)
