"""The table that is renewed while a program runs."""

from __future__ import annotations

import os
import sys
import threading

from . import reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ..results import ProfilerResults

    class Source(Protocol):
        """What is looked at again and again."""

        def live_results(self) -> list[ProfilerResults]: ...
        def open_now(self) -> list[str]: ...

    class Layout(Protocol):
        """The order of the blocks, and how many."""

        @property
        def sort(self) -> str: ...
        @property
        def limit(self) -> int | None: ...


_MOST_OPEN = 8  # lines of what is open


class Live:
    """A table of what was recorded until now, below what the program prints.

    :param command: who shows it, such as "stichotrope run".
    :param source: what is looked at.
    :param seconds: the time between two looks.
    :param layout: the order of the blocks, and how many.
    """

    def __init__(self, command: str, source: Source, seconds: float, layout: Layout) -> None:
        from rich.console import Console
        from rich.live import Live as Display

        self._command = command
        self._source = source
        self._seconds = seconds
        self._layout = layout
        self._ended = threading.Event()
        self._console = Console(file=sys.stderr, force_jupyter=False)
        # Below what the program prints to the same terminal, which otherwise writes over it.
        is_shared = sys.stdout is not None and sys.stdout.isatty()
        self._display = Display(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=is_shared,
            redirect_stderr=True,
            vertical_overflow="crop",
        )
        self._streams = (sys.stdout, sys.stderr)
        self._thread = threading.Thread(target=self._run, name="stichotrope live", daemon=True)

    @classmethod
    def started(cls, command: str, source: Source, seconds: float, layout: Layout) -> Live | None:
        """Return a table that is shown from now on; None, and a sentence, without a terminal."""
        if sys.stderr is None or not sys.stderr.isatty():
            say(f"{command}: --live shows nothing, as standard error is no terminal")
            return None
        live = cls(command, source, seconds, layout)
        live._display.start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=live._let_go)
        live._thread.start()
        return live

    def wait(self) -> None:
        """Wait until it has ended."""
        while not self._ended.wait(0.5):  # where waiting without an end cannot be interrupted
            pass

    def stop(self) -> None:
        """Take the table away."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        self._display.stop()

    def _let_go(self) -> None:
        """Give a forked child its streams back: the table's lock may be held by nobody there."""
        if not self._ended.is_set():
            self._ended.set()
            sys.stdout, sys.stderr = self._streams

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._seconds):
                self._display.update(self._table(), refresh=True)
        except Exception as error:  # the program goes on, and is still recorded
            say(f"{self._command}: the live table ended: {reason(error)}")

    def _table(self) -> Any:
        from rich.text import Text

        from .._text.format import printable
        from ..report.console import as_text

        found = self._source.live_results()
        sort, limit = self._layout.sort, self._layout.limit
        parts = [as_text(one, self._console, sort, limit) for one in found if one.was_entered]
        # The table tells how many; these are on which thread, and for how long.
        lines = self._source.open_now()
        hidden = len(lines) - _MOST_OPEN
        lines = [*lines[:_MOST_OPEN], *([f"and {hidden:,} more"] if hidden > 0 else [])]
        if lines:
            parts.append(Text("\n".join(["Open now", *map(printable, lines)])))
        return Text("\n\n").join(parts or [Text("nothing was recorded yet")])
