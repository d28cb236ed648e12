"""Builds the floors with the running interpreter's compiler, once, into a cache directory."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).with_name("_floors.c")
INCLUDED = sorted(SOURCE.parent.glob("_*.h"))
CACHE = Path(__file__).resolve().parents[2] / "build" / "benchmarks" / "floors"
OPTIMISE = "-O3"


def load_floors() -> ModuleType:
    """Return the module `_floors`, compiled for this interpreter.

    Raises:
        RuntimeError: no compiler, or one that fails; with what it said.
    """
    library = _cached_path()
    if not library.exists():
        _build(library)
    loader = importlib.machinery.ExtensionFileLoader("_floors", str(library))
    spec = importlib.util.spec_from_file_location("_floors", library, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def compiler_version() -> str:
    """Return the first line in which the compiler names itself, or "unknown"."""
    try:
        said = subprocess.run(
            [*_compiler(), "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.splitlines()[0] if said else "unknown"


def _cached_path() -> Path:
    """Return where this interpreter's build belongs: one folder per ABI, source and flags."""
    key = hashlib.sha256(b"".join(path.read_bytes() for path in [SOURCE, *INCLUDED]))
    key.update(f"{sys.version}|{OPTIMISE}|{_compiler()}".encode())
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return CACHE / key.hexdigest()[:16] / f"_floors{suffix}"


def _compiler() -> list[str]:
    """Return the compiler's command, `CC` from the environment first."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def _build(library: Path) -> None:
    """Compile into a folder of our own, then move into place: two runs may build at once."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        built = Path(scratch) / library.name
        if os.name == "nt":
            _build_with_setuptools(built, Path(scratch))
        else:
            _build_with_cc(built)
        built.replace(library)


def _build_with_cc(built: Path) -> None:
    """One command: the interpreter's own flags, ours last so that ours win."""
    flags = shlex.split(sysconfig.get_config_var("CFLAGS") or "")
    flags += shlex.split(sysconfig.get_config_var("CCSHARED") or "")
    flags += [OPTIMISE, "-fvisibility=hidden", f"-I{sysconfig.get_path('include')}"]
    # LDSHARED starts with the linker driver; what follows makes a loadable module of it.
    link = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")[1:]
    _run([*_compiler(), *flags, str(SOURCE), *link, "-o", str(built)])


def _build_with_setuptools(built: Path, scratch: Path) -> None:
    """Where no one command does it (MSVC): setuptools knows the way."""
    script = (
        "from setuptools import Extension, setup\n"
        f"setup(name='floors', ext_modules=[Extension('_floors', [{str(SOURCE)!r}],"
        " extra_compile_args=['/O2'])])"
    )
    command = [sys.executable, "-c", script, "-q", "build_ext"]
    _run([*command, f"--build-lib={scratch}", f"--build-temp={scratch / 'objects'}"])
    made = next(scratch.glob("_floors*.pyd"), None)
    if made is not None and made != built:
        shutil.move(made, built)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise RuntimeError(
            f"the floors need a C compiler; {command[0]!r} was not found (set CC to another)"
        ) from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            f"the floors did not compile with {command[0]!r}:\n{error.stderr}"
        ) from None
