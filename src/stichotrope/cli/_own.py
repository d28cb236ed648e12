"""The modules that are a program's own: what ``-t auto`` chooses."""

from __future__ import annotations

import os

from ._program import CODE, MAIN, MODULE

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._program import Program

AUTO = "auto"
_MOST = 200  # modules; a folder that has more is no program's own


def targets(program: Program) -> list[str]:
    """Return patterns for the main module and for the modules that lie beside it.

    Those are where the program finds them first: in its package, or else in the folder of its
    script, or in the one that it is run in. What is installed elsewhere is not its own.

    :param program: the program.
    """
    package, dot, _ = program.target.partition(".")
    main = f"{MAIN}:*"
    if program.kind == MODULE and (dot or os.path.isdir(package)):
        return [main, f"{package}.*"]
    return [main, *(name for name in beside(_folder(program)) if name not in program.module_names)]


def _folder(program: Program) -> str:
    if program.kind in (CODE, MODULE) or not program.is_script:
        return os.curdir
    path = os.path.realpath(program.target)
    return path if os.path.isdir(path) else os.path.dirname(path)


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
