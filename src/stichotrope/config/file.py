"""The file of settings: where it is, what it says, and in which line."""

from __future__ import annotations

import os

from .._text.files import read_whole
from . import checks
from .kinds import ConfigError

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import Any

    from .._text.files import StrPath

FILE = "stichotrope.toml"
SHARED_FILE = "pyproject.toml"
TABLE = "stichotrope"  # of [tool] in the shared file


def find(start: StrPath | None = None) -> str | None:
    """Return the path of the file of settings, or None where there is none.

    It is looked for in a directory and in those above: ``stichotrope.toml``, or else a
    ``pyproject.toml`` with a table ``[tool.stichotrope]``. The nearest counts, alone.

    :param start: the directory to begin with, by default the working directory.
    :raises ConfigError: when a ``pyproject.toml`` that seems to have the table is no TOML.
    """
    return found(start)[0]


def found(start: StrPath | None) -> tuple[str | None, dict[str, Any]]:
    """Return the path of the nearest file, and what it says."""
    try:
        folder = os.path.abspath(os.getcwd() if start is None else os.fspath(start))
    except FileNotFoundError:  # the working directory was removed
        return None, {}
    while True:
        own, shared = os.path.join(folder, FILE), os.path.join(folder, SHARED_FILE)
        if os.path.isfile(own):
            return own, _parsed(own)
        table = _shared(shared) if os.path.isfile(shared) and _may_have_table(shared) else None
        if table is not None:
            return shared, table
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return None, {}


def chosen(given: StrPath) -> tuple[str, dict[str, Any]]:
    """Return the path of the file that was asked for, and what it says."""
    try:
        path = os.path.abspath(os.fspath(given))
    except TypeError as error:
        raise ConfigError(f"the path of the settings is wrong: {error}") from None
    table = _shared(path) if os.path.basename(path) == SHARED_FILE else _parsed(path)
    if table is None:
        raise ConfigError(f"{path} has no table [tool.{TABLE}]")
    return path, table


def _may_have_table(path: str) -> bool:
    """Return whether a shared file is worth parsing, which takes milliseconds: most are not."""
    try:
        text = read_whole(path)
    except OSError:
        return False
    return TABLE.encode() in text


def _shared(path: str) -> dict[str, Any] | None:
    """Return the settings in a shared file, None if there are none."""
    tool = _parsed(path).get("tool")
    table = tool.get(TABLE) if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.{TABLE} must be a table, not {checks.shown(table)}")
    return table


def _parsed(path: str) -> dict[str, Any]:
    try:
        raw = read_whole(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the settings in {path} cannot be read: {reason}") from error
    import tomllib

    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigError(f"{path} is no valid TOML: {error}") from error


def place_of(path: str, key: tuple[str, ...]) -> str:
    """Return the place of a key among the settings in a file, as an error names it.

    :param path: the file.
    :param key: the parts of the key, from the setting's name on.
    """
    head = ("tool", TABLE) if os.path.basename(path) == SHARED_FILE else ()
    line = _line_of(path, (*head, *key))
    return path if line is None else f"{path}, line {line}"


def _line_of(path: str, key: tuple[str, ...]) -> int | None:
    """Return the line that a key stands in, or the nearest part of it that has a line; 1 is first.

    The parser tells no lines. So each line is read by itself, as a header or as an assignment;
    what stands in a text of several lines may be mistaken for one.
    """
    lines = read_whole(path).decode("utf-8-sig").splitlines()
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("["):
            header = text.partition("]")[0].strip("[ ")
            table = _path_of(header) or table
            found.setdefault(table, number)
        elif "=" in text:
            inner = _path_of(text.partition("=")[0])
            for length in range(1, len(inner) + 1):
                found.setdefault((*table, *inner[:length]), number)
    ends = (key[:length] for length in range(len(key), 0, -1))
    return next((found[end] for end in ends if end in found), None)


def _path_of(dotted: str) -> tuple[str, ...]:
    """Return the parts of a key as TOML spells it, none if it is no key."""
    import tomllib

    try:
        node: Any = tomllib.loads(f"{dotted} = 0")
    except ValueError:
        return ()
    parts = []
    while isinstance(node, dict) and node:
        part, node = next(iter(node.items()))
        parts.append(part)
    return tuple(parts)
