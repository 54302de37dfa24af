"""A fit that ends early: Ctrl-C, callback, max_time; and goes on from a checkpoint."""

import sys
import warnings

import numpy as np
import pytest
from scripts import run, script

import fastkm
from fastkm import ClusterClassifier, KMeans, checkpoint, kmeans
from fastkm.engines import ENGINES


@pytest.fixture
def X(rng):
    return rng.normal(size=(3000, 6)) * rng.gamma(1.0, size=6)


def bits(result):
    return (
        result.centers.tobytes(),
        result.labels.tobytes(),
        result.inertia,
        result.n_iter,
        result.report.shifts,
        result.report.n_changed,
        result.report.n_refilled,
        result.report.inertias,
        result.report.best_run,
        result.report.stop,
    )


def stop_after(n):
    """Callback that stops the fit after n iterations in all."""
    states = []

    def callback(state):
        states.append(state)
        return len(states) == n

    callback.states = states
    return callback


def test_callback_sees_every_iteration(X):
    seen = []
    result = kmeans(X, 5, n_init=3, random_state=0, callback=seen.append)
    best = [state for state in seen if state.run == result.report.best_run]
    assert [state.iteration for state in best] == [*range(1, result.n_iter + 1)]
    assert [state.shift for state in best] == result.report.shifts
    assert [state.n_changed for state in best] == result.report.n_changed
    assert [state.run for state in seen] == sorted(state.run for state in seen)
    seconds = [state.seconds for state in seen]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert bits(result) == bits(kmeans(X, 5, n_init=3, random_state=0))
    with pytest.raises(ValueError, match="read-only"):
        seen[0].centers[0] = 0


def test_centers_given_to_a_callback_stay_as_they_were(X):
    """Each equals the centers of a fit of so many iterations."""
    kept = []
    kmeans(X, 5, init=X[:5], tol=0, callback=lambda s: kept.append(s.centers))
    for n in (1, 2, 5):
        few = kmeans(X, 5, init=X[:5], tol=0, max_iter=n)
        assert np.array_equal(kept[n - 1], few.centers)


@pytest.mark.parametrize("engine", ENGINES)
def test_callback_stops_with_what_there_is(engine, X):
    result = kmeans(
        X, 5, init=X[:5], tol=0, engine=engine, callback=lambda s: s.iteration == 4
    )
    expected = kmeans(X, 5, init=X[:5], tol=0, max_iter=4)
    assert result.report.stop == "callback"
    assert bits(result)[:-1] == bits(expected)[:-1]


def test_callback_stops_the_restarts_too(X):
    result = kmeans(X, 5, n_init=9, random_state=0, callback=lambda s: s.run == 2)
    assert len(result.report.inertias) == 3
    assert result.inertia == min(result.report.inertias)
    assert result.report.stop == "callback"


def test_stop_in_the_last_iteration_stops_the_restarts(X):
    whole = kmeans(X, 5, init=X[:5], tol=0)
    result = kmeans(X, 5, init=X[:5], tol=0, callback=stop_after(whole.n_iter))
    assert result.report.stop == "callback"
    assert bits(result)[:-1] == bits(whole)[:-1]


def test_what_a_callback_raises_comes_out(X):
    class Enough(Exception):
        pass

    def callback(state):
        raise Enough

    with pytest.raises(Enough):
        kmeans(X, 5, callback=callback)


def test_max_time(X, monkeypatch):
    clock = iter(np.arange(0.0, 1000.0, 10.0))  # ten seconds per look
    monkeypatch.setattr(fastkm.monitor.time, "perf_counter", lambda: next(clock))
    result = kmeans(X, 5, init=X[:5], tol=0, max_time=35)
    assert result.report.stop == "max_time"
    assert result.n_iter == 4  # after 10, 20, 30 and 40 seconds
    assert np.array_equal(
        result.centers, kmeans(X, 5, init=X[:5], tol=0, max_iter=4).centers
    )


def test_one_iteration_is_always_done(X):
    result = kmeans(X, 5, n_init=5, max_time=1e-9, random_state=0)
    assert result.n_iter == 1 and len(result.report.inertias) == 1
    assert np.array_equal(result.labels, fastkm.assign(X, result.centers)[0])


