"""Plotting: what stands in the Axes, and errors that name the argument."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb

from fastkm import plotting
from fastkm.plotting.colors import FEW_COLORS
from fastkm.plotting.timing import GUIDE


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def scatters(ax):
    return [c for c in ax.collections if isinstance(c, PathCollection)]


def segments(ax):
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert len(lines) <= 1
    return np.array(lines[0].get_segments()) if lines else np.empty((0, 2, 2))


def window(x=(-1.0, 1.0), y=(-1.0, 1.0)):
    ax = plt.figure().subplots()
    ax.set(xlim=x, ylim=y)
    return ax


def voronoi(centers, **limits):
    return segments(plotting.plot_voronoi(centers, ax=window(**limits)))


def test_importing_does_not_import_matplotlib():
    code = "import sys, fastkm.plotting; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("own_axes", [True, False])
def test_missing_matplotlib_says_how_to_install_it(own_axes, monkeypatch):
    ax = None if own_axes else window()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    calls = [
        lambda: plotting.plot_clusters([[0, 0]], [0], ax=ax),
        lambda: plotting.plot_voronoi([[0, 0]], ax=ax),
        lambda: plotting.plot_confusion([[1]], "a", ax=ax),
    ]
    for call in calls:
        with pytest.raises(ImportError, match=r"pip install 'fastkm\[plot\]'"):
            call()


def test_samples_and_centers_stand_where_they_are(rng):
    X, centers = rng.normal(size=(300, 2)), rng.normal(size=(3, 2))
    labels = rng.integers(3, size=300)
    ax = plotting.plot_clusters(X, labels, centers)
    points, marks = scatters(ax)
    assert (points.get_offsets() == X).all()
    assert (marks.get_offsets() == centers).all()
    assert marks.get_zorder() > points.get_zorder()
    assert not (marks.get_edgecolors()[0] == marks.get_facecolors()[0]).all()
    assert ax.get_aspect() == 1
    assert not ax.images and not len(segments(ax))
    colors = points.get_facecolors()
    assert [len(np.unique(colors[labels == j], axis=0)) for j in range(3)] == [1] * 3
    assert len(np.unique(colors, axis=0)) == 3


def test_all_samples_and_centers_are_inside_the_limits():
    ax = plotting.plot_clusters([[0, 0], [1, 5]], [0, 1], [[0, 0], [9, -3]])
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < 0 and right > 9 and bottom < -3 and top > 5


def test_a_label_keeps_its_colour_whichever_labels_are_present():
    centers = np.zeros((3, 2))
    both = plotting.plot_clusters([[0, 0], [1, 1]], [0, 2], centers)
    one = plotting.plot_clusters([[1, 1]], [2], centers)
    color = scatters(one)[0].get_facecolors()[0]
    assert (scatters(both)[0].get_facecolors()[1] == color).all()


def test_many_clusters_have_many_colours_and_neighbours_differ():
    n = 250
    X = np.stack([np.arange(n), np.zeros(n)], axis=1)
    colors = scatters(plotting.plot_clusters(X, np.arange(n)))[0].get_facecolors()
    assert len(np.unique(colors, axis=0)) == n
    assert np.abs(np.diff(colors[:, :3], axis=0)).max(axis=1).min() > 0.2


def test_a_single_sample_has_limits():
    ax = plotting.plot_clusters([[3, 3]], [0], max_points=0)
    assert ax.get_xlim() == (2.5, 3.5)
    assert len(ax.images) == 1


def test_above_max_points_there_is_an_image_and_no_scatter(rng):
    X = rng.normal(size=(501, 2))
    labels = (X[:, 0] > 0).astype(int)
    exact = plotting.plot_clusters(X[:500], labels[:500], max_points=500)
    assert len(scatters(exact)) == 1 and not exact.images
    ax = plotting.plot_clusters(X, labels, max_points=500)
    assert not scatters(ax) and len(ax.images) == 1
    left, right, bottom, top = ax.images[0].get_extent()
    assert left == X[:, 0].min() and right >= X[:, 0].max()
    assert bottom == X[:, 1].min() and top >= X[:, 1].max()


def test_a_pixel_has_the_colour_of_the_majority_and_more_samples_are_more_opaque():
    # One crowd of labels 2, 2, 2, 0, 0, a tie of 1 and 0, and a sample alone.
    X = [[0, 0]] * 5 + [[10, 0]] * 2 + [[0, 10]]
    ax = plotting.plot_clusters(X, [2, 0, 2, 0, 2, 1, 0, 1], max_points=0)
    image = np.asarray(ax.images[0].get_array())
    assert ax.images[0].origin == "lower"
    crowd, tie, alone = image[0, 0], image[0, -1], image[-1, 0]
    expected = [to_rgb(FEW_COLORS[j]) for j in (2, 0, 1)]
    assert np.array_equal([crowd[:3], tie[:3], alone[:3]], expected)
    assert crowd[3] == 1 > tie[3] > alone[3] > 0
    assert np.count_nonzero(image[..., 3]) == 3


@pytest.mark.parametrize("max_points", [0, 100])
def test_boundaries_are_those_of_plot_voronoi(max_points, rng):
    X, centers = rng.normal(size=(50, 2)), rng.normal(size=(4, 2))
    labels = rng.integers(4, size=50)
    ax = plotting.plot_clusters(
        X, labels, centers, boundaries=True, max_points=max_points
    )
    expected = voronoi(centers, x=ax.get_xlim(), y=ax.get_ylim())
    assert len(expected) and np.array_equal(segments(ax), expected)


@pytest.mark.parametrize("n_centers", [2, 3, 7, 40, 150])
def test_segments_are_as_near_to_two_centers_as_to_any(n_centers, rng):
    centers = rng.uniform(-1.2, 1.2, size=(n_centers, 2))
    found = voronoi(centers)
    assert len(found) >= 1
    # Coordinates are about 1; bisectors of far centers magnify rounding a few hundred
    # times, and 1e-10 is still a million times finer than a pixel.
    tolerance = 1e-10
    assert np.abs(found).max() <= 1 + tolerance
    for share in (0.0, 0.3, 1.0):
        points = (1 - share) * found[:, 0] + share * found[:, 1]
        distances = np.linalg.norm(points[:, None] - centers, axis=2)
        two = np.sort(distances, axis=1)[:, :2]
        assert (two[:, 1] - two[:, 0]).max() < tolerance


def test_segments_are_complete(rng):
    # Where the nearest center changes along a line, the line crosses a segment.
    centers = rng.uniform(-1, 1, size=(30, 2))
    found = voronoi(centers)
    x = np.linspace(-1, 1, 4001)
    for y in (-0.77, 0.013, 0.5):
        line = np.stack([x, np.full_like(x, y)], axis=1)
        nearest = ((line[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        changes = np.flatnonzero(np.diff(nearest))
        (x0, y0), (x1, y1) = np.moveaxis(found, 0, -1)
        crosses = (y0 < y) != (y1 < y)
        at = np.sort((x0 + (y - y0) / (y1 - y0) * (x1 - x0))[crosses])
        assert len(at) == len(changes)
        assert (np.abs(at - x[changes]) <= x[1] - x[0]).all()


def test_two_centers_give_one_clipped_line():
    found = voronoi([[0, 0], [1, 0]], x=(-2.0, 3.0), y=(-4.0, 5.0))
    assert np.array_equal(np.sort(found, axis=1), [[[0.5, -4.0], [0.5, 5.0]]])


def test_inverted_limits_give_the_same_line():
    found = voronoi([[0, 0], [1, 0]], x=(3.0, -2.0), y=(5.0, -4.0))
    assert np.array_equal(np.sort(found, axis=1), [[[0.5, -4.0], [0.5, 5.0]]])


def test_four_centers_in_a_square_give_a_plus_sign():
    found = voronoi([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])
    arms = {frozenset(map(tuple, np.round(arm, 12) + 0.0)) for arm in found}
    tips = [(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)]
    assert len(found) == 4
    assert arms == {frozenset([(0.0, 0.0), tip]) for tip in tips}


def test_collinear_centers_give_parallel_lines():
    found = voronoi([[-0.9, 0], [-0.3, 0], [0.3, 0], [0.7, 0]])
    assert sorted(np.round(found[:, 0, 0], 12) + 0.0) == [-0.6, 0.0, 0.5]
    assert np.array_equal(np.abs(found[..., 1]).round(12), np.ones((3, 2)))


def test_slanted_collinear_centers_give_only_lines_of_neighbours():
    steps = np.arange(12)[:, None] * [0.1, 0.07] - 0.5
    assert len(voronoi(steps, x=(-3, 3), y=(-3, 3))) == 11


def test_equal_centers_count_as_one():
    single = voronoi([[0, 0], [1, 0], [0, 1]])
    twice = voronoi([[0, 0], [1, 0], [0, 1], [1, 0], [0, 0]])
    assert np.array_equal(single, twice)


@pytest.mark.parametrize("centers", [[[0.1, 0.2]], [[0.1, 0.2]] * 3])
def test_one_center_draws_nothing(centers):
    ax = plotting.plot_voronoi(centers, ax=window())
    assert not ax.collections and not ax.lines


def test_boundaries_leave_the_limits_alone():
    ax = plotting.plot_voronoi([[0, 0], [90, 0]], ax=window(x=(40, 50), y=(2, 3)))
    assert ax.get_xlim() == (40, 50) and ax.get_ylim() == (2, 3)


def test_centers_make_a_grid_of_their_pixels():
    centers = np.arange(30.0).reshape(5, 6)
    ax = plotting.plot_centers(centers, shape=(2, 3), columns=3)
    picture = np.asarray(ax.images[0].get_array())
    assert picture.shape == (5, 11)
    for j, (row, column) in enumerate(np.ndindex(2, 3)):
        tile = picture[3 * row : 3 * row + 2, 4 * column : 4 * column + 3]
        expected = centers[j].reshape(2, 3) if j < 5 else np.zeros((2, 3))
        assert np.array_equal(tile, expected)
    gaps = np.concatenate([picture[2], picture[:, 3], picture[:, 7]])
    assert len(np.unique(gaps)) == 1 and 0 < gaps[0] < 29
    assert ax.images[0].get_cmap().name == "gray_r"
    assert not len(ax.get_xticks()) and not len(ax.get_yticks())
    assert ax.get_title() == ""


def test_cut_centers_are_told_in_the_title():
    ax = plotting.plot_centers(np.eye(49)[np.arange(400) % 49], max_centers=9)
    assert ax.get_title() == "9 of 400 centers"
    assert ax.images[0].get_array().shape == (23, 23)


def test_exponent_of_a_power_is_its_exponent():
    n_samples = np.array([100, 1000, 5000, 70_000])
    seconds = 3 * n_samples**0.9
    # 1e-12: logarithms of some 10, rounded to 2^-52 of that, and a least-squares fit.
    assert plotting.fitted_exponent(n_samples, seconds) == pytest.approx(0.9, rel=1e-12)
    runs = seconds[:, None] * [0.5, 1.0, 7.0]
    assert plotting.fitted_exponent(n_samples, runs) == pytest.approx(0.9, rel=1e-12)


def test_time_curve_is_the_median_in_a_band():
    n_samples, seconds = [1000, 10, 100], [[3, 9, 4], [1, 1, 2], [2, 1, 5]]
    ax = plotting.plot_time_curve(n_samples, seconds, label="fastkm")
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert np.array_equal(ax.lines[0].get_xdata(), [10, 100, 1000])
    assert np.array_equal(ax.lines[0].get_ydata(), [1, 2, 4])
    assert ax.lines[0].get_marker() == "o"
    corners = ax.collections[0].get_paths()[0].vertices
    for n, low, high in [(10, 1, 2), (100, 1, 5), (1000, 3, 9)]:
        band = corners[corners[:, 0] == n, 1]
        assert (band.min(), band.max()) == (low, high)


def test_curves_share_a_guide_and_a_legend():
    ax = plotting.plot_time_curve([1, 10], [1, 10**0.97], label="fastkm")
    assert not ax.collections
    assert plotting.plot_time_curve([1, 10], [2, 20], ax=ax) is ax
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["fastkm: N^0.97", "N^1", "N^1.00"]
    guides = [line for line in ax.lines if line.get_gid() == GUIDE]
    assert len(guides) == 1 and len(ax.lines) == 3
    (x0, y0), (x1, y1) = guides[0].get_xy1(), guides[0].get_xy2()
    # pytest's 1e-6: the guide is laid through its points in logarithms.
    assert y1 / y0 == pytest.approx(x1 / x0)


def test_confusion_has_true_rows_and_predicted_columns():
    ax = plotting.plot_confusion([[900, 3], [0, 950]], ["cat", "dog"])
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {(0, 0): "900", (1, 0): "3", (0, 1): "0", (1, 1): "950"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    for axis in (ax.xaxis, ax.yaxis):
        assert [t.get_text() for t in axis.get_ticklabels()] == ["cat", "dog"]


def test_a_rare_error_differs_from_none_in_colour():
    matrix = np.diag([10_000] * 10)
    matrix[2, 7] = 1
    image = np.asarray(plotting.plot_confusion(matrix, range(10)).images[0].get_array())
    assert (image[7, 2] == 1).all()
    assert image[2, 7, :3].min() < 0.5
    assert not np.allclose(image[2, 7], image[2, 2])


def test_an_empty_confusion_is_drawn():
    assert len(plotting.plot_confusion(np.zeros((2, 2)), "ab").texts) == 4


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("clusters", ([[1], [2]], [0, 1]), r"X must .* 2 features .* got \(2, 1\)"),
        ("clusters", (np.empty((0, 2)), []), r"X must .* got \(0, 2\)"),
        ("clusters", ([[1, np.nan]], [0]), "X must be finite, .*nan"),
        ("clusters", ([[1, 2]], [0, 1]), r"labels must have shape \(1,\), got \(2,\)"),
        ("clusters", ([[1, 2]], [-1]), "labels must be integers >= 0, .*-1"),
        ("clusters", ([[1, 2]], [0.5]), "labels must be integers >= 0, .*0.5"),
        ("clusters", ([[1, 2]], [0], [1, 2]), r"centers must .* got \(2,\)"),
        ("voronoi", ([[1, 2, 3]],), r"centers must have shape .* got \(1, 3\)"),
        ("voronoi", ([[1, np.inf]],), "centers must be finite, .*inf"),
        ("centers", ([1, 2],), r"centers must have shape .* got \(2,\)"),
        ("centers", ([[1, 2, 3]],), "shape=None needs square images, got 3"),
        ("time_curve", ([1], [1]), "n_samples must be two sizes or more, .*1"),
        ("time_curve", ([5, 5], [1, 2]), "n_samples must be two sizes or more, .*5"),
        ("time_curve", ([1, 2], [1, 2, 3]), r"seconds must have shape .* \(3,\)"),
        ("time_curve", ([1, 2], [1, 0]), "seconds must be positive, got 0"),
        ("time_curve", ([-1, 2], [1, 1]), "n_samples must be positive, got -1"),
        ("confusion", ([[1, 2]], "a"), r"matrix must be square, got shape \(1, 2\)"),
        ("confusion", ([[1, -2], [0, 1]], "ab"), "matrix must hold counts .* -2"),
        ("confusion", ([[1, 2], [0, 1]], "abc"), "class_names must have 2 .* got 3"),
    ],
)
def test_bad_input_is_named_before_anything_is_drawn(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(plotting, f"plot_{name}")(*arguments)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2, 3)}, r"shape must be of 4 pixels, got \(2, 3\)"),
        ({"columns": 0}, "columns must be at least 1, got 0"),
        ({"max_centers": 0}, "max_centers must be at least 1, got 0"),
    ],
)
def test_bad_options_of_a_grid_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_centers(np.ones((2, 4)), **options)
    assert not plt.get_fignums()


def test_boundaries_without_centers_are_refused():
    with pytest.raises(ValueError, match="boundaries=True needs centers"):
        plotting.plot_clusters([[0, 0]], [0], boundaries=True)


@pytest.mark.parametrize("seconds", [[1, -2], [0, 1]])
def test_exponent_refuses_times_that_are_not_positive(seconds):
    with pytest.raises(ValueError, match="seconds must be positive"):
        plotting.fitted_exponent([1, 2], seconds)
