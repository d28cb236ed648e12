"""States of which each goes on from the one before."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Link:
    """A state that one other alone goes on from.

    There is no lock in it: a fork may come at any time, and so may a signal handler that goes on.
    """

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: dict[None, Self] = {}

    def gone_on_by(self, other: Self) -> bool:
        """Return whether another, made since, is the one that goes on from here.

        :param other: the other one.
        """
        return self._next.setdefault(None, other) is other

    def newest(self) -> Self:
        """Return the last of those that go on from here."""
        found = self
        while found._next:
            found = found._next[None]
        return found
