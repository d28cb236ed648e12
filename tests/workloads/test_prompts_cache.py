"""The caches: a change is seen at once, nothing is worked out twice, and limits hold."""

from __future__ import annotations

import os
import threading
import time

import pytest

pytest.importorskip("cachetools")

from benchmarks.workloads.prompts import caching
from benchmarks.workloads.prompts.caching import (
    REMEMBERED,
    SETTLED_NS,
    FileCache,
    read_directory,
    read_file,
)
from workloads.test_prompts_state import LONG_AGO_NS, age, put

MANY = 20


class Cache:
    """A cache of texts, with clocks that stand still until they are moved, and what it computed."""

    def __init__(self, limit=10, read=read_file, compute=None, **more):
        self.now_s, self.wall_ns, self.computed, self.more = 0.0, None, [], compute
        self.kept = FileCache(
            "test",
            limit,
            read,
            self._compute,
            clock=lambda: self.now_s,
            wall_ns=lambda: self.wall_ns if self.wall_ns is not None else time.time_ns(),
            **more,
        )

    def _compute(self, path, content):
        self.computed.append(os.path.basename(path))
        return content if self.more is None else self.more(path, content)

    def get(self, path):
        return self.kept.get(str(path))

    @property
    def counts(self):
        """Hits, misses, joined."""
        return self.kept.statistics()[:3]


@pytest.fixture(params=[True, False], ids=["links remembered", "links resolved each time"])
def cache(request):
    """A cache, in either way."""
    return Cache(remember_paths=request.param)


@pytest.fixture
def file(tmp_path):
    """A file that has not been changed for long."""
    put(tmp_path / "a", "first")
    age(tmp_path / "a")
    return tmp_path / "a"


def set_time(path, ns):
    os.utime(path, ns=(ns, ns))


def before(function, do):
    """The function, with something done before each call."""

    def both(*arguments):
        do()
        return function(*arguments)

    return both


# What is kept


def test_it_is_worked_out_once(cache, file):
    """And then it is there."""
    assert [cache.get(file) for _ in range(3)] == [b"first"] * 3
    assert (cache.computed, cache.counts) == (["a"], (2, 1, 0))


def test_two_names_of_a_file_share_what_is_kept(cache, file, tmp_path, monkeypatch):
    """Links and relative paths are resolved."""
    (tmp_path / "link").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    assert {
        cache.get(name) for name in (file, tmp_path / "link", "a", "../" + tmp_path.name + "/a")
    } == {b"first"}
    assert cache.counts == (3, 1, 0)


def test_statistics_tell_what_was_done(cache, file):
    """How much is kept, and the share of hits."""
    empty = cache.kept.statistics()
    assert (empty.asked, empty.hit_rate, empty.kept, empty.limit) == (0, 0.0, 0, 10)
    for _ in range(4):
        cache.get(file)
    full = cache.kept.statistics()
    assert (full.asked, full.hit_rate, full.kept) == (4, 0.75, 1)
    assert full.computing_ns > 0


def test_clearing_forgets_all_but_the_statistics(cache, file):
    """The next look-up works it out again."""
    cache.get(file)
    cache.kept.clear()
    cache.get(file)
    assert (cache.counts, cache.kept.statistics().kept) == ((0, 2, 0), 1)


# Changes


def test_an_edit_is_seen_at_once(cache, file):
    """By its time alone, when the size is the same."""
    cache.get(file)
    file.write_text("other")
    assert cache.get(file) == b"other"
    assert cache.counts == (0, 2, 0)


def test_a_hundred_edits_of_one_size_in_a_row_are_seen(cache, file):
    """However many of them fall into one tick of the file system's clock."""
    for i in range(100):
        file.write_text(f"{i:05}")
        assert cache.get(file) == f"{i:05}".encode()
        assert cache.get(file) == f"{i:05}".encode()


@pytest.mark.parametrize("coarse_s", [1, 2], ids=["1 s", "2 s"])
def test_edits_in_one_tick_of_a_coarse_clock_are_seen(cache, file, coarse_s):
    """Same time, same size, same inode: only the content tells."""
    tick_ns = LONG_AGO_NS // (coarse_s * 10**9) * coarse_s * 10**9
    for i in range(10):
        cache.wall_ns = tick_ns + i * coarse_s * 10**8
        file.write_text(f"{i:05}")
        set_time(file, tick_ns)
        assert [cache.get(file) for _ in range(2)] == [f"{i:05}".encode()] * 2


