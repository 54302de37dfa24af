"""Generators, IDX files of every kind and every damage, and MNIST over loopback."""

import gzip
import hashlib
import http.server
import os
import struct
import sys
import threading
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastkm import datasets
from fastkm.datasets import (
    fetch_mnist,
    load_mnist,
    make_blobs_and_tail,
    make_diagonal,
    make_noisy_ring,
    read_idx,
)

GENERATORS = {
    make_blobs_and_tail: 2,
    make_noisy_ring: 2,
    make_diagonal: 100,
    partial(make_diagonal, n_features=7): 7,
}
NAMES = list(datasets.MNIST_MD5)
TYPE_CODES = {code: np.dtype(text) for code, text in datasets.IDX_DTYPES.items()}
MAX_EXTRA = 1 << 22  # bytes: what a refused file may make the reader allocate


def header(code, *shape):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def as_idx(array):
    code = next(c for c, d in TYPE_CODES.items() if d == array.dtype.newbyteorder(">"))
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return header(code, *array.shape) + big_endian.tobytes()


def refusal(path, error=ValueError, reader=read_idx):
    """The one line by which a file is refused, after checking that it names it."""
    with pytest.raises(error) as caught:
        reader(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


# Generators


@pytest.mark.parametrize(("generate", "n_features"), GENERATORS.items())
def test_generators_draw_from_the_seed_alone(generate, n_features):
    np.random.seed(0)
    X = generate(50, random_state=3)
    assert X.shape == (50, n_features)
    assert X.dtype == np.float64 and X.flags.c_contiguous
    assert np.isfinite(X).all()
    np.random.seed(1)
    assert (X == generate(50, random_state=3)).all()
    assert (X == generate(50, random_state=np.random.default_rng(3))).all()
    assert (X == generate(50, random_state=np.random.SeedSequence(3))).all()
    assert (X != generate(50, random_state=4)).any()
    assert (generate(50) != generate(50)).any()
    rng = np.random.default_rng(3)
    assert (generate(50, random_state=rng) != generate(50, random_state=rng)).any()
    assert generate(1, random_state=0).shape == (1, n_features)
    assert generate(np.int64(2), random_state=0).shape == (2, n_features)


@pytest.mark.parametrize("generate", GENERATORS)
@pytest.mark.parametrize("n_samples", [0, -3, 2.0, 2.5, "7", None, True])
def test_generators_refuse_n_samples(generate, n_samples):
    with pytest.raises(ValueError, match="at least 1") as caught:
        generate(n_samples)
    assert str(caught.value).startswith(f"n_samples={n_samples!r} must be ")


def test_generators_refuse_other_arguments():
    with pytest.raises(ValueError, match="n_features=0 must be at least 1"):
        make_diagonal(5, n_features=0)
    with pytest.raises(ValueError, match="random_state='seed' must be"):
        make_noisy_ring(5, random_state="seed")


def test_blobs_and_tail_lie_where_they_are_said_to():
    X = make_blobs_and_tail(30_000, random_state=0)
    parts = np.zeros(len(X), int)
    for part, center in enumerate([(2, 4), (4, 2.5)], start=1):
        parts[((X - center) ** 2).sum(axis=1) < (3.5 * 0.4) ** 2] = part
    tail = X[parts == 0]
    assert np.median(np.abs(tail.prod(axis=1) - 1)) < 0.15
    low, high = np.quantile(tail, [0.01, 0.99])
    assert 0.1 < low < 0.25 and 4.5 < high < 5.1
    assert (np.abs(np.bincount(parts) - 10_000) < 100).all()
    for part, center in enumerate([(2, 4), (4, 2.5)], start=1):
        blob = X[parts == part]
        assert np.abs(blob.mean(axis=0) - center).max() < 0.02
        assert np.abs(blob.std(axis=0) - 0.4).max() < 0.02
    # in random order: a stretch of the rows holds a third of each as well
    assert (np.abs(np.bincount(parts[:3000]) - 1000) < 150).all()


def test_ring_is_round():
    X = make_noisy_ring(20_000, random_state=0)
    radius = np.hypot(*X.T)
    assert abs(radius.mean() - 1) < 0.005
    assert abs(radius.std() - 0.1) < 0.005
    angles = np.arctan2(X[:, 1], X[:, 0])
    counts, _ = np.histogram(angles, bins=8, range=(-np.pi, np.pi))
    assert np.abs(counts - 2500).max() < 250


def test_diagonal_follows_the_diagonal():
    X = make_diagonal(5000, random_state=0)
    t = X.mean(axis=1)
    assert -0.05 < t.min() < 0.02 and 0.98 < t.max() < 1.05
    assert abs(t.mean() - 0.5) < 0.02
    assert abs(t.std() - 12**-0.5) < 0.01
    noise = X - t[:, np.newaxis]
    assert abs(noise.std() - 0.1) < 0.002
    assert np.abs(noise.std(axis=0) - 0.1).max() < 0.01


# IDX files


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 1, 4), (0,), (3, 0, 2)])
@pytest.mark.parametrize("code", TYPE_CODES)
def test_read_idx_gives_back_the_array(tmp_path, code, shape, packed):
    native = TYPE_CODES[code].newbyteorder("=")
    rng = np.random.default_rng(code)
    array = rng.integers(0, 256, (*shape, native.itemsize), np.uint8)
    array = array.view(native).reshape(shape)  # any bits, so NaNs among the floats
    path = tmp_path / "array"  # no .gz: the content tells
    path.write_bytes(packed(as_idx(array)))
    for name in (path, str(path)):
        found = read_idx(name)
        assert found.shape == shape
        assert found.dtype == native and found.dtype.isnative
        assert found.tobytes() == array.tobytes()
        assert found.flags.writeable


