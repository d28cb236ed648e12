"""The histograms of many parts added up: in a dict, or with numpy where there are many parts."""

from __future__ import annotations

from itertools import repeat
from operator import add

from .histogram import Histogram
from .packed import BUCKET_BITS

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .packed import Columns

_BUCKET = (1 << BUCKET_BITS) - 1
_MANY = 32  # parts: with fewer, importing numpy takes longer than it saves
_MOST_CELLS = 1 << 24  # of a table of blocks and buckets, of 8 bytes each
_MOST_COUNT = 1 << 31  # of a cell in one part: so many parts as fit in memory cannot overflow it


class Buckets:
    """How many passes each bucket of each block has."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, columns: Columns, rows: Sequence[int]) -> None:
        """Add the histograms of a part.

        :param columns: its figures.
        :param rows: the row of each of its blocks in the whole.
        """
        keys: Sequence[int] = columns.keys()
        counts = self._counts
        if isinstance(rows, range):  # its keys are those of the whole, each there once
            seen = map(counts.get, keys, repeat(0))
            counts.update(zip(keys, map(add, seen, columns.counts), strict=True))
            return
        for key, count in zip(keys, columns.counts, strict=True):
            moved = (rows[key >> BUCKET_BITS] << BUCKET_BITS) + (key & _BUCKET)
            counts[moved] = counts.get(moved, 0) + count

    def histograms(self, size: int) -> list[Histogram]:
        """Return the histogram of each row.

        :param size: how many rows there are.
        """
        found: list[dict[int, int]] = [{} for _ in range(size)]
        for key, count in self._counts.items():
            found[key >> BUCKET_BITS][key & _BUCKET] = count
        return [Histogram(counts) for counts in found]


class DenseBuckets(Buckets):
    """The same in a table of numpy's, as far as that is not too large.

    :param numpy: the module.
    """

    def __init__(self, numpy: Any) -> None:
        super().__init__()
        self._numpy = numpy
        self._table = numpy.zeros((0, 0), numpy.int64)

    def add(self, columns: Columns, rows: Sequence[int]) -> None:
        """Add the histograms of a part; see `Buckets.add`."""
        numpy = self._numpy
        if not len(columns.steps):
            return None
        # Wide columns are lists of numbers that may not fit.
        if isinstance(columns.counts, list) or isinstance(columns.steps, list):
            return super().add(columns, rows)
        keys = numpy.cumsum(numpy.asarray(columns.steps), dtype=numpy.int64)
        counts = numpy.asarray(columns.counts)
        places, buckets = keys >> BUCKET_BITS, keys & _BUCKET
        height, width = max(rows, default=-1) + 1, int(buckets.max()) + 1
        if not self._has_room(height, width) or int(counts.max()) > _MOST_COUNT:
            return super().add(columns, rows)
        counts = counts.astype(numpy.int64)
        if isinstance(rows, range):
            self._table[places, buckets] += counts
        else:  # two blocks of a part may be one in the whole
            moved = numpy.asarray(rows, dtype=numpy.int64)[places]
            numpy.add.at(self._table, (moved, buckets), counts)
        return None

    def _has_room(self, height: int, width: int) -> bool:
        had = self._table.shape
        shape = max(had[0], height), max(had[1], width)
        if shape[0] * shape[1] > _MOST_CELLS:
            return False
        if shape != had:
            table = self._numpy.zeros(shape, self._numpy.int64)
            table[: had[0], : had[1]] = self._table
            self._table = table
        return True

    def histograms(self, size: int) -> list[Histogram]:
        """Return the histogram of each row; see `Buckets.histograms`."""
        found = super().histograms(size)
        for row, counts in enumerate(self._table):
            (buckets,) = counts.nonzero()
            own = Histogram(dict(zip(buckets.tolist(), counts[buckets].tolist(), strict=True)))
            found[row].merge(own)
        return found


def buckets_for(parts: int) -> Buckets:
    """Return what adds up the histograms of so many parts.

    :param parts: how many.
    """
    if parts >= _MANY:
        try:
            import numpy
        except ImportError:
            pass
        else:
            return DenseBuckets(numpy)
    return Buckets()