def test_estimators_take_all_of_it(X, tmp_path):
    options = {"callback": lambda s: True, "max_time": 9, "verbose": 0}
    options |= {"checkpoint": tmp_path / "fit"}
    model = KMeans(4, random_state=0, **options).fit(X)
    assert model.n_iter_ == 1 and model.report_.stop == "callback"
    assert (tmp_path / "fit").exists()
    options["checkpoint"] = None
    model = ClusterClassifier(4, random_state=0, **options).fit(X, X[:, 0] > 0)
    assert model.n_iter_ == 1


# Stops within the first run, at its end, in a later one, in the last.
@pytest.mark.parametrize("n", [1, 2, 7, 40, 90])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_fit_goes_on_to_the_same_bits(n, engine, X, tmp_path):
    path = tmp_path / "fit.checkpoint"
    options = {"n_init": 3, "init": "random", "random_state": 4, "tol": 0}
    whole = kmeans(X, 9, **options)
    stop = stop_after(n)
    kmeans(X, 9, engine=engine, checkpoint=path, callback=stop, **options)
    assert path.exists()
    seen = []
    again = kmeans(
        X, 9, engine=engine, checkpoint=path, callback=seen.append, **options
    )
    assert bits(again) == bits(whole)
    last = stop.states[-1]
    assert (seen[0].run, seen[0].iteration) > (last.run, last.iteration)
    assert not path.exists()


def test_many_interruptions(X, tmp_path):
    """Every call does a single iteration."""
    path = tmp_path / "fit"
    options = {"n_init": 2, "random_state": 1, "checkpoint": path}
    calls = 0
    result = kmeans(X, 6, callback=lambda s: True, **options)
    while path.exists():
        calls += 1
        result = kmeans(X, 6, callback=lambda s: True, **options)
    options["checkpoint"] = None
    assert calls > 20
    assert bits(result) == bits(kmeans(X, 6, **options))


def test_a_fit_with_weights_and_refilled_clusters_goes_on(X, tmp_path):
    path = tmp_path / "fit"
    options = {
        "init": np.vstack([X[:3], X[:3] + 1e6]),
        "sample_weight": np.arange(len(X)) % 3 / 7,
        "tol": 0,
    }
    whole = kmeans(X, 6, **options)
    assert whole.report.n_refilled > 0
    for n in (1, 2, 3):
        kmeans(X, 6, checkpoint=path, callback=stop_after(n), **options)
        assert bits(kmeans(X, 6, checkpoint=path, **options)) == bits(whole)


GENERATORS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_generator_goes_on(kind, X, tmp_path):
    def options():
        return {"n_init": 3, "random_state": np.random.Generator(kind(5))}

    path = tmp_path / "fit"
    kmeans(X, 4, checkpoint=path, callback=stop_after(2), **options())
    again = kmeans(X, 4, checkpoint=path, **options())
    assert bits(again) == bits(kmeans(X, 4, **options()))


def test_without_a_seed_the_draws_go_on(X, tmp_path):
    path = tmp_path / "fit"
    first = stop_after(1)
    kmeans(X, 4, n_init=2, checkpoint=path, callback=first)
    rest = []
    kmeans(X, 4, n_init=2, checkpoint=path, callback=rest.append)
    # The second iteration, from the centers that the first has left.
    again = kmeans(X, 4, init=first.states[0].centers, tol=0, max_iter=1)
    assert np.array_equal(rest[0].centers, again.centers)


def test_what_is_raised_in_seeding_leaves_a_checkpoint(X, tmp_path):
    path = tmp_path / "fit"
    fail = [False, False, True]

    def init(X, n_clusters, random_state):
        if fail and fail.pop(0):
            raise KeyboardInterrupt
        return X[random_state.choice(len(X), n_clusters, replace=False)]

    options = {"n_init": 4, "random_state": 8, "init": init, "checkpoint": path}
    with pytest.raises(KeyboardInterrupt):
        kmeans(X, 4, **options)
    seen = []
    again = kmeans(X, 4, callback=seen.append, **options)
    assert (seen[0].run, seen[0].iteration) == (2, 1)
    assert bits(again) == bits(kmeans(X, 4, **options))


