# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=python, binding=False
"""The hot path: clock, per-thread buffers, enter and leave, the tracked callable, the block, the snapshot.

Words used below
----------------
site        a call site as a small integer; its name, file and line are known to the Python layer only.
node        a calling-context-tree node, (parent node, site), owned by one thread.
activation  one open pass.
strand      what can be suspended as one: a flow, or a body.
flow        a thread together with its current context; each has its own stack of activations.
body        what runs in a generator or coroutine. Suspended, it has a chain of activations of its own.
scope       a site, a track or the whole thread, of which it is counted how long anything in it was open.
store       the C half of a profiler: its sessions, its buffers, what is left of ended threads.
session     a number that is never used twice, taken by a store when it is made and at every clear. A track's gate
            holds its store's session, or OFF when the track is, so that one comparison with the thread's cached
            session says: on, this store, and not cleared since.

Who writes what
---------------
A buffer is written by its own thread only. Other threads read its nodes under each node's pair of counters
(`started` is written before, `finished` after) and its session. Everything that several threads change in a store
is changed under `store.lock`, which is never held while Python can run, except the list of buffers, to which a
thread adds its own without a lock.

A buffer is one reserved stretch of address space: header, stack, data. What is in it refers to the rest by byte
offset from its start, and never moves.
"""

import _operator
import _thread
import os as _os

from cpython.object cimport PyObject
from cython cimport critical_section
from cpython.mem cimport PyMem_RawMalloc, PyMem_RawCalloc, PyMem_RawRealloc, PyMem_RawFree
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memmove, memset

cdef extern from "_platform.h" nogil:
    # Nothing, from a function that is inlined wherever it is called, from one that is out of the way, and from one that
    # is not, but is there once.
    ctypedef void hot "ST_HOT_VOID"
    ctypedef void cold "ST_COLD_VOID"
    ctypedef void apart "ST_APART_VOID"
    bint ST_LIKELY(bint)
    bint ST_UNLIKELY(bint)
    uint32_t st_load32(const uint32_t*)
    uint64_t st_load64(const uint64_t*)
    void st_store16(uint16_t*, uint16_t)
    void st_store16_release(uint16_t*, uint16_t)
    void st_store32(uint32_t*, uint32_t)
    void st_store64(uint64_t*, uint64_t)
    uint32_t st_load32_acquire(const uint32_t*)
    uint64_t st_load64_acquire(const uint64_t*)
    void* st_loadp_acquire(void**)
    void st_store32_release(uint32_t*, uint32_t)
    void st_store64_release(uint64_t*, uint64_t)
    void st_storep_release(void**, void*)
    uint64_t st_add64(uint64_t*, uint64_t)
    void st_or64(uint64_t*, uint64_t)
    int st_casp(void**, void*, void*)
    int st_cas64(uint64_t*, uint64_t, uint64_t)
    void st_fence_full()
    void st_fence_release()
    void st_fence_acquire()
    void st_pause()
    uint32_t st_top_bit(uint64_t)
    void st_add_square(uint64_t* low, uint64_t* high, uint64_t)
    const bint ST_HAS_GIL
    const uint32_t ST_CLOCK_COUNTER
    const uint32_t ST_CLOCK_MONOTONIC
    const uint32_t ST_CLOCK_MANUAL
    uint32_t st_clock_kind
    uint64_t st_manual_ticks
    uint64_t st_ticks()
    uint64_t st_ticks_of(uint32_t kind)
    uint64_t st_monotonic_ns()
    uint64_t st_manual_processor_ns
    uint64_t st_processor_ns()
    const char* st_processor_clock()
    const char* st_counter_name()
    int st_counter_is_invariant()
    void* st_reserve(size_t)
    int st_commit(void*, size_t)
    void st_release(void*, size_t)
    int st_on_thread_exit(void (*)(void*) noexcept nogil)
    int st_watch_thread(void*)
    void* st_context(void** frame)
    void* st_context_of_caller(void** frame)
    void st_incref(PyObject*)
    void st_decref(PyObject*)
    void st_hold(void*)
    void st_let_go(void*)
    void* st_outer_context(void*)
    void* st_need_context()
    bint st_frame_suspends(void*)
    bint st_frame_is_coroutine(void*)
    bint st_with_calls()
    const bint st_frames_are_linked, st_contexts_are_linked
    bint st_delegation_calls()
    void* st_waiting_frame(void*)
    bint st_is_thrown_through(void*)
    void* st_outer_code_frame(void*)
    bint st_frame_is_running(void*)
    void* st_frame_of_body(PyObject*)
    bint st_is_frame_of_body(void*, void*)
    void* st_outer_frame(void*)
    void* st_thread_state()
    ctypedef void* PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    int PyThread_acquire_lock(PyThread_type_lock, int)
    void PyThread_release_lock(PyThread_type_lock)
    unsigned long PyThread_get_thread_ident()
    const int WAIT_LOCK, NOWAIT_LOCK

cdef extern from "_mapped.h" nogil:
    const bint ST_HAS_FILES
    const int TOO_LARGE "EFBIG"
    const int ST_MAP_SHARED, ST_MAP_TO_READ, ST_MAP_PRIVATE
    size_t st_page_size()
    int st_allocate(int fd, uint64_t at, uint64_t size)
    int st_map_piece(void* to, int fd, uint64_t at, size_t size, int how)
    int st_make_private(void* at, size_t size)
    int st_read_at(int fd, void* to, size_t size, uint64_t at)
    int st_write_at(int fd, const void* data, size_t size, uint64_t at)
    void st_close_file(int fd)
    bint st_at_fork(void (*before)() noexcept nogil, void (*parent)() noexcept nogil, void (*child)() noexcept nogil)
    uint64_t st_real_ns()
    bint st_start_pulse(void (*beat)() noexcept nogil)
    void st_stop_pulse()
    void st_hold_pulse()
    void st_let_pulse_go()
    void st_forget_pulse()

