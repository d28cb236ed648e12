"""What starts PySpark's workers on an executor, with what they record among their answers.

Spark runs it in place of ``pyspark.daemon``, as ``spark.python.daemon.module`` says. After each
task, a worker sends its accumulators: here, what its profilers have recorded is one of them.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from pyspark import daemon
from pyspark.accumulators import Accumulator, _accumulatorRegistry

from ._node import recorded_here
from .spark import ACCUMULATOR, Newest

_serve = daemon.worker


def worker(sock: socket.socket, authenticated: bool) -> int:
    """Serve tasks, in a process that was just forked for it."""
    # Only now: what it imports may start threads, which a fork would lose.
    from pyspark import worker as served

    served.send_accumulator_updates = _sending(served.send_accumulator_updates)
    return int(_serve(sock, authenticated))


def _sending(send: Any) -> Any:
    def send_accumulator_updates(outfile: Any) -> None:
        Accumulator(ACCUMULATOR, recorded_here(f"worker {os.getpid()}").to_bytes(), Newest())
        try:
            send(outfile)
        finally:
            _accumulatorRegistry.pop(ACCUMULATOR, None)

    return send_accumulator_updates


if __name__ == "__main__":
    daemon.worker = worker
    daemon.manager()
