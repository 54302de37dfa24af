"""Models that need no fit, that start where the last one ended, and those in files."""

import pickle
import zipfile

import numpy as np
import pytest
import sklearn.base

import fastkm
from fastkm import ClusterClassifier, KMeans, files, reference

DTYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def samples(rng, dtype=np.float64):
    blobs = 4 * rng.normal(size=(5, 3))[rng.integers(0, 5, 200)]
    return (blobs + rng.normal(size=(200, 3))).astype(dtype)


def same(ours, theirs):
    np.testing.assert_array_equal(ours, theirs, strict=True)


# --- given centers


@every_dtype
def test_given_centers_predict_at_once(dtype, rng):
    X = samples(rng, dtype)
    model = KMeans.from_centers(X[:7], n_threads=1)
    labels, distances = reference.assign(X, X[:7])
    same(model.predict(X), labels)
    assert model.score(X) == -reference.inertia(distances)
    same(model.cluster_centers_, X[:7])
    assert not np.shares_memory(model.cluster_centers_, X)
    assert (model.n_clusters, model.n_features_in_, model.n_threads) == (7, 3, 1)
    assert model.transform(X).shape == (200, 7)


def test_given_centers_are_where_a_fit_starts(rng):
    X = samples(rng)
    expected = reference.kmeans(X, X[:7])
    model = sklearn.base.clone(KMeans.from_centers(X[:7].tolist()))
    assert not hasattr(model, "cluster_centers_")
    same(model.fit(X).cluster_centers_, expected.centers)


@pytest.mark.parametrize("centers", [[1.0, 2.0], [[np.nan]], "text", []])
def test_given_centers_are_checked(centers):
    with pytest.raises(ValueError, match="centers"):
        KMeans.from_centers(centers)


@every_dtype
@pytest.mark.parametrize("n_nearest", [1, 3, 7])
def test_nearest_centers_of_a_model_are_the_references(dtype, n_nearest, rng):
    X = samples(rng, dtype)
    model = KMeans.from_centers(X[:7])
    expected = reference.nearest_centers(X, X[:7], n_nearest)
    for answer in (
        model.nearest(X, n_nearest),
        fastkm.nearest_centers(X, X[:7], n_nearest, n_threads=1),
    ):
        same(answer[0], expected[0])
        same(answer[1], expected[1])
    same(model.nearest(X, n_nearest)[0][:, 0], model.predict(X))


@pytest.mark.parametrize("n_nearest", [0, 8, 1.0, "1", True])
def test_the_number_of_nearest_centers_is_checked(n_nearest, rng):
    X = samples(rng)
    with pytest.raises(ValueError, match="n_nearest="):
        KMeans.from_centers(X[:7]).nearest(X, n_nearest)


# --- centers that do not move


@every_dtype
@pytest.mark.parametrize("weighted", [False, True])
def test_frozen_centers_do_not_move(dtype, weighted, rng):
    X = samples(rng, dtype)
    weights = rng.integers(0, 3, len(X)).astype(float) if weighted else None
    frozen = np.arange(7) % 3 == 0
    model = KMeans(7, init=X[:7], frozen=frozen.tolist()).fit(X, sample_weight=weights)
    expected = reference.kmeans(X, X[:7], weights, frozen=frozen)
    same(model.cluster_centers_, expected.centers)
    same(model.cluster_centers_[frozen], X[:7][frozen])
    assert (model.cluster_centers_ != X[:7]).any()
    assert model.n_iter_ == expected.n_iter


def test_an_empty_frozen_cluster_stays_empty_without_a_warning(rng):
    X = samples(rng)
    init = np.vstack([X[:2], np.full((2, 3), 1e6)])
    model = KMeans(4, init=init, frozen=[False, False, True, False]).fit(X)
    assert np.bincount(model.labels_, minlength=4)[2] == 0
    assert model.report_.n_empty == 0
    assert model.report_.n_refilled == 1
    same(model.cluster_centers_[2], init[2])


def test_all_centers_may_be_frozen(rng):
    X = samples(rng)
    model = KMeans(3, init=X[:3], frozen=[True] * 3).fit(X)
    same(model.cluster_centers_, X[:3])
    same(model.labels_, reference.assign(X, X[:3])[0])
    assert model.report_.stop == "unchanged"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen": [True]}, r"frozen has shape \(1,\)"),
        ({"frozen": [1, 0, 0]}, "frozen has .* int64"),
        ({"frozen": "all"}, "frozen has"),
        ({"frozen": [True] * 3, "init": "random"}, "frozen needs .* init='random'"),
    ],
)
def test_frozen_is_checked(options, message, rng):
    X = samples(rng)
    with pytest.raises(ValueError, match=message):
        KMeans(3, **{"init": X[:3], **options}).fit(X)


# --- warm start


