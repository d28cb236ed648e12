"""The default profiler: marks without making one, what it prints at the end, and the log."""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import os
import pickle
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

import stichotrope
from conftest import WATCHDOG_SECONDS, ManualClock, Threads, hits, outcome, recorded, run_program
from stichotrope import (
    Profiler,
    ProfilerResults,
    _default,
    _log,
    profile_function,
    set_global_enabled,
)
from stichotrope._default import DefaultProfiler
from stichotrope.config import ConfigError

pytestmark = pytest.mark.unit

HERE = __file__


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no settings of the machine that runs the tests decide."""
    for name in list(os.environ):
        if name.startswith("STICHOTROPE_") and not name.startswith("STICHOTROPE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STICHOTROPE_CONFIG", os.devnull)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> DefaultProfiler:
    """A default profiler of the test's own."""
    fresh = DefaultProfiler()
    monkeypatch.setattr(_default, "profile", fresh)
    monkeypatch.setattr(_log, "profile", fresh)
    return fresh


def here() -> int:
    """The line that calls."""
    return inspect.stack()[1].lineno


def places(profile: DefaultProfiler) -> dict[str, tuple[str, int]]:
    """Block name → where its results say that it is."""
    return {name: (block.file, block.line) for name, block in recorded(profile.profiler).items()}


# Marks


def test_a_function_is_recorded(profile: DefaultProfiler) -> None:
    """With or without saying more, and it stays itself."""

    @profile
    def plain(number: int) -> int:
        """Its text."""
        return number + 1

    @profile(track=2, name="other name")
    def named(number: int) -> int:
        return number + 2

    @profile(track="I/O")
    def on_a_track(number: int) -> int:
        return number + 3

    assert [plain(1), named(1), on_a_track(1)] == [2, 3, 4]
    assert (plain.__name__, plain.__doc__) == ("plain", "Its text.")
    assert hits(profile.profiler) == {"plain": 1, "other name": 1, "on_a_track": 1}
    tracks = profile.get_results().tracks
    assert {idx: track.track_name for idx, track in tracks.items()} == {
        0: "Track 0",
        1: "I/O",
        2: "Track 2",
    }


def test_the_package_gives_one_default_profiler() -> None:
    """The same object each time, which needs no profiler of one's own."""
    assert stichotrope.profile is _default.profile
    assert stichotrope.profile_function is _log.profile_function
    assert {"profile", "profile_function", "load_ipython_extension"} <= set(dir(stichotrope))
    with pytest.raises(AttributeError, match="has no attribute 'profil'"):
        stichotrope.profil  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_is_made_before_it_is_used(profile: DefaultProfiler) -> None:
    """Importing it makes no profiler and reads no file."""
    assert repr(profile) == "<the default profiler: not used yet>"
    program = """
        from stichotrope import profile, profiler
        print(len(profiler._PROFILER_REGISTRY))
        profile.profiler
        print(len(profiler._PROFILER_REGISTRY), profile)
    """
    done = run_program(program)
    expected = "0\n1 <the default profiler: <Profiler 'profile', started, 0 blocks on 0 tracks>>\n"
    assert outcome(done) == (0, expected, "")


def test_a_block_is_that_of_the_line_that_asks(profile: DefaultProfiler) -> None:
    """Not one of ours, however it is asked for."""
    with profile.block("first"):
        line = here()
    kept = profile.block("kept", "I/O")
    for _ in range(2):
        with kept:
            pass
    maps = list(map(profile.block, ["mapped"]))
    with maps[0]:
        pass
    assert places(profile) == {
        "first": (HERE, line - 1),
        "kept": (HERE, line + 1),
        "mapped": (HERE, line + 5),
    }
    assert hits(profile.profiler) == {"first": 1, "kept": 2, "mapped": 1}


