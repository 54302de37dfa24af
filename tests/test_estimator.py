"""KMeans: scikit-learn's interface, and results that belong together bit for bit."""

import inspect
import pickle

import numpy as np
import pytest
import sklearn.base
import sklearn.cluster
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastkm
from fastkm import KMeans, reference

DTYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
FITTED = ("cluster_centers_", "labels_", "inertia_", "n_iter_", "n_features_in_")


def blobs(dtype=np.float64, offset=0.0, n_samples=300, n_features=4):
    X, _ = make_blobs(n_samples, n_features, centers=6, random_state=3)
    return (X + offset).astype(dtype)


def assert_same_fit(model, other):
    """Same dtypes, shapes and bits of all that a fit leaves."""
    for name in FITTED:
        ours, theirs = (
            np.asarray(getattr(model, name)),
            np.asarray(getattr(other, name)),
        )
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, strict=True)


# --- the interface


def test_parameters_have_sklearns_names_order_and_defaults():
    theirs = inspect.signature(sklearn.cluster.KMeans).parameters
    ours = inspect.signature(KMeans).parameters
    shared = [name for name in ours if name in theirs]
    assert shared == [
        "n_clusters",
        "init",
        "n_init",
        "max_iter",
        "tol",
        "verbose",
        "random_state",
        "copy_x",
        "algorithm",
    ]
    for name in shared:
        assert ours[name].default == theirs[name].default
        assert ours[name].kind == theirs[name].kind


def test_parameters_are_stored_as_given():
    init = np.zeros((2, 3))
    model = KMeans(2, init=init, random_state=7, tol=0)
    assert model.get_params()["init"] is init
    assert model.get_params(deep=False) == model.get_params()
    assert list(model.get_params()) == list(inspect.signature(KMeans).parameters)


def test_nothing_is_checked_before_fit():
    assert KMeans(-1, init="?", tol="?").get_params()["n_clusters"] == -1


def test_set_params_returns_the_model():
    model = KMeans()
    assert model.set_params(n_clusters=3, tol=0.5) is model
    assert (model.n_clusters, model.tol) == (3, 0.5)


def test_set_params_sets_nothing_when_one_name_is_unknown():
    model = KMeans()
    with pytest.raises(ValueError, match=r"clusters.*KMeans.*n_clusters"):
        model.set_params(tol=0.5, clusters=3)
    assert model.tol == 1e-4


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (KMeans(), "KMeans()"),
        (KMeans(8, tol=1e-4), "KMeans()"),
        (KMeans(3, random_state=0), "KMeans(n_clusters=3, random_state=0)"),
        (KMeans(init="farthest"), "KMeans(init='farthest')"),
    ],
)
def test_repr_shows_what_differs_from_the_defaults(model, text):
    assert repr(model) == text


def test_repr_shows_an_array():
    assert "init=array([[0., 1.]" in repr(KMeans(2, init=np.array([[0.0, 1], [2, 3]])))


def test_a_clone_has_equal_parameters_and_no_fit():
    model = KMeans(3, init=blobs()[:3], random_state=5, n_threads=1).fit(blobs())
    clone = sklearn.base.clone(model)
    assert not hasattr(clone, "labels_")
    assert clone.get_params().keys() == model.get_params().keys()
    np.testing.assert_array_equal(clone.init, model.init)
    assert_same_fit(clone.fit(blobs()), model)


def test_pickle_keeps_the_fit_and_the_predictions():
    model = KMeans(6, random_state=0).fit(blobs())
    copy = pickle.loads(pickle.dumps(model))
    assert_same_fit(copy, model)
    assert copy.get_params() == model.get_params()
    assert copy.report_ == model.report_
    fresh = blobs(n_samples=999)
    np.testing.assert_array_equal(copy.predict(fresh), model.predict(fresh))


def test_a_subclass_may_add_a_parameter():
    class Named(KMeans):
        def __init__(self, n_clusters=8, *, random_state=None, name="x"):
            super().__init__(n_clusters, random_state=random_state)
            self.name = name

    model = sklearn.base.clone(Named(6, random_state=0, name="y")).fit(blobs())
    assert model.name == "y"
    assert_same_fit(model, KMeans(6, random_state=0).fit(blobs()))


