"""Running a program in this process as ``python`` would have run it."""

from __future__ import annotations

import builtins
import os
import sys
from types import ModuleType

from ..instrumentation.patterns import own_loader
from . import CommandError

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType
    from typing import Any, TypeAlias

    # (source, filename) → code, or None for that which the compiler makes of it
    Compile: TypeAlias = Callable[["str | bytes", str], "CodeType | None"]

MAIN = "__main__"
SCRIPT, MODULE, CODE = "script", "-m", "-c"

_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_RUNPY = ("<frozen runpy>", os.path.dirname(os.__file__) + os.sep + "runpy.py")
# The process's own main module; what it has must outlive that a program takes its place.
_KEPT: list[Any] = []


class Program:
    """A program, and its arguments.

    :param kind: `SCRIPT`, `MODULE` or `CODE`.
    :param target: the script's path, the module's name, or the code.
    :param arguments: what the program finds behind its name in ``sys.argv``.
    """

    def __init__(self, kind: str, target: str, arguments: list[str]) -> None:
        self.kind = kind
        self.target = target
        self.arguments = arguments

    @property
    def name(self) -> str:
        """What to call it."""
        if self.kind == CODE:
            return "-c"
        return os.path.basename(os.path.abspath(self.target)) if self.is_script else self.target

    @property
    def is_script(self) -> bool:
        """Whether it is a file, and not standard input."""
        return self.kind == SCRIPT and self.target != "-"

    @property
    def module_names(self) -> list[str]:
        """What its main module could be called, besides ``__main__``."""
        if self.kind == MODULE:
            return [self.target, f"{self.target}.{MAIN}"]
        stem = os.path.splitext(self.name)[0]
        return [stem] if self.is_script and stem.isidentifier() else []

    def run(self, compile_main: Compile) -> None:
        """Run it to the end of its main module, and let out whatever it raises.

        :param compile_main: may give the code of the main module, made from its source.
        :raises CommandError: when there is no such program.
        """
        _KEPT.append(sys.modules.get(MAIN))
        make = {SCRIPT: self._script, MODULE: self._module, CODE: self._code}[self.kind]
        code, namespace = make(compile_main)
        exec(code, namespace)

    def _code(self, compile_main: Compile) -> tuple[CodeType, dict[str, Any]]:
        sys.argv[:] = ["-c", *self.arguments]
        _set_first_path("")
        from importlib.machinery import BuiltinImporter

        namespace = _new_main(loader=BuiltinImporter)
        return _compiled(self.target, "<string>", compile_main), namespace

    def _script(self, compile_main: Compile) -> tuple[CodeType, dict[str, Any]]:
        sys.argv[:] = [self.target, *self.arguments]
        if self.target == "-":
            _set_first_path("")
            from importlib.machinery import BuiltinImporter

            source = sys.stdin.buffer.read() if sys.stdin is not None else b""
            namespace = _new_main(loader=BuiltinImporter, file="<stdin>")
            return _compiled(source, "<stdin>", compile_main), namespace
        found = _importer(self.target)
        if found is not None:
            return self._folder(found, compile_main)
        path = _absolute(self.target)
        try:
            with open(path, "rb") as stream:
                source = stream.read()
        except OSError as error:
            hint = _hint(self.target) if isinstance(error, FileNotFoundError) else ""
            raise CommandError(
                f"the script {self.target} cannot be read: {error.strerror}{hint}"
            ) from None
        _set_first_path(os.path.dirname(_resolved(self.target)))
        return self._file(path, source, compile_main)

    def _file(
        self, path: str, source: bytes, compile_main: Compile
    ) -> tuple[CodeType, dict[str, Any]]:
        """Return code and namespace of a file of Python, or of one that was compiled."""
        from importlib.machinery import SourceFileLoader, SourcelessFileLoader

        if path.endswith(".pyc"):
            loader = SourcelessFileLoader(MAIN, path)
            code = loader.get_code(MAIN)
            if code is None:
                raise CommandError(f"{path} holds no code")
            return code, _new_main(loader=loader, file=path)
        namespace = _new_main(loader=SourceFileLoader(MAIN, path), file=path)
        return _compiled(source, path, compile_main), namespace

    def _folder(self, importer: Any, compile_main: Compile) -> tuple[CodeType, dict[str, Any]]:
        """Return code and namespace of a directory or archive with a ``__main__`` in it."""
        path = _absolute(self.target)
        _set_first_path(path, always=True)
        spec = importer.find_spec(MAIN)
        if spec is None or spec.loader is None:
            raise CommandError(f"there is no {MAIN} module in {self.target}")
        return _of_module(spec, spec.loader.get_code(MAIN), compile_main)

    def _module(self, compile_main: Compile) -> tuple[CodeType, dict[str, Any]]:
        sys.argv[:] = ["-m", *self.arguments]
        _set_first_path(os.getcwd())
        import runpy

        details: Any = runpy._get_module_details  # type: ignore[attr-defined]
        try:
            _, spec, code = details(self.target, _NoModuleError)
        except _NoModuleError as error:
            raise CommandError(f"the module {self.target} cannot be run: {error}") from None
        code, namespace = _of_module(spec, code, compile_main)
        sys.argv[0] = namespace["__file__"] or self.target
        return code, namespace


