"""Libraries that take functions apart, taught to put tracked ones together again.

They are changed when they are imported, and only where a tracked function comes their way.
"""

from __future__ import annotations

import copyreg
import sys
import threading
from types import FunctionType, ModuleType

from . import _core, _sent
from .instrumentation import wrapping
from .profiler import REDUCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from typing import Any


def watch() -> None:
    """Teach each of these libraries that is there, and the others when they are imported."""
    REDUCE[:] = [_sent.reduced_callable]
    copyreg.pickle(_core.TrackedFunction, _sent.reduced_function)
    if _FINDER in sys.meta_path:
        return
    sys.meta_path.insert(0, _FINDER)
    for name, module in list(sys.modules.items()):
        if _teacher(name) is not None and isinstance(module, ModuleType):
            _teach(name, module)


def _teacher(name: str) -> Callable[[Any], None] | None:
    """Return what is to be done with a module of a name once it is there; None for nothing."""
    if name in _TAUGHT:
        return None
    if name.endswith(_CLOUDPICKLES):  # many packages have one of their own
        return _sent.teach_cloudpickle
    return _WANTED.get(name)


def _teach(name: str, module: ModuleType) -> None:
    """Do with a module what is to be done once it is imported, if nobody did meanwhile."""
    teach = _teacher(name)
    if teach is not None:
        _TAUGHT.add(name)
        teach(module)


class _Finder:
    """Finds no module by itself: hears of those that are to be taught once they are there."""

    def __init__(self) -> None:
        self._asking = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return what the other finders say of a module to be taught; None for all others."""
        if _teacher(name) is None or getattr(self._asking, "now", False):
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


def _teach_pytest(module: Any) -> None:
    """Have a fixture stay one above which a mark stands: pytest asks for the exact type."""
    fixture = getattr(module, "FixtureFunctionDefinition", None)  # from pytest 8.4 on
    if fixture is not None:
        wrapping.holds(fixture, "_fixture_function")


def _teach_typeguard(module: Any) -> None:
    """Have the function that it makes of a tracked one's source be tracked."""
    instrument = getattr(module, "instrument", None)
    if instrument is not None:
        module.instrument = _core.Through(instrument)


def _teach_yaml(module: Any) -> None:
    """Have it write what it writes for functions, which it knows by their exact type."""
    base = getattr(module, "BaseRepresenter", None)
    if base is None:
        return
    add = base.add_representer.__func__

    def add_representer(cls: Any, kind: Any, representer: Any) -> None:
        add(cls, kind, representer)
        if kind is FunctionType:
            add(cls, _core.TrackedFunction, representer)

    base.add_representer = classmethod(add_representer)
    classes = [base]
    for cls in classes:
        classes += cls.__subclasses__()
        known = vars(cls).get("yaml_representers", {})
        if FunctionType in known:
            known.setdefault(_core.TrackedFunction, known[FunctionType])


def _teach_twisted(module: Any) -> None:
    """Have it find methods, which it knows by their exact type: those of tests, of protocols."""
    module.type = _type_shown


def _type_shown(value: Any) -> Any:
    kind = type(value)
    return FunctionType if kind is _core.TrackedFunction else kind


_CLOUDPICKLES = ("cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast")
_WANTED: dict[str, Callable[[Any], None]] = {
    "_pytest.fixtures": _teach_pytest,
    "dill._dill": _sent.teach_dill,
    "ruamel.yaml.representer": _teach_yaml,
    "twisted.python.reflect": _teach_twisted,
    "typeguard._decorators": _teach_typeguard,
    "yaml.representer": _teach_yaml,
}
_TAUGHT: set[str] = set()
_FINDER = _Finder()
