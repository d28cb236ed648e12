"""What several processes have left in a directory, read and put together."""

from __future__ import annotations

import os

from .._text.files import checked_path, files_in
from .document import load
from .merge import merged_processes
from .model import GATHERED, GATHERED_SUFFIX, OTHER_KINDS
from .plain import ResultsFormatError

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._text.files import StrPath
    from .model import ProfilerResults


_JSON = ".json"
_OVER = ("ended", "killed")
_ATTEMPTS = 5
COMPACTED = "compacted"  # in metadata: the names of the files that were added last


def load_all(directory: StrPath, name: str | None) -> ProfilerResults:
    """Return what processes gathered, merged; see `ProfilerResults.load_all`."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"a profiler's name is a str or None, not {name!r}")
    folder = checked_path(directory)
    said = kept_few(folder)
    parts, skipped = _load_files(folder)
    chosen = _chosen(parts, name, folder, skipped)
    if skipped:
        import warnings

        total = len(parts) + len(skipped)
        warnings.warn(
            f"{len(skipped)} of {total} results files in {folder} were left out: "
            + "; ".join(skipped),
            RuntimeWarning,
            stacklevel=3,
        )
    said += [f"left out: {sentence}" for sentence in skipped]
    return merged_processes(sorted(chosen, key=_first_start), [*said, *_of_older_runs(chosen)])


def _of_older_runs(parts: list[ProfilerResults]) -> list[str]:
    """Return a sentence where some processes had ended before all others began."""
    spans = sorted(
        (process.start_ns, process.start_ns + process.duration_ns)
        for part in parts
        for process in part.processes
        if process.start_ns > 0
    )
    end_ns = older = 0
    for place, (begin, end) in enumerate(spans):
        if 0 < end_ns < begin:
            older = place
        end_ns = max(end_ns, end)
    if not older:
        return []
    processes = f"{older} of {len(spans)} processes"
    return [
        f"{processes} had ended before the others began: if those are of an older run, gather in "
        "another directory, or with anew=True"
    ]


def load_any(path: str) -> ProfilerResults:
    """Return the results in a file of any kind, which its name tells.

    :param path: the file.
    :raises OSError: when it cannot be read.
    :raises ResultsFormatError: when it holds no results.
    """
    kinds = (kind.read for suffix, kind in OTHER_KINDS.items() if path.endswith(suffix))
    return next(kinds, load)(path)


def without_repeats(parts: Iterable[ProfilerResults]) -> list[ProfilerResults]:
    """Return results each once: what a process gathered is also in its store, where it has one.

    What is gathered without a pass is none.

    :param parts: results of processes.
    """
    parts = [part for part in parts if part.was_entered or GATHERED not in part.metadata]
    kept = {_source(part) for part in parts if "state" in part.metadata}
    return [part for part in parts if "state" in part.metadata or _source(part) not in kept]


def compacted_in(metadata: dict[str, Any]) -> list[str]:
    """Return the names of the files that were added last: they may still be there.

    :param metadata: of results that files were put together in, or of others.
    """
    known = metadata.get(COMPACTED)
    return [name for name in known if isinstance(name, str)] if isinstance(known, list) else []


def _source(part: ProfilerResults) -> tuple[str, object, str]:
    number, _, _ = str(part.metadata.get("recording", "")).partition("-")
    return part.profiler_name, part.metadata.get("instance", id(part)), number


def readable(
    paths: Iterable[str], left_out: Callable[[Exception], object]
) -> list[ProfilerResults]:
    """Return the results in files, leaving out those that cannot be read.

    :param paths: the files.
    :param left_out: called with the error of each file that is left out.
    """
    paths = list(paths)
    found: list[ProfilerResults] = []
    others = {suffix: [path for path in paths if path.endswith(suffix)] for suffix in OTHER_KINDS}
    for path in paths:
        if path.endswith(tuple(OTHER_KINDS)):
            continue
        try:
            found.append(load(path))
        except (OSError, ResultsFormatError) as error:
            left_out(error)
    there = {name for part in found for name in compacted_in(part.metadata)}
    for suffix, mine in others.items():
        new = [path for path in mine if os.path.basename(path) not in there]
        if new:
            found += OTHER_KINDS[suffix].read_all(new, left_out)
    return found


def all_readable(
    files: Callable[[], Iterable[str]], left_out: Callable[[Exception], object]
) -> list[ProfilerResults]:
    """Return the results in files, each once, leaving out those that cannot be read.

    A file goes while this reads when its process ends, and when several are put together. What was
    in it stands in another one then, so all are looked for again.

    :param files: returns the paths of the files that there are.
    :param left_out: called with the error of each file that is left out.
    """
    for _ in range(_ATTEMPTS):
        errors: list[Exception] = []
        found = readable(files(), errors.append)
        if not any(isinstance(error, FileNotFoundError) for error in errors):
            break
    for error in errors:
        left_out(error)
    return without_repeats(found)


def kept_few(directory: str) -> list[str]:
    """Have files that grow in number be put together, and return what is to be said of it.

    :param directory: where they are.
    """
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    said: list[str] = []
    for suffix, kind in OTHER_KINDS.items():
        if any(name.endswith(suffix) for name in names):
            said += kind.keep_few(directory)
    return said


class Followed:
    """The results in files as they are now; a file is read again when it has changed.

    :param files: returns the paths of the files that there are.
    """

    def __init__(self, files: Callable[[], Iterable[str]]) -> None:
        self._files = files
        self._read: dict[str, tuple[tuple[int, int], ProfilerResults]] = {}

    def results(self) -> list[ProfilerResults]:
        """Return the results, leaving out files that cannot be read at this moment."""
        read = {}
        for path in self._files():
            try:
                status = os.stat(path)
                state = status.st_mtime_ns, status.st_size
                known = self._read.get(path)
                # A mapped file changes without being written to, while its process lives.
                is_known = (
                    known is not None
                    and known[0] == state
                    and (path.endswith(_JSON) or known[1].metadata.get("state") in _OVER)
                )
                read[path] = known if known and is_known else (state, load_any(path))
            except (OSError, ResultsFormatError):
                continue
        self._read = read
        return without_repeats(results for _, results in read.values())


def left_by_processes(directory: str) -> list[str]:
    """Return the paths of the files in which processes keep their results, or kept them.

    :param directory: the directory.
    :raises OSError: when it cannot be read.
    """
    kinds = (GATHERED_SUFFIX, *OTHER_KINDS)
    return [path for suffix in kinds for path in files_in(directory, suffix)]


def results_files(directory: str) -> list[str]:
    """Return the paths of the files of results in a directory, in order of name.

    Those that processes have gathered; where there are none, those that were saved, and those that
    were gathered in the directories in it.

    :param directory: the directory.
    :raises OSError: when it cannot be read, or is none.
    """
    gathered = left_by_processes(directory)
    if gathered:
        return gathered
    found = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if os.path.isdir(path):
            found += left_by_processes(path)
        elif name.endswith(".json") and not name.startswith(".") and os.path.isfile(path):
            found.append(path)
    return found


class NothingGatheredError(ValueError):
    """A directory has no results: maybe, not yet."""


def _load_files(folder: str) -> tuple[list[ProfilerResults], list[str]]:
    """Return the results in a directory's files, and a sentence for each that has none."""
    skipped: list[str] = []

    def left_out(error: Exception) -> None:
        if isinstance(error, OSError):
            skipped.append(f"{error.filename}: {error.strerror or error}")
        else:
            skipped.append(str(error))  # it begins with the path

    # Reading a named pipe would wait for who writes to it.
    odd = [path for path in left_by_processes(folder) if _is_odd(path)]
    skipped += [f"{path}: not a regular file" for path in odd]
    return (
        all_readable(lambda: [p for p in left_by_processes(folder) if not _is_odd(p)], left_out),
        skipped,
    )


