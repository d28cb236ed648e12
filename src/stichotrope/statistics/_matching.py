"""Which blocks of two runs are the same, when files and lines have moved between them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from typing import Protocol, TypeVar

    class Named(Protocol):
        """What is known of a block."""

        track_idx: int
        track: str
        name: str
        file: str
        line: int

    A = TypeVar("A", bound=Named)
    B = TypeVar("B", bound=Named)

# What blocks of one name on one track are told apart by, the surest first. Within a file their
# order says more than their lines, which move when anything above is edited.
_PLACES: tuple[Callable[[Named], Hashable], ...] = (
    lambda block: block.file,
    lambda block: (block.file, block.line),
    lambda block: os.path.basename(block.file),
    lambda block: (os.path.basename(block.file), block.line),
)


def matched(olds: Iterable[A], news: Iterable[B]) -> tuple[list[tuple[A, B]], list[A], list[B]]:
    """Return the pairs of blocks that are the same, and those that are on one side only.

    Blocks are the same when track and name are: the track by its name, or, when neither side has
    one of the other's name, by its index. Where there are several of one name on a track, they are
    paired by their order in a file, if that has as many of them on both sides, then by file and
    line, then likewise by the file's last part.

    :param olds: the blocks of one side.
    :param news: those of the other side.
    """
    left, right = list(olds), list(news)
    pairs = _pairs(left, right, lambda block: (block.track, block.name), _namesakes)
    left_names, right_names = ({block.track for block in side} for side in (left, right))
    pairs += _pairs(
        [block for block in left if block.track not in right_names],
        [block for block in right if block.track not in left_names],
        lambda block: (block.track_idx, block.name),
        _namesakes,
    )
    return pairs, *_rest(left, right, pairs)


def _pairs(
    left: list[A],
    right: list[B],
    key: Callable[[Named], Hashable],
    pair: Callable[[list[A], list[B]], list[tuple[A, B]]],
) -> list[tuple[A, B]]:
    """Return the pairs that are found among blocks of one key."""
    others = _grouped(right, key)
    return [
        two
        for group, blocks in _grouped(left, key).items()
        if group in others
        for two in pair(blocks, others[group])
    ]


def _rest(left: list[A], right: list[B], pairs: list[tuple[A, B]]) -> tuple[list[A], list[B]]:
    """Return what is in none of the pairs."""
    olds, news = ({id(two[side]) for two in pairs} for side in (0, 1))
    return (
        [block for block in left if id(block) not in olds],
        [block for block in right if id(block) not in news],
    )


def _namesakes(left: list[A], right: list[B]) -> list[tuple[A, B]]:
    """Return pairs of blocks of one name on one track."""
    if len(left) == len(right) == 1:
        return [(left[0], right[0])]
    pairs: list[tuple[A, B]] = []
    for place in _PLACES:
        pairs += _pairs(*_rest(left, right, pairs), place, _in_order)
    left, right = _rest(left, right, pairs)
    return pairs + ([(left[0], right[0])] if len(left) == len(right) == 1 else [])


def _in_order(olds: list[A], news: list[B]) -> list[tuple[A, B]]:
    """Return pairs in order of line if there are as many on both sides."""
    if len(olds) != len(news):
        return []
    return list(zip(_by_line(olds), _by_line(news), strict=True))


def _by_line(blocks: list[A]) -> list[A]:
    return sorted(blocks, key=lambda block: (block.file, block.line))


def _grouped(blocks: list[A], key: Callable[[Named], Hashable]) -> dict[Hashable, list[A]]:
    groups: dict[Hashable, list[A]] = {}
    for block in blocks:
        groups.setdefault(key(block), []).append(block)
    return groups
