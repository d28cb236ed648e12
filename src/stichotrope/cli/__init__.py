"""The command line: which commands there are, and how each is called and ends."""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

__all__ = ["CommandError", "main"]

PROGRAM = "stichotrope"
FAILED = 2  # the exit status after a mistake in what was asked for
_BROKEN_PIPE = 141  # what a shell says of a program that SIGPIPE ended
_INTERRUPTED = 130  # and SIGINT
_WIDEST_HELP = 100

# Command → what it does, in the order in which they are listed.
COMMANDS = {
    "demo": "run a small program and show its report: a first look",
    "run": "run a program and report on it",
    "attach": "time functions of a process that runs already",
    "top": "show what running processes spend their time on now",
    "dump": "write the last seconds of a running process, pass by pass",
    "report": "show saved results, in one of many forms",
    "compare": "say what became faster or slower between two versions",
    "ab": "run two versions in turns, and say what became faster or slower",
    "history": "keep what each commit took, and say where it changed for good",
    "info": "show the clock, the cost per pass, and what is installed",
    "completion": "print what makes a shell complete these commands",
}

_DESCRIPTION = "Times the blocks of a Python program that you choose to name."
_EXAMPLES = """\
examples:
  stichotrope demo                           have a first look
  stichotrope run -t auto script.py          time each function of a script
  stichotrope run -o new.json -m shop        save what a program's marks record
  stichotrope report new.json -o new.html    look at it in a browser

`stichotrope COMMAND --help` has more; `--version` tells the version."""


class CommandError(Exception):
    """A mistake of who gave the command, as one sentence."""


class _ClosedError(OSError):
    """Standard output is closed."""


