"""Results in a file of each process: when it is written, where, and how all files are merged."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clihelp import python
from conftest import PERMISSIONS_BIND, ManualClock, hits, locked, outcome, run_program
from handmade import block, sample, single, thread
from stichotrope import Profiler, ProfilerResults, print_results
from stichotrope.results import FORMAT_VERSION, ProcessResults, ResultsFormatError
from stichotrope.store import gather as gather_module
from stichotrope.store import mapped, together
from stichotrope.store.gather import VARIABLE, _safe

pytestmark = pytest.mark.unit

MAPPED = pytest.mark.skipif(sys.platform == "win32", reason="files cannot be mapped there")
NEVER = 1000.0  # a period in seconds that no test lives to see the end of
Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture
def p() -> Any:
    """A profiler that gathers no longer than the test lasts."""
    made = Profiler("app")
    yield made
    made.stop_gathering()


@pytest.fixture
def unmapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can be mapped."""
    monkeypatch.setattr(Profiler, "_map_in", lambda *_: None)


def passes(profiler: Profiler, count: int, name: str = "x") -> None:
    """Enter and leave a block that often."""
    for _ in range(count):
        with profiler.block(0, name):
            pass


def files(directory: Path) -> list[Path]:
    """Everything in a directory, hidden files too."""
    return sorted(directory.iterdir())


def names(directory: Path) -> list[str]:
    """The kinds of the files in a directory."""
    return sorted(path.name[path.name.index(".stichotrope") :] for path in files(directory))


def workers() -> list[Any]:
    """The thread that refreshes files, if there is one."""
    return [one for one in (gather_module._worker,) if one is not None and one._running.locked()]


# When and where the file is written


def test_the_file_holds_what_get_results_gives(
    clock: ManualClock, p: Profiler, tmp_path: Path
) -> None:
    """And is called after profiler, host and process; reading the directory gives the same."""
    kept = p.block(0, "x")
    with kept:
        clock.advance(3)
    assert p.gather(tmp_path, period_s=NEVER) is True
    for took in (500, 7, 20, 4000):
        with kept:
            clock.advance(took)
    p.stop_gathering()
    (path,) = files(tmp_path)
    host = p.get_results().processes[0].host
    assert path.name.startswith(f"app-{_safe(host, 40)}-{os.getpid()}-")
    assert path.name.endswith(".stichotrope.json")
    stored, here = ProfilerResults.load(path), p.get_results()
    assert (stored.tracks, stored.tree, stored.threads[0].tracks) == (
        here.tracks,
        here.tree,
        here.threads[0].tracks,
    )
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 5}


@pytest.mark.usefixtures("unmapped")
def test_what_is_open_is_in_the_file_as_far_as_it_has_come(
    clock: ManualClock, p: Profiler, tmp_path: Path
) -> None:
    """Each time that the file is refreshed, though no pass has ended since; and not afterwards."""

    def stored() -> tuple[int, int, int]:
        found = ProfilerResults.load_all(tmp_path)
        return found.total_hits, found.total_open, found.total_time_ns

    with p.block(0, "main"):
        clock.advance(100)
        p.gather(tmp_path, period_s=NEVER)
        assert stored() == (0, 1, 100)
        clock.advance(50)
        p._gathering.refresh()  # type: ignore[union-attr]
        assert stored() == (0, 1, 150)
        clock.advance(3)
    p._gathering.refresh()  # type: ignore[union-attr]
    assert stored() == (1, 0, 153)
    (path,) = files(tmp_path)
    written_ns = path.stat().st_mtime_ns
    clock.advance(7)
    p._gathering.refresh()  # type: ignore[union-attr]
    assert path.stat().st_mtime_ns == written_ns


def test_a_program_that_is_killed_within_a_block_leaves_its_time(tmp_path: Path) -> None:
    """As far as it had come when the file was last written."""
    program = f"""
        import os, time
        from stichotrope import Profiler, ProfilerResults
        Profiler._map_in = lambda profiler, directory: None
        p = Profiler("app")
        folder = {str(tmp_path / "results")!r}

        def stored():
            try:
                return ProfilerResults.load_all(folder).total_time_ns
            except ValueError:  # no file yet
                return 0

        p.gather(folder, period_s=0.001)
        with p.block(0, "serve"):
            for _ in range(2):
                before = stored()
                while stored() == before:
                    time.sleep(0.001)
            os._exit(9)
    """
    assert run_program(program).returncode == 9
    found = ProfilerResults.load_all(tmp_path / "results")
    (serve,) = found.tracks[0].blocks
    assert (serve.hit_count, serve.open_count) == (0, 1)
    assert 0 < serve.total_time_ns == found.total_time_ns


def test_the_thread_that_writes_imports_nothing(tmp_path: Path) -> None:
    """A fork while it did would leave a child that waits for the module without end."""
    program = f"""
        import sys
        from stichotrope import Profiler
        p = Profiler("app")
        p.gather({str(tmp_path / "results")!r})
        before = set(sys.modules)
        with p.block(0, "x"):
            pass
        p._gathering.refresh()
        p._gathering._folder += "/missing"
        p._gathering.refresh(last=True)
        print(p._gathering._failures, sorted(set(sys.modules) - before))
        p._gathering._folder = {str(tmp_path / "results")!r}
    """
    done = run_program(program, "-W", "ignore")
    assert (done.returncode, done.stdout) == (0, "1 []\n")


