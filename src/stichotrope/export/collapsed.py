"""The collapsed export: a line for each path of the call tree, for flamegraph.pl and its kin.

The format is that of Brendan Gregg's FlameGraph (https://github.com/brendangregg/FlameGraph): the
blocks from the outermost on, separated by semicolons, a space, and a whole number. The number is
the self time in nanoseconds, so that nothing is rounded away: ``flamegraph.pl --countname ns``.

A block is written as its name; where several blocks have that name, as ``name (file:line)``.
"""

from __future__ import annotations

from .._text.format import printable
from ._labels import label, shared_names
from ._stacks import stacks

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from ..results import CallNode, ProfilerResults


def render(results: ProfilerResults) -> str:
    """Return results as collapsed stacks, all threads merged, in the order of the call tree.

    A semicolon in a name becomes a colon, and what cannot be printed its escape. Paths without self
    time are left out.

    :param results: the results.
    """
    shared = shared_names(results.tree)
    weights: dict[str, int] = {}
    for path, self_ns in stacks(results.tree):
        line = ";".join(_frame(node, shared) for node in path)
        weights[line] = weights.get(line, 0) + self_ns
    return "".join(f"{line} {weight}\n" for line, weight in weights.items())


def _frame(node: CallNode, shared: set[str]) -> str:
    return printable(label(node, shared)).replace(";", ":")
