"""Stores kept small: files of processes that are gone become one; the oldest go."""

from __future__ import annotations

import contextlib
import os
import time
from math import inf

from .._text.files import files_in, write_whole
from ..config.checks import STORE_BYTES
from ..results import GATHERED_SUFFIX, ProcessResults, ProfilerResults, ResultsFormatError
from ..results.document import compact_json, load
from ..results.gathered import COMPACTED, compacted_in
from ..results.merge import merged_processes
from ..results.model import ThreadResults
from .reader import KeptRecords, by_age, paths_in
from .together import NEWEST, Together, read_together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PROCESSES = 1000  # in one file, the newest; older ones share a line
_OLDER = "(older processes)"
_WITHOUT = (
    f"of processes before the newest {NEWEST} that are gone, timelines were let go; figures stay"
)
_GRACE_S = 1.0  # for what was read to be written
_PREFIX = "compacted-"
_LOCK = ".stichotrope-lock"


def compact(
    directory: str,
    *,
    kept_apart: int = NEWEST,
    limit_bytes: int | None = None,
    patience_s: float = inf,
) -> list[str]:
    """Put what processes have left that are gone in one file, and return what is to be said.

    One process does it at a time; who comes meanwhile leaves it to that one. The newest files stay
    as they are. Killed in the middle of it, it has lost nothing, and nothing counts twice.

    :param directory: the store.
    :param kept_apart: so many files of processes that are gone stay apart, if there is room.
    :param limit_bytes: how large the store may be; by default, what the newest file says. More is
        put together then; and if that is not enough, the oldest files are removed. Those of
        processes that live are not.
    :param patience_s: how long it may take; the rest is left for the next time. Whoever reads all
        of the store has nothing to gain by a limit.
    """
    if _is_small(directory, kept_apart, limit_bytes):
        return []
    with _alone(directory) as is_alone:
        if not is_alone:
            return []
        deadline = time.monotonic() + patience_s
        lives, gone = by_age(paths_in(directory))
        limit = _limit(lives, gone) if limit_bytes is None else limit_bytes
        beyond = _total(directory) - limit
        surplus = max(len(gone) - kept_apart, _oldest(gone, beyond))
        said = _put_together(directory, gone[:surplus], deadline) if surplus > 0 else []
        return [*said, *_shorten(directory, limit, deadline)] if beyond > 0 else said


def _is_small(directory: str, kept_apart: int, limit_bytes: int | None) -> bool:
    """Return whether there is nothing to be done, which leaves no trace of having looked."""
    paths = paths_in(directory)
    if len(paths) > kept_apart:
        return False
    limit = _limit(*by_age(paths)) if limit_bytes is None else limit_bytes
    return _total(directory) <= limit


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[bool]:
    import fcntl

    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(os.path.join(directory, _LOCK), flags, 0o600)
    except OSError:  # a store that may only be read
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _limit(lives: list[str], gone: list[str]) -> int:
    """Return how large a store may be, as the process said that came last."""
    for path in (*reversed(lives), *reversed(gone)):
        try:
            with KeptRecords(path) as kept:
                told = kept.about.get("limit_bytes")
        except (OSError, ResultsFormatError):
            continue
        return told if type(told) is int and told > 0 else STORE_BYTES
    return STORE_BYTES


def _total(directory: str) -> int:
    """Return how large all files of a store are."""
    return sum(map(_size, [*paths_in(directory), *_compacted(directory)]))


def _oldest(paths: list[str], size: int) -> int:
    """Return how many of the first files have a size together."""
    for count, path in enumerate(paths):
        if size <= 0:
            return count
        size -= _size(path)
    return len(paths)