def test_y_is_ignored():
    X, y = blobs(), object()
    model = KMeans(3, random_state=0)
    assert model.fit(X, y) is model
    np.testing.assert_array_equal(model.fit_predict(X, y), model.labels_)
    np.testing.assert_array_equal(model.fit_transform(X, y), model.transform(X))
    assert model.score(X, y) == model.score(X)


def test_sklearns_check_is_fitted_understands_the_model():
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    with pytest.raises(NotFittedError):
        check_is_fitted(KMeans())
    check_is_fitted(KMeans(2).fit(blobs()))


def test_a_pipeline_scales_reduces_and_clusters():
    X = load_iris().data
    pipeline = make_pipeline(StandardScaler(), PCA(2), KMeans(3, random_state=0))
    labels = pipeline.fit_predict(X)
    np.testing.assert_array_equal(labels, pipeline[-1].labels_)
    np.testing.assert_array_equal(pipeline.predict(X), labels)
    assert pipeline.transform(X).shape == (150, 3)
    assert pipeline.score(X) == -pipeline[-1].inertia_
    assert pipeline.set_params(kmeans__n_clusters=2).fit(X)[-1].n_clusters == 2


def test_a_pipeline_may_end_after_kmeans_with_a_classifier():
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(
        KMeans(9, random_state=0), LogisticRegression(max_iter=999)
    )
    # The majority of three equal classes would score 1/3, one split axis 2/3.
    assert pipeline.fit(X, y).score(X, y) > 0.9


# --- what a fit leaves


@every_dtype
def test_fitted_attributes_have_the_documented_dtypes_and_shapes(dtype):
    model = KMeans(6, random_state=0).fit(blobs(dtype))
    assert model.cluster_centers_.dtype == dtype
    assert model.cluster_centers_.shape == (6, 4)
    assert model.labels_.dtype == np.int32
    assert model.labels_.shape == (300,)
    assert type(model.inertia_) is float
    assert type(model.n_iter_) is int
    assert model.n_features_in_ == 4
    assert model.transform(blobs(dtype)).dtype == dtype
    assert model.predict(blobs(dtype)).dtype == np.int32
    assert type(model.score(blobs(dtype))) is float


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float16, np.float32),
        (">f4", np.float32),
        (">f8", np.float64),
        (np.int64, np.float64),
        (np.int8, np.float64),
        (np.uint8, np.float64),
        (bool, np.float64),
        (object, np.float64),
        (np.longdouble, np.float64),
    ],
    ids=str,
)
def test_other_dtypes_are_converted(dtype, expected):
    X = blobs().round().clip(0, 9).astype(dtype)
    model = KMeans(3, random_state=0).fit(X)
    assert model.cluster_centers_.dtype == expected
    assert_same_fit(model, KMeans(3, random_state=0).fit(X.astype(expected)))


FAR = [0.0, 1e4, 1e6]


@every_dtype
@pytest.mark.parametrize("offset", FAR)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"max_iter": 1}, {"max_iter": 2}, {"tol": 0}])
def test_labels_and_inertia_belong_to_the_centers(
    dtype, offset, weighted, options, rng
):
    X = blobs(dtype, offset)
    weights = rng.gamma(1, size=len(X)) * (rng.random(len(X)) > 0.2)
    weights = weights if weighted else None
    model = KMeans(9, random_state=0, **options).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    assert model.inertia_ == -model.score(X, sample_weight=weights)
    labels, distances = reference.assign(X, model.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, labels)
    assert model.inertia_ == reference.inertia(distances, weights)


@pytest.mark.parametrize("offset", FAR)
@pytest.mark.parametrize(
    ("fitted", "asked"), [(np.float32, np.float64), (np.float64, np.float32)]
)
def test_samples_of_the_other_dtype_get_the_references_labels(fitted, asked, offset):
    model = KMeans(6, random_state=0).fit(blobs(fitted, offset))
    X = blobs(asked, offset)
    labels, distances = reference.assign(X, model.cluster_centers_)
    np.testing.assert_array_equal(model.predict(X), labels)
    assert model.score(X) == -reference.inertia(distances)
    assert model.transform(X).dtype == asked