def test_a_block_is_one_however_often_it_is_asked_for(profile: DefaultProfiler) -> None:
    """By line, track and name, as with a profiler of one's own: two on one line are two."""
    for number in range(6):
        with profile.block(f"name {number % 2}", track=number % 3):
            pass
    # fmt: off
    with profile.block("same"): pass  # noqa: E701
    with profile.block("same"): pass  # noqa: E701
    for _ in range(2): profile.block("twice").__enter__(); profile.block("twice").__exit__(None, None, None)  # noqa: E701, E702
    # fmt: on
    blocks = [block for track in profile.get_results().tracks.values() for block in track.blocks]
    found = sorted((block.track_idx, block.name, block.hit_count) for block in blocks)
    assert found == [
        (0, "name 0", 1),
        (0, "name 1", 1),
        (0, "same", 1),
        (0, "same", 1),
        (0, "twice", 2),
        (1, "name 0", 1),
        (1, "name 1", 1),
        (2, "name 0", 1),
        (2, "name 1", 1),
    ]


def test_functions_that_are_alike_have_blocks_of_their_own(profile: DefaultProfiler) -> None:
    """Code that does the same in two places compares equal, and is not the same place."""
    source = "def f(profile):\n    with profile.block('x'): pass\n"
    for file in ("one.py", "two.py"):
        names: dict[str, Any] = {}
        exec(compile(source, file, "exec"), names)
        for _ in range(2):
            names["f"](profile)
    blocks = profile.get_results().get_track(0).blocks
    assert [(block.file, block.hit_count) for block in blocks] == [("one.py", 2), ("two.py", 2)]


def test_a_block_in_a_generator_is_the_generators(
    profile: DefaultProfiler, clock: ManualClock
) -> None:
    """As with a profiler of one's own: what its consumer opens meanwhile is not inside it."""

    def numbers(block: Callable[[str], Any]) -> Iterator[int]:
        with block("generator"):
            clock.advance(10)
            yield 1
            clock.advance(100)

    def consume(block: Callable[[str], Any]) -> None:
        with block("consumer"):
            for _ in numbers(block):
                with block("between"):
                    clock.advance(1000)

    own = Profiler("own")
    consume(profile.block)
    consume(partial(own.block, 0))
    figures, expected = (
        {
            (node.name, depth): (node.total_time_ns, node.self_time_ns)
            for node, depth in p.get_results().tree.walk()
        }
        for p in (profile.profiler, own)
    )
    assert figures == expected
    assert figures["between", 2] == (1000, 1000)


def test_blocks_are_asked_for_from_many_threads(
    profile: DefaultProfiler, threads: Threads, switching: None
) -> None:
    """The first use of all at once makes one profiler, and loses no pass."""

    def work() -> None:
        for number in range(100):
            with profile.block(f"block {number % 5}", "shared"):
                pass

    threads.together(*[work] * 8)
    assert hits(profile.profiler) == {f"block {number}": 160 for number in range(5)}


def test_a_block_follows_the_name_of_its_track(profile: DefaultProfiler) -> None:
    """When another track takes the name, the same line's passes go there."""
    for turn in range(2):
        with profile.block("x", "work"):
            pass
        if turn == 0:
            profile.profiler.set_track_name(0, "old work")
            profile.profiler.set_track_name(5, "work")
    tracks = profile.get_results().tracks
    assert {track.track_name: track.total_hits for track in tracks.values()} == {
        "old work": 1,
        "work": 1,
    }


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda p: p.block(3), TypeError, "a block's name must be a str, not 3"),
        (lambda p: p.block(["x"]), TypeError, "a block's name must be a str"),
        (lambda p: p.block(""), ValueError, "a block's name must not be empty"),
        (lambda p: p.block("x", -1), ValueError, "a track's index must be 0 or more, not -1"),
        (lambda p: p.block("x", track=1.5), TypeError, "a track is given by its index"),
        (lambda p: p(3), TypeError, "what is tracked must be callable, not 3"),
        (lambda p: p(int), TypeError, "int is a class; decorate it with track_class"),
        (lambda p: p(track=-1), ValueError, "a track's index must be 0 or more, not -1"),
        (lambda p: p(name=""), ValueError, "a block's name must not be empty"),
    ],
)
def test_bad_marks_are_refused(
    profile: DefaultProfiler,
    ask: Callable[[DefaultProfiler], object],
    error: type[Exception],
    message: str,
) -> None:
    """With the sentences of `Profiler`."""
    with pytest.raises(error, match=re.escape(message)):
        ask(profile)


