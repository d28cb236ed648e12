"""The flight recorder: the last seconds, written when something has happened; and from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import WATCHDOG_SECONDS, ManualClock, run_program
from stichotrope import Profiler
from stichotrope._slow import finish, wait_until_told
from stichotrope.store.timeline import load_timeline, timelines_in
from test_perfetto import slices_of

pytestmark = pytest.mark.unit

Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture
def p() -> Profiler:
    """A profiler that keeps a timeline."""
    return Profiler("shop", timeline=1024)


@pytest.fixture(autouse=True)
def hooks_as_they_were() -> Iterator[None]:
    """What is set for the whole process is put back."""
    hooks = sys.excepthook, threading.excepthook
    yield
    finish()
    sys.excepthook, threading.excepthook = hooks


def files(directory: Path) -> list[Path]:
    """The files of a directory, in order; without what is being written."""
    return sorted(path for path in directory.iterdir() if not path.name.startswith("."))


def test_a_slow_pass_has_the_last_seconds_written(
    clock: ManualClock, tmp_path: Path, eventually: Eventually
) -> None:
    """Of a block that is there, or is made later; quick ones have nothing written."""
    p = Profiler("shop", timeline=1024)
    watch = p.on_slow("request", over="200ms", to=tmp_path, every="1ns")
    for ns in (199_999_999, 200_000_000):
        with p.block("web", "request", tag="r1"), p.block("db", "query"):
            clock.advance(ns)
    eventually(lambda: len(files(tmp_path)) == 1)
    (path,) = files(tmp_path)
    assert path.name.startswith("shop-2")
    assert "-slow_request_" in path.name
    assert path.name.endswith(".pftrace")
    found = slices_of(path.read_bytes())
    assert [each.name for each in found if each.notes] == ["request", "request"]
    watch.stop()
    with p.block("web", "request"):
        clock.advance(210_000_000)
    wait_until_told()
    assert len(files(tmp_path)) == 1


def test_there_are_so_many_files_and_one_an_interval(p: Profiler, tmp_path: Path) -> None:
    """The oldest are removed, and those of others stay."""
    from stichotrope._flight import Dumps

    (tmp_path / "shop-20000101T000000.txt").write_text("another's")
    (tmp_path / "other-20000101T000000.pftrace").write_text("another's")
    with p.block(0, "x"):
        pass
    dumps = Dumps.of(tmp_path, "5s", 2, "1ns")
    made = [dumps.write(p, f"n{number}") for number in range(4)]
    left = [str(path) for path in files(tmp_path) if path.suffix == ".pftrace"]
    assert left[1:] == made[2:]
    assert len(files(tmp_path)) == 4
    rare = Dumps.of(tmp_path, 5, 20, "60s")
    assert rare.write(p, "first")
    assert rare.write(p, "second") is None


def test_a_fork_goes_on_watching(tmp_path: Path) -> None:
    """Its own passes, from a thread of its own."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    done = run_program(f"""
import os, sys, time
from stichotrope import Profiler
p = Profiler("forks", timeline=128)
p.on_slow("x", over="1ms", to={str(tmp_path)!r}, every="1ns")
pid = os.fork()
if pid:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with p.block(0, "x"): time.sleep(0.005)
end = time.monotonic() + {WATCHDOG_SECONDS}
def written(): return any(name.endswith(".pftrace") for name in os.listdir({str(tmp_path)!r}))
while not written() and time.monotonic() < end: time.sleep(0.01)
os._exit(0)
""")
    assert done.returncode == 0, done.stderr
    (path,) = files(tmp_path)
    assert [each.name for each in slices_of(path.read_bytes())] == ["x"]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signal")
def test_a_signal(p: Profiler, tmp_path: Path, eventually: Eventually) -> None:
    """Has it written while the program goes on; one that is taken is refused."""
    before = signal.getsignal(signal.SIGUSR2)
    undo = p.dump_on_signal(signal.SIGUSR2, to=tmp_path)
    with pytest.raises(ValueError, match="SIGUSR2 is taken already, by"):
        p.dump_on_signal(signal.SIGUSR2, to=tmp_path)
    with p.block(0, "x"):
        os.kill(os.getpid(), signal.SIGUSR2)
    eventually(lambda: len(files(tmp_path)) == 1)
    undo()
    assert signal.getsignal(signal.SIGUSR2) == before
    assert files(tmp_path)[0].name.endswith("-signal.pftrace")


def test_an_exception_that_ends_the_program(tmp_path: Path) -> None:
    """Is shown as always, and what was before it is written; so in a thread."""
    for ending in ("raise KeyError(1)", "t = threading.Thread(target=f); t.start(); t.join()"):
        done = run_program(f"""
