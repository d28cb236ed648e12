"""Protobuf, as far as it is written here: https://protobuf.dev/programming-guides/encoding/."""

from __future__ import annotations

from struct import pack

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable


def varint(value: int) -> bytes:
    """Return a number of 64 bits, one below 0 as its two's complement.

    :param value: the number.
    """
    value &= 2**64 - 1
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def zigzag(value: int) -> int:
    """Return a number with a sign as one without, as fields of type sint have it.

    :param value: the number.
    """
    return value << 1 ^ value >> 63


def integer(field: int, value: int) -> bytes:
    """Return a field of an integer type.

    :param field: the field's number.
    :param value: what it holds.
    """
    return varint(field << 3) + varint(value)


def double(field: int, value: float) -> bytes:
    """Return a field of type double.

    :param field: the field's number.
    :param value: what it holds.
    """
    return varint(field << 3 | 1) + pack("<d", value)


def sized(field: int, value: bytes) -> bytes:
    """Return a field that holds bytes, a text or a message.

    :param field: the field's number.
    :param value: what it holds, encoded.
    """
    return varint(field << 3 | 2) + varint(len(value)) + value


def packed(field: int, values: Iterable[int]) -> bytes:
    """Return a field of several integers.

    :param field: the field's number.
    :param values: what it holds.
    """
    return sized(field, b"".join(map(varint, values)))