def _put_together(directory: str, paths: list[str], deadline: float) -> list[str]:
    """Put files together, and return what is to be said: of their timelines, nothing stays."""
    there = _in_files(directory)
    for path in paths:  # somebody was killed before removing them
        if os.path.basename(path) in there:
            _remove(path)
    new = [path for path in paths if os.path.basename(path) not in there]
    found, _ = read_together(new, deadline)  # whoever reads the store says what is damaged
    by_name: dict[str, list[Together]] = {}
    timelines = 0
    for together in found:
        by_name.setdefault(together.name, []).append(together)
    for name, parts in by_name.items():
        if time.monotonic() > deadline + _GRACE_S:
            break
        _add_to_file(directory, name, parts)
        for path in (path for part in parts for path in part.paths):
            _remove(path)
        timelines += sum(part.timelines for part in parts)
    if not timelines:
        return []
    return [
        f"{directory}: the timelines of {timelines:,} processes that are gone were let go as their "
        f"files were put together; their figures stay, and the newest {NEWEST} timelines"
    ]


def _in_files(directory: str) -> set[object]:
    """Return the names of the files that are in a compacted one."""
    found: set[object] = set()
    for path in _compacted(directory):
        with contextlib.suppress(OSError, ResultsFormatError):
            found.update(compacted_in(load(path).metadata))
    return found


def _add_to_file(directory: str, name: str, parts: list[Together]) -> None:
    target = _target(directory, name)
    try:
        before = [load(target)]
    except (OSError, ResultsFormatError):
        before = []
    whole = _bounded(merged_processes([*before, *(part.results() for part in parts)]))
    if any(part.timelines for part in parts) or (before and _lets_go(before[0])):
        kept = [warning for warning in _warnings(whole) if not warning.endswith(_WITHOUT)]
        whole.metadata["warnings"] = [*kept[1 - NEWEST :], _WITHOUT]
    whole.metadata[COMPACTED] = [os.path.basename(path) for part in parts for path in part.paths]
    write_whole(target, compact_json(whole), is_private=True)


def _lets_go(results: ProfilerResults) -> bool:
    return any(warning.endswith(_WITHOUT) for warning in _warnings(results))


def _warnings(results: ProfilerResults) -> list[str]:
    found = results.metadata.get("warnings")
    return found if isinstance(found, list) else []


def _bounded(whole: ProfilerResults) -> ProfilerResults:
    """Return results in which what is said of each process and thread does not grow with them."""
    processes = sorted(whole.processes, key=lambda process: process.start_ns)
    older, newest = processes[:-MOST_PROCESSES], processes[-MOST_PROCESSES:]
    if older:
        together = ProcessResults("", 0, _OLDER, older[0].start_ns, worker=_OLDER)
        for process in older:
            together.add(process)
        newest.insert(0, together)
    metadata = dict(whole.metadata)
    for key in ("merged", "warnings"):
        metadata[key] = metadata[key][-NEWEST:]
    thread = ThreadResults(
        0, 0, "ended threads", False, whole.tracks, whole.total_time_ns, whole.tree
    )
    return ProfilerResults(
        whole.profiler_name,
        whole.tracks,
        whole.total_time_ns,
        whole.tree,
        [thread] if whole.threads else [],
        metadata,
        newest,
    )


def _target(directory: str, name: str) -> str:
    import hashlib

    # Names may differ in what a file system does not tell apart.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return os.path.join(directory, f"{_PREFIX}{digest}{GATHERED_SUFFIX}")


def _compacted(directory: str) -> list[str]:
    paths = files_in(directory, GATHERED_SUFFIX)
    return [path for path in paths if os.path.basename(path).startswith(_PREFIX)]


def _shorten(directory: str, limit: int, deadline: float) -> list[str]:
    """Remove the oldest files of processes that are gone while the store is too large."""
    _, gone = by_age(paths_in(directory))
    oldest_first = [*sorted(_compacted(directory), key=_changed_ns), *gone]
    surplus = _total(directory) - limit
    removed = count = 0
    for path in oldest_first:
        # What could be put together yet, had there been time, stays.
        if removed >= surplus or time.monotonic() > deadline:
            break
        removed += _size(path)
        _remove(path)
        count += 1
    if not count:
        return []
    return [
        f"{directory}: removed {count:,} files of processes that are gone, {removed:,} bytes, as "
        f"the store may take {limit:,} bytes (store_limit_bytes)"
    ]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
