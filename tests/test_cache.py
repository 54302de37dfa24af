"""The cache of compiled code: damaged, stale, shared, out of reach; and starting up."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numba
import pytest
from scripts import ROOT, run, script

from fastkm.kernels import _cache, _jit

CALL = """
import sys, warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fastkm
    from fastkm.kernels import exact
    blocks = np.array([[2.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    one, nothing = np.ones(1), np.zeros(3)
    def call(dtype):
        drawn = np.empty(1, np.int64)
        given = np.ones(5, dtype), one, blocks, 2, nothing, 2.5 * one
        exact.draw(*given, drawn)
        return drawn[0]
    assert [call("f8") for _ in range(3)] == [2, 2, 2]
    assert call("f4") == 2
hits = sum(exact.draw.stats.cache_hits.values())
told = [str(warning.message) for warning in caught]
print(hits, "of", len(exact.draw.overloads), *told)
"""


@pytest.fixture
def cache(tmp_path):
    """Environment with an empty cache folder."""
    return {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}


def entries(cache):
    return sorted(Path(cache["NUMBA_CACHE_DIR"]).rglob("exact.draw*.fastkm"))


def test_a_second_process_compiles_nothing(cache):
    assert run(CALL, env=cache) == "0 of 2"
    assert len(entries(cache)) == 2
    assert run(CALL, env=cache) == "2 of 2"


def test_loading_imports_no_compiler(cache):
    """Numba's registries take most of the first call of a process."""
    run(CALL, env=cache)
    code = "\nprint({'numba.np.linalg', 'numba.np.npyimpl'} & set(sys.modules))"
    assert run(CALL + code, env=cache) == "set()"


def twice(x):
    return 2 * x


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Call a kernel as a new process would; gives its hits and what was told."""
    # Numba looks at its variables again before it compiles.
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    numba.config.reload_config()

    def load():
        _cache._say.cache_clear()
        kernel = _jit.serial(twice)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert kernel(2.0) == 4.0 and kernel(3) == 6
        hits = sum(kernel.stats.cache_hits.values())
        return hits, [str(warning.message) for warning in caught]

    load.entries = lambda: sorted(tmp_path.rglob("*twice*.fastkm"))
    yield load
    monkeypatch.undo()
    numba.config.reload_config()


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {
    "cut off": lambda content: content[: len(content) // 2],
    "cut to the digests": lambda content: content[:64],
    "cut within the digests": lambda content: content[:40],
    "a bit of the checksum": lambda content: flipped(content, 40),
    "a bit at the start": lambda content: flipped(content, 64),
    "a bit of the code": lambda content: flipped(content, len(content) // 2),
    "the last bit": lambda content: flipped(content, len(content) - 1),
    "more behind it": lambda content: content + b"more",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_compiled_anew(name, load):
    assert load() == (0, [])
    assert len(load.entries()) == 2
    for entry in load.entries():
        entry.write_bytes(DAMAGES[name](entry.read_bytes()))
    hits, told = load()
    assert hits == 0
    assert len(told) == 1 and "is damaged" in told[0]  # said once, of two
    assert load() == (2, [])


@pytest.mark.parametrize("content", [b"", b"abc", b"\0" * 1000])
def test_what_is_no_entry_is_compiled_anew(content, load):
    """As if other sources had been compiled: nothing to be told."""
    load()
    for entry in load.entries():
        entry.write_bytes(content)
    assert load() == (0, [])
    assert load() == (2, [])


def test_an_entry_that_cannot_be_rebuilt_is_compiled_anew(load):
    """Whole, but of a Numba that wrote something else."""
    load()
    payload = pickle.dumps(("something", "else"))
    for entry in load.entries():
        digest = hashlib.sha256(payload).digest()
        entry.write_bytes(_cache.sources() + digest + payload)
    hits, told = load()
    assert hits == 0 and len(told) == 1
    assert load() == (2, [])


def test_entries_of_other_sources_are_replaced(load, monkeypatch):
    load()
    monkeypatch.setattr(_cache, "sources", lambda: b"x" * 32)
    assert load() == (0, [])
    assert load() == (2, [])
    assert len(load.entries()) == 2


@pytest.fixture
def package(tmp_path):
    """A copy of the package, to be changed, and the folder to be put on the path."""
    folder = tmp_path / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fastkm", folder / "fastkm", ignore=ignored)
    return folder


def test_a_change_in_a_called_file_is_seen(cache, package):
    env = cache | {"PYTHONPATH": str(package)}
    assert run(CALL, env=env) == "0 of 2"
    with (package / "fastkm" / "kernels" / "vectors.py").open("a") as file:
        file.write("\n# changed\n")
    assert run(CALL, env=env) == "0 of 2"


def out_of_reach(package, tmp_path):
    """Environment without a folder to write to; it would not stop root to chmod."""
    file = tmp_path / "file"
    file.touch()
    for folder in (package / "fastkm").rglob("*"):
        if folder.is_dir():
            (folder / "__pycache__").touch()
    return {
        "PYTHONPATH": str(package),
        "NUMBA_CACHE_DIR": str(file / "cache"),
        "HOME": str(file),
        "XDG_CACHE_HOME": str(file / "cache"),
    }


def test_without_any_folder_every_process_compiles(package, tmp_path):
    env = out_of_reach(package, tmp_path)
    told = run(CALL, env=env)
    assert told.startswith("0 of 2 fastkm: compiled code cannot be kept (there is")
    assert told.count("NUMBA_CACHE_DIR") == 1


def test_read_only_packages_use_the_users_folder(package, tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "users")}
    env = out_of_reach(package, tmp_path) | home
    assert run(CALL, env=env) == "0 of 2"
    assert run(CALL, env=env) == "2 of 2"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on files there")
def test_a_full_disk_is_told_once(cache):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    told = run(limit + CALL, env=cache)
    assert told.startswith("0 of 2 fastkm: compiled code cannot be kept ([Errno 27]")
    assert told.count("NUMBA_CACHE_DIR") == 1
    assert not entries(cache)
    assert not list(Path(cache["NUMBA_CACHE_DIR"]).rglob("*.tmp"))


def test_many_processes_compile_at_once(cache):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **cache}
    orders = [CALL, CALL.replace('"f8"', '"x"').replace('"f4"', '"f8"')]
    orders[1] = orders[1].replace('"x"', '"f4"')
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", orders[i % 2]],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(4)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    assert run(CALL, env=cache) == "2 of 2"


def test_another_cpu_has_entries_of_its_own(cache):
    """No code for AVX is run where it was not asked for."""
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert run(CALL, env=cache) == "0 of 2"
    assert run(CALL, env=cache | generic) == "0 of 2"
    assert run(CALL, env=cache | generic) == "2 of 2"
    assert run(CALL, env=cache) == "2 of 2"


def test_importing_makes_no_folder(cache):
    run("import fastkm", env=cache)
    assert not Path(cache["NUMBA_CACHE_DIR"]).exists()


FIRST = """
    import sys
    import numpy as np
    from numba.core import event
    from numba.core.codegen import JITCodeLibrary
    from fastkm import KMeans

    class Compiled(event.Listener):
        n_functions = 0
        def on_start(self, event): self.n_functions += 1
        def on_end(self, event): pass

    pieces = []
    finalize = JITCodeLibrary._finalize_final_module
    def finalize_and_count(self):
        pieces.append(self.name)
        finalize(self)
    JITCodeLibrary._finalize_final_module = finalize_and_count
    compiled = Compiled()
    event.register("numba:compile", compiled)
    n, d, k = map(int, sys.argv[1:4])
    rng = np.random.default_rng(0)
    centers = rng.uniform(-5, 5, (k, d))
    X = centers[rng.integers(0, k, n)] + rng.normal(size=(n, d))
    KMeans(k, random_state=0).fit(X.astype(sys.argv[4]))
    print(len(pieces), compiled.n_functions)
"""


# Pieces of machine code and functions were 64 and 61, 43 and 41, 84 and 82, 68 and 65
# when every function that is called was compiled for itself, in twice the time. Some
# more than now are allowed: for another number of threads. The integers that seeding
# sifts took up to nine functions, and no seconds. How threads wait awake is one: 0.1 s.
# Steps in the leaves of `blocks`, and labels by coordinates, four and three, no piece.
# A first step of seeding, and sketches of features, seven and one piece. To list open
# samples while they are labelled saved a piece.
@pytest.mark.parametrize(
    ("shape", "most"),
    [
        ("20000 16 8 float64", (13, 46)),
        ("1000 4 3 float64", (3, 33)),
        ("100000 2 6 float64", (20, 72)),
        ("50000 64 100 float32", (17, 63)),
    ],
)
def test_a_first_fit_compiles_no_more_than_it_did(shape, most, cache):
    """What seconds depend on that a machine does not: Numba's runtime is a piece."""
    found = map(int, run(textwrap.dedent(FIRST), *shape.split(), env=cache).split())
    assert all(n <= limit for n, limit in zip(found, most, strict=True))


FITS = """
    import numpy as np
    from fastkm import KMeans, warmup
    from fastkm.kernels._cache import KernelCache
    if sys.argv[1] == "warmup":
        assert warmup() is None
    saved = []
    KernelCache.save_overload = lambda self, sig, data: saved.append(str(sig))
    rng = np.random.default_rng(7)
    for dtype in ("f4", "f8"):
        for n, d, k in [(500, 1, 3), (3000, 2, 6), (20_000, 3, 40), (1000, 4, 30),
                        (5000, 10, 8), (5000, 50, 20), (2000, 300, 100),
                        (20_000, 128, 90)]:
            X = rng.normal(size=(n, d))
            if d == 128:  # few directions
                X = X[:, :9] @ rng.normal(size=(9, d))
            X = X.astype(dtype)
            model = KMeans(k, random_state=0).fit(X)
            model.predict(X), model.score(X)
            model.fit(X, sample_weight=rng.random(n)).transform(X)
            if n >= 2000:
                in_chunks = KMeans(k, random_state=0, max_memory=(40 + d) * n)
                in_chunks.fit(X, sample_weight=rng.random(n))
                assert in_chunks.report_.engine == "chunks"
    print(*saved)
"""


@pytest.mark.slow
def test_after_a_warmup_common_fits_compile_nothing():
    for step in ("warmup", "fits"):
        assert run(script(FITS), step, timeout=590) == ""
