"""What JSON can hold: values made plain, and the objects of a document read field by field."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeAlias

    # What leads to a value within metadata: the place of what holds it, and its key there.
    _Place: TypeAlias = "tuple[_Place, object] | None"

_MAX_BITS = 256  # of a number in a file: a mean or a standard deviation of such is still a float
_USUAL = 1 << 64  # a number below this needs no closer look
# How deep metadata may be nested in a file, and after merging, which puts it two levels deeper.
# `json` and the interpreter's stack bear several times as much.
MAX_NESTING = 100
MAX_MERGED_NESTING = MAX_NESTING + 2


class ResultsFormatError(ValueError):
    """A file or document that does not hold results which this version can read."""


def json_value(
    value: Any, place: _Place = None, depth: int = 0, limit: int = MAX_MERGED_NESTING
) -> Any:
    """Return a copy of a value in the shape that it will have when read back from JSON."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        # JSON has no way to write nan and the infinities.
        return value if value - value == 0 else None
    if depth >= limit:
        raise ValueError(f"metadata must not be nested more than {limit} levels deep")
    if isinstance(value, (list, tuple)):
        return [json_value(item, (place, i), depth + 1, limit) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _json_key(key, place): json_value(item, (place, key), depth + 1, limit)
            for key, item in value.items()
        }
    raise TypeError(f"{_where(place)} must be something that JSON can hold, not {value!r}")


def _json_key(key: object, place: _Place) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the keys of {_where(place)} must be str, not {key!r}")
    return key


def _where(place: _Place) -> str:
    # Written out for an error alone: a long key would else be copied for each value below it.
    keys: list[object] = []
    while place is not None:
        place, key = place
        keys.append(key)
    return "metadata" + "".join(f"[{key!r}]" for key in reversed(keys))


def check_indent(indent: int | None) -> None:
    if indent is None:
        return
    if isinstance(indent, bool) or not isinstance(indent, int):
        raise TypeError(f"indent must be a number of spaces or None, not {indent!r}")
    if indent < 0:
        raise ValueError(f"indent must be 0 or more, not {indent}")


def parse(raw: bytes) -> Any:
    import json

    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ResultsFormatError(f"not JSON, or cut short: {error}") from error


class Document:
    """A JSON object of a document, and where in the document it stands.

    :ivar version: that of the document's format; 0 as long as it is not known.
    """

    def __init__(self, value: object, where: str, version: int = 0) -> None:
        if not isinstance(value, dict):
            raise ResultsFormatError(
                f"not a stichotrope results file: expected an object "
                f"{f'at {where}' if where else 'on the outside'}, not {kind(value)}"
            )
        self.value: dict[str, Any] = value
        self.where = where
        self.version = version

    def text(self, key: str) -> str:
        return self._take(key, str, "a text")  # type: ignore[no-any-return]

    def flag(self, key: str) -> bool:
        return self._take(key, bool, "true or false")  # type: ignore[no-any-return]

    def mapping(self, key: str) -> dict[str, Any]:
        return self._take(key, dict, "an object")  # type: ignore[no-any-return]

    def integer(self, key: str) -> int:
        value = self._take(key, int, "a whole number")
        if isinstance(value, bool):
            raise self._wrong(key, "a whole number")
        if not -_USUAL < value < _USUAL:
            self._check_size(key, value)
        return value  # type: ignore[no-any-return]

    def count(self, key: str) -> int:
        value = self.integer(key)
        if value < 0:
            raise self._wrong(key, "a whole number, 0 or more")
        return value

    def object(self, key: str) -> Document:
        """Return a field that holds an object."""
        return Document(self.mapping(key), self._path(key), self.version)

    def objects(self, key: str) -> Iterator[Document]:
        for i, item in enumerate(self._take(key, list, "a list")):
            yield Document(item, f"{self._path(key)}[{i}]", self.version)

    def pairs(self, key: str) -> Iterator[tuple[int, int]]:
        """Yield the pairs of counts in a list such as ``[[1, 2], [3, 4]]``."""
        for item in self._take(key, list, "a list"):
            if type(item) is not list or len(item) != 2:
                raise self._wrong(key, "a list of pairs of whole numbers")
            first, second = item
            if type(first) is not int or type(second) is not int:
                raise self._wrong(key, "a list of pairs of whole numbers")
            if first < 0 or second < 0:
                raise self._wrong(key, "a list of pairs of whole numbers, 0 or more")
            if first > _USUAL or second > _USUAL:
                self._check_size(key, max(first, second))
            yield first, second

    def _check_size(self, key: str, number: int) -> None:
        if number.bit_length() > _MAX_BITS:
            raise ResultsFormatError(
                f'a number in field "{key}"{self.place()} is too large: it has '
                f"{number.bit_length():,} bits, expected {_MAX_BITS} at most"
            )

    def _take(self, key: str, kind: type, expected: str) -> Any:
        if key not in self.value:
            raise ResultsFormatError(f'field "{key}" is missing{self.place()}')
        if not isinstance(self.value[key], kind):
            raise self._wrong(key, expected)
        return self.value[key]

    def _wrong(self, key: str, expected: str) -> ResultsFormatError:
        found = kind(self.value[key])
        return ResultsFormatError(f'field "{key}"{self.place()} must be {expected}, not {found}')

    def place(self) -> str:
        return f" at {self.where}" if self.where else ""

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key


def kind(value: object) -> str:
    from reprlib import repr as bounded_repr  # what is in a file may be deep, or long

    text = bounded_repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
