"""Keys as they are pressed, from a terminal."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import Any


class Keys:
    """Gives keys one by one while it is entered; without a terminal to read from, none comes."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._before: Any = None

    def __enter__(self) -> Keys:
        if sys.stdin is not None and sys.stdin.isatty():
            import termios
            import tty

            self._descriptor = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def next(self, seconds: float | None) -> str:
        """Return the next key; "" when none came in time.

        :param seconds: how long to wait, None for ever.
        """
        import select
        import time

        if self._descriptor < 0:
            time.sleep(1.0 if seconds is None else seconds)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return ""
        return os.read(self._descriptor, 1).decode("ascii", "replace") or "q"