class _NoModuleError(Exception):
    """There is no such module, or it cannot be run as a program."""


def _of_module(spec: Any, code: CodeType, compile_main: Compile) -> tuple[CodeType, dict[str, Any]]:
    """Return code and namespace of a module that was found by name."""
    spec.loader = own_loader(spec.loader)
    get_source = getattr(spec.loader, "get_source", None)
    source = None if get_source is None else get_source(spec.name)
    if source is not None:
        code = compile_main(source, code.co_filename) or code
    namespace = _new_main(
        loader=spec.loader, file=spec.origin, spec=spec, cached=spec.cached, package=spec.parent
    )
    return code, namespace


def _compiled(source: str | bytes, path: str, compile_main: Compile) -> CodeType:
    code = compile_main(source, path)
    return compile(source, path, "exec", dont_inherit=True) if code is None else code


def _new_main(
    *,
    loader: Any,
    file: str | None = None,
    spec: Any = None,
    cached: str | None = None,
    package: str | None = None,
) -> dict[str, Any]:
    """Put a new main module in place, with the names that the interpreter gives one."""
    module = ModuleType(MAIN)
    namespace = vars(module)
    namespace.update(__builtins__=builtins, __loader__=loader, __spec__=spec, __package__=package)
    if "__annotations__" in _GIVEN_NAMES:
        namespace["__annotations__"] = {}
    if file is not None:
        namespace["__file__"] = file
        if sys.version_info < (3, 15):
            namespace["__cached__"] = cached
    sys.modules[MAIN] = module
    return namespace


# What the interpreter has put into the main module of this process; that depends on its version.
_GIVEN_NAMES = frozenset(vars(sys.modules[MAIN])) if MAIN in sys.modules else frozenset()


# Paths


def _set_first_path(path: str, *, always: bool = False) -> None:
    """Put the program's own directory first on the module search path, in place of ours.

    :param path: the directory.
    :param always: whether it goes there even where the interpreter was told to add none.
    """
    # With these flags the interpreter has put none there.
    has_one = not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated)
    if has_one:
        sys.path[:1] = [path]
    elif always:
        sys.path.insert(0, path)


def _absolute(path: str) -> str:
    # As the interpreter does, which leaves links and ".." alone.
    return os.path.join(os.getcwd(), path)


def _resolved(path: str) -> str:
    return os.path.abspath(path) if os.name == "nt" else os.path.realpath(path)


def _importer(path: str) -> Any:
    """Return what imports from a directory or archive, None for what is a file of Python."""
    for hook in sys.path_hooks:
        try:
            return hook(_absolute(path))
        except ImportError:
            continue
    return None


# What was meant by a program that is not there


def _hint(name: str) -> str:
    """Return how what is meant by a mere name can be run, for the end of a sentence."""
    if os.path.basename(name) != name:
        return ""
    path = _command(name)
    if path is not None:
        return f"; try stichotrope run {path}"
    module = name if _runs_as_module(name) else _module_of_command(name)
    return f"; try stichotrope run -m {module}" if module else ""


def _command(name: str) -> str | None:
    """Return the path of a command that is a script of Python."""
    from shutil import which

    beside = os.path.join(os.path.dirname(sys.executable), name)
    for path in (beside, which(name)):
        if path is not None and b"python" in _first_line(path):
            return path
    return None


def _first_line(path: str) -> bytes:
    """Return the first line of a script, nothing of what is none."""
    try:
        with open(path, "rb") as stream:
            line = stream.readline(200)
    except OSError:
        return b""
    return line if line.startswith(b"#!") else b""


def _runs_as_module(name: str) -> bool:
    """Return whether ``python -m`` would find something to run."""
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_spec(f"{name}.{MAIN}")
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and spec.origin not in ("built-in", "frozen")


def _module_of_command(name: str) -> str | None:
    """Return the module that an installed command of this name runs, if it can be run as one."""
    from importlib.metadata import entry_points

    for point in entry_points(group="console_scripts", name=name):
        package = point.module.partition(".")[0]
        if _runs_as_module(f"{package}.{MAIN}"):
            return package
    return None


# What a program leaves behind when it fails


def show_without_us() -> None:
    """Have the traceback of what is about to reach the interpreter begin with the program."""
    hook = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> Any:
        first = where
        # Where we were started, such as the script of the command; then we.
        while where is not None and not _is_ours(where.tb_frame.f_code.co_filename):
            where = where.tb_next
        where = where or first
        while where is not None and _is_ours(where.tb_frame.f_code.co_filename):
            where = where.tb_next
        sys.excepthook = hook
        return hook(kind, error.with_traceback(where), where)

    sys.excepthook = show


def _is_ours(filename: str) -> bool:
    return filename in _RUNPY or os.path.abspath(filename).startswith(_OWN_FOLDER)
