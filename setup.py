"""The compiled core and its three build switches. Everything else is in pyproject.toml.

STICHOTROPE_SANITIZE=thread|address|undefined[,...]   with the compiler's sanitizers
STICHOTROPE_COVERAGE=1                                counting lines, for tools/core_coverage.py
STICHOTROPE_DEBUG=1                                   unoptimised, with symbols and assertions
"""

import os
import sys
from glob import glob

from setuptools import Extension, setup

SANITIZERS = ("address", "thread", "undefined")


def switch(name: str) -> bool:
    """Whether an on/off switch is on; anything but 0, 1 or nothing is refused."""
    value = os.environ.get(name, "")
    if value not in ("", "0", "1"):
        sys.exit(f"{name} is {value!r}; it must be 1 (on), or 0 or empty (off)")
    return value == "1"


def sanitizers() -> list[str]:
    """The sanitizers asked for, each of them known."""
    chosen = [word for word in os.environ.get("STICHOTROPE_SANITIZE", "").split(",") if word]
    unknown = [word for word in chosen if word not in SANITIZERS]
    if unknown:
        known = ", ".join(SANITIZERS)
        sys.exit(f"STICHOTROPE_SANITIZE names {', '.join(unknown)}; the known ones are {known}")
    return chosen


def core() -> Extension:
    """The extension module, with the flags that the platform and the switches call for."""
    sanitize = sanitizers()
    coverage = switch("STICHOTROPE_COVERAGE")
    debug = switch("STICHOTROPE_DEBUG")
    if os.name == "nt":
        if sanitize or coverage:
            sys.exit("STICHOTROPE_SANITIZE and STICHOTROPE_COVERAGE need GCC or Clang, not MSVC")
        compile_args = ["/Od", "/Zi", "/UNDEBUG"] if debug else ["/O2"]
        link_args = ["/DEBUG"] if debug else []
    else:
        compile_args = [
            "-fvisibility=hidden",
            "-fno-plt",
            "-Wall",
            "-Wextra",
            # What Cython generates, and no one can change, trips over these four.
            "-Wno-unused-parameter",
            "-Wno-unused-function",
            "-Wno-missing-field-initializers",
            "-Wno-sign-compare",
        ]
        link_args = []
        if debug or coverage:
            compile_args += ["-O0", "-g", "-UNDEBUG"]
        elif sanitize:
            compile_args += ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer"]
        else:
            # Symbols of the interpreter's own -g would make the module six times as large.
            compile_args += ["-O3", "-g0"]
        if coverage:
            compile_args += ["--coverage"]
            link_args += ["--coverage"]
        for name in sanitize:
            compile_args += [f"-fsanitize={name}"]
            link_args += [f"-fsanitize={name}"]
    extension = Extension(
        "stichotrope._core",
        ["src/_core.pyx"],
        depends=sorted(
            [*glob("src/**/*.pxi", recursive=True), *glob("src/**/*.h", recursive=True)]
        ),
        # The C is generated into the build folder, away from the header that it includes.
        include_dirs=["src"],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )
    extension.cython_c_in_temp = True
    return extension


setup(ext_modules=[core()])
