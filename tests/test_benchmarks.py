"""The benchmarks run: every suite once, with its cheapest parameters, in this process.

How asv finds and calls them: asv's documentation, "Benchmark types and attributes".
"""

import functools
import http.server
import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import benchmarks
from benchmarks import (
    comparison,
    data,
    everyday,
    limits,
    memory,
    optima,
    peers,
    seeding,
    side_by_side,
    tiles,
)
from fastkm.datasets import make_blobs_and_tail

BENCHMARK = re.compile(r"(time|timeraw|mem|peakmem|track)_.+")
MODULES = [
    importlib.import_module(f"benchmarks.{info.name}")
    for info in pkgutil.iter_modules(benchmarks.__path__)
]


def suites():
    """Classes that asv finds, each in the module that defines it."""
    for module in MODULES:
        for name, value in vars(module).items():
            if not name.startswith("_") and isinstance(value, type):
                methods = [m for m in dir(value) if BENCHMARK.match(m)]
                if methods:
                    yield pytest.param(value, methods, id=value.__module__ + "." + name)


def first_parameters(suite):
    """Cheapest parameters: lists are ordered by cost."""
    params = getattr(suite, "params", ())
    if not params:
        return []
    return [p[0] for p in params] if isinstance(params[0], list) else [params[0]]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Cases and curves of few samples, limits that are not measured."""

    def few():
        return make_blobs_and_tail(700, random_state=0)

    for name, case in data.CASES.items():
        monkeypatch.setitem(data.CASES, name, case._replace(make=few, n_clusters=6))
    for key, n_samples in list(data.SIZES.items()):
        if n_samples > 200_000:
            monkeypatch.delitem(data.SIZES, key)
    monkeypatch.setattr(limits, "flops", lambda dtype, n_threads: 1e11)
    monkeypatch.setattr(limits, "bytes_read", lambda n_threads: 1e10)
    monkeypatch.delenv("FASTKM_MNIST", raising=False)  # 4000 clusters take a minute
    monkeypatch.setattr(tiles, "WORK", 1e7)
    monkeypatch.setattr(memory, "NUMBERS", 1_000_000)
    data.work.cache_clear()
    yield
    data.work.cache_clear()


@pytest.mark.parametrize(("suite", "methods"), list(suites()))
def test_suite_runs(suite, methods):
    assert suite.timeout > 0, "asv's minute is too short for some machine"
    arguments = first_parameters(suite)
    assert len(getattr(suite, "param_names", ())) == len(arguments)
    one = suite()
    if hasattr(one, "setup_cache"):
        cache = one.setup_cache()
        arguments = arguments if cache is None else [cache, *arguments]
    for method in methods:
        if hasattr(one, "setup"):
            one.setup(*arguments)
        result = getattr(one, method)(*arguments)
        if method.startswith("track_"):
            assert isinstance(float(result), float)
            unit = getattr(getattr(one, method), "unit", getattr(one, "unit", None))
            assert unit, "the graph's axis would say: unit"
        if hasattr(one, "teardown"):
            one.teardown(*arguments)


def test_helpers_do_not_look_like_benchmarks():
    for module in MODULES:
        assert not [name for name in vars(module) if BENCHMARK.match(name)], module


def test_limits_are_of_a_computer(monkeypatch):
    monkeypatch.undo()
    assert 1e8 < limits.flops("float32", 1) < 1e13
    assert 1e8 < limits.bytes_read(1) < 1e13
    # The pairs of this iteration take longer than reading its samples.
    assert limits.iteration(10**6, 100, 1000, "float32", 1) > 2e11 / 1e13


def test_tiles_writes_its_files(tmp_path, monkeypatch):
    hard = next(iter(tiles.HARD_CASES))
    for name, some in (("FEATURES", (4,)), ("CLUSTERS", (8,)), ("PROBLEMS", [hard])):
        monkeypatch.setattr(tiles, name, some)
    tiles.main(["-o", str(tmp_path)])
    text = (tmp_path / "tiles.md").read_text()
    assert "float64 scores" in text and f"| {hard} |" in text
    assert (tmp_path / "tiles.png").stat().st_size > 0


def test_side_by_side_writes_its_files(tmp_path, monkeypatch, capsys):
    runs = {name: peers.find(name) for name in ("fastkm", "scikit-learn")}
    monkeypatch.setattr(peers, "installed", lambda: runs)
    side_by_side.main(["plane", "-n", "1", "-o", str(tmp_path)])
    found = json.loads((tmp_path / "side_by_side.json").read_text())
    (result,) = found["results"]
    assert list(result["seconds"]) == list(result["iteration_ms"]) == list(runs)
    assert result["seconds"]["fastkm"] > 0 and result["n_iter"] > 1
    text = (tmp_path / "side_by_side.md").read_text()
    assert found["processor"] in text
    assert "700 x 2 float64, k=6" in text
    assert (tmp_path / "side_by_side.png").stat().st_size > 10_000
    assert text in capsys.readouterr().out


def test_everyday_sizes_are_compared(monkeypatch, capsys):
    monkeypatch.setattr(everyday, "SIZES", everyday.SIZES[:2])
    everyday.main(["-n", "1"])
    heads, _, *rows = capsys.readouterr().out.splitlines()[-4:]
    assert "all defaults: fastkm" in heads and "20 iterations: fastkm" in heads
    assert rows[0].startswith("| 150 x 4 float64, k=3 |")
    assert all(line.count("|") == heads.count("|") for line in rows)


def test_seedings_are_compared(monkeypatch, capsys):
    monkeypatch.setattr(seeding, "SCRIPT", {"plane": [3, 6], "mnist": [9]})
    monkeypatch.setitem(
        data.CASES, "mnist", data.CASES["mnist"]._replace(make=no_mnist)
    )
    seeding.main(["-n", "1"])
    *_, heads, _, first, second, left_out = capsys.readouterr().out.splitlines()
    assert heads.count("|") == first.count("|") == second.count("|")
    assert first.startswith("| plane: 700 x 2 float64 | 3 |")
    assert left_out.startswith("mnist left out")


def no_mnist():
    return data.mnist("float32")


def test_optima_are_compared(monkeypatch, capsys):
    monkeypatch.setitem(optima.SETS, "grid", optima.SETS["grid"]._replace(n_clusters=9))
    optima.main(["grid", "iris", "-n", "1"])
    heads, _, grid, iris = capsys.readouterr().out.splitlines()
    assert heads.count("|") == grid.count("|") == iris.count("|")
    assert "scikit-learn, 10 runs" in heads and grid.startswith("| grid, k=9 |")
    assert "0 of 1 whole" in grid and "0.00%" in iris
    assert optima.n_found(optima.grid_centers()) == 100
    assert optima.n_found(optima.grid_centers()[:99].repeat(2, 0)) == 0


def test_what_is_approximate_is_marked():
    assert comparison.mark("superkmeans") == "superkmeans ~"
    assert comparison.mark("fastkm") == "fastkm"


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What asv's page loads from the internet, by the name of the file, and where npm's
# packages hold the same: for machines that reach only a registry.
PACKAGES = (
    "jquery@3.3.1 flot@0.8.3 flot-orderbars@1.0.0 stupid-table-plugin@1.1.3 "
    "blueimp-md5@2.19.0 bootstrap@3.1.1"
).split()
SCRIPTS = {
    "jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    "jquery.flot.min.js": "flot/jquery.flot.js",
    "jquery.flot.time.min.js": "flot/jquery.flot.time.js",
    "jquery.flot.selection.min.js": "flot/jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "flot/jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    "stupidtable.min.js": "stupid-table-plugin/stupidtable.min.js",
    "md5.min.js": "blueimp-md5/js/md5.min.js",
    "bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}
QUICK = r"scaling\.Samples.*(fastkm|scikit-learn|reference).*(2\.3|2\.76|3\.21)\)"


def asv(clone, *arguments):
    """Run asv in a clone, on the clone's fastkm."""
    subprocess.run(
        [sys.executable, "-m", "asv", *arguments],
        cwd=clone,
        env=os.environ | {"HOME": str(clone), "ASV_PYTHONPATH": str(clone)},
        check=True,
    )