cdef extern from "_platform.h":
    PyObject* st_calling_code(int* offset)
    PyObject* st_code_of_frame(void*) nogil
    void st_learn_frames()
    void st_share(PyObject*)
    void st_for_good(PyObject*)
    PyObject* st_call(PyObject*, PyObject**, size_t, PyObject*)
    PyObject* st_call_function(PyObject*, PyObject**, size_t, PyObject*)
    bint st_may_be_awaited(PyObject*)
    bint st_is_fresh(PyObject*)
    object PyImport_GetModule(object)
    ctypedef struct PyCodeObject
    int PyCode_Addr2Line(PyCodeObject*, int)

cdef extern from *:
    """
    typedef struct { uint64_t session; void *buffer; } st_seat;
    /* A thread's way to its buffers: eight profilers at once without a look-up. */
    static ST_THREAD_LOCAL st_seat st_seats[8];
    static ST_THREAD_LOCAL void *st_this_thread;
    /* Its counters and histograms, that are not passes. */
    static ST_THREAD_LOCAL void *st_cells;
    """
    ctypedef struct Seat "st_seat":
        uint64_t session
        void* buffer
    Seat* st_seats
    void* st_this_thread
    void* st_cells

# In the order in which they build on each other.
include "_core/layout.pxi"
include "_core/map.pxi"
include "_core/file.pxi"
include "_core/buffer.pxi"
include "_core/thread.pxi"
include "_core/tree.pxi"
include "_core/told.pxi"
include "_core/once.pxi"
include "_core/ring.pxi"
include "_core/record.pxi"
include "_core/processor.pxi"
include "_core/strand.pxi"
include "_core/monitor.pxi"
include "_core/pack.pxi"
include "_core/ended.pxi"
include "_core/store.pxi"
include "_core/callsite.pxi"
include "_core/capi.pxi"
include "_core/work.pxi"
include "_core/slow.pxi"
include "_core/tracked.pxi"
include "_core/generator.pxi"
include "_core/parent.pxi"
include "_core/code.pxi"
include "_core/block.pxi"
include "_core/snapshot.pxi"
include "_core/timeline.pxi"
include "_core/slices.pxi"
include "_core/inflight.pxi"
include "_core/share.pxi"
include "_core/metric.pxi"
include "_core/series.pxi"
include "_core/kept.pxi"
include "_core/together.pxi"


# ---- the C half of a profiler

