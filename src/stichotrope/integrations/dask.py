"""dask.distributed: what the workers of a cluster record, and how long its tasks take.

The figures travel as the engine's own messages: each worker sends its newest to the scheduler soon
after a task has recorded something, and again when a run asks for them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from types import FunctionType

import cloudpickle
from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from distributed.utils import key_split

from ..results import CallNode, ProfileBlock, ProfilerResults, ProfileTrack
from ..results.histogram import Histogram
from ..results.packed import NODE_COLUMNS
from ..results.snapshots import Snapshots
from ._node import Sender, keep_stores, left_in_stores, recorded_here
from ._run import TIMEOUT_S, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

PAGE = "/stichotrope"  # in the dashboard, while a run lasts
TASKS = "dask tasks"  # the name of the results that have a block for each prefix of keys
_END = "-end"  # what tells the scheduler that a run is over
_GRACE_S = 5.0  # of the scheduler, after its workers' time is over


class Reporter(WorkerPlugin):
    """Sends what a worker has recorded to the scheduler.

    :param name: what the run is called among plugins and messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        # In terms of what every worker has: one that could not read it could not start.
        return cloudpickle.loads, (cloudpickle.dumps(_ByValue(_reporter, self.name)),)

    def setup(self, worker: Any) -> None:
        """Begin, on a worker that is there or comes later."""
        self._worker = worker
        self._label = str(worker.name)
        worker.handlers[self.name] = self.recorded
        # On threads of the client's own process, there is nobody who would outlive it.
        self._folder = os.path.join(tempfile.gettempdir(), self.name) if worker.nanny else None
        if self._folder is not None:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            keep_stores(self._folder, self._label)
        # Single passes only when they are asked for: they are many, and nobody looks before.
        self._sender = Sender(self._send, self._label, timelines=False)
        self._sender.start()

    def teardown(self, worker: Any) -> None:
        """Send a last time: the worker is closed, or the run is over."""
        worker.handlers.pop(self.name, None)
        # Not through the thread, which would wait for this very loop.
        self._message(recorded_here(self._label).to_bytes())
        self._sender.abandon()
        if self._folder is not None and worker.status == Status.running:  # the run is over
            _forget(self.name)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """See to it that what a task recorded is sent when it has ended."""
        if start == "executing":
            self._sender.wake()

    async def recorded(self) -> dict[str, bytes]:
        """Return what has been recorded until now, and what others have left: the scheduler asks.

        Others are workers of this machine that are gone.
        """
        own, left = await asyncio.to_thread(self._found)
        return {"own": own.to_bytes(), "left": left.to_bytes()}

    def _found(self) -> tuple[Snapshots, Snapshots]:
        left = Snapshots() if self._folder is None else left_in_stores(self._folder)
        return recorded_here(self._label), left

    def _send(self, found: Snapshots) -> None:
        self._worker.loop.add_callback(self._message, found.to_bytes())

    def _message(self, packed: bytes) -> None:
        stream = self._worker.batched_stream
        if stream is not None and not stream.closed():
            stream.send({"op": self.name, "packed": packed})


def _forget(name: str) -> None:
    """Remove what is left on this machine of a run that is over: its workers may all be gone."""
    shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


class _ByValue:
    """What is sent as a call of a function, with its code in place of its module's name."""

    def __init__(self, function: Any, *args: Any) -> None:
        self._function = function
        self._args = args

    def __reduce__(self) -> tuple[Any, ...]:
        unnamed = {"__builtins__": __builtins__, "__name__": "__main__"}  # not looked up anywhere
        return FunctionType(self._function.__code__, unnamed), self._args


