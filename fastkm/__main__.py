"""The command line: `python -m fastkm tour`, `fit` and `predict`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastkm import KMeansResult, __version__, assign, files, kmeans, tour, warmup
from fastkm.validation import INITS

Array = NDArray[Any]

PROGRAM = "python -m fastkm"
FORMATS = """\
FILE is .npy, .npz, CSV (a row of names at the top is skipped) or IDX (images become
rows), gzipped or not; its content tells which, not its name. Parquet files (.parquet)
and folders of .npy or Parquet files are read in chunks where they are too large."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, printed where all others are."""

    def error(self, message: str) -> NoReturn:
        """Raise what the parser would print."""
        raise ValueError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process when None.

    Returns
    -------
    int
        Exit status: 0, 1 if something is not installed or runs out, 2 for bad usage or
        data, 130 after Ctrl-C. Every failure is one line on stderr.
    """
    try:
        arguments = _parser().parse_args(argv)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            status: int = arguments.run(arguments)
        for warning in caught:
            _say(f"warning: {warning.message}")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except MemoryError as error:
        _say(f"error: not enough memory: {error}")
        return 1
    except (ValueError, TypeError, OSError) as error:
        _say(f"error: {_message(error)}")
        return 2
    return status


def _say(message: str) -> None:
    print(f"fastkm: {' '.join(message.split())}", file=sys.stderr)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    return str(error)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Exact k-means clustering: one answer, on any number of threads.",
        epilog=f"""\
examples:
  {PROGRAM} tour
  {PROGRAM} fit samples.csv -k 10 -o model.npz
  {PROGRAM} predict model.npz samples.csv > labels.txt

The first run compiles for up to half a minute; later ones start at once.""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastkm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_tour(commands)
    _add_fit(commands)
    _add_predict(commands)
    _add_warmup(commands)
    return parser


def _add_tour(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "tour",
        help="run a study of k-means and write an illustrated report",
        description="""\
Run a study of k-means and write it up, with pictures and tables, as report.html:
clusterings of the plane, initial centers compared over 1000 restarts, training time
beside scikit-learn's, and a classifier of handwritten digits. Takes about a minute.""",
        epilog=f"example:\n  {PROGRAM} tour -o my-tour --seed 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="DIR",
        default="fastkm-tour",
        help="folder for the report and its pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--mnist",
        metavar="DIR",
        help="classify MNIST, with 4000 clusters, from the four IDX files in DIR, "
        "instead of scikit-learn's small digits (takes minutes)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--full",
        action="store_true",
        help="time all numbers of samples up to 2.5 million, 20 runs each in 2-D and "
        "10 in 100-D (takes long)",
    )
    length.add_argument(
        "--short", action="store_true", help="few restarts and sizes, for a quick check"
    )
    _add_seed(parser)
    parser.set_defaults(run=_tour)