cdef class Recorder:
    """What records for one profiler: its sites, its tracks' gates, its threads' buffers.

    The Python layer subclasses it, validates, holds the locks and names things; it gives `_intern_block` and
    `_describe_site`.
    """
    cdef Store* store
    cdef dict works            # site: (what tells the bytes of what it gives, or None; the items; whether that failed)
    cdef list replaced         # those that may be in use without the GIL
    cdef dict tags              # text -> its number
    cdef list tag_texts         # a number modulo MOST_TEXTS -> the text
    cdef uint64_t tags_said

    def __cinit__(self, *args, **kwargs):
        self.store = NULL
        self.works = {}
        self.replaced = []

    def __dealloc__(self):
        cdef CallSites* call_sites
        if self.store != NULL:
            call_sites = self.store.call_sites
            forget_targets(self.store)
            free_store(self.store)
            free_call_sites(call_sites)

    def _open_store(self, unsigned long long retain_threads, unsigned int max_nodes):
        if self.store != NULL:
            raise RuntimeError("a recorder is opened once")
        self.store = new_store(retain_threads, max_nodes)
        if self.store == NULL:
            raise MemoryError("no memory for a profiler")

    cdef Store* opened(self) except NULL:
        if self.store == NULL:
            raise RuntimeError(f"{type(self).__name__}.__init__ was not called")
        return self.store

    # What follows up to `_switch` changes what the Python layer and the core know together. Each is one step: neither
    # the collector, nor a signal handler, nor an exception can come in between and find half of it.

    def _add_track(self):
        """Makes the next track's gate and gives its number."""
        if not add_gate(self.opened()):
            raise MemoryError("no memory for a track")
        return self.store.gate_count - 1

    def _add_site(self, unsigned int track):
        """Makes the next call site, on a track that is there, and gives its number."""
        cdef Store* s = self.opened()
        self.check_track(track)
        if s.site_count >= MAX_SITES:
            raise OverflowError(f"a profiler holds at most {MAX_SITES:,} blocks: are names made up at run time?")
        if add_site(s, track) == NULL:
            raise MemoryError("no memory for a block")
        return s.site_count - 1

    def _commit_track(self, dict tracks, track, dict names):
        """Adds a track under `track.idx`, and under `track.name` if that is in no use and `names` is given.

        Gives False, and changes nothing, if one of them is taken.
        """
        if track.idx in tracks or (names is not None and track.name in names):
            return False
        said = track.name.encode("utf-8", "surrogatepass") if self.opened().file != NULL else b""
        track.gate = self._add_track()
        self._say_track(track.gate, track.idx, said)
        tracks[track.idx] = track
        if names is not None:
            names[track.name] = track.idx
        return True

    def _commit_site(self, unsigned int track, list sites, list blocks, site, dict cache, tuple key, tuple value):
        """Adds a call site to `sites`, its number to `blocks` of its track, and its value to the cache.

        Gives False, and changes nothing, if the cache knows the key or the block's index is not the next one.
        """
        cdef Py_ssize_t known_sites = len(sites), known_blocks = len(blocks)
        if key in cache or known_blocks != value[1] or known_sites != self.opened().site_count:
            return False
        name = said = b""
        if self.store.file != NULL:
            name = site.name.encode("utf-8", "surrogatepass")
            said = name + site.file.encode("utf-8", "surrogatepass")
        try:
            cache[key] = value
            sites.append(site)
            blocks.append(known_sites)
            self._add_site(track)
            say_site(self.store, known_sites, track, site.line, name, len(name), said, len(said))
        except BaseException:
            cache.pop(key, None)
            del sites[known_sites:]
            del blocks[known_blocks:]
            raise
        return True

    def _track_codes(self, list named, unsigned int track, index, tuple begin, list sites, list blocks, kind, dict cache,
                     unsigned long long most):
        """Has each call of code be a pass, as `track_code` does; of each a call site is made, if there is none yet.

        named: (code, name), of which this takes away what it has dealt with; track, index: of the sites; begin: what
        their keys in the cache begin with; kind: what makes a site; most: how many sites there may be. Gives the code that
        was not tracked before; what is left of `named` has no site, as there would be too many. The caller holds the locks.
        """
        cdef list tracked = []
        cdef PyObject* code
        if not can_track_code():
            raise RuntimeError("this interpreter does not say when code is entered")
        named.reverse()
        while named:
            one, name = named[len(named) - 1]
            check_code(one)
            code = <PyObject*>one
            if not is_recorded(code, self.opened()):
                key = begin + (<object>st_code_file(code), st_code_line(code), name)
                known = cache.get(key)
                while known is None:
                    if self.store.site_count >= most:
                        return tracked
                    value = (begin[0], len(blocks))
                    site = kind(index, value[1], name, key[2], key[3])
                    self._commit_site(track, sites, blocks, site, cache, key, value)
                    known = cache.get(key)
                if record_code(code, <PyObject*>self, self.handle(blocks[known[1]])):
                    tracked.append(one)
            named.pop()
        return tracked

    def _say_track(self, unsigned int track, index, bytes name):
        """Says in the file what a track is called from now on. An index of more than 32 bits stands before the name."""
        cdef uint32_t kept = 0xFFFFFFFF
        self.check_track(track)
        if self.store.file == NULL:
            return
        if index < kept:
            kept = index
        else:
            name = str(index).encode() + b"\0" + name
        say_track(self.store, track, kept, name, len(name))

    def _say_site(self, unsigned int site, unsigned int track, unsigned int line, bytes name, bytes file):
        """Says in the file what a call site is."""
        said = name + file
        say_site(self.opened(), site, track, line, name, len(name), said, len(said))

    def _open_file(self, int descriptor, bytes about, uint64_t limit):
        """Keeps what is recorded in a file, which is empty and then the core's, from now on: all but what other threads
        have recorded already. `about`: JSON, for readers. `limit`: bytes, beyond which it does not grow.

        Raises OSError when it cannot be mapped, or there is no room; then the descriptor stays the caller's.
        """
        cdef Store* s = self.opened()
        cdef int error = 0
        cdef File* f
        if s.file != NULL:
            raise RuntimeError("a recorder has one file")
        f = new_file(descriptor, limit, &error)
        if f == NULL:
            if error:
                raise OSError(error, _os.strerror(error))
            raise MemoryError("no memory for a file of what is recorded")
        f.header.process = <uint64_t>_os.getpid()
        append(f, SAID_ABOUT, NULL, 0, about, len(about), NULL)
        s.file = f
        show_session(s)
        self._say_texts()
        st_start_pulse(beat)
        return self._keep_own_buffer()

    def _keep_own_buffer(self):
        """Moves what the calling thread has recorded into the file."""
        cdef Buffer* b = known_buffer(self.opened())
        if b != NULL and b.file == NULL and self.store.file != NULL:
            return bool(adopt_buffer(self.store.file, b))
        return True

    def _file_error(self):
        """None while there is a file and room in it; the system's number of what has come between; 0 without a file."""
        cdef Store* s = self.opened()
        if s.file == NULL:
            return 0
        return s.file.header.error or None

    def _end_file(self):
        """Says in the file that nothing is recorded any more."""
        cdef Store* s = self.opened()
        if s.file != NULL:
            st_hold_pulse()
            beat()
            st_let_pulse_go()
            st_store32(&s.file.header.has_ended, 1)

    def _switch(self, bint started):
        """Starts or stops all tracks."""
        self.opened().started = started
        self._set_gates()

    def _is_started(self):
        """Whether it is started."""
        return bool(self.opened().started)

    def _set_gate(self, unsigned int track, bint enabled):
        """Switches one track on or off."""
        self.check_track(track)
        self.store.gates[track].enabled = enabled
        self._set_gates()

    def _is_enabled(self, unsigned int track):
        """Whether a track is switched on."""
        self.check_track(track)
        return bool(self.store.gates[track].enabled)

    def _take_processor_time(self, track, bint taken=True):
        """Has the passes of a track, or of all (None), take processor time from now on, or not."""
        self.use_processor_clock(taken)
        if track is None:
            self.opened().times = taken
        else:
            self.check_track(track)
            self.store.gates[<unsigned int>track].times = taken
        self._set_gates()

    def _takes_processor_time(self):
        """Whether the passes of all tracks take processor time."""
        return bool(self.opened().times)

    def _take_processor_time_of(self, unsigned int site):
        """Has the passes of a call site take processor time from now on, whether its track does or not."""
        self.use_processor_clock(True)
        if not add_own_gate(self.opened(), self.handle(site)):
            raise MemoryError("no memory for a block")

    def _ask_for_work_of(self, unsigned int site, bytes_of, items_of):
        """Has what the functions of a call site give be asked, from now on, for how many bytes or items it is: each a
        function of it, or None."""
        cdef Handle* h = self.handle(site)
        if not ST_HAS_GIL and site in self.works:
            self.replaced.append(self.works[site])
        self.works[site] = [bytes_of, items_of, False]
        st_store32_release(&h.asks, h.asks | ASKED)

    def _watch_site(self, unsigned int site, unsigned long long ticks):
        """Has `_pass_was_slow(site, ticks, how)` be called, on its thread, when a pass of a call site ends that took so
        many ticks or more, from now on; `how`: 0 returned, 1 failed, 2 cancelled. 0 ticks: no more."""
        cdef Handle* h = self.handle(site)
        st_store64(&h.slow_ticks, ticks)
        st_store32_release(&h.asks, h.asks | WATCHED if ticks else h.asks & ~<uint32_t>WATCHED)

    def _asks_for_work_of(self, unsigned int site):
        """(what tells the bytes, what tells the items), each a function or None, of what the functions of a site give."""
        asked = self.works.get(site)
        return (None, None) if asked is None else tuple(asked[:2])

    cdef int ask_for_work(self, unsigned int site, result, uint64_t* amounts) except -1:
        """Asks them, and says how much there is of each."""
        cdef int kind
        cdef list asked = self.works[site]
        for kind in range(2):
            amounts[kind] = 0
            if asked[kind] is not None:
                number = asked[kind](result)
                if number is not None:
                    amounts[kind] = amount_of(number, "items" if kind == OF_ITEMS else "bytes")
        return 0

    cdef void work_failed(self, unsigned int site, error) noexcept:
        """Says so once: the program goes on as it would without."""
        if not self.works[site][2]:
            self.works[site][2] = True
            self._say_work_failed(site, error)

    cdef int use_processor_clock(self, bint taken) except -1:
        if taken and not st_processor_clock()[0]:
            raise ValueError("this platform has no clock for the processor time of threads")
        if taken:
            measure_processor_clock()
            st_store32(&processor_time_used, 1)
        return 0

    def _set_gates(self):
        """Opens or closes each track by the switches: the process's, the profiler's, its own."""
        set_gates(self.opened())
        heed_gates(self.store)

    cdef int check_track(self, unsigned int track) except -1:
        if track >= self.opened().gate_count:
            raise IndexError(f"track {track} of {self.store.gate_count}")
        return 0

    cdef Handle* handle(self, unsigned int site) except NULL:
        if site >= st_load32_acquire(&self.opened().site_count):
            raise IndexError(f"site {site} of {self.store.site_count}")
        return known_handle(self.store, site)

    def _wrap(self, callee, unsigned int site, bint binds, bint suspends, kind=None):
        """The callable that records each call of `callee` as a pass of the site.

        binds: it becomes a method, as functions do. suspends: what a call gives is a generator or coroutine, and the
        pass is its run. Python functions say both themselves. kind: the type of what does not bind.
        """
        return new_tracked(callee, self, self.handle(site), binds, suspends, kind)

    def _new_session(self):
        """Forgets everything recorded. Live threads empty their buffers themselves, when they next enter."""
        cdef Store* s = self.opened()
        with nogil:
            PyThread_acquire_lock(s.lock, WAIT_LOCK)
            set_session(s)
            forget_ended(s)
            st_store64(&s.untimed, 0)
            PyThread_release_lock(s.lock)

    def _snapshot(self):
        """What all threads have recorded until now. No thread waits for it."""
        cdef Snapshot snapshot = Snapshot.__new__(Snapshot)
        cdef Store* s = self.opened()
        cdef bint ok
        with nogil:
            ok = snapshot.take(s)
        if not ok:
            raise MemoryError("no memory for a snapshot")
        return snapshot

    def _keep_timeline(self, unsigned long long passes):
        """Has each thread keep so many of its newest passes, rounded up to a power of two, from now on.

        Gives how many that is. Raises RuntimeError when it does so already.
        """
        if self.opened().timeline:
            raise RuntimeError("a recorder has one timeline")
        with nogil:
            begin_timeline(self.store, passes)
        return self.store.timeline

    def _timeline_size(self):
        """How many passes of each thread are kept; 0 when there is no timeline."""
        return self.opened().timeline

    def _leave_out(self, track, bint left_out):
        """Has the passes of a track, or of those that are to be made (None), not be in the timeline from now on; or be."""
        if track is None:
            self.opened().leaves_out = left_out
        else:
            self.check_track(track)
            self.store.gates[<unsigned int>track].left_out = left_out
        heed_left_out(self.store)

    def _is_left_out(self, unsigned int track):
        """Whether the passes of a track are not in the timeline."""
        self.check_track(track)
        return bool(self.store.gates[track].left_out)

    def _tags(self):
        """{tag: text} of the texts that are tags."""
        cdef uint64_t number, first
        found = {}
        if self.tag_texts is not None:
            with critical_section(self):
                first = self.tags_said - <uint64_t>len(self.tag_texts)
                for number in range(first, self.tags_said):
                    found[(number + 1) << 1] = self.tag_texts[number % MOST_TEXTS]
        return found

    cdef uint64_t tag_of(self, tag, bint is_kept) except? 0:
        """What stands for a tag in a ring: an odd number, twice an int; or an even one, of a text."""
        if isinstance(tag, int):
            if -(1 << 62) <= tag < 1 << 62:
                return <uint64_t><int64_t>tag << 1 | 1
            tag = hex(tag)
        if not isinstance(tag, str):
            raise TypeError(f"a tag is a str, an int, or None, not {tag!r} of type {type(tag).__name__}")
        if not is_kept:
            return 0
        tag = str.__str__(tag)[:TEXT_BYTES]
        with critical_section(self):
            return self.text_number(tag)

    cdef uint64_t text_number(self, str text) except 0:
        cdef uint64_t number
        if self.tags is None:
            self.tags = {}
            self.tag_texts = []
        known = self.tags.get(text)
        if known is not None:
            return known
        number = self.tags_said
        if number < MOST_TEXTS:
            self.tag_texts.append(text)
        else:
            del self.tags[self.tag_texts[number % MOST_TEXTS]]
            self.tag_texts[number % MOST_TEXTS] = text
        self.tags_said += 1
        self.tags[text] = (number + 1) << 1
        self.say_text(number, text)
        return (number + 1) << 1

    cdef int say_text(self, uint64_t number, str text) except -1:
        cdef bytes said
        if self.store.file != NULL:
            said = text.encode("utf-8", "replace")
            say_text(self.store.file, number, said, len(said))
        return 0

    def _say_texts(self):
        """Says in the file which texts are tags already."""
        cdef uint64_t number
        if self.tag_texts is not None:
            with critical_section(self):
                for number in range(self.tags_said - <uint64_t>len(self.tag_texts), self.tags_said):
                    self.say_text(number, self.tag_texts[number % MOST_TEXTS])

    def _passed(self):
        """What the rings of all threads hold now. No thread waits for it."""
        cdef RawTimeline found = RawTimeline.__new__(RawTimeline)
        cdef Store* s = self.opened()
        cdef bint ok
        with nogil:
            ok = found.take(s)
        if not ok:
            raise MemoryError("no memory for a timeline")
        return found

    def _recorded_until_now(self):
        """Numbers that are the same twice only if nothing was recorded in between. While anything is open, time is."""
        cdef Store* s = self.opened()
        cdef uint64_t marks[MARKS]
        with nogil:
            read_marks(s, marks)
        return tuple([marks[i] for i in range(MARKS)])

    def _open_passes(self):
        """What is open now: (site, ticks since it began, how many are open below it in its flow, whether it is
        suspended, thread's key, its OS id, its name) each, a thread's and a flow's from the outermost on.

        What another thread enters or leaves at this very moment may be missing.
        """
        return open_passes(self.opened())

    def _suspended_passes(self):
        """What is open in suspended generators and coroutines of this recorder: (site, ticks since it began, how many
        are open below it in it) each."""
        return suspended_passes(self.opened())

    cdef object tagged_block(self, Handle* h, tag):
        cdef bint is_kept = self.store.timeline != 0
        cdef uint64_t number = self.tag_of(tag, is_kept)
        if is_kept:
            return st_new(new_tagged_block(<PyObject*>self, h, number))
        return st_new(new_block(<PyObject*>self, h))

    def block_at(self, track, name, str file, int line):
        """The block of a track and a name that belongs to a line of a file, whoever asks for it.

        track, name: as for `block`. file: what code calls it, as in `co_filename`. line: from 1 on, 0 for none.
        """
        return st_new(new_block(<PyObject*>self, self.handle(self._intern_block(track, name, file, line))))

    cdef Handle* learn_call_site(self, PyObject* code, int offset, track, name) except NULL:
        cdef CallSite site
        cdef Handle* h
        if code == NULL:
            return self.handle(self._intern_block(track, name, "<no Python code>", 0))
        held = <object>code
        line = PyCode_Addr2Line(<PyCodeObject*>code, offset)
        h = self.handle(self._intern_block(track, name, held.co_filename, line))
        if type(name) is not str or not (type(track) is int or type(track) is str):
            return h  # of a subclass: looked up by value each time
        site.code = code
        site.track = <PyObject*>track
        site.name = <PyObject*>name
        site.offset = offset
        site.hash = call_site_hash(code, offset, <str>name)
        site.handle = h
        hold_call_site(&site)
        if not add_call_site(self.store, &site):
            let_call_site_go(&site)
        return h

    def _forget_call_sites(self):
        """Has every call site looked up anew: what a track's name stands for has changed."""
        if not forget_call_sites(self.opened()):
            raise MemoryError("no memory to rename a track")


