"""What is marked is sent by value to other processes, where it runs, and is recorded if that can be."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stichotrope import Profiler, ProfilerResults, _sent, _taught

pytestmark = pytest.mark.integration

PICKLERS = ["cloudpickle", "dill"]

SENDER = """
    import sys
    {first}
    from stichotrope import Profiler
    p = Profiler("sent")
    {gather}
    KEPT = p.block("kept", "a kept block")

    @p.track("work")
    def double(n, by=2):
        "Documented."
        return n * by

    double.colour = "red"

    @p.track(0)
    def steps(n):
        yield from range(n)

    @p.track(0)
    async def coroutine():
        return 5

    class Kind:
        @p.track(0)
        def method(self, n):
            return n + 1

    def outer():
        factor = 3

        @p.track(0)
        def inner(n):
            return n * factor

        return inner

    def bare(n):
        with KEPT, p.block(2, "inline"):
            return double_too(n)

    double_too = p.track("work", "too")(lambda n: n * 2)

    if __name__ == "__main__":
        import {pickler}
        sys.stdout.buffer.write({pickler}.dumps({what}{options}))
"""

RECEIVER = """
    import asyncio, sys, {pickler}
    if {without}:
        sys.modules["stichotrope"] = None
    got = {pickler}.loads(sys.stdin.buffer.read())
    if {without}:
        double, again, steps, coroutine, Kind, inner = got
    else:
        double, again, steps, coroutine, Kind, inner, bare = got
        print(bare(4))
    tracked = not {without} and type(double) is sys.modules["stichotrope._core"].TrackedFunction
    print(type(double).__name__, tracked, double is again, double(2), double(2, by=5), double.__doc__, double.colour)
    print(list(steps(3)), asyncio.run(coroutine()), Kind().method(3), inner(4))
"""


def sent(
    tmp_path: Path, pickler: str, without: bool = False, gather: str = "", early: bool = False
) -> str:
    """What the receiving program prints."""
    what = "double, double, steps, coroutine, Kind, outer()" + ("" if without else ", bare")
    sender = SENDER.format(
        pickler=pickler,
        gather=gather,
        what=f"[{what}]",
        # Unless told so, it leaves out what a function's globals refer to.
        options=", recurse=True" if pickler == "dill" else "",
        first=f"import {pickler}" if early else "",
    )
    path = tmp_path / "sender.py"
    path.write_text(textwrap.dedent(sender))
    data = subprocess.run([sys.executable, path], capture_output=True, check=True).stdout
    receiver = textwrap.dedent(RECEIVER.format(pickler=pickler, without=without))
    done = subprocess.run([sys.executable, "-c", receiver], input=data, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


def needs(pickler: str) -> None:
    """Skip where the pickler is not there, or cannot send a function of this version of Python."""
    module = pytest.importorskip(pickler)
    try:
        module.dumps(lambda: 1)
    except AttributeError as error:
        pytest.skip(f"{pickler} is not for this Python: {error}")


@pytest.mark.parametrize("pickler", PICKLERS)
@pytest.mark.parametrize("early", [True, False])
def test_it_runs_and_is_recorded_on_the_other_side(
    tmp_path: Path, pickler: str, early: bool
) -> None:
    """By a profiler of that name, in the directory that the sender's gathers in, under the same tracks and blocks."""
    needs(pickler)
    folder = tmp_path / "gathered"
    said = sent(tmp_path, pickler, gather=f"p.gather({str(folder)!r})", early=early)
    assert said == "8\nfunction True True 4 10 Documented. red\n[0, 1, 2] 5 4 12\n"
    results = ProfilerResults.load_all(folder)
    assert results.profiler_name == "sent"
    found = {
        (track.track_name, block.name): block.hit_count
        for track in results.tracks.values()
        for block in track.blocks
        if block.hit_count
    }
    assert found == {
        ("work", "double"): 2,
        ("work", "too"): 1,
        ("kept", "a kept block"): 1,
        ("Track 2", "inline"): 1,
        ("kept", "steps"): 1,
        ("kept", "coroutine"): 1,
        ("kept", "method"): 1,
        ("kept", "inner"): 1,
    }
    (block,) = [b for b in results.get_track(1).blocks if b.name == "double"]
    assert Path(block.file).name == "sender.py"


@pytest.mark.parametrize("pickler", PICKLERS)
def test_where_there_is_no_stichotrope_it_runs_bare(tmp_path: Path, pickler: str) -> None:
    """Whole, and without a word."""
    needs(pickler)
    said = sent(tmp_path, pickler, without=True)
    assert said == "function False True 4 10 Documented. red\n[0, 1, 2] 5 4 12\n"


def test_what_arrives_where_it_came_from_is_recorded_there(tmp_path: Path) -> None:
    """By the same profiler, in the same block."""
    cloudpickle = pytest.importorskip("cloudpickle")
    p = Profiler("both ends")
    kept = p.block(0, "kept")

    @p.track(1, "work")
    def work(n: int) -> int:
        with kept:
            return n + 1

    copy = cloudpickle.loads(cloudpickle.dumps(work))
    assert (copy is work, copy(1), work(1)) == (False, 2, 2)
    results = p.get_results()
    assert [
        (block.name, block.hit_count) for track in results.tracks.values() for block in track.blocks
    ] == [("kept", 2), ("work", 2)]
    assert cloudpickle.loads(cloudpickle.dumps(p)) is p


