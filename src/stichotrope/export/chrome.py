"""The Chrome export: single passes as JSON, for ``chrome://tracing``, Perfetto and many others.

The format is the Trace Event Format,
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: each pass is a
complete event ("X"), each lane of a timeline a thread, in which they lie one in another.
"""

from __future__ import annotations

from json import dumps

from ..results.timeline import CANCELLED, FAILED, THREAD

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..results.timeline import Timeline, TimelineLane

_OUTCOMES = {FAILED: "error", CANCELLED: "cancelled"}


def render(timelines: Iterable[Timeline]) -> str:
    """Return timelines as one JSON object, each as a process.

    :param timelines: the timelines.
    """
    events = ",\n".join(
        event for number, timeline in enumerate(timelines, 1) for event in _events(timeline, number)
    )
    return f'{{"displayTimeUnit":"ns","traceEvents":[\n{events}\n]}}\n'


def _events(timeline: Timeline, number: int) -> Iterator[str]:
    process = timeline.metadata.get("process")
    pid = process if isinstance(process, int) else number
    yield _said("process_name", pid, 0, timeline.profiler_name)
    for lane, one in enumerate(timeline.lane_list, 1):
        yield _said("thread_name", pid, lane, _lane_name(timeline, one))
    names = [f'{{"ph":"X","name":{dumps(each.name)},"cat":{dumps(each.track_name)}'
             for each in timeline.block_list]  # fmt: skip
    for i, block in enumerate(timeline.blocks):
        start, lasted = timeline.start_ns + timeline.starts[i], timeline.durations[i]
        # Microseconds, and the rest as decimals: a float would not hold them.
        yield (
            f'{names[block]},"pid":{pid},"tid":{timeline.lanes[i] + 1}'
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


def _said(what: str, pid: int, tid: int, name: str) -> str:
    return dumps({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}})


def _lane_name(timeline: Timeline, lane: TimelineLane) -> str:
    thread = timeline.thread_list[lane.thread].name
    return thread if lane.kind == THREAD else f"{thread}: {lane.kind} {lane.number}"
