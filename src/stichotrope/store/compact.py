"""Stores kept small: files of processes that are gone become one; the oldest go."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from .._text.files import write_whole
from ..results import GATHERED_SUFFIX, ProfilerResults, ResultsFormatError
from ..results.document import compact_json, load
from ..results.gathered import COMPACTED
from ..results.merge import merged_processes
from .reader import KeptRecords, paths_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_APART = 64  # files of processes that are gone, the newest
LIMIT_BYTES = 1 << 30
_LOCK = ".stichotrope-lock"


def compact(
    directory: str,
    *,
    kept_apart: int = KEPT_APART,
    limit_bytes: int = LIMIT_BYTES,
    patience_s: float = 1.0,
) -> list[str]:
    """Put what processes have left that are gone in one file, and return what is to be said.

    One process does it at a time; who comes meanwhile leaves it to that one. The newest files stay
    as they are. Killed in the middle of it, it has lost nothing, and nothing counts twice.

    :param directory: the store.
    :param kept_apart: so many files of processes that are gone stay apart.
    :param limit_bytes: how large all such files together may be; beyond, the oldest are removed.
    :param patience_s: how long it may take; the rest is left for the next time.
    """
    with _alone(directory) as is_alone:
        if not is_alone:
            return []
        gone = _gone(directory)
        surplus = gone[: max(len(gone) - kept_apart, 0)]
        if surplus:
            _put_together(directory, surplus, time.monotonic() + patience_s)
        return _shorten(directory, limit_bytes)


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


def _gone(directory: str) -> list[str]:
    """Return the paths of files that no process has any more, the oldest first."""
    import fcntl

    found = []
    for path in paths_in(directory):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            found.append((os.fstat(descriptor).st_mtime_ns, path))
        except OSError:
            pass  # it lives
        finally:
            os.close(descriptor)
    return [path for _, path in sorted(found)]


def _put_together(directory: str, paths: list[str], deadline: float) -> None:
    parts: dict[str, list[ProfilerResults]] = {}
    sources: dict[str, list[str]] = {}
    for path in paths:
        if time.monotonic() > deadline:
            break
        try:
            with KeptRecords(path) as kept:
                results = kept.results()
        except (OSError, ResultsFormatError):
            continue  # whoever reads the store says why
        parts.setdefault(results.profiler_name, []).append(results)
        sources.setdefault(results.profiler_name, []).append(path)
    for name, found in parts.items():
        _add_to_file(directory, name, found)
        for path in sources[name]:
            _remove(path)


def _add_to_file(directory: str, name: str, parts: list[ProfilerResults]) -> None:
    target = _target(directory, name)
    try:
        before = [load(target)]
    except (OSError, ResultsFormatError):
        before = []
    known: list[Any] = before[0].metadata.get(COMPACTED, []) if before else []
    # Those that are in it already stayed because somebody was killed before removing them.
    new = [part for part in parts if part.metadata.get("instance") not in known]
    whole = merged_processes([*before, *new])
    whole.metadata[COMPACTED] = [part.metadata.get("instance") for part in parts]
    write_whole(target, compact_json(whole))


def _target(directory: str, name: str) -> str:
    import hashlib

    # Names may differ in what a file system does not tell apart.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return os.path.join(directory, f"compacted-{digest}{GATHERED_SUFFIX}")


def _shorten(directory: str, limit_bytes: int) -> list[str]:
    """Remove the oldest files of processes that are gone while all are more than a limit."""
    sizes = [(path, _size(path)) for path in _gone(directory)]
    total = sum(size for _, size in sizes)
    removed = count = 0
    for path, size in sizes:
        if total - removed <= limit_bytes:
            break
        _remove(path)
        removed += size
        count += 1
    if not count:
        return []
    return [
        f"{directory}: removed {count:,} files of processes that are gone, {removed:,} bytes, as "
        f"such files may take {limit_bytes:,} bytes together"
    ]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
