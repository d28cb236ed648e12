"""Runs the code blocks of one page of the documentation, in order, in the current directory.

`python -m page PATH`: blocks in `python` share a namespace; a block with a title is a file of that name,
written rather than run (`.toml` ones are also read as configuration); in `console` blocks, each line
after `$ ` is run by the shell; `ipython` blocks are cells of one session. Other blocks are not code of
stichotrope's: output, and what needs a package index or a service.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from markdown_it import MarkdownIt

TITLE = re.compile(r'title="([^"]+)"')
NOT_RUN = {"sh", "text", "yaml", "ini"}


class Fence(NamedTuple):
    """A fenced block: its language, the file that it stands for or "", its text, its first line."""

    language: str
    title: str
    text: str
    line: int


def fences(page: str) -> Iterator[Fence]:
    """Every fenced block of a page."""
    for token in MarkdownIt().parse(page):
        if token.type == "fence" and token.map is not None:
            language, _, rest = token.info.partition(" ")
            title = TITLE.search(rest)
            yield Fence(language, title[1] if title else "", token.content, token.map[0] + 2)


class Session:
    """What the blocks of one page share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, Any] = {"__name__": "__page__"}
        self.shell: Any = None

    def run(self, fence: Fence) -> None:
        """Run one block."""
        if fence.title:
            self.write(fence)
        elif fence.language not in NOT_RUN:
            getattr(self, f"run_{fence.language}")(fence)

    def write(self, fence: Fence) -> None:
        """Write a file."""
        path = Path(fence.title)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fence.text, encoding="utf-8")
        if path.name in ("stichotrope.toml", "pyproject.toml"):
            from stichotrope import config

            config.load(path)
            path.unlink()  # it is not to configure the other blocks

    def run_python(self, fence: Fence) -> None:
        """Run Python in the page's namespace; tracebacks name the page and its line."""
        code = compile("\n" * (fence.line - 1) + fence.text, str(self.path), "exec")
        exec(code, self.names)

    def run_console(self, fence: Fence) -> None:
        """Run the commands; each has to exit with 0, or with the status in a comment behind it."""
        for line in fence.text.splitlines():
            if line.startswith("$ "):
                command, _, status = line[2:].partition("  # exit status ")
                done = subprocess.run(command, shell=True, capture_output=True, text=True)
                print(done.stdout, done.stderr)
                assert done.returncode == int(status or 0), f"{command}: {done.returncode}"

    def run_ipython(self, fence: Fence) -> None:
        """Run a cell."""
        if self.shell is None:
            from IPython.core.interactiveshell import InteractiveShell

            self.shell = InteractiveShell()
        self.shell.run_cell(fence.text).raise_error()

    def run_toml(self, fence: Fence) -> None:
        """Read a configuration."""
        Path("stichotrope.toml").write_text(fence.text, encoding="utf-8")
        from stichotrope import config

        config.load(Path("stichotrope.toml"))
        Path("stichotrope.toml").unlink()


def main(path: Path) -> None:
    """Run a page."""
    sys.path.insert(0, "")
    bin_directory = Path("bin").absolute()
    commands(bin_directory)
    os.environ["PATH"] = f"{bin_directory}{os.pathsep}{os.environ['PATH']}"
    if not entry_points(
        group="pytest11", name="stichotrope"
    ):  # the tree is tested, not what is installed
        os.environ["PYTEST_PLUGINS"] = "stichotrope.integrations.pytest"
    session = Session(path)
    for fence in fences(path.read_text(encoding="utf-8")):
        session.run(fence)


def commands(directory: Path) -> None:
    """Make `python` and `stichotrope` those of this interpreter, whatever else is installed."""
    directory.mkdir()
    for name, arguments in {"python": "", "stichotrope": "-m stichotrope "}.items():
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        script.chmod(0o755)
    assert shutil.which("stichotrope", path=str(directory))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
