"""The store: what is recorded stands in a mapped file, which others read live, and which outlives its process."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ManualClock, Threads, hits, outcome, recorded, run_program
from moments import program
from moments.drawing import find
from stichotrope import Profiler, ProfilerResults
from stichotrope.results import ResultsFormatError
from stichotrope.store.compact import MOST_PROCESSES, compact
from stichotrope.store.live import Watch
from stichotrope.store.reader import KeptRecords, load_kept, paths_in
from stichotrope.store.said import Names
from stichotrope.store.timeline import load_timeline
from stichotrope.store.together import read_together
from test_moments import FAMILIES

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(sys.platform == "win32", reason="files are not mapped there"),
]


def the_file(store: Path) -> str:
    """The one file that a store has."""
    (path,) = paths_in(str(store))
    return path


def read(store: Path) -> ProfilerResults:
    """What the one file of a store holds."""
    return load_kept(the_file(store))


def shape(results: ProfilerResults) -> Any:
    """All figures of blocks, and the tree."""
    blocks = [
        (t.track_idx, t.track_name, t.enabled, t.total_time_ns, list(map(repr, t.blocks)))
        for t in results.tracks.values()
    ]
    return blocks, repr(results.tree), results.total_time_ns


# Live


def test_another_reader_sees_the_same_figures(
    tmp_path: Path, threads: Threads, clock: ManualClock
) -> None:
    """Blocks, times, histograms, tree and threads read from the file are those of the process."""
    p = Profiler("app", store=tmp_path)
    p.set_track_name(3, "disk")

    @p.track("net", "call")
    def call(n: int) -> int:
        return call(n - 1) if n else 0

    def work() -> None:
        for number in range(300):
            with p.block(3, "read"), p.block("net", f"host {number % 40}"):
                call(number % 3)
                clock.advance(number**3)
            with contextlib.suppress(KeyError), p.block(3, "fails"):
                raise KeyError

    threads.together(work, work)
    work()
    own, kept = p.get_results(), read(tmp_path)
    assert shape(kept) == shape(own)
    assert kept.profiler_name == "app"
    assert {(t.key, t.os_id, t.name) for t in kept.threads} == {
        (t.key, t.os_id, t.name) for t in own.threads
    }
    assert kept.metadata["state"] == "running"
    for fact in ("process", "instance", "host", "python", "start_ns", "degraded"):
        assert fact == "start_ns" or kept.metadata[fact] == own.metadata[fact]


@pytest.mark.parametrize("index", [0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 1 << 80])
def test_any_index_of_a_track_is_kept(tmp_path: Path, clock: ManualClock, index: int) -> None:
    """However large, with its name, and with one that it is given later."""
    p = Profiler("app", store=tmp_path)
    with p.block(index, "x"):
        clock.advance(3)
    assert shape(read(tmp_path)) == shape(p.get_results())
    p.set_track_name(index, "disk")
    assert [*read(tmp_path).tracks] == [index]
    assert read(tmp_path).get_track("disk").track_idx == index


def test_what_is_open_is_seen(tmp_path: Path, clock: ManualClock) -> None:
    """What is open counts, and is listed, in order, suspended things too."""
    p = Profiler("app", store=tmp_path)

    @p.track(0, "generator")
    def generator() -> Iterator[None]:
        with p.block(0, "inside"):
            yield

    suspended = generator()
    next(suspended)
    with p.block(0, "outer"):
        clock.advance(40)
        with p.block(0, "inner"), KeptRecords(the_file(tmp_path)) as kept:
            clock.advance(7)
            opened = [(b.name, b.depth, b.suspended) for b in kept.open_blocks()]
            assert recorded(kept.results())["inner"].open_count == 1
    assert sorted(opened) == [
        ("generator", 0, True),
        ("inner", 1, False),
        ("inside", 1, True),
        ("outer", 0, False),
    ]
    suspended.close()


def test_a_reader_follows_what_is_made_later(tmp_path: Path) -> None:
    """One that keeps the file open sees new blocks, threads and sessions."""
    p = Profiler("app", store=tmp_path)
    with p.block(0, "first"):
        pass
    with KeptRecords(the_file(tmp_path)) as kept:
        assert hits(kept.results()) == {"first": 1}
        first = p.block(0, "the first one")
        for number in range(500):
            with p.block(1, f"later {number}"):
                pass
        assert sum(hits(kept.results()).values()) == 501
        p.clear()
        assert sum(hits(kept.results()).values()) == 0
        with first:
            pass
        assert hits(kept.results())["the first one"] == 1


def test_what_is_read_summed_is_what_is_read_by_thread(tmp_path: Path, threads: Threads) -> None:
    """Of threads that run, of some that ended, and of those that are folded together."""
    p = Profiler("app", store=tmp_path, retain_threads=2)
    kept = p.block("io", "kept")

    def work() -> None:
        for number in range(20):
            with kept, p.block("web", f"block {number}"):
                pass

    def compare() -> None:
        with KeptRecords(the_file(tmp_path)) as file:
            one, other = (file.view(summed=summed).results() for summed in (True, False))
        assert (one.tracks, one.tree, one.total_time_ns) == (
            other.tracks,
            other.tree,
            other.total_time_ns,
        )
        for key in ("threads", "folded_threads", "state", "start_ns", "warnings"):
            assert one.metadata[key] == other.metadata[key]

    work()
    compare()
    for _ in range(3):
        threads.together(work, work)
        compare()
    with KeptRecords(the_file(tmp_path)) as file:
        assert hits(file.view(summed=True).results())["kept"] == 140
    p.clear()
    compare()


def test_threads_that_have_ended_stay(tmp_path: Path, threads: Threads, clock: ManualClock) -> None:
    """The newest keep a line of their own, older ones share one, and the file does not grow with their number."""
    p = Profiler("app", store=tmp_path, retain_threads=3)
    block = p.block(0, "work")

    def work() -> None:
        with block:
            pass

    sizes = []
    for _ in range(5):
        for _ in range(20):
            threads.spawn(work)()
        own, kept = p.get_results(), read(tmp_path)
        assert shape(kept) == shape(own)
        assert [t.name for t in kept.threads] == [t.name for t in own.threads]
        assert kept.metadata["folded_threads"] == own.metadata["folded_threads"]
        sizes.append(os.path.getsize(the_file(tmp_path)))
    # A thread may still be on its way out when the next one begins.
    assert sizes[-1] <= sizes[0] + 5 * (16 << 10)


def test_threads_that_ended_together_are_folded_without_loss(
    tmp_path: Path, threads: Threads, clock: ManualClock
) -> None:
    """Of those that are retired at once, some share a line and some keep their own."""
    p = Profiler("app", store=tmp_path, retain_threads=3)
    block = p.block(0, "work")
    ready = threading.Barrier(8)

    def work() -> None:
        with block:
            ready.wait()

    for rounds in range(1, 4):
        threads.together(*[work] * 8)
        own, kept = p.get_results(), read(tmp_path)
        assert hits(own) == hits(kept) == {"work": 8 * rounds}
        assert [t.name for t in kept.threads] == [t.name for t in own.threads]


def test_a_file_is_small_at_first(tmp_path: Path, threads: Threads) -> None:
    """It takes no more than 64 KiB a process and 16 KiB a thread, and nobody else may read it."""
    p = Profiler("app", store=tmp_path / "made")
    block = p.block(0, "work")
    ready = threading.Barrier(10)

    def work() -> None:
        with block:
            ready.wait()

    threads.together(*[work] * 10)
    found = os.stat(the_file(tmp_path / "made"))
    assert found.st_size <= (64 + 10 * 16) << 10
    assert found.st_mode & 0o777 == 0o600
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    del p


def test_a_store_can_be_had_later(tmp_path: Path, clock: ManualClock) -> None:
    """What the calling thread has recorded before moves into the file."""
    p = Profiler("app")
    with p.block(0, "before"):
        p.keep_in(tmp_path)
        with p.block("named", "within"):
            clock.advance(5)
    assert shape(read(tmp_path)) == shape(p.get_results())
    assert hits(read(tmp_path)) == {"before": 1, "within": 1}
    with pytest.raises(ValueError, match=r"is kept in .* already"):
        p.keep_in(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "count",
    [2, pytest.param(40, marks=pytest.mark.extended), pytest.param(300, marks=pytest.mark.stress)],
)
def test_the_file_has_what_the_process_has(
    tmp_path: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    count: int,
) -> None:
    """After random programs of each kind that are told in `moments`, all figures are the same."""

    def kept(*arguments: Any, **options: Any) -> Profiler:
        return Profiler(*arguments, store=tmp_path, **options)

    def check(self: program.Program) -> None:
        checked(self)
        own, read_back = self.profiler.get_results(), load_kept(str(self.profiler._store_path))
        if any(block.open_count for t in own.tracks.values() for block in t.blocks):
            return  # each thread has a clock of its own, and the file's reader has none of them
        if shape(own) != shape(read_back) or len(own.threads) != len(read_back.threads):
            raise program.DifferenceError(f"{shape(own)}\n{shape(read_back)}")

    checked = program.Program.check
    monkeypatch.setattr(program, "Profiler", kept)
    monkeypatch.setattr(program.Program, "check", check)
    for number in range(count):
        found = find(FAMILIES[family], f"store {number}")
        assert not found, f"{family} {number}:\n{found}"


# The end

PROGRAM = """
    import os, sys, time, signal
    from stichotrope import Profiler
    p = Profiler("app", store={store!r})
    for _ in range(1000):
        with p.block("storage", "read"):
            pass
    with p.block("storage", "look up"):
        {end}
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os._exit(3)", 3),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_what_was_recorded_outlives_the_process(tmp_path: Path, end: str, status: int) -> None:
    """All passes are there, what was open is named, and it is said that the process was killed."""
    done = run_program(PROGRAM.format(store=str(tmp_path), end=end))
    assert done.returncode == status, done.stderr
    results = read(tmp_path)
    assert {n: (b.hit_count, b.open_count) for n, b in recorded(results).items()} == {
        "read": (1000, 0),
        "look up": (0, 1),
    }
    assert results.metadata["state"] == "killed"
    assert [found["name"] for found in results.metadata["open_at_end"]] == ["look up"]
    (warning,) = results.metadata["warnings"]
    assert "was killed, or left without ending; open then: storage / look up " in warning


