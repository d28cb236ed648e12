"""``stichotrope run`` runs a program as ``python`` does: what it sees, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import sys
import zipfile
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clihelp import python, stichotrope, write

pytestmark = pytest.mark.integration

PROBE = """\
'''The documentation.'''
import sys
seen = {name: repr(value) for name, value in globals().items() if name != "seen"}
def function(): pass
print(sorted(seen.items()))
print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals())
print(function.__module__, function.__code__.co_filename, function.__code__.co_firstlineno)
function()
"""

# What may differ: where an object lies in memory, and the lines of runpy in a traceback.
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_RUNPY = re.compile(r'  File "(?:<frozen runpy>|[^"]*runpy\.py)", line.*\n(?:    .*\n)*')


def said(done: CompletedProcess[str]) -> tuple[int, str, str]:
    """Exit status and output, without what differs from run to run."""
    return (
        done.returncode,
        _ADDRESS.sub("0x", done.stdout),
        _RUNPY.sub("", _ADDRESS.sub("0x", done.stderr)),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with programs that say what they see."""
    write(
        tmp_path,
        probe=PROBE,
        pkg__="",
        pkg__module=PROBE,
        inner__probe=PROBE,
    )
    (tmp_path / "pkg" / "__main__.py").write_text(PROBE, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", PROBE)
    return tmp_path


TRACKED = ("-t", "__main__:*")


@pytest.mark.parametrize(
    ("options", "program"),
    [
        ((), ("probe.py", "argument", "-t", "--", "-x")),
        ((), ("-m", "pkg.module", "-m")),
        ((), ("-c", PROBE, "-c")),
        (TRACKED, ("./probe.py",)),
        (TRACKED, ("inner/../inner/probe.py",)),
        (TRACKED, ("pkg", "argument")),
        (TRACKED, ("archive.zip", "argument")),
        (TRACKED, ("-m", "probe", "--", "argument")),
        (TRACKED, ("-m", "pkg")),
        (TRACKED, ("-c", PROBE, "-c")),
    ],
    ids=lambda words: " ".join(words)[:24],
)
def test_a_program_sees_what_it_sees_under_python(folder, options, program):
    """Its names, arguments, path and code are the same as when python runs it."""
    usual = python(*program, cwd=folder)
    assert usual.returncode == 0
    assert said(stichotrope("run", "-q", *options, *program, cwd=folder)) == said(usual)


def test_a_program_from_standard_input_sees_what_it_sees_under_python(folder):
    """``-`` runs what standard input holds."""
    usual = python("-", "argument", cwd=folder, stdin=PROBE)
    assert said(stichotrope("run", "-q", "-", "argument", cwd=folder, stdin=PROBE)) == said(usual)


def test_a_program_behind_two_dashes_may_begin_with_a_dash(tmp_path):
    """After ``--`` comes the script, whatever it is called."""
    (tmp_path / "-odd.py").write_text("import sys; print(sys.argv)")
    done = stichotrope("run", "-q", "--", "-odd.py", "--", "x", cwd=tmp_path)
    assert said(done) == (0, "['-odd.py', '--', 'x']\n", "")


def test_the_isolated_interpreter_gets_no_path_of_its_own(folder):
    """Where python is told to put nothing first on the path, nothing is replaced there."""
    program = "import sys; print(sys.path)"
    write(folder, path=program)
    usual = python("path.py", cwd=folder, PYTHONSAFEPATH="1")
    assert said(stichotrope("run", "-q", "path.py", cwd=folder, PYTHONSAFEPATH="1")) == said(usual)


ENDS = {
    "returns": "print('done')",
    "status": "import sys; sys.exit(3)",
    "large_status": "import sys; sys.exit(300)",
    "message": "import sys; print('out'); sys.exit('a message')",
    "none": "raise SystemExit",
    "error": "def f():\n    raise ValueError('x')\ntry:\n    f()\nexcept ValueError as e:\n    raise KeyError(1) from e",
    "syntax": "def f(:",
    "missing": "import there_is_no_such_module",
    "interrupt": "raise KeyboardInterrupt",
    "own_hook": "import sys\nsys.excepthook = lambda *args: print('hook', args[0], args[2].tb_lineno)\n1/0",
    "thread": "import threading, atexit\natexit.register(print, 'atexit')\n"
    "main = threading.main_thread()\n"
    "threading.Thread(target=lambda: (main.join(), print('thread'))).start()",
    "at_once": "import os; os._exit(5)",
    "recursion": "def f(): f()\ntry:\n    f()\nexcept RecursionError:\n    print('deep')",
}
if sys.platform != "win32":
    ENDS["signal"] = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"


@pytest.mark.parametrize("end", list(ENDS))
def test_a_program_ends_as_under_python(tmp_path, end):
    """Status, output and traceback are the same as when python runs it."""
    (tmp_path / "program.py").write_text(ENDS[end])
    usual = said(python("program.py", cwd=tmp_path))
    assert said(stichotrope("run", "-q", "program.py", cwd=tmp_path)) == usual
    if end in ("error", "syntax", "interrupt"):
        done = said(stichotrope("run", "-q", "-t", "__main__:g", "program.py", cwd=tmp_path))
        remarks = re.compile(r"stichotrope run: '__main__:g' .*\n")
        assert (*done[:2], remarks.sub("", done[2])) == usual


def test_an_interrupted_module_ends_by_the_signal_after_its_report(tmp_path):
    """The report of an interrupted program comes, and the process ends by the signal as python's."""
    (tmp_path / "program.py").write_text(
        "def f():\n    raise KeyboardInterrupt\nf()\n", encoding="utf-8"
    )
    done = stichotrope("run", "-t", "__main__:f", "-m", "program", cwd=tmp_path)
    assert done.returncode == python("-m", "program", cwd=tmp_path).returncode
    if sys.platform != "win32":
        assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    traceback, _, report = done.stderr.partition("KeyboardInterrupt\n")
    assert [line for line in traceback.splitlines() if "File" in line] == [
        f'  File "{tmp_path}{os.sep}program.py", line 3, in <module>',
        f'  File "{tmp_path}{os.sep}program.py", line 2, in f',
    ]
    assert "1 hit" in report


def test_a_failing_program_has_the_usual_traceback_when_the_command_runs_it(tmp_path):
    """Not a line of the script that the command is, nor of ours."""
    write(tmp_path, program="def f():\n    1/0\nf()\n")
    command = Path(sys.executable).with_name("stichotrope")
    if not command.exists():
        pytest.skip("the command is elsewhere")
    done = python(str(command), "run", "-q", "program.py", cwd=tmp_path)
    assert done.stderr.startswith(python("program.py", cwd=tmp_path).stderr)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("json.tool", "try stichotrope run -m json.tool"),
        ("pytest", "try stichotrope run PATHpytest"),
        ("nobody.has.this", ""),
        ("nowhere.py", ""),
    ],
)
def test_what_may_be_meant_by_a_mere_name_is_suggested(tmp_path, name, hint):
    """A command of this environment, or what can be run as a module."""
    if name == "pytest" and not Path(sys.executable).with_name("pytest").exists():
        pytest.skip("the command is elsewhere")
    done = stichotrope("run", name, cwd=tmp_path)
    sentence = f"stichotrope run: the script {name} cannot be read: No such file or directory"
    end = hint.replace("PATH", str(Path(sys.executable).parent) + os.sep)
    assert done.stderr == f"{sentence}{'; ' if end else ''}{end}\n"


