"""PySpark: what its workers record, in RDDs, UDFs and pandas UDFs, sent as an accumulator.

Each worker sends all that it has recorded at the end of each task, with the task's own result: so
nothing is lost when the session stops, and of a worker that is killed only the task that it was at.
"""

from __future__ import annotations

from contextlib import contextmanager

from pyspark import worker_util
from pyspark.accumulators import Accumulator, AccumulatorParam, _accumulatorRegistry

from ..results.snapshots import Snapshots
from ._run import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

DAEMON = "stichotrope.integrations._spark_daemon"
_SETTING = "spark.python.daemon.module"
ACCUMULATOR = -570_314_159  # Spark numbers a program's own from 0 on, and those of its own near 0


class Newest(AccumulatorParam):
    """Adds what a worker has sent to what others have."""

    def zero(self, value: Any) -> Any:
        """Return what an accumulator begins with."""
        return Snapshots()

    def addInPlace(self, value1: Any, value2: Any) -> Any:  # noqa: N802  # Spark's name
        """Take in what a worker has sent."""
        value1.add_or_name(value2, "a worker")
        return value1


def conf(settings: dict[str, str] | None = None) -> dict[str, str]:
    """Return the settings of a session whose workers send what they record.

    From now on this process receives it: what they recorded before a run does not count in it.

    ``SparkSession.builder.config(map=conf()).getOrCreate()``

    :param settings: what else is to be in them.
    :raises ValueError: when they choose another daemon.
    """
    found = dict(settings or {})
    daemon = found.setdefault(_SETTING, DAEMON)
    if daemon != DAEMON:
        raise ValueError(f"{_SETTING} is {daemon!r} already; it would have to be {DAEMON!r}")
    _received()
    return found


def _received() -> Snapshots:
    """Return what workers have sent, from the first call on."""
    if ACCUMULATOR not in _accumulatorRegistry:
        Accumulator(ACCUMULATOR, Snapshots(), Newest())
    received: Snapshots = _accumulatorRegistry[ACCUMULATOR].value
    return received


@contextmanager
def profile(spark: Any) -> Iterator[Run]:
    """Have what the workers of a session record in the block be part of a run.

    :param spark: a `SparkSession` or a `SparkContext` that was made with `conf`.
    :raises RuntimeError: when it was made without, or its version of PySpark sends accumulators in
        another way than this module knows.
    """
    if not hasattr(worker_util, "send_accumulator_updates"):
        raise RuntimeError(
            "this version of pyspark has no worker_util.send_accumulator_updates, "
            "by which workers would send what they record; 4.3 has"
        )
    context = getattr(spark, "sparkContext", spark)
    daemon = context.getConf().get(_SETTING, "pyspark.daemon")
    if daemon != DAEMON:
        raise RuntimeError(
            f"the workers of this session do not send what they record ({_SETTING} is {daemon!r}): "
            "make it with SparkSession.builder.config(map=stichotrope.integrations.spark.conf())"
        )
    run = Run(lambda: Snapshots([_received().to_bytes()]), "driver")
    yield run
    run.finish()
