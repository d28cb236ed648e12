"""Pools of processes: `concurrent.futures`, `multiprocessing`, loky, and joblib over them."""

from __future__ import annotations

# Looked up among the modules that are there, as those of loky are.
import concurrent.futures.process  # noqa: F401
import inspect
import multiprocessing.pool  # noqa: F401
import os
import sys
import tempfile
import threading
from contextlib import contextmanager
from functools import partial, wraps

from ._node import ask, keep_file
from ._run import TIMEOUT_S, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

# What takes a function that a process of a pool is to call: module, class, and by method what the
# function is called there. Of `multiprocessing`, all of `map`, `starmap` and theirs go by one.
_EXECUTOR = {"__init__": "initializer", "submit": "fn"}
_POOL = {
    "__init__": "initializer",
    "apply_async": "func",
    "_map_async": "func",
    "imap": "func",
    "imap_unordered": "func",
}
_TAKERS = (
    ("concurrent.futures.process", "ProcessPoolExecutor", _EXECUTOR),
    ("multiprocessing.pool", "Pool", _POOL),
    ("loky.process_executor", "ProcessPoolExecutor", _EXECUTOR),
    ("joblib.externals.loky.process_executor", "ProcessPoolExecutor", _EXECUTOR),
)
# What ends processes where they are, as the end of a pool's `with` does.
_ENDER = ("multiprocessing.pool", "Pool", "terminate")

_LOCK = threading.RLock()
_runs: dict[str, float] = {}  # folder → how long to wait for answers, of the runs that go on here
_changed: dict[tuple[type, str], Any] = {}  # the methods that are others now, as they were


class Task:
    """A function that is sent to a process, which keeps a file from then on.

    :param function: the function.
    :param folder: where the file is to be.
    :param timeout_s: how long the pools of that process wait for answers, in seconds.
    """

    def __init__(self, function: Callable[..., Any], folder: str, timeout_s: float) -> None:
        self.function = function
        self.folder = folder
        self.timeout_s = timeout_s
        self.owner = os.getpid()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if os.getpid() == self.owner:  # a pool of threads: it is recorded where it is read
            return self.function(*args, **kwargs)
        keeper = keep_file(self.folder)
        if keeper is not None and self.folder not in _runs:
            _begin(self.folder, self.timeout_s)  # for the pools that the function makes
        try:
            return self.function(*args, **kwargs)
        finally:
            if keeper is not None:
                keeper.wake()


@contextmanager
def profile(*, timeout_s: float = TIMEOUT_S, directory: str | None = None) -> Iterator[Run]:
    """Have what pools of processes record be part of a run, whichever pools the block uses.

    Within the block, each function that is given to a `ProcessPoolExecutor` (of
    `concurrent.futures` or loky), a `multiprocessing.Pool`, or joblib with one of its backends of
    processes, makes its process keep what it records in a file. So do the initializers of pools
    that are made within the block, and the pools that such functions make. Pools may have been
    there before, and may stay. Processes that are made by hand (`multiprocessing.Process`) are not
    seen: for these, there is `Profiler.gather`.

    A process writes within a tenth of a second after something was recorded, or later where that
    would take more than a two-hundredth of a core; what one that is
    killed has recorded stands in a store, unless other threads of it had recorded before.

    :param timeout_s: how long to wait for a process to answer, in seconds.
    :param directory: where the files are to be; a temporary one unless given. It must be there.
    """
    with tempfile.TemporaryDirectory(prefix="stichotrope-", dir=directory) as folder:
        run = Run(lambda: ask(folder, timeout_s), "")
        with _run_of_pools(folder, timeout_s), run.lasting():
            yield run


@contextmanager
def _run_of_pools(folder: str, timeout_s: float) -> Iterator[None]:
    """Have the pools of this process be part of a run, for a while."""
    _begin(folder, timeout_s)
    try:
        yield
    finally:
        with _LOCK:
            _runs.pop(folder, None)  # it may be gone, its directory having been removed
            if not _runs:
                for (cls, name), original in _changed.items():
                    setattr(cls, name, original)
                _changed.clear()


def _begin(folder: str, timeout_s: float) -> None:
    """Have the pools of this process be part of a run too, and of none that is over."""
    with _LOCK:
        # In a process of a pool, nobody says when a run is over: its directory is gone then.
        for gone in [other for other in _runs if not os.path.isdir(other)]:
            del _runs[gone]
        _runs[folder] = timeout_s
        for module, owner, functions in _TAKERS:
            for name, function in functions.items():
                _change(module, owner, name, partial(_sending, called=function))
        _change(*_ENDER, _asking)


def _change(
    module: str, owner: str, name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Have a method of a class be another, unless it is already, if its module is there."""
    cls: type | None = getattr(sys.modules.get(module), owner, None)
    if cls is not None and (cls, name) not in _changed:
        _changed[cls, name] = vars(cls)[name]
        setattr(cls, name, change(vars(cls)[name]))


def _sending(method: Callable[..., Any], called: str) -> Callable[..., Any]:
    """Return a method that sends the function it is given as a task.

    :param method: the method.
    :param called: the name of its parameter that is the function.
    """
    parameters = list(inspect.signature(method).parameters.values())
    place = [parameter.name for parameter in parameters].index(called) - 1  # without self
    by_name = parameters[place + 1].kind is not inspect.Parameter.POSITIONAL_ONLY

    @wraps(method)
    def send(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if len(args) > place:
            args = (*args[:place], _as_task(args[place]), *args[place + 1 :])
        elif by_name and called in kwargs:
            kwargs[called] = _as_task(kwargs[called])
        return method(self, *args, **kwargs)

    return send


def _as_task(function: Any) -> Any:
    """Return a function as a task for each run; what is none is left to who refuses it."""
    if callable(function):
        for folder, timeout_s in list(_runs.items()):
            if os.path.isdir(folder):
                function = Task(function, folder, timeout_s)
    return function


def _asking(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that has all processes write their files first."""

    @wraps(method)
    def end(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        for folder, timeout_s in list(_runs.items()):
            if os.path.isdir(folder):
                ask(folder, timeout_s)
        return method(self, *args, **kwargs)

    return end


def _after_fork_in_child() -> None:
    """Begin with a lock that nobody holds."""
    _LOCK._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
