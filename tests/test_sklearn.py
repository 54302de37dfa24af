"""Beside scikit-learn, and inside it: the same numbers, and at home in its tools."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn.base
import sklearn.cluster
import sklearn.exceptions
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastkm
from fastkm import ClusterClassifier, KMeans

DATA = {
    "digits": lambda: datasets.load_digits().data,
    "iris": lambda: datasets.load_iris().data,
    "wine": lambda: datasets.load_wine().data,
    "breast cancer": lambda: datasets.load_breast_cancer().data,
    "diabetes": lambda: datasets.load_diabetes().data,
    "blobs": lambda: datasets.make_blobs(1000, 8, centers=6, random_state=3)[0],
    "moons": lambda: datasets.make_moons(1000, noise=0.1, random_state=0)[0],
    "swiss roll": lambda: datasets.make_swiss_roll(1000, random_state=0)[0],
    "overlapping": lambda: np.random.default_rng(8).normal(size=(700, 3)),
    "heavy tails": lambda: np.random.default_rng(9).standard_t(3, size=(700, 40)),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("n_clusters", [2, 7, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_same_labels_from_the_same_centers(name, n_clusters, weighted, rng):
    X = DATA[name]()
    # Beside the samples, for some lie on grids: where two centers tie, scikit-learn's
    # rounding decides.
    init = X[rng.choice(len(X), n_clusters, replace=False)]
    init = init + 0.01 * X.std(axis=0) * rng.normal(size=init.shape)
    weights = rng.uniform(0.5, 2, len(X)) if weighted else None
    options = {"init": init, "n_init": 1, "tol": 0}
    ours = KMeans(n_clusters, **options).fit(X, sample_weight=weights)
    theirs = sklearn.cluster.KMeans(n_clusters, **options).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    # They subtract the mean of X and add up n numbers in float64, each at most twice
    # max |X|: at most n roundings of 2^-53 relative to the sum.
    atol = len(X) * 2.0**-52 * np.abs(X).max()
    np.testing.assert_allclose(
        ours.cluster_centers_, theirs.cluster_centers_, rtol=0, atol=atol
    )
    # The inertia is flat at the optimum: their error is that of adding up n terms, each
    # rounding 2^-53 of the sum, and as much for the terms themselves.
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=len(X) * 2.0**-52)


@pytest.mark.parametrize("tol", [1e-4, 1e-2])
def test_tol_has_sklearns_meaning(tol):
    X = datasets.load_digits().data
    options = {"init": X[:10], "n_init": 1, "tol": tol}
    ours = KMeans(10, **options).fit(X)
    assert ours.n_iter_ == sklearn.cluster.KMeans(10, **options).fit(X).n_iter_
    assert ours.report_.stop in ("tol", "unchanged")


# --- its estimators, warnings and errors


# Some checks have fewer distinct samples than the eight clusters of the default.
@pytest.mark.filterwarnings("ignore::fastkm.ConvergenceWarning")
@parametrize_with_checks([KMeans(), ClusterClassifier()])
def test_every_check_of_an_estimator(estimator, check):
    check(estimator)


def test_our_classes_are_among_its_own():
    assert isinstance(KMeans(), sklearn.base.BaseEstimator)
    assert sklearn.base.is_clusterer(KMeans())
    assert sklearn.base.is_classifier(ClusterClassifier())
    assert issubclass(fastkm.ConvergenceWarning, sklearn.exceptions.ConvergenceWarning)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        KMeans().predict([[0.0]])
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        KMeans(2).fit(np.zeros((3, 1)))


def run(code: str) -> None:
    """Run in a process of its own, which decides what is imported when."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


FITTED = """
import sys, pickle
import numpy as np
import fastkm
X = np.arange(24.0).reshape(8, 3)
model = fastkm.KMeans(2, random_state=0).fit(X)
classifier = fastkm.ClusterClassifier(2, random_state=0).fit(X, [0] * 4 + [1] * 4)
pickled = pickle.dumps(model)
assert "sklearn" not in sys.modules
"""


