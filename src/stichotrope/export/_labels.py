"""What a block is called where a viewer knows blocks by their names alone."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from ..results import CallNode


def shared_names(tree: CallNode) -> set[str]:
    """Return the names that more than one block has.

    :param tree: the root of a call tree.
    """
    places: dict[str, set[tuple[int, str, int]]] = {}
    for node, _ in tree.walk():
        places.setdefault(node.name, set()).add((node.track_idx, node.file, node.line))
    return {name for name, found in places.items() if len(found) > 1}


def label(node: CallNode, shared: set[str]) -> str:
    """Return a block's name; where several have it, with file and line.

    :param node: a node of the block.
    :param shared: the names that several have.
    """
    return f"{node.name} ({node.file}:{node.line})" if node.name in shared else node.name
