"""A progress bar on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[str], None]
"""Is told what was done; one more is."""


@contextmanager
def progress_bar(total: int, quiet: bool) -> Iterator[Advance]:
    """Show how many of `total` are done while the body runs, where somebody looks."""
    # Only now: a single prompt shows none, and would wait for the import longer than for itself.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=total)
        yield lambda said: progress.update(task, advance=1, description=said)
