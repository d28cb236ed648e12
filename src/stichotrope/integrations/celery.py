"""Celery: what its workers record, asked for by the engine's own remote control.

A worker's pool processes keep what they record in files of a directory of that worker; its main
process answers who asks with what is in them, and with what it has recorded itself, which is all of
it where the pool is one of threads.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from contextlib import contextmanager

from celery import signals
from celery.worker.control import inspect_command

from ..results import ResultsFormatError
from ..results.snapshots import Snapshots
from ._node import ask, keep_file, recorded_here
from ._run import TIMEOUT_S, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

COMMAND = "stichotrope_snapshots"
_HELLO_S = 1.0  # how long workers have to say that they are there

_folder: str | None = None  # of this worker: made in its main process, known to those it forks
_label = ""
_owner = 0


@signals.celeryd_init.connect
def _begin(sender: Any = None, **_: Any) -> None:
    """Make the worker's directory, in its main process."""
    global _folder, _label, _owner
    _folder, _label, _owner = (
        tempfile.mkdtemp(prefix="stichotrope-celery-"),
        str(sender),
        os.getpid(),
    )


@signals.worker_process_init.connect
def _begin_in_process(**_: Any) -> None:
    if _folder is not None:
        keep_file(_folder, _label)


@signals.task_postrun.connect
def _task_has_ended(**_: Any) -> None:
    if _folder is not None and os.getpid() != _owner:
        keeper = keep_file(_folder, _label)
        if keeper is not None:
            keeper.wake()


@signals.worker_shutdown.connect
def _end(**_: Any) -> None:
    if _folder is not None and os.getpid() == _owner:
        shutil.rmtree(_folder, ignore_errors=True)


@inspect_command(name=COMMAND, args=[("timeout_s", float)])
def _snapshots(state: Any, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Answer with what this worker's processes have recorded."""
    found = Snapshots() if _folder is None else ask(_folder, timeout_s)
    found.update(recorded_here(_label))
    return {"packed": base64.b85encode(found.to_bytes()).decode("ascii")}


@contextmanager
def profile(
    app: Any, *, workers: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S
) -> Iterator[Run]:
    """Have what the workers of an application record in the block be part of a run.

    They have to import this module: ``imports = ["stichotrope.integrations.celery"]`` in the
    application's configuration, or an import beside it. Figures are taken when the block ends; of a
    task, when its result is there. A pool process that is killed loses what it recorded in the last
    tenth of a second, or in more where writing takes long.

    :param app: a `celery.Celery`. Its broker has to carry remote control: Redis and RabbitMQ do.
    :param workers: their names, as ``celery@host``; by default those that answer a ping.
    :param timeout_s: how long to wait for a worker to answer, in seconds. One that does not is
        named in the results' warnings.
    :raises RuntimeError: when no worker answers, or one has not imported this module.
    """
    run = Run(lambda: _collect(app, workers, timeout_s), "client")
    with run.lasting():
        yield run


def _collect(app: Any, workers: Sequence[str] | None, timeout_s: float) -> Snapshots:
    names = list(workers or ())
    if workers is None:
        names = [name for answer in app.control.ping(timeout=_HELLO_S) for name in answer]
    if not names:
        raise RuntimeError(
            f"no worker of {app!r} has answered a ping within {_HELLO_S:g} s: are they running, "
            "and does the broker carry remote control?"
        )
    answers = app.control.broadcast(
        COMMAND,
        arguments={"timeout_s": timeout_s},
        destination=names,
        reply=True,
        limit=len(names),
        timeout=timeout_s + _HELLO_S,
    )
    found = Snapshots()
    known = {name: answer for each in answers or () for name, answer in each.items()}
    for name in names:
        if name in known:
            _take(known[name], name, found)
        else:
            found.warn(
                f"worker {name} did not answer within {timeout_s + _HELLO_S:g} s: "
                "what it has recorded is missing"
            )
    return found


def _take(answer: Any, name: str, into: Snapshots) -> None:
    packed = answer.get("packed") if isinstance(answer, dict) else None
    if packed is None:
        raise RuntimeError(
            f"worker {name} does not know how to answer ({answer}): have it import "
            'stichotrope.integrations.celery, as by imports = ["stichotrope.integrations.celery"] '
            "in its configuration"
        )
    try:
        into.add(base64.b85decode(packed))
    except (ValueError, ResultsFormatError) as error:
        into.warn(f"worker {name} was left out: {error}")
