"""Libraries that take functions apart, taught to put tracked ones together again.

They are changed when they are imported, and only where a tracked function comes their way.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType

from . import _core, _sent
from .profiler import REDUCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from typing import Any


def watch() -> None:
    """Teach each of these libraries that is there, and the others when they are imported."""
    REDUCE[:] = [_sent.reduced_callable]
    if _FINDER in sys.meta_path:
        return
    for name in list(_WANTED):
        if name in sys.modules:
            _teach(name, sys.modules[name])
    if _WANTED:
        sys.meta_path.insert(0, _FINDER)


def _teach(name: str, module: ModuleType) -> None:
    """Do with a module what is to be done once it is imported, if nobody did meanwhile."""
    teach = _WANTED.pop(name, None)
    if teach is not None:
        teach(module)


class _Finder:
    """Finds no module by itself: hears of those that are to be taught once they are there."""

    def __init__(self) -> None:
        self._asking = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return what the other finders say of a module to be taught; None for all others."""
        if name not in _WANTED or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            spec = self._found(name, path, target)
        finally:
            self._asking.now = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            _call_after(spec.loader, name)
        return spec

    def _found(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                return spec
        return None


def _call_after(loader: Any, name: str) -> None:
    """Have a module taught when its loader has executed it."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _teach(name, module)

    try:
        loader.exec_module = exec_module
    except AttributeError:  # a loader of another kind: what it loads stays as it is
        return


def _teach_typeguard(module: Any) -> None:
    """Have the function that it makes of a tracked one's source be tracked."""
    instrument = getattr(module, "instrument", None)
    if instrument is not None:
        module.instrument = _core.Through(instrument)


_WANTED: dict[str, Callable[[Any], None]] = {
    **{
        f"{package}.{name}": _sent.teach_cloudpickle
        for package in (
            *("cloudpickle", "joblib.externals.cloudpickle"),
            *("pyspark.cloudpickle", "ray.cloudpickle"),
        )
        for name in ("cloudpickle", "cloudpickle_fast")
    },
    "dill._dill": _sent.teach_dill,
    "typeguard._decorators": _teach_typeguard,
}
_FINDER = _Finder()
