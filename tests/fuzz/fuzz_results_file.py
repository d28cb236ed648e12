"""Gives `ProfilerResults.load` files that nearly hold results, guided by what they reach: `make fuzz`.

Usage: python tests/fuzz/fuzz_results_file.py DIRECTORY [options of libFuzzer]. New inputs that reach something new are
kept in DIRECTORY, and so is the one that breaks a promise; then the exit status is not 0. To run one file again:
python tests/fuzz/fuzz_results_file.py FILE.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import atheris  # type: ignore[import-untyped,import-not-found]

with atheris.instrument_imports(include=["stichotrope"]):
    import stichotrope.export.csv
    import stichotrope.report.console  # noqa: F401

from results_files import CORPUS, check, mutated

LIMITS = ("-timeout=20", "-rss_limit_mb=1024", "-max_len=65536")


def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
    """Change the document, or now and then its bytes."""
    changed = mutated(data, Random(seed), lambda raw: bytes(atheris.Mutate(raw, max_size)))
    return changed if len(changed) <= max_size else bytes(atheris.Mutate(data, max_size))


def main() -> None:
    """Fuzz, or run one file again."""
    program, target, *options = sys.argv
    arguments = [program, *LIMITS, *options, target]
    if Path(target).is_dir():
        arguments += [str(CORPUS), f"-artifact_prefix={target}/"]
    with tempfile.TemporaryDirectory() as directory:

        def test_one_input(raw: bytes) -> None:
            check(raw, Path(directory))

        atheris.Setup(arguments, test_one_input, custom_mutator=custom_mutator)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
