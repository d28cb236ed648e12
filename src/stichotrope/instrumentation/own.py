"""The modules that are a program's own, which ``auto`` chooses, and the names of its main one."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

AUTO = "auto"
MAIN = "__main__"
_MOST = 200  # modules; a folder that has more is no program's own


def beside(folder: str) -> list[str]:
    """Return a pattern for each module and package in a folder, none where these are too many.

    :param folder: the folder.
    """
    try:
        found = sorted(_patterns(folder))
    except OSError:
        return []
    return found if len(found) <= _MOST else []


def _patterns(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name, suffix = os.path.splitext(entry.name)
            if not name.isidentifier():
                continue
            if suffix == ".py" and entry.is_file() and name not in ("setup", "conftest"):
                yield name
            elif not suffix and os.path.isfile(os.path.join(entry.path, "__init__.py")):
                yield f"{name}.*"


# Of the process that this runs in, whose main module is there already


def of_process() -> list[str]:
    """Return patterns for the main module and for the modules that lie beside it, or are in its
    package.
    """
    package, _, _ = _name_of_module().partition(".")
    if package:
        return [f"{MAIN}:*", f"{package}.*"]
    path = _main().get("__file__")
    folder = os.path.dirname(os.path.realpath(path)) if isinstance(path, str) else os.curdir
    if path is not None and _is_installed(folder):
        return [f"{MAIN}:*"]
    names = names_of_main()
    return [f"{MAIN}:*", *(name for name in beside(folder) if name not in names)]


def _is_installed(folder: str) -> bool:
    """Return whether a folder holds commands, and not the program that they start."""
    return os.path.basename(folder) in ("bin", "Scripts", "sbin")


def names_of_main() -> list[str]:
    """Return what the main module could be called, besides ``__main__``."""
    module = _name_of_module()
    if module:
        return [module, f"{module}.{MAIN}"]
    path = _main().get("__file__")
    stem = os.path.splitext(os.path.basename(path))[0] if isinstance(path, str) else ""
    return [stem] if stem.isidentifier() else []


def name_of_process() -> str:
    """Return what to call the program."""
    name = _name_of_module() or os.path.basename(next(iter(getattr(sys, "argv", [])), ""))
    return name or "python"


def _main() -> dict[str, Any]:
    return getattr(sys.modules.get(MAIN), "__dict__", {})


def _name_of_module() -> str:
    """Return the name by which ``-m`` found the main module, or nothing."""
    name = getattr(_main().get("__spec__"), "name", None)
    return name.removesuffix(f".{MAIN}") if isinstance(name, str) and name != MAIN else ""
