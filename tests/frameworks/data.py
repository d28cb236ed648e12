"""Models, validation, databases, dataclasses."""

# mypy: ignore-errors
# What it is typed against is in another environment, and not each version of Python has all of it.

from __future__ import annotations

import dataclasses
from typing import Any

from frameworks.gallery import Mark, case
from frameworks.web import mark_as


@case(
    "pydantic", hits={"double": 1, "double_width": 1, "check": 1, "whole": 1, "shown": 1, "make": 1}
)
def pydantic_model(mark: Mark) -> Any:
    """Methods, computed fields, validators and serializers."""
    from pydantic import (
        BaseModel,
        Field,
        computed_field,
        field_serializer,
        field_validator,
        model_validator,
    )

    def make() -> list[int]:
        return [1]

    def double_width(self: Any) -> int:
        return self.wide * 2

    double_width.__annotations__ = {"return": int}

    class Room(BaseModel):
        wide: int
        parts: list = Field(default_factory=mark(make))  # type: ignore[type-arg]
        area = computed_field(property(mark(double_width)))

        @mark
        def double(self) -> int:
            return self.wide * 2

        @field_validator("wide")
        @classmethod
        @mark
        def check(cls, value: int) -> int:
            return value + 1

        @model_validator(mode="after")
        @mark
        def whole(self) -> Any:
            return self

        @field_serializer("wide")
        @mark
        def shown(self, value: int) -> str:
            return f"{value} m"

    room = Room(wide=3)
    return room.double(), room.model_dump(), sorted(Room.model_fields)


@case("pydantic", hits={"add": 1, "total": 1})
def pydantic_validate_call(mark: Mark) -> Any:
    """Arguments are converted, wrong ones refused."""
    from pydantic import ValidationError, validate_call

    def add(a: int, b: int = 2) -> int:
        return a + b

    async def total(*numbers: int) -> int:
        return sum(numbers)

    add.__annotations__ = {"a": int, "b": int, "return": int}
    total.__annotations__ = {"numbers": int, "return": int}
    checked, awaited = validate_call(mark(add)), validate_call(mark(total))
    try:
        checked("no")
    except ValidationError as error:
        refused = error.error_count()
    import asyncio

    return checked("4"), refused, asyncio.run(awaited("1", 2)), checked.__name__


@case("pydantic", hits={"__post_init__": 1})
def pydantic_dataclass(mark: Mark) -> Any:
    """A dataclass of pydantic's, with a hook after its `__init__`."""
    from pydantic.dataclasses import dataclass

    class Point:
        x: int

        @mark
        def __post_init__(self) -> None:
            self.x += 1

    Point.__annotations__ = {"x": int}
    return dataclass(Point)(x="3").x  # type: ignore[call-arg, arg-type]


@case("sqlalchemy", hits={"before": 1, "full": 1, "listen": 1, "shout": 1})
def sqlalchemy(mark: Mark) -> Any:
    """Events, hybrid properties, validators."""
    from sqlalchemy import create_engine, event, select
    from sqlalchemy.ext.hybrid import hybrid_property
    from sqlalchemy.orm import DeclarativeBase, Session, validates
    from sqlalchemy.orm import mapped_column as column
    from sqlalchemy.types import Integer, String

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id = column(Integer, primary_key=True)
        first = column(String)
        last = column(String)

        @hybrid_property
        @mark
        def full(self) -> str:
            return self.first + " " + self.last

        @validates("first")
        @mark
        def shout(self, key: str, value: str) -> str:
            return value.upper()

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)

    @event.listens_for(User, "before_insert")
    @mark
    def before(mapper: Any, connection: Any, target: Any) -> None:
        target.last = target.last.title()

    @event.listens_for(engine, "begin")
    @mark
    def listen(connection: Any) -> None:
        pass

    with Session(engine) as session:
        session.add(User(first="a", last="b"))
        session.flush()
        (user,) = session.scalars(select(User)).all()
        return user.full


@case("attr", hits={"check": 1, "later": 1, "double": 1, "convert": 1, "__attrs_post_init__": 1})
def attrs(mark: Mark) -> Any:
    """Slots and `super`, validators, converters, factories."""
    import attr

    @mark
    def convert(value: Any) -> int:
        return int(value)

    class Base:
        def double(self) -> int:
            return 1

    @attr.define
    class Point(Base):
        x: Any = attr.field(converter=convert)
        y: Any = attr.field()

        @x.validator
        @mark
        def check(self, attribute: Any, value: int) -> None:
            if value < 0:
                raise ValueError(attribute.name)

        @y.default
        @mark
        def later(self) -> int:
            return int(self.x) + 1

        @mark
        def double(self) -> int:
            return super().double() + self.y * 2

        @mark
        def __attrs_post_init__(self) -> None:
            self.y += 1

    point = Point("3")
    return attr.asdict(point), point.double()


