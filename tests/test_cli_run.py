"""``stichotrope run`` records what patterns and marks choose, in all processes, and reports it."""

from __future__ import annotations

import multiprocessing
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from clihelp import environment, python, recorded_hits, stichotrope, write
from conftest import WATCHDOG_SECONDS
from stichotrope import Profiler, ProfilerResults
from stichotrope.cli import _limit
from stichotrope.cli._own import targets as own_targets
from stichotrope.cli._program import MODULE, Program
from stichotrope.instrumentation.patterns import Instrumentation, Pattern

pytestmark = pytest.mark.integration

SHOP = """
def price(n): return 2 * n
def total(numbers): return sum(price(n) for n in numbers)
"""
PROGRAM = """
import shop
def main():
    print(shop.total([1, 2, 3]))
main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a program of two modules."""
    return write(tmp_path, shop=SHOP, program=PROGRAM)


# The report, and what is saved


def test_the_report_goes_to_standard_error(folder):
    """The program's output is its own; the report with what was chosen follows on standard error."""
    done = stichotrope("run", "-t", "shop:*", "-t", "__main__:main", "program.py", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "12\n")
    assert done.stderr.startswith("\nprogram.py\n")
    rows = re.findall(r"^([a-z]+) +(\d+) ", done.stderr, re.MULTILINE)
    assert rows == [("total", "1"), ("price", "3"), ("main", "1")]
    assert re.findall(r"^Track \d  (\S+)", done.stderr, re.MULTILINE) == ["shop", "__main__"]


def test_the_report_can_be_a_tree(folder):
    """With ``--format tree``, the report shows what was called through what."""
    done = stichotrope("run", "-t", "shop", "--format", "tree", "program.py", cwd=folder)
    rows = re.findall(r"^([└─ ]*[a-z]+) +(\d+) ", done.stderr, re.MULTILINE)
    assert rows == [("total", "1"), ("└─ price", "3")]


