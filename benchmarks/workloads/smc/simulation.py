"""Simulation: the plant under a controller, integrated by the classical Runge-Kutta method."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
import numpy.typing as npt

from benchmarks.workloads.smc._tracks import SIMULATION, marks
from benchmarks.workloads.smc.controllers import Controller
from benchmarks.workloads.smc.plant import FORCE_LIMIT, PLANT, STATES, Plant, State

STARTS: tuple[tuple[float, ...], ...] = (
    (0.0, 0.05, -0.03, 0.0, 0.0, 0.0),
    (0.0, 0.1, 0.05, 0.0, 0.0, 0.0),
    (0.0, 0.1, 0.1, 0.2, 0.5, 0.3),
)
"""Start states that every controller settles from."""

FALLEN = pi / 2
"""The first link's angle at which it is taken to have fallen, in rad."""


@dataclass(frozen=True)
class Trajectory:
    """What happened: n steps of `dt` seconds.

    Attributes:
        dt: in s.
        duration: how long it was to last, in s; it is shorter when a link fell.
        states: (n + 1) × 6.
        forces: on the cart during each step, of length n, in N.
        fell: whether the first link fell.
    """

    dt: float
    duration: float
    states: npt.NDArray[np.float64]
    forces: npt.NDArray[np.float64]
    fell: bool

    @property
    def time(self) -> float:
        """How long it lasted, in s."""
        return len(self.forces) * self.dt

    @property
    def final_norm(self) -> float:
        """How far from upright and at rest it ended: the norm of the last state."""
        return float(np.linalg.norm(self.states[-1]))

    @property
    def peak_force(self) -> float:
        """The largest force, in N."""
        return float(np.max(np.abs(self.forces), initial=0.0))


@marks.track(SIMULATION, "step")
def step(plant: Plant, state: State, force: float, dt: float) -> State:
    """Return the state `dt` seconds later, with the force held: one Runge-Kutta step of order 4.

    Source: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I (1993), II.1.
    """
    k1 = plant.derivative(state, force)
    k2 = plant.derivative(state + dt / 2 * k1, force)
    k3 = plant.derivative(state + dt / 2 * k2, force)
    k4 = plant.derivative(state + dt * k3, force)
    moved: State = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return moved


@marks.track(SIMULATION, "simulate", coarse=True)
def simulate(
    controller: Controller,
    start: npt.ArrayLike,
    dt: float,
    duration: float,
    plant: Plant = PLANT,
) -> Trajectory:
    """Run the plant under a controller until the time is over or the first link has fallen.

    Args:
        controller: one of its own for each simulation, made for the same `dt`.
        start: the state to begin with, of length 6.
        dt: the step, in s.
        duration: in s.
        plant: what is controlled.

    Raises:
        ValueError: the start is not a finite state, or a time is not positive.
    """
    state = _checked_start(start)
    steps = _checked_steps(dt, duration)
    states, forces = np.empty((steps + 1, STATES)), np.empty(steps)
    states[0] = state
    done = 0
    while done < steps and abs(state[1]) <= FALLEN:
        asked = controller.compute_control(state)
        force = min(max(asked, -FORCE_LIMIT), FORCE_LIMIT)
        state = step(plant, state, force, dt)
        forces[done] = force
        done += 1
        states[done] = state
    fell = not abs(float(state[1])) <= FALLEN  # true of what is no number too
    return Trajectory(dt, duration, states[: done + 1], forces[:done], fell)


def _checked_start(start: npt.ArrayLike) -> State:
    state: State = np.array(start, dtype=np.float64)
    if state.shape != (STATES,) or not np.all(np.isfinite(state)):
        raise ValueError(f"a start state is {STATES} finite numbers, not {start!r}")
    return state


def _checked_steps(dt: float, duration: float) -> int:
    if not 0 < dt <= duration < float("inf"):
        raise ValueError(
            f"a step of {dt} s and a duration of {duration} s were given; "
            "both must be positive and finite, and the step not the longer one"
        )
    return round(duration / dt)