def test_what_was_recorded_before_is_written_at_once(p: Profiler, tmp_path: Path) -> None:
    """It is there when the call returns."""
    passes(p, 3)
    p.gather(tmp_path, period_s=NEVER)
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 3}


def test_a_profiler_that_recorded_nothing_leaves_no_file(p: Profiler, tmp_path: Path) -> None:
    """At the end; and reading says what would be expected, before it too."""
    p.gather(tmp_path, period_s=NEVER)
    with pytest.raises(ValueError, match="should hold results files"):
        ProfilerResults.load_all(tmp_path)
    p.stop_gathering()
    assert files(tmp_path) == []


def test_the_file_is_refreshed_in_each_period(
    p: Profiler, tmp_path: Path, eventually: Eventually
) -> None:
    """From the first pass on; nobody has to do anything for it."""
    p.gather(tmp_path, period_s=0.001)
    passes(p, 3)
    eventually(lambda: len(list(tmp_path.glob("*.json"))) == 1)
    passes(p, 4, "y")
    eventually(lambda: hits(ProfilerResults.load_all(tmp_path)) == {"x": 3, "y": 4})
    p.clear()
    eventually(lambda: hits(ProfilerResults.load_all(tmp_path)) == {"x": 0, "y": 0})


@pytest.mark.usefixtures("unmapped")
def test_the_file_stays_untouched_while_nothing_is_recorded(
    p: Profiler, tmp_path: Path, eventually: Eventually
) -> None:
    """The thread looks, and leaves it alone; the last write says how long the run was."""
    passes(p, 1)
    p.gather(tmp_path, period_s=NEVER)
    (path,) = files(tmp_path)
    before = path.stat()
    assert p._gathering is not None
    for _ in range(3):
        p._gathering.refresh()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    duration = ProfilerResults.load(path).metadata["duration_ns"]
    p.stop_gathering()
    assert ProfilerResults.load(path).metadata["duration_ns"] > duration


def test_a_slow_write_does_not_undo_a_later_one(p: Profiler, tmp_path: Path) -> None:
    """What was read from the profiler first is left, when newer figures are there already."""
    p.gather(tmp_path, period_s=NEVER)
    gathering = p._gathering
    assert gathering is not None
    passes(p, 1)
    number, state, view = gathering._number(), p._state(), p._view()
    passes(p, 1)
    gathering.refresh()
    gathering._write(view, state, number, False)
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 2}


