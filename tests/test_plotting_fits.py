"""Pictures of fits: convergence, elbow, silhouettes, and samples of many features."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from fastkm import kmeans, kmeans_path, plotting
from fastkm.plotting.colors import FEW_COLORS
from fastkm.plotting.projection import principal_plane


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def report(shifts, n_changed, stop="tol"):
    return SimpleNamespace(shifts=shifts, n_changed=n_changed, stop=stop)


def table(n_clusters, inertia, elbow):
    return SimpleNamespace(
        n_clusters=np.array(n_clusters), inertia=np.array(inertia), elbow=elbow
    )


def whole(ticks):
    return (np.asarray(ticks) == np.round(ticks)).all()


# --- convergence


def test_convergence_shows_shares_of_the_first_iteration():
    ax = plotting.plot_convergence(report([8.0, 4.0, 1.0], [100, 10, 5]))
    moved, changed = ax.lines
    assert moved.get_xdata().tolist() == changed.get_xdata().tolist() == [1, 2, 3]
    assert moved.get_ydata().tolist() == [1.0, 0.5, 0.125]
    assert changed.get_ydata().tolist() == [1.0, 0.1, 0.05]
    assert ax.get_yscale() == "log"
    assert ax.get_title() == "3 iterations: centers moved less than tol"
    assert len(ax.get_legend().get_texts()) == 2
    assert whole(ax.get_xticks())


def test_an_iteration_in_which_nothing_moved_is_a_dashed_line():
    ax = plotting.plot_convergence(report([8.0, 0.0], [9, 0], "unchanged"))
    moved, changed, end = ax.lines
    for line in (moved, changed):
        assert line.get_ydata()[0] == 1.0 and np.isnan(line.get_ydata()[1])
    assert list(end.get_xdata()) == [2, 2] and end.get_linestyle() == "--"
    assert ax.get_xlim()[1] >= 2


def test_a_run_at_rest_from_the_start_is_drawn():
    ax = plotting.plot_convergence(report([0.0], [5], "unchanged"))
    assert ax.get_title() == "1 iteration: no center changed"


def test_convergence_of_a_fit(rng):
    ax = plt.figure().subplots()
    fit = kmeans(rng.normal(size=(500, 2)), 9, random_state=0)
    assert plotting.plot_convergence(fit.report, ax=ax) is ax
    assert len(ax.lines[0].get_xdata()) == fit.n_iter


# --- elbow


def test_the_elbow_is_marked_on_the_curve():
    ax = plotting.plot_elbow(table([1, 2, 3, 4], [9.0, 3.0, 2.0, 1.0], elbow=2))
    curve, mark = ax.lines
    assert curve.get_xdata().tolist() == [1, 2, 3, 4]
    assert curve.get_ydata().tolist() == [9.0, 3.0, 2.0, 1.0]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (2, 3.0)
    assert ax.texts[0].get_text() == "elbow: 2 clusters"
    assert ax.get_ylim()[0] == 0
    assert whole(ax.get_xticks())


def test_the_elbow_of_a_path(rng):
    path = kmeans_path(rng.normal(size=(200, 2)), [1, 2, 5, 9], random_state=0)
    ax = plt.figure().subplots()
    assert plotting.plot_elbow(path, ax=ax) is ax
    assert ax.lines[1].get_xdata()[0] == path.elbow


def test_one_number_of_clusters_is_its_own_elbow():
    ax = plotting.plot_elbow(table([1], [9.0], elbow=1))
    assert ax.texts[0].get_text() == "elbow: 1 cluster"


# --- silhouettes


def test_a_blade_holds_the_sorted_silhouettes_of_a_cluster():
    values, labels = [0.1, 0.5, 0.9, -0.2, 0.3], [3, 0, 0, 3, 3]
    ax = plotting.plot_silhouette(values, labels)
    first, second = ax.patches
    lengths, edges, _ = first.get_data()
    assert lengths.tolist() == [0.9, 0.5]
    assert edges.tolist() == [0, 1, 2]
    lengths, edges, _ = second.get_data()
    assert lengths.tolist() == [0.3, 0.1, -0.2]
    assert np.diff(edges).tolist() == [1, 1, 1] and edges[0] > 2
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "3"]
    assert first.get_facecolor() == to_rgba(FEW_COLORS[0])
    assert second.get_facecolor() == to_rgba(FEW_COLORS[3])
    assert ax.get_title() == "mean silhouette 0.320"
    assert ax.lines[0].get_xdata()[0] == np.mean(values)
    assert ax.yaxis_inverted() and ax.get_xlim() == (-0.2, 1)


def test_a_blade_of_very_many_samples_is_drawn_by_quantiles():
    values = np.arange(100_000) / 100_000
    ax = plotting.plot_silhouette(values, np.zeros(100_000, int))
    lengths, edges, _ = ax.patches[0].get_data()
    assert len(lengths) == 200 and (edges[0], edges[-1]) == (0, 100_000)
    # Each step is the value at its middle, of 100000 that are 1e-5 apart.
    np.testing.assert_allclose(lengths, 1 - (np.arange(200) + 0.5) / 200, atol=1e-4)


def test_many_clusters_are_bands_from_best_to_worst():
    labels = np.repeat(np.arange(40), 11)
    values = labels / 50 + np.tile(np.arange(11) / 100, 40)
    ax = plotting.plot_silhouette(values, labels)
    wide, narrow, means = (patch.get_data() for patch in ax.patches)
    expected = (np.arange(40) / 50 + 0.05)[::-1]
    # Sums of ten numbers below 1.
    np.testing.assert_allclose(means.values, expected, atol=1e-14)
    for (low, high), band in {(0.5, 9.5): wide, (2.5, 7.5): narrow}.items():
        # Quantiles of 0 ... 10, in hundredths; NumPy interpolates in float64.
        np.testing.assert_allclose(band.baseline, expected - 0.05 + low / 100)
        np.testing.assert_allclose(band.values, expected - 0.05 + high / 100)
    assert ax.get_ylabel() == "40 clusters, from best to worst"
    assert not len(ax.get_yticks())
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [
        "middle 90% of a cluster",
        "middle 50% of a cluster",
        "mean of a cluster",
    ]


# --- samples of many features


def flat(rng, n_samples=500):
    """Samples in a plane of 5 dimensions, and their coordinates there."""
    plane = np.array([[0, 3, 0, 4, 0], [0, 4, 0, -3, 0]]) / 5
    coordinates = rng.normal(size=(n_samples, 2)) * [3, 1]
    coordinates -= coordinates.mean(axis=0)
    return coordinates @ plane + np.arange(5), coordinates


def test_many_features_are_projected_and_the_axes_say_so(rng):
    X, coordinates = flat(rng)
    labels = (coordinates[:, 0] > 0).astype(int)
    centers = np.array([X[labels == j].mean(axis=0) for j in (0, 1)])
    ax = plotting.plot_clusters(X, labels, centers)
    points, marks = ax.collections
    shown = np.asarray(points.get_offsets())
    # A rotation within the plane: distances stay, to a few roundings of 16 digits.
    np.testing.assert_allclose(
        np.linalg.norm(shown - shown[0], axis=1),
        np.linalg.norm(coordinates - coordinates[0], axis=1),
        atol=1e-12,
    )
    means = [shown[labels == j].mean(axis=0) for j in (0, 1)]
    # As above.
    np.testing.assert_allclose(marks.get_offsets(), means, atol=1e-12)
    first = ax.get_xlabel().removeprefix("principal component 1 (")
    share = int(first.removesuffix("% of variance)"))
    assert 85 <= share <= 95  # 9 : 1
    assert ax.get_ylabel() == f"principal component 2 ({100 - share}% of variance)"


def test_two_features_are_no_projection(rng):
    ax = plt.figure().subplots()
    ax.set(xlabel="length", ylabel="width")
    plotting.plot_clusters(rng.normal(size=(50, 2)), np.zeros(50, int), ax=ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length", "width")


def test_the_plane_is_that_of_some_samples_and_is_never_mirrored(rng):
    X, _ = flat(rng, 4000)
    plane = principal_plane(X.astype(np.float32))
    assert plane.directions.shape == (5, 2)
    np.testing.assert_allclose(
        plane.directions.T @ plane.directions,
        np.eye(2),
        atol=1e-12,  # a few roundings of 16 digits
    )
    assert (plane.directions.max(axis=0) > -plane.directions.min(axis=0)).all()
    # Halves of 1000 samples or more: shares of the variance are alike.
    np.testing.assert_allclose(plane.shares, principal_plane(X[2000:]).shares, atol=0.1)


def test_projection_in_blocks_is_the_same(rng, monkeypatch):
    X, _ = flat(rng)
    plane = principal_plane(X)
    whole = plane.project(X)
    monkeypatch.setattr("fastkm.plotting.projection.BLOCK", 100)
    # Matrix products of other shapes may add in another order.
    np.testing.assert_allclose(plane.project(X), whole, atol=1e-13)


@pytest.mark.parametrize("X", [[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]] * 4])
def test_samples_without_variance_are_drawn(X):
    ax = plotting.plot_clusters(X, np.zeros(len(X), int))
    assert ax.get_xlabel() == "principal component 1 (0% of variance)"


def test_a_million_samples_of_many_features_are_a_raster(rng):
    X = rng.normal(size=(100_000, 6)).astype(np.float32)
    ax = plotting.plot_clusters(X, (X[:, 0] > 0).astype(int))
    assert len(ax.images) == 1 and not ax.collections
    assert "principal component 1" in ax.get_xlabel()


# --- bad arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plotting.plot_convergence(report([], [])), "report .* got none"),
        (
            lambda: plotting.plot_elbow(table([1], [np.nan], 1)),
            "inertia must be finite",
        ),
        (lambda: plotting.plot_silhouette([0.5, np.nan], [0, 1]), "values must be fin"),
        (lambda: plotting.plot_silhouette([], []), r"values must .* \(0,\)"),
        (lambda: plotting.plot_silhouette([[0.5]], [0]), r"values must .* \(1, 1\)"),
        (lambda: plotting.plot_silhouette([0.5], [0, 1]), r"labels must .* \(2,\)"),
        (lambda: plotting.plot_silhouette([0.5], [-1]), r"labels must be .*-1"),
        (
            lambda: plotting.plot_clusters(np.ones((4, 3)), [0] * 4, np.ones((2, 2))),
            "centers must have 3 features, got 2",
        ),
        (
            lambda: plotting.plot_clusters(
                np.ones((4, 3)), [0] * 4, np.ones((2, 3)), boundaries=True
            ),
            "boundaries=True needs centers of 2 features, got 3",
        ),
        (
            lambda: plotting.plot_clusters([[1, 2, np.inf]], [0]),
            "X must be finite, .*inf",
        ),
    ],
)
def test_bad_arguments_are_named_before_anything_is_drawn(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert not plt.get_fignums()
