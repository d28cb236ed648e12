"""The tuner: a swarm of particles looks for the gains with which a controller costs least.

All that is random is drawn on one thread in one order, and a particle's fitness depends on its
place alone; so the result is the same with any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.workloads.smc._tracks import TUNER, marks
from benchmarks.workloads.smc.controllers import SURFACE
from benchmarks.workloads.smc.factory import FACTORY_OF_ALL, ControllerFactory
from benchmarks.workloads.smc.simulation import STARTS, Trajectory, simulate

INERTIA_WEIGHT = 0.7
ATTRACTION = 2.0
"""Towards a particle's own best place, and as much towards the swarm's."""

EFFORT_WEIGHT, RATE_WEIGHT, SURFACE_WEIGHT = 0.1, 0.01, 0.1
FALL_COST = 1000.0

_GENERATION = marks.block(TUNER, "generation", coarse=True)
_FITNESS = marks.block(TUNER, "fitness", coarse=True)

Places: TypeAlias = npt.NDArray[np.float64]
Costs: TypeAlias = npt.NDArray[np.float64]
Progress = Callable[[int, float], None]
Spread = Callable[[Callable[..., float], list[tuple[Any, ...]]], Iterable[float]]
"""Calls a function of a module with each of several tuples of arguments, anywhere, in order."""


@dataclass(frozen=True)
class Tuned:
    """What the swarm found.

    Attributes:
        controller: the name of its kind.
        gains: the best, by name.
        cost: what they cost.
        history: the least cost so far, after each generation; the first is that of the start.
        evaluations: how many particles were simulated.
    """

    controller: str
    gains: dict[str, float]
    cost: float
    history: tuple[float, ...]
    evaluations: int


@dataclass(frozen=True)
class Problem:
    """What is tuned, and how a particle is judged: by one simulation from one start."""

    controller: str
    start: tuple[float, ...] = STARTS[2]
    dt: float = 0.01
    duration: float = 1.0
    factory: ControllerFactory = FACTORY_OF_ALL

    def tuned_gains(self) -> dict[str, tuple[float, float]]:
        """Return the bounds of each gain that may change, by name.

        Raises:
            ValueError: there is no such controller.
        """
        gains = self.factory.info(self.controller).gains
        return {name: (gain.least, gain.most) for name, gain in gains.items() if gain.tuned}

    def fitness(self, gains: dict[str, float]) -> float:
        """Return what these gains cost; lower is fitter."""
        with _FITNESS:
            controller = self.factory.create(self.controller, self.dt, **gains)
            return cost(simulate(controller, self.start, self.dt, self.duration))


def fitness_elsewhere(
    controller: str, start: tuple[float, ...], dt: float, duration: float, gains: dict[str, float]
) -> float:
    """Return what gains cost, in a process that may be another one: all of it can be sent."""
    return Problem(controller, start, dt, duration).fitness(gains)


@marks.track(TUNER, "cost")
def cost(trajectory: Trajectory) -> float:
    """Return what a trajectory costs.

    The integral of the squared state, and with their weights those of the squared force, of its
    squared rate of change and of σ²; a fall costs more the earlier it comes.
    """
    dt, states, forces = trajectory.dt, trajectory.states[1:], trajectory.forces
    squares = float(np.sum(states**2))
    effort = float(np.sum(forces**2))
    rate = float(np.sum((np.diff(forces) / dt) ** 2))
    off_surface = float(np.sum((states @ SURFACE) ** 2))
    whole = squares + EFFORT_WEIGHT * effort + RATE_WEIGHT * rate + SURFACE_WEIGHT * off_surface
    fall = FALL_COST * (1 - trajectory.time / trajectory.duration) if trajectory.fell else 0.0
    return whole * dt + fall


class Swarm:
    """The particles: where they are, where they are going, and the best that each has seen."""

    def __init__(self, bounds: Iterable[tuple[float, float]], particles: int, seed: int) -> None:
        """Scatter the particles evenly between the bounds of each dimension, at rest."""
        self._random = np.random.default_rng(seed)
        least, most = np.array(list(bounds), dtype=np.float64).T
        self.least, self.most = least, most
        self.places: Places = self._random.uniform(least, most, (particles, len(least)))
        self.velocities: Places = np.zeros_like(self.places)
        self.best_places = self.places.copy()
        self.best_costs: Costs = np.full(particles, np.inf)

    @property
    def best(self) -> int:
        """The particle that has seen the best of all; of equals the first."""
        return int(np.argmin(self.best_costs))

    def learn(self, costs: Costs) -> None:
        """Take note of what the particles cost where they are."""
        better = costs < self.best_costs
        self.best_costs[better] = costs[better]
        self.best_places[better] = self.places[better]

    @marks.track(TUNER, "move")
    def move(self) -> None:
        """Let each particle move on, drawn to its own best place and to that of all; walls stop it.

        Source: Shi, Eberhart, A modified particle swarm optimizer (1998).
        """
        own, shared = self._random.random((2, *self.places.shape))
        pull = own * (self.best_places - self.places)
        pull += shared * (self.best_places[self.best] - self.places)
        self.velocities = INERTIA_WEIGHT * self.velocities + ATTRACTION * pull
        wanted = self.places + self.velocities
        self.places = np.clip(wanted, self.least, self.most)
        self.velocities[wanted != self.places] = 0.0


@marks.track(TUNER, "tune", coarse=True)
def tune(
    problem: Problem,
    *,
    particles: int = 15,
    iterations: int = 8,
    workers: int = 4,
    seed: int = 1,
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> Tuned:
    """Look for the gains that cost least.

    Args:
        problem: what is tuned.
        particles: how many look.
        iterations: how often they move.
        workers: threads that evaluate them; 0 evaluates on the calling thread.
        seed: of all that is drawn.
        progress: is told the generation and its least cost, on the calling thread.
        spread: evaluates them elsewhere, in place of threads.

    Raises:
        ValueError: there is no such controller, a number is out of range, or the factory is one
            that is not known elsewhere.
    """
    _check_numbers(particles=particles, iterations=iterations)
    if spread is not None and problem.factory is not FACTORY_OF_ALL:
        raise ValueError("only the factory of all is known in other processes")
    if workers < 0:
        raise ValueError(f"workers is {workers}; it must be 0 or more")
    bounds = problem.tuned_gains()
    swarm = Swarm(bounds.values(), particles, seed)
    history = []
    with _Evaluator(problem, tuple(bounds), 0 if spread else workers, spread) as evaluator:
        for generation in range(iterations + 1):
            with _GENERATION:
                if generation:
                    swarm.move()
                swarm.learn(evaluator.costs(swarm.places))
            history.append(float(swarm.best_costs[swarm.best]))
            if progress is not None:
                progress(generation, history[-1])
    gains = dict(zip(bounds, swarm.best_places[swarm.best].tolist(), strict=True))
    evaluations = particles * (iterations + 1)
    return Tuned(problem.controller, gains, history[-1], tuple(history), evaluations)


class _Evaluator:
    """Evaluates all particles: on threads of its own, on the caller's, or elsewhere."""

    def __init__(
        self, problem: Problem, names: tuple[str, ...], workers: int, spread: Spread | None
    ) -> None:
        self._problem, self._names, self._spread = problem, names, spread
        self._pool = ThreadPoolExecutor(workers, "particle") if workers else None

    def __enter__(self) -> _Evaluator:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def costs(self, places: Places) -> Costs:
        """Return what each particle costs, in their order."""
        gains = [dict(zip(self._names, place, strict=True)) for place in places.tolist()]
        return np.fromiter(self._run(gains), np.float64, len(places))

    def _run(self, gains: list[dict[str, float]]) -> Iterable[float]:
        problem = self._problem
        if self._spread is not None:
            same = (problem.controller, problem.start, problem.dt, problem.duration)
            return self._spread(fitness_elsewhere, [(*same, each) for each in gains])
        run = map if self._pool is None else self._pool.map
        return run(problem.fitness, gains)


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} is {number}; it must be 1 or more")
