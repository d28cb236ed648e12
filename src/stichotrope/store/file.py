"""The mapped file of what a profiler records: others read it live, and it outlives a kill."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import time
from weakref import WeakSet

from .. import _core
from .._text.files import checked_path
from ..config import clock
from ..config.checks import STORE_BYTES
from ..results import GATHERED_SUFFIX
from ..results.model import GATHERED
from ..snapshot.take import process_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    class Keeping(Protocol):
        """What is needed of a profiler, which lies upstream."""

        @property
        def name(self) -> str: ...

        def _open_file(self, descriptor: int, about: bytes, limit: int) -> bool: ...

        def _end_file(self) -> None: ...

        def _say_track(self, track: int, index: int, name: bytes) -> None: ...

        def _say_site(self, site: int, track: int, line: int, name: bytes, file: bytes) -> None: ...


SUFFIX = ".stichotrope"

_LAST = -100  # the priority of what `multiprocessing` is to do at exit after everything else
_KEEPING: WeakSet[Keeping] = WeakSet()


class StoreError(OSError):
    """Why what is recorded is not kept in a file; the program goes on, and so does recording."""


def checked_store(directory: object) -> str:
    """Return a store's directory as an absolute path.

    :raises TypeError: when it is no path.
    :raises ValueError: when it is empty.
    """
    return os.path.abspath(checked_path(directory))  # type: ignore[arg-type]


def open_file(
    profiler: Keeping,
    directory: str,
    tracks: Sequence[tuple[int, int, str]],
    sites: Sequence[tuple[int, str, str, int]],
    *,
    number: int = 0,
    limit_bytes: int = STORE_BYTES,
    is_gathered: bool = False,
) -> str:
    """Keep what a profiler records in a file of its own from now on, and return the file's path.

    :param profiler: whose records.
    :param directory: where the file is to be; made, for this user alone, if it is missing.
    :param tracks: (number in the core, index, name) of the tracks that are there already.
    :param sites: (track's number in the core, name, file, line) of the call sites, in order.
    :param number: the profiler's, which no other of this process has.
    :param limit_bytes: how large the store may be, and so each file.
    :param is_gathered: whether the file goes when its process has ended in order.
    :raises StoreError: when that cannot be.
    """
    if not sys.platform.startswith(("linux", "darwin", "freebsd")):
        raise StoreError(
            f"files cannot be mapped on {sys.platform}; gather() keeps results instead"
        )
    path = os.path.join(directory, _file_name(profiler.name))
    try:
        descriptor = _new_descriptor(directory, os.path.basename(path))
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror or error}") from None
    try:
        about = _about(profiler.name, number, limit_bytes, is_gathered)
        profiler._open_file(descriptor, about, limit_bytes)
    except OSError as error:
        os.close(descriptor)
        _remove(path)
        raise StoreError(_unmapped(path, error)) from None
    for number, index, name in tracks:
        profiler._say_track(number, index, name.encode("utf-8", "surrogatepass"))
    for number, (track, name, file, line) in enumerate(sites):
        said = (text.encode("utf-8", "surrogatepass") for text in (name, file))
        profiler._say_site(number, track, line, *said)
    _KEEPING.add(profiler)
    _end_in_multiprocessing()
    return path


def _unmapped(path: str, error: OSError) -> str:
    """Return why a file cannot be a store's."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENODEV, errno.EOPNOTSUPP, errno.ENOSYS):
        return (
            f"{os.path.dirname(path)} is on a file system that maps no files for several processes "
            f"({reason}); choose a directory on another one for the store"
        )
    return f"{path} cannot be mapped: {reason}"


def made_private(directory: str) -> None:
    """Make a directory for this user alone if it is missing.

    :param directory: its path.
    :raises StoreError: when it cannot be a store.
    """
    try:
        os.close(_folder(directory))
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror or error}") from None


def _folder(directory: str) -> int:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    # Followed nowhere: who can write next to the directory could have it be another one.
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    owner = os.fstat(folder).st_uid
    if owner != os.geteuid():
        os.close(folder)
        raise OSError(f"it belongs to user {owner}, and this process is user {os.geteuid()}'s")
    return folder


def _new_descriptor(directory: str, name: str) -> int:
    """Make an empty file that only this user can read, locked for as long as the process lives."""
    import fcntl

    folder = _folder(directory)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _about(name: str, number: int, limit_bytes: int, is_gathered: bool) -> bytes:
    import json

    facts = {
        "profiler_name": name,
        "number": number,
        "limit_bytes": limit_bytes,
        "command": list(getattr(sys, "orig_argv", sys.argv)),
        "opened_ns": time.time_ns(),
        "rate": clock.rate(),
        "origin": [*clock.origin(), clock.machine()],
        "facts": {**process_facts(), **({GATHERED: True} if is_gathered else {})},
    }
    return json.dumps(facts).encode()


def _file_name(name: str) -> str:
    """Return a name that no other file has, of this process or of one of its number."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name[:60])
    return f"{safe or '_'}-{os.getpid()}-{os.urandom(8).hex()}{SUFFIX}"


def _remove(path: str) -> None:
    try:  # noqa: SIM105
        os.unlink(path)
    except OSError:
        pass


def is_large(directory: str, files: int, size: int) -> bool:
    """Return whether a store has more files, or more bytes, than it should; not if it is none yet.

    :param directory: the store.
    :param files: so many may be there.
    :param size: so many bytes may be in them.
    """
    try:
        with os.scandir(directory) as found:
            mine = [entry for entry in found if entry.name.endswith((SUFFIX, GATHERED_SUFFIX))]
        return len(mine) > files or sum(entry.stat().st_size for entry in mine) > size
    except OSError:
        return False


def _end_all() -> None:
    """Say in all files that their process has ended in order."""
    for profiler in list(_KEEPING):
        profiler._end_file()


def _end_in_multiprocessing(_: object = None) -> None:
    """Have children of `multiprocessing` say so too: they leave through `os._exit`."""
    util: Any = sys.modules.get("multiprocessing.util")
    process: Any = sys.modules.get("multiprocessing.process")
    if util is None or process is None:
        return
    if _end_all not in _AFTER_FORK:
        _AFTER_FORK.append(_end_all)
        util.register_after_fork(_end_all, _end_in_multiprocessing)
    if process.parent_process() is not None:
        util.Finalize(None, _end_all, exitpriority=_LAST)


_AFTER_FORK: list[object] = []
atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_core.stop_pulse, after_in_parent=_core.resume_pulse)