def test_without_a_directory_nothing_happens(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the argument nor in the environment; an empty variable is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert p.gather() is False
    monkeypatch.setenv(VARIABLE, "")
    assert p.gather() is False
    p.stop_gathering()
    assert (files(tmp_path), workers()) == ([], [])


def test_the_environment_names_the_directory(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given in the call comes first; a later call without any changes nothing."""
    monkeypatch.setenv("STICHOTROPE_GATHER", str(tmp_path / "from" / "environment"))
    passes(p, 1)
    assert p.gather(period_s=NEVER) is True
    assert hits(ProfilerResults.load_all(tmp_path / "from" / "environment")) == {"x": 1}
    p.gather(tmp_path / "given", period_s=NEVER)
    monkeypatch.delenv("STICHOTROPE_GATHER")
    assert p.gather() is True
    passes(p, 1)
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path / "given")) == {"x": 2}
    assert hits(ProfilerResults.load_all(tmp_path / "from" / "environment")) == {"x": 1}


def test_a_relative_directory_is_that_of_the_call(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program may go elsewhere afterwards."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    p.gather("results", period_s=NEVER)
    monkeypatch.chdir(tmp_path / "elsewhere")
    passes(p, 1)
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path / "results")) == {"x": 1}


@pytest.mark.usefixtures("unmapped")
def test_gathering_again_writes_the_same_file(p: Profiler, tmp_path: Path) -> None:
    """With another period, after stopping, and after moving away and back: nothing counts twice."""
    passes(p, 1)
    p.gather(tmp_path / "a", period_s=NEVER)
    first = files(tmp_path / "a")
    p.gather(tmp_path / "a", period_s=NEVER / 2)
    p.stop_gathering()
    p.gather(tmp_path / "a", period_s=NEVER)
    p.gather(tmp_path / "b", period_s=NEVER)
    p.gather(tmp_path / "a", period_s=NEVER)
    passes(p, 1)
    p.stop_gathering()
    assert files(tmp_path / "a") == first
    assert hits(ProfilerResults.load_all(tmp_path / "a")) == {"x": 2}


def test_figures_that_were_forgotten_in_between_stay_in_their_file(
    p: Profiler, tmp_path: Path
) -> None:
    """Cleared after it stopped gathering, a profiler begins another file: both are counted."""
    passes(p, 3)
    p.gather(tmp_path, period_s=NEVER)
    p.stop_gathering()
    p.clear()
    passes(p, 4)
    p.gather(tmp_path, period_s=NEVER)
    assert len(files(tmp_path)) == 2
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 7}


def test_profilers_of_one_name_have_a_file_each(p: Profiler, tmp_path: Path) -> None:
    """Merged, they are of one process; their threads keep a line for each profiler."""
    twin = Profiler("app")
    passes(p, 3)
    passes(twin, 4)
    for each in (p, twin):
        each.gather(tmp_path, period_s=NEVER)
        each.stop_gathering()
    assert len(files(tmp_path)) == 2
    results = ProfilerResults.load_all(tmp_path)
    (process,) = results.processes
    assert (process.pid, process.total_hits) == (os.getpid(), 7)
    assert [line.process for line in results.threads] == [process, process]


@pytest.mark.parametrize("name", ["../../etc/passwd", ".hidden", "a/b\\c:d*e", "é\0\n", "x" * 500])
def test_any_profilers_name_makes_a_file_in_the_directory(name: str, tmp_path: Path) -> None:
    """What a file system may not take is replaced; the results have the name as it is."""
    p = Profiler(name)
    passes(p, 1)
    p.gather(tmp_path / "here", period_s=NEVER)
    p.stop_gathering()
    assert files(tmp_path) == [tmp_path / "here"]
    (path,) = files(tmp_path / "here")
    assert len(path.name) < 255
    assert ProfilerResults.load_all(tmp_path / "here").profiler_name == name


# A mapped file


@MAPPED
def test_what_is_recorded_stands_in_a_mapped_file_until_the_end(
    p: Profiler, tmp_path: Path
) -> None:
    """Nobody has to write it on the way; then it is a file of results as ever."""
    passes(p, 3)
    assert p.gather(tmp_path) is True
    assert ([path.suffix for path in files(tmp_path)], workers()) == ([".stichotrope"], [])
    assert files(tmp_path)[0].stat().st_mode & 0o777 == 0o600
    passes(p, 4, "y")
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 3, "y": 4}
    assert ProfilerResults.load_all(tmp_path).processes[0].pid == os.getpid()
    p.stop_gathering()
    assert names(tmp_path) == [".stichotrope.json"]
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 3, "y": 4}
    passes(p, 1)
    p.gather(tmp_path, period_s=NEVER)
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 4, "y": 4}


@MAPPED
@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_process_that_ends_in_no_order_loses_nothing(tmp_path: Path, end: str) -> None:
    """Up to its last pass; and what it was in is said."""
    run_program(f"""
        import os
        from stichotrope import Profiler
        p = Profiler("app")
        p.gather({str(tmp_path)!r})
        for _ in range(1234):
            with p.block("work", "step"):
                pass
        with p.block("work", "last"):
            {end}
    """)
    found = ProfilerResults.load_all(tmp_path)
    assert hits(found) == {"step": 1234, "last": 0}
    assert found.total_open == 1
    said = "was killed, or left without ending; open then: work / last "
    assert [said in warning for warning in found.metadata["warnings"]].count(True) == 1


@MAPPED
def test_who_asks_for_a_period_has_both_and_each_pass_once(p: Profiler, tmp_path: Path) -> None:
    """The file that is written each period is for who reads such files on the way."""
    passes(p, 3)
    p.gather(tmp_path, period_s=NEVER)
    assert names(tmp_path) == [".stichotrope", ".stichotrope.json"]
    passes(p, 4)
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 7}
    p.clear()
    passes(p, 2)
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 2}
    p.stop_gathering()
    assert names(tmp_path) == [".stichotrope.json"]
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 2}


@MAPPED
def test_what_other_threads_have_recorded_before_is_not_left_out(
    p: Profiler, tmp_path: Path, threads: Any
) -> None:
    """Where they have, results are written on the way: a mapped file would have part of them."""
    threads.together(lambda: passes(p, 3))
    passes(p, 4)
    p.gather(tmp_path)
    assert (names(tmp_path), len(workers())) == ([".stichotrope.json"], 1)
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 7}


@MAPPED
def test_a_mapped_file_moves_along(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To where it is gathered next; to another file system it cannot, and is written there."""

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    passes(p, 1)
    p.gather(tmp_path / "a")
    passes(p, 1)
    p.gather(tmp_path / "b")
    passes(p, 1)
    assert hits(ProfilerResults.load_all(tmp_path / "a")) == {"x": 2}
    assert hits(ProfilerResults.load_all(tmp_path / "b")) == {"x": 3}
    p.gather(tmp_path / "a")
    assert hits(ProfilerResults.load_all(tmp_path / "a")) == {"x": 3}
    monkeypatch.setattr(os, "rename", refused)
    p.gather(tmp_path / "c")
    assert names(tmp_path / "c") == [".stichotrope.json"]
    passes(p, 1)
    p.stop_gathering()
    found = {one: hits(ProfilerResults.load_all(tmp_path / one)) for one in "abc"}
    assert found == {"a": {"x": 3}, "b": {"x": 3}, "c": {"x": 4}}


@MAPPED
def test_a_store_takes_over_what_is_gathered(p: Profiler, tmp_path: Path) -> None:
    """It has what was recorded before, too; and what is gathered is written on the way."""
    passes(p, 3)
    p.gather(tmp_path / "gathered")
    p.keep_in(tmp_path / "store")
    passes(p, 4)
    assert p.get_results().metadata["warnings"] == []
    assert hits(ProfilerResults.load_all(tmp_path / "store")) == {"x": 7}
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path / "gathered")) == {"x": 7}
    passes(p, 1)
    assert hits(ProfilerResults.load_all(tmp_path / "store")) == {"x": 8}