def test_while_profiling_is_off_a_function_is_left_alone(profile: DefaultProfiler) -> None:
    """It is the very function."""
    set_global_enabled(False)
    assert profile(here) is here
    assert profile(track=1)(here) is here
    assert profile_function(here) is here


# Settings


def test_it_is_made_as_the_settings_say(
    profile: DefaultProfiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When it is used first; what is set afterwards does not matter."""
    (tmp_path / "stichotrope.toml").write_text(
        'name = "shop"\nlimit = 1\nsort = "name"\n[tracks]\n0 = "work"\nquiet = false\n'
    )
    monkeypatch.delenv("STICHOTROPE_CONFIG")
    for name in ("b", "a"):
        with profile.block(name), profile.block(name, "quiet"):
            pass
    (tmp_path / "stichotrope.toml").write_text("nonsense")
    text = io.StringIO()
    profile.print_results(file=text)
    lines = text.getvalue().splitlines()
    assert lines[0] == "shop"
    assert lines[3].startswith("Track 0  work")
    assert lines[6].startswith("a ")
    assert lines[7] == "… and 1 more block"
    assert [track.total_hits for track in profile.get_results().tracks.values()] == [2, 0]
    text = io.StringIO()
    profile.print_results(file=text, limit=None, sort="total")
    assert "more block" not in text.getvalue()


def test_a_mistake_in_the_settings_is_raised_where_it_is_used(
    profile: DefaultProfiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next use tries again."""
    monkeypatch.setenv("STICHOTROPE_LIMIT", "many")
    for use in (lambda: profile(here), lambda: profile.block("x"), profile.get_results):
        with pytest.raises(ConfigError, match="STICHOTROPE_LIMIT must be a whole number"):
            use()
    monkeypatch.delenv("STICHOTROPE_LIMIT")
    assert profile.get_results().total_hits == 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["/srv/shop.py", "-v"], "shop.py"),
        (["/srv/shop/__main__.py"], "shop"),
        (["-c"], "profile"),
        (["-"], "profile"),
        ([""], "profile"),
        ([], "profile"),
    ],
)
def test_it_is_called_after_the_program(
    profile: DefaultProfiler, monkeypatch: pytest.MonkeyPatch, arguments: list[str], name: str
) -> None:
    """By its file, or its package; what has no name is called by the default profiler's own."""
    monkeypatch.setattr(sys, "argv", arguments)
    assert profile.get_results().profiler_name == name


# At exit

USED = "from stichotrope import profile\nwith profile.block('x'): pass\n"


def test_nothing_is_printed_at_exit_unless_it_is_asked_for() -> None:
    """And nothing is written."""
    assert outcome(run_program(USED)) == (0, "", "")
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("program", "environment"),
    [
        (USED, {"STICHOTROPE_REPORT": "1"}),
        (USED + "profile.report_at_exit(); profile.report_at_exit()", {}),
        ("from stichotrope import profile; profile.report_at_exit()\n" + USED, {}),
        (USED + "profile.report_at_exit(); raise SystemExit(0)", {"STICHOTROPE_REPORT": "1"}),
    ],
)
def test_the_report_is_printed_at_exit_when_it_is_asked_for(
    program: str, environment: dict[str, str]
) -> None:
    """Once, to standard error, by a setting or by the program."""
    done = run_program(program, **environment)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("profile\n")
    assert done.stderr.count("Track 0") == 1
    assert re.search(r"^x +1 ", done.stderr, re.MULTILINE)


