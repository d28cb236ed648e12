"""The three locks: always taken in one order, by every path, and by no thread that records."""

from __future__ import annotations

import asyncio
import colorsys
import contextlib
import gc
import io
import os
import signal
import threading
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Threads, hits
from stichotrope import Profiler, _slow, config, is_global_enabled, profiler, set_global_enabled

pytestmark = [pytest.mark.unit, pytest.mark.thread_safety]

NAMES = ("_REGISTRY_LOCK", "_GLOBAL_CACHE_LOCK", "Profiler._global_lock")


class WatchedLock:
    """A re-entrant lock that notes when it is taken while a later one is held."""

    def __init__(self, watch: Watch, rank: int) -> None:
        self.watch = watch
        self.rank = rank
        self.lock = threading.RLock()

    def __enter__(self) -> bool:
        self.watch.note(self)
        self.lock.acquire()
        self.watch.held().append(self)
        return True

    def __exit__(self, *error: object) -> None:
        self.watch.held().remove(self)
        self.lock.release()

    def _at_fork_reinit(self) -> None:
        self.lock._at_fork_reinit()  # type: ignore[attr-defined]


class Watch:
    """What was taken while what was held."""

    def __init__(self) -> None:
        self.here = threading.local()
        self.taken: set[int] = set()
        self.wrong: list[str] = []

    def held(self) -> list[WatchedLock]:
        """The locks that this thread holds, in the order in which it took them."""
        if not hasattr(self.here, "held"):
            self.here.held = []
        found: list[WatchedLock] = self.here.held
        return found

    def note(self, lock: WatchedLock) -> None:
        """Somebody is about to take a lock."""
        held = self.held()
        self.taken.add(lock.rank)
        later = [other for other in held if other.rank >= lock.rank and other is not lock]
        if lock not in held and later:
            names = ", ".join(NAMES[other.rank] for other in later)
            self.wrong.append(f"{NAMES[lock.rank]} was taken while {names} was held")

    def verdict(self) -> tuple[list[str], list[WatchedLock]]:
        """What went wrong, and what this thread still holds."""
        return self.wrong, self.held()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watched locks in place of the real ones, also in profilers that are made from now on."""
    watch = Watch()

    class Threading(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(threading, name)

        def RLock(self) -> WatchedLock:  # noqa: N802
            return WatchedLock(watch, 2)

    monkeypatch.setattr(profiler, "_REGISTRY_LOCK", WatchedLock(watch, 0))
    monkeypatch.setattr(profiler, "_GLOBAL_CACHE_LOCK", WatchedLock(watch, 1))
    monkeypatch.setattr(profiler, "threading", Threading("threading"))
    return watch


def plain(*args: Any) -> None:
    """Do nothing."""


def decorate(p: Profiler, tmp_path: Path) -> None:
    """Track functions and descriptors, under new and under known names, and call them."""
    track: Any = p.track(0)
    for _ in range(2):
        track(plain)()
        p.track("named", "other")(plain)()
        kinds = {"s": track(staticmethod(plain)), "c": track(classmethod(plain))}
        owner: Any = type("Owner", (), {**kinds, "p": track(property(plain)), "m": track(plain)})()
        owner.s(), owner.c(), owner.m(), owner.p


def decorate_class(p: Profiler, tmp_path: Path) -> None:
    """Track the methods of a new class."""
    p.track_class("classes")(type("Owner", (), {"method": lambda self: None}))().method()


def decorate_module(p: Profiler, tmp_path: Path) -> None:
    """Track the functions of a new module."""
    module = types.ModuleType("made")
    exec("def function(): pass", module.__dict__)
    p.track_module(0, module)
    module.function()


def timed() -> Profiler:
    """A profiler with a timeline."""
    made = Profiler("timed", timeline=128)
    with made.block(0, "x"):
        pass
    return made


def dump_on_signal(p: Profiler, tmp_path: Path) -> None:
    """Have a signal write the timeline, where there are signals for it, and it is the main thread."""
    number = getattr(signal, "SIGUSR2", None)
    if number is not None and threading.current_thread() is threading.main_thread():
        timed().dump_on_signal(number, to=tmp_path / "dumps")()


def watch_slow_passes(p: Profiler, tmp_path: Path) -> None:
    """Have slow passes told of, and end who tells."""
    p.on_slow("same", 1000.0, print).stop()
    _slow.finish()


def track_and_untrack_code(p: Profiler, tmp_path: Path) -> None:
    """Choose functions of a module by a pattern, and leave them again."""
    p.track_code("colorsys:rgb_to_*", track="colours")
    colorsys.rgb_to_hls(0, 0, 0)
    p.untrack_code()


def enter_blocks(p: Profiler, tmp_path: Path) -> None:
    """Blocks on new and known call sites."""
    for i in range(6):
        with p.block(0, "same"), p.block(i % 2, f"{i}"), p.block("named", "x"):
            pass


def drop_and_make(p: Profiler, tmp_path: Path) -> None:
    """Let a profiler with blocks go, and make another, which forgets the first one's call sites."""
    gone = Profiler("gone")
    gone.block(0, "x")
    del gone
    gc.collect()
    Profiler("new")