@pytest.mark.parametrize("runs_as_module", [True, False])
def test_a_command_that_is_no_script_here_is_suggested_as_a_module(tmp_path, runs_as_module):
    """As sqlformat, of a package that is installed elsewhere than beside the interpreter, or for another system."""
    write(tmp_path, tillroll__="", tillroll__shell="def main():\n    pass\n")
    if runs_as_module:
        (tmp_path / "tillroll" / "__main__.py").write_text("import tillroll.shell\n")
    installed = tmp_path / "tillroll-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tillroll\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[console_scripts]\nprint-till = tillroll.shell:main\n"
    )
    done = stichotrope("run", "print-till", cwd=tmp_path)
    sentence = "stichotrope run: the script print-till cannot be read: No such file or directory"
    hint = "; try stichotrope run -m tillroll" if runs_as_module else ""
    assert (done.returncode, done.stderr) == (2, f"{sentence}{hint}\n")


def test_a_failing_module_has_the_usual_traceback(tmp_path):
    """A module that another imports and that fails has no line of ours in its traceback."""
    write(tmp_path, outer="import inner", inner="def f():\n    1/0\nf()\n")
    usual = python("outer.py", cwd=tmp_path)
    done = stichotrope("run", "-q", "-t", "inner:*", "-t", "outer:*", "outer.py", cwd=tmp_path)
    assert done.stderr.startswith(usual.stderr)
    assert done.returncode == usual.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere.py",), "the script nowhere.py cannot be read: No such file or directory"),
        (("-m", "nowhere"), "the module nowhere cannot be run: No module named nowhere"),
        (
            ("-m", "pkg"),
            "the module pkg cannot be run: No module named pkg.__main__; 'pkg' is a package and "
            "cannot be directly executed",
        ),
        (("pkg",), "there is no __main__ module in pkg"),
    ],
)
def test_a_program_that_is_not_there_is_one_sentence(tmp_path, arguments, sentence):
    """A program that cannot be found is one sentence and status 2, with no report."""
    write(tmp_path, pkg__="")
    done = stichotrope("run", "-t", "__main__:*", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"stichotrope run: {sentence}\n"


def test_programs_of_the_standard_library_run(tmp_path):
    """``-m json.tool``, ``-m timeit`` and a main program of unittest do what they do."""
    write(
        tmp_path,
        suite="""
        import unittest
        class Case(unittest.TestCase):
            def test_right(self): self.assertEqual(1, 1)
        if __name__ == "__main__":
            unittest.main()
        """,
    )
    tool = stichotrope("run", "-q", "-m", "json.tool", cwd=tmp_path, stdin="[1]")
    assert (tool.returncode, tool.stdout.split()) == (0, ["[", "1", "]"])
    timed = stichotrope(
        "run", "-t", "timeit:Timer.*", "-m", "timeit", "-n1", "-r2", "x=1", cwd=tmp_path
    )
    assert timed.returncode == 0
    assert "1 loop, best of 2" in timed.stdout
    assert "Timer.repeat" in timed.stderr
    suite = stichotrope("run", "-t", "__main__:Case", "suite.py", cwd=tmp_path)
    assert suite.returncode == 0
    assert "Ran 1 test" in suite.stderr
    assert "Case.test_right" in suite.stderr
