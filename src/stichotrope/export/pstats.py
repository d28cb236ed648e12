"""The pstats export: a file that `pstats.Stats` and its viewers open as they do cProfile's.

It is what `cProfile.Profile.dump_stats` writes: (file, line, name) → (primitive calls, calls, own
seconds, cumulative seconds, callers), by `marshal`; callers are the same with the first two
numbers swapped. See ``Lib/cProfile.py`` and ``Lib/pstats.py``.

Calls are passes that ended. Results do not count recursive ones apart, so each is a primitive
call. Cumulative times count recursion once all the same, and what is open as far as it has come.
"""

from __future__ import annotations

from .._text.format import printable

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import TypeAlias

    from ..results import CallNode, ProfileBlock, ProfilerResults

    _Function: TypeAlias = "tuple[str, int, str]"
    _Call: TypeAlias = "tuple[int, int, float, float]"

_SECOND = 1_000_000_000
_NO_FILE = "~"  # what cProfile writes for functions of C


def render(results: ProfilerResults) -> bytes:
    """Return results as a file for `pstats`, all threads merged; blocks without hits have no calls.

    :param results: the results.
    :raises ValueError: when there are no blocks: `pstats` refuses to open a file without functions.
    """
    from marshal import dumps

    calls: dict[_Function, _Call] = {}
    for _, track in sorted(results.tracks.items()):
        for block in track.blocks:
            _add(calls, _function(block), block)
    callers = _callers(results.tree, calls)
    if not calls:
        raise ValueError(
            f"the results of {results.profiler_name!r} have no blocks, "
            "and pstats cannot open a file without any"
        )
    return dumps({function: (*call, callers.get(function, {})) for function, call in calls.items()})


def _callers(
    tree: CallNode, calls: dict[_Function, _Call]
) -> dict[_Function, dict[_Function, _Call]]:
    """Return who calls whom, and how often; what stands in the tree alone is added to the calls."""
    callers: dict[_Function, dict[_Function, _Call]] = {}
    stack: list[tuple[CallNode, _Function | None]] = [(child, None) for child in tree.children]
    while stack:
        node, caller = stack.pop()
        function = _function(node)
        if node.track_idx < 0:  # "(other paths)" is no block
            _add(calls, function, node)
        if caller is not None:
            _add(callers.setdefault(function, {}), caller, node)
        stack.extend((child, function) for child in node.children)
    return callers


def _function(item: ProfileBlock | CallNode) -> _Function:
    line = item.line if item.file else 0
    return printable(item.file) or _NO_FILE, line, printable(item.name)


def _add(into: dict[_Function, _Call], key: _Function, item: ProfileBlock | CallNode) -> None:
    """Add calls and times; two tracks may have a block of one name on one line."""
    calls, _, own, total = into.get(key, (0, 0, 0.0, 0.0))
    calls += item.hit_count
    own += item.self_time_ns / _SECOND
    into[key] = calls, calls, own, total + item.total_time_ns / _SECOND
