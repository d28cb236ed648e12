"""What the processes of one machine keep in its directory, and what is made of it when it is asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import pytest

from conftest import hits, outcome, run_program
from stichotrope import Profiler, profiler
from stichotrope.integrations import _node
from stichotrope.integrations._node import Keeper, Sender, ask, keep_file, recorded_here
from stichotrope.integrations._run import Run
from stichotrope.profiler import ON_MADE
from stichotrope.results.snapshots import Snapshots
from stichotrope.store.reader import SUFFIX as STORE_SUFFIX

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def no_other_profilers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those of the test are this process's: what other tests have imported may have some."""
    monkeypatch.setattr(profiler, "_PROFILER_REGISTRY", WeakValueDictionary())


def forget() -> None:
    """Have this process keep no files and no stores."""
    _node._keepers.clear()
    ON_MADE.clear()


def passes(p: Profiler, count: int) -> None:
    """Enter and leave a block that often."""
    for _ in range(count):
        with p.block(0, "x"):
            pass


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """A file of this process, given up at the end."""
    kept = keep_file(str(tmp_path), "w")
    assert kept is not None
    yield kept
    kept.stop()
    forget()


def test_what_was_recorded_before_the_file_was_begun_does_not_count(tmp_path: Path) -> None:
    """Only what came since."""
    p = Profiler("p")
    passes(p, 3)
    kept = keep_file(str(tmp_path), "w")
    assert kept is not None
    assert keep_file(str(tmp_path), "w") is kept
    passes(p, 4)
    kept.stop()
    forget()
    results = ask(str(tmp_path), 1.0).results()
    assert hits(results) == {"x": 4}
    assert [one.worker for one in results.processes] == ["w"]


def test_who_asks_gets_what_was_recorded_until_then(tmp_path: Path, keeper: Keeper) -> None:
    """At once, though by its own clock the file would be due much later."""
    p = Profiler("p")
    for number in range(1, 4):
        passes(p, 1)
        keeper._sender._due_s = 1e12
        asked_ns = _node._touch(str(tmp_path / "asked"))
        (path,) = tmp_path.glob("*.answered")
        while path.stat().st_mtime_ns < asked_ns:
            keeper.wake()
        assert hits(ask(str(tmp_path), 0.0).results()) == {"x": number}


def test_a_process_that_is_killed_has_left_its_store(tmp_path: Path) -> None:
    """It is the last word: what was written before counts once."""
    program = """
        import os
        from stichotrope import Profiler
        from stichotrope.integrations import _node

        kept = _node.keep_file(os.environ["FOLDER"], "worker 7")
        p = Profiler("p")
        for _ in range(1000):
            with p.block(0, "x"):
                pass
        kept._sender._send_if_changed()
        with p.block(0, "last"):
            os.kill(os.getpid(), 9)
    """
    assert run_program(program, FOLDER=str(tmp_path)).returncode == -9
    for _ in range(2):
        results = ask(str(tmp_path), 0.0).results()
        assert (hits(results), results.total_open) == ({"x": 1000, "last": 0}, 1)
        assert [one.worker for one in results.processes] == ["worker 7"]
    (warning,) = results.metadata["warnings"]
    assert "was killed" in warning


def test_the_newest_passes_travel_with_the_figures(tmp_path: Path, keeper: Keeper) -> None:
    """Of a run, those that ended in it."""
    p = Profiler("p", timeline=128)
    passes(p, 3)
    run = Run(lambda: ask(str(tmp_path), 0.0), "")
    assert run.timelines() == []
    passes(p, 2)
    with run.lasting():
        passes(p, 4)
    passes(p, 1)
    (found,) = run.timelines()
    assert [each.block.name for each in found] == ["x"] * 6
    assert found.thread_list[0].lost == 0
    assert run.timelines("other") == []


def test_the_newest_passes_of_who_was_killed_are_in_its_store(tmp_path: Path) -> None:
    """With what the engine calls it; they count once, though it had sent some."""
    program = """
        import os
        from stichotrope import Profiler
        from stichotrope.integrations import _node

        kept = _node.keep_file(os.environ["FOLDER"], "worker 7")
        p = Profiler("p", timeline=128)
        for _ in range(50):
            with p.block(0, "x"):
                pass
        kept._sender._send_if_changed()
        with p.block(0, "last"):
            pass
        os.kill(os.getpid(), 9)
    """
    assert run_program(program, FOLDER=str(tmp_path)).returncode == -9
    (found,) = ask(str(tmp_path), 0.0).timelines()
    assert [each.block.name for each in found] == ["x"] * 50 + ["last"]
    assert found.metadata["worker"] == "worker 7"


