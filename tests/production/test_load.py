"""Others look up, read, register, clear, switch and export while threads record: nothing is lost or torn."""

from __future__ import annotations

import csv
import functools
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import WATCHDOG_SECONDS, Threads, hits
from production.conftest import Player
from production.subjects import KINDS, Subject
from stichotrope import Profiler, ProfilerResults, profiler, set_global_enabled

pytestmark = [pytest.mark.concurrent, pytest.mark.integration]


class Watch:
    """Looks at one snapshot after the other, on one thread, and notes what is wrong with them."""

    def __init__(self, growing: bool = True) -> None:
        self.growing = growing  # whether nobody clears meanwhile
        self.wrong: list[str] = []
        self.looked = 0
        self._last: dict[tuple[str, str], tuple[int, int]] = {}

    def look(self, results: ProfilerResults) -> None:
        """Note figures that do not fit each other, or are lower than those of an earlier look."""
        self.looked += 1
        for track in results.tracks.values():
            for block in track.blocks:
                if block.histogram.total != block.hit_count:
                    self.wrong.append(f"{block.name}: a torn histogram")
                # Each figure is turned into whole ns by itself.
                least, most = block.min_time_ns - 1, block.max_time_ns + 1
                if not least * block.hit_count <= block.sum_time_ns <= most * block.hit_count:
                    self.wrong.append(f"{block.name}: a sum that its extremes do not allow")
                self._grow((results.profiler_name, block.name), block.hit_count, block.sum_time_ns)

    def look_closer(self, results: ProfilerResults) -> None:
        """Note what does not fit each thread's share, which takes longer to work out."""
        self.look(results)
        shares = Counter[str]()
        for share in results.threads:
            shares.update(hits(share))
        if {name: shares[name] for name in hits(results)} != hits(results):
            self.wrong.append("threads and total differ")

    def _grow(self, what: tuple[str, str], count: int, ns: int) -> None:
        before = self._last.get(what, (0, 0))
        if self.growing and (count < before[0] or ns < before[1]):
            self.wrong.append(f"{what} went down from {before} to {(count, ns)}")
        self._last[what] = (count, ns)


