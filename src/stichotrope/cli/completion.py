"""``stichotrope completion``: what makes a shell complete the commands, by `argcomplete`."""

from __future__ import annotations

from . import PROGRAM, CommandError

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from types import ModuleType
    from typing import Any

SHELLS = ("bash", "zsh", "fish")

USAGE = f"%(prog)s {{{','.join(SHELLS)}}}"
DESCRIPTION = """\
Print what makes a shell complete commands, options and files. It takes the extra `completion`
(pip install 'stichotrope[completion]')."""
EXAMPLES = """\
examples:
  eval "$(stichotrope completion bash)"                     in ~/.bashrc
  eval "$(stichotrope completion zsh)"                      in ~/.zshrc, after compinit
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
    _argcomplete().autocomplete(parser)


def _argcomplete() -> ModuleType:
    try:
        import argcomplete
    except ImportError:
        raise CommandError(
            "completion takes the package argcomplete: pip install 'stichotrope[completion]'"
        ) from None
    module: ModuleType = argcomplete
    return module
