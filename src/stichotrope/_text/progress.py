"""A progress bar on standard error, drawn only when it is asked to, between what is measured."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.progress import Progress

_PERIOD_NS = 100_000_000  # between two drawings


def is_wanted() -> bool:
    """Return whether standard error is a terminal, where somebody sees a bar."""
    is_terminal = getattr(sys.stderr, "isatty", None)
    return is_terminal is not None and bool(is_terminal())


class ProgressBar:
    """One bar, which has no thread of its own: that would take time from what is measured.

    :param title: what stands before it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown_ns: int | None = None
        self._bar: Progress | None = None

    def is_due(self, now_ns: int) -> bool:
        """Return whether it was drawn long enough ago to be drawn again."""
        return self._shown_ns is None or now_ns - self._shown_ns >= _PERIOD_NS

    def show(self, share: float, text: str, now_ns: int) -> None:
        """Draw it.

        :param share: how much is done, from 0 to 1.
        :param text: what stands after it.
        :param now_ns: the time on the caller's clock.
        """
        self._shown_ns = now_ns
        if self._bar is None:
            self._bar = _started_bar(self._title)
        self._bar.update(self._bar.task_ids[0], completed=share, text=text, refresh=True)

    def close(self) -> None:
        """Remove it from the terminal. It may be closed several times."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _started_bar(title: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=Console(file=sys.stderr, force_terminal=True),
        auto_refresh=False,
        # What the program prints must not take longer because it is being measured.
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
    bar.add_task(title, total=1.0, text="")
    bar.start()
    return bar
