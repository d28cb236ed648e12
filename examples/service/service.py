"""A small service with two workers, and all its figures in Prometheus.

    python examples/service/service.py --load 60

It answers on a port, from worker processes that run asyncio and a pool of threads; makes its own
load; and serves the metrics of all workers on another port, from the process that looks after them.
If `prometheus` is installed, it is started beside, with the rules that stand in this folder. Open
the address that is printed; `dashboard.json` is for Grafana. Ctrl-C ends it all.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stichotrope import Profiler, ProfilerResults
from stichotrope.integrations.prometheus import MetricsServer, start_metrics_server
from stichotrope.metrics import (
    Counter,
    Gauge,
    Histogram,
    MetricRegistry,
    SharedCollector,
    share_metrics,
)
from stichotrope.metrics.blocks import BlockCollector

HERE = Path(__file__).parent
REGISTRY = MetricRegistry()
REQUESTS = Counter("shop_requests", "Requests answered.", ["route", "code"], registry=REGISTRY)
IN_PROGRESS = Gauge("shop_in_progress", "Requests being answered.", registry=REGISTRY)
LATENCY = Histogram("shop_latency_seconds", "Time to answer.", ["route"], registry=REGISTRY)
ITEMS = Histogram(
    "shop_order_items", "Items in an order.", buckets=[1, 2, 5, 10, 20], registry=REGISTRY
)


class Worker:
    """One process of the service.

    :param directory: where all workers share their figures.
    """

    def __init__(self, directory: str) -> None:
        share_metrics(directory, REGISTRY)
        self._profiler = Profiler("shop", store=directory)
        self._price = self._profiler.block("cpu", "price")
        self._query = self._profiler.block("database", "query")
        self._pool = ThreadPoolExecutor(4)

    async def serve(self, listener: socket.socket) -> None:
        """Answer until the process is told to end."""
        server = await asyncio.start_server(self._connection, sock=listener)
        async with server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        try:
            line = await reader.readline()
            while (await reader.readline()).strip():
                pass
            path = (line.split() or [b"", b""])[1].decode("latin-1")
            code, body = await self._answer(path)
            head = f"HTTP/1.1 {code}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        except (ConnectionError, IndexError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str) -> tuple[str, bytes]:
        route = path.partition("?")[0]
        known = route in ("/order", "/fail")
        IN_PROGRESS.inc()
        try:
            with LATENCY.labels(route if known else "other").time():
                if route == "/order":
                    code, body = "200 OK", await self._order(int(path.partition("?")[2] or 1))
                elif route == "/fail":
                    code, body = "500 Internal Server Error", b"no luck\n"
                else:
                    code, body = "404 Not Found", b"not here\n"
        finally:
            IN_PROGRESS.dec()
        REQUESTS.labels(route if known else "other", code[:3]).inc()
        return code, body

    async def _order(self, items: int) -> bytes:
        ITEMS.observe(items)
        with self._query:
            await asyncio.sleep(random.expovariate(500))
        loop = asyncio.get_running_loop()
        price = await loop.run_in_executor(self._pool, self._work, items)
        return f"{price}\n".encode()

    def _work(self, items: int) -> int:
        with self._price:
            digest = b""
            for number in range(50 * items):
                digest = hashlib.sha256(digest + bytes([number % 256])).digest()
            return digest[0]


def run_worker(directory: str, listener: socket.socket) -> None:
    """Be one worker, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(directory)
    asyncio.run(worker.serve(listener))


