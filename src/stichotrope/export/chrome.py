"""The Chrome export: single passes as JSON, for ``chrome://tracing``, Perfetto and many others.

The format is the Trace Event Format,
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: each pass is a
complete event ("X"), each lane of a timeline a thread, in which they lie one in another.
"""

from __future__ import annotations

from json import dumps

from ..results.beside import aligned, labels, process_numbers, said_of_clocks
from ..results.timeline import CANCELLED, FAILED, THREAD

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..results.timeline import Timeline, TimelineLane

_OUTCOMES = {FAILED: "error", CANCELLED: "cancelled"}


def render(timelines: Iterable[Timeline]) -> str:
    """Return timelines as one JSON object, each process's as one, on one clock as far as there is.

    :param timelines: the timelines.
    """
    beside = aligned(timelines)
    said = said_of_clocks(beside)
    lanes: dict[int, int] = {}  # of each process, as far as they are written
    parts: list[str] = []
    for timeline, pid, label in zip(beside, process_numbers(beside), labels(beside), strict=True):
        parts += _events(timeline, pid, lanes.get(pid, 0), (label, said))
        lanes[pid] = lanes.get(pid, 0) + len(timeline.lane_list)
    events = ",\n".join(parts)
    return f'{{"displayTimeUnit":"ns","traceEvents":[\n{events}\n]}}\n'


def _events(timeline: Timeline, pid: int, lanes: int, whose: tuple[str, str]) -> Iterator[str]:
    label, said = whose
    yield _said("process_name", pid, 0, label)
    if said:
        yield _said("process_labels", pid, 0, said, "labels")
    for lane, one in enumerate(timeline.lane_list, lanes + 1):
        yield _said("thread_name", pid, lane, _lane_name(timeline, one))
    names = [f'{{"ph":"X","name":{dumps(each.name)},"cat":{dumps(each.track_name)}'
             for each in timeline.block_list]  # fmt: skip
    for i, block in enumerate(timeline.blocks):
        start, lasted = timeline.start_ns + timeline.starts[i], timeline.durations[i]
        # Microseconds, and the rest as decimals: a float would not hold them.
        yield (
            f'{names[block]},"pid":{pid},"tid":{lanes + timeline.lanes[i] + 1}'
            f',"ts":{_microseconds(start)},"dur":{_microseconds(lasted)}{_more(timeline, i)}}}'
        )


def _microseconds(ns: int) -> str:
    whole, rest = divmod(abs(ns), 1000)
    return f"{'-' * (ns < 0)}{whole}.{rest:03}"


def _more(timeline: Timeline, i: int) -> str:
    """Return what a pass has besides: its tag, and how it ended if not by return."""
    said: dict[str, object] = {}
    if timeline.tags[i]:
        said["tag"] = timeline.tag_of(i)
    if timeline.outcomes[i] in _OUTCOMES:
        said["outcome"] = _OUTCOMES[timeline.outcomes[i]]
    return f',"args":{dumps(said)}' if said else ""


def _said(what: str, pid: int, tid: int, name: str, key: str = "name") -> str:
    return dumps({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {key: name}})


def _lane_name(timeline: Timeline, lane: TimelineLane) -> str:
    thread = timeline.thread_list[lane.thread].name
    return thread if lane.kind == THREAD else f"{thread}: {lane.kind} {lane.number}"
