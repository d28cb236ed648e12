"""The speedscope export: the call tree of everybody and of each thread, for https://www.speedscope.app.

The format is https://www.speedscope.app/file-format-schema.json: a "sampled" profile, each sample
being a path of the call tree, its weight the self time in nanoseconds; and where the program says
how many bytes or items went through passes, one each in which these are the weight. Its order is
that of the tree, not of time: results keep figures, not events.
"""

from __future__ import annotations

from .._text.format import printable
from .._version import __version__
from ._stacks import stacks

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import Any

    from ..results import CallNode, ProfilerResults

_WORK = (("bytes", "bytes", "byte_count"), ("items", "none", "item_count"))
_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def render(results: ProfilerResults) -> str:
    """Return results as a speedscope file: first everybody's profile, then one for each thread.

    Of a single thread there is one profile. Those of bytes and items, if there are any, come last.

    :param results: the results.
    """
    from json import dumps

    frames = _Frames()
    name = printable(results.profiler_name)
    profiles = [_profile(name, results.tree, frames)]
    if len(results.threads) > 1:
        several = len(results.processes) > 1
        for thread in results.threads:
            whose = f" of process {thread.process.pid}" if several and thread.process else ""
            label = f"{printable(thread.name)} ({thread.key}){whose}"
            profiles.append(_profile(label, thread.tree, frames))
    for what, unit, figure in _WORK:
        work = _profile(f"{name}: {what}", results.tree, frames, figure, unit)
        if work["samples"]:
            profiles.append(work)
    text = dumps(
        {
            "$schema": _SCHEMA,
            "exporter": f"stichotrope@{__version__}",
            "name": name,
            "activeProfileIndex": 0,
            "shared": {"frames": frames.found},
            "profiles": profiles,
        }
    )
    return f"{text}\n"


class _Frames:
    """The blocks, each with its place."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._places: dict[tuple[int, str, int, str], int] = {}

    def place(self, node: CallNode) -> int:
        """Return the place of a node's block."""
        identity = node.identity
        if identity not in self._places:
            self._places[identity] = len(self.found)
            frame: dict[str, Any] = {"name": printable(node.name)}
            if node.file:
                frame.update(file=printable(node.file), line=node.line)
            self.found.append(frame)
        return self._places[identity]


def _profile(
    name: str,
    tree: CallNode,
    frames: _Frames,
    figure: str = "self_time_ns",
    unit: str = "nanoseconds",
) -> dict[str, Any]:
    samples: list[list[int]] = []
    weights: list[int] = []
    for path, weight in stacks(tree, figure):
        samples.append([frames.place(node) for node in path])
        weights.append(weight)
    return {
        "type": "sampled",
        "name": name,
        "unit": unit,
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }
