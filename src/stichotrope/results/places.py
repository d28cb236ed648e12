"""Files as every machine knows them: relative to the root of the module that they hold."""

from __future__ import annotations

import os
import sys
from types import ModuleType

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

ROOTS = "roots"  # in the metadata: the directories that modules were imported from

# Roots of what was sent here by value: its modules lie on the sender's machine, not in `sys.path`.
_RECEIVED: set[str] = set()
_KNOWN: dict[str, str] = {}  # directory → root


def root_of(file: str) -> str | None:
    """Return the directory that a file's module was imported from, None where that is not known.

    It is the deepest of `sys.path` that holds the file; else what the module's name says.

    :param file: the path of a source file.
    """
    found = roots_of([file])
    return found[0] if found else None


def roots_of(files: Iterable[str]) -> list[str]:
    """Return the directories of `sys.path` that hold the modules of these files, sorted.

    :param files: paths of source files; those that are none, such as ``<stdin>``, have no root.
    """
    # Those of one directory have one root, which stays theirs though `sys.path` changes.
    folders = {os.path.dirname(file) for file in files if os.path.isabs(file)}
    new = [folder for folder in folders if folder not in _KNOWN]
    if new:
        entries = {os.path.abspath(entry) for entry in sys.path or () if isinstance(entry, str)}
        imported = _roots_of_modules(new)
        for folder in new:
            root = _deepest(folder, entries | _RECEIVED) or imported.get(folder)
            if root is not None:
                _KNOWN[folder] = root
    return sorted({_KNOWN[folder] for folder in folders if folder in _KNOWN})


def _roots_of_modules(folders: Iterable[str]) -> dict[str, str]:
    """Return the roots of modules in these directories, by what they are called.

    `sys.path` may have had them for a while only, as command lines do it for their own imports.
    """
    wanted, found = set(folders), {}
    for name, module in list((sys.modules or {}).items()):
        # What else a program puts among them may do anything when it is asked for something.
        is_module = issubclass(type(module), ModuleType)
        file = getattr(module, "__file__", None) if is_module else None
        if not isinstance(file, str) or os.path.dirname(file) not in wanted:
            continue
        folder = root = os.path.dirname(file)
        is_package = os.path.basename(file).startswith("__init__.")
        for _ in range(name.count(".") + is_package):
            root = os.path.dirname(root)
        if name != "__main__":
            found[folder] = root
    return found


def _deepest(folder: str, known: set[str]) -> str | None:
    while folder not in known:
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def receive_root(root: str) -> None:
    """Take note of a root of the sender's, for the files of what it has sent by value.

    :param root: a directory, which need not be there.
    """
    _RECEIVED.add(root)


def relative(file: str, roots: Iterable[str]) -> str:
    """Return a file's path below the deepest root that holds it, with slashes; else as it is.

    :param file: the path.
    :param roots: directories.
    """
    fitting = [root for root in roots if file.startswith(root) and _is_below(file, root)]
    if not fitting:
        return file
    return file[len(max(fitting, key=len)) :].lstrip("/\\").replace("\\", "/")


def _is_below(file: str, root: str) -> bool:
    return root.endswith(("/", "\\")) or file[len(root) : len(root) + 1] in ("/", "\\")


def known_roots(metadata: dict[str, Any]) -> list[str]:
    """Return the roots that the metadata of one run tells, none if it does not.

    :param metadata: that of results, from a file maybe: it may be anything.
    """
    roots = metadata.get(ROOTS)
    return [root for root in roots if isinstance(root, str)] if isinstance(roots, list) else []
