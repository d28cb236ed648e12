"""One way of using one tool: how it is switched on, what it wraps, what can be read from it."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from benchmarks import OLDEST

CALL, KEPT, INLINE = "call", "kept block", "inline block"

YES, NO, EVENTS, SAMPLED = "yes", "no", "from events", "sampled"

Prepared = TypeVar("Prepared")


class Records(NamedTuple):
    """What a tool keeps of a function or block, by its own documentation.

    Each is `YES`, `NO`, `EVENTS` (it keeps single events from which this follows), or a few words.
    """

    hits: str
    total: str
    self_time: str = NO
    percentiles: str = NO
    tree: str = NO
    threads: str = NO
    asynchronous: str = NO

    def per_function(self) -> bool:
        """Return whether it tells, of each function or block, how often and how long."""
        return not {self.hits, self.total} & {NO, SAMPLED}


class Reading(NamedTuple):
    """What a tool says of its function or block: passes, and their time in ns."""

    hits: int
    total_ns: float


class Peer:
    """A tool used in one way, as its documentation says.

    Whoever makes one gets `ImportError` where its package is missing, and must not make another in
    the same process: some tools allow only one of themselves.

    Args:
        scratch: a folder of its own for what it has to write.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    """The distribution that it comes in; None for what comes with Python."""
    form: ClassVar[str] = CALL
    usage: ClassVar[str]
    """The line that a reader would write."""
    documentation: ClassVar[str]
    """Where that is described; "" for ours."""
    note: ClassVar[str] = ""
    """What else one must know to understand its cost."""
    records: ClassVar[Records]
    oldest_python: ClassVar[tuple[int, int]] = OLDEST
    by_hand: ClassVar[bool] = False
    watches: ClassVar[bool] = False
    """Whether it sees all calls while it is on, so that those nobody asked for may cost too."""
    enters: ClassVar[str] = "b"
    """Of blocks: the expression that `with` enters; it refers to what `names` gives."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.to_be_read = False
        """Whether what comes next is read: a tool that writes a file may choose the format."""

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is called in place of a function, whose code is its own."""
        return function

    def names(self) -> dict[str, Any]:
        """Return what `enters` refers to."""
        return {}

    def recording(self) -> AbstractContextManager[Any]:
        """Return what switches the tool on around a loop, and off behind it."""
        return nullcontext()

    def read(self) -> Reading | None:
        """Return what it recorded since `reset`, or since ever; None if it counts no passes."""
        return None

    def reset(self) -> None:
        """Forget what would otherwise grow."""

    @classmethod
    def version(cls) -> str:
        """Return the version of its package, or "" for what has none.

        Raises:
            importlib.metadata.PackageNotFoundError: it is not installed.
        """
        return importlib.metadata.version(cls.package) if cls.package else ""


def admitted(
    kinds: Iterable[type[Peer]], scratch: Path, prepare: Callable[[Peer], Prepared]
) -> tuple[dict[str, Prepared], dict[str, str]]:
    """Return what was prepared of each peer by its name, and why others cannot be measured here.

    Args:
        kinds: the peers.
        scratch: a folder, of which each gets one of its own.
        prepare: makes of a peer what is measured, and lets it record a few passes: what fails then
            would fail in the run.
    """
    ready: dict[str, Prepared] = {}
    refused: dict[str, str] = {}
    for place, kind in enumerate(kinds):
        try:
            kind.version()
        except importlib.metadata.PackageNotFoundError:
            refused[kind.name] = _why_not_installed(kind)
            continue
        folder = scratch / str(place)
        folder.mkdir()
        try:
            ready[kind.name] = prepare(kind(folder))
        except Exception as error:  # a tool refuses an interpreter in whichever way it likes
            refused[kind.name] = f"does not work here: {_in_short(error)}"
    return ready, refused


def _why_not_installed(kind: type[Peer]) -> str:
    if sys.version_info[:2] < kind.oldest_python:
        return "needs Python {}.{}".format(*kind.oldest_python)
    return "not installed"


def _in_short(error: BaseException) -> str:
    """Return the error in one line, without a path of this machine in it."""
    text = re.sub(r"(/|\b[A-Za-z]:\\)\S*[/\\]", "…/", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text}"[:120]