class _Closed(io.TextIOBase):
    """What stands for a standard output that is closed."""

    @property
    def buffer(self) -> NoReturn:
        self.write("")

    def write(self, text: str) -> NoReturn:
        raise _ClosedError(errno.EBADF, "standard output is closed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit status.

    :param arguments: the command and its arguments; those of the process unless given.
    :raises SystemExit: as the program that is run does, and after ``--help``.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    name = given[0] if given and given[0] in COMMANDS else ""
    if name == "run":  # what its program raises is to reach the interpreter
        from . import run

        return run.main(_sub_parser("run", run), given[1:])
    if sys.stdout is None:
        sys.stdout = _Closed()
    try:
        status = _command(name, given)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _command(name: str, given: list[str]) -> int:
    """Run any other command than `run`."""
    if not name:
        return _without_command(given)
    module = _module(name)
    parser = _sub_parser(name, module)
    options = parser.parse_args(given[1:])
    try:
        status: int = module.main(options)
    except (CommandError, _ClosedError) as error:
        say(f"{parser.prog}: {reason(error)}")
        return FAILED
    return status


def _without_command(given: list[str]) -> int:
    """Print help or version, or refuse a command that there is not."""
    parser = _top_parser()
    if not given:
        parser.print_help(sys.stderr)
        return FAILED
    if not given[0].startswith("-"):
        from difflib import get_close_matches

        near = get_close_matches(given[0], COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        parser.error(f"there is no command {given[0]!r}; {hint}")
    parser.parse_args(given)  # which does not come back
    return FAILED


def _module(name: str) -> ModuleType:
    """Return the module of a command."""
    # Written out, so that what a room imports can be read from its source.
    if name == "demo":
        from . import demo

        return demo
    if name == "attach":
        from . import attach

        return attach
    if name == "top":
        from . import top

        return top
    if name == "dump":
        from . import dump

        return dump
    if name == "report":
        from . import report

        return report
    if name == "compare":
        from . import compare

        return compare
    if name == "ab":
        from . import ab

        return ab
    if name == "history":
        from . import history

        return history
    if name == "info":
        from . import info

        return info
    if name == "completion":
        from . import completion

        return completion
    from . import run

    return run


# Parsers


def _parser(prog: str, usage: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser whose errors are one sentence; without options, that for help included."""
    import argparse

    class Parser(argparse.ArgumentParser):
        """A parser of one command."""

        def error(self, message: str) -> NoReturn:
            """Say what is wrong, and exit."""
            say(f"{self.prog}: {message} (see {self.prog} --help)")
            raise SystemExit(FAILED)

    return Parser(
        prog=prog,
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=_formatter,
        allow_abbrev=False,
        add_help=False,
    )


def _add_help(parser: argparse.ArgumentParser, more: str) -> None:
    """Add the option for help that fits a screen, and where there is more, that for all of it."""
    import argparse

    class All(argparse.Action):
        """Prints all there is."""

        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
            parser.epilog = f"{more.rstrip()}\n\n{parser.epilog}"
            parser.print_help()
            parser.exit()

    what = "show this; --help-all: everything" if more else "show this"
    parser.add_argument("-h", "--help", action="help", help=what)
    if more:
        parser.add_argument("--help-all", action=All, nargs=0, help=argparse.SUPPRESS)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Return what lays help out.

    One is made for each option that is added. To find the width, it would import `shutil`; and on
    3.14 `inspect`, for colours, which are looked up here when there is something to colour.
    """
    import argparse

    class Formatter(argparse.RawDescriptionHelpFormatter):
        def _format_action_invocation(self, action: argparse.Action) -> str:
            if sys.version_info >= (3, 13) or not action.option_strings or action.nargs == 0:
                return super()._format_action_invocation(action)
            # As 3.13 has it: the argument once.
            given = self._format_args(action, action.dest.upper())
            return f"{', '.join(action.option_strings)} {given}"

    if sys.version_info[:2] != (3, 14):
        return Formatter(prog, width=_width())

    class Coloured(Formatter):
        def _set_color(self, *color: bool) -> None:
            self._color = color

        def __getattr__(self, name: str) -> object:
            if name not in ("_theme", "_decolor"):
                raise AttributeError(name)
            vars(argparse.HelpFormatter)["_set_color"](self, *self._color)
            return self.__dict__[name]

    return Coloured(prog, width=_width())


def _width() -> int:
    """Return how wide help is to be."""
    try:
        return min(os.get_terminal_size(1).columns, _WIDEST_HELP)
    except OSError:
        return _WIDEST_HELP


def _top_parser() -> argparse.ArgumentParser:
    """Return the parser of what may stand before a command, or instead of one."""
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {name:{width}}{what}" for name, what in COMMANDS.items())
    description = f"{_DESCRIPTION}\n\ncommands:\n{listed}"
    parser = _parser(PROGRAM, "%(prog)s COMMAND …", description, _EXAMPLES)
    from argparse import SUPPRESS

    said = f"{PROGRAM} {_version()}"
    parser.add_argument("-h", "--help", action="help", help=SUPPRESS)
    parser.add_argument("--version", action="version", version=said, help=SUPPRESS)
    return parser


def _sub_parser(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    parser = _parser(f"{PROGRAM} {name}", module.USAGE, module.DESCRIPTION, module.EXAMPLES)
    _add_help(parser, getattr(module, "MORE", ""))
    module.configure(parser)
    return parser


def _complete() -> None:
    """Answer a shell that asks how a command may go on."""
    from . import completion

    parser = _top_parser()
    for action in parser._actions:
        action.help = None  # or else they are not offered
    commands = parser.add_subparsers()
    for name in COMMANDS:
        _module(name).configure(commands.add_parser(name, help=COMMANDS[name]))
    completion.answer(parser)


def _version() -> str:
    from .._version import __version__

    return __version__


# What is said to people


def say(sentence: str) -> None:
    """Print a sentence to standard error, in characters that it can show."""
    stream = sys.__stderr__
    if stream is None or stream.closed:
        return
    encoding = stream.encoding or "ascii"
    try:
        stream.write(sentence.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError:
        pass  # there is nobody to tell


def reason(error: BaseException) -> str:
    """Return what an error says, as part of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        path = error.filename
        return f"{path}: {error.strerror}" if path else error.strerror
    return str(error) or type(error).__name__


def _close_stdout() -> None:
    """Let the interpreter flush into nothing when it ends: nobody reads any more."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