def _add_fit(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "fit",
        help="cluster the samples in a file",
        description=f"Cluster the samples in a file and keep the centers.\n\n{FORMATS}",
        epilog=f"""\
example:
  {PROGRAM} fit samples.csv -k 10 -o model.npz --labels labels.npy""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="samples, one per row")
    parser.add_argument(
        "-k", type=int, required=True, metavar="K", help="number of clusters"
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="MODEL",
        default="model.npz",
        help="where the model goes (default: %(default)s)",
    )
    parser.add_argument(
        "--labels", metavar="NPY", help="write the label of each sample, int32"
    )
    parser.add_argument(
        "--init",
        choices=INITS,
        default="k-means++",
        help="how initial centers are chosen (default: %(default)s)",
    )
    parser.add_argument(
        "--n-init",
        type=int,
        metavar="N",
        help="runs, of which the best is kept (default: 10 for random, else 1)",
    )
    parser.add_argument(
        "--max-iter",
        type=int,
        default=300,
        metavar="N",
        help="most iterations of one run (default: %(default)s)",
    )
    parser.add_argument(
        "--tol",
        type=float,
        default=1e-4,
        metavar="T",
        help="stop when the centers move less than this, relative to the variance; "
        "with 0, when none moves (default: %(default)s)",
    )
    parser.add_argument(
        "--max-memory",
        metavar="BYTES",
        help="what may be held, such as '2 GB' (default: half of what is free); .npy, "
        "Parquet and folders of them that need more are read again in every pass",
    )
    parser.add_argument(
        "--spool",
        metavar="DIR",
        help="decode Parquet once, into a file in DIR that is removed at the end, "
        "instead of in every pass",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="written every 10 seconds and when interrupted; the same command goes on "
        "from it, to the same result",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="fit on the Dask cluster whose scheduler is there, such as "
        "tcp://host:8786; for Parquet and folders that its workers can read",
    )
    parser.add_argument(
        "--float32",
        action="store_true",
        help="keep the samples in single precision: half the memory",
    )
    _add_seed(parser)
    _add_threads(parser)
    _add_key(parser)
    parser.set_defaults(run=_fit)


def _add_predict(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "predict",
        help="label samples by the nearest center of a model",
        description=f"""\
Find the nearest center of each sample: one label per line, from 0.

{FORMATS}""",
        epilog=f"example:\n  {PROGRAM} predict model.npz samples.csv > labels.txt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="what fit has written")
    parser.add_argument("file", metavar="FILE", help="samples, one per row")
    parser.add_argument(
        "-o",
        dest="output",
        metavar="NPY",
        help="write the labels to this .npy file, int32, instead of printing them",
    )
    _add_threads(parser)
    _add_key(parser)
    parser.set_defaults(run=_predict)


def _add_warmup(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "warmup",
        help="compile ahead of time",
        description="Compile what common fits need, so that the first one starts at "
        "once. Takes a minute or two.",
    )
    parser.set_defaults(run=_warmup)


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of all random choices: the same seed, the same result (default: 0)",
    )


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads (default: all); the result does not depend on them",
    )


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key", metavar="NAME", help="which array, where a .npz file holds several"
    )


def _tour(arguments: argparse.Namespace) -> int:
    missing = tour.missing_packages()
    if missing:
        _say(
            f"error: the tour needs {', '.join(missing)}: "
            "python -m pip install 'fastkm[tour]'"
        )
        return 1
    from fastkm.tour import study  # imports what was just looked for

    result = study.run(
        Path(arguments.output),
        mnist=arguments.mnist,
        length="full" if arguments.full else "short" if arguments.short else "default",
        seed=arguments.seed,
    )
    print(result)
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    written = [arguments.output, arguments.labels, arguments.checkpoint]
    _check_apart([arguments.file], written)
    start = time.perf_counter()
    X: Any = _as_source(arguments)
    if X is None:
        X = files.read_samples(
            arguments.file,
            key=arguments.key,
            dtype=np.float32 if arguments.float32 else None,
        )
    reading = time.perf_counter() - start
    with contextlib.ExitStack() as outputs:
        # Opened first: an output that cannot be written must not cost a long fit.
        model_file = outputs.enter_context(files.replacing(arguments.output))
        labels_file = arguments.labels and outputs.enter_context(
            files.replacing(arguments.labels)
        )
        start = time.perf_counter()
        options = {
            "n_clusters": arguments.k,
            "init": arguments.init,
            "n_init": "auto" if arguments.n_init is None else arguments.n_init,
            "max_iter": arguments.max_iter,
            "tol": arguments.tol,
            "random_state": arguments.seed,
            "n_threads": arguments.threads,
        }
        if arguments.spool:
            X = outputs.enter_context(_spooled(X, arguments))
        result = _cluster(X, options, arguments)
        fitting = time.perf_counter() - start
        model = files.Model(result.centers, result.inertia, result.n_iter)
        files.save_model(model_file, model._replace(parameters=options))
        if labels_file:
            np.save(labels_file, result.labels)
    _print_fit(result, arguments)
    print(f"seconds     {fitting:.3g}, and {reading:.3g} to read the file")
    if arguments.labels:
        print(f"labels      {arguments.labels}")
    print(f"model       {arguments.output}")
    return 0


def _as_source(arguments: argparse.Namespace) -> Path | None:
    """Path of what is read in chunks; None for a file that is read as a whole."""
    path = Path(arguments.file)
    in_chunks = path.is_dir() or path.suffix == ".parquet"
    if not in_chunks and not (arguments.max_memory and path.suffix == ".npy"):
        return None
    for name in ("key", "float32"):
        if getattr(arguments, name):
            raise ValueError(f"--{name} is not for what is read in chunks ({path})")
    return path


def _cluster(
    X: Any, options: dict[str, Any], arguments: argparse.Namespace
) -> KMeansResult:
    """Fit here, or on a cluster."""
    if arguments.scheduler:
        return _cluster_with_dask(X, options, arguments)
    return kmeans(
        X,
        **options,
        max_memory=arguments.max_memory,
        checkpoint=arguments.checkpoint,
        verbose=int(isinstance(X, Path) and sys.stderr.isatty()),
    )


def _spooled(X: Any, arguments: argparse.Namespace) -> Any:
    if not isinstance(X, Path) or arguments.scheduler:
        raise ValueError("--spool is for Parquet files and folders, without a cluster")
    from fastkm.spool import spooled

    return spooled(X, arguments.spool)


def _cluster_with_dask(
    X: Any, options: dict[str, Any], arguments: argparse.Namespace
) -> KMeansResult:
    if arguments.max_memory:
        raise ValueError("--max-memory does not go together with --scheduler")
    if not isinstance(X, Path):
        raise ValueError("--scheduler is for Parquet files and folders")
    from distributed import Client

    from fastkm.dask import KMeans, open_folder

    client: Any = Client
    with client(arguments.scheduler, timeout="10s"):
        collection = open_folder(X)
        model = KMeans(**options, checkpoint=arguments.checkpoint).fit(collection)
        return KMeansResult(
            model.cluster_centers_,
            model.predict(collection).compute(),
            model.inertia_,
            model.n_iter_,
            model.report_,
        )


def _print_fit(result: KMeansResult, arguments: argparse.Namespace) -> None:
    centers, report = result.centers, result.report
    stops = {
        "unchanged": "no center moved any more",
        "tol": f"the centers moved less than tol={arguments.tol:g} allows",
        "max_iter": "--max-iter was reached",
    }
    threads = "1 thread" if report.n_threads == 1 else f"{report.n_threads} threads"
    sizes = np.bincount(result.labels, minlength=arguments.k)
    n_samples, n_features = len(result.labels), centers.shape[1]
    print(f"samples     {n_samples} x {n_features} features, {centers.dtype}")
    print(f"clusters    {arguments.k}")
    print(
        f"sizes       min {sizes.min()}, median {np.median(sizes):g}, max {sizes.max()}"
    )
    print(f"inertia     {result.inertia:.10g}")
    print(f"iterations  {result.n_iter}: {stops[report.stop]}")
    print(f"engine      {report.engine} ({report.reason}), {threads}")


def _predict(arguments: argparse.Namespace) -> int:
    _check_apart([arguments.file, arguments.model], [arguments.output])
    model = files.load_model(arguments.model)
    # In the precision of the fit, so that its own samples get its own labels.
    X = files.read_samples(
        arguments.file,
        key=arguments.key,
        dtype=model.centers.dtype,
        n_features=model.centers.shape[1],
    )
    labels, _ = assign(X, model.centers, n_threads=arguments.threads)
    if arguments.output is None:
        sys.stdout.writelines(f"{label}\n" for label in labels.tolist())
        return 0
    with files.replacing(arguments.output) as file:
        np.save(file, labels)
    return 0


def _warmup(arguments: argparse.Namespace) -> int:
    warmup()
    return 0


def _check_apart(inputs: list[str], outputs: list[str | None]) -> None:
    """Refuse to write one file over another."""
    seen = {os.path.realpath(path) for path in inputs}
    folders = {path for path in seen if os.path.isdir(path)}
    for path in outputs:
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue
        if os.path.realpath(path) in seen:
            raise ValueError(f"{path} would be overwritten by another file")
        if os.path.dirname(os.path.realpath(path)) in folders:
            raise ValueError(f"{path} would be among the samples")
        seen.add(os.path.realpath(path))


if __name__ == "__main__":
    sys.exit(main())
