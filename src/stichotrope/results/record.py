"""Classes whose fields are listed once, with what documents and adding up make of each."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, dataclass_transform
else:

    def dataclass_transform(**_):
        """Return a decorator that does nothing: type checkers alone read it."""
        return lambda decorated: decorated


_REQUIRED: Any = object()  # where there is no default


class Field:
    """One field of a record.

    :ivar read: the method of `Document` that reads it; empty where it is not read by itself.
    :ivar since: the version of the document's format that has brought it.
    :ivar is_summed: whether it is added up when two records are taken together.
    :ivar is_compared: whether two records are equal only if it is.
    :ivar default: what it is unless given.
    :ivar factory: what makes the default anew each time, or None.
    """

    __slots__ = ("read", "since", "is_summed", "is_compared", "default", "factory")

    def __init__(
        self,
        read: str,
        since: int,
        is_summed: bool,
        is_compared: bool,
        default: Any,
        factory: Callable[[], Any] | None,
    ) -> None:
        self.read = read
        self.since = since
        self.is_summed = is_summed
        self.is_compared = is_compared
        self.default = default
        self.factory = factory


def field(
    *,
    read: str = "",
    since: int = 1,
    is_summed: bool = False,
    is_compared: bool = True,
    default: Any = _REQUIRED,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Return a `Field`, for the body of a `Record`."""
    return Field(read, since, is_summed, is_compared, default, factory)


@dataclass_transform(field_specifiers=(field,))
class Record:
    """Fields that are set, compared and printed.

    What `dataclasses` would make of them: importing that takes longer than the whole package may.
    A subclass lists its fields in its body, each as a `field`.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ()  # the fields that are compared
    _fields: ClassVar[dict[str, Field]] = {}
    _read: ClassVar[tuple[str, ...]] = ()  # those that are read one by one
    _summed: ClassVar[tuple[str, ...]] = ()
    _figures: ClassVar[tuple[str, ...]] = ()  # counts and times in ns, which their names tell

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        if not own:
            return
        for name in own:
            delattr(cls, name)
        compared = tuple(name for name, one in own.items() if one.is_compared)
        cls.__match_args__ = compared  # type: ignore[misc]
        cls._fields = own
        cls._read = tuple(name for name, one in own.items() if one.read)
        cls._summed = tuple(name for name, one in own.items() if one.is_summed)
        cls._figures = tuple(name for name in own if name.endswith(("_count", "_time_ns")))
        cls.__init__ = _Initializer(cls)  # type: ignore[assignment,method-assign]

    def _values(self) -> tuple[Any, ...]:
        """Return what is compared, in order."""
        return tuple(getattr(self, name) for name in self.__match_args__)

    def _add_sums(self, other: Record) -> None:
        """Add what is added up of another record of the same class."""
        for name in self._summed:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record) or type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({shown})"


class _Initializer:
    """The `__init__` of a record until it is asked for: most of them are never made."""

    __slots__ = ("_owner",)

    def __init__(self, owner: type[Record]) -> None:
        self._owner = owner

    def __get__(self, instance: Record | None, owner: type[Record] | None = None) -> Any:
        made: Any = _initializer(self._owner.__qualname__, self._owner._fields)
        self._owner.__init__ = made  # type: ignore[method-assign]
        return made.__get__(instance, owner)


def _initializer(owner: str, fields: dict[str, Field]) -> Callable[..., None]:
    """Return the method that sets the fields, as quick as one that is written out."""
    names = {f"_{name}": one.factory for name, one in fields.items() if one.factory is not None}
    names.update((f"_{name}", one.default) for name, one in fields.items() if not one.factory)
    parameters, body = ["self"], []
    for name, one in fields.items():
        value = name
        if one.factory is not None:
            parameters.append(f"{name}=None")
            value = f"_{name}() if {name} is None else {name}"
        else:
            parameters.append(name if one.default is _REQUIRED else f"{name}=_{name}")
        body.append(f"    self.{name} = {value}\n")
    exec(f"def __init__({', '.join(parameters)}):\n{''.join(body)}", names)
    made: Callable[..., None] = names["__init__"]
    made.__qualname__ = f"{owner}.__init__"
    made.__module__ = __name__
    return made