def test_the_report_at_exit_can_be_the_tree() -> None:
    """In the form that the settings say."""
    done = run_program(USED, STICHOTROPE_REPORT="1", STICHOTROPE_FORMAT="tree")
    assert done.returncode == 0
    assert "Track 0" not in done.stderr
    assert re.search(r"^x +1 ", done.stderr, re.MULTILINE)


def test_a_report_is_asked_of_a_program_that_records_nothing() -> None:
    """Not used at all, there is nothing to say; used in vain, it says so."""
    assert outcome(run_program("import stichotrope", STICHOTROPE_REPORT="1")) == (0, "", "")
    unused = "from stichotrope import profile; profile.report_at_exit()"
    assert outcome(run_program(unused)) == (0, "", "")
    done = run_program("from stichotrope import profile; profile.profiler", STICHOTROPE_REPORT="1")
    assert "Nothing was recorded yet" in done.stderr


def test_a_program_without_standard_error_ends_well() -> None:
    """There is nobody to tell."""
    program = "import sys; sys.stderr = None\n" + USED
    done = run_program(program, STICHOTROPE_REPORT="1", STICHOTROPE_OUTPUT="missing/x.json")
    assert outcome(done) == (0, "", "")


def test_the_results_are_saved_at_exit() -> None:
    """In the file that the settings name; when that cannot be written, a sentence says so."""
    assert outcome(run_program(USED, STICHOTROPE_OUTPUT="x.json")) == (0, "", "")
    assert ProfilerResults.load("x.json").total_hits == 1
    done = run_program(USED, STICHOTROPE_OUTPUT="missing/x.json")
    path = os.path.abspath("missing/x.json")
    message = f"stichotrope: the results were not saved in {path}: No such file or directory\n"
    assert outcome(done) == (0, "", message)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_reports_nothing() -> None:
    """Neither does it take the place of its parent's file."""
    program = (
        USED + "import os, sys\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n"
        "with profile.block('x'): pass\nsys.exit(0)\n"
    )
    done = run_program(program, STICHOTROPE_REPORT="1", STICHOTROPE_OUTPUT="x.json")
    assert done.stderr.count("Track 0") == 1
    assert ProfilerResults.load("x.json").total_hits == 2


def test_a_spawned_child_reports_nothing(tmp_path: Path) -> None:
    """It runs the main program's marks again, and the report is its parent's."""
    program = tmp_path / "program.py"
    program.write_text(
        USED + "import multiprocessing\n\n\ndef work(): pass\n\n\nif __name__ == '__main__':\n"
        "    child = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    child.start(); child.join(); print(child.exitcode)\n"
    )
    done = subprocess.run(
        [sys.executable, program],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "STICHOTROPE_REPORT": "1",
            "STICHOTROPE_OUTPUT": "x.json",
        },
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert done.stderr.count("Track 0") == 1
    assert ProfilerResults.load("x.json").total_hits == 1


def test_where_somebody_else_reports_the_settings_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `stichotrope run`, which prints and saves the results of all profilers."""
    program = "from stichotrope import profiler; profiler.ON_NEW.append(lambda made: None)\n"
    done = run_program(program + USED, STICHOTROPE_REPORT="1", STICHOTROPE_OUTPUT="x.json")
    assert outcome(done) == (0, "", "")
    assert os.listdir() == []


# The log


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durations of 250 ns each."""
    times = iter(range(0, 10**6, 250))
    monkeypatch.setattr(_log, "perf_counter_ns", lambda: next(times))