class Countdown:
    """Says when the last of some threads has come to its end."""

    def __init__(self, threads: int) -> None:
        self._left = threads
        self._lock = threading.Lock()
        self.is_over = threading.Event()

    def around(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """Some work, whose end counts."""

        def counted() -> Any:
            try:
                return work()
            finally:
                with self._lock:
                    self._left -= 1
                    if self._left == 0:
                        self.is_over.set()

        return counted


def record_until(over: threading.Event, subject: Subject, numbers: range) -> int:
    """Pass through things in turn until something is over; how many passes that were."""
    count = 0
    while not over.is_set():
        for number in numbers:
            with subject.open(number):
                count += 1
    return count


# 1,000 look-ups and snapshots by 100 threads


def look_up(kind: str) -> Any:
    """A hundred threads look five things up and take five snapshots each, while two others record."""
    subject = KINDS[kind]()
    for number in range(20):
        subject.make(number)
    known = [subject.identity(number) for number in range(20)]
    reading = Countdown(100)

    def read(thread: int) -> tuple[list[int], list[ProfilerResults]]:
        identities, snapshots = [], []
        for number in range(5):
            thing = (7 * thread + number) % 20
            identities.append(subject.identity(thing) - known[thing])
            with subject.look_up(thing):
                pass
            snapshots.append(subject.profiler(thing).get_results())
        return identities, snapshots

    recorders = [
        functools.partial(record_until, reading.is_over, subject, range(10 * i, 10 * i + 10))
        for i in range(2)
    ]
    readers = [reading.around(functools.partial(read, thread)) for thread in range(100)]
    found = Threads().together(*recorders, *readers)
    recorded = sum(subject.hits().values())
    return {
        "looked up": [different for identities, _ in found[2:] for different in identities],
        "recorded": recorded - sum(found[:2]),
        "wrong": [
            wrong
            for thread, (_, snapshots) in enumerate(found[2:])
            for wrong in looked_through(snapshots, closer=thread % 10 == 0)
        ],
        "snapshots": sum(len(snapshots) for _, snapshots in found[2:]),
        "blocks": len(subject.hits()),
    }


def looked_through(snapshots: list[ProfilerResults], closer: bool) -> list[str]:
    """What is wrong with snapshots that one thread took, one after the other."""
    watch = Watch()
    for results in snapshots:
        watch.look(results)
    if closer:
        watch.look_closer(snapshots[-1])
    return watch.wrong


def test_a_thousand_look_ups_and_snapshots_are_right(play: Player, kind: str) -> None:
    """While others record: the same things, each snapshot whole, no total going down."""
    for facts in play(look_up, kind=kind):
        assert facts["looked up"] == [0] * 500
        assert (facts["recorded"], facts["snapshots"], facts["blocks"]) == (500, 500, 20)
        assert facts["wrong"] == []


def free_while_worked_out(monkeypatch: pytest.MonkeyPatch, threads: Threads) -> list[bool]:
    """Which locks another thread could take while a snapshot is worked out."""
    p = Profiler("read")
    locks = [profiler._REGISTRY_LOCK, profiler._GLOBAL_CACHE_LOCK, p._global_lock]
    free: list[bool] = []
    view: Any = profiler.__dict__["View"]

    def try_all() -> None:
        for lock in locks:
            free.append(lock.acquire(blocking=False))
            if free[-1]:
                lock.release()

    def looked_at(*arguments: Any, **named: Any) -> Any:
        threads.one_by_one(try_all)
        return view(*arguments, **named)

    monkeypatch.setattr(profiler, "View", looked_at)
    p.get_results()
    return free


def test_reading_holds_no_lock_while_a_snapshot_is_worked_out(
    monkeypatch: pytest.MonkeyPatch, threads: Threads
) -> None:
    """Else a reader that loses its turn there stops all others."""
    assert free_while_worked_out(monkeypatch, threads) == [True] * 3


class Counting:
    """A lock that counts how often it is taken."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.taken = 0

    def __enter__(self) -> None:
        self.taken += 1
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()


def taken_by_reading(monkeypatch: pytest.MonkeyPatch) -> int:
    """How often reading takes the lock of `threading` for its table of threads."""
    p = Profiler("read")
    lock = Counting(threading._active_limbo_lock)  # type: ignore[attr-defined]
    monkeypatch.setattr(threading, "_active_limbo_lock", lock)
    threading.enumerate()
    assert lock.taken == 1  # it is the one
    p.get_results()
    return lock.taken - 1


def test_reading_takes_no_lock_of_the_threading_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread holds it while it ends, and may run a finalizer then, which may wait for who reads."""
    assert taken_by_reading(monkeypatch) == 0


# 500 operations by 50 threads: 450 recordings, 50 registrations


def register(kind: str) -> Any:
    """Each of fifty threads registers one thing and records nine passes, also of what others registered."""
    subject = KINDS[kind]()
    for number in range(10):
        subject.make(number)
    known = list(range(10))
    working = Countdown(50)

    def work(thread: int) -> Counter[str]:
        mine: Counter[str] = Counter()
        for place in range(10):
            if place == thread % 10:
                subject.make(10 + thread)
                known.append(10 + thread)
            else:
                number = known[-1 - (thread + place) % 10]
                with subject.open(number):
                    mine[f"{number}"] += 1
        return mine

    def watch() -> Watch:
        watching = Watch()
        while True:
            over = working.is_over.is_set()
            for results in subject.results():
                watching.look_closer(results)
            if over:
                return watching

    workers = [working.around(functools.partial(work, thread)) for thread in range(50)]
    *counts, first, second = Threads().together(*workers, watch, watch)
    made = sum(counts, Counter({f"{number}": 0 for number in range(60)}))
    made.update({f"{number}": 0 for number in range(60)})
    return {
        "made": dict(made),
        "hits": subject.hits(),
        "identities": sorted(subject.identity(number) for number in range(60)),
        "wrong": first.wrong + second.wrong,
        "looked": min(first.looked, second.looked),
    }


def test_things_registered_while_others_record_are_all_there(play: Player, kind: str) -> None:
    """450 recordings and 50 registrations by 50 threads: no site is lost, no total goes down."""
    for facts in play(register, kind=kind):
        assert facts["hits"] == facts["made"]
        assert len(facts["hits"]) == 60
        assert sum(facts["hits"].values()) == 450
        assert facts["wrong"] == []
        assert facts["looked"] >= 1
        if kind == "profilers":
            assert len(set(facts["identities"])) == 60
        else:
            assert facts["identities"] == list(range(60))


# Snapshot, clear, enable and export during load


class Control:
    """What operators do to a program that runs."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject = subject
        self.folder = folder
        self.watch = Watch(growing=False)

    def snapshot(self, number: int) -> None:
        """Look at all that is recorded."""
        for results in self.subject.results():
            self.watch.look_closer(results)

    def clear(self, number: int) -> None:
        """Forget it."""
        for p in self.subject.profilers():
            p.clear()

    def enable(self, number: int) -> None:
        """Switch a track, a profiler and everything, off and on."""
        for p in self.subject.profilers():
            p.set_track_enabled(0, number % 2 == 0)
            p.stop()
            set_global_enabled(number % 3 == 0)
            p.start()
            p.set_track_enabled(0, True)
        set_global_enabled(True)

    def export(self, number: int) -> None:
        """Write it to files."""
        p = self.subject.profiler(number % 4)
        p.export_csv(self.folder / "results.csv")
        p.export_json(self.folder / "results.json")

    def print(self, number: int) -> None:
        """Report it."""
        with open(self.folder / "report.txt", "w", encoding="utf-8") as file:
            self.subject.profiler(number % 4).print_results(file=file)


def control(kind: str, times: int) -> Any:
    """Four threads record; five others do what operators do, each so many times."""
    subject = KINDS[kind]()
    for number in range(4):
        subject.make(number)
    with tempfile.TemporaryDirectory() as folder:
        return under_control(subject, Control(subject, Path(folder)), times)


def under_control(subject: Subject, operators: Control, times: int) -> Any:
    """What comes of it, and of a hundred passes of each thread after the last clear."""
    done: Counter[str] = Counter()
    controlling = Countdown(5)
    step = threading.Barrier(5)

    def operate(operation: Callable[[int], None]) -> None:
        for number in range(times):
            operation(number)
            done[operation.__name__] = number + 1

    def record(number: int) -> None:
        record_until(controlling.is_over, subject, range(4))
        step.wait(WATCHDOG_SECONDS)
        step.wait(WATCHDOG_SECONDS)
        for _ in range(100):
            with subject.open(number):
                pass

    def finish() -> None:
        step.wait(WATCHDOG_SECONDS)
        operators.clear(0)
        step.wait(WATCHDOG_SECONDS)

    operations = [
        operators.snapshot,
        operators.clear,
        operators.enable,
        operators.export,
        operators.print,
    ]
    Threads().together(
        *(controlling.around(functools.partial(operate, operation)) for operation in operations),
        *(functools.partial(record, number) for number in range(4)),
        finish,
    )
    operators.export(0)
    return {
        "done": done,
        "wrong": operators.watch.wrong,
        "hits": subject.hits(),
        "files": [file.name for file in sorted(operators.folder.iterdir())],
        "exported": exported(operators.folder),
        "of the first": hits(subject.profiler(0)),
    }


def exported(folder: Path) -> list[dict[str, int]]:
    """Block name → hits, as the files have it."""
    with open(folder / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(folder / "results.json", encoding="utf-8") as file:
        tracks = json.load(file)["tracks"]
    return [
        {row["Block Name"]: int(row["Hit Count"]) for row in rows},
        {block["name"]: block["hit_count"] for track in tracks for block in track["blocks"]},
    ]


def test_operators_and_load_never_wait_for_each_other_for_ever(play: Player, kind: str) -> None:
    """Snapshot, clear, enable, export and report during load; what comes after is exact."""
    for facts in play(control, kind=kind, times=10):
        assert facts["done"] == dict.fromkeys(
            ("snapshot", "clear", "enable", "export", "print"), 10
        )
        assert facts["wrong"] == []
        assert facts["hits"] == {f"{number}": 100 for number in range(4)}
        assert facts["files"] == ["report.txt", "results.csv", "results.json"]
        assert facts["exported"] == [facts["of the first"]] * 2