# Two methods made by hand: what takes arguments apart that may be left out takes longer than finding the block.

cdef PyTypeObject* STR = <PyTypeObject*><PyObject*>str

cdef inline Handle* known_block(Store* s, PyObject* track, PyObject* name) noexcept:
    """The handle of a block that the line which is running has asked for before, by the very same objects; or NULL."""
    cdef int offset = 0
    cdef PyObject* code = st_calling_code(&offset)
    if Py_TYPE(name) == STR and code != NULL and s != NULL:
        return find_call_site(s, code, offset, track, <str>name)
    return NULL

cdef object other_block(Recorder self, track, name, tag):
    """The same block in all other cases."""
    cdef int offset = 0
    cdef PyObject* code = st_calling_code(&offset)
    cdef Handle* h = known_block(self.store, <PyObject*>track, <PyObject*>name)
    if h == NULL:
        h = self.learn_call_site(code, offset, track, name)
    if tag is not None:
        return self.tagged_block(h, tag)
    return st_new(new_block(<PyObject*>self, h))

cdef object recorder_block(PyObject* self, PyObject** args, Py_ssize_t count, PyObject* keywords):
    cdef Handle* h
    if ST_LIKELY(count == 2 and keywords == NULL):
        h = known_block((<Recorder>self).store, args[0], args[1])
        if ST_LIKELY(h != NULL):
            return st_new(new_block(self, h))
        return other_block(<Recorder>self, <object>args[0], <object>args[1], None)
    return named_block(<Recorder>self, _Given().block, args, count, keywords)