def test_read_idx_reads_values(tmp_path):
    path = tmp_path / "values.gz"  # plain in spite of its name
    path.write_bytes(bytes([0, 0, 0x0B, 1, 0, 0, 0, 3, 0, 1, 1, 0, 0xFF, 0xFE]))
    assert read_idx(path).tolist() == [1, 256, -2]
    path.write_bytes(header(0x0E, 1, 2) + struct.pack(">2d", 0.5, -1e300))
    assert read_idx(path).tolist() == [[0.5, -1e300]]


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it starts with nothing"),
        (b"\0\0\x08", "it starts with 00 00 08; 4 bytes are expected"),
        (header(8, 1, 1)[:7], "truncated IDX header, 2 dimensions take 12 bytes, but"),
        (header(8, 1, 1)[:7], "only 7 are there"),
        (b"PNG\x01\0\0\0\1\0", "no IDX file, it starts with 50 4e 47 01"),
        (b"\0\1\x08\1\0\0\0\1\0", "no IDX file, it starts with 00 01 08 01"),
        (header(0x0A, 1) + b"\0", "one of 08 09 0b 0c 0d 0e for the type"),
        (header(8) + b"\0", "0 dimensions, at least 1"),
        (header(8, 3, 4) + bytes(11), "promises 12 bytes of data, only 11 follow"),
        (header(0x0C, 3) + bytes(11), "promises 12 bytes of data, only 11 follow"),
        (header(8, 3) + bytes(4), "promises 3 bytes of data, more follow"),
        (header(8, 0) + bytes(1), "promises 0 bytes of data, more follow"),
        (header(8, *[10**6] * 3) + bytes(9), f"promises {10**18} bytes of data, only"),
        (header(14, *[2**32 - 1] * 255), "bytes of data, only 0 follow"),
        (header(8, *[1] * 255) + b"\0", "dimension"),
        (header(8, 0, *[2**32 - 1] * 8), ""),
    ],
)
def test_read_idx_refuses_damage_without_allocating(tmp_path, content, words, packed):
    path = tmp_path / "damaged"
    path.write_bytes(packed(content))
    tracemalloc.start()
    try:
        message = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert words in message
    assert peak < MAX_EXTRA


def test_read_idx_does_not_inflate_a_bomb(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(8, 10) + bytes(20 * MAX_EXTRA), 1))
    tracemalloc.start()
    try:
        assert "promises 10 bytes of data, more follow" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < MAX_EXTRA
    finally:
        tracemalloc.stop()


def test_read_idx_refuses_corrupted_gzip(tmp_path):
    path = tmp_path / "array.gz"
    whole = gzip.compress(as_idx(np.arange(1000, dtype=np.int32)))
    middle = len(whole) // 2
    for damaged in [
        whole[:2],  # ends within gzip's header
        whole[:middle],  # ends within the data
        whole[:-1],  # ends within the length
        whole[:-8] + bytes(4) + whole[-4:],  # wrong checksum
        whole[:10] + b"\xff" * 20 + whole[30:],  # no deflate data
        whole + b"rubbish",
    ]:
        path.write_bytes(damaged)
        assert "corrupted gzip data" in refusal(path)