def test_a_store_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """And left out."""
    folder = tmp_path / "stores" / "w%201" / "1"
    folder.mkdir(parents=True)
    (folder / "bad.stichotrope").write_bytes(b"?")
    for path in folder.iterdir():
        path.rename(path.with_name("bad" + STORE_SUFFIX))
    (warning,) = ask(str(tmp_path), 0.0).warnings
    assert warning.startswith("the store of w 1 was left out: ")


def test_a_directory_that_is_gone_ends_it_quietly(tmp_path: Path) -> None:
    """The run is over."""
    folder = tmp_path / "folder"
    assert keep_file(str(folder)) is None
    folder.mkdir()
    kept = keep_file(str(folder))
    assert kept is not None
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    p = Profiler("p")
    passes(p, 1)
    kept.stop()
    forget()
    assert not folder.exists()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file of a later version, or a damaged one, beside a good one."""
    p = Profiler("p")
    passes(p, 2)
    (tmp_path / f"{os.getpid()}-a.stcb").write_bytes(recorded_here("").to_bytes())
    (tmp_path / f"{os.getpid()}-b.stcb").write_bytes(b"stcb\x09")
    found = ask(str(tmp_path), 1.0)
    assert hits(found.results()) == {"x": 2}
    (warning,) = found.warnings
    assert warning.startswith(f"process {os.getpid()} was left out: a collection of version 09")


def test_a_process_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """One that is gone need not answer: its file is what it has left."""
    for pid in (1, 999_999_999):
        (tmp_path / f"{pid}-a.stcb").write_bytes(Snapshots().to_bytes())
        answered = tmp_path / f"{pid}-a.stcb.answered"
        answered.touch()
        os.utime(answered, ns=(0, 0))
    found = ask(str(tmp_path), 0.0)
    assert found.warnings == [
        "process 1 did not answer within 0 s: what it has recorded since its last file is missing"
    ]


def test_a_sender_sends_once_what_has_not_changed() -> None:
    """And goes on after a failure."""
    p = Profiler("p")
    sent: list[Snapshots] = []
    came = threading.Semaphore(0)

    def send(found: Snapshots) -> None:
        sent.append(found)
        came.release()
        if len(sent) == 1:
            raise OSError

    passes(p, 1)
    sender = Sender(send, "w")
    sender.start()
    for _ in range(2):  # it failed, so it is sent again
        assert came.acquire(timeout=60)
        sender._due_s = 0.0
        sender.wake()
    sender.stop()
    assert [hits(found.results()) for found in sent] == [{"x": 1}] * 2


def test_a_sender_that_is_abandoned_sends_nothing_more() -> None:
    """Not even at its end."""
    p = Profiler("p")
    sent: list[Snapshots] = []
    sender = Sender(sent.append, "w")
    sender.abandon()
    passes(p, 1)
    sender.start()
    sender.stop()
    assert sent == []


def test_a_run_without_anything_says_what_to_do() -> None:
    """And what its workers said."""

    def collect() -> Snapshots:
        found = Snapshots()
        found.warn("worker 3 did not answer")
        return found

    run = Run(collect, "client")
    run.finish()
    with pytest.raises(ValueError, match=r"nothing was recorded in this run: .*worker 3 did not"):
        run.results()


def test_a_run_has_what_was_recorded_in_it(tmp_path: Path) -> None:
    """By this process, here; its end is its end."""
    p = Profiler("p")
    passes(p, 1)
    run = Run(Snapshots, "client")
    passes(p, 2)
    assert hits(run.results("p")) == {"x": 2}
    run.finish()
    passes(p, 4)
    assert hits(run.results()) == {"x": 2}


PROGRAM = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from stichotrope import Profiler
from stichotrope.integrations.processes import profile

p = Profiler("app")

@p.track("work")
def square(n):
    return n * n

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with profile() as run:
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert sum(pool.map(square, range(30))) == sum(n * n for n in range(30))
        with context.Pool(2) as pool:
            assert pool.map(square, range(20)) == [n * n for n in range(20)]
    print(run.results().total_hits, run.results().metadata["warnings"])
"""


@pytest.mark.integration
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_pools_of_processes_are_gathered_to_the_last_pass() -> None:
    """Also the pool that is terminated."""
    assert outcome(run_program(PROGRAM)) == (0, "50 []\n", "")