cdef object recorder_block_named(PyObject* self, PyObject** args, Py_ssize_t count, PyObject* keywords):
    cdef Handle* h
    if ST_LIKELY(count == 2 and keywords == NULL):
        h = known_block((<Recorder>self).store, args[1], args[0])
        if ST_LIKELY(h != NULL):
            return st_new(new_block(self, h))
        return other_block(<Recorder>self, <object>args[1], <object>args[0], None)
    return named_block(<Recorder>self, _GivenByName().block, args, count, keywords)

cdef object named_block(Recorder self, take_apart, PyObject** args, Py_ssize_t count, PyObject* keywords):
    names = <tuple>keywords if keywords != NULL else ()
    positional = tuple([<object>args[i] for i in range(count)])
    named = {names[i]: <object>args[count + i] for i in range(len(names))}
    track, name, tag = take_apart(*positional, **named)
    return other_block(self, track, name, tag)

cdef class _Given:
    """Takes apart what `Recorder.block` is given, as `def` does."""

    def block(self, track, name, *, tag=None):
        return track, name, tag

cdef class _GivenByName:
    """The same for the default profiler's."""

    def block(self, name, track=0, *, tag=None):
        return track, name, tag

cdef extern from "Python.h":
    object PyDescr_NewMethod(PyTypeObject*, PyMethodDef*)
    void PyType_Modified(PyTypeObject*)
    const int METH_KEYWORDS

