"""`stichotrope top`: what running processes do now, read from their store without their help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clihelp import environment, python
from conftest import WATCHDOG_SECONDS
from stichotrope.cli import top as command

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform == "win32", reason="there are no stores"),
]

PROGRAM = """
import sys, threading, time
from stichotrope import Profiler
p = Profiler("shop", store=sys.argv[1])
def work():
    while True:
        with p.block("db", "query"):
            time.sleep(0.001)
with p.block("web", "serve"):
    threading.Thread(target=work, daemon=True).start()
    while not p.get_results().total_hits:
        time.sleep(0.001)
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The directory of a store."""
    return tmp_path / "store"


@pytest.fixture
def shop(store: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works, and keeps its records."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == "ready\n"
    yield child
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()


def top(store: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return python(
        *("-m", "stichotrope", "top", *arguments, "--interval", "0.1"),
        cwd=store.parent,
        **variables,
    )


def blocks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Block name → its figures, of the one process."""
    assert done.returncode == 0, done.stderr
    (process,) = json.loads(done.stdout)["processes"]
    return {block["name"]: block for block in process["blocks"]}


def test_a_look_has_what_came_since_the_one_before(
    store: Path, shop: subprocess.Popen[str]
) -> None:
    """Hits, shares, means of the interval; what is open, and for how long."""
    found = blocks(top(store, str(store), "--once", "--json"))
    query, serve = found["query"], found["serve"]
    assert query["hits"] > 0
    assert query["mean_ns"] > 1_000_000
    assert query["p95_ns"] >= query["mean_ns"] / 2
    assert (serve["hits"], serve["open"], serve["track"]) == (0, 1, "web")
    assert serve["longest_open_ns"] > 100_000_000
    assert serve["mean_ns"] is None


def test_a_process_is_found_by_its_number(store: Path, shop: subprocess.Popen[str]) -> None:
    """Where the system tells what is mapped; else in the store of the settings."""
    found = blocks(top(store, str(shop.pid), "--once", "--json", STICHOTROPE_STORE=str(store)))
    assert found["serve"]["open"] == 1
    only = blocks(top(store, "--once", "--json", "--match", "q*", STICHOTROPE_STORE=str(store)))
    assert list(only) == ["query"]


def test_a_process_that_is_stopped_is_seen(store: Path, shop: subprocess.Popen[str]) -> None:
    """Nothing comes, and what is open gets older."""
    shop.send_signal(signal.SIGSTOP)
    os.waitpid(shop.pid, os.WUNTRACED)
    found = blocks(top(store, str(store), "--once", "--json"))
    assert found["serve"]["open"] == 1
    assert all(block["hits"] == 0 for block in found.values())


def test_a_table_is_printed(store: Path, shop: subprocess.Popen[str]) -> None:
    """For people, with the process above its blocks."""
    done = top(store, str(store), "--once", "--sort", "name", "--by-process")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{shop.pid}  ")
    assert [line.split("  ")[0] for line in lines[2:]] == ["db / query", "web / serve"]


def test_threads_are_told_apart(store: Path, shop: subprocess.Popen[str]) -> None:
    """What each did, and what it has open."""
    done = top(store, str(store), "--once", "--by-thread", "--json")
    assert done.returncode == 0, done.stderr
    (process,) = json.loads(done.stdout)["processes"]
    found = {
        thread["name"]: {block["name"]: block for block in thread["blocks"]}
        for thread in process["thread_list"]
    }
    main, worker = found["MainThread"], next(found[name] for name in found if name != "MainThread")
    assert {name: block["open"] for name, block in main.items()} == {"serve": 1}
    assert list(worker) == ["query"]
    assert (
        worker["query"]["hits"]
        == process["blocks"][1 - (process["blocks"][0]["name"] == "query")]["hits"]
    )
    done = top(store, str(store), "--once", "--by-thread", "--match", "serve")
    assert [line.split("  ")[0] or line.strip() for line in done.stdout.splitlines()[1:]] == [
        "MainThread",
        "Block",
        "web / serve",
    ]


