"""The modules that are a program's own: what ``-t auto`` chooses."""

from __future__ import annotations

import os
import sys

from ..instrumentation.own import beside
from ._program import CODE, MAIN, MODULE

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from ._program import Program


def targets(program: Program) -> list[str]:
    """Return patterns for the main module and for the modules that lie beside it.

    Those are where the program finds them first: in the package that ``-m`` runs, or else in the
    folder of its script, or in the one that it is run in. What is installed elsewhere is not its
    own, as that is a server or a tool that runs what lies here; where nothing does, the package
    that is run is.

    :param program: the program.
    """
    package, dot, _ = program.target.partition(".")
    main = f"{MAIN}:*"
    whole = [main, f"{package}.*"]
    if program.kind == MODULE and _is_package(package, [os.curdir]):
        return whole
    here = [name for name in beside(_folder(program)) if name not in program.module_names]
    if program.kind == MODULE and not here and (dot or _is_package(package, sys.path)):
        return whole
    return [main, *here]


def _is_package(name: str, path: list[str]) -> bool:
    """Return whether a path has a package of a name that has no dot, importing nothing."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(name, path)
    return spec is not None and spec.submodule_search_locations is not None


def _folder(program: Program) -> str:
    if program.kind in (CODE, MODULE) or not program.is_script:
        return os.curdir
    path = os.path.realpath(program.target)
    return path if os.path.isdir(path) else os.path.dirname(path)
