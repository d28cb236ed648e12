"""Fresh processes that `measure` starts: `python -m …smc._child NAME {settings}`."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from benchmarks.workloads import _marks, _overhead, _profile

# What is profiled is imported later: its functions are marked in the mode that then holds.

PACKAGE = "benchmarks.workloads.smc"
DT_S = 0.01

ENERGY_DT_S, ENERGY_S = 0.001, 5.0
SIMULATED_S = 10.0

# For the comparison of modes. Many short turns say more than few long ones, but a simulation has to
# take a millisecond or more, and threads have to be worth their start: a swarm that has some is as
# large as the smallest that finds anything.
COMPARED_S = 0.4
SWARM = {"particles": 3, "iterations": 1, "workers": 0}
POOLED_SWARM = {"particles": 10, "iterations": 5, "workers": 4}

Stored = dict[str, Any]


def held(settings: Stored) -> Stored:
    """Do what the program must do right: keep energy, settle, tune alike with any workers."""
    os.environ[_marks.VARIABLE] = _marks.BARE
    return {
        "energy": _energy(),
        "simulations": [some for dt in settings["steps_s"] for some in _simulations(dt)],
        "tuned": _tuned(settings["workers"]),
    }


def overhead(settings: Stored) -> Stored:
    """Time simulations and swarms in each mode, in one process."""
    taken, coarse = _overhead.compare(PACKAGE, "tuner", _works, settings)
    return {"ns_a_step": taken, "coarse": coarse}


def profile(settings: Stored) -> Stored:
    """Simulate from every start state and let a swarm look, with all marks; return the profile.

    The swarm has no threads: who waits for them would have that in the own time of its block.
    """
    os.environ[_marks.VARIABLE] = _marks.INSTRUMENTED
    from benchmarks.workloads.smc._tracks import marks
    from benchmarks.workloads.smc.tuner import Problem, tune

    steps = len(_simulations(DT_S)) * round(SIMULATED_S / DT_S)
    tuned = tune(Problem("hybrid", dt=DT_S), workers=0, seed=settings["seed"])
    steps += tuned.evaluations * round(Problem.duration / DT_S)
    return {"steps": steps, "blocks": _profile.blocks(marks.profiler.get_results())}


def _works(tuner: Any) -> dict[str, _overhead.Work]:
    names, steps = tuner.FACTORY_OF_ALL.list(), round(COMPARED_S / DT_S)

    def simulate() -> None:
        for name in names:
            controller = tuner.FACTORY_OF_ALL.create(name, DT_S)
            tuner.simulate(controller, tuner.STARTS[2], DT_S, COMPARED_S)

    simulating = _overhead.Work(_overhead.timed(simulate), 1, len(names) * steps)
    return {
        "simulating": simulating,
        "tuning": _swarm(tuner, **SWARM),
        "tuning on threads": _swarm(tuner, **POOLED_SWARM),
    }


def _swarm(tuner: Any, particles: int, iterations: int, workers: int) -> _overhead.Work:
    problem = tuner.Problem("super-twisting", dt=DT_S, duration=COMPARED_S)
    settings = {"particles": particles, "iterations": iterations, "workers": workers}
    # What threads of its own do is the swarm's work: then the time of all of them counts.
    timer = time.process_time_ns if workers else None
    loop = _overhead.timed(lambda: tuner.tune(problem, **settings), timer)
    return _overhead.Work(loop, 1, particles * (iterations + 1) * round(COMPARED_S / DT_S))


def _energy() -> Stored:
    """Let the plant swing without friction and force; return how far its energy strays."""
    import numpy as np

    from benchmarks.workloads.smc.plant import PLANT
    from benchmarks.workloads.smc.simulation import STARTS, step

    free, state = PLANT.without_friction(), np.array(STARTS[0])
    first = free.energy(state)
    drift = 0.0
    for _ in range(round(ENERGY_S / ENERGY_DT_S)):
        state = step(free, state, 0.0, ENERGY_DT_S)
        drift = max(drift, abs(free.energy(state) / first - 1))
    return {"dt_s": ENERGY_DT_S, "duration_s": ENERGY_S, "drift": drift}


def _simulations(dt: float) -> list[Stored]:
    from benchmarks.workloads.smc.factory import FACTORY_OF_ALL
    from benchmarks.workloads.smc.simulation import STARTS, simulate

    found = []
    for name in FACTORY_OF_ALL.list():
        for number, start in enumerate(STARTS):
            controller = FACTORY_OF_ALL.create(name, dt)
            trajectory = simulate(controller, start, dt, SIMULATED_S)
            found.append(
                {
                    "controller": name,
                    "start": number,
                    "dt_s": dt,
                    "fell": trajectory.fell,
                    "final_norm": trajectory.final_norm,
                    "peak_force_N": trajectory.peak_force,
                }
            )
    return found


def _tuned(workers: list[int]) -> list[Stored]:
    from benchmarks.workloads.smc.tuner import Problem, tune

    found = []
    for number in workers:
        tuned = tune(Problem("hybrid"), particles=10, iterations=5, workers=number, seed=1)
        costs = {"first": tuned.history[0], "last": tuned.cost}
        found.append({"workers": number, "gains": tuned.gains, "costs": costs})
    return found


CHILDREN = {"held": held, "overhead": overhead, "profile": profile}

if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](json.loads(sys.argv[2]))))
