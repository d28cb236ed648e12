"""Whole numbers in columns of bytes, each column as wide as its largest number needs."""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate
from operator import sub

from .plain import ResultsFormatError

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Sequence

# A column is a code, how many numbers there are (u32), and those, little endian. The code is one
# of these, of `array`, or "w": then the number of bytes (u8) that each has comes first.
_CODES = {code: array(code).itemsize for code in "BHIQbhiq"}
_UNSIGNED, _SIGNED = "BHIQ", "bhiq"
_WIDE = ord("w")
_MAX_WIDTH = 33  # the widest number that a document may hold has 256 bits, and here a sign
_SWAPPED = sys.byteorder == "big"


class Writer:
    """Columns and texts, one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def numbers(self, values: Sequence[int]) -> None:
        """Write a column.

        :param values: whole numbers of any size.
        """
        least, most = min(values, default=0), max(values, default=0)
        count = len(values).to_bytes(4, "little")
        code = _code(least, most)
        if code is None:
            width = max(least.bit_length(), most.bit_length()) // 8 + 1
            self._parts += [bytes((_WIDE,)), count, bytes((width,))]
            self._parts += [value.to_bytes(width, "little", signed=True) for value in values]
            return
        column = array(code, values)
        if _SWAPPED:
            column.byteswap()
        self._parts += [code.encode(), count, column.tobytes()]

    def ascending(self, values: Sequence[int]) -> None:
        """Write a column by its differences, which are smaller where it ascends.

        :param values: whole numbers.
        """
        self.numbers(list(map(sub, values, [0, *values[:-1]])))

    def text(self, text: str) -> None:
        """Write a text."""
        encoded = text.encode("utf-8", "surrogatepass")
        self._parts += [len(encoded).to_bytes(4, "little"), encoded]

    def done(self) -> bytes:
        """Return all of it."""
        return b"".join(self._parts)


def _code(least: int, most: int) -> str | None:
    """Return the narrowest code that holds a range of numbers, None if it takes a wide one."""
    for code in _UNSIGNED if least >= 0 else _SIGNED:
        bits = 8 * _CODES[code]
        if least >= 0:
            if most < 1 << bits:
                return code
        elif -(1 << (bits - 1)) <= least and most < 1 << (bits - 1):
            return code
    return None


class Reader:
    """What a `Writer` has written, read in the same order.

    :param data: its bytes, from anywhere.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._place = 0

    def numbers(self) -> Sequence[int]:
        """Return the next column.

        :raises ResultsFormatError: when there is none.
        """
        code = self._take(1)[0]
        count = int.from_bytes(self._take(4), "little")
        if code == _WIDE:
            return self._wide(count)
        if chr(code) not in _CODES:
            raise ResultsFormatError(f"there is no column of kind {code}")
        column = array(chr(code))
        column.frombytes(self._take(count * column.itemsize))
        if _SWAPPED:
            column.byteswap()
        return column

    def _wide(self, count: int) -> list[int]:
        width = self._take(1)[0]
        if not 1 <= width <= _MAX_WIDTH:
            raise ResultsFormatError(f"a column's numbers have {width} bytes, expected 1 to 33")
        data = bytes(self._take(count * width))
        return [
            int.from_bytes(data[at : at + width], "little", signed=True)
            for at in range(0, len(data), width)
        ]

    def ascending(self) -> list[int]:
        """Return the next column, which was written by its differences.

        :raises ResultsFormatError: when there is none.
        """
        return list(accumulate(self.numbers()))

    def text(self) -> str:
        """Return the next text.

        :raises ResultsFormatError: when there is none.
        """
        encoded = bytes(self._take(int.from_bytes(self._take(4), "little")))
        try:
            return encoded.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise ResultsFormatError(f"a text is not UTF-8: {error}") from error

    def _take(self, count: int) -> memoryview:
        taken = self._data[self._place : self._place + count]
        if len(taken) < count:
            raise ResultsFormatError(
                f"cut short: {count:,} bytes expected at byte {self._place:,}, {len(taken):,} there"
            )
        self._place += count
        return taken
