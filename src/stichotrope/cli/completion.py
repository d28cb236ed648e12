"""``stichotrope completion``: what makes a shell complete the commands, by `argcomplete`."""

from __future__ import annotations

import os

from ..instrumentation.own import beside
from . import PROGRAM, CommandError
from ._program import MAIN

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from ..results import ProfilerResults

SHELLS = ("bash", "zsh", "fish")

USAGE = f"%(prog)s {{{','.join(SHELLS)}}}"
DESCRIPTION = """\
Print what makes a shell complete commands, options and files. It takes the
extra `completion` (pip install 'stichotrope[completion]')."""
EXAMPLES = """\
examples:
  eval "$(stichotrope completion bash)"        in ~/.bashrc
  eval "$(stichotrope completion zsh)"         in ~/.zshrc, after compinit
  stichotrope completion fish > ~/.config/fish/completions/stichotrope.fish"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments.

    :param parser: the command's parser.
    """
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def main(options: Any) -> int:
    """Print the shell's code; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when `argcomplete` is not installed.
    """
    print(_argcomplete().shellcode([PROGRAM], shell=options.shell), end="")
    return 0


def answer(parser: argparse.ArgumentParser) -> None:
    """Tell the shell how the command that it has may go on, and end the process.

    :param parser: the parser of all commands.
    """
    _teach(parser)
    _argcomplete().autocomplete(parser)


def _teach(parser: argparse.ArgumentParser) -> None:
    """Tell the options that take a name which names there are."""
    from argparse import _SubParsersAction

    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for command in action.choices.values():
                _teach(command)
        elif action.dest in _NAMES:
            action.completer = _NAMES[action.dest]  # type: ignore[attr-defined]


def targets(prefix: str, **_: object) -> list[str]:
    """Return patterns of what is beside, where the command is given: modules, then functions.

    :param prefix: what is there of it.
    """
    module, colon, _function = prefix.partition(":")
    if colon:
        return [f"{module}:{name}" for name in _functions(module)]
    package, dot, _module = prefix.rpartition(".")
    if dot:
        folder = os.path.join(*package.split("."))
        return [f"{package}.*", *(f"{package}.{name}" for name in beside(folder))]
    return ["auto", f"{MAIN}:*", *beside(os.curdir)]


def _functions(module: str) -> list[str]:
    """Return the functions, classes and methods of a module, read from its source, not imported."""
    import ast

    stem = os.path.join(*module.split("."))
    for path in (f"{stem}.py", os.path.join(stem, "__init__.py")):
        try:
            with open(path, "rb") as source:
                body = ast.parse(source.read()).body
        except (OSError, SyntaxError, ValueError):
            continue
        functions = ast.FunctionDef, ast.AsyncFunctionDef
        names = [one.name for one in body if isinstance(one, (*functions, ast.ClassDef))]
        classes = [one for one in body if isinstance(one, ast.ClassDef)]
        return names + [
            f"{one.name}.{method.name}"
            for one in classes
            for method in one.body
            if isinstance(method, functions)
        ]
    return []


def _names_of(found: Callable[[ProfilerResults], Iterable[str]]) -> Callable[..., list[str]]:
    """Return what gives the names that are in the results that the command has already."""

    def names(prefix: str, parsed_args: Any, **_: object) -> list[str]:
        from ._sources import load

        try:
            results = load(parsed_args.files or ())
        except CommandError:
            return []
        return sorted({name for one in results for name in found(one)})

    return names


# Destination of an option → the names that it may have.
_NAMES: dict[str, Callable[..., list[str]]] = {
    "target": targets,
    "track": _names_of(lambda results: (track.track_name for track in results)),
    "match": _names_of(lambda results: (block.name for track in results for block in track)),
    "thread": _names_of(lambda results: (thread.name for thread in results.threads)),
}


def _argcomplete() -> ModuleType:
    try:
        import argcomplete
    except ImportError:
        raise CommandError(
            "completion takes the package argcomplete: pip install 'stichotrope[completion]'"
        ) from None
    module: ModuleType = argcomplete
    return module
