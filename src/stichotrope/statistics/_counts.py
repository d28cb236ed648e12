"""How often a block is passed in one pass of the block around it: exact, on any machine.

Passes are counted when they begin: of a program that was looked at within its `main`, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, TypeAlias

    from ..results import ProfilerResults

    # Track and name of each block from the outermost on.
    Path: TypeAlias = tuple[tuple[str, str], ...]
    # Passes, and those of the parent.
    Counts: TypeAlias = dict[Path, tuple[int, int]]

BETWEEN = " > "  # the blocks of a path, as people read it


@dataclass(frozen=True)
class PathCount:
    """How often a block is passed in a pass of its parent, in two versions of a program.

    Where runs differ, the least and the most of them are told.

    :ivar path: the names of the blocks from the outermost to it.
    :ivar old_least: passes of it in one of its parent, in the old run that has the fewest.
    :ivar old_most: the same in the old run that has the most.
    :ivar new_least: the same of the new version.
    :ivar new_most: the same of the new version.
    """

    path: tuple[str, ...]
    old_least: Fraction
    old_most: Fraction
    new_least: Fraction
    new_most: Fraction

    def __str__(self) -> str:
        old, new = (
            _span(*ends)
            for ends in ((self.old_least, self.old_most), (self.new_least, self.new_most))
        )
        return f"{BETWEEN.join(self.path)}: {old} → {new} in a pass of {self.path[-2]}"

    @property
    def is_changed(self) -> bool:
        """Whether every new run has more than every old one, or fewer."""
        return self.new_least > self.old_most or self.new_most < self.old_least

    def is_more_than(self, factor: Fraction) -> bool:
        """Return whether every new run has more than some times what any old one has.

        :param factor: how many times.
        """
        return self.new_least > factor * self.old_most

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold."""
        ends = ("old_least", "old_most", "new_least", "new_most")
        return {"path": list(self.path), **{name: float(getattr(self, name)) for name in ends}}


def counts_of(results: ProfilerResults) -> Counts:
    """Return the passes of each path of a call tree, and those of its parent.

    Blocks of one track and name below one parent are the same, wherever they stand: so a path is
    known again when files and lines have moved. An outermost block has no parent, and 0 passes of
    one.

    :param results: the results of one run.
    """
    names = {idx: track.track_name for idx, track in results.tracks.items()}
    found: Counts = {}
    path: list[tuple[str, str]] = []
    for node, depth in results.tree.walk():
        if depth == 0:
            continue
        del path[depth - 1 :]
        path.append((names.get(node.track_idx, ""), node.name))
        if node.track_idx >= 0:  # what is beyond a thread's limit has no path
            place = tuple(path)
            passes = found.get(place, (0, 0))[0] + node.hit_count + node.open_count
            found[place] = passes, found.get(place[:-1], (0, 0))[0]
    # Namesakes may come after their siblings' children.
    return {
        place: (passes, found.get(place[:-1], (0, 0))[0]) for place, (passes, _) in found.items()
    }


def compared_counts(old: Iterable[Counts], new: Iterable[Counts]) -> list[PathCount]:
    """Return how often each path is passed that has a parent in all runs that have it.

    :param old: the paths of each run of the old version.
    :param new: the same of the new version.
    """
    before, after = _by_path(old), _by_path(new)
    return [
        PathCount(_names(path), min(before[path]), max(before[path]), min(news), max(news))
        for path, news in after.items()
        if path in before
    ]


def only_in(some: Iterable[Counts], others: Iterable[Counts]) -> list[tuple[str, ...]]:
    """Return the paths that are passed in some runs and in none of others, without those below.

    :param some: the paths of each run of one side.
    :param others: the same of the other side.
    """
    here, there = ({path: None for run in side for path in _passed(run)} for side in (some, others))
    fresh = {path: None for path in here if path not in there}
    return [_names(path) for path in fresh if path[:-1] not in fresh]


def nested_in(runs: Iterable[Counts]) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """Return which blocks are directly below each, on any path.

    :param runs: the paths of each run.
    """
    below: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for run in runs:
        for path in run:
            if len(path) > 1:
                below.setdefault(path[-2], set()).add(path[-1])
    return below


def _passed(run: Mapping[Path, tuple[int, int]]) -> Iterator[Path]:
    return (path for path, (passes, _) in run.items() if passes)


def _by_path(runs: Iterable[Counts]) -> dict[Path, list[Fraction]]:
    """Return the share of each run in which the parent was passed; also those without any pass."""
    kept = list(runs)
    found: dict[Path, list[Fraction]] = {}
    for path in {path: None for run in kept for path in run if len(path) > 1}:
        for run in kept:
            passes, around = run.get(path, (0, run.get(path[:-1], (0, 0))[0]))
            if around:
                found.setdefault(path, []).append(Fraction(passes, around))
    return found


def _names(path: Path) -> tuple[str, ...]:
    return tuple(name for _, name in path)


def _span(least: Fraction, most: Fraction) -> str:
    return _figure(least) if least == most else f"{_figure(least)} to {_figure(most)}"


def _figure(count: Fraction) -> str:
    return f"{count.numerator:,}" if count.denominator == 1 else f"{float(count):,.4g}"
