"""The mapped file of a process that gathers: what it records outlives a kill."""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Mapping(Protocol):
        """What is needed of a profiler, which lies upstream."""

        def _map_in(self, directory: str) -> str | None: ...


# Kinds of file systems; fuse's are others.
_OF_MACHINES = (
    *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs"),
    *("lustre", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb2", "smb3"),
    *("smbfs", "vboxsf"),
)


class MappedFile:
    """What one profiler records: a file that is made once, moved along, and removed in the end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.path: str | None = None

    def keep(self, profiler: Mapping, folder: str) -> bool:
        """Have the file be in a directory, if it can be; return whether it is.

        :param profiler: whose records.
        :param folder: the directory.
        """
        with self._lock:
            if self.path is not None:
                return self._move(folder)
            if not is_shared_by_machines(folder):
                self.path = profiler._map_in(folder)
            return self.path is not None

    def hand_over(self, folder: str) -> str | None:
        """Move the file elsewhere, for somebody else to keep; return its path, None without one.

        :param folder: the directory.
        """
        with self._lock:
            path = self.path if self.path is not None and self._move(folder) else None
            self.path = None
            return path

    def remove(self) -> None:
        """Remove the file: what it has is elsewhere. A profiler has no other in this process."""
        with self._lock:
            if self.path is not None:
                try:  # noqa: SIM105
                    os.unlink(self.path)
                except OSError:
                    pass
            self.path = None

    def _move(self, folder: str) -> bool:
        path = self.path or ""
        target = os.path.join(folder, os.path.basename(path))
        if target != path:
            try:
                os.rename(path, target)
            except OSError:  # another file system
                self.remove()
                return False
            self.path = target
        return os.path.exists(target)


def is_shared_by_machines(folder: str) -> bool:
    """Return whether other machines may read a directory, who would not see what is mapped here.

    :param folder: the directory, which is there.
    """
    try:
        device = os.stat(folder).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            return any(_is_of_machines(line, device) for line in lines)
    except OSError:
        return False


def _is_of_machines(line: str, device: int) -> bool:
    """Return whether a line of mountinfo is of a device, and says that others have it too."""
    about, _, rest = line.partition(" - ")
    number = about.split(" ", 3)[2:3]
    kind = rest.partition(" ")[0]
    is_device = number == [f"{os.major(device)}:{os.minor(device)}"]
    return is_device and (kind in _OF_MACHINES or kind.startswith("fuse"))
