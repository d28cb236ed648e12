"""What `stichotrope demo` runs: an index of some modules of the standard library, and searches.

Files are read and taken apart on threads; the searches are tasks of one event loop, that wait.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from ..profiler import Profiler

MODULES = (
    *("abc", "argparse", "ast", "bisect", "calendar", "cmd", "codecs", "contextlib", "copy"),
    *("dataclasses", "datetime", "difflib", "enum", "fnmatch", "functools", "heapq", "inspect"),
    *("ipaddress", "locale", "numbers", "optparse", "pathlib", "pickle", "random", "statistics"),
    *("string", "tarfile", "textwrap", "threading", "typing", "uuid", "zipfile"),
)
WORDS = ("return", "yield", "class", "lambda", "raise", "import", "while", "assert")
THREADS = 4
WAIT_S = 0.002  # of a search, for what stands for a network

profiler = Profiler("demo")
MERGE = profiler.block("index", "merge")  # kept, and entered for each file


@profiler.track("files")
def find(folder: str) -> list[str]:
    """Return the files of the modules that are there."""
    found = []
    for module in MODULES:
        for path in (f"{module}.py", os.path.join(module, "__init__.py")):
            if os.path.isfile(os.path.join(folder, path)):
                found.append(os.path.join(folder, path))
    return found


@profiler.track("files")
def read(path: str) -> str:
    """Return what a file says."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


@profiler.track("index")
def split(text: str) -> list[str]:
    """Return the words of a text."""
    return re.findall(r"[A-Za-z_]\w*", text)


@profiler.track("index")
def count(path: str) -> Counter[str]:
    """Return how often each word is in a file."""
    words = Counter(split(read(path)))
    with profiler.block("index", "clean"):
        for word in [word for word in words if len(word) < 2]:
            del words[word]
    return words


@profiler.track("index")
def index(paths: list[str]) -> dict[str, dict[str, int]]:
    """Return for each word how often it is in which file."""
    found: dict[str, dict[str, int]] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for path, words in zip(paths, pool.map(count, paths), strict=True):
            with MERGE:
                for word, number in words.items():
                    found.setdefault(word, {})[path] = number
    return found


@profiler.track("search")
async def search(found: dict[str, dict[str, int]], word: str) -> list[str]:
    """Return the files that a word is most often in."""
    with profiler.block("search", "wait"):
        await asyncio.sleep(WAIT_S)
    return rank(found.get(word, {}))


@profiler.track("search")
def rank(counts: dict[str, int]) -> list[str]:
    """Return files in order of how often they have a word."""
    return sorted(counts, key=lambda path: (-counts[path], path))


async def search_all(found: dict[str, dict[str, int]]) -> list[list[str]]:
    """Return the answers to all searches, which wait at once."""
    return await asyncio.gather(*(search(found, word) for word in WORDS * 5))


@profiler.track("demo")
def main() -> int:
    """Index, search; return how many files were found in all."""
    found = index(find(os.path.dirname(os.__file__)))
    return sum(map(len, asyncio.run(search_all(found))))