def test_results_are_saved_where_the_command_was_given(folder):
    """``-o`` is meant from where the command was given, whatever the program makes of that."""
    write(folder, moves="import os, shop\nshop.price(1)\nos.mkdir('sub')\nos.chdir('sub')\n")
    options = ("-q", "-t", "shop:price", "-o", "out.json")
    done = stichotrope("run", *options, "moves.py", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert recorded_hits(folder / "out.json") == {"shop": {"price": 1}}


def test_a_program_starts_without_what_only_reports_and_help_need(tmp_path):
    """Nothing heavy is imported for a program that has nothing to report."""
    write(
        tmp_path,
        loaded="import sys\nprint(*sorted({'inspect', 'rich', 'shutil'} & set(sys.modules)))",
    )
    bare = python("loaded.py", cwd=tmp_path).stdout
    done = stichotrope("run", "-q", "-t", "__main__:*", "loaded.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, bare)


def test_the_suffix_of_the_output_says_its_form(folder):
    """``-o run.csv`` saves a table for spreadsheets, and so on for the other suffixes."""
    done = stichotrope("run", "-q", "-t", "shop:price", "-o", "out.csv", "program.py", cwd=folder)
    assert done.returncode == 0
    lines = (folder / "out.csv").read_text().splitlines()
    assert lines[0].startswith("Track,Block Name,Hit Count")
    assert lines[1].startswith("0,price,3,")


def test_an_output_that_cannot_be_is_refused_before_the_program_runs(folder):
    """A directory that is not there is found out before an hour of running, not after it."""
    done = stichotrope("run", "-o", "nowhere/out.json", "program.py", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    nowhere = folder / "nowhere"
    expected = f"{nowhere / 'out.json'} cannot be written: there is no directory {nowhere}"
    assert done.stderr == f"stichotrope run: {expected}\n"
    done = stichotrope("run", "-o", ".", "program.py", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"{folder} is a directory; give a file to write to"
    assert done.stderr == f"stichotrope run: {expected}\n"


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="a directory that takes no file of anybody")
def test_an_output_that_cannot_be_written_is_refused_before_the_program_runs(folder):
    """A folder that takes no new file, too."""
    done = stichotrope("run", "-o", "/proc/out.json", "program.py", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("stichotrope run: /proc/out.json cannot be written: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is full")
@pytest.mark.parametrize(
    ("end", "status"), [("", 2), ("raise SystemExit", 2), ("raise SystemExit(7)", 7)]
)
def test_results_that_could_not_be_saved_are_a_status_of_their_own(folder, end, status):
    """A sentence and status 2, unless the program has one; what it does at its end is done."""
    write(
        folder,
        full=f"""
        import atexit, shop
        atexit.register(print, "at exit")
        shop.price(1)
        {end}
        """,
    )
    done = stichotrope("run", "-q", "-t", "shop:*", "-o", "/dev/full", "full.py", cwd=folder)
    assert (done.returncode, done.stdout) == (status, "at exit\n")
    assert done.stderr == (
        "stichotrope run: the results could not be saved: /dev/full: No space left on device\n"
    )


def test_a_function_that_is_never_called_is_not_in_the_report(folder):
    """What a pattern chose and nobody called makes no row, and no block in what is saved."""
    write(folder, part="import shop\nshop.price(1)\n")
    done = stichotrope("run", "-t", "shop", "-o", "out.json", "part.py", cwd=folder)
    assert "total" not in done.stderr.replace("Total", "")
    assert recorded_hits(folder / "out.json") == {"shop": {"price": 1}}


def test_what_happens_after_the_main_module_counts(folder):
    """Threads that go on after the main module, and what is done at exit, are in the report."""
    write(
        folder,
        late="""
        import atexit, shop, threading
        atexit.register(shop.price, 1)
        main = threading.main_thread()
        threading.Thread(target=lambda: (main.join(), shop.price(2))).start()
        """,
    )
    stichotrope("run", "-q", "-t", "shop:price", "-o", "out.json", "late.py", cwd=folder)
    assert recorded_hits(folder / "out.json") == {"shop": {"price": 2}}


def test_the_report_comes_although_the_program_fails(folder):
    """A program that raises, or exits with a status, is reported on, and its status stays."""
    write(folder, fails="import shop\nshop.price(1)\nraise SystemExit(7)\n")
    done = stichotrope("run", "-t", "shop:price", "fails.py", cwd=folder)
    assert done.returncode == 7
    assert "1 hit" in done.stderr
    write(folder, fails="import shop\nshop.price(1)\nshop.price(None)\n")
    done = stichotrope("run", "-t", "shop:price", "fails.py", cwd=folder)
    assert done.returncode == 1
    assert "TypeError" in done.stderr
    assert "2 hits" in done.stderr


def test_the_report_comes_where_the_program_took_standard_error_away(folder):
    """A program that sends its standard error elsewhere gets no report there."""
    write(folder, away="import io, sys, shop\nsys.stderr = io.StringIO()\nshop.price(1)\n")
    done = stichotrope("run", "-t", "shop:price", "away.py", cwd=folder)
    assert "1 hit" in done.stderr


def test_what_the_report_itself_calls_is_not_counted(folder):
    """Functions that the report needs are counted as far as the program called them."""
    write(folder, dumps="import json\njson.dumps(1)\n")
    options = ("-t", "json:dumps", "-o", "out.json")
    stichotrope("run", *options, "dumps.py", cwd=folder)
    assert recorded_hits(folder / "out.json") == {"json": {"dumps": 1}}


# The program's own profilers


def test_the_programs_own_profilers_are_reported(folder):
    """Profilers that a program makes are reported one by one, those that are gone included."""
    write(
        folder,
        marked="""
        from stichotrope import Profiler
        def short_lived():
            profiler = Profiler("gone")
            with profiler.block(0, "brief"): pass
        short_lived(); short_lived()
        kept = Profiler("kept")
        kept.set_track_name(3, "own track")
        with kept.block(3, "block"): pass
        """,
    )
    done = stichotrope("run", "-o", "out.json", "marked.py", cwd=folder)
    assert done.returncode == 0
    titles = re.findall(r"\n\n?(\w+)\n[\d.]+ \S+ in blocks · (\d) hit", "\n" + done.stderr)
    assert titles == [("gone", "2"), ("kept", "1")]
    saved = ProfilerResults.load(folder / "out.json")
    assert saved.profiler_name == "gone + kept"
    assert recorded_hits(folder / "out.json") == {
        "Track 0": {"brief": 2},
        "own track": {"block": 1},
    }


def test_tracks_of_several_profilers_stay_apart_in_one_file(folder):
    """In a file with two profilers, tracks of the same number or name are told apart."""
    write(
        folder,
        two="""
        from stichotrope import Profiler
        one, two = Profiler("one"), Profiler("two")
        with one.block(0, "a"), two.block(0, "b"), two.block("x", "c"): pass
        """,
    )
    stichotrope("run", "-q", "-o", "out.json", "two.py", cwd=folder)
    assert recorded_hits(folder / "out.json") == {
        "Track 0": {"a": 1},
        "Track 0 (two)": {"b": 1},
        "x": {"c": 1},
    }


# The program's own modules


def test_auto_times_what_lies_beside_the_script(folder):
    """Modules and packages there, and the script; nothing is said of those that it leaves alone."""
    write(folder, unused="def f(): pass", pkg__="def inner(): pass", setup="def x(): pass")
    write(folder, main="import pkg, shop\ndef go(): pkg.inner(); shop.price(1)\ngo()")
    done = stichotrope("run", "-q", "-t", "auto", "-o", "run.json", "main.py", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert recorded_hits(folder / "run.json") == {
        "__main__": {"go": 1},
        "pkg": {"inner": 1},
        "shop": {"price": 1},
    }


def test_auto_times_the_package_that_is_run(folder):
    """With what is in it, and nothing beside it."""
    write(folder, app__="", app__core="import shop\ndef work(): return shop.price(2)")
    (folder / "app" / "__main__.py").write_text("from app.core import work\ndef go(): work()\ngo()")
    done = stichotrope("run", "-q", "-t", "auto", "-o", "run.json", "-m", "app", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    hits = recorded_hits(folder / "run.json")
    assert {"work": 1} in hits.values()
    assert {"go": 1} in hits.values()
    assert "shop" not in hits


@pytest.mark.parametrize("name", ["app", "app.__main__", "app.core"])
def test_auto_times_an_installed_package_that_is_run(tmp_path, monkeypatch, name):
    """Wherever that lies; nothing of it is imported to find it, and a mere module has no package."""
    elsewhere = write(tmp_path / "elsewhere", app__core="", alone="")
    (elsewhere / "app" / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.syspath_prepend(elsewhere)
    assert own_targets(Program(MODULE, name, [])) == ["__main__:*", "app.*"]
    assert own_targets(Program(MODULE, "alone", [])) == ["__main__:*"]
    assert own_targets(Program(MODULE, "not_there", [])) == ["__main__:*"]


def test_auto_times_what_lies_here_when_an_installed_package_runs_it(tmp_path, monkeypatch):
    """As a server does, or a tool: `-m uvicorn shop.main:app`; a package that lies here is what is run."""
    elsewhere = write(tmp_path / "elsewhere", server__core="", server__="", app__="")
    here = write(tmp_path / "here", shop__="", shop__main="", load="")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(elsewhere)
    for name in ("server", "server.core", "app"):
        chosen = own_targets(Program(MODULE, name, ["shop.main:app"]))
        assert chosen == ["__main__:*", "load", "shop.*"]
    write(here, app__="")
    assert own_targets(Program(MODULE, "app", [])) == ["__main__:*", "app.*"]
    assert own_targets(Program(MODULE, "shop.main", [])) == ["__main__:*", "shop.*"]


def test_auto_and_patterns_go_together(folder):
    """A pattern that matched nothing is told of, as ever."""
    done = stichotrope("run", "-t", "auto", "-t", "shop:prise", "program.py", cwd=folder)
    assert re.search(r"^price +3 ", done.stderr, re.MULTILINE)
    assert "'shop:prise' matched nothing: no such function in shop" in done.stderr


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are replaced there")
def test_auto_leaves_alone_what_is_too_short(tmp_path, monkeypatch):
    """After so many passes that it is known; not what a pattern was given for."""
    monkeypatch.setattr(_limit, "PASSES", 10)
    monkeypatch.setattr(_limit, "is_mostly_overhead", lambda block, _: block.name != "slow")
    short: Any = ModuleType("short_functions")
    monkeypatch.setitem(sys.modules, short.__name__, short)
    source = "".join(f"def {name}(): pass\n" for name in ("tick", "tock", "rare", "slow"))
    exec(compile(source, str(tmp_path / "short_functions.py"), "exec"), vars(short))
    profiler, auto = Profiler("run"), Pattern("short_functions")
    asked = Pattern("short_functions:tock")
    instrumentation = Instrumentation(profiler, [auto, asked])
    instrumentation.install()
    session: Any = SimpleNamespace(profiler=profiler, instrumentation=instrumentation)
    limit = _limit.Limit(session, [auto], [asked])

    def call(often):
        for _ in range(often):
            short.tick(), short.tock(), short.slow()
        short.rare()

    call(9)
    limit.look()
    call(1)
    limit.look()
    call(5)
    results = profiler.get_results()
    instrumentation.remove()
    assert {one.name: one.hit_count for track in results for one in track} == {
        "tick": 10,
        "tock": 15,
        "slow": 15,
        "rare": 3,
    }
    limit.tell(results)
    (said,) = results.metadata["warnings"]
    assert ": tick (10); a pattern of its own" in said


@pytest.mark.extended
@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are replaced there")
def test_the_limit_of_auto_is_looked_after_while_a_program_runs(tmp_path):
    """The program sees no thread, and is warned of none when it forks."""
    program = """
        import os, threading, time
        from stichotrope import _core
        def tick(): pass
        def loop():
            for _ in range(10_000):
                tick()
        for _ in range(1000):
            loop()
            if not _core.code_events(tick.__code__):
                break
            time.sleep(0.05)
        print(threading.active_count(), _core.code_events(loop.__code__) != 0)
        if hasattr(os, "fork"):
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
    """
    write(tmp_path, program=program)
    done = stichotrope("run", "-t", "auto", "program.py", cwd=tmp_path)
    assert done.stdout == "1 True\n"
    assert "auto left alone" in done.stderr
    assert "DeprecationWarning" not in done.stderr


@pytest.mark.parametrize(
    ("output", "is_limited"),
    [(["-o", "run.json"], False), (["-o", "run"], False), (["-o", "run.html"], True), ([], True)],
)
def test_results_that_may_be_compared_have_each_pass(tmp_path, output, is_limited):
    """A count that depends on when the limit came would be a false alarm of a gate."""
    program = """
        import gc
        from stichotrope.cli._limit import Limit
        print(any(type(one) is Limit for one in gc.get_objects()))
        def tick(): pass
        tick()
    """
    write(tmp_path, program=program)
    done = stichotrope("run", "-q", *output, "-t", "auto", "program.py", cwd=tmp_path)
    assert done.stdout == f"{is_limited}\n"


def test_auto_of_a_program_without_functions_says_so(tmp_path):
    """Code on the command line has what lies in the folder that it is run in."""
    done = stichotrope("run", "-t", "auto", "-c", "print(1)", cwd=write(tmp_path, a="def f(): 1"))
    assert done.stdout == "1\n"
    assert done.stderr == (
        "stichotrope run: nothing was recorded: nothing that __main__:* a chooses was called\n"
    )


# What is compiled


def extension() -> str:
    """The name of a module of the standard library that is compiled here, with functions."""
    from importlib import import_module
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import find_spec
    from inspect import isbuiltin

    for name in ("_bisect", "_heapq", "_json", "_struct", "_zoneinfo", "_elementtree"):
        spec = find_spec(name)
        is_one = spec is not None and isinstance(spec.loader, ExtensionFileLoader)
        if is_one and any(map(isbuiltin, vars(import_module(name)).values())):
            return name
    pytest.skip("all of the standard library is within the interpreter here")


def test_functions_that_are_compiled_are_said_once(folder):
    """How many, of which modules; beside what is recorded."""
    name = extension()
    write(folder, native=f"import shop, {name}\nshop.price(1)")
    done = stichotrope("run", "-t", "shop", "-t", name, "native.py", cwd=folder)
    said = rf"compiled functions of {name}: \d+; what they call of each other cannot be seen"
    assert len(re.findall(rf"^stichotrope run: {said}", done.stderr, re.MULTILINE)) == 1
    assert re.search(r"^price +1 ", done.stderr, re.MULTILINE)


def test_modules_that_no_pattern_chose_are_not_said(folder):
    """Every program imports some that are compiled."""
    write(folder, native=f"import shop, {extension()}\nshop.price(1)")
    done = stichotrope("run", "-q", "-t", "shop", "native.py", cwd=folder)
    assert done.stderr == ""


# What is said when something is missing


def test_work_that_joblib_does_elsewhere_is_said_not_to_be_in_the_report(tmp_path):
    """It is no child of ours: "none of it was called" would be half of the truth."""
    pool = "_executor = object()"
    program = "import loky.reusable_executor\ndef score(): pass\nprint(1)"
    write(tmp_path, loky__reusable_executor=pool, program=program)
    done = stichotrope("run", "-t", "auto", "program.py", cwd=tmp_path)
    first, second = done.stderr.splitlines()
    assert first.endswith("chooses was called in this process")
    assert "stichotrope.integrations.joblib.profile()" in second
    (tmp_path / "loky" / "reusable_executor.py").write_text("_executor = None")
    done = stichotrope("run", "-t", "auto", "program.py", cwd=tmp_path)
    assert "joblib" not in done.stderr


def test_a_run_that_recorded_nothing_says_how_to_choose(folder):
    """Without patterns and marks, one sentence says what would time the program's own modules."""
    done = stichotrope("run", "program.py", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "12\n")
    assert done.stderr == (
        "stichotrope run: nothing was recorded, as nothing is marked; try -t auto, that is "
        "-t '__main__:*' -t 'shop'\n"
    )
    assert stichotrope("run", "-q", "program.py", cwd=folder).stderr == ""


def test_a_pattern_without_a_match_is_told_at_the_end(folder):
    """A pattern that matched nothing, or nothing that was called, is a sentence after the report."""
    done = stichotrope(
        *("run", "-t", "shop:prise", "-t", "shpo:*", "-t", "shop:price"),
        *("-t", "json.decoder:JSONDecoder.decode", "-c", "import json, shop; shop.price(1)"),
        cwd=folder,
    )
    assert done.returncode == 0
    assert done.stderr.splitlines()[-3:] == [
        "stichotrope run: 'shop:prise' matched nothing: no such function in shop; "
        "did you mean price?",
        "stichotrope run: 'shpo:*' matched nothing: no module 'shpo' was imported; "
        "did you mean shop?",
        "stichotrope run: 'json.decoder:JSONDecoder.decode' chose JSONDecoder.decode, "
        "and none of it was called",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-t", "a/b.py:f", "x.py"), "'a/b.py:f' names a file, not a module as import does; a"),
        (("--nonsense", "x.py"), "unrecognized arguments: --nonsense (see stichotrope run --help)"),
        (("-t",), "argument -t/--target: expected one argument (see stichotrope run --help)"),
        (("-q",), "give a script, -m MODULE or -c CODE (see stichotrope run --help)"),
        (("--limit", "0", "x.py"), "limit must be a whole number of 1 or more, not 0"),
        (("--sort", "size", "x.py"), "argument --sort: invalid choice: 'size'"),
        (("--live=0", "x.py"), "--live takes seconds between 0.05 and 3600, not 0"),
        (("--live=soon", "x.py"), "argument --live: invalid float value: 'soon'"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path, arguments, sentence):
    """A mistake in the options is one sentence on standard error, and status 2."""
    done = stichotrope("run", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"stichotrope run: {sentence}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("listed", ["", "sys.modules[spec.name] = module"])
def test_a_module_that_is_loaded_from_a_file_by_hand_is_tracked(folder, listed):
    """As programs load plugins and settings; its loader is the usual one to whoever looks."""
    write(
        folder,
        loads=f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("plugin", "shop.py")
        module = importlib.util.module_from_spec(spec)
        {listed}
        spec.loader.exec_module(module)
        print(module.price(1), type(module.__loader__).__name__, type(spec.loader).__name__)
        """,
    )
    done = stichotrope("run", "-q", "-t", "plugin:price", "-o", "out.json", "loads.py", cwd=folder)
    assert (done.stdout, done.stderr) == (python("loads.py", cwd=folder).stdout, "")
    assert recorded_hits(folder / "out.json") == {"plugin": {"price": 1}}


# Settings


def test_settings_stand_for_what_is_not_given(folder):
    """Patterns and the output may stand in a file; what is given on the command line counts more."""
    (folder / "stichotrope.toml").write_text('targets = ["shop:price"]\noutput = "file.json"\n')
    done = stichotrope("run", "-q", "program.py", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert recorded_hits(folder / "file.json") == {"shop": {"price": 3}}
    options = ("-q", "-t", "shop:total", "-o", "given.json")
    stichotrope("run", *options, "program.py", cwd=folder)
    assert recorded_hits(folder / "given.json") == {"shop": {"total": 1}}


def test_a_mistake_in_the_settings_is_one_sentence(folder):
    """A setting that is wrong is told before the program begins."""
    (folder / "stichotrope.toml").write_text("limit = 0\n")
    done = stichotrope("run", "program.py", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"stichotrope run: {folder / 'stichotrope.toml'}, line 1: limit")
    assert done.stderr.count("\n") == 1


def test_profiling_can_be_switched_off_by_a_setting(folder):
    """With ``STICHOTROPE_ENABLED=0``, nothing is recorded, and that is said."""
    done = stichotrope("run", "-t", "shop", "program.py", cwd=folder, STICHOTROPE_ENABLED="0")
    assert (done.returncode, done.stdout) == (0, "12\n")
    assert done.stderr == (
        "stichotrope run: nothing was recorded, as the settings say (enabled = false)\n"
    )


# Child processes

CHILDREN = """
import multiprocessing, os, sys
from stichotrope import Profiler
own = Profiler("own")
class Thing:
    def __init__(self, n): self.n = n
    def double(self): return 2 * self.n
def work(thing):
    import shop
    with own.block("marks", "inside"):
        return shop.price(thing.double())
if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(sum(pool.map(work, map(Thing, range(10)))))
        pool.close()
        pool.join()
    process = context.Process(target=work, args=(Thing(1),))
    process.start()
    process.join()
    work(Thing(2))
"""


# Signals that end the program

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


@posix_only
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_program_that_a_signal_ends_is_reported_on(folder, name):
    """What is open has its time, and the status is the signal's; the program's own end is not run."""
    write(
        folder,
        killed=f"""
        import atexit, os, shop, signal, time
        atexit.register(print, "at exit")
        shop.price(1)
        try:
            with shop.p.block(0, "open"):
                os.kill(os.getpid(), signal.{name})
                time.sleep(60)
        finally:
            print("finally")
        """,
    )
    source = (folder / "shop.py").read_text()
    write(folder, shop=f"{source}\nfrom stichotrope import Profiler\np = Profiler('own')\n")
    done = stichotrope("run", "-t", "shop:price", "-o", "out.json", "killed.py", cwd=folder)
    assert (done.returncode, done.stdout) == (-getattr(signal, name), "")
    assert "price" in done.stderr
    results = ProfilerResults.load(folder / "out.json")
    figures = {
        b.name: (b.hit_count, b.open_count) for t in results.tracks.values() for b in t.blocks
    }
    assert figures == {"price": (1, 0), "open": (0, 1)}


@pytest.mark.skipif(sys.platform != "linux", reason="the timers that it takes are not everywhere")
@pytest.mark.parametrize("where", ["here", "in a child"])
def test_what_keeps_the_interpreter_to_itself_is_ended_all_the_same(folder, where):
    """As a search for ever in a regular expression is, which lets no Python code run any more."""
    write(
        folder,
        stuck=f"""
        import os, re, signal, sys, threading, time
        child = os.fork() if {where == "in a child"} else 0
        if child == 0:
            if os.fork() == 0:
                time.sleep(0.5)
                os.kill(os.getppid(), signal.SIGTERM)
                os._exit(0)
            re.match("(a*)*b", "a" * 100)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    )
    done = stichotrope("run", "-q", "-t", "shop:*", "stuck.py", cwd=folder)
    if where == "here":
        assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")
    else:
        assert (done.returncode, done.stdout) == (0, f"{-signal.SIGTERM}\n")


def test_a_program_that_leaves_at_once_is_reported_on(folder):
    """By `os._exit`, in a thread too; what a wrong status is, is as without us."""
    write(
        folder,
        leaves="""
        import atexit, os, shop, threading
        atexit.register(print, "at exit")
        shop.price(1)
        try:
            os._exit("now")
        except TypeError as error:
            print(error, flush=True)
        thread = threading.Thread(target=os._exit, args=(7,))
        thread.start()
        thread.join()
        """,
    )
    bare = python("leaves.py", cwd=folder)
    done = stichotrope("run", "-t", "shop:price", "-o", "out.json", "leaves.py", cwd=folder)
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout)
    assert "price" in done.stderr
    assert recorded_hits(folder / "out.json") == {"shop": {"price": 1}}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")
def test_a_forked_child_that_leaves_at_once_has_written_what_it_recorded(folder):
    """As children of a fork do, so as not to do what is their parent's to do at its end."""
    write(
        folder,
        forks="""
        import os, shop
        if os.fork() == 0:
            shop.price(1)
            os._exit(3)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
        """,
    )
    (folder / "stichotrope.toml").write_text("gather_period_s = 1000\n")
    done = stichotrope("run", "-q", "-t", "shop:price", "-o", "out.json", "forks.py", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
    assert recorded_hits(folder / "out.json") == {"shop": {"price": 1}}


@posix_only
@pytest.mark.parametrize("how", ["signal.SIG_IGN", "lambda *_: print('own')"])
def test_a_signal_that_the_program_sees_to_is_its_own(folder, how):
    """It goes on, as without us, and is reported on at its end."""
    write(
        folder,
        sees=f"""
        import os, shop, signal
        signal.signal(signal.SIGTERM, {how})
        os.kill(os.getpid(), signal.SIGTERM)
        shop.price(1)
        """,
    )
    bare = python("sees.py", cwd=folder)
    done = stichotrope("run", "-q", "-t", "shop:price", "-o", "out.json", "sees.py", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, bare.stdout, "")
    assert recorded_hits(folder / "out.json") == {"shop": {"price": 1}}


@posix_only
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_that_is_left_alone_loses_nothing(folder, method):
    """Its workers are ended by SIGTERM when the program ends, and have written what they recorded."""
    write(
        folder,
        pool="""
        import multiprocessing, sys
        import shop
        if __name__ == "__main__":
            pool = multiprocessing.get_context(sys.argv[1]).Pool(2)
            print(len(pool.map(shop.price, range(200), 1)))
        """,
    )
    # Long enough that no file is written but at the end.
    (folder / "stichotrope.toml").write_text("gather_period_s = 1000\n")
    done = stichotrope(
        "run", "-q", "-t", "shop:price", "-o", "out.json", "pool.py", method, cwd=folder
    )
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    assert recorded_hits(folder / "out.json") == {"shop": {"price": 200}}


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_of_multiprocessing_are_recorded(folder, method):
    """Children are recorded like their parent, however they are started, and leave nothing behind."""
    write(folder, children=CHILDREN)
    # Its path is short: multiprocessing's sockets are made in it, and the path of a socket has 104 bytes at most.
    with tempfile.TemporaryDirectory() as temporary:
        done = stichotrope(
            *("run", "-q", "-t", "__main__:work", "-t", "__main__:Thing.double"),
            *("-t", "shop:price", "-o", "out.json", "children.py", method),
            cwd=folder,
            TMPDIR=temporary,
        )
        left = list(Path(temporary).glob("stichotrope-*"))
    assert (done.returncode, done.stdout) == (0, "180\n"), done.stderr
    assert recorded_hits(folder / "out.json") == {
        "__main__": {"work": 12, "Thing.double": 12},
        "shop": {"price": 12},
        "marks": {"inside": 12},
    }
    assert len(ProfilerResults.load(folder / "out.json").processes) >= 3
    assert left == []


def test_a_program_without_children_leaves_nothing_behind_however_it_ends(folder):
    """No directory is made as long as there is no other process to write to it."""
    (folder / "temporary").mkdir()
    write(
        folder, leaves="import os, shop\nshop.price(1)\nprint(os.listdir('temporary'))\nos._exit(5)"
    )
    options = ("run", "-t", "shop", "leaves.py")
    done = stichotrope(*options, cwd=folder, TMPDIR=str(folder / "temporary"))
    assert done.returncode == 5
    assert list((folder / "temporary").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_a_forked_child_reports_nothing_of_its_own(folder):
    """A child that ends as its parent does is in the parent's report, which comes once."""
    write(
        folder,
        forks="""
        import os, shop
        pid = os.fork()
        shop.price(1)
        if pid:
            os.waitpid(pid, 0)
        """,
    )
    done = stichotrope("run", "-t", "shop:price", "forks.py", cwd=folder)
    assert done.returncode == 0
    assert done.stderr.count("in blocks") == 1
    assert "2 hits" in done.stderr
    assert "2 processes" in done.stderr


def test_what_a_process_gathered_stays_where_it_was_asked_for(folder):
    """With ``--gather``, each process's file stays, with what there was when it left at once."""
    write(
        folder,
        leaves="""
        import os, shop, sys, time
        from pathlib import Path
        shop.price(1)
        while not list(Path("kept").glob("*.stichotrope.json")):
            time.sleep(0.001)
        os._exit(5)
        """,
    )
    options = ("run", "-t", "shop:price", "--gather", "kept", "leaves.py")
    done = stichotrope(*options, cwd=folder, STICHOTROPE_GATHER_PERIOD_S="0.01")
    assert done.returncode == 5
    gathered = ProfilerResults.load_all(folder / "kept")
    assert (gathered.profiler_name, gathered.total_hits) == ("leaves.py", 1)


def test_earlier_results_in_the_directory_are_not_of_this_run(folder):
    """The report is on this run, though the directory holds the results of others."""
    options = ("run", "-t", "shop:price", "--gather", "kept", "program.py")
    for _ in range(2):
        done = stichotrope(*options, cwd=folder)
        assert "3 hits" in done.stderr
    assert ProfilerResults.load_all(folder / "kept").total_hits == 6


def test_a_program_that_another_starts_is_recorded_when_it_gathers(folder):
    """A subprocess that gathers does so for the report; others are not recorded."""
    write(
        folder,
        starts="""
        import subprocess, sys
        for name in ("gathers.py", "program.py"):
            subprocess.run([sys.executable, name], check=True)
        """,
        gathers="""
        from stichotrope import Profiler
        profiler = Profiler("other")
        profiler.gather()
        with profiler.block(0, "inside"): pass
        """,
    )
    done = stichotrope("run", "-q", "-o", "out.json", "starts.py", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "12\n")
    assert recorded_hits(folder / "out.json") == {"Track 0": {"inside": 1}}


# The live table


def test_a_live_table_needs_a_terminal(folder):
    """Where standard error is no terminal, the live table is a sentence, and the program runs."""
    done = stichotrope("run", "-q", "--live", "program.py", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "12\n")
    assert done.stderr == (
        "stichotrope run: --live shows nothing, as standard error is no terminal\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_live_table_shows_what_is_recorded_and_what_is_open(folder):
    """On a terminal, the table shows hits and open blocks while the program runs, and its lines."""
    write(
        folder,
        waits="""
        import shop
        def wait(): return input("waiting\\n")
        shop.total([1, 2])
        wait()
        print("went on")
        """,
    )
    command = ["run", "--live=0.05", "-t", "shop:price", "-t", "__main__:wait", "waits.py"]
    with on_terminal(folder, *command) as (process, ours):
        seen = read_until(ours, "", "Open now", "wait open for", "price")
        assert "waiting" in seen
        os.write(ours, b"\n")
        seen = read_until(ours, seen, END)
        assert process.wait(WATCHDOG_SECONDS) == 0
    _, _, report = seen.rpartition("went on")
    assert re.search(r"price +2 ", report)
    assert re.search(r"wait +1 ", report)


@contextmanager
def on_terminal(folder: Path, *command: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command on a terminal of its own: its process, and our end of the terminal."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stichotrope", *command],
        cwd=folder,
        env=environment(TERM="xterm", LINES="40", COLUMNS="120"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


WORKERS = """
import multiprocessing
def work(number):
    import shop  # in the children alone
    shop.price(number)
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(work, range(7), chunksize=1)
        input("waiting\\n")
        pool.close()
        pool.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_live_table_has_what_worker_processes_recorded(folder):
    """Those of a pool, while it is there; and no remark says that what they alone ran was not called."""
    (folder / "workers.py").write_text(WORKERS)
    command = ["run", "--live=0.05", "-t", "shop:price", "workers.py"]
    with on_terminal(folder, *command) as (process, ours):
        seen = read_until(ours, "", "price ")
        os.write(ours, b"\n")
        seen = read_until(ours, seen, END)
        assert process.wait(WATCHDOG_SECONDS) == 0
    assert re.search(r"price +7 ", seen)
    assert "matched nothing" not in seen
    assert "none of it was called" not in seen


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_report_follows_processes_that_gather(folder):
    """Until it is interrupted; then the table stays."""
    write(
        folder,
        gathers="""
        import sys
        import stichotrope
        p = stichotrope.Profiler("gathers")
        p.gather("there", period_s=0.05)
        for _ in range(3):
            with p.block(0, "step"): pass
        sys.stdin.read(1)
        with p.block(0, "last"): pass
        sys.stdin.read(1)
        """,
    )
    (folder / "there").mkdir()
    recording = subprocess.Popen(
        [sys.executable, "gathers.py"], cwd=folder, env=environment(), stdin=subprocess.PIPE
    )
    try:
        with on_terminal(folder, "report", "--live", "there") as (process, ours):
            seen = read_until(ours, "", "step")
            assert recording.stdin
            recording.stdin.write(b"1")
            recording.stdin.flush()
            seen = read_until(ours, seen, "last")
            process.send_signal(signal.SIGINT)
            seen = read_until(ours, seen, END)
            assert process.wait(WATCHDOG_SECONDS) == 0
    finally:
        recording.kill()
        recording.communicate()
    assert re.search(r"step +3 ", seen)


END = "\0 the end"


def read_until(terminal: int, seen: str, *wanted: str) -> str:
    """What a terminal has shown, once all that is wanted is in it, or its end."""
    deadline = time.monotonic() + WATCHDOG_SECONDS
    while not all(text in seen for text in wanted):
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # everybody has closed the other end
                seen += END
    return seen


def test_modules_that_are_frozen_or_built_in_are_imported(folder):
    """Their loaders are classes; one that is not imported yet is enough to end a program."""
    code = "import __hello__, _stat; print(__hello__.__spec__.loader.__name__)"
    done = stichotrope("run", "-q", "-t", "*:*", "-c", code, cwd=folder)
    assert (done.returncode, done.stdout.split()[-1]) == (0, "FrozenImporter"), done.stderr
