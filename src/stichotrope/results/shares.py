"""What each of several processes has of each block."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from .model import ProcessResults, ProfilerResults


class Share:
    """What one process has of each block.

    :ivar process: the process.
    :ivar blocks: what each block is known by.
    :ivar hits: how many of its passes ended.
    :ivar total_ns: how long it had a pass open.
    :ivar sum_ns: what its passes that ended took, added up.
    :ivar longest_ns: its longest pass.
    """

    def __init__(
        self,
        process: ProcessResults,
        blocks: Sequence[Any],
        hits: Sequence[int],
        total_ns: Sequence[int],
        sum_ns: Sequence[int],
        longest_ns: Sequence[int],
    ) -> None:
        self.process = process
        self.blocks = blocks
        self.hits = hits
        self.total_ns = total_ns
        self.sum_ns = sum_ns
        self.longest_ns = longest_ns

    def rows(self) -> Iterator[tuple[Any, int, int, int, int]]:
        """Yield of each block what it is known by, and its figures."""
        yield from zip(
            self.blocks, self.hits, self.total_ns, self.sum_ns, self.longest_ns, strict=True
        )


def together(shares: Iterable[Share]) -> Share:
    """Return what one process has, of what its threads or profilers have.

    :param shares: one or more of one process.
    """
    first, *others = shares
    if not others:
        return first
    known: dict[Any, list[int]] = {}
    for share in (first, *others):
        for block, hits, total, whole, longest in share.rows():
            row = known.setdefault(block, [0, 0, 0, 0])
            row[:] = row[0] + hits, row[1] + total, row[2] + whole, max(row[3], longest)
    columns = list(zip(*known.values(), strict=True)) or [()] * 4
    return Share(first.process, list(known), *columns)


def shares_of_threads(results: ProfilerResults) -> list[Share]:
    """Return what each process has of each block, of what its threads have.

    A process of whose threads nothing is known is left out, unless it is the only one.

    :param results: the results.
    """
    if len(results.processes) == 1:
        return [_share(results.processes[0], results)]
    of_each: dict[int, list[Share]] = {}
    for thread in results.threads:
        if thread.process is not None:
            share = _share(thread.process, thread)
            of_each.setdefault(id(thread.process), []).append(share)
    return [
        together(of_each[id(process)]) for process in results.processes if id(process) in of_each
    ]


def _share(process: ProcessResults, figures: Any) -> Share:
    blocks = [
        block for track in figures.tracks.values() for block in track.blocks if block.was_entered
    ]
    return Share(
        process,
        [block.identity for block in blocks],
        [block.hit_count for block in blocks],
        [block.total_time_ns for block in blocks],
        [block.sum_time_ns for block in blocks],
        [block.max_time_ns for block in blocks],
    )
