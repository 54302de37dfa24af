"""Samples larger than memory: what a pass costs, and whether all ways give one answer.

    python benchmarks/scale.py large [--gigabytes 20] [--max-memory "2 GB"]
    python benchmarks/scale.py one-answer [--samples 2000000]

`large` writes samples of that size, in 2-D and in 100-D, clusters each in a process
held to `--max-memory`, and prints seconds per pass, reading the file alone as a share
of that, and the peak of resident memory: once with the file in the system's cache, as
far as that holds it, and once from the disk, with the cache emptied before every pass.
`one-answer` clusters the same samples in
memory, from files, in chunks, and on 1, 2 and 4 worker processes, also with one of them
killed, and prints a hash of centers and labels for each, then dask-ml (where it is
installed) and scikit-learn's MiniBatchKMeans.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_CLUSTERS, N_ITERATIONS, BLOCK = 6, 5, 2**24


def mixture(n_samples, n_features, seed):
    """Overlapping Gaussians."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(1).normal(scale=2.0, size=(N_CLUSTERS, n_features))
    return means[rng.integers(N_CLUSTERS, size=n_samples)] + rng.normal(
        size=(n_samples, n_features)
    )


def write(path, n_samples, n_features):
    """Write samples, some MB at a time; one block is repeated to be quick."""
    rows = BLOCK // (8 * n_features)
    blocks = [mixture(rows, n_features, seed) for seed in range(8)]
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False}
        shape = {"shape": (n_samples, n_features)}
        np.lib.format.write_array_header_1_0(file, header | shape)
        for n, start in enumerate(range(0, n_samples, rows)):
            some = blocks[n % 8][: n_samples - start] + 1e-3 * n
            file.write(some.data)
        file.flush()
        os.fsync(file.fileno())