def test_a_process_that_ends_in_order_says_so(tmp_path: Path) -> None:
    """It is not marked as killed, whatever it had open."""
    done = run_program(PROGRAM.format(store=str(tmp_path), end="sys.exit(0)"))
    assert outcome(done) == (0, "", "")
    results = read(tmp_path)
    assert results.metadata["state"] == "ended"
    assert results.metadata["warnings"] == []


def test_reports_show_it(tmp_path: Path) -> None:
    """`stichotrope report DIR` and `load_all` read files of processes that are gone."""
    run_program(PROGRAM.format(store=str(tmp_path), end="os._exit(1)"))
    assert hits(ProfilerResults.load_all(tmp_path))["read"] == 1000
    done = run_program(
        f"import sys; from stichotrope.cli import main; sys.exit(main(['report', {str(tmp_path)!r}]))"
    )
    assert done.returncode == 0, done.stderr
    assert "look up" in done.stdout
    assert "was killed, or left without ending" in " ".join(done.stdout.split())


def test_a_forked_child_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Neither writes into the other's, though it forks within a block."""
    done = run_program(f"""
        import os
        from stichotrope import Profiler
        p = Profiler("app", store={str(tmp_path)!r})
        block = p.block(0, "work")
        with block:
            pass
        with p.block(0, "around"):
            pid = os.fork()
            for _ in range(10 if pid else 3):
                with block:
                    pass
        if not pid:
            with p.block(0, "child"):
                os._exit(0)
        os.waitpid(pid, 0)
        print(p.get_results().metadata["warnings"])
    """)
    assert outcome(done) == (0, "[]\n", "")
    found = [
        {b.name: b.hit_count for b in load_kept(path).tracks[0].blocks}
        for path in paths_in(str(tmp_path))
    ]
    assert sorted(found, key=lambda blocks: blocks["work"]) == [
        {"work": 3, "around": 0, "child": 0},
        {"work": 11, "around": 1},
    ]