def entries(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    """What each record of the log says."""
    return [
        (
            record.getMessage(),
            record.stichotrope_profiler,  # type: ignore[attr-defined]
            record.stichotrope_track,  # type: ignore[attr-defined]
            record.stichotrope_block,  # type: ignore[attr-defined]
            record.stichotrope_duration_ns,  # type: ignore[attr-defined]
            record.stichotrope_raised,  # type: ignore[attr-defined]
        )
        for record in caplog.records
    ]


def test_each_call_is_recorded_and_log(
    profile: DefaultProfiler, caplog: pytest.LogCaptureFixture, ticking: None
) -> None:
    """With its block, track and duration as attributes, at the line that calls."""

    @profile_function
    def plain(number: int, *, more: int = 0) -> float:
        return 1 / number + more

    caplog.set_level(logging.INFO)
    assert plain(1, more=2) == 3
    line = here() - 1
    with pytest.raises(ZeroDivisionError):
        plain(0)
    name = profile.profiler.name
    assert entries(caplog) == [
        ("plain took 250 ns", name, 0, "plain", 250, False),
        ("plain raised after 250 ns", name, 0, "plain", 250, True),
    ]
    first = caplog.records[0]
    assert (first.name, first.levelname) == ("stichotrope", "INFO")
    assert (first.pathname, first.lineno) == (HERE, line)
    assert hits(profile.profiler) == {"plain": 2}


def test_logger_level_track_and_name_can_be_chosen(
    profile: DefaultProfiler, caplog: pytest.LogCaptureFixture, ticking: None
) -> None:
    """One decorator may serve several functions."""
    marked = profile_function(track="I/O", name="same", logger="shop.io", level="debug".upper())

    @marked
    def one() -> None: ...

    @profile_function(logger=logging.getLogger("shop.log"), level=35, track=3)
    def two() -> None: ...

    marked_too = marked(two)
    caplog.set_level(logging.DEBUG)
    one()
    marked_too()
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("shop.io", logging.DEBUG),
        ("shop.log", 35),
        ("shop.io", logging.DEBUG),
    ]
    blocks = [(entry[2], entry[3]) for entry in entries(caplog)]
    assert blocks == [("I/O", "same"), (3, "two"), ("I/O", "same")]


def test_nothing_is_log_where_nothing_is_recorded(
    profile: DefaultProfiler, caplog: pytest.LogCaptureFixture
) -> None:
    """While the logger does not want it, or the profiler, the track or everything is off."""

    @profile_function(track=2)
    def plain() -> int:
        return 3

    assert plain() == 3
    caplog.set_level(logging.INFO)
    profile.profiler.stop()
    assert plain() == 3
    profile.profiler.start()
    profile.profiler.set_track_enabled(2, False)
    assert plain() == 3
    profile.profiler.set_track_enabled(2, True)
    set_global_enabled(False)
    assert plain() == 3
    assert entries(caplog) == []
    set_global_enabled(True)
    assert plain() == 3
    assert len(entries(caplog)) == 1
    assert hits(profile.profiler) == {"plain": 2}


def test_a_coroutine_is_log_when_it_ends(
    profile: DefaultProfiler, caplog: pytest.LogCaptureFixture, ticking: None
) -> None:
    """Once, with the time since its first resume, and it stays a coroutine function."""

    @profile_function
    async def work(number: int) -> float:
        await asyncio.sleep(0)
        return 1 / number

    caplog.set_level(logging.INFO)
    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(work(1)) == 1
    with pytest.raises(ZeroDivisionError):
        asyncio.run(work(0))
    messages = [record.getMessage() for record in caplog.records if record.name == "stichotrope"]
    assert messages == ["work took 250 ns", "work raised after 250 ns"]
    assert hits(profile.profiler) == {"work": 2}


def test_a_generator_is_log_when_it_ends(
    profile: DefaultProfiler, caplog: pytest.LogCaptureFixture, ticking: None
) -> None:
    """By its end, by an exception, or by being closed, which is none of its errors."""

    @profile_function
    def numbers(last: int) -> Iterator[int]:
        for number in range(last):
            received = yield number
            if received:
                raise ValueError(received)

    caplog.set_level(logging.INFO)
    assert inspect.isgeneratorfunction(numbers)
    assert list(numbers(3)) == [0, 1, 2]
    closed: Any = numbers(3)
    assert next(closed) == 0
    closed.close()
    failing: Any = numbers(3)
    next(failing)
    with pytest.raises(ValueError, match="enough"):
        failing.send("enough")
    assert [entry[0] for entry in entries(caplog)] == [
        "numbers took 250 ns",
        "numbers took 250 ns",
        "numbers raised after 250 ns",
    ]


