"""Results from files and directories, as a command is given them."""

from __future__ import annotations

import os

from .._files import files_in
from ..results import GATHERED_SUFFIX, ProfilerResults, ResultsFormatError
from ..results.merge import by_profiler
from . import CommandError, reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable


def load(paths: Iterable[str]) -> list[ProfilerResults]:
    """Return the results in files and directories, merged for each profiler's name.

    :param paths: results files, and directories that processes gathered in.
    :raises CommandError: when one cannot be read, or holds no results.
    """
    parts: list[ProfilerResults] = []
    for path in paths:
        if os.path.isdir(path):
            parts += _in_directory(path)
            continue
        try:
            parts.append(ProfilerResults.load(path))
        except (OSError, ValueError) as error:
            raise CommandError(reason(error)) from None
    return by_profiler(parts)


def _in_directory(directory: str) -> list[ProfilerResults]:
    try:
        files = files_in(directory, GATHERED_SUFFIX)
    except OSError as error:
        raise CommandError(reason(error)) from None
    found = readable(files)
    if not found:
        expected = f"results files, named *{GATHERED_SUFFIX}"
        kind = "none that can be read" if files else "none"
        raise CommandError(f"{directory} should hold {expected}, but there are {kind}")
    return found


def readable(paths: Iterable[str]) -> list[ProfilerResults]:
    """Return the results in files, and say which of them cannot be read.

    :param paths: the files.
    """
    found = []
    for path in paths:
        try:
            found.append(ProfilerResults.load(path))
        except (OSError, ResultsFormatError) as error:
            say(f"stichotrope: left out: {reason(error)}")
    return found
