"""PySpark: what its workers record, in RDDs, UDFs and pandas UDFs, sent as an accumulator.

Each worker sends all that it has recorded at the end of each task, with the task's own result: so
nothing is lost when the session stops. What one that is killed had not sent stands in a store of
its machine, which others read at the end of a run.
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


_asked_for_left = False  # by the task that this worker is at


class Received:
    """What workers have sent.

    :ivar own: what they have recorded.
    :ivar left: what others of their machines have left in their stores, which are gone.
    """

    def __init__(self) -> None:
        self.own = Snapshots()
        self.left = Snapshots()

    def snapshots(self) -> Snapshots:
        """Return both, taken together."""
        found = Snapshots([self.own.to_bytes()])
        found.add_left(self.left)
        return found


class Newest(AccumulatorParam):
    """Adds what a worker has sent to what others have."""

    def zero(self, value: Any) -> Any:
        """Return what an accumulator begins with."""
        return Received()

    def addInPlace(self, value1: Any, value2: Any) -> Any:  # noqa: N802  # Spark's name
        """Take in what a worker has sent: what it has recorded, and what others have left."""
        if isinstance(value2, tuple) and len(value2) == 2:
            own, left = value2
            value1.own.add_or_name(own, "a worker")
            value1.left.add_or_name(left, "a worker that is gone")
        else:
            value1.own.warn("a worker was left out: its version of stichotrope is another one")
        return value1


def is_asked_for_left() -> bool:
    """Return whether the task that has just ended asks for what others have left, and forget it."""
    global _asked_for_left
    asked, _asked_for_left = _asked_for_left, False
    return asked


def _ask_for_left(_: Any) -> None:
    global _asked_for_left
    _asked_for_left = True


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


def _received() -> Received:
    """Return what workers have sent, from the first call on."""
    if ACCUMULATOR not in _accumulatorRegistry:
        Accumulator(ACCUMULATOR, Received(), Newest())
    received: Received = _accumulatorRegistry[ACCUMULATOR].value
    return received


def _collect(context: Any) -> Snapshots:
    """Return what workers have recorded; those that are there send what others have left."""
    if context._jsc is not None:  # it was not stopped in the block
        parts = max(context.defaultParallelism, 1)
        context.parallelize(range(parts), parts).foreach(_ask_for_left)
    return _received().snapshots()


@contextmanager
def profile(spark: Any) -> Iterator[Run]:
    """Have what the workers of a session record in the block be part of a run.

    It begins and ends with a job of as many tasks as there are cores, in which workers send what
    those have left that are gone.

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
    run = Run(lambda: _collect(context), "driver")
    with run.lasting():
        yield run