def test_it_is_renewed_on_a_terminal(store: Path, shop: subprocess.Popen[str]) -> None:
    """Until the key that ends it; others sort, pause and group."""
    pty = pytest.importorskip("pty")
    shown, given = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "stichotrope", "top", str(store), "--interval", "0.05"],
        stdin=given,
        stdout=given,
        stderr=given,
        env=environment(TERM="xterm", COLUMNS="100", LINES="30"),
    )
    os.close(given)
    seen = b""
    while b"db / query" not in seen:
        seen += os.read(shown, 1 << 16)
    os.write(shown, b"s")
    while b"sorted by hits" not in seen:
        seen += os.read(shown, 1 << 16)
    os.write(shown, b"p")
    while b"paused" not in seen:
        seen += os.read(shown, 1 << 16)
    os.write(shown, b"pg")
    while b"by process" not in seen:
        seen += os.read(shown, 1 << 16)
    os.write(shown, b"g")
    while b"MainThread" not in seen:
        seen += os.read(shown, 1 << 16)
    os.write(shown, b"/seq\x7frve\r")
    while b"only /serve; s" not in seen:
        seen += os.read(shown, 1 << 16)
    os.write(shown, b"/x\x1bq")
    try:
        while os.read(shown, 1 << 16):
            pass
    except OSError:  # how Linux says that nobody has the terminal any more
        pass
    assert child.wait(WATCHDOG_SECONDS) == 0
    os.close(shown)


def test_what_cannot_be_looked_at_is_a_sentence(store: Path) -> None:
    """No store, no process, no records, no terminal, a wrong interval."""
    store.mkdir()
    (store / "gone.stichotrope").write_bytes(b"nothing")  # no process has it: nothing to be said
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as other:
        refused(store, other.pid)
    import fcntl

    with (store / "x.stichotrope").open("wb") as stream:
        stream.write(b"nothing")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = top(store, str(store), "--once")
    assert "gone.stichotrope" not in done.stderr
    assert "x.stichotrope: it is too short for a store's file" in done.stderr
    done = python("-m", "stichotrope", "top", "--interval", "0", cwd=store.parent)
    assert "--interval takes seconds from 0.05 to 3600, not 0" in done.stderr


def test_of_processes_that_are_gone_it_says_what_tells(
    store: Path, shop: subprocess.Popen[str]
) -> None:
    """For who comes too late."""
    shop.kill()
    shop.wait()
    done = top(store, str(store), "--once")
    assert done.returncode == 2
    assert done.stderr.endswith(f"; what others have left is told by: stichotrope report {store}\n")


def refused(store: Path, without: int) -> None:
    """Each with a sentence, of which this is the middle.

    :param without: a process that keeps no records.
    """
    for arguments, expected in (
        (("/nowhere", "--once"), "/nowhere: there is no such directory"),
        ((), "give the store's directory or a process's number"),
        (("4000000000", "--once"), "there is no process 4000000000"),
        ((str(without), "--once"), f"process {without} keeps its records in no store"),
        ((str(store), "--once"), "no process that runs keeps its records there"),
        ((str(store),), "standard output is no terminal: give --once"),
        ((str(store), "--json"), "--json prints one object: give --once, too"),
    ):
        done = top(store, *arguments)
        assert done.returncode == 2
        assert expected in done.stderr
        assert "Traceback" not in done.stderr


def test_names_give_way_to_figures_where_there_is_no_room() -> None:
    """A figure that is cut says nothing."""
    from rich.console import Console

    row = {
        "track": "queries",
        "name": "SELECT customer.id, customer.name FROM customer WHERE customer.id = ?",
        "hits_per_s": 1234.5,
        "share": 0.125,
        "mean_ns": 33_000,
        "p95_ns": 46_000,
        "open": 3,
        "longest_open_ns": 12_000_000,
        "concurrency": 2.5,
        "bytes_per_s": 0,
        "items_per_s": 0,
    }
    console = Console(width=72)
    with console.capture() as shown:
        console.print(command._table([row], 10, "share"))
    (line,) = shown.get().splitlines()[1:]
    assert line.startswith("queries / S")
    assert line.endswith(" 12.5 %  33.0 µs  46.0 µs     3  12.0 ms        2.5")


def test_a_long_command_line_leaves_room_for_what_is_behind_it() -> None:
    """The program is at its begin, its last arguments at its end; the age is there."""
    words = ("/srv/shop/.venv/bin/python", "-c", "x\n" * 200, "--last")
    results = SimpleNamespace(metadata={"duration_ns": 3_000_000_000}, profiler_name="shop")
    line = command._process_line(SimpleNamespace(process=7, command=words, results=results))  # type: ignore[arg-type]
    assert line.startswith("7  /srv/shop/.venv/bin/python -c x")
    assert " … " in line
    assert line.endswith("--last  for 3.00 s")
    assert len(line) <= 110