def interrupted(X, path, **options):
    kmeans(X, 4, checkpoint=path, callback=stop_after(3), **options)


OTHER = {
    "n_clusters": (lambda X: X, {"n_clusters": 5}, ["n_clusters is 5", "4 there"]),
    "tol": (lambda X: X, {"tol": 0.5}, ["tol is 0.5 here", "0.0001 there"]),
    "max_iter": (lambda X: X, {"max_iter": 9}, ["max_iter is 9 here", "300 there"]),
    "n_init": (lambda X: X, {"n_init": 3}, ["n_init is 3 here", "1 there"]),
    "init": (lambda X: X, {"init": "farthest"}, ["init is 'farthest'", "k-means++"]),
    "seed": (lambda X: X, {"random_state": 1}, ["random_state is"]),
    "no seed": (lambda X: X, {"random_state": None}, ["random_state is None"]),
    "weights": (lambda X: X, {"sample_weight": np.arange(3000)}, ["sample_weight is"]),
    "a value of X": (lambda X: np.where(X == X[7, 1], 0, X), {}, ["X is"]),
    "fewer samples": (lambda X: X[1:], {}, ["n_samples is 2999", "3000 there"]),
    "dtype": (lambda X: X.astype("f4"), {}, ["dtype is 'float32'"]),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_checkpoint_of_another_fit_is_refused(name, X, tmp_path):
    path = tmp_path / "fit"
    interrupted(X, path, random_state=0)
    before = path.read_bytes()
    change, options, words = OTHER[name]
    options = {"n_clusters": 4, "random_state": 0} | options
    with pytest.raises(ValueError) as caught:
        kmeans(change(X), checkpoint=path, **options)
    for word in [str(path), "another fit", *words]:
        assert word in str(caught.value)
    assert path.read_bytes() == before


def write(path, arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


def damage(change):
    """Row: the file with some arrays changed."""

    def damaged(path):
        with np.load(path) as arrays:
            changed = change(dict(arrays))
        write(path, changed)

    return damaged


def text_with(old, new):
    return damage(
        lambda a: a | {"text": np.array(str(a["text"]).replace(old, new)[:99999])}
    )


DAMAGED = {
    "empty": (lambda path: path.write_bytes(b""), "no .npz"),
    "another file": (lambda path: path.write_bytes(b"abc"), "no .npz"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "as .npz"),
    "other arrays": (lambda path: write(path, {"X": 1}), "no checkpoint"),
    "version": (damage(lambda a: a | {"version": np.array(99)}), "another version"),
    "no text": (damage(lambda a: {k: a[k] for k in a if k != "text"}), "damaged"),
    "no JSON": (damage(lambda a: a | {"text": np.array("{")}), "damaged"),
    "JSON list": (damage(lambda a: a | {"text": np.array("[]")}), "damaged"),
    "iterations": (text_with('"n_iter": 3', '"n_iter": 4'), "damaged"),
    "iterations of text": (text_with('"n_iter": 3', '"n_iter": "3"'), "damaged"),
    "generator": (text_with("PCG64", "PCG65"), "damaged"),
    "best run": (text_with('"best_run": 0', '"best_run": 5'), "damaged"),
    "shape": (damage(lambda a: a | {"current_centers": np.ones((1, 1))}), "damaged"),
    "NaN": (
        damage(lambda a: a | {"current_centers": a["current_centers"] * np.nan}),
        "damaged",
    ),
    "objects": (
        damage(lambda a: a | {"current_centers": np.array([None], object)}),
        "as .npz",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_checkpoint_is_refused(name, X, tmp_path):
    path = tmp_path / "fit"
    interrupted(X, path, random_state=0)
    spoil, words = DAMAGED[name]
    spoil(path)
    with pytest.raises(ValueError, match=words) as caught:
        kmeans(X, 4, checkpoint=path, random_state=0)
    assert str(path) in str(caught.value)


def test_a_checkpoint_that_cannot_be_written_is_told_first(X, tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint.files, "replacing", refuse)
    with pytest.raises(OSError, match="No space left"):
        kmeans(X, 4, checkpoint=tmp_path / "fit", callback=lambda s: 1 / 0)


def test_verbose_shows_a_bar(X, capsys):
    kmeans(X, 4, n_init=2, random_state=0, verbose=1)
    shown = capsys.readouterr()
    assert "run 1 of 2" in shown.err and "run 2 of 2" in shown.err
    assert "labels changed" in shown.err
    assert not shown.out


def test_verbose_writes_lines_without_tqdm(X, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    result = kmeans(X, 4, n_init=2, random_state=0, verbose=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= result.n_iter + 1
    assert lines[0].startswith("fastkm: run 1 of 2, iteration 1: 3000 labels changed")


def test_silent_unless_asked(X, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kmeans(X, 4, random_state=0)
    assert capsys.readouterr() == ("", "")


# A shell that starts the tests in the background may have Ctrl-C ignored.
LONG = """
    import signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.default_rng(0)
    X = rng.random((60_000, 40))
    def work(**options):
        options = {"n_threads": 4} | options
        if options.pop("only_seeds", False):
            return fastkm.kmeans_plusplus(X, **options)
        return kmeans(X, **options)
    import fastkm
    work(**OPTIONS | SHORT)  # compiled
    expected = fit(3)
    pid = os.getpid()
    threading.Timer(0.3, os.kill, (pid, signal.SIGINT)).start()
    start = time.perf_counter()
    try:
        work(**OPTIONS)
        print("was not interrupted")
    except KeyboardInterrupt:
        seconds = time.perf_counter() - start
        time.sleep(1.0)
        # Idle threads of the pool may be left, none that works.
        before = time.process_time()
        time.sleep(0.3)
        working = time.process_time() - before
        again = fit(3) == expected
        print("stopped" if again and working < 0.1 and seconds < 10 else
              (again, working, seconds))
"""
FITS = {
    "iterations": (
        {"n_clusters": 300, "init": "random", "n_init": 1, "max_iter": 10**6, "tol": 0},
        {"max_iter": 2},
    ),
    "restarts": (
        {"n_clusters": 3, "init": "random", "n_init": 10**6},
        {"n_init": 2},
    ),
    "k-means++": ({"n_clusters": 20_000}, {"n_clusters": 50, "max_iter": 1}),
    "farthest": (
        {"n_clusters": 20_000, "init": "farthest"},
        {"n_clusters": 50, "max_iter": 1},
    ),
    "seeds": ({"n_clusters": 20_000, "only_seeds": True}, {"n_clusters": 50}),
}


@pytest.mark.parametrize("name", FITS)
def test_ctrl_c_stops_soon_and_leaves_all_usable(name):
    """The work would take minutes; ten seconds are room for a busy machine."""
    options, short = FITS[name]
    values = f"OPTIONS = {options!r}\nSHORT = {short!r}"
    assert run(script(values, LONG)) == "stopped"


def test_a_fit_goes_on_after_ctrl_c(tmp_path):
    code = """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        options = {"n_init": 10**6, "init": "random", "random_state": 0}
        options |= {"checkpoint": sys.argv[1], "max_iter": 7, "tol": 0}
        interrupt = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        def start(state):
            if (state.run, state.iteration) == (2, 1):
                interrupt.start()
        try:
            kmeans(X, 7, callback=start, **options)
        except KeyboardInterrupt:
            pass
        seen = []
        def stop(state):
            seen.append(state)
            return state.run > seen[0].run
        again = kmeans(X, 7, callback=stop, **options)
        del options["checkpoint"]
        n_runs = seen[-1].run + 1
        whole = kmeans(X, 7, **options | {"n_init": n_runs})
        assert seen[0].run >= 2
        # The last run was stopped after its first iteration.
        assert again.report.inertias[:-1] == whole.report.inertias[:-1]
        print("the same")
    """
    assert run(script(code), str(tmp_path / "fit")) == "the same"
