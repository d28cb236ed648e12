"""Results from files and directories, as a command is given them."""

from __future__ import annotations

import os

from .. import profiler  # noqa: F401  # knows of stores' files
from ..results import GATHERED_SUFFIX, OTHER_KINDS, ProfilerResults
from ..results.gathered import all_readable, kept_few, load_any, results_files
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
            parts.append(load_any(path))
        except (OSError, ValueError) as error:
            raise CommandError(reason(error)) from None
    return by_profiler(parts)


def _in_directory(directory: str) -> list[ProfilerResults]:
    for sentence in kept_few(directory):
        say(f"stichotrope: {sentence}")
    try:
        files = results_files(directory)
        found = all_readable(lambda: results_files(directory), left_out)
    except OSError as error:
        raise CommandError(reason(error)) from None
    if not found:
        kinds = ", ".join(f"*{suffix}" for suffix in (GATHERED_SUFFIX, *OTHER_KINDS))
        expected = f"results files, named {kinds} or *.json"
        kind = "none that can be read" if files else "none"
        raise CommandError(f"{directory} should hold {expected}, but there are {kind}")
    return found


def left_out(error: Exception) -> None:
    """Say which file is left out, and why.

    :param error: the error of reading it.
    """
    say(f"stichotrope: left out: {reason(error)}")
