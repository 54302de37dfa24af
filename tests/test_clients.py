"""Programs of others that take a k-means: each test runs where its client is installed.

They are optional: python -m pip install '.[clients]', and bertopic, which needs PyTorch
unless it is installed with --no-deps.
"""

import numpy as np
import pytest
import sklearn.base
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastkm import KMeans

# Warnings of the clients about their own use of pandas, matplotlib or Python.
THEIR_WARNINGS = "ignore::DeprecationWarning", "ignore::FutureWarning"
pytestmark = [pytest.mark.filterwarnings(warning) for warning in THEIR_WARNINGS]


def blobs(n_samples=400, n_features=5, centers=4):
    return make_blobs(
        n_samples, n_features, centers=centers, cluster_std=0.5, random_state=2
    )


@pytest.mark.parametrize("metric", ["distortion", "silhouette", "calinski_harabasz"])
def test_yellowbrick_finds_the_elbow(metric):
    """yellowbrick 1.5 refuses scikit-learn's own KMeans: it knows no tags."""
    pytest.importorskip("yellowbrick")
    from yellowbrick.cluster import KElbowVisualizer

    X, _ = blobs()
    elbow = KElbowVisualizer(KMeans(random_state=0), k=(2, 9), metric=metric)
    elbow.fit(X)
    elbow.finalize()
    if metric == "distortion":
        assert elbow.elbow_value_ == 4
    else:
        assert elbow.k_values_[np.argmax(elbow.k_scores_)] == 4


def test_imbalanced_learn_replaces_samples_by_centers():
    pytest.importorskip("imblearn")
    from imblearn.under_sampling import ClusterCentroids

    X, _ = blobs()
    y = (np.arange(len(X)) % 10 == 0).astype(int)
    sampler = ClusterCentroids(estimator=KMeans(random_state=0), voting="soft")
    resampled, classes = sampler.fit_resample(X, y)
    assert np.bincount(classes).tolist() == [40, 40]
    expected = KMeans(40, random_state=0).fit(X[y == 0])
    np.testing.assert_array_equal(resampled[classes == 0], expected.cluster_centers_)


def test_bertopic_takes_it_for_its_clusterer():
    pytest.importorskip("bertopic")
    from bertopic import BERTopic

    embeddings, blob = blobs(200)
    words = np.array(["apple", "bridge", "candle", "desert"])
    documents = [f"{word} and more {word}" for word in words[blob]]
    model = KMeans(4, random_state=0)
    topics, _ = BERTopic(
        umap_model=PCA(2, random_state=0), hdbscan_model=model
    ).fit_transform(documents, embeddings=embeddings)
    # Topics are clusters, renumbered by size.
    assert len(set(zip(topics, model.labels_.tolist(), strict=True))) == 4


def test_a_client_needs_but_fit_and_labels():
    """What BERTopic does with a clusterer, for where it is not installed."""
    X, blob = blobs()
    clusterer = sklearn.base.clone(KMeans(4, random_state=0))
    clusterer.fit(X, y=None)
    assert clusterer.labels_.tolist() == clusterer.predict(X).tolist()
    assert len(set(zip(blob, clusterer.labels_, strict=True))) == 4


def test_a_grid_is_searched_over_a_pipeline_with_pca():
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(
        StandardScaler(),
        PCA(random_state=0),
        KMeans(random_state=0),
        KNeighborsClassifier(),
    )
    grid = {"pca__n_components": [2, 20], "kmeans__n_clusters": [5, 40]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    assert search.best_params_ == {"pca__n_components": 20, "kmeans__n_clusters": 40}
    # Ten classes in even shares: by chance 0.1 of them are right.
    assert search.best_score_ > 0.8


@pytest.mark.parametrize("prefer", ["processes", "threads"])
def test_joblib_runs_seeds_in_parallel(prefer):
    joblib = pytest.importorskip("joblib")
    X, _ = blobs()
    models = [
        KMeans(9, init="random", n_init=1, random_state=seed) for seed in range(6)
    ]
    run = joblib.Parallel(n_jobs=2, prefer=prefer)
    fitted = run(joblib.delayed(sklearn.base.clone(model).fit)(X) for model in models)
    for model, parallel in zip(models, fitted, strict=True):
        model.fit(X)
        assert parallel.inertia_ == model.inertia_
        np.testing.assert_array_equal(parallel.labels_, model.labels_)
        np.testing.assert_array_equal(parallel.cluster_centers_, model.cluster_centers_)