@pytest.mark.filterwarnings("ignore::fastkm.ConvergenceWarning")
def test_labels_belong_to_the_centers_where_refilling_never_settles():
    """Rounding 0.3 x 0.9 / 0.3 puts a sample's own center nearer to its neighbour."""
    X, weights = np.array([[0.9], [np.nextafter(0.9, 1)]]), np.array([0.3, 0.1])
    model = KMeans(2, init=X, tol=0).fit(X, sample_weight=weights)
    expected = reference.kmeans(X, X, weights, tol=0)
    np.testing.assert_array_equal(model.cluster_centers_, expected.centers)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    assert model.inertia_ == -model.score(X, sample_weight=weights)


def test_transform_gives_distances_that_are_not_squared():
    model = KMeans(2, init=[[0.0, 0.0], [10.0, 0.0]])
    model.fit([[0.0, 0.0], [10.0, 0.0]])
    assert model.transform([[3.0, 4.0]]).tolist() == [[5.0, np.sqrt(65.0)]]


@every_dtype
def test_transform_has_the_bits_of_the_reference(dtype):
    X = blobs(dtype)
    model = KMeans(6, random_state=0).fit(X)
    distances = np.sqrt(reference.squared_distances(X, model.cluster_centers_))
    np.testing.assert_array_equal(model.transform(X), distances.astype(dtype))
    np.testing.assert_array_equal(model.transform(X), model.fit_transform(X))


def test_predict_takes_one_sample():
    model = KMeans(6, random_state=0).fit(blobs())
    assert model.predict(model.cluster_centers_[4:5]).tolist() == [4]


def test_a_second_fit_forgets_the_first():
    model = KMeans(3, random_state=0).fit(blobs())
    model.fit(blobs(np.float32, n_features=2))
    assert_same_fit(
        model, KMeans(3, random_state=0).fit(blobs(np.float32, n_features=2))
    )


# --- forms of the input


