"""The house: imports run one way, and importing is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fastkm

PACKAGE = Path(fastkm.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# What the modules of each room may import from the package.
ROOMS = {
    "reference": set(),
    "bases": set(),
    "exactsum": set(),
    "datasets": {"validation"},
    "plotting": {"plotting"},
    "kernels": {"kernels"},
    "engines": {"engines", "kernels", "exactsum"},
    "lloyd": {"engines"},  # for type checking only, see below
    "inputs": {"engines"},
    "memory": {"kernels"},
    "sources": {"engines", "inputs"},
    "spool": {"sources"},
    "outputs": {"engines", "files", "sources", "validation"},
    "validation": {
        *("bases", "engines", "inputs", "kernels", "memory", "sources", "validation"),
    },
    "seeding": {"engines", "validation"},
    "monitor": {"lloyd"},  # for type checking only
    "restarts": {"engines", "lloyd", "monitor"},
    "checkpoint": {"files", "lloyd", "restarts"},
    "swaps": {"engines", "kernels"},
    "small": {"engines", "kernels", "lloyd", "seeding"},
    "fits": {"engines", "lloyd", "monitor", "restarts", "seeding", "small"},
    "arguments": {"checkpoint", "monitor", "restarts", "validation"},
    "api": {
        *("arguments", "bases", "checkpoint", "engines", "fits", "lloyd", "monitor"),
        *("outputs", "restarts", "seeding", "small", "swaps", "validation"),
    },
    "many": {"api", "bases", "engines", "small", "validation"},
    "metrics": {"api", "engines", "kernels", "lloyd", "metrics", "validation"},
    "path": {
        *("api", "engines", "fits", "metrics", "monitor", "restarts", "seeding"),
        *("small", "validation"),
    },
    "files": {"datasets", "validation"},
    "parameters": {"bases", "files", "monitor", "outputs", "validation"},
    "estimator": {
        *("api", "bases", "engines", "metrics", "parameters", "validation"),
    },
    "batches": {"engines", "lloyd", "seeding"},
    "minibatch": {
        *("api", "bases", "batches", "engines", "estimator", "files", "lloyd"),
        *("parameters", "seeding", "validation"),
    },
    "bisecting": {
        *("api", "bases", "engines", "estimator", "files", "lloyd", "parameters"),
        "validation",
    },
    "spherical": {"api", "estimator", "parameters", "validation"},
    "classifier": {"api", "bases", "files", "parameters", "validation"},
    "shares": {"checkpoint", "engines", "exactsum", "validation"},
    "dask": {
        *("api", "arguments", "checkpoint", "engines", "estimator", "fits", "lloyd"),
        *("shares", "small", "sources", "validation"),
    },
    "warmup": {"api", "engines", "metrics"},
}
NUMBA_ROOMS = {"kernels"}
LIGHT = "numpy", "numba"


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules that a file imports, and whether at import time."""
    tree = ast.parse(path.read_text())
    at_top = set()
    for node in tree.body:
        at_top.update(id(child) for child in [node])
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in at_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
            if node.module == "fastkm":
                names = [f"fastkm.{alias.name}" for alias in node.names]
            found += [(name, id(node) in at_top) for name in names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    allowed = ROOMS.get(room(path))
    if allowed is None:  # the public names and the tools on top may use everything
        assert room(path) in {"__init__", "__main__", "tour"}
        return
    for name, _ in imports(path):
        if name.startswith("fastkm."):
            assert name.split(".")[1] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_numba_stays_in_the_kernels(path):
    if room(path) not in NUMBA_ROOMS:
        names = {name.split(".")[0] for name, _ in imports(path)}
        assert not names & {"numba", "llvmlite"}


def test_lloyd_needs_no_engine_to_run():
    top = [name for name, at_top in imports(PACKAGE / "lloyd.py") if at_top]
    assert not any(name.startswith("fastkm") for name in top)


def test_nothing_fast_imports_the_reference():
    importers = {
        room(path)
        for path in SOURCES
        for name, _ in imports(path)
        if name == "fastkm.reference"
    }
    assert importers == set()


def test_import_is_light_and_compiles_nothing():
    code = (
        "import sys, numba\n"
        "before = set(sys.modules)  # Numba imports SciPy where it is installed\n"
        "import fastkm, fastkm.datasets, fastkm.metrics, fastkm.plotting\n"
        "heavy = {'sklearn', 'scipy', 'matplotlib', 'dask', 'pooch', 'tqdm'}\n"
        "assert not heavy & (set(sys.modules) - before), heavy & set(sys.modules)\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "import gc\n"
        "kernels = [f for f in gc.get_objects() if isinstance(f, Dispatcher)\n"
        "           and f.py_func.__module__.startswith('fastkm')]\n"
        "assert len(kernels) > 10\n"
        "assert not any(k.overloads for k in kernels)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_every_option_of_numba_stands_in_one_place():
    for path in SOURCES:
        if path.name != "_jit.py":
            assert "fastmath" not in path.read_text(), path
            assert "njit(" not in path.read_text(), path
