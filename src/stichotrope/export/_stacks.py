"""The call tree as stacks with self times, as the viewers of sampled stacks read them."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results import CallNode


def stacks(tree: CallNode, figure: str = "self_time_ns") -> Iterator[tuple[list[CallNode], int]]:
    """Yield the nodes from the outermost to each, and its self time in ns where it is above 0.

    A self time is below 0 when nested blocks overlapped in time, as those of tasks do; it then
    counts as none. The list is the same object each time.

    :param tree: the root of a call tree.
    :param figure: what is given of each node in place of its self time.
    """
    path: list[CallNode] = []
    for node, depth in tree.walk():
        if depth == 0:
            continue
        del path[depth - 1 :]
        path.append(node)
        own: int = getattr(node, figure)
        if own > 0:
            yield path, own