import threading
from stichotrope import Profiler
p = Profiler("ends", timeline=128)
p.dump_on_exception(to={str(tmp_path)!r})
def f():
    with p.block(0, "fails"):
        raise KeyError(1)
with p.block(0, "before"): pass
{ending}
""")
        assert "KeyError: 1" in done.stderr
        path = files(tmp_path)[-1]
        assert path.name.endswith("-error_KeyError.pftrace")
        assert slices_of(path.read_bytes())[0].name == "before"
    assert len(files(tmp_path)) == 2


def test_by_call(p: Profiler, tmp_path: Path) -> None:
    """Into a file, or a new one in a directory."""
    with p.block(0, "x"):
        pass
    named = tmp_path / "my.pftrace"
    assert p.dump_timeline(named) == str(named)
    inside = p.dump_timeline(tmp_path, keep="5s")
    assert inside.endswith("-asked.pftrace")
    for path in (str(named), inside):
        assert [each.name for each in slices_of(Path(path).read_bytes())] == ["x"]


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"over": "soon"}, ValueError, "over is a number with ns, us, ms or s behind it"),
        ({"over": -1}, ValueError, "over must be more than 0 s, and finite, not -1"),
        ({"over": None}, TypeError, "not None of type NoneType"),
        ({"keep": 0}, ValueError, "keep must be more than 0 s, and finite, not 0"),
        ({"every": "x"}, ValueError, "every is a number with ns, us, ms or s behind it"),
        ({"most": 0}, ValueError, "most must lie between 1 and 1,000,000, not 0"),
        ({"to": ""}, ValueError, "a path must be non-empty"),
        ({"to": None}, TypeError, "must be callable: None"),
        ({"block": 3}, TypeError, "the name of the blocks must be a str"),
    ],
)
def test_what_makes_no_sense(
    p: Profiler, tmp_path: Path, given: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    """Is refused with a sentence, and nothing is watched."""
    options = {"block": "x", "over": 1, "to": tmp_path, **given}
    with pytest.raises(error) as raised:
        p.on_slow(**options)
    assert sentence in str(raised.value)
    with pytest.raises(ValueError, match="keeps no timeline"):
        Profiler("none").on_slow("x", over=1, to=tmp_path)


def test_a_directory_that_is_gone_is_a_warning(p: Profiler, tmp_path: Path) -> None:
    """The program goes on, and so does recording."""
    from stichotrope._flight import Dumps, attempt

    dumps = Dumps.of(tmp_path / "gone", 1, 1, 1)
    os.rmdir(tmp_path / "gone")
    with pytest.warns(RuntimeWarning, match="the timeline could not be written to"):
        attempt(lambda: dumps.write(p, "x"), dumps.directory)


# In a store

stores = pytest.mark.skipif(sys.platform == "win32", reason="no mapped files")


@stores
def test_the_file_has_what_the_process_has(tmp_path: Path) -> None:
    """Of threads that live and of those that ended, with tags, whole and wrapped."""
    p = Profiler("kept", timeline=256, store=tmp_path)

    def work(count: int) -> None:
        for number in range(count):
            with p.block("w", "work", tag=f"t{number % 7}"), p.block("w", "inner", tag=number):
                pass

    for count in (10, 300):
        thread = threading.Thread(target=work, args=(count,))
        thread.start()
        thread.join()
        work(count)
        here = p.timeline()
        (there,) = timelines_in([str(tmp_path)])
        assert sorted(rows(there)) == sorted(rows(here))
    assert there.metadata["process"] == os.getpid()
    p.clear()
    assert timelines_in([str(tmp_path)]) == []


def rows(timeline: Any) -> list[tuple[Any, ...]]:
    """What two timelines of one process have alike: the clock's rate may differ."""
    return [(e.block.name, e.block.track_name, e.thread.key, e.depth, e.tag) for e in timeline]


@stores
def test_what_was_recorded_before_the_store_moves_into_it(tmp_path: Path) -> None:
    """The calling thread's, its ring and its texts."""
    p = Profiler("moves", timeline=512)
    for number in range(300):
        with p.block(0, "x", tag=f"t{number}"):
            pass
    p.keep_in(tmp_path)
    (there,) = timelines_in([str(tmp_path)])
    assert rows(there) == rows(p.timeline())
    assert there[299].tag == "t299"