class Frame:
    """What a DataFrame has in common with others: it becomes an array when asked."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def strided(X):
    wide = np.full((2 * len(X), 3 * X.shape[1]), np.nan, X.dtype)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def memmap(X, folder):
    mapped = np.memmap(folder / "X", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    return np.memmap(folder / "X", X.dtype, "r", shape=X.shape)


FORMS = {
    "nested lists": lambda X, _: X.tolist(),
    "list of rows": lambda X, _: list(X),
    "tuple of tuples": lambda X, _: tuple(map(tuple, X.tolist())),
    "DataFrame-like": lambda X, _: Frame(X),
    "Fortran order": lambda X, _: np.asfortranarray(X),
    "strided": lambda X, _: strided(X),
    "reversed twice": lambda X, _: X[::-1].copy()[::-1],
    "unaligned": lambda X, _: np.frombuffer(
        b"?" + X.tobytes(), X.dtype, offset=1
    ).reshape(X.shape),
    "read-only": lambda X, _: read_only(X),
    "memmap": memmap,
    "matrix": lambda X, _: X.view(np.matrix),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@every_dtype
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_samples_gives_the_same_bits(form, dtype, tmp_path):
    X = blobs(dtype)
    given = FORMS[form](X, tmp_path)
    if dtype == np.float32 and form in ("nested lists", "tuple of tuples"):
        X = X.astype(np.float64)  # Python's own numbers are float64
    model, expected = (KMeans(6, random_state=0).fit(x) for x in (given, X))
    assert_same_fit(model, expected)
    np.testing.assert_array_equal(model.predict(given), model.labels_)
    np.testing.assert_array_equal(model.transform(given), expected.transform(X))
    assert model.score(given) == -model.inertia_


@every_dtype
@pytest.mark.parametrize("form", ["Fortran order", "strided", "reversed twice"])
def test_inputs_are_never_changed(form, dtype, tmp_path):
    X = FORMS[form](blobs(dtype), tmp_path)
    weights, init = np.linspace(0, 3, len(X)), X[:6]
    before = [a.copy() for a in (X, weights, init)]
    model = KMeans(6, init=init, n_init=1).fit(X, sample_weight=weights)
    model.predict(X), model.transform(X), model.score(X, sample_weight=weights)
    for array, copy in zip((X, weights, init), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    "weights", [np.ones(300), [1] * 300, np.ones(300, bool), 1, np.ones(600)[::2], 1.0]
)
def test_weights_of_one_are_no_weights(weights):
    X = blobs()
    model = KMeans(6, random_state=0).fit(X, sample_weight=weights)
    assert_same_fit(model, KMeans(6, random_state=0).fit(X))


def test_the_result_does_not_share_memory_with_the_input():
    X, init = blobs(), blobs()[:3].copy()
    model = KMeans(3, init=init, max_iter=1).fit(X)
    for array in (model.cluster_centers_, model.labels_):
        assert not np.shares_memory(array, X)
        assert not np.shares_memory(array, init)


# --- init, n_init, random_state


@pytest.mark.parametrize("init", ["k-means++", "random", "farthest"])
@every_dtype
def test_named_inits_are_the_references(init, dtype):
    X = blobs(dtype)
    choose = {
        "k-means++": reference.kmeans_plusplus,
        "random": reference.random_samples,
        "farthest": reference.farthest_first,
    }[init]
    chosen = choose(X, 6, np.random.default_rng(11))
    expected = reference.kmeans(X, X[chosen])
    model = KMeans(6, init=init, n_init=1, random_state=11).fit(X)
    np.testing.assert_array_equal(model.cluster_centers_, expected.centers, strict=True)
    np.testing.assert_array_equal(model.labels_, expected.labels, strict=True)
    assert model.inertia_ == expected.inertia
    assert (model.n_iter_, model.report_.stop) == (expected.n_iter, expected.stop)


@every_dtype
@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, np.asfortranarray])
def test_init_takes_centers(dtype, form):
    X = blobs(dtype)
    expected = reference.kmeans(X, X[:6])
    model = KMeans(6, init=form(X[:6])).fit(X)
    np.testing.assert_array_equal(model.cluster_centers_, expected.centers, strict=True)


def test_float64_centers_are_rounded_to_float32_samples():
    X, init = blobs(np.float32), blobs()[:6]
    model = KMeans(6, init=init).fit(X)
    assert_same_fit(model, KMeans(6, init=init.astype(np.float32)).fit(X))


def test_init_calls_a_callable_with_samples_number_and_generator():
    calls = []

    def init(X, n_clusters, random_state):
        calls.append((X, n_clusters, random_state))
        X = X[reference.drawing_order(X)]
        return X[random_state.choice(len(X), n_clusters, replace=False)]

    X = blobs()
    model = KMeans(6, init=init, n_init=1, random_state=4).fit(X)
    ((samples, n_clusters, generator),) = calls
    np.testing.assert_array_equal(samples, X)
    assert n_clusters == 6
    assert isinstance(generator, np.random.Generator)
    expected = KMeans(6, init="random", n_init=1, random_state=4).fit(X)
    assert_same_fit(model, expected)


def test_a_callable_cannot_write_to_the_samples():
    def init(X, n_clusters, random_state):
        X[:] = 0
        return X[:n_clusters]

    X = blobs()
    with pytest.raises(ValueError, match="read-only"):
        KMeans(3, init=init).fit(X)
    np.testing.assert_array_equal(X, blobs())


@pytest.mark.parametrize(
    ("init", "runs"),
    [
        ("k-means++", 1),
        ("farthest", 1),
        ("random", 10),
        (lambda X, n_clusters, random_state: X[:n_clusters], 10),
        (np.eye(3, 4), 1),
    ],
)
def test_n_init_auto_is_sklearns(init, runs):
    model = KMeans(3, init=init, random_state=0).fit(blobs())
    assert len(model.report_.inertias) == runs


def replay(*starts):
    """A callable init that gives one start after the other."""
    remaining = iter(starts)
    return lambda X, n_clusters, random_state: next(remaining)


# Corners of a rectangle: split along the long side the inertia is 4, else 16; the two
# starts of each kind differ in the order of the clusters.
CORNERS = np.array([[0.0, 0.0], [0.0, 2.0], [4.0, 0.0], [4.0, 2.0]])
GOOD, GOOD_TURNED = [[0.0, 1.0], [4.0, 1.0]], [[4.0, 1.0], [0.0, 1.0]]
BAD = [[2.0, 0.0], [2.0, 2.0]]


def test_the_run_of_least_inertia_is_kept():
    model = KMeans(2, init=replay(BAD, GOOD, BAD), n_init=3).fit(CORNERS)
    assert model.report_.inertias == [16.0, 4.0, 16.0]
    assert model.report_.best_run == 1
    assert model.inertia_ == 4.0
    assert model.cluster_centers_.tolist() == GOOD


@pytest.mark.parametrize(
    ("first", "second"), [(GOOD, GOOD_TURNED), (GOOD_TURNED, GOOD)]
)
def test_of_equal_runs_the_earlier_is_kept(first, second):
    model = KMeans(2, init=replay(BAD, first, second), n_init=3).fit(CORNERS)
    assert model.report_.best_run == 1
    assert model.cluster_centers_.tolist() == first


def test_more_runs_never_raise_the_inertia():
    X = blobs()
    one, many = (KMeans(9, n_init=n, random_state=0).fit(X) for n in (1, 5))
    assert many.report_.inertias[0] == one.inertia_
    assert many.inertia_ == min(many.report_.inertias)
    assert many.report_.inertias[many.report_.best_run] == many.inertia_


def test_n_init_with_an_array_warns_and_does_one_run():
    X = blobs()
    with pytest.warns(RuntimeWarning, match="n_init=5"):
        model = KMeans(6, init=X[:6], n_init=5).fit(X)
    assert len(model.report_.inertias) == 1


SEEDS = {
    "int": lambda: 42,
    "numpy int": lambda: np.int64(42),
    "Generator": lambda: np.random.default_rng(42),
    "RandomState": lambda: np.random.RandomState(42),
    "SeedSequence": lambda: np.random.SeedSequence(42),
    "BitGenerator": lambda: np.random.MT19937(42),
}


@pytest.mark.parametrize("init", ["k-means++", "random", "farthest"])
@pytest.mark.parametrize("kind", SEEDS)
def test_the_same_seed_gives_the_same_fit(kind, init):
    X = blobs()
    one, two = (KMeans(9, init=init, random_state=SEEDS[kind]()).fit(X) for _ in "ab")
    assert_same_fit(one, two)
    assert one.report_ == two.report_


def test_a_generator_seeded_alike_gives_the_fit_of_the_integer():
    X = blobs()
    expected = KMeans(9, random_state=42).fit(X)
    for kind in ("numpy int", "Generator", "SeedSequence"):
        assert_same_fit(KMeans(9, random_state=SEEDS[kind]()).fit(X), expected)


@pytest.mark.parametrize("kind", ["Generator", "RandomState", "BitGenerator"])
def test_a_generator_moves_on_between_fits(kind):
    model = KMeans(9, init="random", n_init=1, max_iter=1, random_state=SEEDS[kind]())
    first = model.fit(blobs()).cluster_centers_
    assert not np.array_equal(model.fit(blobs()).cluster_centers_, first)


def test_an_integer_seed_gives_the_same_fit_twice_on_one_model():
    model = KMeans(9, random_state=0)
    first = model.fit(blobs()).cluster_centers_
    np.testing.assert_array_equal(model.fit(blobs()).cluster_centers_, first)


def test_without_a_seed_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    KMeans(3).fit(blobs())
    np.testing.assert_array_equal(np.random.get_state()[1], before)


# --- threads and the report


@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2, 3, 7, 10_000])
def test_threads_do_not_change_a_bit(dtype, n_threads):
    X = blobs(dtype, n_samples=4000, n_features=9)
    model = KMeans(9, random_state=0, n_threads=n_threads).fit(X)
    assert_same_fit(model, KMeans(9, random_state=0).fit(X))
    assert 1 <= model.report_.n_threads <= n_threads


@pytest.mark.parametrize("engine", ["auto", *fastkm.engines.ENGINES])
def test_engines_give_the_same_fit_and_say_why(engine):
    model = KMeans(6, random_state=0, engine=engine).fit(blobs())
    assert_same_fit(model, KMeans(6, random_state=0).fit(blobs()))
    assert model.report_.engine in {"small", *fastkm.engines.ENGINES}
    assert model.report_.reason
    assert engine == "auto" or engine in model.report_.reason


def test_the_report_has_a_row_per_iteration():
    X = blobs()
    model = KMeans(9, init="random", n_init=1, random_state=1, tol=0).fit(X)
    report = model.report_
    assert report.stop == "unchanged"
    assert report.inertias == [model.inertia_]
    assert (report.best_run, report.n_refilled, report.n_empty) == (0, 0, 0)
    assert model.n_iter_ > 2
    assert len(report.shifts) == len(report.n_changed) == model.n_iter_
    assert report.shifts[-1] == 0.0
    assert all(shift > 0 for shift in report.shifts[:-1])
    assert report.n_changed[0] == len(X)
    assert report.n_changed[-1] == 0


@pytest.mark.parametrize(
    ("options", "stop"),
    [({"tol": 0}, "unchanged"), ({"tol": 1e3}, "tol"), ({"max_iter": 1}, "max_iter")],
)
def test_the_report_says_what_stopped_the_run(options, stop):
    model = KMeans(6, init="random", n_init=1, random_state=0, **options).fit(blobs())
    assert model.report_.stop == stop


def test_the_report_counts_refilled_clusters():
    X = blobs()
    init = np.concatenate([X[:1], np.full((2, 4), 1e3)])
    report = KMeans(3, init=init, max_iter=1).fit(X).report_
    assert report.n_refilled == 2
    assert report.n_empty == 0


def test_functions_and_the_model_agree():
    X, weights = blobs(), np.linspace(0, 1, 300)
    model = KMeans(6, random_state=0).fit(X, sample_weight=weights)
    result = fastkm.kmeans(X, 6, random_state=0, sample_weight=weights)
    np.testing.assert_array_equal(result.centers, model.cluster_centers_)
    np.testing.assert_array_equal(result.labels, model.labels_)
    assert (result.inertia, result.n_iter) == (model.inertia_, model.n_iter_)
    assert result.report == model.report_
    np.testing.assert_array_equal(fastkm.assign(X, result.centers)[0], result.labels)


@every_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("trials", [None, 1, 4])
def test_kmeans_plusplus_has_the_draws_of_the_reference(dtype, weighted, trials, rng):
    X = blobs(dtype)
    weights = rng.integers(0, 3, len(X)).astype(float) if weighted else None
    centers, indices = fastkm.kmeans_plusplus(
        X, 20, sample_weight=weights, n_local_trials=trials, random_state=5
    )
    expected = reference.kmeans_plusplus(
        X, 20, np.random.default_rng(5), weights, n_local_trials=trials
    )
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(centers, X[expected], strict=True)
    assert indices.dtype == np.int64


# --- edges


@pytest.mark.parametrize("init", ["k-means++", "random", "farthest"])
def test_fewer_distinct_samples_than_clusters_warn(init):
    X = np.repeat([[0.0, 1.0], [5.0, 2.0]], 4, axis=0)
    with pytest.warns(fastkm.ConvergenceWarning, match=r"\(2\).*n_clusters \(5\)"):
        model = KMeans(5, init=init, random_state=0).fit(X)
    assert model.report_.n_empty == 3
    assert model.inertia_ == 0.0
    assert model.cluster_centers_.shape == (5, 2)
    assert np.isfinite(model.cluster_centers_).all()
    np.testing.assert_array_equal(model.predict(X), model.labels_)


@pytest.mark.parametrize("method", ["fit", "fit_predict", "fit_transform"])
def test_warnings_point_to_the_callers_line(method):
    with pytest.warns(fastkm.ConvergenceWarning) as caught:
        getattr(KMeans(2, random_state=0), method)(np.zeros((3, 1)))
    assert caught[0].filename == __file__


def test_the_function_warns_at_the_callers_line():
    with pytest.warns(fastkm.ConvergenceWarning) as caught:
        fastkm.kmeans(np.zeros((3, 1)), 2)
    assert caught[0].filename == __file__


@every_dtype
def test_one_cluster_has_the_mean_as_center(dtype):
    X = blobs(dtype)
    model = KMeans(1).fit(X)
    sums, _ = reference.sum_clusters(X, np.zeros(300, int), 1)
    np.testing.assert_array_equal(model.cluster_centers_, (sums / 300).astype(dtype))
    assert not model.labels_.any()


@every_dtype
@pytest.mark.parametrize("init", ["k-means++", "random", "farthest"])
def test_as_many_clusters_as_samples_leave_no_inertia(dtype, init):
    X = blobs(dtype)[:50]
    model = KMeans(50, init=init, random_state=0).fit(X)
    assert model.inertia_ == 0.0
    assert sorted(model.labels_) == list(range(50))
    np.testing.assert_array_equal(model.cluster_centers_[model.labels_], X)


@pytest.mark.parametrize("init", ["k-means++", "random", "farthest", [[9.0, 9.0]]])
def test_one_sample_is_its_own_center(init):
    model = KMeans(1, init=init).fit([[3.0, 4.0]])
    assert model.cluster_centers_.tolist() == [[3.0, 4.0]]
    assert (model.labels_.tolist(), model.inertia_) == ([0], 0.0)


@every_dtype
@pytest.mark.parametrize("seed", range(3))
def test_inertia_never_rises_with_more_iterations(dtype, seed):
    X = blobs(dtype)
    runs = [
        KMeans(20, init="random", n_init=1, random_state=seed, tol=0, max_iter=m).fit(X)
        for m in range(1, 40)
    ]
    inertias = np.array([run.inertia_ for run in runs])
    # A step minimizes the inertia but for the rounding of the centers, which adds the
    # squared rounding error of every coordinate, once for each sample.
    rounding = X.size * (np.finfo(dtype).eps * np.abs(X).max()) ** 2
    assert (np.diff(inertias) <= rounding).all()
    assert inertias[-1] < inertias[0]


@every_dtype
def test_a_fit_from_the_optimum_changes_nothing(dtype):
    X = blobs(dtype)
    model = KMeans(9, random_state=0, tol=0).fit(X)
    again = KMeans(9, init=model.cluster_centers_, tol=0).fit(X)
    assert again.n_iter_ == 1
    np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)


# --- weights


@every_dtype
@pytest.mark.parametrize("n_clusters", [1, 3, 40])
def test_weights_equal_repetition(dtype, n_clusters, rng):
    """Whole numbers and weights of powers of two: every weighted term is exact."""
    X = rng.integers(0, 30, (200, 3)).astype(dtype)
    weights = rng.choice([0, 1, 2, 4], len(X))
    options = {"init": X[weights > 0][:n_clusters], "tol": 0}
    weighted = KMeans(n_clusters, **options).fit(X, sample_weight=weights)
    repeated = KMeans(n_clusters, **options).fit(np.repeat(X, weights, axis=0))
    np.testing.assert_array_equal(weighted.cluster_centers_, repeated.cluster_centers_)
    np.testing.assert_array_equal(
        np.repeat(weighted.labels_, weights), repeated.labels_
    )
    assert weighted.inertia_ == repeated.inertia_
    assert weighted.n_iter_ == repeated.n_iter_


@given(
    st.lists(
        st.tuples(
            st.integers(-3, 3), st.integers(-3, 3), st.sampled_from([0, 1, 2, 8])
        ),
        min_size=2,
        max_size=12,
    ).filter(lambda rows: sum(row[2] > 0 for row in rows) >= 2),
    st.data(),
)
@pytest.mark.filterwarnings("ignore::fastkm.ConvergenceWarning")
def test_weights_equal_repetition_on_a_lattice(rows, data):
    """Small lattices are full of ties, copies and empty clusters."""
    table = np.array(rows, float)
    X, weights = table[:, :2].copy(), table[:, 2].astype(int)
    size = data.draw(st.integers(1, int((weights > 0).sum())))
    init = data.draw(
        st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=size, max_size=size)
    )
    options = {"init": np.array(init, float), "tol": 0}
    weighted = KMeans(size, **options).fit(X, sample_weight=weights)
    repeated = KMeans(size, **options).fit(np.repeat(X, weights, axis=0))
    np.testing.assert_array_equal(weighted.cluster_centers_, repeated.cluster_centers_)
    assert weighted.inertia_ == repeated.inertia_


def test_scaling_all_weights_by_a_power_of_two_scales_the_inertia(rng):
    X, weights = blobs(), rng.gamma(1, size=300)
    options = {"init": X[:6], "tol": 0}
    one = KMeans(6, **options).fit(X, sample_weight=weights)
    many = KMeans(6, **options).fit(X, sample_weight=1024 * weights)
    np.testing.assert_array_equal(one.cluster_centers_, many.cluster_centers_)
    assert many.inertia_ == 1024 * one.inertia_


def test_samples_of_weight_zero_do_not_count_but_get_labels():
    X = np.array([[0.0], [1.0], [9.0], [10.0], [1000.0]])
    model = KMeans(2, random_state=0, n_init=3).fit(X, sample_weight=[1, 1, 1, 1, 0])
    assert sorted(model.cluster_centers_[:, 0]) == [0.5, 9.5]
    assert model.labels_[4] == model.labels_[3]
    assert model.inertia_ == 1.0
