"""The plant: a cart with two pendulum links on it, as M(q) q̈ + C(q, q̇) q̇ + G(q) = [u, 0, 0].

The state is [x, θ1, θ2, ẋ, θ̇1, θ̇2] in SI units; angles are absolute, and 0 is upright.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import cos, sin
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.workloads.smc._tracks import DYNAMICS, marks

State: TypeAlias = npt.NDArray[np.float64]
Matrix: TypeAlias = npt.NDArray[np.float64]

STATES = 6
FORCE_LIMIT = 150.0
"""The largest force on the cart, in N."""


@dataclass(frozen=True)
class Plant:
    """The plant's constants, in SI units, and its equations of motion.

    The first of each three belongs to the cart, the others to the links: masses, then for each link
    its length, the distance of its centre of mass from its joint and its moment of inertia.
    Friction is viscous: of the cart's wheels and of both joints.
    """

    masses: tuple[float, float, float] = (1.5, 0.2, 0.15)
    lengths: tuple[float, float] = (0.4, 0.3)
    centres: tuple[float, float] = (0.2, 0.15)
    inertias: tuple[float, float] = (0.0081, 0.0034)
    gravity: float = 9.81
    friction: tuple[float, float, float] = (0.2, 0.005, 0.004)

    def __post_init__(self) -> None:
        positive = (*self.masses, *self.lengths, *self.centres, *self.inertias, self.gravity)
        if min(positive) <= 0 or min(self.friction) < 0:
            raise ValueError(f"{self}: friction must not be negative, all else must be positive")

    def without_friction(self) -> Plant:
        """Return the same plant in which nothing rubs."""
        return replace(self, friction=(0.0, 0.0, 0.0))

    @cached_property
    def moments(self) -> tuple[float, float]:
        """What couples each link to what carries it, in kg m: a and b of the equations."""
        _, m1, m2 = self.masses
        return m1 * self.centres[0] + m2 * self.lengths[0], m2 * self.centres[1]

    @cached_property
    def _constant_inertias(self) -> tuple[float, float, float]:
        m0, m1, m2 = self.masses
        (l1, _), (c1, c2), (i1, i2) = self.lengths, self.centres, self.inertias
        return m0 + m1 + m2, m1 * c1**2 + m2 * l1**2 + i1, m2 * c2**2 + i2

    def mass_matrix(self, state: State) -> Matrix:
        """Return M(q), 3 × 3, symmetric and positive definite."""
        a, b = self.moments
        m11, m22, m33 = self._constant_inertias
        theta1, theta2 = float(state[1]), float(state[2])
        m12, m13 = a * cos(theta1), b * cos(theta2)
        m23 = b * self.lengths[0] * cos(theta1 - theta2)
        return np.array([[m11, m12, m13], [m12, m22, m23], [m13, m23, m33]])

    def velocity_matrix(self, state: State) -> Matrix:
        """Return C(q, q̇), 3 × 3: what turning does to what is coupled, friction on the diagonal."""
        a, b = self.moments
        theta1, theta2, omega1, omega2 = (float(state[i]) for i in (1, 2, 4, 5))
        coupling = b * self.lengths[0] * sin(theta1 - theta2)
        cart, joint1, joint2 = self.friction
        return np.array(
            [
                [cart, -a * sin(theta1) * omega1, -b * sin(theta2) * omega2],
                [0.0, joint1, coupling * omega2],
                [0.0, -coupling * omega1, joint2],
            ]
        )

    def gravity_vector(self, state: State) -> Matrix:
        """Return G(q), of length 3."""
        a, b = self.moments
        g = self.gravity
        return np.array([0.0, -a * g * sin(float(state[1])), -b * g * sin(float(state[2]))])

    @marks.track(DYNAMICS, "derivative")
    def derivative(self, state: State, force: float) -> State:
        """Return the state's derivative by time.

        Args:
            state: of length 6.
            force: on the cart, in N.
        """
        velocities = state[3:]
        load = -self.velocity_matrix(state) @ velocities - self.gravity_vector(state)
        load[0] += force
        accelerations = np.linalg.solve(self.mass_matrix(state), load)
        return np.concatenate((velocities, accelerations))

    @marks.track(DYNAMICS, "energy")
    def energy(self, state: State) -> float:
        """Return the total energy, in J; potential energy counts from the cart's height."""
        a, b = self.moments
        velocities = state[3:]
        kinetic = 0.5 * float(velocities @ self.mass_matrix(state) @ velocities)
        height = a * cos(float(state[1])) + b * cos(float(state[2]))
        return kinetic + self.gravity * height


PLANT = Plant()
