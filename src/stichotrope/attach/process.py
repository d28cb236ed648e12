"""A process of this machine that is to be joined: whether that can be, and what it is doing."""

from __future__ import annotations

import os
import sys
from types import TracebackType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EARLIEST = (3, 14)
INSTEAD = "start the program under `stichotrope run -t …` instead"


class CannotJoinError(Exception):
    """Why a process cannot be joined, and what can be done, as a sentence."""


class Process:
    """A process, which stays the same one whoever gets its number when it has ended.

    :param number: the process's number.
    :raises CannotJoinError: when it cannot be joined.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        _check_this_interpreter()
        if number == os.getpid():
            raise CannotJoinError(f"process {number} is this one")
        self._descriptor = self._opened()
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int | None:
        try:
            if hasattr(os, "pidfd_open"):
                return os.pidfd_open(self.number)
            os.kill(self.number, 0)
        except PermissionError:
            pass  # somebody else's
        except (OSError, OverflowError):
            raise CannotJoinError(f"there is no process {self.number}") from None
        return None

    def _check(self) -> None:
        owner = self.owner()
        if os.geteuid() not in (0, owner):
            raise CannotJoinError(
                f"process {self.number} is {_user(owner)}'s, and this is {_user(os.geteuid())}: "
                "attach as that user, or as root"
            )
        state = self.state()
        if state in ("Z", "X"):
            raise CannotJoinError(f"process {self.number} has ended")
        self.check_goes_on()
        if not _is_same_place(f"/proc/{self.number}/root"):
            raise CannotJoinError(
                f"process {self.number} has other files than this one, as in a container: "
                "run stichotrope attach in there"
            )

    def check_goes_on(self) -> None:
        """Refuse a process that is stopped.

        :raises CannotJoinError: when it is.
        """
        if self.state() in ("T", "t"):
            raise CannotJoinError(
                f"process {self.number} is stopped; let it go on first: kill -CONT {self.number}"
            )

    def owner(self) -> int:
        """Return the number of the user that it runs as; our own where that cannot be told."""
        told = self._told("Uid:")
        return int(told[1]) if len(told) > 1 else os.geteuid()

    def group(self) -> int:
        """Return the number of its group, likewise."""
        told = self._told("Gid:")
        return int(told[1]) if len(told) > 1 else os.getegid()

    def state(self) -> str:
        """Return its state in one letter, as the system has it; nothing where that is not told."""
        return (self._told("State:") or [""])[0]

    def _told(self, what: str) -> list[str]:
        try:
            with open(f"/proc/{self.number}/status", encoding="utf-8", errors="replace") as file:
                return next((line.split()[1:] for line in file if line.startswith(what)), [])
        except OSError:
            return []

    def is_there(self) -> bool:
        """Return whether it has not ended."""
        if self._descriptor is not None:
            import select

            return not select.select([self._descriptor], [], [], 0)[0]
        try:
            os.kill(self.number, 0)
        except PermissionError:
            pass
        except OSError:
            return False
        return self.state() not in ("Z", "X")

    def has_program(self) -> bool:
        """Return whether it has a program: one that is ending has none, before it is gone."""
        try:
            os.readlink(f"/proc/{self.number}/exe")
        except FileNotFoundError:
            return not os.path.exists("/proc/self/exe")
        except OSError:
            pass
        return True

    def command(self) -> str:
        """Return what it runs, in a word."""
        try:
            with open(f"/proc/{self.number}/comm", encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except OSError:
            return ""

    def executable(self) -> str:
        """Return the path of its program, nothing where that is not told."""
        try:
            return os.readlink(f"/proc/{self.number}/exe")
        except OSError:
            return ""

    def ask(self, script: str) -> None:
        """Have its main thread run a script when it next runs code of Python.

        What was asked before and has not been done is forgotten then.

        :param script: the path of the script.
        :raises CannotJoinError: when that cannot be.
        """
        execute: Any = sys.remote_exec  # type: ignore[attr-defined, unused-ignore]
        try:
            execute(self.number, script)
        except PermissionError:
            raise CannotJoinError(self._forbidden()) from None
        except (OSError, RuntimeError) as error:
            raise CannotJoinError(self._reason(error)) from None

    def _forbidden(self) -> str:
        if sys.platform == "darwin":
            return f"macOS lets only root look into process {self.number}: use sudo -E"
        scope = _first_line("/proc/sys/kernel/yama/ptrace_scope")
        why = f" (kernel.yama.ptrace_scope is {scope})" if scope not in ("", "0") else ""
        return (
            f"the system forbids to look into process {self.number}{why}: "
            "run stichotrope attach as root, or allow it SYS_PTRACE"
        )

    def _reason(self, error: Exception) -> str:
        """Return why it could not be asked."""
        if not self.is_there():
            return f"process {self.number} has ended"
        told = " ".join(str(one) for one in (error, error.__cause__) if one is not None)
        command = self.command()
        called = f"process {self.number}" + (f" ({command})" if command else "")
        here = ".".join(map(str, sys.version_info[:2]))
        if "not enabled" in told:
            return (
                f"{called} was started with remote debugging off (PYTHON_DISABLE_REMOTE_DEBUG, "
                f"-X disable-remote-debug, or how its Python was built); {INSTEAD}"
            )
        if "PyRuntime" in told:
            return f"{called} runs no Python that can be joined, or an earlier one than 3.14"
        if "send commands" in told or "version" in told.lower() or "release" in told.lower():
            executable = self.executable()
            by = executable or "the Python that it runs"
            return (
                f"{called} runs another version of Python than this {here}: attach by its own, "
                f"{by} -m stichotrope attach {self.number}"
            )
        return f"{called} cannot be joined: {told}"

    def place(self) -> str:
        """Return where its main thread is, as the end of a sentence, as far as that can be told."""
        try:
            from _remote_debugging import RemoteUnwinder  # type: ignore[import-not-found]

            told: Any = RemoteUnwinder(self.number, all_threads=True).get_stack_trace()
            frame = _frame_of(told, self.number)
            where: Any = frame.location if hasattr(frame, "location") else frame
            line = where.lineno if hasattr(where, "lineno") else where[0]
            return f"; its main thread is in {frame.funcname}, {frame.filename}:{line}"
        except Exception:  # it is an experiment of the interpreter's, and this a mere hint
            return ""


def _frame_of(told: Any, number: int) -> Any:
    """Return the innermost frame of the main thread, whose number is the process's."""
    threads = [
        thread
        for one in told
        for thread in (getattr(one, "threads", None) or [one])
        if getattr(thread, "thread_id", None) == number
    ]
    return threads[0].frame_info[0]


def _check_this_interpreter() -> None:
    """Refuse what cannot join any process.

    :raises CannotJoinError: when this interpreter or this system cannot.
    """
    here = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info[:2] < EARLIEST:
        raise CannotJoinError(
            "a running process can be joined from CPython 3.14 on, by the same version as its own, "
            f"and this is {here}; {INSTEAD}"
        )
    if not hasattr(sys, "remote_exec"):
        raise CannotJoinError(f"this interpreter cannot join any process; {INSTEAD}")
    if not sys.platform.startswith(("linux", "darwin", "freebsd")):
        raise CannotJoinError(f"processes cannot be joined on {sys.platform}; {INSTEAD}")


def _is_same_place(root: str) -> bool:
    """Return whether another process sees the same files, as far as that can be told."""
    try:
        there, here = os.stat(root), os.stat("/")
    except OSError:
        return True
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except OSError:
        return ""