class Service:
    """The workers, what looks after them, and what serves their metrics.

    :param workers: how many.
    :param port: where requests are answered; 0 for one that is free.
    :param metrics_port: where Prometheus scrapes; likewise.
    """

    def __init__(self, workers: int, port: int, metrics_port: int) -> None:
        self.directory = tempfile.mkdtemp(prefix="shop-")
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._context = multiprocessing.get_context("spawn")
        self.workers = [self._started() for _ in range(workers)]
        self.metrics: MetricsServer = start_metrics_server(
            metrics_port,
            collectors=[SharedCollector(self.directory), BlockCollector(self._results)],
        )

    def _started(self) -> Any:
        worker = self._context.Process(
            target=run_worker, args=(self.directory, self._listener), daemon=True
        )
        worker.start()
        return worker

    def _results(self) -> list[ProfilerResults]:
        """What all workers have recorded, those that have ended included."""
        try:
            return [ProfilerResults.load_all(self.directory)]
        except FileNotFoundError:
            return []

    def look_after(self) -> None:
        """Replace workers that have ended."""
        for number, worker in enumerate(self.workers):
            if not worker.is_alive():
                self.workers[number] = self._started()

    def stop(self) -> None:
        """End it all."""
        for worker in self.workers:
            worker.terminate()
            worker.join()
        self.metrics.stop()
        self._listener.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def start_prometheus(program: str, target: int, port: int, directory: str) -> subprocess.Popen[Any]:
    """Start Prometheus, scraping each second, with the rules of this folder.

    :param program: its path.
    :param target: the port to scrape.
    :param port: where it is to answer itself.
    :param directory: where its data goes.
    """
    options, settings = native_histograms(program)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(HERE / "rules.yml")],
        "scrape_configs": [
            {
                "job_name": "shop",
                "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                **settings,
            }
        ],
    }
    path = Path(directory) / "prometheus.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return subprocess.Popen(
        [
            program,
            f"--config.file={path}",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            *options,
        ]
    )


def native_histograms(program: str) -> tuple[list[str], dict[str, bool]]:
    """Return options, and settings of a job, by which a Prometheus scrapes native histograms.

    :param program: its path. Before 3.8 it takes an option; from then on a setting.
    """
    said = subprocess.run([program, "--version"], capture_output=True, text=True)
    found = re.search(r"version (\d+)\.(\d+)", said.stdout + said.stderr)
    if found and tuple(map(int, found.groups())) >= (3, 8):
        return [], {"scrape_native_histograms": True}
    return ["--enable-feature=native-histograms"], {}


def make_load(port: int, seconds: float) -> None:
    """Send requests, some hundred a second, for a while."""
    end = time.monotonic() + seconds
    rng = random.Random()
    while time.monotonic() < end:
        path = "/fail" if rng.random() < 0.02 else f"/order?{rng.randint(1, 20)}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
        time.sleep(rng.expovariate(50))


def main() -> None:
    """Run the service until Ctrl-C, or until the load is over with ``--once``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="how many worker processes (2)")
    parser.add_argument("--port", type=int, default=8000, help="where requests go (8000)")
    parser.add_argument("--metrics-port", type=int, default=9464, help="what is scraped (9464)")
    parser.add_argument("--prometheus-port", type=int, default=9090, help="(9090)")
    parser.add_argument(
        "--prometheus",
        default=os.environ.get("PROMETHEUS") or shutil.which("prometheus") or "",
        help="the program; '' for none",
    )
    parser.add_argument("--load", type=float, default=0, metavar="S", help="seconds of load")
    parser.add_argument("--once", action="store_true", help="end when the load is over")
    options = parser.parse_args()
    service = Service(options.workers, options.port, options.metrics_port)
    prometheus = None
    try:
        about = {
            "service": f"http://127.0.0.1:{service.port}/order?3",
            "metrics": f"http://127.0.0.1:{service.metrics.port}/metrics",
            "workers": [worker.pid for worker in service.workers],
        }
        if options.prometheus:
            prometheus = start_prometheus(
                options.prometheus,
                service.metrics.port,
                options.prometheus_port,
                service.directory,
            )
            about["prometheus"] = f"http://127.0.0.1:{options.prometheus_port}/graph"
        print(json.dumps(about), flush=True)
        load = [
            threading.Thread(target=make_load, args=(service.port, options.load), daemon=True)
            for _ in range(4)
        ]
        for one in load:
            one.start()
        while not options.once or any(one.is_alive() for one in load):
            time.sleep(0.2)
            service.look_after()
    except KeyboardInterrupt:
        pass
    finally:
        if prometheus is not None:
            prometheus.terminate()
            prometheus.wait()
        service.stop()


if __name__ == "__main__":
    main()
