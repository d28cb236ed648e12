"""Pools of processes: `concurrent.futures`, `multiprocessing`, loky, and joblib over them."""

from __future__ import annotations

# Looked up among the modules that are there, as those of loky are.
import concurrent.futures.process  # noqa: F401
import multiprocessing.pool  # noqa: F401
import os
import sys
import tempfile
from contextlib import contextmanager
from functools import wraps

from ._node import ask, keep_file
from ._run import TIMEOUT_S, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

# What takes a function that a process of a pool is to call: module, class, method. Of
# `multiprocessing`, all of `map`, `starmap` and theirs go by one.
_TAKERS = (
    ("concurrent.futures.process", "ProcessPoolExecutor", ("submit",)),
    ("multiprocessing.pool", "Pool", ("apply_async", "_map_async", "imap", "imap_unordered")),
    ("loky.process_executor", "ProcessPoolExecutor", ("submit",)),
    ("joblib.externals.loky.process_executor", "ProcessPoolExecutor", ("submit",)),
)
# What ends processes where they are, as the end of a pool's `with` does.
_ENDERS = (("multiprocessing.pool", "Pool", ("terminate",)),)


class Task:
    """A function that is sent to a process, which keeps a file from then on.

    :param function: the function.
    :param folder: where the file is to be.
    """

    def __init__(self, function: Callable[..., Any], folder: str) -> None:
        self.function = function
        self.folder = folder
        self.owner = os.getpid()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if os.getpid() == self.owner:  # a pool of threads: it is recorded where it is read
            return self.function(*args, **kwargs)
        keeper = keep_file(self.folder)
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
    processes, makes its process keep what it records in a file. The pools may have been there
    before, and may stay. Processes that are made by hand (`multiprocessing.Process`) are not seen:
    for these, there is `Profiler.gather`.

    A process writes within a tenth of a second after something was recorded, or later where that
    would take more than a two-hundredth of a core; what one that is
    killed has recorded stands in a store, unless its profilers had recorded before they came here.

    :param timeout_s: how long to wait for a process to answer, in seconds.
    :param directory: where the files are to be; a temporary one unless given. It must be there.
    """
    with tempfile.TemporaryDirectory(prefix="stichotrope-", dir=directory) as folder:
        run = Run(lambda: ask(folder, timeout_s), "")
        with _changed(_TAKERS, lambda method: _sending(method, folder)):
            with _changed(_ENDERS, lambda method: _asking(method, folder, timeout_s)):
                yield run
            run.finish()


@contextmanager
def _changed(
    methods: Iterable[tuple[str, str, tuple[str, ...]]],
    change: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> Iterator[None]:
    """Have methods of classes be others for a while, as far as their modules are there."""
    undo: list[tuple[type, str, Any]] = []
    try:
        for module, owner, names in methods:
            if module in sys.modules:
                cls = getattr(sys.modules[module], owner)
                for name in names:
                    undo.append((cls, name, vars(cls)[name]))
                    setattr(cls, name, change(vars(cls)[name]))
        yield
    finally:
        for cls, name, original in reversed(undo):
            setattr(cls, name, original)


def _sending(method: Callable[..., Any], folder: str) -> Callable[..., Any]:
    """Return a method that sends the function it is given as a task."""

    @wraps(method)
    def send(self: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        return method(self, Task(function, folder), *args, **kwargs)

    return send


def _asking(method: Callable[..., Any], folder: str, timeout_s: float) -> Callable[..., Any]:
    """Return a method that has all processes write their files first."""

    @wraps(method)
    def end(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        ask(folder, timeout_s)
        return method(self, *args, **kwargs)

    return end
