"""Plays one scenario in this process for the test that started it, and ends it, all stacks shown, when it hangs."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import sys
import time
from typing import Any

from stichotrope import Profiler, _core, profiler, set_global_enabled
from stichotrope.config import clock as clocks


def play(path: str, limit: float, interval: float, rounds: int, arguments: dict[str, Any]) -> None:
    """Play a scenario, and print a line of JSON for each round.

    :param path: "module:function"; what the function returns are the facts, a dictionary.
    :param limit: the seconds after which a round is taken to hang.
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
        facts = scenario(**arguments)
        clocks.choose()
        set_global_enabled(True)
        left = left_behind(before)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"facts": facts, "left": left}), flush=True)


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
