"""The source lines around blocks, read when a report is made: bounded, from Python files only."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BEFORE = 3
_AFTER = 24
_HEADING = 8  # lines in which the body must begin: decorators, a definition over several lines
_LARGEST_FILE = 4 << 20  # bytes
_LONGEST_LINE = 240  # characters
_TAB = 4
_SUFFIXES = (".py", ".pyw", ".pyi", ".pyx", ".pxd", ".pxi")


class Excerpt:
    """Lines of one file.

    :ivar lines: line number, from 1 on → its text, without its end.
    :ivar ranges: line of a place → the first and the last line to show for it.
    :ivar modified_ns: when the file was written, in ns since the epoch; 0 for what is in no file.
    """

    __slots__ = ("lines", "modified_ns", "ranges")

    def __init__(self, modified_ns: int) -> None:
        self.lines: dict[int, str] = {}
        self.ranges: dict[int, tuple[int, int]] = {}
        self.modified_ns = modified_ns


def excerpts(places: Iterable[tuple[str, int]], room: int) -> dict[str, Excerpt]:
    """Return the lines around places in source files, by file; what cannot be read is left out.

    A place gets a few lines before it, and those after it that are indented deeper, or belong to
    the definition that begins there.

    :param places: (file, line) of each block, the most wanted first.
    :param room: how many characters they may have in all.
    """
    texts: dict[str, tuple[list[str], int] | None] = {}
    found: dict[str, Excerpt] = {}
    for file, line in places:
        if file not in texts:
            texts[file] = _read(file)
        text = texts[file]
        if text is None or not 1 <= line <= len(text[0]):
            continue
        lines, modified_ns = text
        known = found[file].lines if file in found else {}
        first, last = _range(lines, line)
        added = {n: _shown(lines[n - 1]) for n in range(first, last + 1) if n not in known}
        room -= sum(map(len, added.values()))
        if room < 0:
            break
        excerpt = found.setdefault(file, Excerpt(modified_ns))
        excerpt.lines.update(added)
        excerpt.ranges[line] = first, last
    return found


def _read(file: str) -> tuple[list[str], int] | None:
    """Return a file's lines and when it was written, None if it is not a readable Python source."""
    if file.startswith("<"):
        return _read_cached(file)
    try:
        # Opening a named pipe would wait for who writes to it, a device may never end.
        if not os.path.isfile(file) or not _is_python(file):
            return None
        status = os.stat(file)
        if status.st_size > _LARGEST_FILE:
            return None
        import tokenize

        with tokenize.open(file) as stream:
            # Not by `splitlines`: a form feed ends no line of a program.
            return stream.read().removesuffix("\n").split("\n"), status.st_mtime_ns
    except (OSError, SyntaxError, ValueError):  # unreadable, of an unknown encoding, not in it
        return None


def _read_cached(name: str) -> tuple[list[str], int] | None:
    """Return what a notebook or a shell keeps of the code that was typed in."""
    import linecache

    lines = linecache.getlines(name)
    return ([line.rstrip("\n") for line in lines], 0) if lines else None


def _is_python(file: str) -> bool:
    """Return whether a file is source: results from elsewhere may name any file of this machine."""
    if file.endswith(_SUFFIXES):
        return True
    with open(file, "rb") as stream:
        first = stream.readline(200)
    return first.startswith(b"#!") and b"python" in first


def _range(lines: Sequence[str], line: int) -> tuple[int, int]:
    """Return the numbers of the first and the last line to show around one."""
    last = line
    indent = _indent(lines[line - 1])
    in_body = False
    for number in range(line + 1, min(line + _AFTER, len(lines)) + 1):
        text = lines[number - 1]
        if not text.strip():
            continue
        deeper = _indent(text) > indent
        # A closing bracket is not indented deeper, nor are decorators and the `def` below them.
        closing = text.lstrip().startswith((")", "]", "}"))
        ended = in_body and not (deeper or closing)
        if ended or _indent(text) < indent or not (in_body or number <= line + _HEADING):
            break
        in_body = in_body or deeper
        last = number
    return max(1, line - _BEFORE), last


def _indent(text: str) -> int:
    expanded = text.expandtabs(_TAB)
    return len(expanded) - len(expanded.lstrip())


def _shown(text: str) -> str:
    text = text.rstrip("\r").expandtabs(_TAB)
    return text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 1]}…"