def test_an_asynchronous_generator_is_log_when_it_ends(
    profile: DefaultProfiler, caplog: pytest.LogCaptureFixture, ticking: None
) -> None:
    """It takes what is sent and thrown into it."""

    @profile_function
    async def echoes() -> AsyncIterator[object]:
        received: object = "begun"
        while received != "end":
            try:
                received = yield received
            except KeyError as error:
                received = f"caught {error}"

    async def use() -> list[object]:
        talk: Any = echoes()
        said = [await talk.__anext__(), await talk.asend(1), await talk.athrow(KeyError("x"))]
        with pytest.raises(StopAsyncIteration):
            await talk.asend("end")
        left: Any = echoes()
        said.append(await left.__anext__())
        await left.aclose()
        failing: Any = echoes()
        await failing.__anext__()
        with pytest.raises(OSError, match="y"):
            await failing.athrow(OSError("y"))
        return said

    caplog.set_level(logging.INFO, logger="stichotrope")
    assert inspect.isasyncgenfunction(echoes)
    assert asyncio.run(use()) == ["begun", 1, "caught 'x'", "begun"]
    messages = [record.getMessage() for record in caplog.records if record.name == "stichotrope"]
    assert messages == [
        "echoes took 250 ns",
        "echoes took 250 ns",
        "echoes raised after 250 ns",
    ]
    assert hits(profile.profiler) == {"echoes": 3}


def a_log_function(number: int = 3) -> int:
    """Its text."""
    return number


def test_a_log_function_stays_itself(
    profile: DefaultProfiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, text, signature, and pickling by reference."""
    logged = profile_function(a_log_function)
    monkeypatch.setattr(sys.modules[__name__], "a_log_function", logged)
    assert (logged.__name__, logged.__doc__) == ("a_log_function", "Its text.")
    assert str(inspect.signature(logged)) == "(number: 'int' = 3) -> 'int'"
    assert pickle.loads(pickle.dumps(logged)) is logged
    assert logged() == 3


@pytest.mark.parametrize(
    ("decorate", "error", "message"),
    [
        (lambda: profile_function(len), TypeError, "function written in Python, not <built-in"),
        (
            lambda: profile_function(cast("Any", int)),
            TypeError,
            "function written in Python, not <class 'int'>",
        ),
        (lambda: profile_function(level=True), TypeError, "level must be a number or its name"),
        (lambda: profile_function(level="LOUD"), ValueError, "the name of a level, not 'LOUD'"),
        (
            lambda: profile_function(logger=cast("Any", 3)),
            TypeError,
            "logger must be a logger or its name",
        ),
        (lambda: profile_function(track=-1), ValueError, "a track's index must be 0 or more"),
        (lambda: profile_function(name=""), ValueError, "a block's name must not be empty"),
    ],
)
def test_bad_logging_is_refused(
    profile: DefaultProfiler, decorate: Callable[[], object], error: type[Exception], message: str
) -> None:
    """When it is asked for."""
    with pytest.raises(error, match=re.escape(message)):
        decorate()


def test_the_types_are_as_the_checker_is_told() -> None:
    """The file that is checked for its types runs, too."""
    file = Path(__file__).parent / "static" / "default_profiler.py"
    program = f"""
        import asyncio, runpy
        names = runpy.run_path({str(file)!r})
        names["right_calls"]()
        asyncio.run(names["awaits"]())
        print(names["profile"].get_results().total_hits)
    """
    assert outcome(run_program(program)) == (0, "10\n", "")