@MAPPED
def test_a_store_that_cannot_take_over_is_a_warning(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is lost of what is gathered."""

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    passes(p, 3)
    p.gather(tmp_path / "gathered")
    monkeypatch.setattr(os, "rename", refused)
    with pytest.warns(
        RuntimeWarning, match="was gathered in a mapped file before, which cannot be"
    ):
        p.keep_in(tmp_path / "store")
    passes(p, 4)
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path / "gathered")) == {"x": 7}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forked_children_that_leave_at_once_lose_nothing(tmp_path: Path) -> None:
    """And one that has recorded nothing is none in the results."""
    done = run_program(f"""
        import os
        from stichotrope import Profiler
        p = Profiler("app")
        p.gather({str(tmp_path)!r})
        for number in range(3):
            pid = os.fork()
            if not pid:
                for _ in range(number):
                    with p.block(0, "x"):
                        pass
                os._exit(0)
            os.waitpid(pid, 0)
    """)
    assert outcome(done) == (0, "", "")
    found = ProfilerResults.load_all(tmp_path)
    assert (hits(found), len(found.processes)) == ({"x": 3}, 2)


@MAPPED
def test_a_pool_that_is_terminated_loses_nothing(tmp_path: Path) -> None:
    """As the end of its `with` does it."""
    (tmp_path / "squares.py").write_text(f"""
import multiprocessing
from stichotrope import Profiler
p = Profiler("squares")
p.gather({str(tmp_path / "there")!r})
@p.track("work")
def square(n): return n * n
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            pool.map(square, range(50))
""")
    assert python("squares.py", cwd=tmp_path, PYTHONWARNINGS="ignore").returncode == 0
    assert ProfilerResults.load_all(tmp_path / "there").total_hits == 100


@MAPPED
def test_what_was_killed_is_removed_where_a_run_begins_anew(tmp_path: Path) -> None:
    """As what has ended is."""
    for _ in range(2):
        run_program(f"""
            import os
            from stichotrope import Profiler
            p = Profiler("app")
            p.gather({str(tmp_path / "there")!r}, anew=True)
            with p.block(0, "x"):
                os._exit(0)
        """)
        assert ProfilerResults.load_all(tmp_path / "there").total_open == 1


@MAPPED
def test_a_file_that_goes_while_all_are_read_is_looked_for_again(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has ended just now: what it recorded stands in another file."""
    load = together.load_kept

    def late(path: str) -> ProfilerResults:
        p.stop_gathering()
        return load(path)

    passes(p, 3)
    p.gather(tmp_path)
    monkeypatch.setattr(together, "load_kept", late)
    found = ProfilerResults.load_all(tmp_path)
    assert (hits(found), found.metadata["warnings"]) == ({"x": 3}, [])


def test_where_other_machines_read_nothing_is_mapped(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would not see it: it is written on the way there."""
    monkeypatch.setattr(mapped, "is_shared_by_machines", lambda folder: True)
    passes(p, 3)
    p.gather(tmp_path)
    assert names(tmp_path) == [".stichotrope.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize(
    ("kind", "expected"), [("ext4", False), ("nfs4", True), ("fuse.sshfs", True), ("tmpfs", False)]
)
def test_the_system_says_what_other_machines_read(kind: str, expected: bool) -> None:
    """By the kind of the file system that a directory is on."""
    line = f"36 35 8:1 / /home rw,noatime shared:1 - {kind} /dev/sda1 rw,errors=continue\n"
    assert mapped._is_of_machines(line, os.makedev(8, 1)) is expected
    assert mapped._is_of_machines(line, os.makedev(8, 2)) is False


# The thread


def test_one_thread_serves_all_profilers_and_ends_with_the_last(
    p: Profiler, tmp_path: Path
) -> None:
    """Which need not be the one that it began with."""
    other = Profiler("other")
    p.gather(tmp_path, period_s=NEVER)
    other.gather(tmp_path, period_s=NEVER)
    (worker,) = workers()
    other.stop_gathering()
    assert workers() == [worker]
    p.stop_gathering()
    assert workers() == []
    p.stop_gathering()
    other.stop_gathering()


def test_gathering_does_not_keep_a_profiler_alive(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes with its last reference, and the thread with it, long before the next refresh."""
    pauses: list[float] = []
    pause = gather_module._pause

    def noted() -> float:
        pauses.append(pause())
        return pauses[-1]

    monkeypatch.setattr(gather_module, "_pause", noted)
    p = Profiler("short")
    passes(p, 2)
    p.gather(tmp_path, period_s=NEVER)
    eventually(lambda: bool(pauses))  # it found work, and sleeps until it is due or woken
    gone = weakref.ref(p)
    del p
    assert gone() is None
    eventually(lambda: workers() == [])
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 2}


def test_a_shorter_period_takes_effect_at_once(
    p: Profiler, tmp_path: Path, eventually: Eventually
) -> None:
    """The thread does not sleep on until the end of the longer one."""
    other = Profiler("other")
    p.gather(tmp_path / "p", period_s=NEVER)
    other.gather(tmp_path / "other", period_s=0.001)
    passes(other, 1)
    eventually(lambda: len(list((tmp_path / "other").glob("*.json"))) == 1)
    other.stop_gathering()


@pytest.mark.thread_safety
def test_everything_at_once_leaves_one_whole_file(
    p: Profiler, tmp_path: Path, threads: Any
) -> None:
    """Recording, moving, stopping and refreshing on many threads lose no pass."""

    def record() -> None:
        passes(p, 300)

    def move() -> None:
        for number in range(20):
            p.gather(tmp_path / str(number % 2), period_s=0.001)
            if number % 5 == 0:
                p.stop_gathering()

    threads.together(record, record, move, move)
    p.gather(tmp_path / "end", period_s=NEVER)
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path / "end")) == {"x": 600}
    assert workers() == []
    assert list(tmp_path.rglob("*.tmp")) == []