def test_a_model_older_than_the_import_of_sklearn_is_at_home_in_it():
    run(
        FITTED
        + """
class Heir(fastkm.KMeans):
    def transform(self, X):
        return super().transform(X)

import sklearn.base, sklearn.exceptions
from sklearn.pipeline import make_pipeline
twin = sklearn.base.clone(model)
assert type(twin) is type(model) is fastkm.KMeans
assert isinstance(model, sklearn.base.BaseEstimator)
assert sklearn.base.is_classifier(classifier)
assert make_pipeline(model).fit(X).predict(X).tolist() == model.labels_.tolist()
assert (pickle.loads(pickled).predict(X) == model.labels_).all()
assert list(Heir(2).fit(X).get_feature_names_out()) == ["heir0", "heir1"]
assert Heir().set_output(transform="default") and Heir().set_fit_request
try:
    fastkm.KMeans().predict(X)
except sklearn.exceptions.NotFittedError:
    pass
"""
    )


@pytest.mark.parametrize(
    ("imports", "ask"),
    [
        ("sklearn.base", "sklearn.base.clone(model)"),
        ("sklearn.utils", "sklearn.utils.get_tags(model)"),
        ("sys", "model.set_output(transform='default')"),
        ("sys", "model.get_metadata_routing()"),
        ("sys", "model.set_score_request"),
        ("sys", "model._repr_mimebundle_()"),
    ],
)
def test_whatever_asks_first_brings_sklearns_bases(imports, ask):
    run(
        f"import fastkm; model = fastkm.KMeans(2); import {imports}; {ask}\n"
        "import sklearn.base; assert isinstance(model, sklearn.base.BaseEstimator)"
    )


def test_all_but_the_home_works_without_sklearn():
    run(
        "import sys; sys.modules['sklearn'] = None\n"
        + FITTED.replace('"sklearn" not in sys.modules', "True")
        + """
assert (pickle.loads(pickled).predict(X) == model.labels_).all()
assert model.set_params(n_clusters=3).get_params()["n_clusters"] == 3
assert repr(model) == "KMeans(n_clusters=3, random_state=0)"
assert model.transform(X).shape == (8, 2)
assert not hasattr(model, "_repr_html_") and not hasattr(model, "labels")
try:
    model.set_output(transform="pandas")
except AttributeError as error:
    assert "not installed" in str(error)
else:
    raise AssertionError
try:
    fastkm.KMeans().predict(X)
except ValueError as error:
    assert "not fitted" in str(error)
"""
    )


def test_a_model_made_beside_sklearn_is_read_without_it():
    model = KMeans(2, random_state=0).fit(np.arange(24.0).reshape(8, 3))
    pickled = pickle.dumps(model.set_output(transform="default"))
    run(
        "import sys, pickle; sys.modules['sklearn'] = None\n"
        f"model = pickle.loads({pickled!r})\n"
        "assert len(model.predict([[0.0] * 3])) == 1 and model.n_clusters == 2"
    )


# --- its tools

SAMPLES = datasets.load_iris().data
CLASSES = datasets.load_iris().target


def test_features_of_transform_are_named_after_the_class():
    model = KMeans(3, random_state=0).fit(SAMPLES)
    assert list(model.get_feature_names_out()) == ["kmeans0", "kmeans1", "kmeans2"]


def test_diagrams_in_notebooks():
    model = KMeans(3, random_state=0)
    assert "KMeans" in model._repr_html_()
    assert set(model._repr_mimebundle_()) == {"text/plain", "text/html"}
    html = estimator_html_repr(make_pipeline(StandardScaler(), model.fit(SAMPLES)))
    assert "random_state" in html


def test_weights_are_routed_to_whoever_asks_for_them(rng):
    weights = rng.gamma(1, size=len(SAMPLES))
    with sklearn.config_context(enable_metadata_routing=True):
        model = KMeans(3, random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, sklearn.base.clone(model))
        pipeline.fit(SAMPLES, sample_weight=weights)
    X = scaler.fit_transform(SAMPLES)
    expected = KMeans(3, random_state=0).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(pipeline[-1].labels_, expected.labels_)
    assert pipeline[-1].inertia_ == expected.inertia_