def test_what_was_just_written_is_kept_but_read_again(cache, file):
    """Until its time is far enough away: then the stamp is enough."""
    reads = []
    cache.kept._read = before(read_file, lambda: reads.append(1))
    cache.wall_ns = file.stat().st_mtime_ns
    for _ in range(3):
        cache.get(file)
    assert (len(reads), cache.counts) == (3, (2, 1, 0))
    cache.wall_ns += SETTLED_NS
    cache.get(file)  # not yet: that far may a time be from the truth
    assert len(reads) == 4
    cache.wall_ns += 1
    for _ in range(3):
        cache.get(file)
    assert (len(reads), cache.counts, cache.computed) == (5, (6, 1, 0), ["a"])


def test_a_time_in_the_future_is_never_relied_upon(cache, file):
    """The clock of another machine may be ahead."""
    cache.wall_ns = LONG_AGO_NS
    for i in range(5):
        file.write_text(f"{i:05}")
        set_time(file, LONG_AGO_NS + 10**15)
        assert cache.get(file) == f"{i:05}".encode()


def test_a_file_that_takes_anothers_place_is_seen(cache, file, tmp_path):
    """Even with the same time and the same size."""
    cache.get(file)
    before = file.stat()
    (tmp_path / "b").write_text("other")
    set_time(tmp_path / "b", before.st_mtime_ns)
    (tmp_path / "b").replace(file)
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert cache.get(file) == b"other"


def test_a_deletion_is_seen_at_once(cache, file):
    """And what was kept is gone, so that nobody finds it when the file comes back."""
    cache.get(file)
    file.unlink()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            cache.get(file)
    assert cache.kept.statistics().kept == 0
    file.write_text("again")
    assert cache.get(file) == b"again"


def test_a_rename_is_seen_at_once(cache, file, tmp_path):
    """Under the old name and under the new one."""
    cache.get(file)
    file.rename(tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        cache.get(file)
    assert cache.get(tmp_path / "b") == b"first"


def test_a_link_that_leads_elsewhere_is_seen_at_once(cache, file, tmp_path):
    """Also when it is a directory above, and when it leads back."""
    for name in ("one", "two"):
        put(tmp_path / name / "f", name)
        set_time(tmp_path / name / "f", LONG_AGO_NS)
    link = tmp_path / "link"
    for name in ("one", "two", "one", "two"):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name)
        assert [cache.get(link / "f") for _ in range(2)] == [name.encode()] * 2
    assert sorted(cache.computed) == ["f", "f"]


def test_a_directory_is_read_again_when_something_comes_goes_or_is_renamed(tmp_path):
    """And not when what is in it changes."""
    cache = Cache(read=read_directory)
    put(tmp_path / "d" / "a", "")
    seen = []
    for change in (
        lambda: None,
        lambda: put(tmp_path / "d" / "b", ""),
        lambda: (tmp_path / "d" / "a").unlink(),
        lambda: (tmp_path / "d" / "b").rename(tmp_path / "d" / "c"),
        lambda: put(tmp_path / "d" / "c", "more"),
    ):
        change()
        seen += [cache.get(tmp_path / "d") for _ in range(2)]
    assert seen == [names for names in [("a",), ("a", "b"), ("b",), ("c",), ("c",)] for _ in (1, 2)]
    assert cache.counts == (6, 4, 0)


def test_what_changes_while_it_is_read_is_not_kept(cache, file):
    """It may be newer than its stamp."""

    def read_and_change(path):
        content = read_file(path)
        put(file, "later")
        age(file)
        return content

    cache.kept._read = read_and_change
    assert cache.get(file) == b"first"
    cache.kept._read = read_file
    assert cache.kept.statistics().kept == 0
    assert cache.get(file) == b"later"


# Limits


def test_nothing_is_kept_longer_than_its_time(file):
    """On the clock that was given, from when it was worked out."""
    cache = Cache(ttl_s=300.0)
    for cache.now_s in (0.0, 299.0, 300.0, 599.0, 600.0):
        cache.get(file)
    assert cache.counts == (2, 3, 0)


def test_the_time_is_five_minutes():
    """Unless another is given."""
    assert Cache().kept._entries.ttl == 300


