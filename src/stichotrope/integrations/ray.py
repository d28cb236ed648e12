"""Ray: what the workers of a job record, in tasks and actors, gathered on each node.

Each worker process keeps what it records in a file of its node; a run has a task on each node read
them, so the figures travel as Ray's own results.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..results.snapshots import Snapshots
from ._node import ask, keep_file
from ._run import TIMEOUT_S, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SETUP_HOOK = "stichotrope.integrations.ray.setup"
_forgotten: set[str] = set()  # the directories here of jobs, of this process
_GRACE_S = 20.0  # for a node to start the process that reads its files


def setup() -> None:
    """Keep what this worker records in a file of its node: the setup hook of worker processes."""
    context = ray.get_runtime_context()
    folder = _folder(context.get_job_id())
    os.makedirs(folder, mode=0o700, exist_ok=True)
    keep_file(folder, f"worker {context.get_worker_id()[:8]} on node {context.get_node_id()[:8]}")


def runtime_env(env: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a runtime environment whose workers keep what they record, for ``ray.init``.

    :param env: what else is to be in it.
    :raises ValueError: when it has a setup hook of its own. Have that call `setup`.
    """
    found = dict(env or {})
    hook = found.setdefault("worker_process_setup_hook", SETUP_HOOK)
    if hook != SETUP_HOOK:
        raise ValueError(
            f"the runtime environment has a worker_process_setup_hook already, {hook!r}: "
            "leave it there, and call stichotrope.integrations.ray.setup() in it"
        )
    return found


def _folder(job: str) -> str:
    """Return the directory of a job on the node where this runs."""
    # Jobs are numbered anew in each session; a node's id no other has.
    node = ray.get_runtime_context().get_node_id()
    return os.path.join(tempfile.gettempdir(), f"stichotrope-ray-{node}-{job}")


@ray.remote(num_cpus=0, max_retries=0)
def _read_node(job: str, timeout_s: float) -> bytes:
    """Return what the processes of a node have recorded, this one's own file aside."""
    folder = _folder(job)
    return (ask(folder, timeout_s) if os.path.isdir(folder) else Snapshots()).to_bytes()


@ray.remote(num_cpus=0, max_retries=0)
def _forget_node(job: str) -> None:
    shutil.rmtree(_folder(job), ignore_errors=True)


@contextmanager
def profile(*, timeout_s: float = TIMEOUT_S) -> Iterator[Run]:
    """Have what the tasks and actors of this job record in the block be part of a run.

    Ray has to have been started with ``ray.init(runtime_env=runtime_env())``. The figures are taken
    at the end of the block: before ``ray.shutdown()``, which kills the workers. A worker that is
    killed within it has left in its node's file what it had recorded up to a tenth of a second
    before, or more where writing takes long.

    :param timeout_s: how long to wait for a worker to answer, in seconds. One that does not is
        named in the results' warnings, and so is a node.
    :raises RuntimeError: when Ray was not started, or without the setup hook.
    """
    if not ray.is_initialized():
        raise RuntimeError("profile() needs ray.init(runtime_env=runtime_env()) before it")
    context = ray.get_runtime_context()
    if "worker_process_setup_hook" not in context.runtime_env:
        raise RuntimeError(
            "the workers of this job do not keep what they record: start it with "
            "ray.init(runtime_env=stichotrope.integrations.ray.runtime_env())"
        )
    job = context.get_job_id()
    if _folder(job) in _forgotten:
        raise RuntimeError(
            "forget() was called before, since when the workers of this job keep nothing: call it "
            "after the last profile(), or begin another job with ray.shutdown() and ray.init(…)"
        )
    run = Run(lambda: _collect(job, timeout_s), "driver")
    with run.lasting():
        yield run


def forget() -> None:
    """Remove the files of this job from all nodes, after its last `profile`.

    Its workers keep nothing from then on. Else the files stay in the nodes' temporary directories.
    """
    job = ray.get_runtime_context().get_job_id()
    _forgotten.add(_folder(job))
    ray.get([task.remote(job) for _, task in _on_each_node(_forget_node)])


def _on_each_node(task: Any) -> Iterator[tuple[str, Any]]:
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            yield node["NodeID"], task.options(scheduling_strategy=here)


def _collect(job: str, timeout_s: float) -> Snapshots:
    asked = {task.remote(job, timeout_s): node for node, task in _on_each_node(_read_node)}
    found = Snapshots()
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s + _GRACE_S)
    for reference in ready:
        try:
            found.add(ray.get(reference))
        except ray.exceptions.RayError as error:
            found.warn(f"node {asked[reference]} was left out: {error}")
    for reference in late:
        found.warn(f"node {asked[reference]} did not answer within {timeout_s + _GRACE_S:g} s")
    return found