def test_importing_the_package_does_not_load_what_gathers() -> None:
    """Nor does a program that gathers nothing."""
    program = """
        import sys, stichotrope
        stichotrope.Profiler("x").stop_gathering()
        print("stichotrope.store.gather" in sys.modules)
    """
    assert outcome(run_program(program)) == (0, "False\n", "")


# What cannot be


@pytest.mark.parametrize("period", ["5", True, 1j, [1]])
def test_a_period_must_be_a_number(p: Profiler, tmp_path: Path, period: Any) -> None:
    """The sentence says what was given; nothing was begun."""
    with pytest.raises(TypeError, match="period_s must be a number of seconds, not"):
        p.gather(tmp_path / "never", period_s=period)
    assert files(tmp_path) == []


@pytest.mark.parametrize("period", [0, -1, 0.0, math.nan, math.inf, -math.inf])
def test_a_period_must_be_positive_and_finite(p: Profiler, tmp_path: Path, period: float) -> None:
    """Also where the environment names no directory."""
    with pytest.raises(ValueError, match=f"must be a positive, finite .* seconds, not {period}"):
        p.gather(tmp_path / "never", period_s=period)
    with pytest.raises(ValueError, match="period_s must be"):
        p.gather(period_s=period)
    assert files(tmp_path) == []


@pytest.mark.parametrize("period", [10**400, 1e300, 1e-300, 5e-324, 1])
def test_periods_may_be_of_any_size(
    p: Profiler, tmp_path: Path, period: float, eventually: Eventually
) -> None:
    """Beyond what the system can wait for, and below what its clock can tell."""
    p.gather(tmp_path, period_s=period)
    passes(p, 1)
    assert len(workers()) == 1
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path)) == {"x": 1}


def test_what_is_no_directory_is_refused_at_the_call(p: Profiler, tmp_path: Path) -> None:
    """And the results are gathered where they were before."""
    passes(p, 1)
    p.gather(tmp_path / "good", period_s=NEVER)
    (tmp_path / "file").write_text("untouched")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError) as refused:
            p.gather(path)
        assert refused.value.filename == str(path)
    assert (tmp_path / "file").read_text() == "untouched"
    odd: list[Any] = [7, b"bytes", True, "", "a\0b"]
    for wrong in odd:
        with pytest.raises((TypeError, ValueError), match="a path must be"):
            p.gather(wrong)
    passes(p, 1)
    p.stop_gathering()
    assert hits(ProfilerResults.load_all(tmp_path / "good")) == {"x": 2}


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux's /proc")
def test_a_directory_that_takes_no_files_is_refused_at_the_call(p: Profiler) -> None:
    """Whatever its permissions say, and whoever asks."""
    with pytest.raises(OSError, match="'/proc/self'") as refused:
        p.gather("/proc/self")
    assert refused.value.filename == "/proc/self"
    assert workers() == []


@pytest.mark.skipif(not PERMISSIONS_BIND, reason="everything is writable")
def test_a_read_only_directory_is_refused_at_the_call(p: Profiler, tmp_path: Path) -> None:
    """With the error that the system gives."""
    with locked(tmp_path), pytest.raises(PermissionError):
        p.gather(tmp_path)
    assert (os.listdir(tmp_path), workers()) == ([], [])


def test_a_directory_that_vanishes_is_a_warning_once(p: Profiler, tmp_path: Path) -> None:
    """The program goes on; when the directory is back, the file says what had happened."""
    passes(p, 1)
    folder = tmp_path / "results"
    p.gather(folder, period_s=NEVER)
    shutil.rmtree(folder)
    passes(p, 1)
    gathering = p._gathering
    assert gathering is not None
    with pytest.warns(RuntimeWarning, match="results of 'app' could not be gathered: .*No such"):
        gathering.refresh()
    gathering.refresh()  # a second warning would fail the test
    folder.mkdir()
    gathering.refresh()
    results = ProfilerResults.load_all(folder)
    assert hits(results) == {"x": 2}
    (warning,) = results.metadata["warnings"]
    host = results.processes[0].host
    assert warning.startswith(
        f"process {os.getpid()} on {host}: 2 times the results could not be written, "
        "the last time because of: "
    )


def test_a_failure_in_the_background_disturbs_nobody(tmp_path: Path) -> None:
    """Not even where warnings are errors; the program ends well, and nothing is printed."""
    program = f"""
        import shutil, sys, time
        from stichotrope import Profiler
        from stichotrope.store import gather as gather_module
        p = Profiler("app")
        p.gather({str(tmp_path / "results")!r}, period_s=0.001)
        shutil.rmtree({str(tmp_path / "results")!r})
        with p.block(0, "x"):
            pass
        while p._gathering._failures < 3:
            time.sleep(0.001)
        print("going on")
    """
    assert outcome(run_program(program, "-W", "error")) == (0, "going on\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the size of files")