def test_a_warm_start_goes_on_where_the_last_fit_ended(rng):
    X = samples(rng)
    whole = KMeans(7, init=X[:7], tol=0).fit(X)
    model = KMeans(7, init=X[:7], tol=0, max_iter=1, warm_start=True)
    n_fits = 1
    while model.fit(X).report_.stop != "unchanged":
        n_fits += 1
    same(model.cluster_centers_, whole.cluster_centers_)
    assert n_fits == whole.n_iter_ > 2


def test_a_warm_start_takes_other_samples_and_one_run(rng):
    model = KMeans(5, n_init=3, random_state=0, warm_start=True).fit(samples(rng))
    centers, X = model.cluster_centers_, samples(rng)
    assert len(model.report_.inertias) == 3
    same(model.fit(X).cluster_centers_, reference.kmeans(X, centers).centers)
    assert len(model.report_.inertias) == 1
    with pytest.raises(ValueError, match="features of the data"):
        model.fit(X[:, :2])
    with pytest.raises(ValueError, match="number of clusters"):
        model.set_params(n_clusters=4).fit(X)


def test_a_clone_of_a_warm_model_starts_cold(rng):
    X = samples(rng)
    model = KMeans(5, random_state=0, warm_start=True).fit(X).fit(X)
    cold = sklearn.base.clone(model).fit(X)
    expected = KMeans(5, random_state=0).fit(X)
    same(cold.cluster_centers_, expected.cluster_centers_)


# --- files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@every_dtype
def test_a_file_keeps_what_predict_needs(dtype, path, rng):
    X = samples(rng, dtype)
    model = KMeans(5, random_state=3, tol=0.0, init=X[:5]).fit(X)
    model.save(path)
    loaded = KMeans.load(str(path))
    same(loaded.cluster_centers_, model.cluster_centers_)
    same(loaded.predict(X), model.labels_)
    assert (loaded.inertia_, loaded.n_iter_) == (model.inertia_, model.n_iter_)
    assert loaded.n_features_in_ == 3
    assert not hasattr(loaded, "labels_")
    ours, theirs = loaded.get_params(), model.get_params()
    same(ours.pop("init"), theirs.pop("init"))
    assert ours == theirs
    same(loaded.fit(X).labels_, model.labels_)


