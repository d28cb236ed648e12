"""What all tests share: the injected clock, threads, and a check that nothing is left behind."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import hypothesis
import pytest

import stichotrope
from stichotrope import (
    ProfileBlock,
    Profiler,
    _core,
    profiler,
    set_global_enabled,
)
from stichotrope.config import clock as clocks
from stichotrope.results import Figures
from stichotrope.snapshot import take

TESTS = Path(__file__).resolve().parent
CHECKOUT_SOURCES = TESTS.parent / "src"

# Far beyond what any wait in a test takes: reaching it means that somebody waits for ever.
WATCHDOG_SECONDS = 300.0

_failed = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Refuse to test anything but the installed package, unless the tree was asked for; set the switch interval."""
    tested = Path(stichotrope.__file__).resolve()
    if os.environ.get("STICHOTROPE_TEST_TREE") != "1" and CHECKOUT_SOURCES in tested.parents:
        pytest.exit(
            f"the tests would run against {tested}, not against an installed package; "
            "set STICHOTROPE_TEST_TREE=1 if that is meant",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    # What a shell puts in the background, or nohup starts, is deaf to these, and so would be what the tests start.
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", lambda *_: None)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    interval = os.environ.get("STICHOTROPE_TEST_SWITCH_INTERVAL")
    if interval:
        sys.setswitchinterval(float(interval))
    # No example is judged by how long it takes, or takes to be made up.
    hypothesis.settings.register_profile(
        "stichotrope",
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("stichotrope")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what is no part of the package, the programs and the tool that measure it, into the second tier: make test-all.

    First of all, as what is left out is chosen by marks.
    """
    for item in items:
        place = item.path.relative_to(TESTS)
        if place.parts[0] == "workloads" or place.name.startswith("test_bench"):
            item.add_marker(pytest.mark.extended)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Note failures, and let go of what their frames refer to: the next test is not to blame."""
    outcome: Any = yield
    if outcome.get_result().failed:
        item.stash[_failed] = True
    if call.excinfo is not None and not item.config.getoption("usepdb"):
        traceback.clear_frames(call.excinfo.tb)


def pytest_collection_finish() -> None:
    """Keep what has been imported out of collections, of which tests ask for thousands."""
    gc.collect()
    gc.freeze()


# Where no directory can be kept from being written to: on Windows, and by root but on Linux.
PERMISSIONS_BIND = sys.platform.startswith("linux") or getattr(os, "geteuid", lambda: 0)() != 0

_CAPABILITIES_3 = 0x20080522  # the version of the system call's header
_CAP_DAC_OVERRIDE = 1 << 1


@contextlib.contextmanager
def without_override() -> Iterator[None]:
    """Keep the calling thread, though it is root's, to what permissions say; capget(2) has the layout."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the upper halves
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    effective = sets[0]
    sets[0] &= ~_CAP_DAC_OVERRIDE
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a directory one that can be read only, by root too."""
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with without_override() if os.geteuid() == 0 else contextlib.nullcontext():
            yield
    finally:
        folder.chmod(stat.S_IRWXU)


# Once a thread was started, CPython 3.13 without the GIL lets go of no class, nor of what one refers to.
KEEPS_CLASSES = sys.version_info < (3, 14) and not getattr(sys, "_is_gil_enabled", lambda: True)()


def _profilers() -> set[int]:
    return set(profiler._PROFILER_REGISTRY)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Restore clock and switches, and fail a test that leaves threads or profilers alive."""
    if hasattr(sys, "last_value"):
        # pytest keeps the last failure's frames there until the next test is called.
        sys.last_value = sys.last_traceback = sys.last_exc = None  # type: ignore[attr-defined]
        gc.collect()
    # What a pass costs is measured once in a process: in each test anew, as its clock is its own.
    take._overhead_ns.clear()
    profilers, stores = _profilers(), _core.memory()["stores"]
    threads = set(threading.enumerate())
    source, interval = _core.clock_source(), sys.getswitchinterval()
    yield
    if _core.clock_source() != source:
        clocks.choose()
    sys.setswitchinterval(interval)
    set_global_enabled(True)
    if request.node.stash.get(_failed, False):
        return
    request.node.funcargs.clear()  # what other fixtures gave to the test
    if _profilers() - profilers or _core.memory()["stores"] > stores:
        gc.collect()
    if not KEEPS_CLASSES:
        assert not _profilers() - profilers, "the test left profilers alive"
        assert _core.memory()["stores"] <= stores, "the test left what a profiler recorded"
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:
        thread.join(WATCHDOG_SECONDS / 2)  # it may be about to end
    left = [thread for thread in left if thread.is_alive()]
    assert not left, f"the test left threads running: {left}"


def recorded(source: Profiler | Figures) -> dict[str, ProfileBlock]:
    """Block name → its figures, of a profiler whose names differ or of its results."""
    results = source.get_results() if isinstance(source, Profiler) else source
    found = [block for track in results.tracks.values() for block in track.blocks]
    by_name = {block.name: block for block in found}
    assert len(by_name) == len(found), "two blocks have one name: look them up by track and index"
    return by_name


def hits(source: Profiler | Figures) -> dict[str, int]:
    """Block name → passes, of a profiler whose names differ or of its results."""
    return {name: block.hit_count for name, block in recorded(source).items()}


def run_program(program: str, *options: str, **environment: str) -> CompletedProcess[str]:
    """Run a program in an interpreter of its own, with what is imported here on its path."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
        check=False,
    )


def outcome(done: CompletedProcess[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    return done.returncode, done.stdout, done.stderr


class ManualClock:
    """The injected clock: it moves when it is told to, on each thread by itself, from 0 on."""

    def __init__(self) -> None:
        self._here = threading.local()
        _core.use_clock("manual")
        self.set(0)

    @property
    def now(self) -> int:
        """What it shows on this thread, in ns."""
        return getattr(self._here, "ns", 0)

    def set(self, ns: int) -> None:
        """Make it show a time on this thread."""
        self._here.ns = ns
        _core.set_manual_ticks(ns)

    def advance(self, ns: int) -> None:
        """Move it on this thread."""
        self.set(self.now + ns)


@pytest.fixture
def clock() -> ManualClock:
    """The injected clock, in use until the end of the test. By it a pass costs next to nothing, as reports see it."""
    take._overhead_ns.update({False: 0.001, True: 0.001})
    return ManualClock()


class Threads:
    """Runs functions in threads of their own; whoever does not come back in time fails the test."""

    def together(self, *functions: Callable[[], Any]) -> list[Any]:
        """Run all functions at the same time, and return what they return."""
        ready = threading.Barrier(len(functions))

        def begin(function: Callable[[], Any]) -> Any:
            ready.wait(WATCHDOG_SECONDS)
            return function()

        return self.spawn(*(lambda f=f: begin(f) for f in functions))()

    def spawn(self, *functions: Callable[[], Any]) -> Callable[[], list[Any]]:
        """Start a thread for each function; the result waits for what they return."""
        results: list[Any] = [None] * len(functions)
        errors: list[BaseException] = []

        def work(place: int) -> None:
            try:
                results[place] = functions[place]()
            except BaseException as error:
                errors.append(error)

        # Daemons, so that those of a test that failed do not keep the process from ending.
        workers = [
            threading.Thread(target=work, args=(i,), name=f"worker {i}", daemon=True)
            for i in range(len(functions))
        ]
        for worker in workers:
            worker.start()

        def join() -> list[Any]:
            for worker in workers:
                join_in_time(worker)
            if errors:
                raise errors.pop()
            return results

        return join

    def one_by_one(self, *functions: Callable[[], Any]) -> list[Any]:
        """Run each function in a thread of its own, the next when the one before has ended."""
        return [self.spawn(function)()[0] for function in functions]


def join_in_time(thread: threading.Thread) -> None:
    """Wait for a thread's end, and say where everybody is when it does not come."""
    thread.join(WATCHDOG_SECONDS)
    if thread.is_alive():
        faulthandler.dump_traceback(all_threads=True)
        pytest.fail(f"{thread.name} did not end within {WATCHDOG_SECONDS:.0f} s")
    # A joined thread may still be on its way out, and what is read then does not show it as ended.
    if sys.platform == "linux" and thread.native_id is not None:
        deadline = time.monotonic() + WATCHDOG_SECONDS
        while os.path.exists(f"/proc/self/task/{thread.native_id}"):
            assert time.monotonic() < deadline, f"{thread.name} does not leave"
            time.sleep(0)


@pytest.fixture
def threads() -> Threads:
    """A way to run functions in threads."""
    return Threads()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait for what the system does in its own time, such as taking down a joined thread."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WATCHDOG_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.001)

    return wait


@pytest.fixture(
    params=[None, pytest.param(1e-6, marks=pytest.mark.extended)],
    ids=["usual switching", "frantic switching"],
)
def switching(request: pytest.FixtureRequest) -> None:
    """Run a test twice: as usual, and with threads taking turns as often as the interpreter can."""
    if request.param is not None:
        sys.setswitchinterval(request.param)
