"""The factory: controllers by name, and clear errors."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from benchmarks.workloads.smc.controllers import CONTROLLERS, Adaptive, Classical
from benchmarks.workloads.smc.factory import ControllerFactory

NAMES = ("classical", "super-twisting", "adaptive", "hybrid")


class Gentle(Classical):
    """A law of its own"""

    NAME = "gentle"


@pytest.fixture
def factory():
    """A factory of one's own."""
    return ControllerFactory()


def test_it_begins_with_four_kinds(factory):
    """In their own order."""
    assert factory.list() == NAMES


@pytest.mark.parametrize("kind", CONTROLLERS, ids=lambda kind: kind.NAME)
def test_it_creates_each_kind_by_name(factory, kind):
    """With the default gains, and a new one each time."""
    first, second = (factory.create(kind.NAME, 0.01) for _ in range(2))
    assert type(first) is type(second) is kind
    assert first is not second
    assert first.gains is not second.gains
    assert first.gains == {name: gain.default for name, gain in kind.GAINS.items()}


def test_given_gains_take_the_place_of_the_defaults(factory):
    """And only those."""
    assert factory.create("classical", 0.5, K=2).gains == {"K": 2, "kd": 5, "epsilon": 0.1}
    assert factory.create("classical", 0.5).dt == 0.5


def test_info_tells_law_and_gains(factory):
    """Without a way to change them."""
    info = factory.info("adaptive")
    assert (info.name, dict(info.gains)) == ("adaptive", Adaptive.GAINS)
    assert info.law.startswith("u = u_eq")
    with pytest.raises(TypeError):
        info.gains["K"] = None


@pytest.mark.parametrize("ask", ["create", "info"])
def test_an_unknown_name_is_refused(factory, ask):
    """With the names that there are."""
    arguments = ("pid", 0.01) if ask == "create" else ("pid",)
    with pytest.raises(ValueError, match="no controller is called 'pid'; there are classical, "):
        getattr(factory, ask)(*arguments)


def test_bad_gains_are_refused(factory):
    """As the controller itself refuses them."""
    with pytest.raises(TypeError, match="hybrid has no gain 'K9'"):
        factory.create("hybrid", 0.01, K9=1)
    with pytest.raises(ValueError, match=r"hybrid: gain leak is 2\.0; it must be from 0\.0 to"):
        factory.create("hybrid", 0.01, leak=2)


def test_a_registered_kind_is_made_like_the_others(factory):
    """It comes last; other factories know nothing of it."""
    factory.register("gentle", Gentle)
    assert factory.list() == (*NAMES, "gentle")
    assert type(factory.create("gentle", 0.01)) is Gentle
    assert factory.info("gentle").law == "A law of its own"
    assert ControllerFactory().list() == NAMES


def test_a_name_is_taken_over_only_on_request(factory):
    """Otherwise the first one keeps it."""
    with pytest.raises(ValueError, match="there is a controller called 'classical' already"):
        factory.register("classical", Gentle)
    assert type(factory.create("classical", 0.01)) is Classical
    factory.register("classical", Gentle, replace=True)
    assert type(factory.create("classical", 0.01)) is Gentle
    assert factory.list() == NAMES


@pytest.mark.parametrize(
    ("name", "kind", "error", "sentence"),
    [
        (3, Gentle, TypeError, "a controller's name must be a str, not 3"),
        ("", Gentle, ValueError, "a controller's name must not be empty"),
        ("x", int, TypeError, "'x' must be registered with a class of controllers, not <class 'i"),
        ("x", lambda: 0, TypeError, "'x' must be registered with a class of controllers, not <fu"),
    ],
)
def test_what_is_no_kind_is_not_registered(factory, name, kind, error, sentence):
    """The registry stays as it was."""
    with pytest.raises(error) as raised:
        factory.register(name, kind)
    assert str(raised.value).startswith(sentence)
    assert factory.list() == NAMES


def test_the_registry_is_replaced_not_changed(factory):
    """Who has taken the mapping keeps it as it was."""
    before = factory._kinds
    factory.register("gentle", Gentle)
    assert tuple(before) == NAMES
    with pytest.raises(TypeError):
        before["gentle"] = Gentle