cdef extern from *:
    """
    #define st_dict_of(type) ((type)->tp_dict)
    """
    PyObject* st_dict_of(PyTypeObject*)

cdef PyMethodDef recorder_methods[2]

cdef int add_method(PyMethodDef* method, const char* name, void* function, const char* said) except -1:
    """Adds a method to `Recorder`, before there is any class over it."""
    method.ml_name = name
    method.ml_meth = function
    method.ml_flags = METH_FASTCALL | METH_KEYWORDS
    method.ml_doc = said
    (<dict>st_dict_of(<PyTypeObject*><PyObject*>Recorder))[name.decode()] = PyDescr_NewMethod(
        <PyTypeObject*><PyObject*>Recorder, method)
    PyType_Modified(<PyTypeObject*><PyObject*>Recorder)
    return 0

add_method(&recorder_methods[0], "block", <void*>recorder_block, b"""block($self, track, name, *, tag=None)
--

A context manager that records each pass through its `with` body as a pass of one block.

track: the track's index (an int from 0 on) or its name (a str). name: the block's name, a str that is not
empty. The block is the one of this line, track and name, whoever comes here, however often. It may be kept,
and entered again and again, recursively and by many threads at once. tag: what its passes are told by in the
timeline, a short str or an int; where none is kept, it means nothing.

Raises TypeError or ValueError, here and not at `with`, for a track, a name or a tag of another kind.""")
add_method(&recorder_methods[1], "_block_named", <void*>recorder_block_named, b"""_block_named($self, name, track=0, *, tag=None)
--

The same as `block`, for the default profiler. What calls it is the same Python code.""")


def marked(thing):
    """(what is called, or None for a block; its call site; its recorder) of a tracked callable or a block."""
    cdef PyObject* t = <PyObject*>thing
    cdef Marked* m
    if is_block(t):
        return None, (<Handle*>(<BlockObject*>t).handle).site, <object>(<BlockObject*>t).owner
    m = marked_of(t)
    if m == NULL:
        raise TypeError(f"what is marked is a tracked callable or a block, not a {type(thing).__name__}")
    return <object>m.callee, (<Handle*>m.handle).site, <object>m.owner


def track_code(Recorder recorder, code, unsigned int site):
    """Has each call of what a code object is the body of be a pass of a recorder's site, whoever makes it, from now on.

    Gives False, and changes nothing, if the recorder records them already. Raises RuntimeError where the interpreter does
    not say when code is entered: see `can_track_code`.
    """
    check_code(code)
    if not can_track_code():
        raise RuntimeError("this interpreter does not say when code is entered")
    return record_code(<PyObject*>code, <PyObject*>recorder, recorder.handle(site))


def tracks_code(Recorder recorder, code):
    """Whether a recorder records the calls of what a code object is the body of."""
    check_code(code)
    return is_recorded(<PyObject*>code, recorder.opened())


def site_of_code(Recorder recorder, code):
    """The number of the site that the calls of a code object are passes of; None if a recorder does not record them."""
    cdef Handle* h
    check_code(code)
    h = recorded_as(<PyObject*>code, recorder.opened())
    return h.site if h != NULL else None


def stop_tracking_code(Recorder recorder, codes):
    """Has a recorder record no further call of code objects; what is open is still recorded."""
    cdef list given = list(codes)
    for code in given:
        check_code(code)
    stop_recording_code(given, recorder.opened())


