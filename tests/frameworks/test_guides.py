"""What the guides tell users of frameworks to copy is run as they tell it: make frameworks."""

# mypy: ignore-errors
# What it is typed against is in another environment, and not each version of Python has all of it.

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import page
from stichotrope import ProfilerResults

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.skipif(os.name == "nt", reason="stores and signals are of POSIX"),
]

GUIDES = Path(__file__).parents[2] / "docs"
PASSES = 7
SECONDS = 300.0  # far beyond what a server takes to answer: reaching it means that it hangs


def copy(guide: str, folder: Path) -> None:
    """Write the files that a guide has, and nothing else."""
    for fence in page.fences((GUIDES / guide).read_text(encoding="utf-8")):
        if fence.title:
            path = folder / fence.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fence.text, encoding="utf-8")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def served(folder: Path, port: int, *arguments: str) -> Iterator[subprocess.Popen]:
    """A server that is run by `stichotrope run` with a store, from its first answer on."""
    command = [sys.executable, "-m", "stichotrope", "run", "-q", "--store", "records", *arguments]
    log = folder / "log.txt"
    with open(log, "wb") as stream:
        server = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream)
    try:
        end = time.monotonic() + SECONDS
        while not answers(port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()


def answers(port: int) -> bool:
    """Whether a server is there; a connection that asks for nothing is no request."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int) -> None:
    """As often as a test counts."""
    for number in range(1, PASSES + 1):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/orders/{number}") as answer:
            assert answer.status == 200


def hits(records: Path) -> dict[str, int]:
    """Name of a block → how often it was passed, in all processes.

    A client may have its answer before the last pass has ended: what was open then counts.
    """
    found = ProfilerResults.load_all(records, name="shop")
    return {
        one.name: one.hit_count + one.open_count for track in found.tracks.values() for one in track
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_fastapi_under_uvicorn(tmp_path: Path, workers: int) -> None:
    """A stop by SIGTERM leaves each pass, though uvicorn ends its workers by the signal itself."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    copy("guides/web.md", tmp_path)
    port = free_port()
    options = ("--port", str(port), "--workers", str(workers))
    with served(tmp_path, port, "-m", "uvicorn", "fastapi_app:app", *options) as server:
        ask(port)
        server.send_signal(signal.SIGTERM)
        server.wait(SECONDS)
    assert hits(tmp_path / "records") == {
        "GET /orders/{number}": PASSES,
        "order": PASSES,
        "sum": PASSES,
    }


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_flask_under_gunicorn(tmp_path: Path, how: signal.Signals) -> None:
    """However the workers end."""
    pytest.importorskip("flask")
    pytest.importorskip("gunicorn")
    copy("guides/web.md", tmp_path)
    port = free_port()
    options = ("-w", "2", "-b", f"127.0.0.1:{port}", "--pid", "pid")
    with served(tmp_path, port, "-m", "gunicorn", *options, "flask_app:app") as server:
        ask(port)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        if how == signal.SIGKILL and children.exists():
            for child in children.read_text().split():
                os.kill(int(child), how)
        server.send_signal(signal.SIGTERM)
        server.wait(SECONDS)
    assert hits(tmp_path / "records") == {
        "GET /orders/<int:number>": PASSES,
        "order": PASSES,
        "sum": PASSES,
    }


def test_any_of_uvicorns_workers_answers_for_all(tmp_path: Path) -> None:
    """Each request is in a scrape once, also those of a worker that was killed."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    copy("guides/metrics.md", tmp_path)
    port = free_port()
    options = "shop_app:app", "--port", str(port), "--workers", "2", "--log-level", "warning"
    environment = {**os.environ, "SHOP_FIGURES": str(tmp_path / "figures")}
    command = [sys.executable, "-m", "uvicorn", *options]
    server = subprocess.Popen(command, cwd=tmp_path, env=environment)
    try:
        end = time.monotonic() + SECONDS
        while len(metric_files(tmp_path)) < 2 or not answers(port):
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        ask(port)
        assert figures_of(port) == (PASSES, PASSES)
        os.kill(int(metric_files(tmp_path)[0].name.partition("-")[0]), signal.SIGKILL)
        for number in range(3 * PASSES):
            until_answered(f"http://127.0.0.1:{port}/orders/more{number}")
        assert figures_of(port) == (4 * PASSES, 4 * PASSES)
    finally:
        server.terminate()
        server.wait()


def metric_files(folder: Path) -> list[Path]:
    """What the workers record their metrics in."""
    return sorted(folder.glob("figures/metrics/*.stichotrope-metrics"))


def until_answered(url: str) -> str:
    """What is at an address; a worker that was killed answers nobody, and has counted nothing."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.read().decode()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)


def figures_of(port: int) -> tuple[float, float]:
    """How many orders a scrape shows, and how many passes of the block."""
    lines = until_answered(f"http://127.0.0.1:{port}/metrics").splitlines()
    found = [
        sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
        for name in ("shop_orders_total{", "stichotrope_block_passes_total{")
    ]
    return found[0], found[1]


def test_django_by_its_middleware(tmp_path: Path) -> None:
    """A route by its template, under the profiler that the settings name."""
    pytest.importorskip("django")
    copy("guides/web.md", tmp_path)
    (tmp_path / "site_settings.py").write_text(
        "from django_settings import *\n"
        "SECRET_KEY, ROOT_URLCONF, ALLOWED_HOSTS, USE_TZ = 'x', 'site_urls', ['*'], True\n"
    )
    (tmp_path / "site_urls.py").write_text(
        "from django.http import HttpResponse\n"
        "from django.urls import path\n"
        "urlpatterns = [path('orders/<int:number>', lambda request, number: HttpResponse(number))]\n"
    )
    (tmp_path / "ask.py").write_text(
        "import os\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'site_settings'\n"
        "import django\n"
        "django.setup()\n"
        "from django.test import Client\n"
        f"for number in range({PASSES}):\n"
        "    assert Client().get(f'/orders/{number}').status_code == 200\n"
        "from shop_profiling import p\n"
        "(block,) = p.get_results()['requests']\n"
        f"assert block.hit_count == {PASSES} and 'orders/<int:number>' in block.name, block\n"
    )
    done = subprocess.run([sys.executable, "ask.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_joblib_s_processes_did_is_in_the_report(tmp_path: Path) -> None:
    """The ten lines of the guide, run as a script."""
    pytest.importorskip("joblib")
    copy("guides/pandas.md", tmp_path)
    done = subprocess.run(
        [sys.executable, "search.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines() if line[:5] == "score"] == [
        ["score", "100"]
    ]


@pytest.mark.parametrize(
    ("guide", "needed"),
    [
        ("guides/pandas.md", "pandas"),
        ("guides/tests.md", "pytest"),
        ("engines/celery.md", "celery"),
    ],
)
def test_every_other_block_of_a_guide_runs(tmp_path: Path, guide: str, needed: str) -> None:
    """As the tests of the documentation run it, with the library that it is about."""
    pytest.importorskip(needed)
    done = subprocess.run(
        [sys.executable, str(Path(page.__file__)), str(GUIDES / guide)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
