"""Functions chosen by patterns of their names, and tracked when their modules are imported."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from functools import update_wrapper
from types import ModuleType
from weakref import ref

from .. import _core
from ..config import checks
from . import codes, holding, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType
    from typing import Any, Protocol

    class _Recording(Protocol):
        """What is needed of a profiler, which lies upstream and is one of the core's recorders."""

        def _wrapper(self, track: int | str) -> codes.Tracking: ...


MAIN = "__main__"
_HOOK = "__stichotrope_track__"  # what the main program's definitions are decorated with
_PACKAGE = __name__.partition(".")[0]
NO_NUMBER = (
    "the interpreter has no number left for a tool, so functions are replaced instead of being "
    "tracked by their code: those inside functions, and calls while a module is imported, are not"
)
_HELD_BARE = "calls are not recorded where something still holds a function that was replaced"
_WILD = "*?["
_NEAREST = 3  # how many names to suggest
_LIKENESS = 0.75  # from 0 to 1; among all modules, something is always a bit alike
# Where Python itself looks for the frames that it leaves out of the traceback of a failed import.
_IMPORTLIB = "<frozen importlib._bootstrap>"


class Pattern:
    """A choice of functions by their names: ``module:function``.

    Both parts may hold the wildcards of `fnmatch`, which stand for dots too. ``package.*`` is a
    package and all modules below it. Without the part behind the colon, all functions and methods
    of the module are meant; a class there stands for all its methods, and a function for those
    inside it, which are called ``outer.<locals>.inner``. A lambda, a generator expression or the
    body of a class is meant only where the pattern holds ``<lambda>``, ``<genexpr>`` or ``<body>``.

    :param text: the pattern, such as ``pkg.mod:function``, ``pkg.mod:Class.*`` or ``pkg.*``.
    :param track: the track that its blocks are on, by index or name; by default the first part of
        the module's name.
    :ivar track: the same.
    :raises TypeError: when it is no str.
    :raises ValueError: when it cannot be a pattern.
    """

    __slots__ = ("_function", "_module", "function", "module", "text", "track")

    def __init__(self, text: str, track: int | str | None = None) -> None:
        self.text = checks.checked_text(text, "a pattern")
        self.module, colon, self.function = self.text.partition(":")
        _check_part(self.text, self.module, "the module")
        if colon:
            _check_part(self.text, self.function, "the function")
        else:
            self.function = "*"
        self.track = self.module.partition(".")[0] if track is None else track
        modules = [self.module]
        if self.module.endswith(".*"):
            modules.append(self.module[:-2])
        self._module = _matcher(modules)
        self._function = _matcher([self.function, f"{self.function}.*"])

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def takes_module(self, name: str) -> bool:
        """Return whether it chooses functions of a module.

        :param name: the module's full name.
        """
        return self._module(name)

    def takes(self, name: str) -> bool:
        """Return whether it chooses a function, in a module that it takes.

        :param name: the function's name in its module, such as ``Class.method``.
        """
        if codes.is_unnamed(name) and name[name.rindex("<") :] not in self.function:
            return False
        return self._function(name)


def _check_part(pattern: str, part: str, what: str) -> None:
    """Refuse what can be no dotted name."""
    expected = "a pattern is written module:function, such as 'json.decoder:JSONDecoder.*'"
    if "/" in part or "\\" in part or part.endswith(".py"):
        raise ValueError(f"{pattern!r} names a file, not a module as import does; {expected}")
    # A set in brackets may begin with "!", and hold a range.
    # What has no name is called "<lambda>" and the like.
    plain = "".join("x" if char in "*?[]!-<>" else char for char in part)
    if not all(piece.isidentifier() or piece.isdecimal() for piece in plain.split(".")):
        raise ValueError(f"{part!r} in {pattern!r} is no name for {what}; {expected}")


