"""The shape of an SQL statement: what all that differ in their values alone have in common."""

from __future__ import annotations

import re
from functools import lru_cache

_MOST = 160  # characters of a block's name
_QUOTED = r"'(?:[^']|'')*'"
_COMMENT = r"--[^\n]*|/\*.*?\*/"
# A name in quotes stays, also where it has digits.
_NAME = r'"(?:[^"]|"")*"|`[^`]*`|\[[A-Za-z_][^\]]*\]'
_VALUE = r"\b0x[0-9a-f]+\b|(?<![\w$])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?\b"
_PLACE = r"%\(\w+\)s|%s|\$\d+|(?<![:\w]):[A-Za-z_]\w*|\?\d*"
_TOKEN = re.compile(f"({_NAME})|({_COMMENT})|{_QUOTED}|{_PLACE}|{_VALUE}", re.S | re.I)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS = re.compile(r"(\((?:\?|\.\.\.)\))(?:\s*,\s*\((?:\?|\.\.\.)\))+")


@lru_cache(maxsize=2048)
def shape(statement: str) -> str:
    """Return a statement with ``?`` for each value, ``(...)`` for each list of them, on one line.

    :param statement: the text that a driver is given.
    """
    text = _TOKEN.sub(_shown, statement)
    text = " ".join(text.split())
    text = _ROWS.sub(r"\1", _LIST.sub("(...)", text))
    if len(text) > _MOST:
        return f"{text[: _MOST - 1]}…"
    return text or "(empty)"


def _shown(found: re.Match[str]) -> str:
    name, comment = found.group(1), found.group(2)
    return name or (" " if comment else "?")
