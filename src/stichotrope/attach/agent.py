"""What is done in a process that was joined: its functions are marked, and left again.

The program is not to notice: nothing that it has is replaced, nothing is printed, and what goes
wrong is an answer to who asked.
"""

from __future__ import annotations

import json
import os
import sys

from .. import _core
from ..instrumentation import own
from ..instrumentation.patterns import Instrumentation, Pattern
from ..profiler import Profiler, is_global_enabled, number_tracks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENTER, LEAVE = "enter", "leave"
ANSWER = ".json"  # behind the name of what was asked for, the file with what came of it
LOCK = "lock"  # the file that who asks holds locked for as long as it lives
STORE = "store"  # the folder with what is recorded

# Folder of who asked → what records for it.
_JOINED: dict[str, _Joined] = {}


class _Guest(Profiler):
    """A profiler that nobody in the program is told of."""

    __slots__ = ()

    def _appear(self) -> None:
        pass

    def _warn_of_memory(self) -> None:
        pass

    def file(self) -> str:
        """Return the path of what it records.

        :raises OSError: when it is kept in no file.
        """
        if self._store_path is None:
            raise OSError(f"what is recorded cannot be kept: {self._store_failure}")
        return self._store_path


class _Joined:
    """What records for one who has joined the process.

    :param folder: of who asked.
    :param targets: patterns of the functions; ``auto`` stands for the program's own modules.
    :param cpu: whether passes take processor time.
    """

    def __init__(self, folder: str, targets: list[str], cpu: bool) -> None:
        texts = [text for text in targets if text != own.AUTO]
        found = own.of_process() if own.AUTO in targets else []
        # Whatever of its own modules a program leaves alone is no mistake of who chose them all.
        self._unasked = tuple(f"{text!r} " for text in found if text not in texts)
        patterns = [Pattern(text) for text in dict.fromkeys([*texts, *found])]
        self.profiler = _Guest(
            f"{own.name_of_process()} ({os.getpid()})", store=os.path.join(folder, STORE), cpu=cpu
        )
        number_tracks(self.profiler, dict.fromkeys(pattern.track for pattern in patterns))
        self.instrumentation = Instrumentation(
            self.profiler, patterns, own.names_of_main(), by_code_alone=True
        )

    def enter(self) -> dict[str, Any]:
        """Mark the functions, and return what is to be known of that."""
        file = self.profiler.file()
        self.instrumentation.install()
        return {"file": file, "functions": self.instrumentation.count()}

    def leave(self) -> dict[str, Any]:
        """Take the marks away, and return what is to be said."""
        called = {
            track.track_name: {block.name for block in track if block.was_entered}
            for track in self.profiler.get_results()
        }
        said = [
            *self.instrumentation.failures(),
            *self.instrumentation.unmatched(called),
            *self.instrumentation.uncalled(set().union(*called.values())),
        ]
        if not is_global_enabled():
            said.append("nothing was recorded: the program has switched all profiling off")
        self.let_go()
        return {"remarks": [one for one in said if not one.startswith(self._unasked)]}

    def let_go(self) -> None:
        """Take the marks away."""
        self.profiler.stop()
        self.instrumentation.remove()


def act(action: str, folder: str, request: dict[str, Any]) -> None:
    """Do what was asked for, and leave an answer in the folder of who asked.

    :param action: `ENTER` or `LEAVE`.
    :param folder: the folder.
    :param request: what `_Joined` takes.
    """
    _leave_those_that_ended()
    try:
        said = _enter(folder, request) if action == ENTER else _leave(folder)
    except Exception as error:
        said = {"error": str(error) or type(error).__name__}
    write_answer(os.path.join(folder, action + ANSWER), said)
    if action == LEAVE and not is_locked(os.path.join(folder, LOCK)):
        _remove(folder)  # nobody else will


def _remove(folder: str) -> None:
    from shutil import rmtree

    rmtree(folder, ignore_errors=True)


def _enter(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    if not is_locked(os.path.join(folder, LOCK)):
        raise OSError("who asked is gone")
    if not _core.can_track_code():
        raise RuntimeError(
            "other tools have taken all numbers that the interpreter has for tools: "
            f"{', '.join(_tools())}"
        )
    joined = _JOINED[folder] = _Joined(folder, request["targets"], request["cpu"])
    try:
        return {**joined.enter(), "lent": request.get("lent")}
    except BaseException:
        del joined
        _leave(folder)
        raise


def _tools() -> list[str]:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    names = (monitoring.get_tool(number) for number in range(6))
    return sorted({name for name in names if name is not None})


def _leave(folder: str) -> dict[str, Any]:
    """Take away what was done for one who asked."""
    joined = _JOINED.pop(folder, None)
    said = {"remarks": []} if joined is None else joined.leave()
    del joined
    _tidy_up()
    return said


def _leave_those_that_ended() -> None:
    """Take away what was done for those that were killed before they could ask for it."""
    for folder in list(_JOINED):
        if not is_locked(os.path.join(folder, LOCK)):
            _leave(folder)


def _tidy_up() -> None:
    """Give back what the process does not need for its own sake."""
    _core.stop_pulse()
    _core.resume_pulse()  # where there is still a file
    _core.give_number_back()


def _leave_in_child() -> None:
    """Let a forked child be one that was never joined."""
    while _JOINED:
        _JOINED.popitem()[1].let_go()
    _tidy_up()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_in_child)


def is_locked(path: str) -> bool:
    """Return whether somebody who lives holds a file locked.

    :param path: the file, which may be gone.
    """
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_answer(path: str, said: dict[str, Any]) -> None:
    """Write a file whole or not at all; who asked may be gone.

    :param path: the file.
    :param said: what it holds.
    """
    part = f"{path}.part"
    try:
        descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(said, file)
        os.replace(part, path)
    except OSError:
        pass
