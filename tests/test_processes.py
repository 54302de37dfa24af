"""Threads and processes of every kind: no abort, no hang, same bits.

Each in a process of its own with a time limit; what other code's parallel regions are
beside, under every threading layer of Numba that is installed.
"""

import os
import sys
from pathlib import Path

import pytest
from scripts import run, script

LAYERS = {
    "workqueue": {"NUMBA_THREADING_LAYER": "workqueue"},
    "omp": {"NUMBA_THREADING_LAYER": "omp"},
    "tbb": {
        "NUMBA_THREADING_LAYER": "tbb",
        # The folder of libtbb.so, where pip puts it and no loader looks.
        "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib"),
    },
}
REGION = """
    import numba

    @numba.njit(parallel=True, nogil=True)
    def region(values):
        total = 0.0
        for i in numba.prange(len(values)):
            total += values[i] ** 2
        return total
"""
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture(scope="module", params=LAYERS)
def layer(request):
    """Environment in which Numba's parallel regions run on one of the layers."""
    env = LAYERS[request.param]
    code = """
        try:
            region(X[:, 0])
            print(numba.threading_layer())
        except ValueError as error:
            print(error)
    """
    found = run(script(REGION, code), env=env)
    # GNU OpenMP comes with the system, TBB for x86-64 only: Numba does without.
    if "No threading layer could be loaded" in found:
        pytest.skip(f"the layer's library is not on this machine: {found}")
    assert found == request.param
    return env


@pytest.fixture(scope="module")
def bits():
    """Line of code with the bits of eight seeds, fitted in turn on one thread."""
    code = "print('expected =', [fit(seed, 1) for seed in range(8)])"
    return run(script(code))


def test_python_threads_beside_a_parallel_region(layer, bits):
    """Eight threads fit and predict while a ninth is always in a region of Numba's."""
    code = """
        from concurrent.futures import ThreadPoolExecutor
        from fastkm import KMeans
        model = KMeans(7, random_state=0, n_threads=4).fit(X)
        numba.set_num_threads(3)
        region(X[:, 0])
        over = threading.Event()
        def busy():
            numba.set_num_threads(2)
            count = 0
            while not over.is_set():
                region(X[:, 0])
                count += 1
            return count, numba.get_num_threads()
        with ThreadPoolExecutor(9) as pool:
            regions = pool.submit(busy)
            fits = [pool.submit(fit, i % 8, 1 + i % 5) for i in range(64)]
            labels = [pool.submit(model.predict, X) for _ in range(64)]
            assert [task.result() for task in fits] == 8 * expected
            assert all((task.result() == model.labels_).all() for task in labels)
            over.set()
            count, n_threads = regions.result()
            assert count > 0 and n_threads == 2
        assert numba.get_num_threads() == 3
        print("128 calls")
    """
    assert run(script(REGION, bits, code), env=layer) == "128 calls"


def test_inside_a_parallel_region(layer, bits):
    code = """
        import numba

        @numba.njit(parallel=True, nogil=True)
        def nested(n):
            same = np.zeros(n)
            for i in numba.prange(n):
                with numba.objmode(equal="float64"):
                    equal = float(fit(i % 8) == expected[i % 8])
                same[i] = equal
            return same

        numba.set_num_threads(4)
        assert nested(32).tolist() == [1.0] * 32
        assert numba.get_num_threads() == 4
        print("32 fits")
    """
    assert run(script(bits, code), env=layer) == "32 fits"


@forks
def test_fork_after_a_fit(layer, bits):
    """Children of children, too; GNU's OpenMP ends such a child, but not fastkm's."""
    code = """
        region(X[:, 0])
        assert fit(0) == expected[0]
        for seed in range(1, 8):
            child = os.fork()
            if not child:
                grandchild = os.fork()
                ok = fit(seed) == expected[seed] and fit(seed, 1) == expected[seed]
                if grandchild:
                    ok = ok and os.waitpid(grandchild, 0)[1] == 0
                os._exit(not ok)
            assert os.waitpid(child, 0)[1] == 0
            assert fit(seed) == expected[seed]
        print("14 children")
    """
    assert run(script(REGION, bits, code), env=layer) == "14 children"


@forks
def test_fork_while_other_threads_fit(bits):
    code = """
        over = threading.Event()
        wrong = []
        def busy():
            seed = 0
            while not over.is_set():
                seed = (seed + 1) % 8
                if fit(seed) != expected[seed]:
                    wrong.append(seed)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(20):
            child = os.fork()
            if not child:
                os._exit(fit(i % 8) != expected[i % 8])
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        for thread in threads:
            thread.join()
        assert not wrong
        print("20 children")
    """
    assert run(script(bits, code)) == "20 children"