def _reporter(name: str) -> Any:
    """Return a worker's `Reporter`, or what stands for it where stichotrope is missing.

    Nothing of this module is there when it is called.
    """
    try:
        from stichotrope.integrations.dask import Reporter

        return Reporter(name)
    except ImportError as error:
        reason = f"stichotrope cannot be imported there ({error})"

    from distributed.diagnostics.plugin import WorkerPlugin

    class Missing(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            worker.handlers[name] = self.answer
            raise ImportError(reason)  # who begins a run is told; one that comes later goes on

        def teardown(self, worker: Any) -> None:
            worker.handlers.pop(name, None)

        async def answer(self) -> str:
            return reason

    return Missing()


class Collector(SchedulerPlugin):
    """Keeps what workers send, also of those that are gone, and times the tasks.

    :param name: as for `Reporter`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._found = Snapshots()
        self._left: list[bytes] = []
        self._tasks = TaskTimes()

    async def start(self, scheduler: Any) -> None:
        """Begin to listen."""
        self._scheduler = scheduler
        scheduler.stream_handlers[self.name] = self.receive
        scheduler.handlers[self.name] = self.collect
        # By itself, Dask calls it when the scheduler ends, not when the run does.
        scheduler.handlers[self.name + _END] = self.close
        self._page = _dashboard_page(self.page)
        # Where Dask runs without its server for HTTP, there is no dashboard to have a page in.
        self._applications = getattr(
            getattr(scheduler, "http_application", None), "applications", []
        )
        self._applications.append(self._page)

    async def close(self) -> None:
        """Leave the scheduler as it was, but for a worker's last message that may be on its way."""
        self._scheduler.stream_handlers[self.name] = _ignored  # what it does not know ends workers
        self._scheduler.handlers.pop(self.name, None)
        self._scheduler.handlers.pop(self.name + _END, None)
        if self._page in self._applications:
            self._applications.remove(self._page)
        _forget(self.name)

    def page(self) -> str:
        """Return the report of what workers have sent until now, as a page of HTML.

        :raises ValueError: when nothing was recorded yet.
        """
        from ..report.html import render

        found = Snapshots([self._found.to_bytes()])
        # Of the client's files, nothing is known here.
        return render(found.results(), source=False)

    def receive(self, worker: str, packed: bytes) -> None:
        """Keep what a worker has sent."""
        self._found.add_or_name(packed, f"worker {worker}")

    def transition(self, key: Any, start: str, finish: str, *_: Any, **about: Any) -> None:
        """Take the time of a task that has ended."""
        if start == "processing" and finish in ("memory", "erred"):
            worker, times = about.get("worker"), about.get("startstops")
            if worker and times:
                self._tasks.add(worker, key_split(key), times, finish == "erred")

    async def collect(self, timeout_s: float, ask: bool) -> dict[str, bytes]:
        """Return what all workers have recorded, and the times of the tasks.

        :param timeout_s: how long to wait for each worker, in seconds.
        :param ask: whether to ask the workers, or to take what they have sent.
        """
        if ask:
            workers = list(self._scheduler.workers)
            await asyncio.gather(*(self._ask(worker, timeout_s) for worker in workers))
            # Now that all has arrived that was sent before.
            for left in self._left:
                self._found.add_left(Snapshots([left]))
            self._left.clear()
        return {
            "recorded": self._found.to_bytes(),
            "tasks": self._tasks.snapshots(self._scheduler).to_bytes(),
        }

    async def _ask(self, worker: str, timeout_s: float) -> None:
        message = {"op": self.name}
        asking = self._scheduler.broadcast(msg=message, workers=[worker], on_error="return")
        try:
            answer = (await asyncio.wait_for(asking, timeout_s))[worker]
        except TimeoutError:
            answer = f"no answer within {timeout_s:g} s"
        if isinstance(answer, dict) and "own" in answer:
            self.receive(worker, answer["own"])
            self._left.append(answer["left"])
        elif worker in self._scheduler.workers:
            self._found.warn(
                f"worker {worker} was not reached: {answer}; "
                "what it has recorded since it last sent something is missing"
            )


def _ignored(**_: Any) -> None:
    """Take a message of a run that is over."""


def _dashboard_page(page: Callable[[], str]) -> Any:
    """Return what answers for ``/stichotrope`` beside the pages of Dask's dashboard.

    :param page: returns the page.
    """
    from tornado import web

    class Handler(web.RequestHandler):
        async def get(self) -> None:
            try:
                text = await asyncio.to_thread(page)
            except ValueError as error:
                self.set_status(404)
                self.set_header("Content-Type", "text/plain; charset=utf-8")
                text = f"{error}\n"
            self.finish(text)

    return web.Application([(PAGE, Handler)])


class TaskTimes:
    """How long tasks took, by worker, kind of work and prefix of their keys."""

    def __init__(self) -> None:
        self._blocks: dict[str, dict[tuple[str, str], ProfileBlock]] = {}

    def add(self, worker: str, prefix: str, times: list[dict[str, Any]], failed: bool) -> None:
        """Count a task.

        :param worker: who ran it.
        :param prefix: that of its key.
        :param times: of each part of the work, its ``action`` and when it began and ended, in s.
        :param failed: whether it raised.
        """
        blocks = self._blocks.setdefault(worker, {})
        for part in times:
            action = part["action"]
            block = blocks.get((action, prefix))
            if block is None:
                block = blocks[action, prefix] = ProfileBlock(prefix, "", 0, 0, 0)
            took = max(round((part["stop"] - part["start"]) * 1e9), 0)
            counted = Histogram()
            counted.add(took)
            errors = int(failed and action == "compute")
            block.add(
                ProfileBlock(
                    *(prefix, "", 0, 0, 0, 1, took, took, took, took, took, took, took * took),
                    histogram=counted,
                    error_count=errors,
                )
            )

    def snapshots(self, scheduler: Any) -> Snapshots:
        """Return them as the results of one process for each worker.

        :param scheduler: which knows the workers that are there.
        """
        found = Snapshots()
        for worker, blocks in self._blocks.items():
            state = scheduler.workers.get(worker)
            name = worker if state is None else str(state.name)
            found.add(_task_results(worker, name, blocks).to_bytes())
        return found


def _task_results(
    worker: str, name: str, blocks: dict[tuple[str, str], ProfileBlock]
) -> ProfilerResults:
    tracks: dict[int, ProfileTrack] = {}
    tree = CallNode.root()
    actions = list(dict.fromkeys(action for action, _ in blocks))
    for (action, prefix), block in list(blocks.items()):
        idx = actions.index(action)
        track = tracks.setdefault(idx, ProfileTrack(idx, action))
        one = ProfileBlock(prefix, "", 0, idx, len(track.blocks))
        one.add(block)
        track.blocks.append(one)
        track.total_time_ns += one.total_time_ns
        node = CallNode(prefix, idx, one.block_idx)
        for figure in NODE_COLUMNS:
            setattr(node, figure, getattr(one, figure))
        tree.children.append(node)
    host = worker.partition("://")[2].rpartition(":")[0]
    total = sum(track.total_time_ns for track in tracks.values())
    about = {"process": 0, "host": host, "instance": worker, "worker": name, "duration_ns": total}
    return ProfilerResults(TASKS, tracks, total, tree, metadata=about)


class DaskRun(Run):
    """What is recorded on a cluster from when it is made until `finish`.

    :param client: the client.
    :param name: what the run is called among the scheduler's messages.
    :param timeout_s: how long to wait for each worker, in seconds.
    """

    def __init__(self, client: Any, name: str, timeout_s: float) -> None:
        self._client = client
        self._name = name
        self._timeout_s = timeout_s
        self._tasks = Snapshots()
        super().__init__(self._ask, "client")

    def tasks(self) -> ProfilerResults:
        """Return how long tasks took, without any marks: a block for each prefix of their keys.

        The tracks are the kinds of work that the scheduler tells: compute, transfer, deserialize.
        Times are of the workers' wall clocks, as dask measures them.

        :raises ValueError: when no task has ended.
        """
        self.snapshots()
        return self._tasks.results()

    def _ask(self) -> Snapshots:
        answer = self._client.sync(self._answer)
        self._tasks = Snapshots.from_bytes(answer["tasks"])
        return Snapshots.from_bytes(answer["recorded"])

    async def _answer(self) -> dict[str, bytes]:
        collect = getattr(self._client.scheduler, self._name)
        answer: dict[str, bytes] = await asyncio.wait_for(
            collect(timeout_s=self._timeout_s, ask=True), self._timeout_s + _GRACE_S
        )
        return answer


@contextmanager
def profile(client: Any, *, timeout_s: float = TIMEOUT_S) -> Iterator[DaskRun]:
    """Have what the workers of a cluster record in the block be part of a run.

    Workers that come later, or come back, are seen too. A worker sends its figures to the scheduler
    soon after a task has recorded something. What one that is killed had not sent is read from its
    store by another worker of its machine, or by the one that takes its place.

    :param client: a `distributed.Client`, not an asynchronous one.
    :param timeout_s: how long to wait for a worker to answer, in seconds. One that does not is
        named in the results' warnings.
    :raises TypeError: when the client is asynchronous.
    :raises RuntimeError: when stichotrope cannot be imported on the scheduler or on a worker that
        is there. One without it that comes later works as ever, and is named in the warnings.
    """
    if client.asynchronous:
        raise TypeError(f"profile() needs a client that is not asynchronous, not {client!r}")
    name = f"stichotrope-{os.urandom(8).hex()}"
    try:
        try:
            client.sync(_begin, client, name, timeout_s)
        except ImportError as error:
            raise RuntimeError(
                f"stichotrope cannot be imported where the cluster runs ({error}): install it "
                "there, on the scheduler and on each worker"
            ) from error
        with DaskRun(client, name, timeout_s).lasting() as run:
            yield run
    finally:
        client.sync(_end, client, name, timeout_s)


async def _begin(client: Any, name: str, timeout_s: float) -> None:
    await client.register_plugin(Collector(name))
    with suppress(TimeoutError):  # a worker that does not answer is named when it is asked
        await asyncio.wait_for(client.register_plugin(Reporter(name)), timeout_s)


async def _end(client: Any, name: str, timeout_s: float) -> None:
    """Leave scheduler and workers as they were, as far as they answer."""
    # It is gone, or never had it; the block's own exception counts.
    with suppress(Exception):
        await asyncio.wait_for(client.unregister_worker_plugin(name), timeout_s)
    with suppress(Exception):
        await asyncio.wait_for(getattr(client.scheduler, name + _END)(), timeout_s)
    with suppress(Exception):
        await asyncio.wait_for(client.unregister_scheduler_plugin(name), timeout_s)
    _forget(name)