cdef int check_code(code) except -1:
    if not PyCode_Check(<PyObject*>code):
        raise TypeError(f"what is tracked here is a code object, not a {type(code).__name__}")
    return 0


def holding(tuple locks, action):
    """What an action returns while locks are held, taken in their order: no exception that a signal raises can come
    between taking one and guarding it."""
    cdef Py_ssize_t held = 0, count = len(locks)
    cdef list give_back = []
    for lock in locks:
        # Found before any is taken, and called without arguments: giving back a lock of `threading` takes no memory.
        give_back.append(lock.release if type(lock) is RLOCK else _Leaving(lock))
    try:
        while held < count:
            locks[held].__enter__()
            held += 1
        return action()
    finally:
        while held:
            held -= 1
            give_back[held]()


cdef object RLOCK = _thread.RLock

cdef class _Leaving:
    """Gives back what can only be entered and left."""
    cdef object leave

    def __init__(self, lock):
        self.leave = lock.__exit__

    def __call__(self):
        self.leave(None, None, None)


def set_everything_enabled(bint enabled):
    """Sets the switch for the whole process; each recorder's `_set_gates` then heeds it."""
    global everything_enabled
    everything_enabled = enabled

def heed_switches(Recorder recorder):
    """Opens or closes each track of a recorder by the switches, that for the whole process included."""
    recorder._set_gates()

def asking_by_name(Recorder recorder):
    """A function that is `recorder.block` with the name first, and asks for the line that calls it, as that does."""
    return recorder._block_named

def is_everything_enabled():
    """Whether the switch for the whole process is on."""
    return bool(everything_enabled)


# ---- the end of the process

cdef extern from "stdlib.h" nogil:
    void exit(int status)

cdef extern from "Python.h":
    int Py_AtExit(void (*func)() noexcept nogil)

cdef extern from "_end.h" nogil:
    void st_end_in_time(int number)
    void st_end_has_begun()

def end_in_time(int number):
    """Has a signal that Python code sees to end the process all the same when that has not begun in two seconds.

    In a child of a fork it is to be said again. `end_has_begun` says that the code has begun. Where the system has no
    timers that deliver signals, the code is waited for.
    """
    st_end_in_time(number)

def end_has_begun():
    """Lets the code that sees to a signal take its time; see `end_in_time`."""
    st_end_has_begun()

cdef int exit_status = 0

cdef void exit_at_end() noexcept nogil:
    exit(exit_status)

def exit_with(int status):
    """Has the process end with a status other than that with which the interpreter would end it.

    It acts when all else has been done, the interpreter's own end included.
    """
    global exit_status
    exit_status = status
    if Py_AtExit(exit_at_end) < 0:
        raise RuntimeError("there is no room for what is done at the very end")


# ---- clock

def use_clock(str source):
    """Chooses what passes are timed with, for the whole process: "counter", "monotonic", or "manual" for tests.

    Passes that are open or recorded already keep the ticks of the clock they were taken with.
    """
    global st_clock_kind
    if source == "counter":
        if not st_counter_name()[0]:
            raise ValueError("this processor has no counter that the clock could use")
        st_store32(&st_clock_kind, ST_CLOCK_COUNTER)
    elif source == "monotonic":
        st_store32(&st_clock_kind, ST_CLOCK_MONOTONIC)
    elif source == "manual":
        st_store32(&st_clock_kind, ST_CLOCK_MANUAL)
    else:
        raise ValueError(f"clock {source!r}: expected 'counter', 'monotonic' or 'manual'")

def clock_source():
    """The clock in use: "tsc", "cntvct", "mach_absolute_time", "qpc", "monotonic" or "manual"."""
    if st_clock_kind == ST_CLOCK_COUNTER:
        return st_counter_name().decode()
    return "monotonic" if st_clock_kind == ST_CLOCK_MONOTONIC else "manual"

def counter_name():
    """The name of this processor's counter, or ""."""
    return st_counter_name().decode()

def counter_is_invariant():
    """Whether the processor promises that its counter never changes its rate."""
    return bool(st_counter_is_invariant())

def degraded():
    """What is lost here, a sentence each, because this interpreter is not what the core knows."""
    lost = []
    if not st_frames_are_linked:
        lost.append("what a suspended generator has open is not told from what runs: its frames are unknown")
    if not st_contexts_are_linked:
        lost.append("a context's first pass is not placed below the context it was entered from: its fields are unknown")
    if ST_CAN_BE_TOLD and monitoring_tool == -2:
        lost.append("suspension is looked for at each pass: all numbers for sys.monitoring tools are taken")
    return lost

def set_manual_ticks(unsigned long long ticks):
    """Sets what the manual clock shows on this thread, in nanoseconds."""
    global st_manual_ticks
    st_manual_ticks = ticks

def set_manual_processor_time(unsigned long long ns):
    """Sets what this thread's processor time is under the manual clock, in nanoseconds."""
    global st_manual_processor_ns
    st_manual_processor_ns = ns

def processor_clock():
    """(what the clock of a thread's processor time is called here, "" where there is none; its smallest step in ns; what
    reading it takes, in ns): the least of many."""
    cdef uint64_t before, first, now, wall, step = <uint64_t>-1, cost = <uint64_t>-1
    cdef int i
    if not st_processor_clock()[0]:
        return "", 0, 0
    if st_clock_kind == ST_CLOCK_MANUAL:
        return "manual", 1, 0
    first = before = st_processor_ns()
    for i in range(200):
        wall = st_monotonic_ns()
        now = st_processor_ns()
        cost = min(cost, st_monotonic_ns() - wall)
        if 0 < now - before < step:
            step = now - before
        before = now
    return st_processor_clock().decode(), step if now != first else 0, cost