def test_a_full_disk_leaves_the_last_good_file(tmp_path: Path) -> None:
    """No half of a file, no warning but one, and a note in the next file that is written."""
    program = f"""
        import os, resource, signal, warnings
        from stichotrope import Profiler, ProfilerResults
        def limit(size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        Profiler._map_in = lambda profiler, directory: None
        p = Profiler("app")
        def record():
            with p.block(0, "x"):
                pass
        def stored():
            return ProfilerResults.load_all(folder)
        folder = {str(tmp_path)!r}
        record()
        p.gather(folder, period_s=1000)
        limit(100)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                record()
                p._gathering.refresh()
        print(len(caught), caught[0].category.__name__, stored().total_hits, len(os.listdir(folder)))
        limit(resource.RLIM_INFINITY)
        p.stop_gathering()
        print(stored().total_hits, "3 times the results" in stored().metadata["warnings"][0])
    """
    assert outcome(run_program(program)) == (0, "1 RuntimeWarning 1 1\n4 True\n", "")


# Reading all files of a directory


def gathered(pid: int, count: int, **changes: Any) -> ProfilerResults:
    """Results as a process leaves them: one thread of key 1, `count` passes of 10 ns."""
    metadata = {
        "host": "here",
        "process": pid,
        "instance": f"name of {pid}",
        "start_ns": 1000 * pid,
        "duration_ns": 500,
        "warnings": [],
        "threads": 1,
        "folded_threads": 0,
    }
    name = changes.pop("profiler_name", "app")
    passed = block("x", (10,) * count)
    results = single(passed)
    metadata.update(changes)
    threads = [thread(1, passed)]
    return ProfilerResults(
        name, results.tracks, results.total_time_ns, results.tree, threads, metadata
    )


def leave(directory: Path, *results: ProfilerResults) -> None:
    """Save results the way that processes leave them."""
    for number, each in enumerate(results):
        each.save(directory / f"{9 - number}.stichotrope.json")


def test_processes_and_their_threads_are_kept_apart(tmp_path: Path) -> None:
    """In the order in which they began; each thread says whose it is, and no key is there twice."""
    leave(tmp_path, gathered(30, 3), gathered(10, 1, host="there"), gathered(20, 2))
    results = ProfilerResults.load_all(tmp_path)
    assert hits(results) == {"x": 6}
    assert results.processes == [
        ProcessResults("there", 10, "name of 10", 10_000, 500, 1, 10),
        ProcessResults("here", 20, "name of 20", 20_000, 500, 2, 20),
        ProcessResults("here", 30, "name of 30", 30_000, 500, 3, 30),
    ]
    lines = [(line.key, line.process.pid, line.total_hits) for line in results.threads]  # type: ignore[union-attr]
    assert lines == [(1, 10, 1), (2, 20, 2), (3, 30, 3)]
    assert all(line.process in results.processes for line in results.threads)


def test_processes_of_one_number_are_told_apart(tmp_path: Path) -> None:
    """By machine, by a name of their own, or by when they began where an old file has no name."""
    leave(
        tmp_path,
        gathered(7, 1),
        gathered(7, 1, host="there"),
        gathered(7, 1, instance="a later one"),
        gathered(7, 1, instance=""),
        gathered(7, 1, instance="", start_ns=5),
    )
    assert len(ProfilerResults.load_all(tmp_path).processes) == 5


def test_what_profilers_of_one_process_recorded_is_added_up(tmp_path: Path) -> None:
    """From the first one's start to the last one's end."""
    leave(tmp_path, gathered(7, 1), gathered(7, 2, start_ns=7100, duration_ns=900))
    assert ProfilerResults.load_all(tmp_path).processes == [
        ProcessResults("here", 7, "name of 7", 7000, 1000, 3, 30)
    ]


def test_the_metadata_of_all_holds_for_all(tmp_path: Path) -> None:
    """Start, length and warnings are those of all; what a process says of itself is in its own."""
    leave(
        tmp_path,
        gathered(1, 1, duration_ns=5000, python="3.13.0", warnings=["odd"]),
        gathered(2, 1, host="there", python="3.12.0", warnings=["late", "slow"]),
    )
    metadata = ProfilerResults.load_all(tmp_path).metadata
    merged = metadata.pop("merged")
    assert metadata == {
        "python": "3.13.0",
        "start_ns": 1000,
        "duration_ns": 5000,
        "warnings": [
            "process 1 on here: odd",
            "process 2 on there: late",
            "process 2 on there: slow",
        ],
    }
    assert [(run["process"], run["host"], run["python"]) for run in merged] == [
        (1, "here", "3.13.0"),
        (2, "there", "3.12.0"),
    ]


def test_merged_processes_survive_saving_loading_and_merging_again(tmp_path: Path) -> None:
    """Whose thread is whose, too."""
    leave(tmp_path, gathered(1, 1), gathered(2, 2))
    results = ProfilerResults.load_all(tmp_path)
    results.save(tmp_path / "merged.json")
    again = ProfilerResults.load(tmp_path / "merged.json")
    assert again == results
    assert again.threads[1].process is again.processes[1]
    once_more = again.merge(gathered(3, 4), gathered(2, 8))
    assert [(one.pid, one.total_hits) for one in once_more.processes] == [(1, 1), (2, 10), (3, 4)]
    assert [line.process.pid for line in once_more.threads] == [1, 2, 3, 2]  # type: ignore[union-attr]
    assert once_more.threads[1].process is once_more.threads[3].process