def switch_globally(p: Profiler, tmp_path: Path) -> None:
    """Off and on, with several profilers."""
    others = [Profiler(f"{i}") for i in range(3)]
    for q in (p, *others):
        q.block(0, "x")
    set_global_enabled(False)
    is_global_enabled()  # whatever it says: other threads switch, too
    set_global_enabled(True)


def switch_tracks(p: Profiler, tmp_path: Path) -> None:
    """One that is known and one that may not be."""
    p.set_track_enabled(0, True)
    p.set_track_enabled("new", True)


def stop_and_start(p: Profiler, tmp_path: Path) -> None:
    """In a row."""
    p.stop()
    p.start()


def one_thread(p: Profiler, tmp_path: Path) -> None:
    """Results of a thread by its key."""
    for share in p.get_results().threads:
        with contextlib.suppress(KeyError):  # somebody else has cleared it
            p.get_results(thread=share.key)


def fork(p: Profiler, tmp_path: Path) -> None:
    """The child drives a path too."""
    if not hasattr(os, "fork"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        p.block(0, "child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


FORMS = ("collapsed", "csv", "html", "json", "pprof", "pstats", "speedscope")


def export_as(form: str) -> Callable[[Profiler, Path], Any]:
    """Write a file of a form, of each thread's own."""

    def export(p: Profiler, tmp_path: Path) -> None:
        with contextlib.suppress(
            ValueError
        ):  # nothing has been recorded, of which pstats has no file
            getattr(p, f"export_{form}")(tmp_path / f"{threading.get_ident()}")

    return export


async def nothing() -> None:
    """Do nothing, when it is awaited."""


# Public name → what drives it; a new public name must be added here.
PATHS: dict[str, Callable[[Profiler, Path], Any]] = {
    "__init__": lambda p, tmp_path: Profiler("another"),
    "__repr__": lambda p, tmp_path: repr(p),
    "_all_thread_data": lambda p, tmp_path: p._all_thread_data,
    "block": enter_blocks,
    "clear": lambda p, tmp_path: p.clear(),
    "drop and make": drop_and_make,
    "gather": lambda p, tmp_path: p.gather(tmp_path / "gathered", period_s=1000),
    "configured": lambda p, tmp_path: Profiler.configured("another", config.load(os.devnull)),
    **{f"export_{form}": export_as(form) for form in FORMS},
    "get_results": lambda p, tmp_path: p.get_results().threads,
    "get_results of one thread": one_thread,
    "global switch": switch_globally,
    "is_started": lambda p, tmp_path: p.is_started(),
    "is_track_enabled": lambda p, tmp_path: [p.is_track_enabled(t) for t in (0, "named", 99)],
    "name": lambda p, tmp_path: p.name,
    "open_blocks": lambda p, tmp_path: p.open_blocks(),
    "print_results": lambda p, tmp_path: p.print_results(file=io.StringIO()),
    "repeat": lambda p, tmp_path: p.repeat(plain, count=2, warmup=0),
    "repeat_async": lambda p, tmp_path: asyncio.run(p.repeat_async(nothing, count=2, warmup=0)),
    "repeating": lambda p, tmp_path: [*p.repeating(0, "repeated", count=2)],
    "set_track_enabled": switch_tracks,
    "block_at": lambda p, tmp_path: p.block_at("named", "elsewhere", "else.py", 7),
    "enable_track": lambda p, tmp_path: p.enable_track("named"),
    "set_cpu": lambda p, tmp_path: p.set_cpu(True),
    "set_track_cpu": lambda p, tmp_path: p.set_track_cpu("named", False),
    "takes_cpu": lambda p, tmp_path: p.takes_cpu,
    "store": lambda p, tmp_path: p.store,
    "store_file": lambda p, tmp_path: p.store_file,
    "keep_in": lambda p, tmp_path: Profiler("kept").keep_in(tmp_path / "store"),
    "snapshot_delta": lambda p, tmp_path: p.snapshot_delta("reader"),
    "forget_reader": lambda p, tmp_path: p.forget_reader("reader"),
    "report_every": lambda p, tmp_path: p.report_every(1000, path=tmp_path / "report.txt").stop(),
    "disable_track": lambda p, tmp_path: p.disable_track("off"),
    "on_slow": watch_slow_passes,
    "dump_timeline": lambda p, tmp_path: timed().dump_timeline(tmp_path / "dump.json"),
    "dump_on_signal": dump_on_signal,
    "dump_on_exception": lambda p, tmp_path: timed().dump_on_exception(to=tmp_path / "dumps")(),
    "export_perfetto": lambda p, tmp_path: timed().export_perfetto(tmp_path / "perfetto"),
    "export_chrome": lambda p, tmp_path: timed().export_chrome(tmp_path / "chrome.json"),
    "timeline_size": lambda p, tmp_path: p.timeline_size,
    "keep_timeline": lambda p, tmp_path: Profiler("timeline").keep_timeline(128, tracks=["named"]),
    "set_track_timeline": lambda p, tmp_path: p.set_track_timeline("named", True),
    "timeline": lambda p, tmp_path: timed().timeline(),
    "set_track_name": lambda p, tmp_path: p.set_track_name(0, "zero"),
    "start": lambda p, tmp_path: p.start(),
    "stop": stop_and_start,
    "stop_gathering": lambda p, tmp_path: p.stop_gathering(),
    "track": decorate,
    "track_class": decorate_class,
    "track_module": decorate_module,
    "track_code": track_and_untrack_code,
    "untrack_code": track_and_untrack_code,
}


def test_every_public_name_is_driven() -> None:
    """Else the tests below would miss a path."""
    assert {name for name in dir(Profiler) if not name.startswith("_")} <= set(PATHS)


def test_the_watch_sees_a_wrong_order(watch: Watch) -> None:
    """It could not be trusted otherwise: later before earlier, and two of one kind."""
    first, second = WatchedLock(watch, 0), WatchedLock(watch, 2)
    with first, second, first:
        assert watch.wrong == []
    with second, first:
        pass
    with second, WatchedLock(watch, 2):
        pass
    assert watch.wrong == [
        "_REGISTRY_LOCK was taken while Profiler._global_lock was held",
        "Profiler._global_lock was taken while Profiler._global_lock was held",
    ]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_takes_the_locks_in_order(watch: Watch, path: str, tmp_path: Path) -> None:
    """Twice, so that what was new is known; and gives them all back."""
    p = Profiler("watched")
    enter_blocks(p, tmp_path)
    for _ in range(2):
        PATHS[path](p, tmp_path)
    assert watch.verdict() == ([], [])


def test_forking_takes_the_locks_in_order(watch: Watch, tmp_path: Path) -> None:
    """And gives them back, in the parent and in the child."""
    p = Profiler("watched")
    enter_blocks(p, tmp_path)
    fork(p, tmp_path)
    assert watch.verdict() == ([], [])


def test_the_paths_between_them_take_all_three(watch: Watch, tmp_path: Path) -> None:
    """So that the tests above have something to see."""
    p = Profiler("watched")
    for drive in PATHS.values():
        drive(p, tmp_path)
    assert watch.taken == {0, 1, 2}


def test_bad_input_gives_the_locks_back(watch: Watch) -> None:
    """Where it is refused while they are held."""
    p = Profiler("watched")
    p.set_track_name(0, "taken")
    with pytest.raises(ValueError, match="already"):
        p.set_track_name(1, "taken")
    assert watch.verdict() == ([], [])


@pytest.mark.usefixtures("switching")
def test_five_threads_take_the_locks_in_order(
    watch: Watch, threads: Threads, tmp_path: Path
) -> None:
    """Each drives all paths, on a shared profiler and on its own, in an order of its own."""
    shared = Profiler("shared")
    drives = list(PATHS.values())

    def work(shift: int) -> list[WatchedLock]:
        own = Profiler(f"own {shift}")
        for drive in drives[shift * 4 :] + drives[: shift * 4]:
            drive(shared, tmp_path)
            drive(own, tmp_path)
        return watch.held()

    held = threads.together(*(lambda i=i: work(i) for i in range(5)))
    assert (watch.wrong, held) == ([], [[]] * 5)


def test_a_thread_records_while_another_holds_every_lock(threads: Threads) -> None:
    """Its very first passes included: of a tracked function, a kept block and an inline one."""
    p = Profiler("unlocked")
    tracked, kept = p.track(0, "tracked")(plain), p.block(0, "kept")

    def record(times: int) -> None:
        for _ in range(times):
            tracked()
            with kept, p.block(0, "inline"):
                tracked()
            with pytest.raises(ZeroDivisionError), kept:
                _ = 1 / 0

    record(1)  # from here on the inline block's call site is known
    with profiler._REGISTRY_LOCK, profiler._GLOBAL_CACHE_LOCK, p._global_lock:
        threads.together(*(lambda: record(100) for _ in range(3)))
    assert hits(p) == {"tracked": 602, "kept": 602, "inline": 301}


def test_passes_go_through_switched_off_while_another_holds_every_lock(threads: Threads) -> None:
    """No switch is looked up under a lock."""
    p = Profiler("unlocked")
    tracked, kept = p.track(0, "tracked")(plain), p.block(0, "kept")
    p.stop()

    def pass_through() -> bool:
        with kept:
            tracked()
        return p.is_started() or not is_global_enabled()

    with profiler._REGISTRY_LOCK, profiler._GLOBAL_CACHE_LOCK, p._global_lock:
        assert threads.together(pass_through, pass_through) == [False, False]
    assert hits(p) == {"tracked": 0, "kept": 0}


def test_a_thread_reads_one_profiler_while_another_thread_holds_anothers_lock(
    threads: Threads,
) -> None:
    """Profilers do not hold each other up."""
    held, read = Profiler("held"), Profiler("read")
    with read.block(0, "x"):
        pass
    with held._global_lock:
        (found,) = threads.together(lambda: hits(read))
    assert found == {"x": 1}


def test_a_thread_ends_while_another_holds_every_lock(threads: Threads) -> None:
    """Handing over what it recorded needs none."""
    p = Profiler("unlocked")
    kept = p.block(0, "x")

    def record() -> None:
        with kept:
            pass

    with profiler._REGISTRY_LOCK, profiler._GLOBAL_CACHE_LOCK, p._global_lock:
        threads.one_by_one(*(record for _ in range(10)))
    assert (hits(p), len(p._all_thread_data)) == ({"x": 10}, 10)