@pytest.mark.parametrize(
    "classes", [["b", "a"], [3, -7], [True, False], [2.0, 1.0]], ids=str
)
@pytest.mark.parametrize("kind", [None, object])
def test_a_file_keeps_a_classifier(classes, kind, path, rng):
    X = samples(rng)
    y = np.array(classes, kind)[(X[:, 0] > 0).astype(int)]
    model = ClusterClassifier(5, random_state=0).fit(X, y)
    model.save(path)
    loaded = ClusterClassifier.load(path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    same(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.score(X, y) == model.score(X, y)


def test_a_file_keeps_centers_that_were_given(path):
    KMeans.from_centers([[0.0], [9.0]]).save(path)
    loaded = KMeans.load(path)
    assert loaded.predict([[8.0]]).tolist() == [1]
    assert not hasattr(loaded, "inertia_")


def test_a_file_keeps_the_names_of_features(path, rng):
    # Frames are optional for fastkm, so pandas is for its tests, too.
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(samples(rng), columns=list("abc"))
    model = KMeans(3, random_state=0).fit(frame)
    model.save(path)
    loaded = KMeans.load(path)
    assert loaded.feature_names_in_.tolist() == list("abc")
    same(loaded.predict(frame), model.labels_)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame[list("cba")])


def test_what_no_file_can_keep_is_the_default_again(path, rng):
    X = samples(rng)
    options = {"init": lambda X, k, random_state: X[:k], "max_iter": np.int64(9)}
    generator = np.random.default_rng(0)
    KMeans(3, random_state=generator, n_init=1, **options).fit(X).save(path)
    loaded = KMeans.load(path)
    assert (loaded.init, loaded.random_state) == ("k-means++", None)
    assert (loaded.n_clusters, loaded.n_init, loaded.max_iter) == (3, 1, 9)
    loaded.fit(X)


def test_the_command_line_and_a_model_read_each_others_files(path, tmp_path, rng):
    from fastkm.__main__ import main

    X, labels = samples(rng), tmp_path / "labels.npy"
    np.save(tmp_path / "X.npy", X)
    KMeans(3, random_state=0).fit(X).save(path)
    assert main(["predict", str(path), str(tmp_path / "X.npy"), "-o", str(labels)]) == 0
    same(np.load(labels), KMeans(3, random_state=0).fit(X).labels_)
    assert main(["fit", str(tmp_path / "X.npy"), "-k", "3", "-o", str(path)]) == 0
    loaded = KMeans.load(path)
    same(loaded.predict(X), np.load(labels))
    assert (loaded.n_clusters, loaded.random_state, loaded.n_init) == (3, 0, "auto")


def test_only_a_fitted_model_is_saved(path):
    with pytest.raises(ValueError, match="not fitted"):
        KMeans().save(path)
    assert not path.exists()


def test_a_file_of_another_class_is_refused(path, rng):
    X = samples(rng)
    KMeans(3).fit(X).save(path)
    with pytest.raises(ValueError, match="class KMeans, not ClusterClassifier"):
        ClusterClassifier.load(path)
    ClusterClassifier(3).fit(X, X[:, 0] > 0).save(path)
    with pytest.raises(ValueError, match="class ClusterClassifier, not KMeans"):
        KMeans.load(path)


def rewritten(path, **changes):
    """Change entries of a .npz file; None leaves one out."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {**file, **changes}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


@pytest.mark.parametrize(
    "changes",
    [
        {"classes_": None},
        {"cluster_probabilities_": None},
        {"classes_": np.arange(9)},
        {"cluster_probabilities_": np.ones((2, 2))},
        {"feature_names_in_": np.array(["a"])},
    ],
    ids=str,
)
def test_a_damaged_classifier_is_refused(changes, path, rng):
    X = samples(rng)
    ClusterClassifier(3).fit(X, X[:, 0] > 0).save(path)
    rewritten(path, **changes)
    with pytest.raises(ValueError, match="damaged model") as caught:
        ClusterClassifier.load(path)
    assert str(path) in str(caught.value)


RELATIVES = fastkm.MiniBatchKMeans, fastkm.BisectingKMeans, fastkm.SphericalKMeans


@pytest.mark.parametrize("relative", RELATIVES)
def test_relatives_keep_what_they_need(relative, path, rng):
    X = samples(rng)
    model = relative(5, random_state=0).fit(X)
    model.save(path)
    loaded = relative.load(path)
    same(loaded.predict(X), model.labels_)
    assert loaded.score(X) == model.score(X)
    same(loaded.transform(X), model.transform(X))
    with pytest.raises(ValueError, match="not KMeans"):
        KMeans.load(path)


def test_a_loaded_mini_batch_model_goes_on(path, rng):
    X = samples(rng)
    model = fastkm.MiniBatchKMeans(3, random_state=0, reassignment_ratio=0)
    model.partial_fit(X[:20]).save(path)
    loaded = fastkm.MiniBatchKMeans.load(path).partial_fit(X[20:])
    same(loaded.cluster_centers_, model.partial_fit(X[20:]).cluster_centers_)
    given = fastkm.MiniBatchKMeans.from_centers(X[:3]).partial_fit(X[3:])
    assert given.n_steps_ == 1
    rewritten(path, _weights=np.ones(2))
    with pytest.raises(ValueError, match="damaged model"):
        fastkm.MiniBatchKMeans.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"_nodes": None},
        {"_children": np.zeros((9, 2), int)},
        {"_children": np.full((9, 2), 99)},
        {"_leaves": np.arange(5)},
        {"_nodes": np.zeros((9, 3))},
    ],
    ids=str,
)
def test_a_damaged_tree_is_refused(changes, path, rng):
    fastkm.BisectingKMeans(5, random_state=0).fit(samples(rng)).save(path)
    rewritten(path, **changes)
    with pytest.raises(ValueError, match="damaged model"):
        fastkm.BisectingKMeans.load(path)


def test_centers_alone_are_no_tree_and_directions_have_length_one():
    with pytest.raises(TypeError, match="has a tree"):
        fastkm.BisectingKMeans.from_centers([[0.0], [1.0]])
    model = fastkm.SphericalKMeans.from_centers([[3.0, 4.0], [0.0, 2.0]])
    assert model.cluster_centers_.tolist() == [[0.6, 0.8], [0.0, 1.0]]
    assert model.predict([[0.0, 9.0]]).tolist() == [1]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(share, path, rng):
    KMeans(3).fit(samples(rng)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"model\.npz"):
        KMeans.load(path)


def test_other_files_are_refused(path, rng):
    np.savez(path, X=samples(rng))
    with pytest.raises(ValueError, match="not a fastkm model"):
        KMeans.load(path)
    path.write_bytes(pickle.dumps(KMeans(3).fit(samples(rng))))
    with pytest.raises(ValueError, match="not a fastkm model"):
        KMeans.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(ValueError, match="not a fastkm model"):
        KMeans.load(path)
    with pytest.raises(FileNotFoundError):
        KMeans.load(path.with_name("missing"))


def test_a_failed_save_leaves_the_old_file(path, rng, monkeypatch):
    model = KMeans(3).fit(samples(rng))
    model.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save(path)
    assert path.read_bytes() == before
    assert files.load_model(path).n_iter == model.n_iter_
