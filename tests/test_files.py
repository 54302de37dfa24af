"""Samples and models through files: round trips, and one row for each error."""

import gzip
import io
import os
import pickle
import re
import struct
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scripts import run

from fastkm import files

X = np.array([[1.0, -2.5], [0.1, 4e30], [1 / 3, 0.0]])
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
MODEL = files.Model(X, 2.5, 7)


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def csv(text):
    return text.encode()


def claiming(shape):
    """.npy data whose header claims another shape than that of X."""
    claims = {"descr": "<f8", "fortran_order": False, "shape": shape}
    header = repr(claims).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + X.tobytes()


def zipped(name, content, kind=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "samples"  # no suffix: the content tells the format


SAMPLES = {
    "npy": (npy(X), X),
    "npy float32": (npy(X.astype(np.float32)), X.astype(np.float32)),
    "npy Fortran": (npy(np.asfortranarray(X)), X),
    "npy integers": (npy(np.array([[1], [2]])), np.array([[1.0], [2.0]])),
    "npz": (npz(X=X), X),
    "idx": (idx(IMAGES), IMAGES.reshape(2, 12).astype(float)),
    "idx of labels": (idx(IMAGES[0, 0]), np.array([[0.0], [1.0], [2.0], [3.0]])),
    "csv": (csv("1,-2.5\n.1,4e30\n0.3333333333333333,0\n"), X),
    "csv with names": (csv("a,b\n1,-2.5\n.1,4e30\n0.3333333333333333,0\n"), X),
    "csv quoted": (csv('"a, in m","b\nc"\n"1",2\n'), np.array([[1.0, 2.0]])),
    "csv of Windows": (b"\xef\xbb\xbfa;b\r\n1;2\r\n3;4\r\n", [[1.0, 2.0], [3.0, 4.0]]),
    "csv with tabs": (csv("1\t2\n3\t4"), np.array([[1.0, 2.0], [3.0, 4.0]])),
    "csv with blank lines": (
        csv("\n\na,b\n\n1,2\n\n3,4\n\n"),
        [[1.0, 2.0], [3.0, 4.0]],
    ),
    "csv of one column": (csv("length\n1\n2\n"), np.array([[1.0], [2.0]])),
    "csv of one number": (csv("5"), np.array([[5.0]])),
}


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_round_trip(path, name, zipped):
    content, expected = SAMPLES[name]
    path.write_bytes(gzip.compress(content) if zipped else content)
    found = files.read_samples(path)
    expected = np.asarray(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_csv_keeps_every_bit(path, rng):
    values = rng.normal(size=(50, 4)) * 10.0 ** rng.integers(-30, 30, (50, 4))
    path.write_text("\n".join(",".join(map(repr, row)) for row in values.tolist()))
    np.testing.assert_array_equal(files.read_samples(path), values)


def test_key_chooses_among_arrays(path):
    path.write_bytes(npz(train=X, test=X[:1]))
    np.testing.assert_array_equal(files.read_samples(path, key="test"), X[:1])


def test_samples_in_a_given_precision(path):
    path.write_bytes(idx(IMAGES))
    assert files.read_samples(path, dtype=np.float32).dtype == np.float32


class Touch:
    """A pickle of this leaves a file where it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


BAD_SAMPLES = {
    "empty file": (b"", "no row of numbers"),
    "text column": (csv("a,b,kind\n1,2,oak\n"), "line 2, column 3 is 'oak', not a"),
    "text column, no names": (csv("1,2,oak\n3,4,elm"), "line 1, column 3 is 'oak'"),
    "a number among names": (csv("a,2020\n1,2"), "line 1, column 1 is 'a', not a"),
    "text below a quoted line break": (csv('"a\nb",c\n1,x'), "line 3, column 2 is 'x'"),
    "empty field": (csv("a,b\n1,2\n3,\n"), "line 3, column 2 is empty"),
    "row of empty fields": (csv(",\n1,2\n"), "line 1, column 1 is empty"),
    "nan in csv": (csv("1,2\n3,NaN\n"), "line 2, column 2 is 'NaN', not a finite"),
    "infinity in csv": (csv("1,-inf\n"), "line 1, column 2 is '-inf', not a finite"),
    "overflow in csv": (csv("1,1e999\n"), "line 1, column 2 is '1e999', not a finite"),
    "ragged": (csv("1,2\n3,4,5\n"), "line 2 has 3 field(s), those before have 2"),
    "names only": (csv("a,b\n"), "no row of numbers"),
    "number of Python": (csv("1_0,2\n"), "line 1, column 1 is '1_0', not a number"),
    "not text": (bytes(range(128, 256)), "not .npy, .npz, IDX or CSV"),
    "bare pickle": (pickle.dumps([[1.0]]), "not .npy, .npz, IDX or CSV"),
    "nan": (npy(np.array([[0, np.nan]])), "X[0, 1] is nan"),
    "one dimension": (npy(X[0]), "X has shape (2,); it must be 2-D"),
    "no samples": (npy(X[:0]), "0 sample(s)"),
    "no images": (idx(IMAGES[:0]), "0 sample(s)"),
    "strings": (npy(np.array([["a"]])), "must hold numbers"),
    "complex": (npy(np.array([[1j]])), "Complex data not supported"),
    "truncated npy": (npy(X)[:-1], "cannot be read as .npy"),
    "truncated npy header": (npy(X)[:20], "cannot be read as .npy"),
    "truncated npz": (npz(X=X)[:-40], "cannot be read as .npz"),
    "damaged npz": (npz(X=X).replace(X.tobytes(), bytes(48)), "cannot be read as .npz"),
    "npz of several": (npz(A=X, B=X), "holds A, B; choose one array by its key"),
    "npz of none": (npz(), "holds nothing; choose"),
    "truncated idx": (idx(IMAGES)[:-1], "promises 24 bytes"),
    "truncated gzip": (gzip.compress(idx(IMAGES))[:-12], "gzip"),
    "damaged gzip": (b"\x1f\x8b" + bytes(30), "gzip"),
    "more than npy promises": (npy(X) + b"more", "promises 48 bytes of data, more"),
    "absurd npy": (claiming((10**9, 10**6)), "promises 8000000000000000 bytes"),
    "absurd npy, zipped": (gzip.compress(claiming((10**6, 10**4))), "only 48 follow"),
    "absurd npz": (zipped("X.npy", claiming((10**6, 10**4))), "only 48 follow"),
    "negative npy": (claiming((-3, 2)), "cannot be read as .npy"),
    "absurd idx": (
        struct.pack(">HBB2I", 0, 14, 2, 2**32 - 1, 2**32 - 1) + bytes(64),
        "promises 147573952520956936200 bytes",
    ),
    "absurd idx, zipped": (
        gzip.compress(struct.pack(">HBB2I", 0, 14, 2, 2**20, 2**14)),
        "only 0 follow",
    ),
    "truncated gzip of csv": (
        gzip.compress(csv("1,2\n" * 99999))[:-40],
        "cannot be read as gzip data",
    ),
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_bad_samples(path, name):
    content, message = BAD_SAMPLES[name]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        files.read_samples(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("wrap", [npy, lambda array: npz(X=array)], ids=["npy", "npz"])
def test_pickles_are_not_loaded(path, tmp_path, wrap):
    array = np.array([[Touch(tmp_path / "touched")]], dtype=object)
    path.write_bytes(wrap(array))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        files.read_samples(path)
    assert not (tmp_path / "touched").exists()


def test_bad_choices(path):
    path.write_bytes(npz(A=X))
    with pytest.raises(ValueError, match="holds A, but not 'B'"):
        files.read_samples(path, key="B")
    with pytest.raises(
        ValueError, match="has 2 features, but the model is expecting 3"
    ):
        files.read_samples(path, n_features=3)
    with pytest.raises(ValueError, match=r"X\[1, 1\] is inf"):
        path.write_bytes(npy(np.array([[0, 0], [0, 1e300]])))
        files.read_samples(path, dtype=np.float32)
    with pytest.raises(ValueError, match="key='A' names an array"):
        files.read_samples(path, key="A")
    with pytest.raises(FileNotFoundError):
        files.read_samples(path.with_name("missing"))
    with pytest.raises(IsADirectoryError):
        files.read_samples(path.parent)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_model_round_trip(path, dtype):
    model = MODEL._replace(centers=X.astype(dtype))
    with files.replacing(path) as file:
        files.save_model(file, model)
    found = files.load_model(path)
    assert found.centers.dtype == dtype
    np.testing.assert_array_equal(found.centers, model.centers)
    assert found[1:] == model[1:]


GOOD_MODEL = {
    "format": np.array("fastkm-model"),
    "version": np.array(2),
    "estimator": np.array("KMeans"),
    "parameters": np.array("{}"),
    "centers": X,
    "inertia": np.array(2.5),
    "n_iter": np.array(7),
}
GOOD_MODEL["entries"] = np.array(sorted(GOOD_MODEL))
BAD_MODELS = {
    "other npz": ({"format": None}, "not a fastkm model"),
    "other format": ({"format": np.array("x")}, "not a fastkm model"),
    "format of numbers": ({"format": np.zeros(3)}, "not a fastkm model"),
    "newer version": ({"version": np.array(3)}, "version 3; only 2 is known"),
    "version as text": ({"version": np.array("1")}, "version has shape () and dtype"),
    "no version": ({"version": None}, "version is missing"),
    "no centers": ({"centers": None}, "centers is missing"),
    "one dimension": ({"centers": X[0]}, "centers has shape (2,)"),
    "no clusters": ({"centers": X[:0]}, "0 sample(s): centers has shape (0, 2)"),
    "integer centers": ({"centers": np.ones((2, 2), int)}, "centers have dtype int64"),
    "centers as text": ({"centers": np.array([["a"]])}, "centers have dtype <U1"),
    "no entries": ({"entries": None}, "entries is missing"),
    "other entries": ({"entries": np.array(["centers"])}, "it holds only centers, "),
    "nan": ({"centers": np.array([[np.nan]])}, "centers[0, 0] is nan"),
    "no class": ({"estimator": None}, "estimator is missing"),
    "other class": ({"estimator": np.array("GMM")}, "of class GMM, not KMeans"),
    "no parameters": ({"parameters": None}, "parameters is missing"),
    "parameters no JSON": ({"parameters": np.array("{")}, "parameters are no JSON"),
    "parameters in a list": ({"parameters": np.array("[1]")}, "parameters are [1]"),
    "inertias": ({"inertia": np.ones(2)}, "inertia has shape (2,)"),
    "inertia nan": ({"inertia": np.array(np.nan)}, "inertia=nan"),
    "inertia below zero": ({"inertia": np.array(-1.0)}, "inertia=-1.0"),
    "no iterations": ({"n_iter": np.array(0)}, "n_iter=0"),
    "half an iteration": ({"n_iter": np.array(0.5)}, "n_iter has shape () and dtype"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_models(path, name):
    change, message = BAD_MODELS[name]
    arrays = {k: v for k, v in {**GOOD_MODEL, **change}.items() if v is not None}
    path.write_bytes(npz(**arrays))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        files.load_model(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_good_model_is_good(path):
    path.write_bytes(npz(**GOOD_MODEL))
    assert files.load_model(path).n_iter == 7


LIMITED = """
import resource, sys
from fastkm import files
read = getattr(files, sys.argv[1])
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
limit = pages * resource.getpagesize() + 150 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    read(sys.argv[2])
except ValueError as error:
    print(error)
"""
HOSTILE = {
    "model of absurd centers": (
        "load_model",
        lambda: zipped("centers.npy", claiming((10**6, 10**4)), zipfile.ZIP_STORED),
        "promises 80000000000 bytes",
    ),
    "model that is a zip bomb": (
        "load_model",
        lambda: zipped("centers.npy", npy(np.zeros((25_000, 1000)))),
        "is compressed, which fastkm never does",
    ),
    "samples that are a zip bomb": (
        "read_samples",
        lambda: zipped("X.npy", npy(np.zeros((25_000, 1000)))),
        "would inflate from",
    ),
    "idx of absurd sizes": (
        "read_samples",
        lambda: struct.pack(">HBB2I", 0, 14, 2, 2**20, 2**14) + bytes(99),
        "promises 137438953472 bytes of data, only 99",
    ),
    "npy of absurd sizes": (
        "read_samples",
        lambda: claiming((10**6, 10**4)),
        "promises 80000000000 bytes of data, only 48",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_header_claims_is_not_allocated(path, name):
    """Read with 150 MB of memory left."""
    reader, content, message = HOSTILE[name]
    path.write_bytes(content())
    assert message in run(LIMITED, reader, str(path))


@pytest.mark.parametrize("cut", [0, 1, 3, 10, 200, 600, -30, -1])
def test_truncated_models(path, cut):
    path.write_bytes(npz(**GOOD_MODEL)[:cut])
    with pytest.raises(ValueError, match=re.escape(f"{path}: ")):
        files.load_model(path)


def test_damaged_models_never_pass_unnoticed(path, rng):
    """Every changed byte of the data is seen; one of zip's own may not matter."""
    good = npz(**GOOD_MODEL)
    for at in rng.integers(0, len(good), 300):
        content = bytearray(good)
        content[at] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = files.load_model(path)
        except ValueError:
            continue
        np.testing.assert_array_equal(found.centers, X)
        assert found[1:] == MODEL[1:]


def test_model_with_a_pickle_inside(path, tmp_path):
    bad = np.array([[Touch(tmp_path / "touched")]], dtype=object)
    path.write_bytes(npz(**{**GOOD_MODEL, "centers": bad}))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        files.load_model(path)
    assert not (tmp_path / "touched").exists()


def test_zip_of_something_else(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format", "fastkm-model")
    with pytest.raises(ValueError, match="not a fastkm model"):
        files.load_model(path)


def test_replacing_keeps_the_old_file_until_the_end(path):
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    with files.replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_replacing_gives_the_usual_permissions(path):
    with files.replacing(path) as file:
        file.write(b"new")
    usual = path.with_name("usual")
    usual.touch()
    assert path.stat().st_mode == usual.stat().st_mode


def test_replacing_goes_through_links(path):
    path.write_bytes(b"old")
    link = path.with_name("link")
    try:
        link.symlink_to(path)
    except OSError:
        # Windows asks for a right to make one; without a link there is nothing to test.
        pytest.skip("not every user, nor every file system, may make links")
    with files.replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink() and path.read_bytes() == b"new"


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="no such device")
def test_replacing_writes_into_devices():
    with files.replacing(os.devnull) as file:
        files.save_model(file, MODEL)
    assert Path(os.devnull).is_char_device()


def test_replacing_names_the_file_asked_for(path):
    with pytest.raises(OSError, match="missing") as caught:
        with files.replacing(path / "missing" / "model.npz"):
            pass
    assert caught.value.filename == str(path / "missing" / "model.npz")
