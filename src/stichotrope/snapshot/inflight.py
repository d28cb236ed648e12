"""What is open now: the blocks and calls that a program is in at this moment, for when it hangs."""

from __future__ import annotations

from .._text.format import format_time_ns
from ..config import clock
from ..results import Record
from . import aggregate
from .take import live_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .. import _core


class OpenBlock(Record):
    """One pass that has begun and not ended.

    :param name: the block's name.
    :param file: the file of its call site.
    :param line: the line of its call site.
    :param track_idx: its track.
    :param track_name: that track's name.
    :param open_ns: for how long it has been open, in ns; a coroutine or generator from its first
        resume on.
    :param depth: how many recorded passes are open below it: 0 for the outermost of its thread, of
        its task, or of what suspended.
    :param suspended: whether it waits: its task, generator or coroutine is not running now.
    :param thread_key: the thread's key, as in results; 0 for what is suspended on no thread.
    :param thread_id: the operating system's id of that thread, or 0.
    :param thread_name: that thread's name, or "".
    """

    __slots__ = __match_args__ = (
        "name",
        "file",
        "line",
        "track_idx",
        "track_name",
        "open_ns",
        "depth",
        "suspended",
        "thread_key",
        "thread_id",
        "thread_name",
    )

    def __init__(
        self,
        site: aggregate.Site,
        track_name: str,
        open_ns: int,
        depth: int,
        suspended: bool,
        thread: tuple[int, int, str],
    ) -> None:
        self.name = site.name
        self.file = site.file
        self.line = site.line
        self.track_idx = site.track_idx
        self.track_name = track_name
        self.open_ns = open_ns
        self.depth = depth
        self.suspended = suspended
        self.thread_key, self.thread_id, self.thread_name = thread

    def __str__(self) -> str:
        where = self.thread_name or "no thread"
        state = ", suspended" if self.suspended else ""
        return (
            f"{where}: {'  ' * self.depth}{self.name} open for {format_time_ns(self.open_ns)}"
            f"{state} ({self.track_name}, {self.file}:{self.line})"
        )


def open_blocks(
    running: Iterable[_core.RawOpen],
    waiting: Iterable[tuple[int, int, int]],
    sites: Sequence[aggregate.Site],
    track_names: Mapping[int, str],
    rate: aggregate.Rate | None = None,
    labels: Mapping[int, tuple[int, str]] | None = None,
) -> list[OpenBlock]:
    """Return what is open, by thread, each flow's outermost first; what no thread runs comes last.

    :param running: what the core says is open on threads.
    :param waiting: what it says is open in suspended generators and coroutines.
    :param sites: every site, in the order of its number in the core.
    :param track_names: track index → name.
    :param rate: how long a tick is; by default, here.
    :param labels: the names of the threads that run, as from `live_labels`; by default, those here.
    """
    time = (rate or aggregate.Rate(*clock.rate())).time
    labels = live_labels() if labels is None else labels

    def made(
        number: int, ticks: int, depth: int, suspended: bool, thread: tuple[int, int, str]
    ) -> OpenBlock:
        site = sites[number]
        return OpenBlock(site, track_names[site.track_idx], time(ticks), depth, suspended, thread)

    found = []
    for number, ticks, depth, suspended, key, os_id, name in running:
        name = labels.get(os_id, (0, name))[1] or f"thread {key}"
        found.append(made(number, ticks, depth, suspended, (key, os_id, name)))
    found.sort(key=lambda block: (block.thread_key, block.suspended))
    return found + [made(*each, True, (0, 0, "")) for each in waiting]