def hold_scripts(folder):
    """Let a page load scripts from its own folder; whether npm could bring them."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, *PACKAGES]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False

    def local(tag):
        return re.sub(r'="https:[^"]*"', f'="node_modules/{SCRIPTS[tag[1]]}"', tag[0])

    page = folder / "index.html"
    text = re.sub(r'="https:[^" ]*/([^/" ]+[.](?:js|css))"', local, page.read_text())
    page.write_text(re.sub(r'integrity="[^"]*"', "", text))
    return True


@pytest.fixture
def dashboard(tmp_path):
    """Dashboard of a quick run in a clone of this repository.

    Its address, and whether it holds all scripts that it needs.
    """
    pytest.importorskip("asv")
    # The test runs commits of this repository: without them there is nothing to run.
    if not (ROOT / ".git").exists():
        pytest.skip("asv runs commits, and an unpacked source archive has none")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    subprocess.run(["git", "branch", "-f", "main"], cwd=clone, check=False)
    commit = ["--set-commit-hash", "HEAD"]
    asv(clone, "machine", "--yes")
    asv(clone, "run", "--quick", "--python=same", *commit, "--bench", QUICK)
    asv(clone, "publish")
    is_whole = hold_scripts(clone / ".asv" / "html")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=clone / ".asv" / "html"
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/", is_whole
        server.shutdown()


def browse(url, profile, is_whole):
    """HTML of a page when its scripts have run; fails if they complain."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    # What the page shows only a browser can say, and pip installs none.
    if browser is None:
        pytest.skip("no Chromium, which no package of the test extra can bring")
    quiet = "gpu quic background-networking component-update sync".split()
    options = [
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        *(f"--disable-{what}" for what in quiet),
        f"--user-data-dir={profile}",
        "--enable-logging=stderr",
        "--window-size=1300,2600",  # graphs are drawn when they come into view
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]
    done = subprocess.run(
        [browser, *options, url], capture_output=True, text=True, timeout=120
    )
    failed = "dependencies of airspeed velocity failed to load" in done.stdout
    # Without npm the scripts come from the internet, which this machine may not reach;
    # a page that holds them has no excuse.
    if failed and not is_whole:
        pytest.skip("asv's page is empty without scripts that the internet holds")
    assert not failed
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    return done.stdout


@pytest.mark.slow
def test_dashboard_in_a_browser(dashboard, tmp_path):
    address, is_whole = dashboard
    grid = browse(address, tmp_path / "profile", is_whole)
    assert grid.count('class="btn benchmark-container"') >= 20
    assert "10 iterations against samples" in grid
    assert "<canvas" in grid
    for curve in data.CURVES:
        axes = f"x-axis=log10_n&y-axis-scale=log&p-curve='{curve}'"
        url = f"{address}#scaling.Samples.time_iterations?{axes}"
        page = browse(url, tmp_path / "profile", is_whole)
        legend = re.findall(r'class="legendLabel">([^<]*)', page)
        for program in ("fastkm", "scikit-learn", "reference"):
            assert f"commit-last; curve-{curve}; program-{program}" in legend
