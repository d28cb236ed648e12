"""Joining a process, and leaving it: what is asked of it, and what it answers."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress

from .._version import __version__
from .agent import ANSWER, ENTER, LEAVE, LOCK
from .process import CannotJoinError, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LOOK_S = 0.02  # how often an answer is looked for
_AGAIN_S = 1.0  # after which it is asked again: somebody else may have asked for something since
_PATIENCE_S = 2.0  # after which it is said that there is no answer

# Run by the process's main thread, between two of its steps, in names of its own: it is over at
# once, as the program's signals are dealt with meanwhile. What is left to do another thread does,
# which holds no lock of the program's that it could wait for.
_SCRIPT = """\
def begin(folder, action, path, version, request):
    import _thread, os
    def answer(said):
        from json import dump
        with open(f"{folder}/{action}.part", "w", encoding="utf-8") as file:
            dump(said, file)
        os.replace(f"{folder}/{action}.part", f"{folder}/{action}.json")
    def load():
        import sys
        try:
            import stichotrope
        except ImportError:
            request["lent"] = path
            sys.path.append(path)
            try:
                import stichotrope.attach.agent
            finally:
                del sys.path[len(sys.path) - 1 - sys.path[::-1].index(path)]
                sys.path_importer_cache.pop(path, None)
        if stichotrope.__version__ != version:
            raise ImportError(
                f"it has stichotrope {stichotrope.__version__}, and {version} wants to join it: "
                "attach from its own environment")
        from stichotrope.attach import agent
        return agent
    def work():
        try:
            load().act(action, folder, request)
        except BaseException as error:
            try:
                answer({"error": str(error) or type(error).__name__})
            except BaseException:
                pass
    try:
        os.close(os.open(f"{folder}/{action}.begun", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        return
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        work()
try:
    begin(%s)
except KeyboardInterrupt:
    import _thread
    _thread.interrupt_main()
except BaseException:
    pass
"""


class Joining:
    """One stay in a process: it is entered once, and left once.

    :param process: the process.
    :param targets: patterns of the functions to mark there.
    :param cpu: whether passes take processor time.
    :ivar file: what the process records in, from when it was entered.
    :ivar functions: how many functions were marked.
    :ivar lent: where the process has the package from, if it did not find it by itself.
    :raises CannotJoinError: when there is no place for what is asked and answered.
    """

    def __init__(self, process: Process, targets: list[str], *, cpu: bool = False) -> None:
        self._process = process
        self._request = {"targets": targets, "cpu": cpu}
        self.file = ""
        self.functions = 0
        self.lent: str | None = None
        try:
            self._folder = self._made()
        except OSError as error:
            raise CannotJoinError(f"there is no place to ask from: {error}") from None

    def _made(self) -> str:
        """Make the folder for what is asked and answered, the process's own user's."""
        import fcntl
        from tempfile import mkdtemp

        folder = mkdtemp(prefix=f"stichotrope-attach-{self._process.number}-")
        # Held until the end, whatever that is.
        flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
        self._lock = os.open(os.path.join(folder, LOCK), flags, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for path in (folder, os.path.join(folder, LOCK)):
            self._give(path)
        return folder

    def _give(self, path: str) -> None:
        """Have a file belong to the process's user, where we are root and that is another."""
        owner = self._process.owner()
        if owner != os.geteuid():
            os.chown(path, owner, self._process.group())

    def enter(self, waits: Callable[[str], object]) -> None:
        """Mark the functions.

        :param waits: called with a sentence when the process does not come to it.
        :raises CannotJoinError: when it cannot be done.
        """
        said = self._asked(ENTER, waits)
        self.file, self.functions = said["file"], said["functions"]
        self.lent = said["lent"]

    def leave(self, waits: Callable[[str], object]) -> list[str]:
        """Take away what was done in the process, and return what is to be said.

        :param waits: called with a sentence when the process does not come to it.
        :raises CannotJoinError: when it cannot be done, other than because the process has ended.
        """
        if self._is_never_entered() or not self._process.is_there():
            return []
        try:
            remarks: list[str] = self._asked(LEAVE, waits)["remarks"]
        except CannotJoinError:
            with suppress(OSError):
                os.unlink(self._path(f"{LEAVE}.py"))
            raise
        return remarks

    def _is_never_entered(self) -> bool:
        """Return whether the process has not begun to do what was asked, and now never will."""
        try:
            os.close(os.open(self._path(f"{ENTER}.begun"), os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True

    def forget(self) -> None:
        """Remove what was asked and answered, what was recorded included.

        Not if the process was never left: what is to leave it is among that.
        """
        if os.path.exists(self._path(f"{LEAVE}.py")) and not os.path.exists(
            self._path(LEAVE + ANSWER)
        ):
            if self._process.is_there():
                os.close(self._lock)
                return
        elif self._process.is_there():
            self._withdraw()
        from shutil import rmtree

        rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def _withdraw(self) -> None:
        """Have the process look for nothing of ours, should it have been asked twice."""
        with suppress(CannotJoinError):
            self._process.ask(os.devnull)
        time.sleep(_LOOK_S)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _asked(self, action: str, waits: Callable[[str], object]) -> dict[str, Any]:
        """Ask for something until it is answered, and return the answer."""
        script = self._written(action)
        begun, answer = self._path(f"{action}.begun"), self._path(action + ANSWER)
        since = asked = time.monotonic()
        is_said = False
        self._process.ask(script)
        while not os.path.exists(answer):
            time.sleep(_LOOK_S)
            now = time.monotonic()
            if not self._process.is_there():
                raise CannotJoinError(f"process {self._process.number} has ended")
            if now - asked > _AGAIN_S and not os.path.exists(begun):
                asked = now
                self._process.ask(script)
            if now - since > _PATIENCE_S and not is_said:
                is_said = True
                waits(self._process_does_not_come())
        return self._read(answer)

    def _process_does_not_come(self) -> str:
        number = self._process.number
        if self._process.state() in ("T", "t"):
            return f"process {number} is stopped, and comes to it when it goes on"
        return (
            f"waiting for process {number}: its main thread runs no code of Python now"
            f"{self._process.place()}"
        )

    def _read(self, path: str) -> dict[str, Any]:
        try:
            with open(path, encoding="utf-8") as file:
                said: dict[str, Any] = json.load(file)
        except (OSError, ValueError) as error:
            raise CannotJoinError(f"the answer cannot be read: {error}") from None
        if "error" in said:
            raise CannotJoinError(
                f"process {self._process.number} could not be joined: {said['error']}"
            )
        return said

    def _written(self, action: str) -> str:
        path = self._path(f"{action}.py")
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        given = (self._folder, action, root, __version__, self._request)
        with open(path, "w", encoding="utf-8") as file:
            file.write(_SCRIPT % ", ".join(map(ascii, given)))
        os.chmod(path, 0o600)
        self._give(path)
        return path