def forget(path):
    """Let the system forget what it holds of a file."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds_to_read(path, from_disk):
    """Best of three, without doing anything with it: the first may fill the cache."""
    room, best = bytearray(BLOCK), np.inf
    for _ in range(3):
        if from_disk:
            forget(path)
        start = time.perf_counter()
        with open(path, "rb", buffering=0) as file:
            while file.readinto(room):
                pass
        best = min(best, time.perf_counter() - start)
    return best


def held_fit(path, max_memory, from_disk):
    """Cluster a file in this process; prints what it took.

    From the disk with fewer passes: random centers, three iterations.
    """
    import fastkm
    from fastkm import sources

    rng = np.random.default_rng(0)
    n_features = np.load(path, mmap_mode="r").shape[1]
    options = {"random_state": 0, "tol": 0, "max_iter": N_ITERATIONS}
    few = rng.random((200_000, n_features))
    if from_disk:
        options |= {"init": "random", "n_init": 1, "max_iter": 3}
    fastkm.kmeans(few, N_CLUSTERS, **options, max_memory="2 MB")  # compiles
    passes = []
    read = sources.Joined.read

    def counted(self, chunks):
        if chunks is None:
            passes.append(time.perf_counter())
        return read(self, chunks)

    sources.Joined.read = counted
    iterations = []

    def callback(state):
        iterations.append(state.seconds)
        if from_disk:
            forget(path)

    start = time.perf_counter()
    result = fastkm.kmeans(
        path,
        N_CLUSTERS,
        **options,
        max_memory=max_memory,
        labels_out=f"{path}.labels.npy",
        callback=callback,
    )
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(
        json.dumps(
            {
                "samples": len(result.labels),
                "seconds": seconds,
                "passes": len(passes),
                "iteration": float(np.min(np.diff(iterations))),
                "peak": 1024 * peak,
            }
        )
    )


def large(arguments):
    heads = (
        "samples | GB | from | a pass, s | to read, s | share | passes | fit, s | MB"
    )
    print(f"| {heads} |\n{'|---' * 9}|")
    for n_features in (2, 100):
        n_samples = int(arguments.gigabytes * 1e9 / (8 * n_features))
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            path = f"{folder}/samples.npy"
            write(path, n_samples, n_features)
            for place in ("memory", "disk"):
                reading = seconds_to_read(path, place == "disk")
                command = [sys.executable, __file__, "held-fit", path]
                command += [arguments.max_memory, place]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                took = json.loads(done.stdout.splitlines()[-1])
                print(
                    f"| {n_samples:,} x {n_features} | {arguments.gigabytes:g} "
                    f"| {place} | {took['iteration']:.2f} | {reading:.2f} "
                    f"| {reading / took['iteration']:.0%} | {took['passes']} "
                    f"| {took['seconds']:.0f} | {took['peak'] / 1e6:.0f} |",
                    flush=True,
                )


class Sliced:
    """An array in so many chunks."""

    def __init__(self, X, n_chunks):
        self.X, self.n_chunks = X, n_chunks

    def __len__(self):
        return len(self.X)

    def __iter__(self):
        return iter(np.array_split(self.X, self.n_chunks))


def one_answer(arguments):
    import dask.array as da
    import pyarrow
    import pyarrow.parquet
    from distributed import Client, LocalCluster
    from sklearn.cluster import MiniBatchKMeans

    import fastkm
    import fastkm.dask
    from fastkm.spool import spooled

    X = mixture(arguments.samples, 20, 0)
    options = {"n_clusters": 20, "random_state": 0, "tol": 0, "max_iter": 20}
    small = f"{X.nbytes // 8} B"
    fastkm.KMeans(**options).fit(X[:50_000])  # compiles
    print("| samples | seconds | inertia | bits of centers and labels |")
    print("|---|---|---|---|")

    def show(name, model, fit):
        start = time.perf_counter()
        model = fit(model)
        seconds = time.perf_counter() - start
        labels = np.asarray(model.labels_)
        bits = hashlib.sha256(model.cluster_centers_.tobytes() + labels.tobytes())
        print(
            f"| {name} | {seconds:.2f} | {model.inertia_:.10g} "
            f"| {bits.hexdigest()[:12]} |",
            flush=True,
        )

    def by(given, **more):
        return fastkm.KMeans(**options, **more), lambda model: model.fit(given)

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        show("one array", *by(X))
        np.save(f"{folder}/X.npy", X)
        show("memmap", *by(np.load(f"{folder}/X.npy", mmap_mode="r"), max_memory=small))
        os.mkdir(f"{folder}/parts")
        for n, some in enumerate(np.array_split(X, 12)):
            np.save(f"{folder}/parts/{n}.npy", some)
        show("folder of .npy files", *by(f"{folder}/parts", max_memory=small))
        table = pyarrow.table({f"c{f}": X[:, f] for f in range(X.shape[1])})
        pyarrow.parquet.write_table(table, f"{folder}/X.parquet", row_group_size=10**5)
        show("Parquet", *by(f"{folder}/X.parquet", max_memory=small))
        with spooled(f"{folder}/X.parquet", folder) as path:
            show("Parquet, spooled", *by(path, max_memory=small))
        for n in (3, 300):
            show(f"{n} chunks", *by(Sliced(X, n), max_memory=small))
    blocks = da.from_array(X, chunks=(len(X) // 8, X.shape[1]))

    def on_workers(n_workers, name, **more):
        with (
            LocalCluster(n_workers, threads_per_worker=1, dashboard_address=None) as c,
            Client(c) as client,
        ):
            held = blocks if more else client.persist(blocks)
            more = {key: make(client) for key, make in more.items()}
            model = fastkm.dask.KMeans(**options)
            model.fit(blocks[: 10**4])  # compiles
            show(name, model.set_params(**more), lambda model: model.fit(held))

    def killer(client):
        def kill_one(state):
            if state.iteration == 10:
                _, pid = next(iter(client.run(os.getpid).items()))
                os.kill(pid, signal.SIGKILL)

        return kill_one

    for n in (1, 2, 4):
        on_workers(n, f"Dask, {n} worker process{'es' * (n > 1)}")
    on_workers(2, "Dask, 2, of which one is killed", callback=killer)
    try:
        from dask_ml.cluster import KMeans as DaskMLKMeans
    except ImportError:
        print("| dask-ml | not installed | | |")
    else:
        parallel = {**options, "init": "k-means||"}
        theirs = DaskMLKMeans(**parallel)
        show("dask-ml, k-means||", theirs, lambda model: model.fit(blocks))
        centers = np.asarray(theirs.cluster_centers_)
        inertia = -fastkm.KMeans.from_centers(centers).score(X)
        print(f"| ... its inertia, computed here | | {inertia:.10g} | |")
        ours = fastkm.dask.KMeans(**parallel)
        show("fastkm.dask, k-means||", ours, lambda model: model.fit(blocks))
    theirs = MiniBatchKMeans(20, random_state=0, n_init=1)
    show("scikit-learn's MiniBatchKMeans", theirs, lambda model: model.fit(X))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    sizes = commands.add_parser("large", help="samples that are read again every pass")
    sizes.add_argument("--gigabytes", type=float, default=20.0)
    sizes.add_argument("--max-memory", default="2 GB")
    answers = commands.add_parser("one-answer", help="one set of bits, everywhere")
    answers.add_argument("--samples", type=int, default=2_000_000)
    for command in (sizes, answers):
        command.add_argument("--folder", help="where files are made")
    held = commands.add_parser("held-fit")
    held.add_argument("path")
    held.add_argument("max_memory")
    held.add_argument("place")
    arguments = parser.parse_args()
    if arguments.command == "large":
        large(arguments)
    elif arguments.command == "one-answer":
        one_answer(arguments)
    else:
        held_fit(arguments.path, arguments.max_memory, arguments.place == "disk")


if __name__ == "__main__":
    main()