@case("marshmallow", hits={"make": 1, "check": 1, "shown": 1})
def marshmallow(mark: Mark) -> Any:
    """Hooks and validators, which are found by their attributes."""
    from marshmallow import Schema, fields, post_load, validates

    class Room(Schema):
        wide = fields.Integer()
        text = fields.Method("shown")

        @post_load
        @mark
        def make(self, data: Any, **kwargs: Any) -> Any:
            return ("made", data)

        @validates("wide")
        @mark
        def check(self, value: int, **kwargs: Any) -> None:
            assert value > 0

        @mark
        def shown(self, room: Any) -> str:
            return f"{room['wide']} m"

    return Room().load({"wide": 3}), Room().dump({"wide": 4})


@case(hits={"__post_init__": 1, "area": 1, "made": 1, "__eq__": 1})
def dataclass(mark: Mark) -> Any:
    """Frozen, with slots."""

    @dataclasses.dataclass(slots=True, eq=False)
    class Room:
        wide: int
        parts: list[int] = dataclasses.field(default_factory=mark_as("made", mark)(lambda: [1]))

        @mark
        def __post_init__(self) -> None:
            self.wide += 1

        @property
        @mark
        def area(self) -> int:
            return self.wide * 2

        @mark
        def __eq__(self, other: object) -> bool:
            return True

    room = Room(3)
    return (
        room.area,
        dataclasses.asdict(room),
        room == 5,
        [f.name for f in dataclasses.fields(Room)],
    )


@case("wrapt", hits={"inner": 1})
def wrapt(mark: Mark) -> Any:
    """A decorator of wrapt's around it, in a class."""
    import wrapt

    @wrapt.decorator
    def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return type(instance).__name__, wrapped(*args, **kwargs)

    class Kind:
        @around
        @mark
        def inner(self, x: int) -> int:
            return x

    import inspect

    return Kind().inner(3), str(inspect.signature(Kind.inner))


@case("yaml", hits={"price": 2})
def pyyaml(mark: Mark) -> Any:
    """Functions by their names, there and back, by dumpers of one's own too."""
    import sys
    import types

    import yaml

    @mark
    def price(count: int) -> int:
        return 3 * count

    class Dumper(yaml.Dumper):
        pass

    Dumper.add_representer(
        types.FunctionType, lambda dumper, value: dumper.represent_str(value.__name__)
    )
    vars(sys.modules[__name__])["price"] = price
    price.__qualname__ = "price"
    text = yaml.dump({"one": price, "two": [price]})
    found = yaml.unsafe_load(text)
    refused = []
    try:
        yaml.safe_dump(price)
    except yaml.YAMLError as error:
        refused.append(error.args[0])
    own = yaml.dump(price, Dumper=Dumper)
    return text, found["one"] is price, found["one"](2) + price(1), own, refused


@case("ruamel.yaml", hits={})
def ruamel(mark: Mark) -> Any:
    """The same of the other library."""
    import io

    from ruamel.yaml import YAML

    @mark
    def price(count: int) -> int:
        return 3 * count

    price.__qualname__ = "price"
    written = io.StringIO()
    YAML(typ="unsafe", pure=True).dump({"one": price}, written)
    return written.getvalue()


@case("jsonpickle", hits={"price": 1})
def jsonpickle(mark: Mark) -> Any:
    """By reference, there and back."""
    import sys

    import jsonpickle

    @mark
    def price(count: int) -> int:
        return 3 * count

    vars(sys.modules[__name__])["price"] = price
    price.__qualname__ = "price"
    text = jsonpickle.encode({"one": price})
    return text, jsonpickle.decode(text)["one"](2)


@case("joblib", hits={})
def joblib_hash(mark: Mark) -> Any:
    """The key under which results are kept."""
    import joblib

    def price(count: int) -> int:
        return 3 * count

    price.__qualname__ = "price"
    vars(__import__("sys").modules[__name__])["price"] = marked = mark(price)
    return joblib.hash(marked), joblib.hash([marked, 1])


@case("decorator", hits={"price": 2, "caller": 2})
def decorator(mark: Mark) -> Any:
    """A function is made anew, of the same signature, around the marked one."""
    import inspect

    import decorator

    @mark
    def caller(function: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs) + 1

    @decorator.decorator(caller)
    @mark
    def price(count: int, *, each: int = 3) -> int:
        """Documented."""
        return each * count

    return price(2), price(1, each=5), str(inspect.signature(price)), price.__doc__


@case("toolz", hits={"price": 3, "double": 1})  # curry tries it with what it has
def toolz(mark: Mark) -> Any:
    """Curried, composed, memoized."""
    import toolz

    @toolz.curry
    @mark
    def price(count: int, each: int) -> int:
        return each * count

    @toolz.memoize
    @mark
    def double(value: int) -> int:
        return 2 * value

    doubled = toolz.compose(double, price(2))
    return (
        doubled(3),
        doubled(3),
        price.func.__name__,
        toolz.functoolz.num_required_args(price.func),
    )


@case("zope.interface", hits={"go": 1})
def zope_interface(mark: Mark) -> Any:
    """An interface that a class with a marked method is held against."""
    from zope.interface import Interface, implementer
    from zope.interface.verify import verifyClass

    class Goes(Interface):
        def go(x):  # noqa: N805 # interfaces have no self
            """Go."""

    @implementer(Goes)
    class Car:
        @mark
        def go(self, x: int) -> int:
            return x

    return verifyClass(Goes, Car), Car().go(2)