def test_grids_are_searched_inside_pipelines():
    steps = KMeans(random_state=0), LogisticRegression(max_iter=999)
    pipeline = make_pipeline(StandardScaler(), *steps)
    grid = GridSearchCV(pipeline, {"kmeans__n_clusters": [2, 12]}, cv=3)
    grid.fit(SAMPLES, CLASSES)
    assert grid.best_params_ == {"kmeans__n_clusters": 12}


def test_scores_are_cross_validated():
    scores = cross_val_score(KMeans(3, random_state=0), SAMPLES, cv=3)
    assert (scores < 0).all()
    scores = cross_val_score(
        ClusterClassifier(9, random_state=0), SAMPLES, CLASSES, cv=3
    )
    assert (scores > 1 / 3).all()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_transform_gives_frames_when_asked(library):
    # Frames are optional for fastkm, so the libraries are for its tests, too.
    pytest.importorskip(library)
    model = KMeans(3, random_state=0).set_output(transform=library).fit(SAMPLES)
    frame = sklearn.base.clone(model).fit(SAMPLES).transform(SAMPLES)
    assert type(frame).__module__.startswith(library)
    assert list(frame.columns) == ["kmeans0", "kmeans1", "kmeans2"]
    plain = KMeans(3, random_state=0).fit_transform(SAMPLES)
    np.testing.assert_array_equal(frame.to_numpy(), plain)
    with sklearn.config_context(transform_output=library):
        assert type(KMeans(3).fit_transform(SAMPLES)) is type(frame)
    copy = pickle.loads(pickle.dumps(model))
    assert type(copy.transform(SAMPLES)) is type(frame)


@pytest.mark.parametrize("Model", [KMeans, ClusterClassifier])
def test_names_of_columns_are_kept_and_compared(Model):
    # As above.
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(SAMPLES, columns=list("abcd"))
    model = Model(3, random_state=0).fit(frame, CLASSES)
    assert model.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(model.predict(frame), model.predict(frame.copy()))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("dcba")])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(SAMPLES)
    with pytest.raises(TypeError, match="string names"):
        Model(3).fit(frame.rename(columns={"a": 0}), CLASSES)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(frame[["d"]] * np.nan, CLASSES)
    assert model.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(model.predict(frame), model.predict(frame.copy()))
    model.fit(SAMPLES, CLASSES)
    assert not hasattr(model, "feature_names_in_")
    with pytest.warns(UserWarning, match="fitted without feature names"):
        model.predict(frame)


@pytest.mark.parametrize("algorithm", ["lloyd", "elkan"])
def test_parameters_without_effect_change_nothing(algorithm):
    model = KMeans(3, random_state=0, algorithm=algorithm, copy_x=False).fit(SAMPLES)
    expected = KMeans(3, random_state=0).fit(SAMPLES)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)


def test_algorithm_is_checked_as_it_is_there():
    with pytest.raises(ValueError, match="algorithm='auto' must be one of"):
        KMeans(3, algorithm="auto").fit(SAMPLES)
    with pytest.raises(TypeError, match="n_clusters='3' must be"):
        KMeans("3").fit(SAMPLES)
    with pytest.warns(RuntimeWarning, match="'elkan' doesn't make sense"):
        KMeans(1, algorithm="elkan").fit(SAMPLES)


def test_a_column_of_classes_is_flattened_with_a_warning():
    with pytest.warns(sklearn.exceptions.DataConversionWarning, match="column-vector"):
        model = ClusterClassifier(9, random_state=0).fit(SAMPLES, CLASSES[:, None])
    expected = ClusterClassifier(9, random_state=0).fit(SAMPLES, CLASSES)
    np.testing.assert_array_equal(model.predict(SAMPLES), expected.predict(SAMPLES))