BY_CODE = """
    import sys, weakref
    import cloudpickle
    from stichotrope import Profiler
    p = Profiler("by code")
    p.gather({folder!r})

    @p.track_class("work")
    class Kind:
        def __init__(self, n):
            self.n = n

        def outer(self):
            def inner():
                return self.n
            return inner() + inner()

        @property
        def half(self):
            return self.n // 2

        @half.setter
        def half(self, half):
            self.n = 2 * half

    def bare(kind):
        kind.half = 3
        return kind.half + kind.outer()

    if __name__ == "__main__":
        sys.stdout.buffer.write(cloudpickle.dumps((bare, Kind)))
"""


def test_what_is_tracked_by_its_code_is_on_the_other_side_too(tmp_path: Path) -> None:
    """A class of the main program: its methods, a property's, and what stands within; bare functions stay so."""
    needs("cloudpickle")
    folder = str(tmp_path / "gathered")
    path = tmp_path / "sender.py"
    path.write_text(textwrap.dedent(BY_CODE.format(folder=folder)))
    data = subprocess.run([sys.executable, path], capture_output=True, check=True).stdout
    receiver = """
        import pickle, sys
        bare, Kind = pickle.loads(sys.stdin.buffer.read())
        import cloudpickle  # what goes on from there, as through a scheduler, is told no other file
        bare, Kind = pickle.loads(cloudpickle.dumps((bare, Kind)))
        print([bare(Kind(n)) for n in range(4)])
    """
    for rounds in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(receiver)], input=data, capture_output=True
        )
        assert (done.stdout, done.stderr) == (b"[15, 15, 15, 15]\n", b"")
        results = ProfilerResults.load_all(folder)
        (track,) = [track for track in results.tracks.values() if track.track_name == "work"]
        found = {block.name: block.hit_count for block in track.blocks if block.hit_count}
        within = {"Kind.outer.<locals>.inner": 8 * rounds} if sys.version_info >= (3, 12) else {}
        assert found == {
            "Kind.__init__": 4 * rounds,
            "Kind.outer": 4 * rounds,
            "Kind.half": 4 * rounds,
            "Kind.half.setter": 4 * rounds,
            **within,
        }
        assert {Path(block.file).name for block in track.blocks} == {"sender.py"}


def test_a_pickler_that_several_modules_show_is_taught_once() -> None:
    """As Ray's does, and cloudpickle's own; else each pass would count twice there."""
    cloudpickle = pytest.importorskip("cloudpickle")
    fast = pytest.importorskip("cloudpickle.cloudpickle_fast")

    p = Profiler("once")
    work = p.track(0, "work")(lambda: None)
    _sent.teach_cloudpickle(cloudpickle.cloudpickle)
    _sent.teach_cloudpickle(fast)
    cloudpickle.loads(cloudpickle.dumps(work))()
    assert recorded_hits(p) == {"work": 1}


def test_the_root_of_the_sender_s_files_goes_along(tmp_path: Path) -> None:
    """The block is known by the same file on both sides, though only one can find it."""
    cloudpickle = pytest.importorskip("cloudpickle")
    p = Profiler("sender")
    work = p.track(0, "work")(lambda: None)
    assert str(Path(__file__).parent).encode() in cloudpickle.dumps(work)
    about = {
        "profiler": "sender",
        "gather": None,
        "track": 0,
        "track_name": "Track 0",
        "block": "far",
        "file": "/far/away/app/job.py",
        "line": 3,
        "root": "/far/away",
    }
    _sent.arrived(lambda: None, about)()
    assert "/far/away" in p.get_results().metadata["roots"]


def test_a_function_that_calls_itself_arrives_as_one(tmp_path: Path) -> None:
    """Its own name leads to the tracked one."""
    cloudpickle = pytest.importorskip("cloudpickle")
    p = Profiler("recursive")

    @p.track(0, "down")
    def down(n: int) -> int:
        return n and down(n - 1)

    copy = cloudpickle.loads(cloudpickle.dumps(down))
    assert copy(3) == 0
    assert recorded_hits(p) == {"down": 4}


def recorded_hits(p: Profiler) -> dict[str, int]:
    """Block → hits."""
    return {b.name: b.hit_count for t in p.get_results().tracks.values() for b in t.blocks}


def test_a_track_that_is_called_otherwise_there_gets_a_number_of_its_own() -> None:
    """Names of tracks hold, numbers only where they are free."""
    p = Profiler("there already")
    p.track("first")(len)
    about = {
        "profiler": "there already",
        "gather": None,
        "track": 0,
        "track_name": "second",
        "block": "b",
        "file": "f.py",
        "line": 3,
    }
    assert _sent.arrived(abs, about)(-1) == 1
    with _sent.block_named({**about, "track_name": "first"}):
        pass
    tracks = p.get_results().tracks
    assert {i: (t.track_name, [b.name for b in t.blocks]) for i, t in tracks.items()} == {
        0: ("first", ["len", "b"]),
        1: ("second", ["b"]),
    }


def test_while_profiling_is_switched_off_what_arrives_stays_bare() -> None:
    """As what is decorated then."""
    from stichotrope import set_global_enabled

    set_global_enabled(False)
    try:
        assert _sent.arrived(abs, {}) is abs
    finally:
        set_global_enabled(True)


def test_imports_of_other_modules_are_left_alone(tmp_path: Path) -> None:
    """The finder knows the picklers only, and looks like nothing to the rest."""
    assert _taught._FINDER.find_spec("json") is None
    (tmp_path / "dill").mkdir()
    (tmp_path / "dill" / "__init__.py").write_text("from . import _dill")
    (tmp_path / "dill" / "_dill.py").write_text("broken = 1 / 0")
    program = """
        from stichotrope import Profiler
        Profiler("x")
        for _ in range(2):
            try:
                import dill
            except ZeroDivisionError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        },
    )
    assert (done.stdout, done.stderr) == ("division by zero\n" * 2, "")
