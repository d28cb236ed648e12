"""The factory: controllers by name, from many threads at once.

The registry is an immutable mapping behind one reference. A reader takes that reference and no
lock, and sees one state of the registry for as long as it keeps it; a writer makes a new mapping
and puts it in the old one's place, one writer at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from benchmarks.workloads.smc._tracks import FACTORY, marks
from benchmarks.workloads.smc.controllers import CONTROLLERS, Controller, Gain


class Info(NamedTuple):
    """What is known of a kind of controller: its name, its law and its gains."""

    name: str
    law: str
    gains: Mapping[str, Gain]


class ControllerFactory:
    """Makes controllers by name; safe to use from many threads."""

    def __init__(self, kinds: tuple[type[Controller], ...] = CONTROLLERS) -> None:
        """Begin with these kinds, each under its own name."""
        self._writing = threading.Lock()
        self._kinds: Mapping[str, type[Controller]] = MappingProxyType({})
        for kind in kinds:
            self.register(kind.NAME, kind)

    @marks.track(FACTORY, "list")
    def list(self) -> tuple[str, ...]:
        """Return the names of all kinds, in the order in which they were registered."""
        return tuple(self._kinds)

    @marks.track(FACTORY, "info")
    def info(self, name: str) -> Info:
        """Return what is known of a kind.

        Raises:
            ValueError: there is no such kind.
        """
        kind = self._kind(name)
        return Info(name, (kind.__doc__ or "").strip(), MappingProxyType(dict(kind.GAINS)))

    @marks.track(FACTORY, "create")
    def create(self, name: str, dt: float, /, **gains: object) -> Controller:
        """Return a new controller.

        Args:
            name: of its kind.
            dt: how long passes from one force to the next, in s.
            gains: those that are not to be the defaults.

        Raises:
            TypeError: a gain that the kind does not have, or that is not a number.
            ValueError: there is no such kind, or a gain or step is out of bounds.
        """
        return self._kind(name)(dt, gains)

    @marks.track(FACTORY, "register")
    def register(self, name: str, kind: type[Controller], *, replace: bool = False) -> None:
        """Add a kind of controller.

        Args:
            name: what it is asked for by.
            kind: the class.
            replace: let it take the place of one that has the name already.

        Raises:
            TypeError: the name is not a string, or the kind not a class of controllers.
            ValueError: the name is empty, or taken.
        """
        if not isinstance(name, str):
            raise TypeError(f"a controller's name must be a str, not {name!r}")
        if not name:
            raise ValueError("a controller's name must not be empty")
        if not (isinstance(kind, type) and issubclass(kind, Controller)):
            raise TypeError(
                f"{name!r} must be registered with a class of controllers, not {kind!r}"
            )
        with self._writing:
            if name in self._kinds and not replace:
                raise ValueError(f"there is a controller called {name!r} already; say replace=True")
            self._kinds = MappingProxyType({**self._kinds, name: kind})

    def _kind(self, name: str) -> type[Controller]:
        kinds = self._kinds
        kind = kinds.get(name)
        if kind is None:
            raise ValueError(f"no controller is called {name!r}; there are {', '.join(kinds)}")
        return kind


FACTORY_OF_ALL = ControllerFactory()
"""The factory that the program uses."""
