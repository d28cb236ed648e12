"""The modules that are a program's own: what ``-t auto`` chooses."""

from __future__ import annotations

import os

from ..instrumentation.own import beside
from ._program import CODE, MAIN, MODULE

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from ._program import Program


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
