"""What the program does from start to end: simulations of every kind, then the tuner."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from typing import Any

from benchmarks.workloads._progress import Advance, progress_bar
from benchmarks.workloads.smc import _engines
from benchmarks.workloads.smc._tracks import marks
from benchmarks.workloads.smc.factory import FACTORY_OF_ALL
from benchmarks.workloads.smc.simulation import STARTS, simulate
from benchmarks.workloads.smc.tuner import Problem, Spread, Tuned, tune

Facts = dict[str, Any]


def run(options: Namespace) -> int:
    """Do what the options ask for and print what came of it; return the exit status.

    Raises:
        TypeError: a gain that the controller does not have.
        ValueError: an option that is out of range.
        OSError: the profile cannot be saved.
        ImportError: the engine is not installed.
    """
    if options.command == "list":
        _print_kinds()
        return 0
    with _engines.started(options.engine, options.workers, marks.profiler) as engine:
        facts = _done(options, engine.spread)
    _tell(facts, engine.results(), options)
    return 0


def _done(options: Namespace, spread: Spread | None) -> Facts:
    names = [options.controller] if options.controller else list(FACTORY_OF_ALL.list())
    for name in names:
        FACTORY_OF_ALL.info(name)
    simulating, tuning = options.command != "tune", options.command != "simulate"
    total = len(names) * (len(STARTS) * simulating + (options.iterations + 1) * tuning)
    facts: Facts = {"profiling": marks.mode, "simulations": [], "tuned": []}
    start = time.perf_counter()
    with progress_bar(total, options.quiet) as advance:
        if simulating:
            pairs = [(name, start) for name in names for start in range(len(STARTS))]
            facts["simulations"] = [_simulated(*pair, options, advance) for pair in pairs]
        if tuning:
            facts["tuned"] = [_tuned(name, options, advance, spread) for name in names]
    facts["elapsed_s"] = time.perf_counter() - start
    return facts


def _simulated(name: str, number: int, options: Namespace, advance: Advance) -> Facts:
    controller = FACTORY_OF_ALL.create(name, options.dt, **options.gains)
    trajectory = simulate(controller, STARTS[number], options.dt, options.duration)
    advance(f"simulating {name}")
    return {
        "controller": name,
        "start": number,
        "time_s": trajectory.time,
        "fell": trajectory.fell,
        "final_norm": trajectory.final_norm,
        "peak_force_N": trajectory.peak_force,
    }


def _tuned(name: str, options: Namespace, advance: Advance, spread: Spread | None) -> Facts:
    tuned: Tuned = tune(
        Problem(name),
        particles=options.particles,
        iterations=options.iterations,
        workers=options.workers,
        seed=options.seed,
        progress=lambda _, cost: advance(f"tuning {name}: {cost:.4g}"),
        spread=spread,
    )
    return {
        "controller": name,
        "gains": tuned.gains,
        "cost": tuned.cost,
        "history": list(tuned.history),
        "evaluations": tuned.evaluations,
    }


def _print_kinds() -> None:
    for name in FACTORY_OF_ALL.list():
        info = FACTORY_OF_ALL.info(name)
        gains = ", ".join(f"{gain} {of.default:g}" for gain, of in info.gains.items())
        print(f"{name}: {info.law}\n    {gains}")


def _tell(facts: Facts, profile: Any, options: Namespace) -> None:
    """Print the facts, then the profile, and save it, as far as was asked for."""
    facts["hits"] = profile.total_hits if profile is not None else 0
    if profile is not None and len(profile.processes) > 1:
        facts["workers"] = {one.worker: one.total_hits for one in profile.processes}
    print(json.dumps(facts) if options.json else _as_text(facts))
    if profile is None:
        return
    if options.save is not None:
        profile.save(options.save)
    if options.report:
        from stichotrope import print_results

        print_results(profile)


def _as_text(facts: Facts) -> str:
    lines = [
        f"{done['controller']:15} from start {done['start']}: "
        + ("fell" if done["fell"] else f"‖x‖ {done['final_norm']:.2g}")
        + f" after {done['time_s']:g} s, at most {done['peak_force_N']:.1f} N"
        for done in facts["simulations"]
    ]
    for tuned in facts["tuned"]:
        gains = ", ".join(f"{name} {value:.3g}" for name, value in tuned["gains"].items())
        cost = f"{tuned['history'][0]:.4g} → {tuned['cost']:.4g}"
        lines.append(
            f"{tuned['controller']:15} tuned, {tuned['evaluations']} simulations: "
            f"cost {cost} with {gains}"
        )
    lines.append(f"{facts['elapsed_s']:.2f} s, {facts['profiling']}, {facts['hits']:,} passes")
    return "\n".join(lines)