def _matcher(parts: list[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a name fits one of several patterns."""
    plain = frozenset(part for part in parts if not any(char in part for char in _WILD))
    wild = [part for part in parts if part not in plain]

    if not wild:
        return plain.__contains__
    if "*" in wild:
        return lambda name: True
    import re
    from fnmatch import translate

    fits = re.compile("|".join(map(translate, wild))).match
    return lambda name: name in plain or fits(name) is not None


class Instrumentation:
    """Tracks the functions that patterns choose: those that are there, and as modules come in.

    From CPython 3.12 on functions of Python are tracked by their code, as their module's loader
    gives it: before the module runs, whoever holds them, and nothing is replaced.

    Others, and all of them before that, are replaced by one wrapper each: where they are defined,
    wherever a module has their name by then because it imported them, and in what names of theirs
    lead to: classes, tables, partials, defaults, closures. `held_bare` tells what else holds one.

    :param profiler: what records.
    :param patterns: what to track; of several that choose the same function, the first gives it
        its track.
    :param main: further names that patterns may know the main program by.
    :param by_code_alone: whether functions that have no code of Python are left alone, instead of
        being replaced.
    """

    def __init__(
        self,
        profiler: _Recording,
        patterns: Sequence[Pattern],
        main: Iterable[str] = (),
        *,
        by_code_alone: bool = False,
    ) -> None:
        self._profiler: Any = profiler
        self._patterns = list(patterns)
        self._main = (MAIN, *main)
        self._matched: dict[Pattern, set[str]] = {}  # → the names of its blocks
        self._failures: list[str] = []
        self._seen: dict[str, list[str]] = {}  # module → what could be tracked in it
        self._hook: Callable[[str], Callable[[Any], Any]] | None = None
        self._undo: list[wrapping.Alias | wrapping.Choice] = []
        self._wrappers = wrapping.Wrappers()
        self._by_code = False
        self._by_code_alone = by_code_alone
        self._given: dict[str, list[codes.Named]] = {}  # what modules that run now define
        self._codes: list[tuple[ref[CodeType], int | str, str]] = []  # of track and block

    def install(self) -> None:
        """Track what is there, and from now on what is imported."""
        self._by_code = codes.can_track()
        if not self._by_code and sys.version_info >= (3, 12):
            self._failures.append(NO_NUMBER)
        _watch(self)
        self._instrument(_modules().items())

    def remove(self) -> None:
        """Put back what was there before, where nobody else has replaced it since."""
        self._remove_hook()
        with _LOCK:
            _unwatch(self)
            there = [code for code in (one() for one, _, _ in self._codes) if code is not None]
            self._codes.clear()
            if there:
                _core.stop_tracking_code(self._profiler, there)
            others = [done for one in _watching() for done in one._undo]
            while self._undo:
                self._take_back(self._undo.pop(), others)
            self._exchange_back()

    def _exchange_back(self) -> None:
        """Put back what stood in tables and the like, below what others have put there since."""
        made = list(self._wrappers.made.values())
        self._wrappers = wrapping.Wrappers()
        if made:
            for one in _watching():
                one._wrappers.take_below(made)
            holding.exchange(
                [(one.stands, one.function) for one in made], holding.deep(_modules().values())
            )

    @staticmethod
    def _take_back(
        done: wrapping.Alias | wrapping.Choice, others: list[wrapping.Alias | wrapping.Choice]
    ) -> None:
        """Put back what stood there, below what others have put there since."""
        above = [one for one in others if one.found is done.stands and one.place == done.place]
        for one in above:
            one.found = done.found
        if not above:
            done.put_back()

    def names(self) -> list[str]:
        """Return the names of the blocks that patterns have chosen until now."""
        return sorted(set().union(*self._matched.values()))

    def is_of(self, patterns: Sequence[str]) -> bool:
        """Return whether these are its patterns."""
        return [pattern.text for pattern in self._patterns] == list(patterns)

    def count(self) -> int:
        """Return how many functions are tracked by their code."""
        return sum(code() is not None for code, _, _ in self._codes)

    def leave_alone(self, track: str, names: Collection[str]) -> set[str]:
        """Record no further call of functions that are tracked by their code.

        :param track: the name of their track.
        :param names: those of their blocks.
        :returns: the names of those that were; functions that were replaced are not.
        """
        with _LOCK:
            chosen = [one for one in self._codes if one[1] == track and one[2] in names]
            there = [code for code in (one() for one, _, _ in chosen) if code is not None]
            _core.stop_tracking_code(self._profiler, there)
            self._codes = [one for one in self._codes if one not in chosen]
        return {called for _, _, called in chosen}

    def wants(self, module: str) -> bool:
        """Return whether a pattern chooses functions of a module."""
        return any(pattern.takes_module(module) for pattern in self._patterns)

    def begins(self, name: str, code: CodeType) -> bool:
        """Track the functions of a module whose code is about to be executed.

        :param name: what it is imported as.
        :param code: the module's code.
        :returns: whether that was done, so that they need not be looked for afterwards.
        """
        if self._by_code:
            with _LOCK:
                named = self._given[name] = codes.defined(code)
                self._track_codes(name, self._wanted(name), named)
        return self._by_code

    def imported(self, module: ModuleType, name: str, before: set[str], *, begun: bool) -> None:
        """Track the functions of a module that has just been executed.

        :param module: the module.
        :param name: what it was imported as.
        :param before: the names of the modules that were there when its execution began, which
            cannot have imported from it what it has made since.
        :param begun: whether its functions were tracked by their code before.
        """
        self._instrument([(name, module)], before, begun=begun)

    def track_main(self) -> None:
        """Track the functions of the main program, after it has been executed as a module."""
        module = sys.modules.get(MAIN)
        if module is not None:
            self._instrument([(MAIN, module)])

    # The functions of modules

    def _wanted(self, name: str) -> list[Pattern]:
        """Return the patterns that choose functions of a module."""
        names = self._main if name == MAIN else (name,)
        return [
            pattern
            for pattern in self._patterns
            if any(map(pattern.takes_module, names)) and not _is_own(name)
        ]

    def _instrument(
        self,
        modules: Iterable[tuple[str, ModuleType]],
        before: Collection[str] | None = None,
        *,
        begun: bool = False,
    ) -> None:
        wanted = {name: module for name, module in modules if self._wanted(name)}
        with _LOCK:
            if self._by_code:
                there = self._made_since(wanted) if begun else codes.alive(wanted)
                for name, named in there.items():
                    self._track_codes(name, self._wanted(name), named)
            if self._by_code_alone:
                return
            replaced: dict[int, tuple[Any, Any]] = {}
            known = set(self._wrappers.made)
            for name, module in wanted.items():
                choices = _choices(module, self._profiler, plain=not self._by_code)
                choices = self._to_replace(choices)
                self._track_in(name, self._wanted(name), choices, replaced)
            if replaced:
                self._replace_names(replaced, _come_since(before))
            pairs = [pair for key, pair in self._wrappers.made.items() if key not in known]
            if pairs:
                holding.exchange(pairs, _leading(list(wanted.values()), before))

    def _made_since(self, modules: dict[str, ModuleType]) -> dict[str, list[codes.Named]]:
        """Return module's name → code that it has made while it ran."""
        return {
            name: list(codes.made_since(module, self._given.pop(name, [])))
            for name, module in modules.items()
        }

    def _to_replace(self, choices: list[wrapping.Choice]) -> list[wrapping.Choice]:
        """Return those of a module's functions that are not tracked by their code."""
        if not self._by_code:
            return choices
        left = []
        for choice in choices:
            python = {
                suffix
                for suffix, function in wrapping.functions(choice.found)
                if codes.is_python(function)
            }
            if not python:
                left.append(choice)
        return left

    def _track_codes(
        self, name: str, patterns: list[Pattern], named: Iterable[tuple[CodeType, str]]
    ) -> None:
        """Track what patterns choose of a module's code."""
        seen = self._seen.setdefault(name, [])
        try:
            left = list(named)
            seen += [called for _, called in left if called[-1:] != ">"]
            for pattern in patterns:  # the first that chooses a function gives it its track
                chosen = [one for one in left if pattern.takes(one[1])]
                if chosen:
                    self._matched.setdefault(pattern, set()).update(called for _, called in chosen)
                    called = {id(code): name for code, name in chosen}
                    track = pattern.track
                    self._codes += [
                        (ref(code), track, called[id(code)])
                        for code in self._tracking(track).codes(chosen)
                    ]
        except Exception as error:  # the program is not to suffer by it
            self._failures.append(f"{name} could not be instrumented: {error}")

    def _tracking(self, track: int | str) -> codes.Tracking:
        tracking: codes.Tracking = self._profiler._wrapper(track)
        return tracking

    def _track_in(
        self,
        name: str,
        patterns: list[Pattern],
        choices: list[wrapping.Choice],
        replaced: dict[int, tuple[Any, Any]],
    ) -> None:
        """Track what patterns choose in a module."""
        seen = self._seen.setdefault(name, [])
        seen += [block for choice in choices for block in choice.blocks.values()]
        for track, chosen in self._chosen(patterns, choices).items():
            try:
                wrapping.replace(chosen, self._tracking(track), self._wrappers)
            except Exception as error:  # the program is not to suffer by it
                self._failures.append(f"{name} could not be instrumented: {error}")
                continue
            self._undo += chosen
            for choice in chosen:
                if isinstance(choice.owner, ModuleType):
                    tracked = vars(choice.owner)[choice.attribute]
                    replaced[id(choice.found)] = (choice.found, tracked)

    def _chosen(
        self, patterns: list[Pattern], choices: list[wrapping.Choice]
    ) -> dict[int | str, list[wrapping.Choice]]:
        """Return track → what patterns choose for it, with nothing else in the choices' blocks."""
        chosen: dict[int | str, list[wrapping.Choice]] = {}
        for choice in choices:
            taken = {
                suffix: [pattern for pattern in patterns if pattern.takes(block)]
                for suffix, block in choice.blocks.items()
            }
            takers = [pattern for found in taken.values() for pattern in found]
            if takers:
                for suffix, found in taken.items():
                    for pattern in found:
                        self._matched.setdefault(pattern, set()).add(choice.blocks[suffix])
                choice.blocks = {key: choice.blocks[key] for key, found in taken.items() if found}
                chosen.setdefault(takers[0].track, []).append(choice)
        return chosen

    def _replace_names(
        self, replaced: dict[int, tuple[Any, Any]], modules: Iterable[ModuleType]
    ) -> None:
        """Put tracked functions where modules have the untracked ones."""
        for module in modules:
            namespace = wrapping.namespace(module)
            if _is_own(namespace.get("__name__")):
                continue
            for name, value in list(namespace.items()):
                found, tracked = replaced.get(id(value), (None, None))
                if found is value and found is not None:
                    namespace[name] = tracked
                    self._undo.append(wrapping.Alias(namespace, name, found, tracked))

    # The main program

    def compiled(self, source: str | bytes, filename: str) -> CodeType | None:
        """Return the main program's code, in which what it defines is tracked as it is made.

        A main program is not there before it runs, and has run when it is there: so where functions
        are not tracked by their code, they get a decorator, below those that they have, and classes
        one around theirs.

        :param source: the program.
        :param filename: where it is from.
        :returns: the code; None when no pattern is about the main program.
        :raises SyntaxError: when it is no program.
        """
        patterns = [one for one in self._patterns if any(map(one.takes_module, self._main))]
        if not patterns:
            return None
        if self._by_code:
            code: CodeType = compile(source, filename, "exec", dont_inherit=True)
            self.begins(MAIN, code)
            return code
        import ast
        import builtins

        # Not by `ast.parse`, which would stand in the traceback of a program that is none.
        tree: Any = compile(source, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        self._seen.setdefault(MAIN, [])
        for definition in _definitions(tree.body):
            first = min([definition, *definition.decorator_list], key=lambda node: node.lineno)
            hook = ast.Name(_HOOK, ast.Load())
            call = ast.Call(hook, [ast.Constant(definition.name)], [])
            for node in ast.walk(call):
                ast.copy_location(node, first)
            # What a decorator registers, or stands around, is to be the tracked function; what one
            # puts into a class is to be there.
            is_class = isinstance(definition, ast.ClassDef)
            decorators = definition.decorator_list
            decorators.insert(0 if is_class else len(decorators), call)
        # Not in the program's own names: it may list them.
        self._hook = lambda name: lambda made: self._made(patterns, name, made)
        setattr(builtins, _HOOK, self._hook)
        made: CodeType = compile(tree, filename, "exec", dont_inherit=True)
        return made

    def _remove_hook(self) -> None:
        import builtins

        if self._hook is not None and vars(builtins).get(_HOOK) is self._hook:
            delattr(builtins, _HOOK)

    def _made(self, patterns: list[Pattern], name: str, made: Any) -> Any:
        """Return what is to stand for a function or class that the main program has just made."""
        module = sys.modules[MAIN]
        holder = ModuleType(MAIN)
        vars(holder).update({"__name__": getattr(made, "__module__", MAIN), name: made})
        with _LOCK:
            self._track_in(MAIN, patterns, _choices(holder, self._profiler, plain=True), {})
        tracked = vars(holder)[name]
        if tracked is not made:
            self._undo.append(wrapping.Alias(vars(module), name, made, tracked))
        return tracked

    # What is to be said

    def failures(self) -> list[str]:
        """Return a sentence for each module whose functions could not be replaced."""
        return list(self._failures)

    def held_bare(self) -> list[str]:
        """Return a sentence on functions that were replaced and that something still holds as they
        were: calls by that are not recorded.
        """
        found = holding.bare(list(self._wrappers.made.values()))
        named = sorted({f"{function.__qualname__} ({what})" for function, what in found})
        return [f"{_HELD_BARE}: {_listed(named)}"] if named else []

    def unmatched(self, called: Mapping[str, Iterable[str]] | None = None) -> list[str]:
        """Return a sentence for each pattern that chose nothing, with the nearest names.

        :param called: track → the names of its blocks that were hit, in other processes too: what
            was called there was chosen there.
        """
        elsewhere = called or {}
        return [
            f"{pattern.text!r} matched nothing: {self._reason(pattern)}"
            for pattern in self._patterns
            if pattern not in self._matched
            and not any(map(pattern.takes, elsewhere.get(str(pattern.track), ())))
        ]

    def uncalled(self, called: set[str]) -> list[str]:
        """Return a sentence for each pattern that chose functions of which none was called.

        :param called: the names of the blocks that were hit.
        """
        return [
            f"{pattern.text!r} chose {_listed(sorted(names))}, and none of it was called"
            for pattern, names in self._matched.items()
            if not names & called
        ]

    def unseen(self) -> list[str]:
        """Return a sentence on functions that patterns choose and that are compiled.

        What Cython or mypyc made calls each other without asking for anything that could be
        replaced; and mypyc may put modules in place that nothing has imported.
        """
        found = {
            name: sum(
                any(one.takes_module(name) and one.takes(function) for one in self._patterns)
                for function in _native(module, name)
            )
            for name, module in _modules().items()
            if self.wants(name) and _is_compiled(module) and not _is_own(name)
        }
        names = sorted(name for name, functions in found.items() if functions)
        if not names:
            return []
        functions = sum(found.values())
        return [
            f"compiled functions of {_listed(names)}: {functions:,}; what they call of each other "
            "cannot be seen, and is part of their time"
        ]

    def _reason(self, pattern: Pattern) -> str:
        modules = [name for name in self._seen if self._is_meant(pattern, name)]
        if modules:
            elsewhere = _defined_elsewhere(modules, pattern.function)
            if elsewhere:
                return f"it is defined elsewhere; use {elsewhere!r}"
            names = [name for module in modules for name in self._seen[module]]
            if not names:
                return f"{_listed(modules)} defines no function"
            return f"no such function in {_listed(modules)}" + _nearest(pattern.function, names)
        if pattern.module in sys.modules:
            compiled = " is compiled, and" if _is_compiled(sys.modules[pattern.module]) else ""
            return f"{pattern.module}{compiled} has no functions that can be tracked"
        known = [name for name in _modules() if not _is_own(name)]
        known += self._main[1:]
        return f"no module {pattern.module!r} was imported" + _nearest(pattern.module, known)

    def _is_meant(self, pattern: Pattern, name: str) -> bool:
        names = self._main if name == MAIN else (name,)
        return any(map(pattern.takes_module, names))


def _modules() -> dict[str, ModuleType]:
    """Return the modules that are there, without what else a program puts among them."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if issubclass(type(module), ModuleType)
    }


def _come_since(before: Collection[str] | None) -> list[ModuleType]:
    """Return the modules that were not there before; all, where that is None."""
    return [known for name, known in _modules().items() if before is None or name not in before]


def _leading(defining: Sequence[ModuleType], before: Collection[str] | None) -> list[ModuleType]:
    """Return the modules that may lead to what some have defined.

    :param defining: those.
    :param before: the names of modules that cannot have imported from them; None for none.
    """
    others = _come_since(before)
    if before is not None:
        others += [one for module in defining for one in holding.named_in(module)]
    found = {id(one): one for one in (*defining, *holding.deep(others))}
    return [one for one in found.values() if not _is_own(wrapping.namespace(one).get("__name__"))]


def _is_compiled(module: ModuleType | None) -> bool:
    """Return whether a module is an extension."""
    from importlib.machinery import ExtensionFileLoader

    spec = None if module is None else wrapping.namespace(module).get("__spec__")
    return isinstance(getattr(spec, "loader", None), ExtensionFileLoader)


def _native(module: ModuleType, name: str) -> Iterable[str]:
    """Give the qualified names of the functions and methods of an extension."""
    for attribute, value in list(wrapping.namespace(module).items()):
        if getattr(value, "__module__", None) != name:
            continue
        if not isinstance(value, type):
            if callable(value):
                yield attribute
            continue
        for inner, method in list(vars(value).items()):
            if not inner.startswith("__") and callable(method):
                yield f"{attribute}.{inner}"


def _is_own(name: object) -> bool:
    """Return whether a module is one of this package, which does not profile itself."""
    return isinstance(name, str) and name.partition(".")[0] == _PACKAGE


def _choices(module: ModuleType, profiler: _core.Recorder, *, plain: bool) -> list[wrapping.Choice]:
    """Return all that can be tracked in a module, nested classes included.

    :param plain: whether functions of Python that nothing else holds are among it.
    """
    choices = wrapping.choose_in_module(module, None, profiler, plain=plain)
    own = {id(value) for value in list(wrapping.namespace(module).values())}
    for nested in wrapping.classes_in(module):
        if id(nested) not in own:
            choices += wrapping.choose_in_class(nested, None, profiler, plain=plain)
    return choices


def _definitions(body: list[Any]) -> Iterable[Any]:
    """Give the functions and classes that a module defines, also under conditions and the like."""
    import ast

    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node
            continue
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                waiting += inner


def _defined_elsewhere(modules: list[str], name: str) -> str | None:
    """Return the pattern for a name that a module has from another."""
    first, _, rest = name.partition(".")
    for module in modules:
        found = vars(sys.modules[module]).get(first) if module in sys.modules else None
        home = getattr(found, "__module__", None)
        called = getattr(found, "__qualname__", None)
        if callable(found) and isinstance(home, str) and isinstance(called, str) and home != module:
            return f"{home}:{called}" + (f".{rest}" if rest else "")
    return None


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NEAREST])
    return f"{shown} and {len(names) - _NEAREST:,} more" if len(names) > _NEAREST else shown


def _nearest(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, dict.fromkeys(names), _NEAREST, _LIKENESS)
    return f"; did you mean {' or '.join(near)}?" if near else ""


# The import system


_BOOTSTRAP: Any = importlib._bootstrap
_EXECUTE = _BOOTSTRAP._call_with_frames_removed
_LOADS_CODE = importlib._bootstrap_external._LoaderBasics.exec_module  # type: ignore[attr-defined]


class _Loader:
    """Loads a module as its own loader does, and tells when it has been executed.

    :param loader: the module's loader, which answers for everything else.
    :param name: what the module is imported as.
    """

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the module's own loader makes."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute a module, and tell."""
        self._step_aside(module)
        before = set(sys.modules) - {self._name}
        code = None
        # It does nothing else than this. Those of frozen and built-in modules are classes.
        if getattr(type(self._loader), "exec_module", None) is _LOADS_CODE:
            code = self._loader.get_code(module.__name__)
        if code is None:
            self._loader.exec_module(module)
        else:
            _begin(code, self._name)
            _EXECUTE(exec, code, module.__dict__)
        _tell(module, self._name, before, begun=code is not None)

    # A module that cannot be imported has the same traceback as without us.
    exec_module.__code__ = exec_module.__code__.replace(co_filename=_IMPORTLIB)

    def _step_aside(self, module: ModuleType) -> None:
        """Put the module's own loader where the program may look for it."""
        namespace = wrapping.namespace(module)
        spec: Any = namespace.get("__spec__")
        if getattr(spec, "loader", None) is self:
            spec.loader = self._loader
        if namespace.get("__loader__") is self:
            namespace["__loader__"] = self._loader


def watch_files(util: ModuleType) -> None:
    """Have modules seen that are loaded from a file by hand, past the finders.

    :param util: `importlib.util`, whose `spec_from_file_location` begins that.
    """
    bare = vars(util)["spec_from_file_location"]

    def spec_from_file_location(name: str, *args: Any, **kwargs: Any) -> ModuleSpec | None:
        spec: ModuleSpec | None = bare(name, *args, **kwargs)
        return _watched(spec, name) if spec is not None and _is_wanted(name) else spec

    update_wrapper(spec_from_file_location, bare)
    vars(util)["spec_from_file_location"] = spec_from_file_location


def _watched(spec: ModuleSpec, name: str) -> ModuleSpec:
    """Have it told when the module of a specification is executed."""
    loader: Any = spec.loader
    if hasattr(loader, "exec_module") and type(loader) is not _Loader:
        spec.loader = _Loader(loader, name)  # type: ignore[assignment]
    return spec


def own_loader(loader: Any) -> Any:
    """Return a module's own loader, for one that may stand around it to track the module.

    :param loader: the loader in a module's specification.
    """
    return loader._loader if type(loader) is _Loader else loader


class _Finder:
    """Finds modules as the other finders do; stands in front of them."""

    def __init__(self) -> None:
        self._asking: set[tuple[int, str]] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return what the first of the other finders that knows a module says of it."""
        self._come_first()
        key = (threading.get_ident(), name)
        if key in self._asking or not _is_wanted(name):
            return None
        self._asking.add(key)
        try:
            spec = self._found(name, path, target)
        finally:
            self._asking.discard(key)
        return None if spec is None else _watched(spec, name)

    def _come_first(self) -> None:
        """Stand before those that came later, such as pytest's: what they find we would not see."""
        path: list[Any] = sys.meta_path
        if path and path[0] is not self and self in path:
            path.remove(self)
            path.insert(0, self)

    def _found(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                return spec
        return None


_FINDER = _Finder()
_LOCK = threading.RLock()  # of what is replaced where
_WATCHING: list[ref[Instrumentation]] = []  # whoever made one keeps it
_AFTER: dict[str, Callable[[ModuleType], object]] = {}  # module → what to do with it once


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _LOCK._at_fork_reinit())  # type: ignore[attr-defined]


def after_import(name: str, action: Callable[[ModuleType], object]) -> None:
    """Do something with a module when it has been imported, or now if it has been.

    :param name: the module's full name.
    :param action: what is called with the module.
    """
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return
    _AFTER[name] = action
    _stand_in_front()


def _watch(instrumentation: Instrumentation) -> None:
    watching = ref(instrumentation)
    if watching not in _WATCHING:
        _WATCHING.append(watching)
    _stand_in_front()


def _watching() -> list[Instrumentation]:
    """Return those that wait for modules and are still there."""
    found = [(one, one()) for one in list(_WATCHING)]
    for gone in (one for one, instrumentation in found if instrumentation is None):
        if gone in _WATCHING:
            _WATCHING.remove(gone)
    return [instrumentation for _, instrumentation in found if instrumentation is not None]


def _unwatch(instrumentation: Instrumentation) -> None:
    watching = ref(instrumentation)
    if watching in _WATCHING:
        _WATCHING.remove(watching)
    path: list[Any] = sys.meta_path
    if not _WATCHING and not _AFTER and _FINDER in path:
        path.remove(_FINDER)


def _stand_in_front() -> None:
    path: list[Any] = sys.meta_path
    if _FINDER not in path:
        path.insert(0, _FINDER)


def _is_wanted(name: str) -> bool:
    return name in _AFTER or any(one.wants(name) for one in _watching())


def _begin(code: CodeType, name: str) -> None:
    """Tell those who wait for a module that its code is about to run."""
    for instrumentation in _watching():
        if instrumentation.wants(name):
            instrumentation.begins(name, code)


def _tell(module: ModuleType, name: str, before: set[str], *, begun: bool) -> None:
    """Tell those who wait for a module. What they fail at is not the importing program's."""
    # A module may have put something else in its place.
    module = sys.modules.get(name, module)
    action = _AFTER.pop(name, None)
    if action is not None:
        action(module)
    if issubclass(type(module), ModuleType):
        for instrumentation in _watching():
            instrumentation.imported(module, name, before, begun=begun)
