"""A process that runs already is joined, every call of it counts, and it is left as it was."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import WATCHDOG_SECONDS, hits
from stichotrope import ProfilerResults
from stichotrope.cli import main

CAN_JOIN = sys.version_info >= (3, 14) and hasattr(sys, "remote_exec")

joins = pytest.mark.skipif(not CAN_JOIN, reason="from CPython 3.14 on")
root_only = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can be another user"
)

NOBODY = 65534  # the number of a user without rights

# A program that does what its standard input says, a line of Python each, and answers in JSON.
TARGET = """
import json, os, select, signal, sys, threading, time

TABLE = {}

def kept(function):
    TABLE[function.__name__] = function
    return function

@kept
def price(n):
    return n + 1

def factory():
    def inner(n):
        return price(n)
    return inner

inner = factory()

def steps(n):
    yield from range(n)

class Till:
    def add(self, n):
        return TABLE["price"](n)

def work(times):
    till = Till()
    for n in range(times):
        TABLE["price"](n)
        inner(n)
        till.add(n)
        sum(steps(3))
    return times

def blocked():
    return os.read(0, 100).decode()

def forked():
    child = os.fork()
    if not child:
        work(1)
        os._exit(left() if "stichotrope" in sys.modules else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def left():
    from stichotrope import _core
    return sum(1 for f in (price, inner, steps, Till.add, work) if _core.code_events(f.__code__))

def facts():
    tools = [sys.monitoring.get_tool(n) for n in range(6)]
    events = [sys.monitoring.get_events(n) if tools[n] else 0 for n in range(6)]
    return {
        "path": sys.path, "finders": list(map(repr, sys.meta_path)), "tools": tools, "events": events,
        "threads": [str(t.name) for t in threading.enumerate()], "functions": [str(type(price)), price is TABLE["price"]],
        "files": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        "tasks": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1,
        "hooks": list(map(repr, (sys.unraisablehook, sys.excepthook, sys.gettrace(), sys.getprofile(), os._exit))),
        "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)],
    }

def main():
    while True:
        if select.select([sys.stdin], [], [], 0.01)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            print(json.dumps(eval(line)), flush=True)

if __name__ == "__main__":
    main()
"""


class Target:
    """A process that is joined."""

    def __init__(self, *options: str, folder: Path, **more: Any) -> None:
        script = folder / "target.py"
        script.write_text(TARGET, encoding="utf-8")
        script.chmod(0o644)
        environment = {**os.environ, **more.pop("env", {})}
        self.process = subprocess.Popen(
            [more.pop("python", sys.executable), *options, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **more,
        )
        assert self("1") == 1

    @property
    def number(self) -> str:
        """Its number."""
        return str(self.process.pid)

    def __call__(self, line: str) -> Any:
        """Have it evaluate a line, and return the answer."""
        self.tell(line)
        return self.answer()

    def answer(self) -> Any:
        """Return the next answer."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        assert answer, self.process.communicate()[1]
        return json.loads(answer)

    def tell(self, line: str) -> None:
        """Have it evaluate a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ended(self) -> str:
        """Let it end, and return what it has said to standard error."""
        said = self.process.communicate(timeout=WATCHDOG_SECONDS)[1]
        assert self.process.returncode == 0, said
        return str(said)


class Attach:
    """The command, at work."""

    def __init__(self, number: str, *options: str, **more: Any) -> None:
        command = [sys.executable, "-m", "stichotrope", "attach", number, *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
        )
        self.said = ""

    def until(self, words: str) -> Attach:
        """Wait until it has said something."""
        assert self.process.stderr is not None
        while words not in self.said:
            line = self.process.stderr.readline()
            assert line, f"it ended without saying {words!r}: {self.said}"
            self.said += line
        return self

    def joined(self) -> Attach:
        """Wait until it has joined."""
        return self.until("is joined")

    def interrupt(self) -> Attach:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self

    def ended(self, status: int = 0) -> str:
        """Wait for its end, and return what it printed."""
        out, err = self.process.communicate(timeout=WATCHDOG_SECONDS)
        self.said += err
        assert self.process.returncode == status, self.said
        return str(out)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Target]]:
    """Start targets, which are ended afterwards."""
    with contextlib.ExitStack() as stack:

        def begin(*options: str, folder: Path = tmp_path, **more: Any) -> Target:
            target = Target(*options, folder=folder, **more)
            stack.callback(target.process.wait)
            stack.callback(target.process.kill)
            for stream in (target.process.stdin, target.process.stdout, target.process.stderr):
                stack.enter_context(stream)  # type: ignore[arg-type]
            return target

        yield begin


def folders(number: str) -> list[str]:
    """What was left in the place for temporary files."""
    import tempfile

    place = Path(tempfile.gettempdir())
    return [str(path) for path in place.glob(f"stichotrope-attach-{number}-*")]


# Counts, and what is left


@joins
def test_each_call_counts_and_nothing_is_left(start: Callable[..., Target], tmp_path: Path) -> None:
    """Functions in tables and closures, methods, generators; then the process is as it was."""
    target = start()
    before = target("facts()")
    attach = Attach(
        target.number, "-t", "__main__", "-o", str(tmp_path / "run.json"), "-q"
    ).joined()
    assert target("work(100)") == 100
    during = target("facts()")
    assert "stichotrope" in during["tools"]
    assert during["functions"] == before["functions"]
    assert attach.interrupt().ended() == ""
    assert target("work(7)") == 7
    assert target("facts()") == before
    assert target("left()") == 0
    found = hits(ProfilerResults.load(tmp_path / "run.json"))
    found.pop("facts")
    assert found == {
        "price": 300,
        "factory.<locals>.inner": 100,
        "Till.add": 100,
        "steps": 100,
        "work": 1,
    }
    assert folders(target.number) == []
    assert target.ended() == ""


@joins
@pytest.mark.extended
def test_a_process_is_joined_for_a_time_and_reported_on(start: Callable[..., Target]) -> None:
    """Without patterns, its own modules; the report goes to standard output."""
    target = start()
    attach = Attach(target.number, "--for", "1s", "--limit", "3").joined()
    target("work(10)")
    out = attach.ended()
    assert f"target.py ({target.number})" in out
    assert "price" in out
    assert "for 1 s" in attach.said


@joins
def test_two_join_at_once(start: Callable[..., Target], tmp_path: Path) -> None:
    """Each has what was called while it was there."""
    target = start()
    before = target("facts()")
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    both = [Attach(target.number, "-t", "__main__:price", "-q", "-o", str(path)) for path in paths]
    for one in both:
        one.joined()
    target("work(1)")
    both[0].interrupt().ended()
    target("work(10)")
    both[1].interrupt().ended()
    target("work(100)")
    assert [hits(ProfilerResults.load(path)) for path in paths] == [{"price": 3}, {"price": 33}]
    assert target("facts()") == before


@joins
def test_a_pattern_that_matches_nothing_is_named(start: Callable[..., Target]) -> None:
    """And a function that was not called."""
    target = start()
    attach = Attach(target.number, "-t", "__main__:prise", "-t", "target:work", "--for", "0.1s")
    attach.ended()
    assert "'__main__:prise' matched nothing" in attach.said
    assert "did you mean price" in attach.said
    assert "'target:work' chose work, and none of it was called" in attach.said
    assert "nothing was recorded" in attach.said


@joins
def test_a_table_is_shown_meanwhile(start: Callable[..., Target]) -> None:
    """On a terminal, below nothing of the program's."""
    import pty

    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(str(error))
    target = start()
    command = [sys.executable, "-m", "stichotrope", "attach", target.number, "--live=0.05", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as attach:
        os.close(theirs)
        shown = b""
        worked = False
        while b"Till.add" not in shown:
            if b"is joined" in shown and not worked:
                worked = target("work(5)") == 5
            shown += os.read(ours, 4096)
        attach.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal's other end is gone
            while os.read(ours, 4096):
                pass
        assert attach.wait(WATCHDOG_SECONDS) == 0
    os.close(ours)


# Processes that are not as one would wish


@joins
@pytest.mark.extended
def test_a_process_that_ends_has_its_figures_reported(
    start: Callable[..., Target], tmp_path: Path
) -> None:
    """Whether it ends by itself or is killed."""
    for kill in (False, True):
        target = start()
        path = tmp_path / f"{kill}.json"
        attach = Attach(target.number, "-t", "__main__:price", "-q", "-o", str(path)).joined()
        target("work(5)")
        if kill:
            target.process.kill()
        else:
            target.ended()
        attach.ended()
        assert f"process {target.number} has ended" in attach.said
        assert hits(ProfilerResults.load(path)) == {"price": 15}
        assert folders(target.number) == []


@joins
def test_a_process_that_is_stopped_is_refused(start: Callable[..., Target]) -> None:
    """And left untouched: what to do is said."""
    target = start()
    os.kill(target.process.pid, signal.SIGSTOP)
    until_stopped(target)
    attach = Attach(target.number)
    attach.ended(2)
    assert f"is stopped; let it go on first: kill -CONT {target.number}" in attach.said
    os.kill(target.process.pid, signal.SIGCONT)
    assert target("'stichotrope' in sys.modules") is False


def until_stopped(target: Target) -> None:
    """Wait until the system has stopped it."""
    status = Path(f"/proc/{target.number}/status")
    while status.exists() and "State:\tT" not in status.read_text():
        time.sleep(0.01)


@joins
@pytest.mark.extended
def test_a_process_that_is_stopped_meanwhile_is_left_when_it_goes_on(
    start: Callable[..., Target],
) -> None:
    """Until then, that is said."""
    target = start()
    attach = Attach(target.number, "-t", "__main__:price").joined()
    target("work(1)")
    os.kill(target.process.pid, signal.SIGSTOP)
    until_stopped(target)
    attach.interrupt().until("is stopped, and comes to it when it goes on")
    os.kill(target.process.pid, signal.SIGCONT)
    assert "price" in attach.ended()
    assert target("left()") == 0


@joins
@pytest.mark.extended
def test_a_process_that_waits_in_c_is_joined_when_it_goes_on(
    start: Callable[..., Target], tmp_path: Path
) -> None:
    """Where it waits is said; Ctrl-C gives up, and then it is never joined."""
    target = start()
    before = target("facts()")
    target.tell("[blocked(), work(3)]")
    given_up = Attach(target.number, "-t", "__main__:price").until("waiting for process")
    assert "its main thread runs no code of Python now" in given_up.said
    given_up.interrupt().ended(2)
    assert "given up before" in given_up.said
    assert folders(target.number) == []
    path = tmp_path / "run.json"
    attach = Attach(target.number, "-t", "__main__:price", "-q", "-o", str(path))
    target.tell("go on")
    attach.joined()
    assert target.answer() == ["go on\n", 3]
    target("work(2)")
    attach.interrupt().ended()
    assert hits(ProfilerResults.load(path))["price"] in (6, 15)  # 3 of them before it was joined
    assert target("facts()") == before
    assert target.ended() == ""


@joins
@pytest.mark.extended
def test_leaving_a_process_that_waits_in_c_can_be_left_to_it(
    start: Callable[..., Target], eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """A second Ctrl-C goes; the process forgets the marks, and removes the files, when it can."""
    target = start()
    before = target("facts()")
    attach = Attach(target.number, "-t", "__main__:price", "-q").joined()
    target.tell("blocked()")
    time.sleep(0.3)
    attach.interrupt().until("waiting for process")
    attach.interrupt().ended()
    assert "was asked to forget the marks" in attach.said
    assert len(folders(target.number)) == 1
    assert target("go on") == "go on\n"
    eventually(lambda: not folders(target.number))
    assert target("left()") == 0
    eventually(lambda: target("facts()") == before)


@joins
def test_a_process_without_the_package_gets_it_from_here(
    start: Callable[..., Target], tmp_path: Path
) -> None:
    """Its path for imports stays what it was."""
    target = start("-S", "-E")
    before = target("facts()")
    path = tmp_path / "run.json"
    attach = Attach(target.number, "-t", "__main__:price", "-q", "-o", str(path)).joined()
    target("work(4)")
    attach.interrupt().ended()
    assert "is not installed for process" in attach.said
    assert hits(ProfilerResults.load(path)) == {"price": 12}
    assert target("facts()") == before


@joins
@pytest.mark.parametrize("how", ["environment", "option"])
def test_a_process_with_remote_debugging_off_is_refused(
    start: Callable[..., Target], how: str
) -> None:
    """With what to do."""
    target = (
        start(env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"})
        if how == "environment"
        else start("-X", "disable-remote-debug")
    )
    attach = Attach(target.number)
    attach.ended(2)
    assert "was started with remote debugging off" in attach.said
    assert "stichotrope run -t" in attach.said
    assert folders(target.number) == []


@joins
@root_only
def test_another_users_process_is_joined_by_root_alone(
    start: Callable[..., Target], tmp_path: Path
) -> None:
    """Others are told whose it is."""
    import tempfile

    own = start()
    attach = Attach(own.number, user=NOBODY, cwd="/")
    attach.ended(2)
    assert f"process {own.number} is root's" in attach.said
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        theirs = start(folder=Path(folder), user=NOBODY, cwd="/")
    path = tmp_path / "run.json"
    attach = Attach(theirs.number, "-t", "__main__:price", "-q", "-o", str(path)).joined()
    theirs("work(2)")
    attach.interrupt().ended()
    assert hits(ProfilerResults.load(path)) == {"price": 6}
    assert folders(theirs.number) == []


@joins
def test_a_process_of_another_version_is_refused(start: Callable[..., Target]) -> None:
    """With the interpreter to do it by."""
    import shutil

    other = shutil.which("python3.15" if sys.version_info[:2] == (3, 14) else "python3.14")
    if other is None:
        pytest.skip("there is one version only")
    target = start(python=other)
    attach = Attach(target.number)
    attach.ended(2)
    assert "runs another version of Python" in attach.said
    assert f"{os.path.realpath(other)} -m stichotrope attach {target.number}" in attach.said


@joins
def test_what_is_no_python_is_refused() -> None:
    """By name."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        time.sleep(0.1)
        attach = Attach(str(process.pid))
        attach.ended(2)
        process.kill()
    assert f"process {process.pid} (sleep) runs no Python that can be joined" in attach.said


@joins
def test_a_process_that_executes_another_program_is_told_of(start: Callable[..., Target]) -> None:
    """What it had recorded until then is reported."""
    target = start()
    attach = Attach(target.number, "-t", "__main__:price").joined()
    target("work(1)")
    target.tell("os.execv('/bin/sleep', ['sleep', '1000'])")
    assert "price" in attach.ended()
    assert "runs another program now" in attach.said
    assert folders(target.number) == []


# Processes that start others, and those who join that end


@joins
def test_a_forked_child_was_never_joined(start: Callable[..., Target], tmp_path: Path) -> None:
    """It is marked no more, and its calls are not in the results."""
    target = start()
    path = tmp_path / "run.json"
    attach = Attach(target.number, "-t", "__main__:price", "-q", "-o", str(path)).joined()
    assert target("forked()") == 0
    target("work(1)")
    attach.interrupt().ended()
    assert hits(ProfilerResults.load(path)) == {"price": 3}


@joins
def test_what_a_killed_one_has_left_the_next_one_takes_away(start: Callable[..., Target]) -> None:
    """Its lock has ended with it."""
    target = start()
    before = target("facts()")
    killed = Attach(target.number, "-t", "__main__:work", "-q").joined()
    killed.process.kill()
    killed.process.communicate()
    target("work(1)")
    assert target("left()") == 1
    Attach(target.number, "-t", "__main__:price", "--for", "0.1s").ended()
    assert target("left()") == 0
    assert target("facts()") == before
    for folder in folders(target.number):
        for path in sorted(Path(folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        os.rmdir(folder)


@joins
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_the_command_has_the_process_left(
    start: Callable[..., Target], number: int
) -> None:
    """As Ctrl-C does."""
    target = start()
    attach = Attach(target.number, "-t", "__main__:price").joined()
    target("work(1)")
    attach.process.send_signal(number)
    assert "price" in attach.ended()
    assert target("left()") == 0


# What is asked for


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["shop"], "a process is given by its number"),
        (["0"], "a process is given by its number"),
        (["1", "--for", "soon"], "--for takes a time such as 30s"),
        (["1", "--for=-1s"], "--for takes a time such as 30s"),
        (["1", "--live=-3"], "--live takes seconds"),
        (["1", "-o", "/no/such/folder/run.json"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(
    given: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the status of mistakes."""
    assert main(["attach", *given]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.skipif(CAN_JOIN, reason="before CPython 3.14")
def test_earlier_versions_are_told_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    """The sentence names the version, and the other way."""
    assert main(["attach", str(os.getppid())]) == 2
    err = capfd.readouterr().err
    assert "from CPython 3.14 on" in err
    assert "stichotrope run -t" in err


@joins
def test_a_process_that_is_not_there_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """And so is this one, and a pattern that is none."""
    for number in ("99999999", str(os.getpid())):
        assert main(["attach", number]) == 2
    assert main(["attach", str(os.getppid()), "-t", "a/b.py"]) == 2
    err = capfd.readouterr().err
    assert "there is no process 99999999" in err
    assert f"process {os.getpid()} is this one" in err
    assert "names a file" in err


@joins
def test_a_system_that_forbids_it_is_named(
    start: Callable[..., Target],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where only children may be looked into."""

    def forbidden(number: int, script: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    target = start()
    monkeypatch.setattr(sys, "remote_exec", forbidden)
    assert main(["attach", target.number]) == 2
    assert f"the system forbids to look into process {target.number}" in capfd.readouterr().err
