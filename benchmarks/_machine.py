"""Describes the machine and the interpreter a run was made on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

from benchmarks.floors.build import OPTIMISE, compiler_version

ROOT = Path(__file__).resolve().parents[1]

# Of what pyperf collects, all but the host's name and what can hold paths.
PYPERF_METADATA = (
    *("perf_version", "date", "platform", "aslr", "boot_time", "uptime"),
    *("load_avg_1min", "runnable_threads", "mem_max_rss"),
    *("cpu_model_name", "cpu_machine", "cpu_count", "cpu_affinity"),
    *("cpu_freq", "cpu_config", "cpu_temp"),
    *("python_implementation", "python_version", "python_compiler"),
    *("python_hash_seed", "python_gc", "timer"),
)


def describe() -> dict[str, Any]:
    """Return what a reader needs to judge the figures; no path and no host name."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "architecture": platform.machine(),
        "virtual": "hypervisor" in _read("/proc/cpuinfo"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        "system": platform.system(),
        "kernel": platform.release(),
        "kernel_clock": _read(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        ).strip()
        or None,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "build": list(platform.python_build()),
        "compiler": platform.python_compiler(),
        "optimised": "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "lto": "--with-lto" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
        "gil": gil_enabled(),
        "wall_clock": time.get_clock_info("perf_counter").implementation,
        "floors_compiler": f"{compiler_version()} {OPTIMISE}",
        "git": _revision(),
        "load_average": load_average(),
        "pyperf": pyperf_metadata(),
    }


def pyperf_metadata() -> dict[str, Any] | None:
    """Return what pyperf collects of the machine and the process; None where it is not installed.

    Source: https://pyperf.readthedocs.io/en/latest/api.html#metadata
    """
    try:
        import pyperf
    except ImportError:
        return None
    told = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    return {name: told[name] for name in PYPERF_METADATA if name in told}


def load_average() -> list[float] | None:
    """Return the load of the last 1, 5 and 15 minutes, where the system tells."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


def gil_enabled() -> bool:
    """Return whether this process has a GIL now."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _read(path: str) -> str:
    """Return a small system file, or "" where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.lower().startswith("model name"):
            return line.partition(":")[2].strip()
    return _said("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or "unknown"


def _revision() -> dict[str, Any]:
    """Return the commit measured, and whether the tree differs from it."""
    changed = _said("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "HEAD") or None,
        "modified": bool(changed),
    }


def _said(*command: str) -> str:
    """Return what a command prints, or "" when it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
