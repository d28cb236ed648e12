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
_LIST = re.compile(r"(\[\s*|\(\s*)\?(?:\s*,\s*\?)+\s*([\])])")
_LIST_OF_ONE = re.compile(r"(\bIN\s*\(|\bARRAY\s*\[)\s*\?\s*([\])])", re.I)
_ROWS = re.compile(r"(\((?:[^()]|\([^()]*\))*\))(?:\s*,\s*\1)+")
# What programs make up a name for each time: it is as good as a value.
_MADE_UP = re.compile(
    r"^(SAVEPOINT|RELEASE(?: SAVEPOINT)?|SAVE TRAN(?:SACTION)?"
    r"|ROLLBACK(?: WORK| TRAN(?:SACTION)?)?(?: TO(?: SAVEPOINT)?)?"
    r"|DECLARE(?=.* CURSOR\b)|(?:FETCH|MOVE)\b.*\b(?:FROM|IN)|CLOSE)"
    rf" (?!(?:TO|SAVEPOINT|WORK|TRAN|TRANSACTION|AND)\b)(?:{_NAME}|[\w$@#]+)",
    re.I,
)


@lru_cache(maxsize=2048)
def shape(statement: str) -> str:
    """Return a statement with ``?`` for each value, ``(...)`` for each list of them, on one line.

    Of rows of the same form the first is there. Names of savepoints and cursors are values, too.

    :param statement: the text that a driver is given.
    """
    text = _TOKEN.sub(_shown, statement)
    text = " ".join(text.split())
    text = _LIST_OF_ONE.sub(r"\1...\2", _LIST.sub(_any_number, text))
    text = _MADE_UP.sub(r"\1 ?", _ROWS.sub(r"\1", text))
    if len(text) > _MOST:
        return f"{text[: _MOST - 1]}…"
    return text or "(empty)"


def _any_number(found: re.Match[str]) -> str:
    return f"{found.group(1).strip()}...{found.group(2)}"


def _shown(found: re.Match[str]) -> str:
    name, comment = found.group(1), found.group(2)
    return name or (" " if comment else "?")