@stores
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_the_last_seconds_before_a_kill(tmp_path: Path, end: str) -> None:
    """Are in the file, and `report` writes them."""
    done = run_program(f"""
import os
from stichotrope import Profiler
p = Profiler("killed", timeline=1000, store={str(tmp_path)!r})
for number in range(5000):
    with p.block("web", "request", tag=f"r{{number}}"): pass
with p.block("storage", "look up"):
    {end}
""")
    assert done.returncode in (0, -9)
    (path,) = [str(each) for each in files(tmp_path) if each.suffix == ".stichotrope"]
    timeline = load_timeline(path)
    assert len(timeline) == 1023
    assert [each.tag for each in timeline] == [f"r{number}" for number in range(3977, 5000)]
    assert timeline.thread_list[0].lost == 3977
    assert not timeline.thread_list[0].alive
    assert timeline.metadata["state"] == "killed"


@stores
def test_a_file_that_is_damaged_is_refused_or_read_in_part(tmp_path: Path) -> None:
    """Whatever bytes are in it, it is no crash."""
    import random

    from stichotrope import ResultsFormatError

    run_program(f"""
import os
from stichotrope import Profiler
p = Profiler("x", timeline=300, store={str(tmp_path)!r})
for number in range(500):
    with p.block("web", "request", tag=f"r{{number}}"): pass
os._exit(0)
""")
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    chance = random.Random(3)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 10, 1000))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        other = tmp_path / "other.stichotrope"
        other.write_bytes(data[: chance.choice((len(data), len(data) // 2))])
        with contextlib.suppress(ResultsFormatError):
            timeline = load_timeline(str(other))
            assert list(timeline) is not None


@stores
def test_a_fork_leaves_the_parents_file_alone(tmp_path: Path) -> None:
    """And has its own, with its own passes."""
    done = run_program(f"""
import os, sys
from stichotrope import Profiler
p = Profiler("forks", timeline=1000, store={str(tmp_path)!r})
for _ in range(10):
    with p.block(0, "parent"): pass
pid = os.fork()
name = "parent" if pid else "child"
for _ in range(5):
    with p.block(0, name): pass
if not pid: os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) and 3)
""")
    assert done.returncode == 0, done.stderr
    found = timelines_in([str(tmp_path)])
    assert sorted((len(one), {each.block.name for each in one} == {"child"}) for one in found) == [
        (5, True),
        (15, False),
    ]


@stores
def test_a_reader_of_a_running_process_sees_whole_passes(tmp_path: Path) -> None:
    """Each with what belongs together: its tag is its number, and they are in order."""
    program = f"""
import threading
from stichotrope import Profiler
p = Profiler("runs", timeline=200, store={str(tmp_path)!r})
def work():
    number = 0
    while True:
        with p.block(0, "x", tag=number): pass
        number += 1
for _ in range(2): threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(30):
            for timeline in timelines_in([str(tmp_path)]):
                by_thread: dict[int, list[Any]] = {}
                for each in timeline:
                    by_thread.setdefault(each.thread.key, []).append(each.tag)
                for tags in by_thread.values():
                    assert tags == list(range(tags[0], tags[0] + len(tags)))
    finally:
        process.kill()
        process.communicate()


@stores
def test_dump_from_outside(tmp_path: Path) -> None:
    """`stichotrope dump PID` writes what a process that hangs has done, and says what is missing."""
    program = f"""
from stichotrope import Profiler
p = Profiler("hangs", timeline=200, store={str(tmp_path / "store")!r})
for number in range(5):
    with p.block("web", "request", tag=number): pass
print("ready", flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    target = tmp_path / "hangs.pftrace"
    command = [sys.executable, "-m", "stichotrope", "dump", str(process.pid)]
    command += ["-o", str(target), "--store", str(tmp_path / "store")]
    try:
        assert process.stdout is not None
        process.stdout.readline()
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout == "hangs.pftrace: 5 passes; https://ui.perfetto.dev shows them\n"
        assert [each.notes["tag"] for each in slices_of(target.read_bytes())] == list(range(5))
    finally:
        process.kill()
        process.communicate()
    missing = [sys.executable, "-m", "stichotrope", "dump", str(process.pid)]
    done = subprocess.run(missing, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert f"there is no process {process.pid}" in done.stderr