def test_children_of_multiprocessing_lose_nothing(tmp_path: Path) -> None:
    """Forked and spawned ones, those that are terminated too."""
    done = run_program(
        """
        import multiprocessing, os, sys
        from stichotrope.config import load
        from stichotrope import Profiler
        p = Profiler.configured("app")
        def work(kill):
            for _ in range(100):
                with p.block(0, "work"):
                    pass
            if kill:
                os.kill(os.getpid(), 9)
        for kill in (False, True):
            child = multiprocessing.get_context("fork").Process(target=work, args=(kill,))
            child.start()
            child.join()
        """,
        STICHOTROPE_STORE=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    whole = ProfilerResults.load_all(tmp_path)
    assert recorded(whole)["work"].hit_count == 200
    states = sorted(load_kept(path).metadata["state"] for path in paths_in(str(tmp_path)))
    assert states == ["ended", "ended", "killed"]


HAMMER = """
import os, sys, threading
from stichotrope import Profiler
p = Profiler("app", store=sys.argv[1])
K = p.block("t", "kept")
@p.track("t", "call")
def call(): pass
def work(name):
    while True:
        for _ in range(250):
            with K: pass
            call()
            with p.block("t", "inline"):
                try:
                    with p.block("t", "raises"): raise KeyError
                except KeyError: pass
        os.write(1, name)
for name in b"a", b"b", b"c", b"d":
    threading.Thread(target=work, args=(name,), daemon=True).start()
sys.stdin.read()
os._exit(3)
"""
EXIT = 0  # no signal: the process leaves by `os._exit`


class Reader(threading.Thread):
    """Looks at a store all the while; keeps what it should not have seen."""

    def __init__(self, store: Path) -> None:
        super().__init__()
        self._store = store
        self._ended = threading.Event()
        self.looks = 0
        self.wrong: list[object] = []

    def run(self) -> None:
        watch = Watch(str(self._store))
        before: dict[str, int] = {}
        try:
            while not self._ended.is_set():
                for look in watch.looks():
                    now = hits(look.results)
                    if any(now.get(name, 0) < count for name, count in before.items()):
                        self.wrong.append((before, now))
                    self.wrong += insane(look.results)
                    before = now
                    self.looks += 1
        except Exception as error:
            self.wrong.append(error)
        self.wrong += watch.left_out.values()
        watch.close()

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def insane(results: ProfilerResults) -> list[object]:
    """What cannot be in results: torn nodes, durations beyond the run's."""
    found: list[object] = [text for text in results.metadata["warnings"] if "damaged" in text]
    for name, block in recorded(results).items():
        count = block.hit_count
        if not (
            block.histogram.total == count
            and block.min_time_ns * count <= block.sum_time_ns + count
            and block.sum_time_ns <= block.max_time_ns * count + count
            and block.sum_squares_ns2 * count * 1.000_001 >= block.sum_time_ns**2
            and block.total_time_ns <= 4 * results.metadata["duration_ns"]
            and block.error_count <= count
            and (name != "raises" or count - 4 <= block.error_count)
        ):
            found.append(block)
    return found


def hammered(
    store: Path, end: int, wait_s: float, program: str = HAMMER
) -> tuple[ProfilerResults, int, Reader]:
    """The results of four threads that something ends or stops, how many passes of each block they told of, a reader."""
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    told = b""
    while len(set(told)) < 4:  # each thread has begun
        told += os.read(child.stdout.fileno(), 1)
    with Reader(store) as reader:
        time.sleep(wait_s)
        if end == EXIT:
            child.stdin.close()
        else:
            child.send_signal(end)
        results = None
        if end == signal.SIGSTOP:
            os.waitpid(child.pid, os.WUNTRACED)
            results = read(store)
            child.kill()
        status = child.wait()
    told += child.stdout.read()
    child.stdout.close()
    child.stdin.close()
    assert status == (3 if end == EXIT else -(signal.SIGKILL if results else end))
    return results or read(store), 250 * len(told), reader


@pytest.mark.parametrize(
    "end",
    [signal.SIGKILL, signal.SIGSEGV, EXIT, signal.SIGSTOP],
    ids=lambda end: "exit" if end == EXIT else end.name,
)
@pytest.mark.parametrize("rounds", [2, pytest.param(340, marks=pytest.mark.stress)])
def test_processes_that_are_killed_at_any_moment(tmp_path: Path, end: int, rounds: int) -> None:
    """Four threads record as fast as they can, and another process reads: all that was told of is there, and no more."""
    draw = random.Random(rounds)
    looks = 0
    for _ in range(rounds):
        results, told, reader = hammered(tmp_path / "store", end, draw.random() / 20)
        assert [*insane(results), *reader.wrong] == []
        for name, block in recorded(results).items():
            assert told <= block.hit_count <= told + 4 * 250, name
        looks += reader.looks
        shutil.rmtree(tmp_path / "store")
    assert looks


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """A file system in memory with room for so many bytes."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tmpfs is Linux's")
@pytest.mark.parametrize("rounds", [3, pytest.param(150, marks=pytest.mark.stress)])
def test_a_full_tmpfs_kills_nobody(tmp_path: Path, rounds: int) -> None:
    """However much room there is: no SIGBUS; what the file has is right, and it says what is missing."""
    draw = random.Random(rounds)
    missing = 0
    for number in range(rounds):
        size = 4096 * ((6, 12, 40)[number] if number < 3 else draw.randrange(4, 40))
        with small_disk(tmp_path / f"disk {number}", size) as disk:
            results, told, reader = hammered(disk, signal.SIGKILL, draw.random() / 20)
            assert [*insane(results), *reader.wrong] == []
            is_whole = not any("no room any more" in text for text in results.metadata["warnings"])
            for name, block in recorded(results).items():
                assert block.hit_count <= told + 4 * 250, name
                assert not is_whole or told <= block.hit_count, name
            missing += not is_whole
    assert missing


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tmpfs is Linux's")
@pytest.mark.parametrize("rounds", [3, pytest.param(60, marks=pytest.mark.stress)])
def test_a_full_tmpfs_kills_nobody_who_keeps_a_timeline(tmp_path: Path, rounds: int) -> None:
    """Wherever in a ring the room ends: no SIGBUS, and what the file has of the rings is whole."""
    program = HAMMER.replace("sys.argv[1])", "sys.argv[1], timeline=1 << 16)")
    assert program != HAMMER
    draw = random.Random(rounds)
    missing = 0
    for number in range(rounds):
        size = 4096 * ((30, 90, 400)[number] if number < 3 else draw.randrange(6, 600))
        with small_disk(tmp_path / f"disk {number}", size) as disk:
            results, told, reader = hammered(disk, signal.SIGKILL, draw.random() / 5, program)
            assert [*insane(results), *reader.wrong] == []
            assert told
            missing += any("no room any more" in text for text in results.metadata["warnings"])
            timeline = load_timeline(the_file(disk))
            names = {each.block.name for each in timeline}
            assert names <= {"kept", "call", "inline", "raises"}
            assert max(timeline.durations, default=0) <= results.metadata["duration_ns"]
    assert missing


# Many


def test_files_of_processes_that_are_gone_become_one(tmp_path: Path) -> None:
    """The newest stay apart; no pass is lost, none counts twice, though it is killed in between."""
    done = run_program(f"""
        import os
        from stichotrope import Profiler
        p = Profiler("app", store={str(tmp_path)!r})
        block = p.block(0, "work")
        for number in range(12):
            pid = os.fork()
            if not pid:
                with block:
                    os._exit(0) if number % 2 else None
                os._exit(0)
            os.waitpid(pid, 0)
    """)
    assert done.returncode == 0, done.stderr

    def found() -> tuple[int, int]:
        whole = ProfilerResults.load_all(tmp_path)
        return recorded(whole)["work"].hit_count, len(whole.processes)

    assert found() == (6, 13)
    assert len(paths_in(str(tmp_path))) == 13
    assert compact(str(tmp_path), kept_apart=10) == []
    assert (found(), len(paths_in(str(tmp_path)))) == ((6, 13), 10)
    kept = {path: Path(path).read_bytes() for path in paths_in(str(tmp_path))}
    assert compact(str(tmp_path), kept_apart=1) == []
    assert (found(), len(paths_in(str(tmp_path)))) == ((6, 13), 1)
    for path, data in kept.items():  # as if it had been killed before it removed them
        Path(path).write_bytes(data)
    assert found() == (6, 13)
    compact(str(tmp_path), kept_apart=0)
    assert (found(), paths_in(str(tmp_path))) == ((6, 13), [])


PROCESS_AT = 40  # of the process's number, in a file


def copies(of: str, store: Path, numbers: range) -> None:
    """Files as that many other processes would have left them, one a second."""
    data = Path(of).read_bytes()
    for number in numbers:
        path = store / f"app-{number:06}.stichotrope"
        path.write_bytes(data[:PROCESS_AT] + number.to_bytes(8, "little") + data[PROCESS_AT + 8 :])
        os.utime(path, (number, number))


def test_processes_without_end_take_no_more_room(tmp_path: Path) -> None:
    """All passes are there, each process as long as they are few, and older ones in one line."""
    (tmp_path / "one").mkdir()
    run_program(PROGRAM.format(store=str(tmp_path / "one"), end="os._exit(0)"))
    left = the_file(tmp_path / "one")
    store = tmp_path / "many"
    store.mkdir()
    sizes = []
    for rounds in range(1, 5):
        copies(left, store, range((rounds - 1) * 500, rounds * 500))
        whole = ProfilerResults.load_all(store)
        assert hits(whole) == {"read": 500_000 * rounds, "look up": 0}
        assert recorded(whole)["look up"].open_count == 500 * rounds
        assert len(paths_in(str(store))) == 64
        apart = min(500 * rounds - 64, MOST_PROCESSES) + (500 * rounds - 64 > MOST_PROCESSES)
        assert len(whole.processes) == apart + 64
        assert sum(process.total_hits for process in whole.processes) == whole.total_hits
        (compacted,) = store.glob("compacted-*")
        assert compacted.stat().st_mode & 0o777 == 0o600
        sizes.append(compacted.stat().st_size)
    assert sizes[3] < sizes[2] + 5_000
    assert whole.get_track("storage").get_block(0).histogram.total == 2_000_000


def test_it_is_said_that_timelines_are_let_go(tmp_path: Path) -> None:
    """Of those whose files were put together: by who does it, and once in what is there since."""
    for number in range(3):
        p = Profiler("app", store=tmp_path, timeline=128)
        for _ in range(number + 1):
            with p.block(0, "x"):
                pass
        p = Profiler("none")
        (said,) = compact(str(tmp_path), kept_apart=0)
        assert "the timelines of 1 processes that are gone were let go" in said
        found = ProfilerResults.load_all(tmp_path)
        warnings = [one for one in found.metadata["warnings"] if "timelines were let go" in one]
        assert len(warnings) == 1
    assert hits(found) == {"x": 6}
    assert compact(str(tmp_path), kept_apart=0) == []


def test_what_many_have_left_is_read_without_writing(tmp_path: Path) -> None:
    """Where files may not be put together, they are read so all the same; what is damaged is named."""
    (tmp_path / "one").mkdir()
    run_program(PROGRAM.format(store=str(tmp_path / "one"), end="os._exit(0)"))
    store = tmp_path / "many"
    store.mkdir()
    copies(the_file(tmp_path / "one"), store, range(100))
    (store / "app-000003.stichotrope").write_bytes(b"x" * 5000)
    (store / ".stichotrope-lock").mkdir()  # nobody has it
    with pytest.warns(RuntimeWarning, match=r"app-000003\.stichotrope: it is no store's file"):
        whole = ProfilerResults.load_all(store)
    assert hits(whole)["read"] == 99_000
    assert len(whole.processes) == 99
    assert len(paths_in(str(store))) == 100


def test_blocks_of_many_processes_are_the_same_by_name(tmp_path: Path) -> None:
    """In whatever order each has made its tracks and blocks."""
    for order in ("abc", "cab", "bca"):
        run_program(f"""
            import os
            from stichotrope import Profiler
            p = Profiler("app", store={str(tmp_path)!r})
            for number, name in enumerate({order!r}):
                for _ in range(ord(name)):
                    with p.block(f"track {{name}}", name):
                        with p.block(7, "unnamed"):
                            pass
            os._exit(0)
        """)
    apart = ProfilerResults.load_all(tmp_path)
    compact(str(tmp_path), kept_apart=0)
    whole = ProfilerResults.load_all(tmp_path)
    for results in (apart, whole):
        found = {
            t.track_name: {b.name: b.hit_count for b in t.blocks} for t in results.tracks.values()
        }
        assert found == {
            "track a": {"a": 3 * 97},
            "track b": {"b": 3 * 98},
            "track c": {"c": 3 * 99},
            "Track 7": {"unnamed": 3 * (97 + 98 + 99)},
        }
    assert sorted(child.name for child in whole.tree.children) == ["a", "b", "c"]
    assert whole.total_time_ns == pytest.approx(apart.total_time_ns, rel=1e-3)


def test_two_profilers_of_one_name_lose_nothing(tmp_path: Path) -> None:
    """Though what one has left is put together before what the other has."""
    run_program(f"""
        import os
        from stichotrope import Profiler
        made = [Profiler("app", store={str(tmp_path)!r}) for _ in range(2)]
        for number, p in enumerate(made):
            for _ in range(10 + number):
                with p.block(0, "work"):
                    pass
        os._exit(0)
    """)
    for apart in (2, 1, 0):
        compact(str(tmp_path), kept_apart=apart)
        assert len(paths_in(str(tmp_path))) == apart
        assert hits(ProfilerResults.load_all(tmp_path)) == {"work": 21}


def test_who_forks_without_end_keeps_its_store_small(tmp_path: Path) -> None:
    """Though nobody ever looks at it."""
    done = run_program(f"""
        import os
        from stichotrope import Profiler, profiler
        profiler._MANY_FILES, profiler._MANY_FORKS = 70, 10
        p = Profiler("app", store={str(tmp_path)!r})
        for _ in range(160):
            pid = os.fork()
            if not pid:
                with p.block(0, "work"):
                    pass
                os._exit(0)
            os.waitpid(pid, 0)
    """)
    assert outcome(done) == (0, "", "")
    assert len(paths_in(str(tmp_path))) <= 81
    assert hits(ProfilerResults.load_all(tmp_path)) == {"work": 160}


def test_the_oldest_files_go_when_it_is_too_much(tmp_path: Path) -> None:
    """They are put together, and removed if that is not enough, which is said; those of processes that live never."""
    for _ in range(3):
        run_program(PROGRAM.format(store=str(tmp_path), end="os._exit(0)"))
    p = Profiler("app", store=tmp_path, store_limit_bytes=1 << 20)
    (own,) = [path for path in paths_in(str(tmp_path)) if path == p._store_path]
    size = os.path.getsize(own)
    assert compact(str(tmp_path)) == []  # as its newest file says
    assert len(paths_in(str(tmp_path))) == 4
    assert compact(str(tmp_path), limit_bytes=size + 40_000) == []
    assert hits(ProfilerResults.load_all(tmp_path))["read"] == 3000
    (said,) = compact(str(tmp_path), limit_bytes=1000)
    assert "removed 1 files of processes that are gone" in said
    assert "as the store may take 1,000 bytes (store_limit_bytes)" in said
    assert paths_in(str(tmp_path)) == [own]
    assert not list(tmp_path.glob("compacted-*"))


def test_what_had_to_go_is_said_in_the_results_of_who_came(tmp_path: Path) -> None:
    """A program that opens a store that is too large makes it smaller."""
    run_program(PROGRAM.format(store=str(tmp_path), end="os._exit(0)"))
    left = the_file(tmp_path)
    os.truncate(left, 2 << 20)
    p = Profiler("app", store=tmp_path, store_limit_bytes=1 << 20)
    assert p.get_results().metadata["warnings"] == []  # it was put together: nothing is lost
    assert paths_in(str(tmp_path)) == [p._store_path]
    (compacted,) = tmp_path.glob("compacted-*")
    compacted.write_text(compacted.read_text() + " " * (2 << 20))
    p = Profiler("app", store=tmp_path, store_limit_bytes=1 << 20)
    (said,) = p.get_results().metadata["warnings"]
    assert "removed 1 files of processes that are gone" in said


def test_a_file_alone_stays_within_the_limit(tmp_path: Path) -> None:
    """Recording goes on in memory then, and both the program's results and the file say so."""
    p = Profiler("app", store=tmp_path, store_limit_bytes=1 << 20)
    for number in range(10_000):
        with p.block(0, f"block {number}"):
            pass
    assert p.get_results().total_hits == 10_000
    (said,) = p.get_results().metadata["warnings"]
    assert "not all of it is kept in the store" in said
    assert os.path.getsize(the_file(tmp_path)) <= 1 << 20
    kept = read(tmp_path)
    assert 0 < kept.total_hits < 10_000
    assert any("had no room any more" in text for text in kept.metadata["warnings"])


def test_a_limit_that_is_too_small_is_refused(tmp_path: Path) -> None:
    """Or none at all."""
    with pytest.raises(ValueError, match=r"store_limit_bytes must lie between 1,048,576 and"):
        Profiler("a", store=tmp_path, store_limit_bytes=1000)
    with pytest.raises(TypeError, match="store_limit_bytes must be an int, not '1 GB'"):
        Profiler("a", store=tmp_path, store_limit_bytes="1 GB")  # type: ignore[arg-type]


# Bad input


def test_a_disk_that_is_full_is_a_warning(tmp_path: Path) -> None:
    """Recording goes on in memory; the file has what there was room for, and says that there is more."""
    done = run_program(f"""
        import resource
        from stichotrope import Profiler
        p = Profiler("app", store={str(tmp_path)!r})
        first = p.block(0, "first")
        with first:
            pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
        for number in range(2000):
            with p.block(0, f"block {{number}}"):
                pass
        with first:
            pass
        results = p.get_results()
        print(sum(b.hit_count for b in results.tracks[0].blocks), *results.metadata["warnings"])
    """)
    assert done.returncode == 0, done.stderr
    expected = f"2002 not all of it is kept in the store {tmp_path}: File too large\n"
    assert (done.stdout, done.stderr) == (expected, "")
    results = read(tmp_path)
    assert results.tracks[0].blocks[0].hit_count == 2
    assert any("had no room any more" in text for text in results.metadata["warnings"])


def refused(make: Callable[[], Profiler]) -> str:
    """The warning when a store cannot be had; the profiler records all the same."""
    with pytest.warns(RuntimeWarning, match="is kept in memory only") as caught:
        p = make()
    with p.block(0, "x"):
        pass
    results = p.get_results()
    assert hits(results) == {"x": 1}
    assert len(results.metadata["warnings"]) == 1
    return str(caught[0].message)


def test_a_store_that_cannot_be_is_a_warning(tmp_path: Path) -> None:
    """Where the directory is a file, a link, or on nothing that can be written to."""
    (tmp_path / "file").write_text("x")
    assert "File exists" in refused(lambda: Profiler("a", store=tmp_path / "file"))
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    assert "link" in refused(lambda: Profiler("a", store=tmp_path / "link"))
    assert "proc" in refused(lambda: Profiler("a", store="/proc/none"))
    assert not list((tmp_path / "there").iterdir())


def test_a_file_system_that_maps_nothing_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says that it is the file system, and what to do; and leaves no file."""

    def refused(*_: object) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(Profiler, "_open_file", refused)
    with pytest.warns(
        RuntimeWarning, match="is on a file system that maps no files for several pr"
    ):
        p = Profiler("app", store=tmp_path)
    with p.block(0, "x"):
        pass
    assert (p.get_results().total_hits, list(tmp_path.iterdir())) == (1, [])


def test_what_is_no_path_is_refused() -> None:
    """With the sentences of all paths."""
    with pytest.raises(TypeError, match="path"):
        Profiler("a", store=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        Profiler("a", store="")


@pytest.fixture
def some_file(tmp_path: Path) -> bytes:
    """The bytes of a file that a killed process has left."""
    store = tmp_path / "left"
    run_program(f"""
        import os, threading
        from stichotrope import Profiler
        p = Profiler("app", store={str(store)!r}, retain_threads=1, timeline=128)
        def work():
            for number in range(30):
                with p.block("t", f"b {{number}}"):
                    with p.block("t", "inner"):
                        pass
        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            p.get_results()
        work()
        with p.block("t", "open"):
            os._exit(0)
    """)
    return Path(the_file(store)).read_bytes()


def test_a_file_that_is_none_is_refused(tmp_path: Path, some_file: bytes) -> None:
    """A sentence says what is wrong; nothing else is raised."""
    path = tmp_path / "x.stichotrope"
    for data, expected in (
        (b"", "too short"),
        (b"x" * 5000, "does not begin as one"),
        (some_file[:8] + b"\x07" + some_file[9:], "of version 7"),
        (
            some_file[:12] + b"\x01" + some_file[13:],
            r"layout 1; this stichotrope reads .* layout 3",
        ),
    ):
        path.write_bytes(data)
        with pytest.raises(ResultsFormatError, match=expected):
            load_kept(str(path))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ResultsFormatError, match="no regular file"):
        load_kept(str(path))


def test_a_file_of_an_older_layout_is_left_as_it_is(tmp_path: Path, some_file: bytes) -> None:
    """It is named, with what it is of; the other files of its store are read, and nothing is removed or put together."""
    old, new = tmp_path / "old.stichotrope", tmp_path / "new.stichotrope"
    old.write_bytes(some_file[:8] + struct.pack("=2I", 1, 1) + some_file[16:])
    new.write_bytes(some_file)
    sentence = (
        "old.stichotrope.* of version 1, layout 1; this stichotrope reads version 2, layout 3"
    )
    with pytest.warns(RuntimeWarning, match=sentence):
        assert hits(ProfilerResults.load_all(tmp_path))["inner"] == 120
    compact(str(tmp_path), kept_apart=0)
    assert old.read_bytes()[16:] == some_file[16:]
    assert not new.exists()


# What stands in a mapped file: the checksum of the text that says where each field is, by version and layout.
LAID_OUT = {(2, 3): 298644358}


def first(pattern: str, text: str) -> str:
    """What the group of a pattern first matches in a text."""
    found = re.search(pattern, text)
    assert found is not None, pattern
    return found[1]


def test_no_field_of_the_file_moves_under_the_same_version() -> None:
    """Who has moved one raises LAYOUT (of buffers and rings) or FILE_VERSION (of the rest), and writes the new sum here."""
    core = Path(__file__).parents[1] / "src" / "_core"
    layout, file = (
        re.sub(r"(?m)^ *#.*\n| *#.*", "", (core / f"{name}.pxi").read_text(encoding="utf-8"))
        for name in ("layout", "file")
    )
    shared = layout[layout.index("    uint32_t layout\n") :].split("\n\n")[0]
    structs = [shared]
    for text, names in (
        (layout, ("Count", "Scope", "Node", "Extra", "Activation", "Passed")),
        (file, ("Chunk", "FileHeader", "Text", "Kept")),
    ):
        structs += [first(rf"(cdef struct {name}:(?:\n    .*)+)", text) for name in names]
    structs += re.findall(r"cdef enum:(?:\n    (?:OF|SAID)_[A-Z]+ = .*)+", file)
    versions = (
        int(first(r"\bFILE_VERSION = (\d+)", file)),
        int(first(r"\bLAYOUT = (\d+)", layout)),
    )
    assert len(structs) == 13
    assert {versions: zlib.crc32("\n".join(structs).encode())} == LAID_OUT


MAGNITUDES = (1, 2, 1 << 12, 1 << 16, 1 << 20, (1 << 24) - 1, 1 << 24, 1 << 31, (1 << 32) - 1)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """A file in which something was changed: its header, its index, anything; or that was cut."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 4, 40, 400))):
        at = draw.choice((draw.randrange(512), draw.randrange(4096), draw.randrange(len(data))))
        size = draw.choice((1, 4, 8))
        number = draw.choice(MAGNITUDES).to_bytes(8, "little")[:size]
        changed[at : at + size] = draw.choice(
            (draw.randbytes(size), b"\xff" * size, bytes(size), number)
        )
    if draw.random() < 0.2:
        del changed[draw.randrange(len(changed)) :]
    return bytes(changed)


@pytest.mark.parametrize("rounds", [150, pytest.param(20_000, marks=pytest.mark.stress)])
def test_any_bytes_are_read_or_refused(tmp_path: Path, some_file: bytes, rounds: int) -> None:
    """Files that are cut, and in which bytes were changed: results or a sentence, and no memory that they do not need."""
    import resource

    draw = random.Random(rounds)
    path = tmp_path / "x.stichotrope"
    counts: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(rounds):
        path.write_bytes(damaged(some_file, draw))
        try:
            with KeptRecords(str(path)) as kept:
                assert kept.results().threads is not None
                kept.open_blocks()
                len(kept.timeline())
        except ResultsFormatError as error:
            counts["refused" if str(path) in str(error) else "refused without a path"] += 1
        else:
            counts["read"] += 1
        for together in read_together([str(path)])[0]:
            together.results()
    assert set(counts) == {"read", "refused"}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown <= (64 << 10 if sys.platform == "linux" else 64 << 20)


def test_no_two_buffers_have_one_ring(tmp_path: Path) -> None:
    """Numbers of buffers that cannot be are damage: else each of very many could have a copy of the largest ring."""
    p = Profiler("app", store=tmp_path, timeline=1024)
    with p.block(0, "x"):
        pass
    data = bytearray(Path(the_file(tmp_path)).read_bytes())
    for at in range(512, 4096, 32):
        owner, size, kind = struct.unpack_from("=Q2I", data, at + 16)
        if kind == 3:  # a piece of a buffer
            struct.pack_into("=Q2I", data, at + 16, owner | 1 << 32, size, kind)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with KeptRecords(str(path)) as kept:
        assert len(kept.timeline()) == 0
        assert any("damaged" in text for text in kept.results().metadata["warnings"])
    assert len(load_timeline(the_file(tmp_path))) == 1


def test_a_site_of_any_number_takes_no_memory(tmp_path: Path, some_file: bytes) -> None:
    """What a file says of sites and tracks that cannot be in it is left out."""
    log = b"".join(
        struct.pack("=2I", kind, len(data)) + data + bytes(-len(data) % 8)
        for kind, data in (
            (2, struct.pack("=3I", 1, (1 << 20) - 1, 0) + b"far"),
            (2, struct.pack("=3I", 1, 1, 5) + b"near"),
            (3, struct.pack("=4I", (1 << 24) - 1, 0, 1, 1) + b"xfile"),
            (3, struct.pack("=4I", 2, 1, 7, 1) + b"yfile"),
        )
    )
    names = Names(log)
    assert [track[:2] for track in names.tracks] == [(0, "Track 0"), (5, "near")]
    assert [site.name for site in names.sites] == ["(unknown block)", "(unknown block)", "y"]
