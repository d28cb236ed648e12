"""What starts PySpark's workers on an executor, with what they record among their answers.

Spark runs it in place of ``pyspark.daemon``, as ``spark.python.daemon.module`` says. After each
task, a worker sends its accumulators: here, what its profilers have recorded is one of them.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from typing import Any

from pyspark import daemon
from pyspark.accumulators import Accumulator, _accumulatorRegistry

from ..results.snapshots import Snapshots
from . import spark
from ._node import keep_stores, left_in_stores, recorded_here

_serve = daemon.worker
_folder: str | None = None  # of the stores of all workers that this process starts


def worker(sock: socket.socket, authenticated: bool) -> int:
    """Serve tasks, in a process that was just forked for it."""
    # Only now: what it imports may start threads, which a fork would lose.
    from pyspark import worker as served

    label = f"worker {os.getpid()}"
    if _folder is not None:
        keep_stores(_folder, label)
    served.send_accumulator_updates = _sending(served.send_accumulator_updates, label)
    return int(_serve(sock, authenticated))


def _sending(send: Any, label: str) -> Any:
    def send_accumulator_updates(outfile: Any) -> None:
        is_asked = spark.is_asked_for_left() and _folder is not None
        left = left_in_stores(str(_folder)) if is_asked else Snapshots()
        # Single passes only when a run begins or ends, else they would go with each task.
        sent = recorded_here(label, timelines=is_asked).to_bytes(), left.to_bytes()
        Accumulator(spark.ACCUMULATOR, sent, spark.Newest())
        try:
            send(outfile)
        finally:
            _accumulatorRegistry.pop(spark.ACCUMULATOR, None)

    return send_accumulator_updates


def main() -> None:
    """Start workers until Spark ends this process."""
    global _folder
    _folder, owner = tempfile.mkdtemp(prefix="stichotrope-spark-"), os.getpid()
    daemon.worker = worker
    try:
        daemon.manager()
    finally:
        if os.getpid() == owner:
            shutil.rmtree(_folder, ignore_errors=True)


if __name__ == "__main__":
    main()