def test_the_document_of_one_process_is_as_before() -> None:
    """Its metadata says whose it is: readers of the format need to know nothing new."""
    document = gathered(1, 2).to_dict()
    assert "processes" not in document
    assert "process" not in document["threads"][0]
    assert sample().processes == [ProcessResults("", 4711, total_hits=6, total_time_ns=1_000_600)]
    assert ProfilerResults("x").processes == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"processes": 7}, 'field "processes" must be a list, not 7'),
        ({"processes": [7]}, "expected an object at processes[0], not 7"),
        ({"processes": [{}]}, 'field "host" is missing at processes[0]'),
        (
            {"processes": []},
            'field "process" at threads[0] must be the place of one of 0 processes',
        ),
    ],
)
def test_a_document_with_odd_processes_is_refused(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    """The sentence says where."""
    document = gathered(1, 1).merge(gathered(2, 1)).to_dict()
    document.update(change)
    with pytest.raises(ResultsFormatError) as refused:
        ProfilerResults.from_dict(document)
    assert sentence in str(refused.value)


def test_figures_of_an_older_run_are_said_to_be(tmp_path: Path) -> None:
    """Where some processes had ended before the others began; where any was there all the time, not."""
    for pid, (start, duration) in enumerate([(100, 50), (120, 60), (200, 10), (205, 10)]):
        left_by(tmp_path, pid, start, duration)
    (said,) = ProfilerResults.load_all(tmp_path).metadata["warnings"]
    assert said.startswith("2 of 4 processes had ended before the others began: if those are of an")
    left_by(tmp_path, 4, 90, 1000)
    assert ProfilerResults.load_all(tmp_path).metadata["warnings"] == []


def left_by(folder: Path, pid: int, start_ns: int, duration_ns: int) -> None:
    """Leave the file of a process that recorded at such a time."""
    metadata = {"process": pid, "start_ns": start_ns, "duration_ns": duration_ns}
    results = ProfilerResults("app", metadata={**metadata, "host": "here", "instance": str(pid)})
    results.save(folder / f"{pid}.stichotrope.json")


ANEW = """
import multiprocessing
from stichotrope import Profiler, ProfilerResults
p = Profiler("squares")
p.gather("there", anew=True)
@p.track("work")
def square(n): return n * n
if __name__ == "__main__":
    square(1)
    for method in multiprocessing.get_all_start_methods():
        child = multiprocessing.get_context(method).Process(target=square, args=(2,))
        child.start()
        child.join()
    print(p.stop_gathering() or ProfilerResults.load_all("there").total_hits)
"""


def test_a_run_begins_anew_and_its_children_take_nothing_away(tmp_path: Path) -> None:
    """However they are started; what a run before has left is gone, and no more than that."""
    _runs_twice(tmp_path, ANEW)


def test_the_environment_lets_a_run_begin_anew(tmp_path: Path) -> None:
    """Where the program does not say itself what is to be."""
    program = ANEW.replace(", anew=True", "")
    assert program != ANEW
    _runs_twice(tmp_path, program, STICHOTROPE_GATHER_ANEW="1")


def test_what_the_program_says_of_beginning_anew_counts_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Than what the environment does, which has to be understood if it is asked."""
    (tmp_path / "old.stichotrope.json").write_text("{}")
    monkeypatch.setenv("STICHOTROPE_GATHER_ANEW", "1")
    p = Profiler("kept")
    p.gather(tmp_path, anew=False)
    p.stop_gathering()
    assert (tmp_path / "old.stichotrope.json").exists()
    monkeypatch.setenv("STICHOTROPE_GATHER_ANEW", "perhaps")
    with pytest.raises(ValueError, match="STICHOTROPE_GATHER_ANEW"):
        p.gather(tmp_path)


def _runs_twice(tmp_path: Path, program: str, **variables: str) -> None:
    """Run a program that gathers twice, and expect that the second begins anew."""
    (tmp_path / "squares.py").write_text(program)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    expected = f"{1 + len(multiprocessing.get_all_start_methods())}\n"
    for _ in range(2):
        assert python("squares.py", cwd=tmp_path, **variables).stdout == expected
    assert (tmp_path / "there" / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("unmapped")
def test_what_a_call_does_not_say_of_gathering_the_environment_does(
    p: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the period, and of what is removed first; what the call says comes first."""
    left_by(tmp_path, 1, 1, 1)
    monkeypatch.delenv("_STICHOTROPE_GATHERED_ANEW", raising=False)
    monkeypatch.setenv("STICHOTROPE_GATHER_ANEW", "true")
    monkeypatch.setenv("STICHOTROPE_GATHER_PERIOD_S", "0")
    with pytest.raises(ValueError, match="the variable STICHOTROPE_GATHER_PERIOD_S must be a num"):
        p.gather(tmp_path)
    p.gather(tmp_path, period_s=NEVER, anew=False)
    assert [path.name[:2] for path in tmp_path.iterdir()] == ["1."]
    p.gather(tmp_path, period_s=NEVER)
    assert list(tmp_path.iterdir()) == []
    p.stop_gathering()


def test_anew_is_a_switch(p: Profiler, tmp_path: Path) -> None:
    """Anything else is refused before anything is removed."""
    left_by(tmp_path, 1, 1, 1)
    with pytest.raises(TypeError, match="anew must be True or False, not 1"):
        p.gather(tmp_path, anew=1)  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 1


def test_files_that_are_no_results_are_none_of_its_business(tmp_path: Path) -> None:
    """Other names, and what a process that was killed while it wrote has left."""
    leave(tmp_path, gathered(1, 1))
    half = json.dumps(gathered(2, 1).to_dict())[:50]
    for name in ("notes.txt", ".stichotrope-0123456789abcdef.tmp", ".x.stichotrope.json", "a.json"):
        (tmp_path / name).write_text(half)
    assert ProfilerResults.load_all(tmp_path).total_hits == 1


def test_a_corrupt_file_among_good_ones_is_named_and_left_out(tmp_path: Path) -> None:
    """The rest is merged; the results say so as well."""
    leave(tmp_path, gathered(1, 1), gathered(2, 2))
    whole = json.dumps(gathered(3, 1).to_dict())
    bad = {
        "cut": (whole[: len(whole) // 2], "not JSON, or cut short"),
        "empty": ("", "not JSON, or cut short"),
        "foreign": ('{"hello": "world"}', "not a stichotrope results file"),
        "list": ("[]", "not a stichotrope results file"),
        "later": (
            whole.replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 99'),
            "results format 99",
        ),
        "wrong": (whole.replace('"alive"', '"a live"'), 'field "alive" is missing'),
    }
    for name, (text, _) in bad.items():
        (tmp_path / f"{name}.stichotrope.json").write_text(text)
    (tmp_path / "binary.stichotrope.json").write_bytes(bytes(range(256)))
    (tmp_path / "directory.stichotrope.json").mkdir()
    reasons = {name: reason for name, (_, reason) in bad.items()}
    reasons |= {"binary": "not JSON, or cut short", "directory": "not a regular file"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.stichotrope.json")
        reasons["pipe"] = "not a regular file"
    with pytest.warns(RuntimeWarning) as caught:
        results = ProfilerResults.load_all(tmp_path)
    assert hits(results) == {"x": 3}
    (warning,) = caught
    assert warning.filename == __file__
    sentence = str(warning.message)
    assert sentence.startswith(
        f"{len(reasons)} of {len(reasons) + 2} results files in {tmp_path} were left out: "
    )
    left_out = [one for one in results.metadata["warnings"] if one.startswith("left out: ")]
    assert len(left_out) == len(reasons)
    for name, reason in reasons.items():
        where = f"{tmp_path / name}.stichotrope.json: "
        (noted,) = [one for one in results.metadata["warnings"] if where in one]
        assert noted.startswith(f"left out: {where}")
        assert reason in noted
        assert noted.removeprefix("left out: ") in sentence


def test_where_no_file_can_be_read_there_are_no_results(tmp_path: Path) -> None:
    """The sentence says why."""
    (tmp_path / "a.stichotrope.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"none that can be read; left out: .*a\.stichotrope\.json: "
    ):
        ProfilerResults.load_all(tmp_path)


def test_an_empty_directory_has_no_results(tmp_path: Path) -> None:
    """The sentence says what was expected there."""
    with pytest.raises(ValueError, match=r"should hold results files, named \*.stichotrope.json"):
        ProfilerResults.load_all(tmp_path)


def test_a_directory_that_is_none_is_the_systems_error(tmp_path: Path) -> None:
    """Missing, or a file."""
    with pytest.raises(FileNotFoundError) as missing:
        ProfilerResults.load_all(tmp_path / "missing")
    assert missing.value.filename == str(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        ProfilerResults.load_all(tmp_path / "file")
    with pytest.raises(TypeError, match="a path must be"):
        ProfilerResults.load_all(7)  # type: ignore[arg-type]


def test_results_of_several_profilers_are_chosen_by_name(tmp_path: Path) -> None:
    """Without a name they are refused: their tracks have nothing to do with each other."""
    leave(tmp_path, gathered(1, 1), gathered(2, 2, profiler_name="db"), gathered(3, 4))
    with pytest.raises(ValueError, match=r"several profilers, 'db', 'app'|several .*'app', 'db'"):
        ProfilerResults.load_all(tmp_path)
    assert ProfilerResults.load_all(tmp_path, name="db").total_hits == 2
    app = ProfilerResults.load_all(tmp_path, name="app")
    assert (app.profiler_name, app.total_hits) == ("app", 5)
    with pytest.raises(ValueError, match="holds no results of 'web', but of "):
        ProfilerResults.load_all(tmp_path, name="web")
    with pytest.raises(TypeError, match="a profiler's name is a str or None, not 7"):
        ProfilerResults.load_all(tmp_path, name=7)  # type: ignore[arg-type]


def test_a_report_counts_processes_and_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is named by its number."""
    leave(tmp_path, gathered(1, 1), gathered(2, 1))
    print_results(ProfilerResults.load_all(tmp_path))
    assert "2 hits · 2 threads · 2 processes · recorded for " in capsys.readouterr().out
    print_results(gathered(1, 1).merge(gathered(2, 1, host="there")))
    assert " · 2 processes on 2 hosts" in capsys.readouterr().out
    (tmp_path / "9.stichotrope.json").unlink()
    print_results(ProfilerResults.load_all(tmp_path))
    assert " · 1 thread · process 2 · recorded for " in capsys.readouterr().out