def test_read_idx_leaves_missing_files_missing(tmp_path):
    refusal(tmp_path / "nowhere", FileNotFoundError)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda code, shape, data: header(code, *shape) + data,
            st.sampled_from(list(TYPE_CODES)),
            st.lists(st.integers(0, 3) | st.integers(0, 2**32 - 1), max_size=4),
            st.binary(max_size=40),
        ),
    ),
    st.booleans(),
)
def test_read_idx_reads_or_refuses_anything(tmp_path_factory, content, zipped):
    path = tmp_path_factory.getbasetemp() / "anything"
    path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    try:
        array = read_idx(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert as_idx(array) == content


# MNIST


def digits(seed=0, sizes=(6, 4)):
    """Contents of four files that have MNIST's names, by name."""
    rng = np.random.default_rng(seed)
    arrays = []
    for n_samples in sizes:
        arrays.append(rng.integers(0, 256, (n_samples, 3, 2), np.uint8))
        arrays.append(rng.integers(0, 10, n_samples, np.uint8))
    return dict(zip(NAMES, map(as_idx, arrays), strict=True))


def write(folder, contents, zipped=True):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def assert_holds(found, contents):
    assert found._fields == (
        "train_images",
        "train_labels",
        "test_images",
        "test_labels",
    )
    for array, content, n_samples in zip(
        found, contents.values(), (6, 6, 4, 4), strict=True
    ):
        assert array.dtype == np.uint8
        assert array.shape in [(n_samples,), (n_samples, 6)]
        assert content.endswith(array.tobytes())
    assert found.train_images.ndim == found.test_images.ndim == 2


@pytest.mark.parametrize("zipped", [True, False])
def test_load_mnist_reads_four_files(tmp_path, monkeypatch, zipped):
    contents = digits()
    write(tmp_path, contents, zipped)
    assert_holds(load_mnist(tmp_path), contents)
    assert_holds(load_mnist(str(tmp_path)), contents)
    monkeypatch.setenv("FASTKM_MNIST", str(tmp_path))
    assert_holds(load_mnist(), contents)


def test_load_mnist_needs_a_directory(monkeypatch):
    for value in [None, ""]:
        if value is None:
            monkeypatch.delenv("FASTKM_MNIST", raising=False)
        else:
            monkeypatch.setenv("FASTKM_MNIST", value)
        with pytest.raises(ValueError, match=r"directory=None.*FASTKM_MNIST.*fetch_mn"):
            load_mnist()


@pytest.mark.parametrize("name", NAMES)
def test_load_mnist_names_what_is_missing(tmp_path, name):
    write(tmp_path, digits())
    (tmp_path / f"{name}.gz").unlink()
    message = refusal(tmp_path, FileNotFoundError, load_mnist)
    assert name in message and "fetch_mnist" in message


def test_load_mnist_compares_numbers(tmp_path):
    other = digits(sizes=(6, 5))
    write(tmp_path, digits() | {NAMES[3]: other[NAMES[3]]})
    message = refusal(tmp_path, ValueError, load_mnist)
    assert "4 t10k images, but 5 t10k labels" in message


def test_load_mnist_refuses_other_arrays(tmp_path):
    labels = as_idx(np.arange(6, dtype=np.int32))
    write(tmp_path, digits() | {NAMES[1]: labels})
    with pytest.raises(ValueError, match=rf"{NAMES[1]}.*int32 array of shape \(6,\)"):
        load_mnist(tmp_path)
    write(tmp_path, digits() | {NAMES[0]: digits()[NAMES[1]]})
    with pytest.raises(ValueError, match=rf"{NAMES[0]}.*uint8 in 3 dimension"):
        load_mnist(tmp_path)


@pytest.mark.skipif(not os.environ.get("FASTKM_MNIST"), reason="FASTKM_MNIST not set")
def test_load_mnist_reads_the_real_files():
    found = load_mnist()
    assert [array.shape for array in found] == [
        (60000, 784),
        (60000,),
        (10000, 784),
        (10000,),
    ]
    for labels in (found.train_labels, found.test_labels):
        assert np.unique(labels).tolist() == list(range(10))
    for images in (found.train_images, found.test_images):
        assert images.dtype == np.uint8 and images.max() == 255


# Downloads, from loopback only


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A mirror of tiny files, as (its address, its folder, names asked for)."""
    pytest.importorskip("pooch")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    folder = write(tmp_path / "mirror", digits())
    md5 = {name: hashlib.md5(c).hexdigest() for name, c in digits().items()}
    monkeypatch.setattr(datasets, "MNIST_MD5", md5)
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

        def do_GET(self):
            requests.append(self.path.removeprefix("/"))
            super().do_GET()

    address = ("127.0.0.1", 0)
    with http.server.ThreadingHTTPServer(
        address, partial(Handler, directory=folder)
    ) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}", folder, requests
        finally:
            httpd.shutdown()
            thread.join()


def zipped_names(names=NAMES):
    return [f"{name}.gz" for name in names]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetch_mnist_downloads_once(server, tmp_path, capfd, caplog):
    url, _, requests = server
    folder = tmp_path / "new" / "folder"
    assert_holds(fetch_mnist(folder, base_url=url), digits())
    assert requests == zipped_names()
    assert files(folder) == sorted(zipped_names())
    assert_holds(fetch_mnist(str(folder), base_url=url + "/"), digits())
    assert_holds(load_mnist(folder), digits())
    assert requests == zipped_names()
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name == "pooch"]
    fresh = tmp_path / "fresh"
    fresh.touch()
    assert (folder / f"{NAMES[0]}.gz").stat().st_mode == fresh.stat().st_mode


def test_fetch_mnist_uses_the_cache_of_the_user(server, tmp_path, monkeypatch):
    import pooch

    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    assert_holds(fetch_mnist(base_url=server[0]), digits())
    assert files(tmp_path / "fastkm") == sorted(zipped_names())


def test_fetch_mnist_takes_uncompressed_files(server, tmp_path):
    url, _, requests = server
    write(tmp_path / "here", digits(), zipped=False)
    assert_holds(fetch_mnist(tmp_path / "here", base_url=url), digits())
    assert requests == []


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x1f\x8b\x08", gzip.compress(b"other")],
    ids=["empty", "cut", "other"],
)
def test_fetch_mnist_replaces_a_damaged_file(server, tmp_path, damage):
    url, _, requests = server
    folder = write(tmp_path / "here", digits())
    (folder / f"{NAMES[2]}.gz").write_bytes(damage)
    assert_holds(fetch_mnist(folder, base_url=url), digits())
    assert requests == zipped_names([NAMES[2]])
    assert files(folder) == sorted(zipped_names())


def test_fetch_mnist_passes_over_a_damaged_uncompressed_file(server, tmp_path):
    url, _, requests = server
    folder = write(tmp_path / "here", digits(), zipped=False)
    (folder / NAMES[1]).write_bytes(digits(seed=1)[NAMES[1]])
    assert_holds(fetch_mnist(folder, base_url=url), digits())
    assert requests == zipped_names([NAMES[1]])


def test_fetch_mnist_keeps_no_wrong_content(server, tmp_path):
    url, mirror, _ = server
    wrong = digits(seed=1)[NAMES[1]]
    folder = tmp_path / "here"
    for content, found in [
        (gzip.compress(wrong), hashlib.md5(wrong).hexdigest()),
        (gzip.compress(wrong)[:-9], r"none \(corrupted gzip data\)"),
    ]:
        (mirror / f"{NAMES[1]}.gz").write_bytes(content)
        expected = datasets.MNIST_MD5[NAMES[1]]
        pattern = rf"{NAMES[1]}.* MD5 {expected}, found {found}$"
        with pytest.raises(ValueError, match=pattern):
            fetch_mnist(folder, base_url=url)
        assert files(folder) == zipped_names(NAMES[:1])


def test_fetch_mnist_does_not_inflate_a_bomb(server, tmp_path, monkeypatch):
    url, mirror, _ = server
    monkeypatch.setattr(datasets, "MNIST_LARGEST", 100)
    (mirror / f"{NAMES[0]}.gz").write_bytes(gzip.compress(bytes(20 * MAX_EXTRA), 1))
    found = hashlib.md5(bytes(101)).hexdigest()
    with pytest.raises(ValueError, match=rf"wrong content.*found {found}"):
        fetch_mnist(tmp_path / "here", base_url=url)


def test_fetch_mnist_says_what_it_tried(server, tmp_path):
    url, mirror, _ = server
    folder = tmp_path / "here"
    (mirror / f"{NAMES[0]}.gz").unlink()
    for base_url, words in [
        (url, "404"),
        ("http://127.0.0.1:1", ""),  # where nobody listens
        ("no-scheme", "scheme"),
    ]:
        with pytest.raises(OSError, match="cannot download ") as caught:
            fetch_mnist(folder, base_url=base_url)
        message = str(caught.value)
        assert message.startswith(
            f"cannot download {base_url}/{NAMES[0]}.gz into {folder}: "
        )
        assert words in message and "\n" not in message
        assert files(folder) == []


def test_fetch_mnist_keeps_the_old_file_until_a_right_one_comes(server, tmp_path):
    url, mirror, _ = server
    folder = write(tmp_path / "here", digits(seed=1))
    (mirror / f"{NAMES[0]}.gz").unlink()
    with pytest.raises(OSError, match="cannot download"):
        fetch_mnist(folder, base_url=url)
    assert_holds(load_mnist(folder), digits(seed=1))


def test_fetch_mnist_asks_for_pooch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install 'fastkm\[mnist\]'"):
        fetch_mnist(tmp_path)


def test_known_md5_are_those_of_the_real_files():
    folder = os.environ.get("FASTKM_MNIST")
    # Real files alone can show that the sums are theirs; others have tests above.
    if not folder:
        pytest.skip("FASTKM_MNIST not set: MNIST, 55 MB, is not in the repository")
    for name, md5 in datasets.MNIST_MD5.items():
        path = datasets._find(Path(folder), name)
        assert path is not None and datasets._md5(path) == md5
    largest = 16 + load_mnist(folder).train_images.size
    assert largest == datasets.MNIST_LARGEST