def _is_odd(path: str) -> bool:
    """Return whether a file is there, and none that can be read to its end."""
    return os.path.lexists(path) and not os.path.isfile(path)


def _chosen(
    parts: list[ProfilerResults], name: str | None, folder: str, skipped: list[str]
) -> list[ProfilerResults]:
    """Return the results of one profiler; refuse to choose where several are there."""
    reasons = "".join(f"; left out: {sentence}" for sentence in skipped)
    if not parts:
        expected = f"results files, named *{GATHERED_SUFFIX}, as Profiler.gather() leaves them"
        found = "none that can be read" if skipped else "none"
        kind = ValueError if skipped else NothingGatheredError
        raise kind(f"{folder} should hold {expected}, but there are {found}{reasons}")
    names = list(dict.fromkeys(part.profiler_name for part in parts))
    listed = ", ".join(map(repr, names))
    if name is None and len(names) > 1:
        raise ValueError(
            f"{folder} holds the results of several profilers, {listed}; "
            f"choose one with name=…{reasons}"
        )
    if name is not None and name not in names:
        raise ValueError(f"{folder} holds no results of {name!r}, but of {listed}{reasons}")
    return [part for part in parts if name in (None, part.profiler_name)]


def _first_start(results: ProfilerResults) -> int:
    return min((process.start_ns for process in results.processes), default=0)