def read_clocks():
    """(ticks, monotonic ns, how far apart they may be in ns) of one moment: the closest of several readings."""
    cdef uint64_t ticks, ns
    cdef uint64_t apart = read_pair(&ticks, &ns)
    return ticks, ns, apart

cdef uint64_t read_pair(uint64_t* ticks_then, uint64_t* ns_then) noexcept nogil:
    cdef uint64_t before, ticks, after, closest = <uint64_t>-1
    cdef int i
    ticks_then[0] = ns_then[0] = 0
    for i in range(16):
        before = st_monotonic_ns()
        ticks = st_ticks()
        after = st_monotonic_ns()
        if after - before < closest:
            closest = after - before
            ticks_then[0] = ticks
            ns_then[0] = before + (after - before) // 2
    return closest

def ticks_of(str source):
    """What a clock shows now, whichever is in use: "counter", "monotonic" or "manual"."""
    return st_ticks_of(("counter", "monotonic", "manual").index(source))

def tick_resolution():
    """The smallest step other than 0 between readings of the clock, in ticks."""
    cdef uint64_t step = <uint64_t>-1, previous, now
    cdef int i
    if st_clock_kind == ST_CLOCK_MANUAL:
        return 1
    for i in range(1000):
        previous = st_ticks()
        now = st_ticks()
        if 0 < now - previous < step:
            step = now - previous
    return step

def measure_pass(unsigned int passes=500, unsigned int rounds=20, bint times=False):
    """What recording one pass takes, in ns: the least of several rounds, the call itself not counted. times: of one that
    takes processor time, too."""
    cdef Store* s = new_store(0, 16)
    cdef Handle* h
    cdef Buffer* b = NULL
    cdef Activation* a = NULL
    cdef uint64_t start, took, least = <uint64_t>-1
    cdef unsigned int i, j
    if s == NULL or not add_gate(s) or add_site(s, 0) == NULL:
        if s != NULL:
            free_store(s)
        raise MemoryError("no memory to measure a pass")
    # Whatever the switch for the process says.
    st_store64(&s.gates[0].session, s.session | (TIMES if times else 0))
    h = known_handle(s, 0)
    with nogil:
        for i in range(rounds):
            start = st_monotonic_ns()
            for j in range(passes):
                enter(h, &b, &a, NATIVE)
                if a != NULL:
                    leave(b, a, st_ticks(), RETURNED)
            took = st_monotonic_ns() - start
            least = min(least, took)
        free_store(s)
    return least / <double>passes


# ---- fork, and what tests look at

def after_fork_in_child():
    """Starts empty, with fresh locks. What a snapshot of another thread may have been changing is let go of, not
    looked at: its pages are the parent's until somebody writes them."""
    global stores_lock
    cdef Store* s = all_stores
    cdef Thread* t = <Thread*>st_this_thread
    stores_lock = PyThread_allocate_lock()
    st_renew_marks_lock()
    st_renew_run_locks()
    while s != NULL:
        s.lock = PyThread_allocate_lock()
        abandon_buffers(s, t)
        s.ended_first = s.ended_last = NULL
        s.folded = NULL
        s.ended_count = s.folded_threads = 0
        s.rings_first = s.rings_last = NULL
        s.rings = s.rings_passes = 0
        s.untimed = 0
        set_session(s)
        s = s.next
    if t != NULL:
        t.os_id = PyThread_get_thread_ident()
    cells_after_fork()

def stop_pulse():
    """Ends the thread that notes in files until when this process has lived, before a fork."""
    with nogil:
        st_stop_pulse()

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*function)(void*) noexcept, void* argument)

cdef int start_pulse(void* unused) noexcept:
    if first_file() != NULL:
        st_start_pulse(beat)
    return 0

def resume_pulse():
    """Has it go on, soon: who has just forked counts the threads, to warn of them."""
    Py_AddPendingCall(start_pulse, NULL)

def memory():
    """Counts of live C objects: {"stores", "buffers", "threads"}."""
    return {"stores": st_load64(&live_stores), "buffers": st_load64(&live_buffers),
            "threads": st_load64(&live_threads)}

cdef void* native_enter(Handle* h, Buffer** b) noexcept nogil:
    cdef Activation* a
    enter(h, b, &a, NATIVE)
    return a

cdef void native_leave(Buffer* b, Activation* a) noexcept nogil:
    leave(b, a, st_ticks(), RETURNED)

def native_entry_points(Recorder recorder, unsigned int site):
    """Addresses of (handle, enter, leave) for recording from threads that Python does not know.

    C: `void *enter(handle, void **buffer)`, NULL when not recorded, and `void leave(void *buffer, void *entered)`.
    The recorder must outlive their use, and its track be on.
    """
    return (<uintptr_t>recorder.handle(site), <uintptr_t>&native_enter, <uintptr_t>&native_leave)


def _learn_frames():
    """Looks up how the interpreter lays out its frames. Called once, from a Python function that another one called."""
    st_learn_frames()


exec("def outer():\n    inner()\ndef inner():\n    learn()\nouter()", {"learn": _learn_frames})
exec("def body():\n    learn(me)\n    yield\nme = body()\nnext(me)", {"learn": _learn_frame_offset})
if not st_at_fork(before_fork, forked_parent, forked):
    raise ImportError("stichotrope._core: the system takes no more handlers of forks")
if not st_on_thread_exit(end_thread):
    raise ImportError("stichotrope._core: the system gives no more thread-exit hooks")
