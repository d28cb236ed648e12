"""A real crash: a small web service under load, whose worker is killed in the middle of a request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from clihelp import environment, stichotrope
from conftest import WATCHDOG_SECONDS
from stichotrope import ProfilerResults

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
]

SERVICE = """
import os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from stichotrope import Profiler

p = Profiler("shop", store="black-box", timeline=1000)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with p.block("web", "request", tag=self.path):
            with p.block("storage", "look up"):
                if self.path == "/stuck":
                    print(os.getpid(), flush=True)
                    threading.Event().wait()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
workers = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        server.serve_forever()
    workers.append(pid)
print(server.server_port, flush=True)
sys.stdin.read()
for pid in workers:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(pid, 0)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A service of two workers, which ends with its standard input."""
    (tmp_path / "service.py").write_text(SERVICE)
    child = subprocess.Popen(
        [sys.executable, "service.py"],
        cwd=tmp_path,
        env=environment(PYTHONWARNINGS="ignore"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin is not None
        try:
            yield child
        finally:
            child.stdin.close()
            child.wait(WATCHDOG_SECONDS)


def asked(port: int, path: str) -> int:
    """Which worker answered a request."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=WATCHDOG_SECONDS)) as connection:
        connection.request("GET", path)
        return int(connection.getresponse().read())


def test_a_report_names_the_block_in_which_a_worker_was_killed(
    tmp_path: Path, service: subprocess.Popen[str]
) -> None:
    """Though it served others meanwhile; every request that was answered is in it, of each worker."""
    assert service.stdout is not None
    port = int(service.stdout.readline())
    answers: list[int] = []
    left: list[BaseException] = []

    def load() -> None:
        answers.extend(asked(port, f"/order/{number}") for number in range(25))

    def be_stuck() -> None:
        try:
            asked(port, "/stuck")
        except (OSError, ValueError) as error:  # nobody answers
            left.append(error)

    stuck = threading.Thread(target=be_stuck)
    stuck.start()
    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    victim = int(service.stdout.readline())
    for client in clients:
        client.join()
    os.kill(victim, signal.SIGKILL)
    stuck.join()
    answers += [asked(port, "/after") for _ in range(5)]
    assert (len(answers), len(left)) == (105, 1)

    found = ProfilerResults.load_all(tmp_path / "black-box")
    assert found.total_hits == 2 * 105
    served = {process.pid: process.total_hits // 2 for process in found.processes}
    assert {pid: served.get(pid, 0) for pid in {*answers, victim}} == {
        pid: answers.count(pid) for pid in {*answers, victim}
    }
    (said,) = [text for text in found.metadata["warnings"] if "was killed" in text]
    assert f"process {victim} was killed, or left without ending; open then: " in said
    assert "storage / look up " in said
    report = stichotrope("report", "black-box", cwd=tmp_path)
    assert report.returncode == 0
    assert "storage / look up " in " ".join((report.stdout + report.stderr).split())
    trace = stichotrope("report", "black-box", "-o", "trace.pftrace", cwd=tmp_path)
    assert (trace.returncode, trace.stderr) == (0, "")
    assert (tmp_path / "trace.pftrace").read_bytes().count(b"/order/7") >= 1
