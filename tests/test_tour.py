"""The tour, once in its short form: its report, its pictures, its figures."""

import base64
import contextlib
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
pytest.importorskip("jinja2")

from matplotlib.image import imread

import fastkm
from fastkm.__main__ import main
from fastkm.tour import NEEDED, report, timing
from fastkm.tour.timing import Limits, Point

SECTIONS = ("clusterings", "restarts", "timing", "digits", "setup")
PICTURES = (
    "blobs-farthest.png",
    "blobs-k-means++.png",
    "blobs-random.png",
    "digit-centers.png",
    "digit-confusion.png",
    "restarts-inertia.png",
    "restarts-loss.png",
    "ring-farthest.png",
    "ring-k-means++.png",
    "ring-random.png",
    "time-100d.png",
    "time-2d.png",
)


class Page(HTMLParser):
    """Sections, images and text of a page; fails where tags are not balanced."""

    VOID = ("meta", "img")

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.sections, self.images = [], set(), [], []
        self.words = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "section":
            self.sections.append(dict(attributes)["id"])
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data.split()

    @property
    def text(self):
        return " ".join(self.words)


class Tour:
    """What one run of the command printed and wrote."""

    def __init__(self, folder):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(["tour", "--short", "-o", str(folder)])
        assert status == 0, err.getvalue()
        self.folder, self.out, self.err = folder, out.getvalue(), err.getvalue()
        self.html = (folder / "report.html").read_text(encoding="utf-8")
        self.page = Page(self.html)


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    return Tour(tmp_path_factory.mktemp("tour") / "made" / "here")


def test_it_says_what_it_does_and_where_the_report_is(tour):
    assert tour.out.splitlines()[-1].startswith(
        f"report   {tour.folder / 'report.html'} (12 pictures"
    )
    # No bar where nobody watches, no warning, and a line for each of the six parts.
    assert len(tour.err.splitlines()) == 6
    for line in tour.err.splitlines():
        assert re.fullmatch(r"[^\r]+: \d+\.\d s", line)


def test_every_section(tour):
    assert tuple(tour.page.sections) == SECTIONS


def test_every_picture_is_in_the_page_and_beside_it(tour):
    assert tuple(sorted(p.name for p in tour.folder.glob("*.png"))) == PICTURES
    embedded = set()
    for image in tour.page.images:
        start = "data:image/png;base64,"
        assert image["src"].startswith(start)
        assert image["alt"]
        embedded.add(base64.b64decode(image["src"].removeprefix(start), validate=True))
    assert embedded == {(tour.folder / name).read_bytes() for name in PICTURES}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_show_something(tour, name):
    pixels = imread(tour.folder / name)
    assert min(pixels.shape[:2]) > 400
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20


def test_the_page_needs_nothing_else(tour):
    assert "://" not in tour.html
    assert not tour.page.tags & {"script", "link", "iframe", "object", "embed"}
    assert "url(" not in tour.html and "@import" not in tour.html
    assert {p.name for p in tour.folder.iterdir()} == {*PICTURES, "report.html"}


def test_digits_are_read(tour):
    # Over 40 seeds, splits and starts, the accuracy on the test images lay between
    # 0.960 and 0.991.
    found = re.search(r"test images 449 (\d+\.\d+) %", tour.page.text)
    assert float(found[1]) > 95


def test_figures_in_the_text(tour):
    text = tour.page.text
    assert f"fastkm {fastkm.__version__}" in text
    assert re.search(r"alone it is -?\d\.\d\d for fastkm", text)
    difference = re.search(r"differ by more than (\S+) of their", text)
    assert float(difference[1]) < 1e-9  # the runs are short: no stop is on the edge
    assert "50 times from each kind of start" in text
    assert "nan" not in text.split()


@pytest.mark.parametrize("module", NEEDED)
def test_missing_package(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["tour", "-o", str(tmp_path / "tour")]) == 1
    assert capsys.readouterr() == (
        "",
        f"fastkm: error: the tour needs {NEEDED[module]}: "
        "python -m pip install 'fastkm[tour]'\n",
    )
    assert not (tmp_path / "tour").exists()


def test_an_unwritable_folder_is_found_at_once(tmp_path, capsys):
    (tmp_path / "tour" / "report.html").mkdir(parents=True)
    assert main(["tour", "--short", "-o", str(tmp_path / "tour")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch("fastkm: error: .*Is a directory\n", err)


def test_sizes_are_those_of_the_notebook():
    sizes = timing.sizes()
    assert (len(sizes), sizes[0], sizes[-1]) == (45, 24, 2_524_500)


class NoAlbum:
    def add(self, name, figure, alt):
        return None


@pytest.mark.parametrize(
    ("limits", "n_points", "end"),
    [
        (Limits(1, 1, 0, 1e9), timing.LEAST_POINTS, "the limit of 0 seconds"),
        (Limits(1, 1, np.inf, 8 * 2 * 117), 7, "the limit of 1.9e-06 GB"),
    ],
)
def test_a_curve_ends_at_its_limits(limits, n_points, end):
    curve = timing.measure(
        fastkm.datasets.make_blobs_and_tail,
        2,
        limits,
        seed=0,
        album=NoAlbum(),
        track=lambda items, name: items,
    )
    assert [point.n_samples for point in curve.points] == timing.sizes()[:n_points]
    assert curve.end.startswith(end)


@pytest.mark.parametrize("n_points", [1, 8, 9, 10, 45])
def test_a_table_shows_some_points_with_the_last(n_points):
    points = [Point(n, [1.0], [2.0], 3.0) for n in range(n_points)]
    shown = report.some(points)
    assert shown[-1] == points[-1]
    assert shown == sorted(shown)
    assert min(n_points, 5) <= len(shown) <= report.TABLE_ROWS


def test_the_template_comes_with_the_package():
    assert (Path(fastkm.__file__).parent / "tour" / "report.html").is_file()
