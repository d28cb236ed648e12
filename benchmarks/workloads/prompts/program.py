"""What the program does from start to end, for each of its commands."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.workloads._progress import Advance, progress_bar
from benchmarks.workloads.prompts._tracks import GENERATE, marks
from benchmarks.workloads.prompts.documents import PlanError
from benchmarks.workloads.prompts.generate import PromptGenerator, Statistics, Way

# Imported where they are needed: a single prompt needs none of trees, traces and measurements.

Facts = dict[str, Any]


def run(options: Namespace) -> int:
    """Do what the options ask for and print what came of it; return the exit status.

    Raises:
        ValueError: an option that is out of range, or a tree or plan that cannot be used.
        OSError: a file cannot be read or written.
    """
    facts = _DO[options.command](options)
    _tell(facts, options)
    return 0


def _prompt(options: Namespace) -> Facts:
    prompt = _generator(options, options.tree).generate(options.feature)
    return prompt._asdict()


def _list(options: Namespace) -> Facts:
    generator = _generator(options, options.tree)
    plans = []
    for feature in _features(options, generator):
        try:
            plans.append(list(generator.generate(feature)[:3]))
        except PlanError as error:
            plans.append([feature, "refused", str(error)])
    return {"plans": plans}


def _tree(options: Namespace) -> Facts:
    from benchmarks.workloads.prompts.tree import make_tree

    with progress_bar(options.plans, options.quiet) as advance:
        made = make_tree(options.tree, options.plans, options.seed, advance)
    return {"plans": [list(plan) for plan in made]}


def _run(options: Namespace) -> Facts:
    """Make each prompt twice: with empty caches, and then with what is in them."""
    if options.workers < 0:
        raise ValueError(f"workers is {options.workers}; it must be 0 or more")
    with _some_tree(options) as root:
        generator = _generator(options, root)
        features = _features(options, generator)
        elapsed_s = {}
        with progress_bar(2 * len(features), options.quiet) as advance:
            for caches in ("cold", "warm"):
                start = time.perf_counter()
                make_all(generator, features, options.workers, advance)
                elapsed_s[caches] = time.perf_counter() - start
    return {**_told(generator.statistics()), "elapsed_s": elapsed_s}


@marks.track(GENERATE, "all prompts", coarse=True)
def make_all(
    generator: PromptGenerator, features: list[str], workers: int, advance: Advance
) -> None:
    """Make the prompts of all these plans.

    :param generator: makes them.
    :param features: names of the plans; one that is refused is counted as such.
    :param workers: threads that ask; 0 asks on the calling one.
    :param advance: is told of each.
    """

    def make(feature: str) -> None:
        with suppress(PlanError):  # it is counted as refused
            generator.generate(feature)
        advance(feature)

    if not workers:
        for feature in features:
            make(feature)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers, "prompt") as pool:
        for _ in pool.map(make, features):
            pass


def _trace(options: Namespace) -> Facts:
    from benchmarks.workloads.prompts.trace import make_trace, play

    if options.tree is not None:
        raise ValueError("a trace changes its tree, and makes one of its own: leave --tree out")
    with _some_tree(options) as root:
        features = PromptGenerator(root).features()
        trace = make_trace(features, options.requests, options.seed)
        with progress_bar(len(trace), options.quiet) as advance:
            played = play(
                root,
                trace,
                options.seed,
                _way(options),
                progress=advance,
            )
    return {
        **_told(played.statistics),
        "edits": played.edits,
        "whole_hits": played.whole_hits,
        "duration_s": played.duration_s,
    }


_DO = {"prompt": _prompt, "list": _list, "tree": _tree, "run": _run, "trace": _trace}


def _generator(options: Namespace, root: Path) -> PromptGenerator:
    return PromptGenerator(root, way=_way(options), metrics=own_metrics())


def own_metrics() -> Any:
    """Return what counts prompts, in a registry; None in a bare program."""
    if marks.profiler is None:
        return None
    from benchmarks.workloads.prompts.metrics import PromptMetrics
    from stichotrope.metrics import MetricRegistry

    return PromptMetrics(MetricRegistry())


def _way(options: Namespace) -> Way:
    return Way(not options.resolve_each_time, not options.match_each_line)


def _features(options: Namespace, generator: PromptGenerator) -> list[str]:
    return [options.feature] if options.feature else generator.features()


@contextmanager
def _some_tree(options: Namespace) -> Iterator[Path]:
    """Give the tree that was named, or a new one that is removed afterwards."""
    if options.tree is not None:
        yield options.tree
        return
    import tempfile

    from benchmarks.workloads.prompts.tree import make_tree

    with tempfile.TemporaryDirectory(prefix="plans-") as scratch:
        root = Path(scratch, "plans")
        make_tree(root, options.plans, options.seed)
        yield root


def _told(statistics: Statistics) -> Facts:
    """Return a generator's statistics, fit for JSON."""
    return {
        "prompts": statistics.prompts,
        "prompts_ns": statistics.elapsed_ns,
        "hit_rate": statistics.hit_rate,
        "caches": {name: cache._asdict() for name, cache in statistics.caches.items()},
    }


def _tell(facts: Facts, options: Namespace) -> None:
    """Print the facts, then the profile, and save it, as far as was asked for."""
    profiler = marks.profiler
    facts["profiling"] = marks.mode
    facts["hits"] = profiler.get_results().total_hits if profiler is not None else 0
    print(json.dumps(facts, ensure_ascii=False) if options.json else _as_text(facts))
    if profiler is None:
        return
    if options.save is not None:
        profiler.get_results().save(options.save)
    if options.report:
        profiler.print_results()


def _as_text(facts: Facts) -> str:
    if "text" in facts:
        return str(facts["text"]).rstrip("\n")
    if "plans" in facts:
        return "\n".join(
            f"{feature:24} {state:22} {number or ''}" for feature, state, number in facts["plans"]
        )
    lines = [f"{outcome:22} {count:6}" for outcome, count in facts["prompts"].items() if count]
    for name, cache in facts["caches"].items():
        lines.append(
            f"{name}: {cache['hits']} hits, {cache['misses']} misses, {cache['joined']} joined, "
            f"{cache['kept']} of {cache['limit']} kept"
        )
    lines.append(f"hit rate {facts['hit_rate']:.1%}")
    made = sum(facts["prompts"].values())
    if "elapsed_s" in facts:
        cold, warm = (seconds / (made // 2) * 1e3 for seconds in facts["elapsed_s"].values())
        lines.append(f"{cold:.3f} ms a prompt with empty caches, {warm:.3f} ms again")
    else:
        lines.append(
            f"{facts['edits']} changes, {facts['whole_hits']} of {made} prompts from caches alone, "
            f"in {facts['duration_s'] / 3600:.1f} hours, simulated"
        )
    lines.append(f"{facts['profiling']}, {facts['hits']:,} passes")
    return "\n".join(lines)
