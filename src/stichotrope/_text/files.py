"""Reading a file, writing one whole or not at all, and checking the path that a caller gave."""

from __future__ import annotations

import errno
import os
import stat
import time

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import TypeAlias

    StrPath: TypeAlias = "str | os.PathLike[str]"

_TEMPORARY = (".stichotrope-", ".tmp")  # what such a name begins and ends with


def checked_path(path: StrPath) -> str:
    """Return a path as a string.

    :param path: a `str`, or an object with ``__fspath__`` that gives one.
    :raises TypeError: when it is anything else.
    :raises ValueError: when it is empty or contains a null character.
    """
    plain = path.__fspath__() if isinstance(path, os.PathLike) else path
    if not isinstance(plain, str):
        raise TypeError(f"a path must be a str or a pathlib.Path, not {path!r}")
    if not plain or "\0" in plain:
        raise ValueError(f"a path must be non-empty and free of null characters, not {plain!r}")
    return plain


def read_whole(path: StrPath) -> bytes:
    """Return the contents of a file.

    :param path: the file.
    :raises TypeError: when the path is of the wrong type.
    :raises OSError: when the file cannot be read.
    """
    with open(checked_path(path), "rb") as stream:
        return stream.read()


def files_in(directory: str, suffix: str) -> list[str]:
    """Return the paths of a directory's files whose names end in a suffix, in order of name.

    Hidden files are left out; what else has such a name, such as a directory, is not.

    :param directory: the directory.
    :param suffix: what the names end in.
    :raises OSError: when the directory cannot be read, or is none.
    """
    names = sorted(name for name in os.listdir(directory) if name.endswith(suffix))
    return [os.path.join(directory, name) for name in names if not name.startswith(".")]


def made_directory(path: StrPath) -> str:
    """Return the absolute path of a directory that files can be made in; make it if missing.

    :param path: the directory.
    :raises TypeError: when the path is of the wrong type.
    :raises ValueError: when it is empty or contains a null character.
    :raises OSError: when it is no directory, or cannot be made or written to.
    """
    directory = os.path.abspath(checked_path(path))
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    os.makedirs(directory, exist_ok=True)
    # Permissions alone do not tell: of a file system that is read-only, or of the superuser.
    temporary = _temporary_in(directory)
    try:
        open(temporary, "xb").close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, reason, directory) from error
    finally:
        _remove(temporary)
    return directory


def check_writable(path: StrPath) -> None:
    """Refuse a file that `write_whole` could not write, as far as can be told without writing it.

    :param path: the target.
    :raises TypeError: when the path is of the wrong type.
    :raises OSError: when it is read-only, or its directory takes no new file.
    """
    target = checked_path(path)
    if _descriptor(target) is not None:
        return
    mode = _mode_of(target)
    if mode is None or stat.S_ISREG(mode):
        made_directory(os.path.dirname(os.path.realpath(target)))


def _temporary_in(directory: str) -> str:
    """Return a path in a directory that nobody else has: whoever opens it may remove it."""
    return os.path.join(directory, f"{_TEMPORARY[0]}{os.urandom(8).hex()}{_TEMPORARY[1]}")


def remove_leftovers(directory: str, older_s: float) -> None:
    """Remove what processes left in a directory that were killed while they wrote a file whole.

    :param directory: the directory.
    :param older_s: for how many seconds nothing may have been written to such a file.
    :raises OSError: when the directory cannot be read.
    """
    for name in os.listdir(directory):
        if name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1]):
            path = os.path.join(directory, name)
            try:
                is_left = time.time() - os.stat(path).st_mtime > older_s
            except OSError:
                continue
            if is_left:
                _remove(path)


def write_whole(path: StrPath, text: str, *, is_private: bool = False) -> None:
    """Write a text file in UTF-8 so that it is complete or, after an error, untouched.

    The text goes into a new file in the same directory, which then takes the target's place and
    keeps its permissions. A symbolic link is followed. What cannot be replaced, such as
    ``/dev/stdout`` or a named pipe, is written to directly.

    :param path: the target.
    :param text: its whole contents; line ends are written as they are.
    :param is_private: whether nobody but its user may read it.
    :raises TypeError: when the path or the text is of the wrong type.
    :raises OSError: when the target cannot be written; ``filename`` is the target.
    """
    target = checked_path(path)
    if not isinstance(text, str):
        raise TypeError(f"the contents of {target} must be a str, not {type(text).__name__}")
    write_bytes_whole(target, text.encode("utf-8"), is_private=is_private)


def write_bytes_whole(path: StrPath, data: bytes, *, is_private: bool = False) -> None:
    """Write a file of bytes in the way of `write_whole`.

    :param path: the target.
    :param data: its whole contents.
    :param is_private: whether nobody but its user may read it.
    :raises TypeError: when the path is of the wrong type.
    :raises OSError: when the target cannot be written; ``filename`` is the target.
    """
    target = checked_path(path)
    try:
        _write(target, data, is_private)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, reason, target) from error


def _write(target: str, data: bytes, is_private: bool) -> None:
    descriptor = _descriptor(target)
    if descriptor is not None:
        with open(descriptor, "wb", closefd=False) as stream:
            stream.write(data)
        return
    mode = _mode_of(target)
    if mode is None or stat.S_ISREG(mode):
        own = stat.S_IRUSR | stat.S_IWUSR
        _replace(os.path.realpath(target), data, own if is_private else mode)
    else:
        with open(target, "wb") as stream:
            stream.write(data)


def _descriptor(target: str) -> int | None:
    """Return the file descriptor that a path such as ``/dev/stdout`` stands for, None for others.

    Where the shell sent it to a file, following the path would replace that file and lose what the
    program had printed to it.
    """
    directory, name = os.path.split(os.path.abspath(target))
    if directory == "/dev":
        return {"stdout": 1, "stderr": 2}.get(name)
    is_number = directory in ("/dev/fd", "/proc/self/fd") and name.isdecimal()
    return int(name) if is_number else None


def _mode_of(target: str) -> int | None:
    """Return the target's mode, None when it does not exist yet; refuse one that is read-only."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not os.access(target, os.W_OK):
        # Replacing needs the directory's permission only; a read-only file is meant to stay.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), target)
    return mode


def _replace(target: str, data: bytes, mode: int | None) -> None:
    # Only in the target's own directory is the final rename certain to stay on one file system.
    temporary = _temporary_in(os.path.dirname(target))
    # An interrupt may come at any moment, so the file's removal is seen to before it is made.
    try:
        with open(temporary, "xb") as stream:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        _remove(temporary)
        raise


def _remove(temporary: str) -> None:
    # `contextlib` takes longer to import than the rest of this module.
    try:  # noqa: SIM105
        os.unlink(temporary)
    except OSError:
        pass  # The error that led here is the one worth reporting.
