"""The example service, scraped by a real Prometheus: workers' sums, percentiles, native histograms, a worker killed."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import page
from conftest import WATCHDOG_SECONDS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "service"
UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"

pytestmark = pytest.mark.prometheus


def program(name: str) -> str:
    """The path of a program of Prometheus."""
    found = shutil.which(name) or str(UNPACKED / name)
    if not Path(found).exists():
        pytest.skip(f"{name} is not installed: make prometheus")
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def moments(what: object) -> Iterator[None]:
    """Moments at which to look again, until somebody must be waiting for ever."""
    end = time.monotonic() + WATCHDOG_SECONDS
    while time.monotonic() < end:
        yield
        time.sleep(0.1)
    raise AssertionError(f"it did not come about: {what}")


def get(url: str) -> str:
    """What is at an address, once somebody answers there."""
    for _ in moments(url):
        try:
            with urllib.request.urlopen(url) as response:
                text: str = response.read().decode()
                return text
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError:
            continue
    raise AssertionError  # `moments` has raised


class Prometheus:
    """A running Prometheus, asked by queries.

    Args:
        port: where it answers.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What a query gives: (labels, value) each."""
        answer = json.loads(get(f"{self._url}/query?{urllib.parse.urlencode({'query': query})}"))
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, query: str) -> float:
        """The only value that a query gives, NaN for none."""
        found = self.ask(query)
        return float(found[0]["value"][1]) if found else float("nan")

    def until(self, query: str, expected: float) -> None:
        """Wait until a query gives a value."""
        for _ in moments(f"{query} becomes {expected}"):
            if self.value(query) == expected:
                return


@pytest.fixture
def running() -> Any:
    """The service with its Prometheus: (what it says of itself, Prometheus)."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, str(EXAMPLE / "service.py"), "--port", "0", "--metrics-port", "0"),
            *("--prometheus-port", str(port), "--prometheus", program("prometheus")),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline()), Prometheus(port)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        process.stdout.close()


def test_prometheus_shows_what_was_done_also_by_a_worker_that_was_killed(running):
    """N requests are N in Prometheus, in counters, native and classic histograms and blocks; kill -9 loses none."""
    about, prometheus = running
    orders = about["service"].partition("?")[0]
    base = orders.rpartition("/")[0]
    for number in range(300):
        get(f"{orders}?{number % 20 + 1}")
    for _ in range(20):
        get(f"{base}/fail")
    get(f"{base}/nowhere")
    prometheus.until('sum(shop_requests_total{route="/order",code="200"})', 300)
    prometheus.until('shop_requests_total{code="500"}', 20)
    prometheus.until('shop_requests_total{route="other",code="404"}', 1)
    os.kill(about["workers"][0], signal.SIGKILL)
    for number in range(200):
        get(f"{orders}?{number % 20 + 1}")
    prometheus.until('sum(shop_requests_total{route="/order",code="200"})', 500)
    prometheus.until('histogram_count(shop_latency_seconds{route="/order"})', 500)
    prometheus.until("shop_order_items_count", 500)
    prometheus.until('shop_order_items_bucket{le="5.0"}', 125)
    prometheus.until('stichotrope_block_passes_total{track="cpu",block="price"}', 500)
    prometheus.until('histogram_count(stichotrope_block_duration_seconds{block="query"})', 500)
    prometheus.until("shop_in_progress", 0)


def test_percentiles_are_those_of_the_profiler(running):
    """p99 by histogram_quantile over the native histogram is the profiler's own, within a native bucket."""
    about, prometheus = running
    for number in range(300):
        get(f"{about['service'].partition('?')[0]}?{number % 20 + 1}")
    page = get(about["metrics"])
    for block in ("query", "price"):
        pairs = re.findall(
            rf'duration_seconds_bucket{{[^}}]*block="{block}",le="([^"]+)"}} (\d+)', page
        )
        assert pairs
        total = int(pairs[-1][1])
        prometheus.until(
            f'histogram_count(stichotrope_block_duration_seconds{{block="{block}"}})', total
        )
        found = prometheus.value(
            f'histogram_quantile(0.99, stichotrope_block_duration_seconds{{block="{block}"}})'
        )
        # Between the bounds of the classic bucket that holds the rank, a native bucket further at most.
        bounds = [0.0, *(float(bound) for bound, _ in pairs)]
        place = next(i for i, (_, count) in enumerate(pairs) if int(count) >= 0.99 * total)
        assert bounds[place] / 1.1 <= found <= bounds[place + 1] * 1.1


def test_rules_and_dashboard_ask_what_there_is(running):
    """Every rule is valid, and every query of the dashboard and the rules is answered with something."""
    about, prometheus = running
    checked = subprocess.run(
        [program("promtool"), "check", "rules", str(EXAMPLE / "rules.yml")],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    dashboard = json.loads((EXAMPLE / "dashboard.json").read_text())
    assert {"title", "panels", "schemaVersion", "templating", "time"} <= set(dashboard)
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = re.findall(r"expr: (.*)", (EXAMPLE / "rules.yml").read_text())
    assert len(queries) == 6
    assert len(rules) == 5
    for _ in range(5):
        get(about["service"])
        get(about["service"].replace("/order?3", "/fail"))
    for query in [*queries, *(rule.partition(" > ")[0] for rule in rules)]:
        for _ in moments(query):
            if prometheus.ask(query):
                break


def test_the_guide_leads_from_a_program_to_a_graph(tmp_path):
    """Its program, its configuration and its queries: each shows something."""
    guide = (ROOT / "docs" / "guides" / "metrics.md").read_text()
    first = guide.split("## Count")[0]
    blocks = {fence.title or fence.language: fence.text for fence in page.fences(first)}
    scraped, port = free_port(), free_port()
    served = blocks["shop.py"].replace("start_metrics_server()", f"start_metrics_server({scraped})")
    (tmp_path / "shop.py").write_text(served)
    config = blocks["prometheus.yml"].replace("9464", str(scraped)).replace("5s", "1s")
    (tmp_path / "prometheus.yml").write_text(config)
    options = ["--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    commands = [sys.executable, "shop.py"], [program("prometheus"), *options]
    processes = [subprocess.Popen(command, cwd=tmp_path) for command in commands]
    try:
        prometheus = Prometheus(port)
        for query in blocks["text"].splitlines():
            for _ in moments(query):
                if prometheus.value(query) > 0:
                    break
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.42.0+ds", (["--enable-feature=native-histograms"], {})),
        ("3.7.3", (["--enable-feature=native-histograms"], {})),
        ("3.8.0", ([], {"scrape_native_histograms": True})),
        ("3.10.1", ([], {"scrape_native_histograms": True})),
    ],
)
def test_native_histograms_are_asked_for_as_the_version_has_it(tmp_path, version, expected):
    """By an option, or by a setting that older ones refuse."""
    service = runpy.run_path(str(EXAMPLE / "service.py"))
    told = tmp_path / "prometheus"
    told.write_text(f"#!/bin/sh\necho 'prometheus, version {version} (branch: HEAD)' >&2\n")
    told.chmod(0o755)
    assert service["native_histograms"](str(told)) == expected