def test_no_more_is_kept_than_the_limit(tmp_path):
    """What was asked for last stays."""
    cache = Cache(limit=3)
    paths = [tmp_path / name for name in "abcd"]
    for path in paths:
        put(path, path.name)
        age(path)
    a, b, c, d = paths
    for path in (a, b, c, a, d):
        cache.get(path)
        assert cache.kept.statistics().kept <= 3
    assert cache.computed == ["a", "b", "c", "d"]
    for path in (a, c, d):
        cache.get(path)
    assert cache.counts == (4, 4, 0)
    cache.get(b)
    assert cache.counts == (4, 5, 0)


def test_versions_do_not_crowd_each_other_out(file, tmp_path):
    """A new one takes the old one's place."""
    cache = Cache(limit=2)
    put(tmp_path / "b", "b")
    age(tmp_path / "b")
    cache.get(tmp_path / "b")
    for i in range(5):
        file.write_text(f"{i}")
        age(file)
        cache.get(file)
    cache.get(tmp_path / "b")
    assert (cache.counts, cache.kept.statistics().kept) == ((1, 6, 0), 2)


def test_paths_are_not_remembered_for_ever(file, tmp_path, monkeypatch):
    """Beyond a number of them, all are resolved anew."""
    assert REMEMBERED >= 400 * 10
    monkeypatch.setattr(caching, "REMEMBERED", 3)
    cache = Cache()
    for i in range(10):
        (tmp_path / f"link{i}").symlink_to(file)
        assert cache.get(tmp_path / f"link{i}") == b"first"
        assert len(cache.kept._resolved) <= 3
    assert cache.counts == (9, 1, 0)


# Errors


def test_an_error_is_raised_each_time_and_not_kept(cache, file):
    """Until it can be worked out."""
    cache.more = lambda path, content: 1 // 0
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.get(file)
    cache.more = None
    assert cache.get(file) == b"first"
    assert (cache.counts, cache.kept.statistics().kept) == ((0, 3, 0), 1)


def test_nothing_that_fails_stays_in_work(cache, file):
    """Neither an error nor an interrupt."""

    def interrupt(path, content):
        raise KeyboardInterrupt

    cache.more = interrupt
    with pytest.raises(KeyboardInterrupt):
        cache.get(file)
    assert not cache.kept._in_work


# Many threads


class Held:
    """Lets the first who computes wait until all others wait for it."""

    def __init__(self, then=lambda content: content):
        self.begun, self.go, self.then = threading.Event(), threading.Event(), then

    def __call__(self, path, content):
        self.begun.set()
        assert self.go.wait(60)
        return self.then(content)


def ask_together(cache, path, threads, eventually, held, meanwhile=lambda: None):
    """What each of many threads gets that all ask while the first is at work: values or errors."""

    def ask():
        try:
            return cache.get(path)
        except (Exception, KeyboardInterrupt) as error:
            return error

    waiting = []
    cache.kept._wait = before(cache.kept._wait, lambda: waiting.append(1))
    join = threads.spawn(*[ask] * MANY)
    held.begun.wait(60)
    eventually(lambda: len(waiting) == MANY - 1)
    meanwhile()
    held.go.set()
    return join()


@pytest.mark.concurrent
@pytest.mark.parametrize("fresh", [False, True], ids=["settled", "just written"])
def test_it_is_worked_out_once_however_many_threads_ask(file, threads, eventually, fresh):
    """The others wait for it; of what was just written they check that it is the same still."""
    if fresh:
        set_time(file, time.time_ns())
    held = Held()
    cache = Cache(compute=held)
    assert ask_together(cache, file, threads, eventually, held) == [b"first"] * MANY
    assert (cache.computed, cache.counts) == (["a"], (0, 1, MANY - 1))
    assert cache.get(file) == b"first"
    assert cache.counts == (1, 1, MANY - 1)


@pytest.mark.concurrent
def test_an_edit_is_seen_by_who_asks_while_the_old_version_is_in_work(file, threads):
    """Although it may have the old one's time and size; who asked before gets what was there then."""
    set_time(file, (ns := time.time_ns()))
    held = Held()
    cache = Cache(
        compute=lambda path, content: held(path, content) if content == b"first" else content
    )
    first = threads.spawn(lambda: cache.get(file))
    held.begun.wait(60)
    file.write_text("other")
    set_time(file, ns)
    waits = threading.Event()
    cache.kept._wait = before(cache.kept._wait, waits.set)
    second = threads.spawn(lambda: cache.get(file))
    waits.wait(60)
    held.go.set()
    assert (first(), second()) == ([b"first"], [b"other"])
    assert cache.get(file) == b"other"
    assert (cache.computed, cache.counts) == (["a", "a"], (1, 2, 0))


