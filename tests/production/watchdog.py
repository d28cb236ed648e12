"""Plays one scenario in this process for the test that started it, and ends it, all stacks shown, when it hangs."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import sys
import time
from typing import Any

from stichotrope import Profiler, _clock, _core, profiler, set_global_enabled


class Stopwatch:
    """From the first start to the last stop, of any thread: seconds, and those on a processor."""

    def __init__(self) -> None:
        self._began: list[tuple[float, float]] = []
        self.took = (0.0, 0.0)

    def start(self) -> None:
        """The first one counts."""
        if not self._began:
            self._began.append((time.perf_counter(), time.process_time()))

    def stop(self) -> None:
        """The last one counts."""
        elapsed, processor = self._began[0]
        self.took = (time.perf_counter() - elapsed, time.process_time() - processor)


def play(path: str, limit: float, interval: float, rounds: int, arguments: dict[str, Any]) -> None:
    """Play a scenario, and print a line of JSON for each round.

    :param path: "module:function"; what the function returns are the facts, a
        dictionary. Its "stopwatch", the `took` of one, is what a limit is meant for; else that is for all.
    :param limit: how long a round may take, in seconds.
    :param interval: how often threads take turns, in seconds.
    :param rounds: how often to play it.
    :param arguments: what the function is called with.
    """
    module, _, name = path.partition(":")
    scenario = getattr(importlib.import_module(module), name)
    _core.measure_pass(1, 1)  # makes this thread known, which is no leak of the scenario's
    before = _core.memory()
    sys.setswitchinterval(interval)
    for _ in range(rounds):
        # A thread of C that needs no lock of the interpreter: it also ends who hangs with that held.
        faulthandler.dump_traceback_later(limit, exit=True)
        watch = Stopwatch()
        watch.start()
        facts = scenario(**arguments)
        watch.stop()
        took = facts.pop("stopwatch", watch.took)
        _clock.choose()
        set_global_enabled(True)
        left = left_behind(before)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"facts": facts, "took": took, "left": left}), flush=True)


def left_behind(before: dict[str, int]) -> dict[str, int]:
    """What of the profilers of a scenario is still there, now that nobody refers to them."""
    gc.collect()
    Profiler("next")  # when one is made, the call sites of those that are gone are forgotten
    while _core.memory()["threads"] > before["threads"]:
        time.sleep(0.001)  # a joined thread may still be on its way out
    after = _core.memory()
    return {
        "profilers": len(profiler._PROFILER_REGISTRY),
        "call sites": len(profiler._CALL_SITE_CACHE),
        "stores": after["stores"] - before["stores"],
        "buffers": after["buffers"] - before["buffers"],
    }
