"""What results say, in the oracle's shapes, and how it differs from what it should be."""

from __future__ import annotations

from collections.abc import Iterator

from stichotrope.results import CallNode, ProfilerResults, ThreadResults

from .figures import Block, Figures, Node


def observed_figures(found: ProfilerResults | ThreadResults) -> Figures:
    """All figures of the results of one thread or of several."""
    blocks = {}
    for track in found.tracks.values():
        assert [block.block_idx for block in track.blocks] == list(range(len(track.blocks)))
        for block in track.blocks:
            blocks[block.name] = Block(
                hits=block.hit_count,
                total=block.total_time_ns,
                active=block.active_time_ns,
                self=block.self_time_ns,
                minimum=block.min_time_ns,
                maximum=block.max_time_ns,
                sum=block.sum_time_ns,
                squares=block.sum_squares_ns2,
                histogram=tuple(block.histogram),
            )
    return Figures(
        blocks=blocks,
        tracks={track.track_idx: track.total_time_ns for track in found.tracks.values()},
        total=found.total_time_ns,
        tree=dict(hit_nodes(found.tree, ())),
    )


def hit_nodes(node: CallNode, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every node of a tree that has finished passes, with the path that leads there."""
    if node.hit_count:
        yield path, Node(node.hit_count, node.total_time_ns, node.self_time_ns)
    for child in node.children:
        yield from hit_nodes(child, (*path, child.name))


def differences(observed: Figures, expected: Figures) -> str:
    """Every figure that is not what it should be, a line each."""
    lines = []
    for field in Figures._fields:
        found, wanted = getattr(observed, field), getattr(expected, field)
        if isinstance(found, int):
            found, wanted = {"": found}, {"": wanted}
        for key in (key for key in {**found, **wanted} if found.get(key) != wanted.get(key)):
            lines.append(f"{field} {key}: is {found.get(key)}, should be {wanted.get(key)}")
    return "\n".join(lines)
