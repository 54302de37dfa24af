"""The command line: what it prints and writes, and one line for whatever is wrong."""

import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastkm.__main__ as cli
from fastkm import __version__, files, kmeans
from fastkm.__main__ import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def X(rng):
    X = rng.normal(size=(60, 3)) + 5 * rng.integers(3, size=(60, 1))
    np.save("X.npy", X)
    return X


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def test_fit_prints_a_summary(X, capsys):
    assert main(["fit", "X.npy", "-k", "3", "--seed", "5"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    result = kmeans(X, 3, random_state=5)
    sizes = np.bincount(result.labels)
    assert lines["samples"] == "60 x 3 features, float64"
    assert lines["clusters"] == "3"
    assert lines["inertia"] == f"{result.inertia:.10g}"
    assert lines["iterations"].startswith(f"{result.n_iter}: ")
    assert lines["engine"].startswith(result.report.engine)
    assert lines["sizes"] == (
        f"min {min(sizes)}, median {np.median(sizes):g}, max {max(sizes)}"
    )
    assert lines["model"] == "model.npz"
    model = files.load_model("model.npz")
    np.testing.assert_array_equal(model.centers, result.centers)
    assert (model.inertia, model.n_iter) == (result.inertia, result.n_iter)
    assert sorted(os.listdir()) == ["X.npy", "model.npz"]


@pytest.mark.parametrize("precision", [[], ["--float32"]], ids=["float64", "float32"])
def test_predict_gives_the_labels_of_the_fit(X, capsys, precision):
    fit = ["fit", "X.npy", "-k", "7", "--labels", "a.npy", "-o", "m", *precision]
    assert main(fit) == 0
    assert main(["predict", "m", "X.npy", "-o", "b.npy"]) == 0
    capsys.readouterr()
    assert main(["predict", "m", "X.npy"]) == 0
    out, err = capsys.readouterr()
    a, b = np.load("a.npy"), np.load("b.npy")
    assert a.dtype == b.dtype == np.int32
    np.testing.assert_array_equal(a, b)
    assert out.split() == list(map(str, a))
    assert err == ""


def test_options_reach_the_fit(X, capsys):
    options = "--init random --n-init 3 --seed 9 --max-iter 2 --tol 0 --threads 1"
    assert main(["fit", "X.npy", "-k", "5", *options.split()]) == 0
    result = kmeans(
        X, 5, init="random", n_init=3, random_state=9, max_iter=2, tol=0, n_threads=1
    )
    np.testing.assert_array_equal(files.load_model("model.npz").centers, result.centers)
    out = capsys.readouterr().out
    assert "--max-iter was reached" in out
    assert "1 thread" in out


def test_same_command_same_model(X, capsys):
    for name in ("a.npz", "b.npz"):
        assert main(["fit", "X.npy", "-k", "4", "-o", name]) == 0
    a, b = files.load_model("a.npz"), files.load_model("b.npz")
    np.testing.assert_array_equal(a.centers, b.centers)


@pytest.mark.parametrize("name", ["images.idx", "images.gz", "images.csv", "i.npz"])
def test_every_format(rng, capsys, name):
    images = rng.integers(0, 256, (30, 4, 4), dtype=np.uint8)
    rows = images.reshape(30, 16)
    Path("images.idx").write_bytes(idx(images))
    Path("images.gz").write_bytes(gzip.compress(idx(images)))
    np.savetxt("images.csv", rows, delimiter=",", header=",".join("abcdefghijklmnop"))
    np.savez("i.npz", images=rows)
    assert main(["fit", name, "-k", "4"]) == 0
    result = kmeans(rows, 4, random_state=0)
    np.testing.assert_array_equal(files.load_model("model.npz").centers, result.centers)
    assert main(["predict", "model.npz", name]) == 0


def test_key_of_a_npz_file(X, capsys):
    np.savez("two.npz", train=X, test=X[:9])
    assert main(["fit", "two.npz", "--key", "train", "-k", "3"]) == 0
    capsys.readouterr()
    assert main(["predict", "model.npz", "two.npz", "--key", "test"]) == 0
    assert len(capsys.readouterr().out.split()) == 9


def test_warnings_are_one_line(capsys):
    np.save("same.npy", np.ones((5, 2)))
    assert main(["fit", "same.npy", "-k", "3"]) == 0
    err = capsys.readouterr().err
    assert re.fullmatch(r"fastkm: warning: Number of distinct clusters \(1\).*\n", err)


@pytest.fixture
def bad_files(X):
    """Inputs of all kinds beside X.npy and a good model."""
    Path("text.csv").write_text("a,b,kind\n1,2,oak\n3,4,elm\n")
    Path("empty.csv").write_text("a,b,c\n1,2,3\n4,,6\n")
    np.save("nan.npy", np.where(np.arange(60)[:, None] == 41, np.nan, X))
    np.save("object.npy", np.array([[{}, 1]], dtype=object))
    np.save("wide.npy", np.ones((4, 5)))
    np.savez("two.npz", A=X, B=X)
    Path("cut.idx").write_bytes(idx(np.zeros((9, 2, 2), np.uint8))[:-5])
    Path("cut.gz").write_bytes(gzip.compress(idx(np.zeros((9, 9, 9), np.uint8)))[:-9])
    Path("folder").mkdir()
    centers = np.ones((2, 3))
    with files.replacing("good") as file:
        files.save_model(file, files.Model(centers, 1.0, 1))
    np.savez("other", centers=centers)
    np.savez("newer", format="fastkm-model", version=9, centers=centers)


ERRORS = {
    "fit missing.npy -k 2": "missing.npy: No such file or directory",
    "fit folder -k 2": "X='folder' must be a .npy or .parquet file, or a folder",
    "fit nan.npy -k 2": r"nan.npy: X\[41, 0\] is nan",
    "fit text.csv -k 2": "text.csv: line 2, column 3 is 'oak', not a number",
    "fit empty.csv -k 2": "empty.csv: line 3, column 2 is empty",
    "fit object.npy -k 2": "object.npy: .*allow_pickle=False",
    "fit cut.idx -k 2": "cut.idx: the IDX header promises 36 bytes",
    "fit cut.gz -k 2": "cut.gz: .*gzip",
    "fit two.npz -k 2": "two.npz: holds A, B; choose one array by its key",
    "fit two.npz -k 2 --key C": "two.npz: holds A, B, but not 'C'",
    "fit X.npy -k 2 --key C": "X.npy: key='C' names an array of a .npz file",
    "fit X.npy -k 61": "n_samples=60 should be >= n_clusters=61",
    "fit X.npy -k 0": "n_clusters=0 must be at least 1",
    "fit X.npy -k 2.5": "argument -k: invalid int value: '2.5'",
    "fit X.npy": "the following arguments are required: -k",
    "fit": "the following arguments are required: FILE, -k",
    "fit X.npy -k 2 --init magic": "argument --init: invalid choice: 'magic'",
    "fit X.npy -k 2 --n-init 0": "n_init=0 must be at least 1",
    "fit X.npy -k 2 --max-iter 0": "max_iter=0 must be at least 1",
    "fit X.npy -k 2 --tol -1": "tol=-1.0 must be a finite number",
    "fit X.npy -k 2 --threads 0": "n_threads=0 must be at least 1",
    "fit X.npy -k 2 --seed -1": "random_state=-1 must be",
    "fit X.npy -k 2 -o folder": "folder: Is a directory",
    "fit X.npy -k 2 -o none/model.npz": "none/model.npz: No such file or directory",
    "fit X.npy -k 2 --labels none/a": "none/a: No such file or directory",
    "fit X.npy -k 2 -o X.npy": "X.npy would be overwritten by another file",
    "fit X.npy -k 2 -o a --labels ./a": "a would be overwritten by another file",
    "predict": "the following arguments are required: MODEL, FILE",
    "predict good missing.csv": "missing.csv: No such file or directory",
    "predict missing X.npy": "missing: No such file or directory",
    "predict X.npy good": "X.npy: not a fastkm model",
    "predict other.npz X.npy": "other.npz: not a fastkm model",
    "predict newer.npz X.npy": "newer.npz: a fastkm model of version 9",
    "predict good wide.npy": "wide.npy: X has 5 features, but the model is expecting 3",
    "predict good nan.npy": r"nan.npy: X\[41, 0\] is nan",
    "predict good X.npy -o none/a": "none/a: No such file or directory",
    "predict good X.npy -o good": "good would be overwritten by another file",
    "tour --mnist folder": "neither train-images-idx3-ubyte.gz nor",
    "tour --seed -1 --short": "random_state=-1 must be",
    "tour -o X.npy --short": "X.npy: File exists",
    "tour --full --short": "argument --short: not allowed with argument --full",
    "turn": "invalid choice: 'turn'",
    "": "the following arguments are required: COMMAND",
}


@pytest.mark.parametrize("command", ERRORS)
def test_errors_are_one_line(bad_files, capsys, command):
    before = sorted(os.listdir())
    assert main(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"fastkm: error: .*({ERRORS[command]}).*\n", err), err
    assert sorted(os.listdir()) == before


def test_failed_fit_keeps_the_old_model(X, capsys):
    Path("model.npz").write_bytes(b"old")
    assert main(["fit", "X.npy", "-k", "61"]) == 2
    assert Path("model.npz").read_bytes() == b"old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
@pytest.mark.parametrize("command", ["fit X.npy -k 2 -o", "predict good X.npy -o"])
def test_full_disk(bad_files, capsys, command):
    assert main([*command.split(), "/dev/full"]) == 2
    err = capsys.readouterr().err
    assert re.fullmatch("fastkm: error: .*No space left on device\n", err)


def test_interrupt(X, capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "kmeans", interrupted)
    assert main(["fit", "X.npy", "-k", "2"]) == 130
    assert capsys.readouterr() == ("", "fastkm: interrupted\n")
    assert os.listdir() == ["X.npy"]


def test_out_of_memory(X, capsys, monkeypatch):
    def exhausted(*args, **options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(cli, "kmeans", exhausted)
    assert main(["fit", "X.npy", "-k", "2"]) == 1
    assert capsys.readouterr().err == (
        "fastkm: error: not enough memory: Unable to allocate 9 TiB\n"
    )


@pytest.mark.parametrize("command", ["", "tour", "fit", "predict"])
def test_help_shows_an_example(capsys, command):
    with pytest.raises(SystemExit) as exit:
        main([*command.split(), "--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert f"python -m fastkm {command}" in out.partition("example")[2]


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"fastkm {__version__}\n"


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "fastkm", *arguments], timeout=300, **options
    )


def test_process_that_succeeds(X):
    done = run("fit", "X.npy", "-k", "2", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "inertia" in done.stdout


def test_process_that_fails():
    done = run("fit", "none.csv", "-k", "2", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fastkm: error: none.csv: No such file or directory\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of another kind")
def test_process_whose_reader_leaves():
    np.save("many.npy", np.zeros((200_000, 1)))
    with files.replacing("m") as file:
        files.save_model(file, files.Model(np.zeros((1, 1)), 0.0, 1))
    with subprocess.Popen(
        [sys.executable, "-m", "fastkm", "predict", "m", "many.npy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""


def test_warmup(monkeypatch, capsys):
    called = []
    monkeypatch.setattr(cli, "warmup", lambda: called.append(True))
    assert main(["warmup"]) == 0
    assert called and capsys.readouterr() == ("", "")