@pytest.mark.concurrent
def test_who_waited_for_an_old_version_shares_the_new_one(file, threads, eventually):
    """The file changes while the first reads it: that serves nobody else, and is not kept."""
    held = Held()

    def read(path):
        if not held.begun.is_set():
            held(path, None)
        return read_file(path)

    def change():
        put(file, "later")
        age(file)

    cache = Cache(read=read)
    got = ask_together(cache, file, threads, eventually, held, change)
    assert got == [b"later"] * MANY
    assert cache.computed == ["a", "a"]
    assert cache.counts[1] == 2
    assert sum(cache.counts) == MANY


@pytest.mark.concurrent
def test_another_version_does_not_wait_for_the_old_one(file, threads):
    """They are two keys."""
    held = Held()
    cache = Cache(
        compute=lambda path, content: held(path, content) if content == b"first" else content
    )
    first = threads.spawn(lambda: cache.get(file))
    held.begun.wait(60)
    file.write_text("a longer one")
    age(file)
    assert cache.get(file) == b"a longer one"
    held.go.set()
    assert first() == [b"first"]
    assert cache.get(file) == b"a longer one"


@pytest.mark.concurrent
@pytest.mark.parametrize("fresh", [False, True], ids=["settled", "just written"])
def test_all_who_wait_get_the_error(file, threads, eventually, fresh):
    """It is not worked out once more for each of them."""
    if fresh:
        set_time(file, time.time_ns())
    held = Held(lambda content: 1 // 0)
    cache = Cache(compute=held)
    got = ask_together(cache, file, threads, eventually, held)
    assert {type(error) for error in got} == {ZeroDivisionError}
    assert (len(got), cache.computed) == (MANY, ["a"])


@pytest.mark.concurrent
def test_an_interrupt_is_for_one_thread_only(file, threads, eventually):
    """Another of those who wait works it out."""
    interrupts = iter([KeyboardInterrupt])

    def fail_first(content):
        for interrupt in interrupts:
            raise interrupt
        return content

    held = Held(fail_first)
    cache = Cache(compute=held)
    got = ask_together(cache, file, threads, eventually, held)
    assert sorted(map(repr, got)) == ["KeyboardInterrupt()", *["b'first'"] * (MANY - 1)]
    assert cache.computed == ["a", "a"]


@pytest.mark.concurrent
@pytest.mark.usefixtures("switching")
def test_who_asks_after_a_write_never_gets_what_was_before(tmp_path, threads):
    """One thread writes in place, versions of one size; the others ask all the time."""
    cache, rounds = Cache(), 200
    path = tmp_path / "a"
    written = 0
    path.write_bytes(b"00000")

    def write():
        nonlocal written
        for i in range(1, rounds + 1):
            scratch = tmp_path / "scratch"
            scratch.write_bytes(f"{i:05}".encode())
            scratch.replace(path)
            written = i

    def ask():
        while True:
            least = written
            got = int(cache.get(path))
            assert got >= least
            if got == rounds:
                return

    threads.together(write, *[ask] * 4)
    hits, misses, joined = cache.counts
    assert misses == len(cache.computed)
    assert not cache.kept._in_work
    assert hits + joined > 0


@pytest.mark.concurrent
@pytest.mark.usefixtures("switching")
def test_counts_are_exact_under_load(tmp_path, threads):
    """Every look-up is a hit, a miss or a wait."""
    cache = Cache(limit=5)
    paths = [tmp_path / f"{i}" for i in range(8)]
    for path in paths:
        put(path, path.name)
        age(path)

    def ask(start):
        for i in range(100):
            path = paths[(start + i * 3) % 8]
            assert cache.get(path) == path.name.encode()

    threads.together(*(lambda i=i: ask(i) for i in range(10)))
    assert sum(cache.counts) == 1000
    assert cache.counts[1] == len(cache.computed)
    assert cache.kept.statistics().kept <= 5
