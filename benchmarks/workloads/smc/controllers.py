"""Four controllers that slide the plant's state down one surface, each with a state of its own."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, sqrt, tanh
from typing import ClassVar, NamedTuple

import numpy as np

from benchmarks.workloads.smc._tracks import CONTROL, marks
from benchmarks.workloads.smc.plant import State

SURFACE = np.array([0.5101, -11.7017, 18.0753, 0.8614, -0.309, 2.5789])
"""σ = SURFACE · x; the plant is stable on σ = 0."""

EQUIVALENT = np.array([0.0, -132.625, 122.927, 0.31, -11.026, 15.848])
"""−EQUIVALENT · x is the force that keeps σ where it is, for small angles."""


class Gain(NamedTuple):
    """One gain: what it is unless given, its bounds, and whether the tuner may change it."""

    default: float
    least: float
    most: float
    tuned: bool = False

    def check(self, name: str, owner: str, value: object) -> float:
        """Return a value for this gain.

        Raises:
            TypeError: it is not a number.
            ValueError: it is not finite, or out of bounds.
        """
        # NumPy's numbers are none of Python's, but know how to become one.
        if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
            raise TypeError(f"{owner}: gain {name} must be a number, not {value!r}")
        number = float(value)
        if not isfinite(number) or not self.least <= number <= self.most:
            raise ValueError(
                f"{owner}: gain {name} is {number}; it must be from {self.least} to {self.most}"
            )
        return number


def _switching(default: float, tuned: bool = True) -> Gain:
    return Gain(default, 0.1, 50.0, tuned)


class Controller:
    """What all controllers are: for each state a force, which holds σ and drives it to 0.

    `GAINS` are a class's gains by name. The boundary layer ε is where the switching is smooth: it
    must be wide enough for the step, or the force chatters and the state never comes to rest.
    """

    NAME: ClassVar[str]
    GAINS: ClassVar[Mapping[str, Gain]]

    def __init__(self, dt: float, gains: Mapping[str, object] | None = None) -> None:
        """Take the gains given, and the defaults of all others.

        Args:
            dt: how long passes from one force to the next, in s.
            gains: by name.

        Raises:
            TypeError: a gain that there is none of, or that is not a number.
            ValueError: a gain or a step that is out of bounds.
        """
        if not (isfinite(dt) and dt > 0):
            raise ValueError(f"{self.NAME}: the step is {dt} s; it must be positive and finite")
        given = dict(gains or {})
        unknown = sorted(set(given) - set(self.GAINS))
        if unknown:
            raise TypeError(
                f"{self.NAME} has no gain {', '.join(map(repr, unknown))}; "
                f"it has {', '.join(self.GAINS)}"
            )
        self.dt = dt
        self.gains = {
            name: gain.check(name, self.NAME, given.get(name, gain.default))
            for name, gain in self.GAINS.items()
        }
        self.reset()

    def reset(self) -> None:
        """Forget what was learnt: be as just made."""

    @marks.track(CONTROL, "compute_control")
    def compute_control(self, state: State) -> float:
        """Return the force for a state, in N; the internal state moves on by one step."""
        sigma = float(SURFACE @ state)
        return self._drive(sigma) - float(EQUIVALENT @ state)

    def _drive(self, sigma: float) -> float:
        raise NotImplementedError(f"{type(self).__name__} says nothing about how it drives σ to 0")


class Classical(Controller):
    """u = u_eq − K sat(σ/ε) − kd σ"""

    NAME = "classical"
    GAINS: ClassVar[Mapping[str, Gain]] = {
        "K": _switching(10.0),
        "kd": _switching(5.0),
        "epsilon": Gain(0.1, 1e-4, 10.0),
    }

    @marks.track(CONTROL, "classical")
    def _drive(self, sigma: float) -> float:
        gains = self.gains
        return -gains["K"] * tanh(sigma / gains["epsilon"]) - gains["kd"] * sigma


class SuperTwisting(Controller):
    """u = u_eq − K1 √|σ| sat(σ/ε) + z − d σ, ż = −K2 sat(σ/ε)"""

    NAME = "super-twisting"
    GAINS: ClassVar[Mapping[str, Gain]] = {
        "K1": _switching(8.0),
        "K2": _switching(4.0),
        "d": _switching(3.0),
        "epsilon": Gain(0.05, 1e-4, 10.0),
    }

    def reset(self) -> None:
        """Empty the integrator."""
        self.z = 0.0

    @marks.track(CONTROL, "super-twisting")
    def _drive(self, sigma: float) -> float:
        return self._twist(sigma, self.gains["K1"], self.gains["K2"])

    def _twist(self, sigma: float, k1: float, k2: float) -> float:
        sat = tanh(sigma / self.gains["epsilon"])
        force = -k1 * sqrt(abs(sigma)) * sat + self.z - self.gains["d"] * sigma
        self.z -= k2 * sat * self.dt
        return force


class Adaptive(Controller):
    """u = u_eq − K sat(σ/ε) − α σ, K̇ = γ |σ| outside a dead zone"""

    NAME = "adaptive"
    GAINS: ClassVar[Mapping[str, Gain]] = {
        "K": Gain(10.0, 0.1, 100.0),
        "alpha": _switching(5.0),
        "gamma": _switching(4.0),
        "epsilon": Gain(0.1, 1e-4, 10.0),
        "dead_zone": Gain(0.05, 0.0, 1.0),
    }

    def reset(self) -> None:
        """Go back to the gain that it began with."""
        self.k = self.gains["K"]

    @marks.track(CONTROL, "adaptive")
    def _drive(self, sigma: float) -> float:
        gains = self.gains
        force = -self.k * tanh(sigma / gains["epsilon"]) - gains["alpha"] * sigma
        if abs(sigma) > gains["dead_zone"]:
            self.k = self._bounded(self.k + gains["gamma"] * abs(sigma) * self.dt)
        return force

    def _bounded(self, gain: float) -> float:
        _, least, most, _ = self.GAINS["K"]
        return min(max(gain, least), most)


class HybridAdaptive(SuperTwisting):
    """The super-twisting law whose gains grow outside a dead zone, at a limited rate, and leak."""

    NAME = "hybrid"
    GAINS: ClassVar[Mapping[str, Gain]] = {
        "K1": _switching(4.0),
        "K2": _switching(0.4),
        "d": _switching(3.0),
        "gamma1": _switching(4.0),
        "gamma2": _switching(2.0),
        "leak": Gain(0.02, 0.0, 1.0),
        "rate": Gain(2.0, 0.0, 100.0),
        "epsilon": Gain(0.05, 1e-4, 10.0),
        "dead_zone": Gain(0.05, 0.0, 1.0),
    }

    def reset(self) -> None:
        """Empty the integrator, and go back to the gains that it began with."""
        super().reset()
        self.k1, self.k2 = self.gains["K1"], self.gains["K2"]

    @marks.track(CONTROL, "hybrid")
    def _drive(self, sigma: float) -> float:
        force = self._twist(sigma, self.k1, self.k2)
        self.k1 = self._adapted("K1", self.k1, self.gains["gamma1"], sigma)
        self.k2 = self._adapted("K2", self.k2, self.gains["gamma2"], sigma)
        return force

    def _adapted(self, name: str, gain: float, gamma: float, sigma: float) -> float:
        gains = self.gains
        growth = gamma * abs(sigma) if abs(sigma) > gains["dead_zone"] else 0.0
        rate = min(max(growth - gains["leak"] * gain, -gains["rate"]), gains["rate"])
        _, least, most, _ = self.GAINS[name]
        return min(max(gain + rate * self.dt, least), most)


CONTROLLERS: tuple[type[Controller], ...] = (Classical, SuperTwisting, Adaptive, HybridAdaptive)