def test_checking_arguments_imports_nothing():
    """A child that is forked while a thread imports waits for that thread for ever."""
    code = """
        from fastkm import validation
        before = set(sys.modules)
        validation.as_samples([[1.0], [2.0]])
        validation.as_weights([1.0, 2.0], 2)
        validation.check_random_state(0)
        print(sorted(set(sys.modules) - before))
    """
    assert run(script(code)) == "[]"


def test_loading_kernels_imports_nothing(bits):
    """As above: Numba imports the modules whose code is part of a kernel."""
    fits = "assert [fit(seed) for seed in range(8)] == expected"
    run(script(bits, fits))  # compiles what is still missing
    code = """
        from numba.core import environment
        rebuild, packages = environment._rebuild_env, set()
        def watch(module, *others):
            packages.add(module.partition(".")[0])
            return rebuild(module, *others)
        environment._rebuild_env = watch
        assert [fit(seed) for seed in range(8)] == expected
        print(sorted(packages))
    """
    assert run(script(bits, code)) == "['fastkm']"


@forks
def test_fork_while_another_thread_compiles(bits):
    """A child that inherits the compiler's lock, held by nobody, must not wait."""
    code = """
        import numba
        over = threading.Event()
        def busy():
            while not over.is_set():
                numba.njit(lambda x: np.sqrt(x) + 1)(2.0)
        thread = threading.Thread(target=busy)
        thread.start()
        for seed in range(8):
            time.sleep(0.02)
            child = os.fork()
            if not child:  # the first fit of its process: kernels are loaded
                os._exit(fit(seed) != expected[seed])
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        thread.join()
        print("8 children")
    """
    assert run(script(bits, code)) == "8 children"


WORKERS = """
    def work(seed):
        return fit(seed)

    def main(method):
        assert list(map(work, range(8))) == expected  # threads before the fork
        if method == "loky":
            from joblib import Parallel, delayed
            found = Parallel(n_jobs=2, backend="loky")(map(delayed(work), range(8)))
        elif method == "threading":
            from joblib import Parallel, delayed
            found = Parallel(n_jobs=4, backend="threading")(
                map(delayed(work), range(8))
            )
        elif method == "futures":
            from concurrent.futures import ProcessPoolExecutor
            with ProcessPoolExecutor(2) as pool:
                found = list(pool.map(work, range(8)))
        else:
            import multiprocessing
            with multiprocessing.get_context(method).Pool(2) as pool:
                found = pool.map(work, range(8))
        assert found == expected
        assert list(map(work, range(8))) == expected
        print("24 fits")

    if __name__ == "__main__":
        main(sys.argv[1])
"""


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("fork", marks=forks),
        *("spawn", "forkserver", "futures", "loky", "threading"),
    ],
)
def test_fit_in_workers(method, bits, tmp_path):
    file = tmp_path / "workers.py"
    file.write_text(script(bits, WORKERS))
    assert run(file, method) == "24 fits"


def test_threads_that_were_asked_for_are_used_and_no_more(bits):
    """Counted where chunks run; Numba's own setting stays what it was."""
    code = """
        import numba
        from fastkm import kmeans
        from fastkm.kernels import _threads
        asked = []
        start = _threads._Pool.start
        def counted(pool, kernel, n_chunks, arguments):
            asked.append(n_chunks)
            return start(pool, kernel, n_chunks, arguments)
        _threads._Pool.start = counted
        before = numba.get_num_threads()
        for n_threads in (1, 2, 3, 5, 8, 1):
            asked.clear()
            assert fit(0, n_threads) == expected[0]
            assert max(asked, default=1) == n_threads
        for n_threads in (9, 64, 10**6):
            asked.clear()
            assert fit(0, n_threads) == expected[0]
            assert max(asked) == 8
        assert kmeans(X, 7, n_threads=3).report.n_threads == 3
        assert numba.get_num_threads() == before == 8
        print(threading.active_count() - 1)
    """
    assert int(run(script(bits, code), env={"NUMBA_NUM_THREADS": "8"})) <= 7


def test_fit_while_the_interpreter_shuts_down(bits):
    code = """
        import atexit
        assert fit(0) == expected[0]
        atexit.register(lambda: print(fit(0) == expected[0]))
    """
    assert run(script(bits, code)) == "True"
