"""scikit-learn's own tests of k-means, with our classes in the place of its own.

The installed test module is loaded once more while `sklearn.cluster` holds ours, and
its tests are collected here. What does not apply has its reason in a table: UNRELATED
tests do not run; DIFFERENT ones run and must fail, so that no entry outlives its
reason.
"""

import importlib.util
from unittest import mock

import numpy as np
import pytest
import scipy.sparse
import sklearn.cluster

import fastkm

OURS = {
    "KMeans": fastkm.KMeans,
    "MiniBatchKMeans": fastkm.MiniBatchKMeans,
    "kmeans_plusplus": fastkm.kmeans_plusplus,
    # Theirs returns three values, ours a tuple that begins with them.
    "k_means": lambda *args, **options: fastkm.kmeans(*args, **options)[:3],
}

HELPER = "of a private helper"
UNRELATED = {
    "test_minibatch_update_consistency": HELPER,
    "test_minibatch_reassign": HELPER,
    "test_relocate_empty_clusters": HELPER,
    "test_euclidean_distance": HELPER,
    "test_inertia": HELPER,
    "test_is_same_clustering": HELPER,
}
SPARSE = "MiniBatchKMeans refuses sparse samples"
N_INIT = "reads the private _n_init"
INIT_SIZE = "reads the private _init_size"
SILENT = "MiniBatchKMeans prints nothing"
OTHER_DRAWS = "draws other samples, and ends in another local optimum"
INIT_CENTROIDS = "calls the private method _init_centroids"
NO_NORMS = "passes x_squared_norms: our distances are not expanded into norms"
DIFFERENT = {
    "test_kmeans_verbose": "verbose writes to stderr, a bar or other lines",
    "test_kmeans_init_auto_with_initial_centroids": N_INIT,
    "test_n_init_auto": N_INIT,
    "test_minibatch_kmeans_init_size": INIT_SIZE,
    "test_minibatch_declared_convergence": SILENT,
    "test_minibatch_kmeans_partial_fit_init[random]": OTHER_DRAWS,
    "test_sample_weight_init": INIT_CENTROIDS,
    "test_sample_weight_zero": INIT_CENTROIDS,
    "test_kmeans_plusplus_wrong_params": NO_NORMS,
    "test_kmeans_plusplus_norms": NO_NORMS,
}

spec = importlib.util.find_spec("sklearn.cluster.tests.test_k_means")
# Some distributions leave the tests out: then there is nothing to collect.
if spec is None:
    pytest.skip("scikit-learn is installed without its tests", allow_module_level=True)
with mock.patch.multiple(sklearn.cluster, **OURS):
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
TESTS = {name: test for name, test in vars(theirs).items() if name.startswith("test_")}
globals().update(TESTS)


@pytest.fixture(autouse=True)
def apply_the_tables(request):
    """Skip what is UNRELATED, expect what is DIFFERENT to fail."""
    name = request.node.originalname
    callspec = getattr(request.node, "callspec", None)
    values = list(callspec.params.values()) if callspec else []
    # They test scikit-learn's private functions, none of ours: the table says which.
    if name in UNRELATED:
        pytest.skip(UNRELATED[name])
    reason = DIFFERENT.get(name) or DIFFERENT.get(request.node.name)
    about_batches = "minibatch" in name or any(
        value is fastkm.MiniBatchKMeans for value in values
    )
    if about_batches and any(map(is_sparse, values)):
        reason = SPARSE
    # Each differs on purpose, for the reason in the table; strict: it has to.
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def is_sparse(value):
    """Samples, or what makes them."""
    return scipy.sparse.issparse(value) or any(
        value is container for container in theirs.CSR_CONTAINERS
    )


@pytest.fixture
def global_random_seed():
    """The seed that scikit-learn takes by default."""
    return 42


@pytest.fixture(params=[np.float32, np.float64])
def global_dtype(request):
    return request.param


def test_no_entry_of_a_table_is_left_over():
    entries = UNRELATED.keys() | DIFFERENT.keys()
    assert {entry.partition("[")[0] for entry in entries} <= TESTS.keys()
