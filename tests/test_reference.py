"""Real programs with their functions tracked by their code: each is counted as `sys.setprofile` tells of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import WATCHDOG_SECONDS
from stichotrope import _core

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.skipif(not _core.can_track_code(), reason="from CPython 3.12 on"),
]

# Streams, threads, tasks that are cancelled, asynchronous generators that are left.
ECHO = """
import asyncio
import contextlib

@contextlib.asynccontextmanager
async def serving(handler):
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]

async def handler(reader, writer):
    with contextlib.suppress(ConnectionError):
        async for line in reader:
            writer.write(await asyncio.to_thread(bytes.upper, line))
            await writer.drain()
    writer.close()

async def client(port, number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for each in range(10):
        writer.write(b"%d %d\\n" % (number, each))
        assert await reader.readline() == b"%d %d\\n" % (number, each)
    writer.close()
    await writer.wait_closed()

async def fill(queue):
    for number in range(50):
        await queue.put(number)

async def numbers():
    try:
        while True:
            yield 1
    finally:
        await asyncio.sleep(0)

async def main():
    async with serving(handler) as port, asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(client(port, number))
    waiting = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    queue = asyncio.Queue(2)
    filling = asyncio.create_task(fill(queue))
    assert [await queue.get() for _ in range(50)] == list(range(50))
    await filling
    async for number in numbers():
        break

asyncio.run(main())
"""

TESTS = """
import pytest

@pytest.fixture(params=[1, 2])
def given(request):
    yield request.param

def test_passes(given, tmp_path): assert given

def test_is_skipped(given): pytest.skip("no reason")

@pytest.mark.xfail
def test_fails(): assert 0

def test_raises():
    with pytest.raises(ValueError): int("x")
"""

PROGRAMS = {
    "json": ("json.*,argparse,re.*", "-m", "json.tool", str(ROOT / "docs" / "conformance.json")),
    "pydoc": ("pydoc,inspect,textwrap,tokenize", "-m", "pydoc", "asyncio"),
    "asyncio": ("echo,asyncio.*,contextlib,concurrent.*,selectors", "echo.py"),
    "rich": (
        *("rich.*,markdown_it.*,pygments.*", "-m"),
        *("rich.markdown", str(ROOT / "CONTRIBUTING.md")),
    ),
    "pytest": ("pluggy.*,_pytest.*", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_function_is_counted_as_the_reference_does(name: str, tmp_path: Path) -> None:
    """Of the standard library and of packages from PyPI; what is still open at the end included."""
    patterns, *program = PROGRAMS[name]
    tmp_path.joinpath("echo.py").write_text(ECHO)
    tmp_path.joinpath("test_it.py").write_text(TESTS)
    targets = [part for pattern in patterns.split(",") for part in ("-t", pattern)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), *targets, *program],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
        check=False,
    )
    told = re.search(r"^(\d+) functions, ([\d,]+) calls, 0 differ$", done.stderr, re.MULTILINE)
    assert told, done.stderr
    assert done.returncode == 0
    assert int(told[1]) > 20
