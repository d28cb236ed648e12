# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=python, binding=False
"""The hot path: clock, per-thread buffers, enter and leave, the tracked callable, the block, the snapshot.

Words used below
----------------
site        a call site as a small integer; its name, file and line are known to the Python layer only.
node        a calling-context-tree node, (parent node, site), owned by one thread.
activation  one open pass.
flow        a thread together with its current context; each has its own stack of activations.
store       the C half of a profiler: its sessions, its buffers, what is left of ended threads.
session     a number that is never used twice, taken by a store when it is made and at every clear. A track's gate
            holds its store's session, or 0 when the track is off, so that one comparison with the thread's cached
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

from cpython.object cimport PyObject
from cpython.mem cimport PyMem_RawMalloc, PyMem_RawCalloc, PyMem_RawRealloc, PyMem_RawFree
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

cdef extern from "_platform.h" nogil:
    bint ST_LIKELY(bint)
    bint ST_UNLIKELY(bint)
    uint32_t st_load32(const uint32_t*)
    uint64_t st_load64(const uint64_t*)
    void st_store32(uint32_t*, uint32_t)
    void st_store64(uint64_t*, uint64_t)
    uint32_t st_load32_acquire(const uint32_t*)
    uint64_t st_load64_acquire(const uint64_t*)
    void* st_loadp_acquire(void**)
    void st_store32_release(uint32_t*, uint32_t)
    void st_store64_release(uint64_t*, uint64_t)
    void st_storep_release(void**, void*)
    uint64_t st_add64(uint64_t*, uint64_t)
    int st_casp(void**, void*, void*)
    void st_fence_release()
    void st_fence_acquire()
    void st_pause()
    uint32_t st_top_bit(uint64_t)
    void st_add_square(uint64_t* low, uint64_t* high, uint64_t)
    const uint32_t ST_CLOCK_COUNTER
    const uint32_t ST_CLOCK_MONOTONIC
    const uint32_t ST_CLOCK_MANUAL
    uint32_t st_clock_kind
    uint64_t st_manual_ticks
    uint64_t st_ticks()
    uint64_t st_monotonic_ns()
    const char* st_counter_name()
    int st_counter_is_invariant()
    void* st_reserve(size_t)
    int st_commit(void*, size_t)
    void st_release(void*, size_t)
    int st_on_thread_exit(void (*)(void*) noexcept nogil)
    int st_watch_thread(void*)
    void* st_context()
    void* st_outer_context(void*)
    void* st_thread_state()
    ctypedef void* PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    int PyThread_acquire_lock(PyThread_type_lock, int)
    void PyThread_release_lock(PyThread_type_lock)
    unsigned long PyThread_get_thread_ident()
    const int WAIT_LOCK, NOWAIT_LOCK

cdef extern from "_platform.h":
    PyObject* st_calling_code(int* offset)
    void st_share(PyObject*)
    PyObject* st_call(PyObject*, PyObject**, size_t, PyObject*)
    object PyImport_GetModule(object)
    ctypedef struct PyCodeObject
    int PyCode_Addr2Line(PyCodeObject*, int)

cdef extern from *:
    """
    typedef struct { uint64_t session; void *buffer; } st_seat;
    /* A thread's way to its buffers: eight profilers at once without a look-up. */
    static ST_THREAD_LOCAL st_seat st_seats[8];
    static ST_THREAD_LOCAL void *st_this_thread;
    """
    ctypedef struct Seat "st_seat":
        uint64_t session
        void* buffer
    Seat* st_seats
    void* st_this_thread


# ---- what is stored -----------------------------------------------------------------------------------------------

cdef enum:
    LINE = 64                  # a cache line; every allocation in a buffer is a multiple of it
    NEAR_PAGES = 35            # octaves whose histogram page a node finds directly: up to 2**39 ticks
    OCTAVES = 60
    SUB_BUCKETS = 16
    SEATS = 8
    MAX_SITES = 1 << 24
    RESERVE = 64 << 20         # bytes of address space that a thread's buffer reserves, at most
    MERGE_RESERVE = 2047 << 20 # the same where the trees of many threads meet
    SMALLEST_RESERVE = 1 << 20

cdef enum:  # activation flags
    NESTED = 1                 # a pass of the same site is open below
    TRACK_NESTED = 2           # a pass of the same track is open below
    UNDER = 4                  # any pass is open below, though the node's place does not show it
    BILLED = 8                 # part of its time was already billed to a parent that was left before it
    BASED = 16                 # of a flow's bottom: the flow started under an open pass of another flow
    FLOW_ROOT = 32             # it lies directly on such a bottom
    BASE = 64                  # such a bottom lies on it
    DROPPED = 128              # it was open across a clear
    PAUSED = 512               # it was suspended, with the generator or coroutine that opened it, for a part of its time
    MUTED = 256                # entered while its track was off, only so that leaving finds its own
    ORDINARY = TRACK_NESTED    # what the straight way out can handle

cdef enum:  # flags of an edge of the tree, kept beside the node's offset
    LOOSE = 1                  # the edge folds back, or leads to "other paths": the place says nothing of nesting

cdef extern from *:
    """
    #define ST_NO_SITE 0xFFFFFFFFu
    #define ST_OTHER_PATHS 0xFFFFFFFEu
    #define ST_NO_LIMIT 0xFFFFFFFFu
    """
    const uint32_t NO_SITE "ST_NO_SITE"
    const uint32_t OTHER_PATHS "ST_OTHER_PATHS"
    const uint32_t NO_LIMIT "ST_NO_LIMIT"

cdef struct Store

cdef struct Handle:            # what a call needs to know of its site
    uint64_t* gate
    Store* store
    uint64_t site_bit
    uint64_t track_bit
    uint32_t site
    uint32_t track
    uint32_t seat

cdef struct Node:
    # One line, written on every pass.
    uint64_t finished          # passes recorded; written last
    uint64_t started           # the same; written first
    uint64_t total             # ticks, over all passes
    uint64_t child             # ticks that nested passes took
    uint64_t squares_low       # 128-bit sum of squared ticks
    uint64_t squares_high
    uint64_t minimum
    uint64_t maximum
    # Written when the node is made, and by passes that are not outermost.
    uint32_t parent
    uint32_t site
    uint32_t older             # the node made before this one: how readers enumerate them
    uint32_t extra             # offset of an Extra, or 0
    uint64_t nested            # part of total: passes with one of the same site open below
    uint64_t track_nested      # the same for the track
    uint64_t under             # the same for any pass, kept only where the node's place does not show it
    uint64_t suspended         # part of total that is not nested: what generators and coroutines did not run
    uint32_t pages[NEAR_PAGES]
    uint32_t unused

cdef struct Extra:             # what few nodes need
    uint32_t far_pages[OCTAVES - NEAR_PAGES]
    uint32_t carries[OCTAVES]  # pages of high halves, for counts that passed 2**32

cdef struct Activation:        # one line for every pass, a second one for few
    uint32_t next              # kept across passes: a warm stack is pushed by moving `top` alone
    uint32_t prev              # 0 for a flow's bottom
    uint32_t node
    uint32_t flags
    uint64_t start
    uint64_t child
    uint64_t site_mask         # a bit for each site open here and below (modulo 64), so that "not open" is one test
    uint64_t track_mask        # a bit for each track; the last bit stands for all from 63 on
    const Handle* handle       # the owner's own; readers know the site by the node
    uint64_t base              # of a BASED bottom: the offset of what it lies on
    uint64_t billed            # with BILLED: the part of its time that its parent is not to be billed
    uint64_t suspended         # with PAUSED: the part of its time that it was suspended for
    uint64_t unused[6]

cdef struct SiteState:         # a thread's memory of a site: where it was entered from last, and the node that led to
    uint32_t parent
    uint32_t node
    uint32_t edge
    uint32_t unused

cdef struct Map:               # open addressing, 64-bit keys (never 0) to 64-bit values; one owner
    uint64_t* slots            # key, value, key, value, …
    uint64_t mask              # capacity - 1
    uint64_t used

cdef struct Thread:
    uint64_t key               # our own counter
    uint64_t os_id
    uintptr_t python_thread    # address of the threading.Thread, only compared
    uint64_t ended             # set by the exit hook
    uint64_t references        # the thread itself, and each of its buffers
    char* name                 # UTF-8
    Map buffers                # store id -> Buffer*

cdef struct Base:              # an open activation that other flows lie on
    uint32_t activation
    uint32_t open_flows        # flows on it that have something open
    uint64_t since             # when the first of them opened
    Base* next

cdef struct Buffer:
    # The owner's own.
    uint32_t top
    uint32_t site_capacity
    SiteState* sites
    void* context
    uint64_t session           # atomic: readers check it
    uint32_t newest            # atomic: offset of the newest node
    uint32_t nodes
    uint32_t stack_used
    uint32_t data_used
    uint32_t data_start
    uint32_t committed_stack
    uint32_t committed_data
    uint32_t size
    uint32_t spare             # free activations, linked by `next`
    uint32_t other             # the "other paths" node, or 0
    uint32_t max_nodes
    uint32_t disordered
    void* adopted              # the context that the flow without one turned out to have
    Map children               # (parent offset << 32 | site + 1) -> node offset | edge << 32
    Map flows                  # context + 1 -> bottom... of the flows that are not current: top offset
    Base* bases
    uint64_t clamped           # passes whose clock went backwards
    uint64_t untimed           # passes that could not be given memory
    uint64_t unbinned          # passes whose place in the histogram could not be
    # The store's.
    Thread* thread
    Buffer* next
    uint64_t store_id

cdef struct Packed:            # a buffer's figures without the gaps
    uint64_t* words
    size_t used                # in words
    size_t capacity
    size_t nodes
    uint64_t clamped
    uint64_t untimed
    uint64_t unbinned

cdef struct Ended:             # what is kept of a thread that ended
    Thread* thread
    Packed packed
    Ended* next

cdef struct CallSite:          # where a block was asked for: what was given, and what it came to
    PyObject* code
    PyObject* name
    PyObject* track_name       # NULL where the track was given by its index
    int64_t track
    uint64_t hash
    int offset
    Handle* handle             # atomic: written last, never changed

cdef struct CallSites:
    CallSite* slots
    size_t mask
    size_t used
    CallSites* older           # still readable by whoever had it; freed with the store

cdef struct Store:
    uint64_t id
    uint64_t session           # atomic
    Buffer* buffers            # atomic: threads push their own
    uint64_t swept             # value of `threads_ended` at the last sweep
    PyThread_type_lock lock
    Ended* ended_first         # oldest first
    Ended* ended_last
    uint64_t ended_count
    uint64_t retain_threads
    Buffer* folded             # all older ended threads in one
    uint64_t folded_threads
    uint64_t untimed           # atomic: passes that had no buffer
    uint64_t unmatched         # atomic: set once an exit may rightly find no activation
    uint32_t max_nodes
    uint32_t site_count
    Handle** handles           # per site; what they point to stays where it is
    uint32_t gate_count
    uint64_t** gates           # per track; likewise
    CallSites* call_sites      # atomic
    Store* next                # all stores, under stores_lock

cdef uint64_t last_session = 0
cdef uint64_t last_thread_key = 0
cdef uint64_t last_store_id = 0
cdef uint64_t threads_ended = 0
cdef Store* all_stores = NULL
cdef PyThread_type_lock stores_lock = PyThread_allocate_lock()
cdef uint64_t live_stores = 0
cdef uint64_t live_buffers = 0
cdef uint64_t live_threads = 0

if sizeof(Node) != 4 * LINE or sizeof(Activation) != 2 * LINE:
    raise ImportError("stichotrope._core was built with a layout its code does not expect")


# ---- maps -----------------------------------------------------------------------------------------------------------

cdef inline uint64_t scatter(uint64_t key) noexcept nogil:
    # Fibonacci hashing (Knuth, TAOCP 3, 6.4): the high bits of the product are well mixed.
    return (key * <uint64_t>0x9E3779B97F4A7C15) >> 32

cdef uint64_t* map_find(Map* self, uint64_t key) noexcept nogil:
    """The slot that holds the key, or NULL."""
    if self.slots == NULL:
        return NULL
    cdef uint64_t i = scatter(key) & self.mask
    while self.slots[2 * i]:
        if self.slots[2 * i] == key:
            return &self.slots[2 * i]
        i = (i + 1) & self.mask
    return NULL

cdef void map_insert(Map* self, uint64_t key, uint64_t value) noexcept nogil:
    cdef uint64_t i = scatter(key) & self.mask
    while self.slots[2 * i]:
        i = (i + 1) & self.mask
    self.slots[2 * i] = key
    self.slots[2 * i + 1] = value
    self.used += 1

cdef bint map_grow(Map* self) noexcept nogil:
    cdef Map bigger
    cdef uint64_t i
    cdef uint64_t capacity = 16 if self.slots == NULL else 2 * (self.mask + 1)
    bigger.slots = <uint64_t*>PyMem_RawCalloc(2 * capacity, sizeof(uint64_t))
    if bigger.slots == NULL:
        return False
    bigger.mask = capacity - 1
    bigger.used = 0
    if self.slots != NULL:
        for i in range(self.mask + 1):
            if self.slots[2 * i]:
                map_insert(&bigger, self.slots[2 * i], self.slots[2 * i + 1])
        PyMem_RawFree(self.slots)
    self[0] = bigger
    return True

cdef bint map_put(Map* self, uint64_t key, uint64_t value) noexcept nogil:
    """Adds a key that is not there yet; False when there is no memory."""
    if self.slots == NULL or 4 * self.used >= 3 * (self.mask + 1):
        if not map_grow(self):
            return False
    map_insert(self, key, value)
    return True

cdef void map_remove(Map* self, uint64_t* slot) noexcept nogil:
    # Later entries of the run move up, so that no search is cut short by the gap (Knuth, 6.4, algorithm R).
    cdef uint64_t hole = <uint64_t>(slot - self.slots) // 2
    cdef uint64_t i = hole, home
    self.used -= 1
    while True:
        self.slots[2 * hole] = 0
        while True:
            i = (i + 1) & self.mask
            if self.slots[2 * i] == 0:
                return
            home = scatter(self.slots[2 * i]) & self.mask
            if ((i - home) & self.mask) >= ((i - hole) & self.mask):
                break
        self.slots[2 * hole] = self.slots[2 * i]
        self.slots[2 * hole + 1] = self.slots[2 * i + 1]
        hole = i

cdef void map_clear(Map* self) noexcept nogil:
    if self.slots != NULL:
        memset(self.slots, 0, 2 * (self.mask + 1) * sizeof(uint64_t))
    self.used = 0

cdef void map_free(Map* self) noexcept nogil:
    PyMem_RawFree(self.slots)
    self.slots = NULL
    self.used = 0


# ---- buffers --------------------------------------------------------------------------------------------------------

cdef inline Activation* activation_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Activation*>(<char*>b + offset)

cdef inline Node* node_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Node*>(<char*>b + offset)

cdef inline uint32_t offset_of(Buffer* b, void* item) noexcept nogil:
    return <uint32_t>(<char*>item - <char*>b)

cdef inline uint32_t lines(size_t size) noexcept nogil:
    return <uint32_t>((size + LINE - 1) // LINE * LINE)

cdef uint32_t take_data(Buffer* b, size_t size) noexcept nogil:
    """Offset of that many zeroed bytes, or 0."""
    cdef uint32_t offset = b.data_used
    cdef uint32_t wanted = lines(size)
    if wanted > b.size - offset:
        return 0
    if offset + wanted > b.committed_data:
        if not st_commit(<char*>b + b.committed_data, 1 << 16):
            return 0
        b.committed_data += 1 << 16
    b.data_used = offset + wanted
    return offset

cdef uint32_t take_activation(Buffer* b) noexcept nogil:
    """Offset of an activation that is in no chain, or 0."""
    cdef uint32_t offset = b.spare
    if offset:
        b.spare = activation_at(b, offset).next
        return offset
    offset = b.stack_used
    if offset + sizeof(Activation) > b.data_start:
        return 0
    if offset + sizeof(Activation) > b.committed_stack:
        if not st_commit(<char*>b + b.committed_stack, 1 << 16):
            return 0
        b.committed_stack += 1 << 16
    b.stack_used = offset + <uint32_t>sizeof(Activation)
    return offset

cdef uint32_t take_bottom(Buffer* b) noexcept nogil:
    """Offset of the bottom of a new, empty flow under nothing, or 0."""
    cdef uint32_t offset = take_activation(b)
    cdef Activation* a
    if offset:
        a = activation_at(b, offset)
        memset(a, 0, sizeof(Activation))
        a.node = b.data_start
    return offset

cdef void put_back(Buffer* b, uint32_t first) noexcept nogil:
    """Frees a chain of activations that is linked by `next`."""
    cdef uint32_t following
    while first:
        following = activation_at(b, first).next
        activation_at(b, first).next = b.spare
        b.spare = first
        first = following

cdef uint32_t new_node(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """Makes a node and shows it to readers; 0 when there is no room."""
    cdef uint32_t offset = take_data(b, sizeof(Node))
    cdef Node* n
    if offset:
        n = node_at(b, offset)
        st_store64(&n.minimum, <uint64_t>-1)
        st_store32(&n.parent, parent)
        st_store32(&n.site, site)
        st_store32(&n.older, b.newest)
        b.nodes += 1
        st_store32_release(&b.newest, offset)
    return offset

cdef Buffer* new_buffer(size_t size, uint32_t max_nodes) noexcept nogil:
    """An empty buffer of no thread and no session, or NULL."""
    cdef Buffer* b = <Buffer*>st_reserve(size)
    while b == NULL and size > SMALLEST_RESERVE:  # a limit on address space
        size //= 4
        b = <Buffer*>st_reserve(size)
    if b == NULL:
        return NULL
    cdef size_t data_start = size // 8
    if not (st_commit(b, 1 << 16) and st_commit(<char*>b + data_start, 1 << 16)):
        st_release(b, size)
        return NULL
    b.size = <uint32_t>size
    b.stack_used = lines(sizeof(Buffer))
    b.data_start = b.data_used = <uint32_t>data_start
    b.committed_stack = 1 << 16
    b.committed_data = <uint32_t>data_start + (1 << 16)
    b.max_nodes = max_nodes
    b.top = take_bottom(b)
    new_node(b, 0, NO_SITE)
    st_add64(&live_buffers, 1)
    return b

cdef void drop_thread(Thread* t) noexcept nogil:
    if st_add64(&t.references, <uint64_t>-1) == 0:
        PyMem_RawFree(t.name)
        PyMem_RawFree(t)
        st_add64(&live_threads, <uint64_t>-1)

cdef void free_bases(Buffer* b) noexcept nogil:
    cdef Base* following
    while b.bases != NULL:
        following = b.bases.next
        PyMem_RawFree(b.bases)
        b.bases = following

cdef void free_buffer(Buffer* b) noexcept nogil:
    if b.thread != NULL:
        drop_thread(b.thread)
    free_bases(b)
    map_free(&b.children)
    map_free(&b.flows)
    PyMem_RawFree(b.sites)
    st_release(b, b.size)
    st_add64(&live_buffers, <uint64_t>-1)

cdef void drop_chain(Buffer* b, uint32_t top) noexcept nogil:
    """Marks what is open in one flow as dropped: it will leave, and be recorded nowhere."""
    cdef Activation* a = activation_at(b, top)
    while True:
        a.node = b.data_start
        a.site_mask = 0
        a.track_mask = 0
        if a.prev == 0:
            return
        a.flags = (a.flags & (FLOW_ROOT | BASE | MUTED)) | DROPPED
        a = activation_at(b, a.prev)

cdef void reset_buffer(Buffer* b, uint64_t session) noexcept nogil:
    """Empties the buffer for a new session. The owner calls it; readers see the session change and look away."""
    cdef uint64_t i
    cdef uint32_t offset
    st_store64(&b.session, 0)
    st_fence_release()
    st_store32(&b.newest, 0)
    for offset in range(b.data_start, b.data_used, 8):
        st_store64(<uint64_t*>(<char*>b + offset), 0)
    b.data_used = b.data_start
    b.nodes = 0
    b.other = 0
    b.clamped = 0
    b.untimed = 0
    b.unbinned = 0
    map_clear(&b.children)
    if b.site_capacity:
        memset(b.sites, 0, b.site_capacity * sizeof(SiteState))
    new_node(b, 0, NO_SITE)
    drop_chain(b, b.top)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                drop_chain(b, <uint32_t>b.flows.slots[2 * i + 1])
    st_store64_release(&b.session, session)


# ---- threads ----------------------------------------------------------------------------------------------------------

cdef void end_thread(void* thread) noexcept nogil:
    """The exit hook: pure C, takes no lock. Its buffers stay with their stores until somebody sweeps them."""
    cdef Thread* t = <Thread*>thread
    cdef uint32_t i
    global st_this_thread
    st_this_thread = NULL
    for i in range(SEATS):
        st_seats[i].session = 0
    map_free(&t.buffers)
    st_store64_release(&t.ended, 1)
    st_add64(&threads_ended, 1)
    drop_thread(t)

cdef void name_thread(Thread* t) noexcept:
    """Notes the name that `threading` knows the thread by, without running any Python code.

    A missing name is no error: the thread may not have been made by `threading`.
    """
    try:
        threading = PyImport_GetModule("threading")
        thread = threading._active.get(PyThread_get_thread_ident())
        if thread is None:
            return
        t.python_thread = <uintptr_t><PyObject*>thread
        name = thread._name.encode("utf-8", "replace")
        t.name = <char*>PyMem_RawMalloc(len(name) + 1)
        if t.name != NULL:
            memcpy(t.name, <char*>name, len(name) + 1)
    except Exception:
        return

ctypedef void (*pure)(Thread*) noexcept nogil

cdef Thread* this_thread() noexcept nogil:
    """The calling thread's record, made at its first pass, or NULL when there is no memory."""
    global st_this_thread
    cdef Thread* t = <Thread*>st_this_thread
    if t != NULL:
        return t
    t = <Thread*>PyMem_RawCalloc(1, sizeof(Thread))
    if t == NULL:
        return NULL
    t.key = st_add64(&last_thread_key, 1)
    t.os_id = PyThread_get_thread_ident()
    t.references = 1
    st_add64(&live_threads, 1)
    st_this_thread = t
    st_watch_thread(t)
    if st_thread_state() != NULL:
        # It holds the GIL, or is attached; a thread that Python does not know has no name.
        (<pure>name_thread)(t)
    return t

cdef bint store_lives(uint64_t store_id) noexcept nogil:
    cdef Store* s = all_stores
    while s != NULL and s.id != store_id:
        s = s.next
    return s != NULL

cdef void forget_dead_stores(Thread* t) noexcept nogil:
    """Removes the thread's entries of stores that are gone, before its map grows for them."""
    cdef Map kept
    cdef uint64_t i
    if t.buffers.slots == NULL or not PyThread_acquire_lock(stores_lock, NOWAIT_LOCK):
        return
    memset(&kept, 0, sizeof(Map))
    for i in range(t.buffers.mask + 1):
        if t.buffers.slots[2 * i] and store_lives(t.buffers.slots[2 * i]):
            if not map_put(&kept, t.buffers.slots[2 * i], t.buffers.slots[2 * i + 1]):
                map_free(&kept)
                PyThread_release_lock(stores_lock)
                return
    PyThread_release_lock(stores_lock)
    map_free(&t.buffers)
    t.buffers = kept

cdef Buffer* known_buffer(Store* s) noexcept nogil:
    """The calling thread's buffer in a store, or NULL when it never recorded there."""
    cdef Thread* t = <Thread*>st_this_thread
    cdef uint64_t* slot
    if t == NULL:
        return NULL
    slot = map_find(&t.buffers, s.id)
    return <Buffer*><uintptr_t>slot[1] if slot != NULL else NULL

cdef Buffer* join_store(Store* s) noexcept nogil:
    """Gives the calling thread a buffer in a store, or NULL when there is no memory. Waits for nobody."""
    cdef Thread* t = this_thread()
    cdef Buffer* b
    if t == NULL:
        return NULL
    if t.buffers.slots == NULL or 4 * t.buffers.used >= 3 * (t.buffers.mask + 1):
        forget_dead_stores(t)
    sweep_if_free(s)
    b = new_buffer(RESERVE, s.max_nodes)
    if b == NULL:
        return NULL
    b.context = st_context()
    b.store_id = s.id
    if not map_put(&t.buffers, s.id, <uintptr_t>b):
        free_buffer(b)
        return NULL
    b.thread = t
    st_add64(&t.references, 1)
    st_store64_release(&b.session, st_load64_acquire(&s.session))
    while True:
        b.next = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
        if st_casp(<void**>&s.buffers, b.next, b):
            return b

cdef Buffer* settle(Handle* h) noexcept nogil:
    """The slow way to the thread's buffer: first use, another profiler on this seat, or cleared since."""
    cdef Store* s = h.store
    cdef Buffer* b = known_buffer(s)
    if b == NULL:
        b = join_store(s)
        if b == NULL:
            st_add64(&s.untimed, 1)
            st_store64(&s.unmatched, 1)
            return NULL
    cdef uint64_t session = st_load64_acquire(&s.session)
    if b.session != session:
        reset_buffer(b, session)
    st_seats[h.seat].session = session
    st_seats[h.seat].buffer = b
    return b


# ---- the tree -----------------------------------------------------------------------------------------------------------

cdef uint32_t fold_target(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """The ancestor-or-self of `parent` that stands for the site, or 0: recursion folds back onto it."""
    while parent:
        if node_at(b, parent).site == site:
            return parent
        parent = node_at(b, parent).parent
    return 0

cdef uint64_t add_child(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """Makes the edge from a node along a site: node offset | edge flags << 32, or 0 when there is no room."""
    cdef uint64_t key = (<uint64_t>parent << 32) | (site + 1)
    cdef uint64_t found
    cdef uint64_t* slot
    if b.nodes > b.max_nodes and parent != b.other:
        # The tree is full: the pass is recorded under "other paths", where each site has one node.
        if b.other == 0:
            b.other = new_node(b, b.data_start, OTHER_PATHS)
            if b.other == 0:
                return 0
        slot = map_find(&b.children, (<uint64_t>b.other << 32) | (site + 1))
        return slot[1] if slot != NULL else add_child(b, b.other, site)
    found = fold_target(b, parent, site)
    if found:
        found |= <uint64_t>LOOSE << 32
    else:
        found = new_node(b, parent, site)
        if found == 0:
            return 0
        if parent == b.other:
            found |= <uint64_t>LOOSE << 32
    if not map_put(&b.children, key, found):
        return 0
    return found

cdef bint grow_sites(Buffer* b, uint32_t site) noexcept nogil:
    cdef uint32_t capacity = 32
    cdef SiteState* sites
    while capacity <= site:
        capacity *= 2
    sites = <SiteState*>PyMem_RawRealloc(b.sites, capacity * sizeof(SiteState))
    if sites == NULL:
        return False
    memset(sites + b.site_capacity, 0, (capacity - b.site_capacity) * sizeof(SiteState))
    b.sites = sites
    b.site_capacity = capacity
    return True

cdef bint find_child(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """Points the site's state at the node below `parent`; False when there is no memory for it."""
    cdef uint64_t* slot
    cdef uint64_t found
    if site >= b.site_capacity and not grow_sites(b, site):
        return False
    slot = map_find(&b.children, (<uint64_t>parent << 32) | (site + 1))
    found = slot[1] if slot != NULL else add_child(b, parent, site)
    if found == 0:
        return False
    b.sites[site].parent = parent
    b.sites[site].node = <uint32_t>found
    b.sites[site].edge = <uint32_t>(found >> 32)
    return True

cdef uint32_t* page_slot(Buffer* b, Node* n, uint32_t octave) noexcept nogil:
    """Where the offset of an octave's page stands, or NULL when there is no memory."""
    if octave < NEAR_PAGES:
        return &n.pages[octave]
    if n.extra == 0:
        st_store32_release(&n.extra, take_data(b, sizeof(Extra)))
        if n.extra == 0:
            return NULL
    return &(<Extra*>(<char*>b + n.extra)).far_pages[octave - NEAR_PAGES]

cdef uint32_t* bucket(Buffer* b, Node* n, uint32_t octave, uint32_t sub) noexcept nogil:
    """The counter of a bucket, its page made when missing; NULL when there is no memory."""
    cdef uint32_t* slot = page_slot(b, n, octave)
    if slot == NULL:
        return NULL
    if slot[0] == 0:
        st_store32_release(slot, take_data(b, SUB_BUCKETS * sizeof(uint32_t)))
        if slot[0] == 0:
            return NULL
    return <uint32_t*>(<char*>b + slot[0]) + sub

cdef void carry_bucket(Buffer* b, Node* n, uint32_t octave, uint32_t sub, uint32_t amount) noexcept nogil:
    """Adds to the high half of a bucket's count."""
    cdef Extra* extra
    cdef uint32_t* count
    if n.extra == 0:
        st_store32_release(&n.extra, take_data(b, sizeof(Extra)))
        if n.extra == 0:
            b.unbinned += 1
            return
    extra = <Extra*>(<char*>b + n.extra)
    if extra.carries[octave] == 0:
        st_store32_release(&extra.carries[octave], take_data(b, SUB_BUCKETS * sizeof(uint32_t)))
        if extra.carries[octave] == 0:
            b.unbinned += 1
            return
    count = <uint32_t*>(<char*>b + extra.carries[octave]) + sub
    st_store32(count, count[0] + amount)

cdef void count_rare(Buffer* b, Node* n, uint32_t octave, uint32_t sub) noexcept nogil:
    """The histogram's slow way: a page that is not there yet or is found through the node's Extra, or an overflow."""
    cdef uint32_t* count = bucket(b, n, octave, sub)
    if count == NULL:
        b.unbinned += 1
        return
    st_store32(count, count[0] + 1)
    if count[0] == 0:
        carry_bucket(b, n, octave, sub, 1)


# ---- enter and leave ------------------------------------------------------------------------------------------------------

cdef bint is_open(Buffer* b, Activation* a, uint32_t site, uint32_t track) noexcept nogil:
    """Whether a pass of the site (or, with NO_SITE, of the track) is open at an activation or below it."""
    while True:
        if a.prev == 0:
            if not a.flags & BASED:
                return False
            a = activation_at(b, <uint32_t>a.base)
            continue
        if not a.flags & (DROPPED | MUTED) and (
                a.handle.site == site or (site == NO_SITE and a.handle.track == track)):
            return True
        a = activation_at(b, a.prev)

cdef uint32_t nesting(Buffer* b, Activation* top, const Handle* h, uint32_t edge) noexcept nogil:
    """The flags of a pass that starts above `top`, for the cases in which it is not plainly the first of its kind."""
    cdef uint32_t flags = 0
    if top.site_mask & h.site_bit and is_open(b, top, h.site, 0):
        flags |= NESTED
    if top.track_mask & h.track_bit:
        if h.track < 63 or is_open(b, top, NO_SITE, h.track):
            flags |= TRACK_NESTED
    if edge & LOOSE and (top.prev != 0 or top.flags & BASED):
        flags |= UNDER
    return flags

cdef uint32_t extend_stack(Buffer* b, Activation* top) noexcept nogil:
    cdef uint32_t offset = take_activation(b)
    if offset:
        activation_at(b, offset).next = 0
        activation_at(b, offset).prev = offset_of(b, top)
        top.next = offset
    return offset

cdef inline Activation* push(Buffer* b, const Handle* h) noexcept nogil:
    """Opens a pass on the current flow, clock not yet read; NULL when there is no memory for it."""
    cdef Activation* top = activation_at(b, b.top)
    cdef SiteState* state
    cdef uint32_t offset, flags
    cdef Activation* a
    if ST_UNLIKELY(h.site >= b.site_capacity or b.sites[h.site].parent != top.node):
        if not find_child(b, top.node, h.site):
            b.untimed += 1
            return NULL
    state = &b.sites[h.site]
    offset = top.next
    if ST_UNLIKELY(offset == 0):
        offset = extend_stack(b, top)
        if offset == 0:
            b.untimed += 1
            return NULL
    a = activation_at(b, offset)
    a.node = state.node
    a.handle = h
    a.child = 0
    a.site_mask = top.site_mask | h.site_bit
    a.track_mask = top.track_mask | h.track_bit
    flags = 0
    if (top.site_mask & h.site_bit) | (top.track_mask & h.track_bit) | state.edge:
        flags = nesting(b, top, h, state.edge)
    if ST_UNLIKELY(top.flags & BASED):
        flags |= FLOW_ROOT
        open_on_base(b, top)
    a.flags = flags
    b.top = offset
    return a

cdef inline Activation* enter(const Handle* h, Buffer** owner) noexcept nogil:
    """Opens a pass; its clock starts last. NULL when it can't be recorded: it was counted as untimed."""
    cdef Seat* seat = &st_seats[h.seat]
    cdef Buffer* b = <Buffer*>seat.buffer
    cdef Activation* a
    cdef void* context
    if ST_UNLIKELY(seat.session != st_load64(h.gate)):
        b = settle(<Handle*>h)
        if b == NULL:
            return NULL
    context = st_context()
    if ST_UNLIKELY(context != b.context):
        if not switch_flow(b, context):
            b.untimed += 1
            return NULL
    a = push(b, h)
    if ST_LIKELY(a != NULL):
        owner[0] = b
        a.start = st_ticks()
    else:
        st_store64(&h.store.unmatched, 1)
    return a

cdef inline uint64_t elapsed(Buffer* b, uint64_t start, uint64_t now) noexcept nogil:
    if ST_UNLIKELY(<int64_t>(now - start) < 0):
        b.clamped += 1
        return 0
    return now - start

cdef inline void record(Buffer* b, Activation* a, uint64_t ticks, uint32_t flags) noexcept nogil:
    """Writes one pass into its node."""
    cdef Node* n = node_at(b, a.node)
    cdef uint64_t passes = n.finished + 1
    cdef uint64_t biased = ticks + SUB_BUCKETS
    cdef uint32_t octave = st_top_bit(biased) - 4
    cdef uint32_t sub = <uint32_t>(biased >> octave) & (SUB_BUCKETS - 1)
    cdef uint32_t page, count
    cdef uint32_t* counts
    st_store64(&n.started, passes)
    st_fence_release()
    st_store64(&n.total, n.total + ticks)
    st_store64(&n.child, n.child + a.child)
    st_add_square(&n.squares_low, &n.squares_high, ticks)
    if ticks < n.minimum:
        st_store64(&n.minimum, ticks)
    if ticks > n.maximum:
        st_store64(&n.maximum, ticks)
    page = n.pages[octave] if ST_LIKELY(octave < NEAR_PAGES) else 0
    counts = <uint32_t*>(<char*>b + page) + sub
    if ST_LIKELY(page != 0 and counts[0] != <uint32_t>-1):
        st_store32(counts, counts[0] + 1)
    else:
        count_rare(b, n, octave, sub)
    if flags:
        if flags & TRACK_NESTED:
            st_store64(&n.track_nested, n.track_nested + ticks)
        if flags & NESTED:
            st_store64(&n.nested, n.nested + ticks)
        if flags & UNDER:
            st_store64(&n.under, n.under + ticks)
        if flags & PAUSED and not flags & NESTED:
            st_store64(&n.suspended, n.suspended + a.suspended)
    st_store64_release(&n.finished, passes)

cdef inline void leave(Buffer* b, Activation* a) noexcept nogil:
    """Closes a pass and records it."""
    cdef uint64_t now = st_ticks()
    cdef uint64_t ticks
    cdef Activation* below
    if ST_UNLIKELY(b.top != offset_of(b, a) or a.flags & ~<uint32_t>ORDINARY):
        leave_irregular(b, a, now)
        return
    ticks = elapsed(b, a.start, now)
    below = activation_at(b, a.prev)
    b.top = a.prev
    below.child += ticks
    record(b, a, ticks, a.flags)

cdef uint32_t flow_holding(Buffer* b, Activation* a, uint64_t** slot) noexcept nogil:
    """Whether the activation is the top of a flow that is not current: that flow's entry in `slot`."""
    cdef uint64_t i
    slot[0] = NULL
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and b.flows.slots[2 * i + 1] == offset_of(b, a):
                slot[0] = &b.flows.slots[2 * i]
                return True
    return False

cdef void unlink(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Takes an activation out of whatever flow it is in, top or not, and bills what lies on it to what it lay on."""
    cdef uint32_t offset = offset_of(b, a)
    cdef Activation* above
    cdef uint64_t* slot
    cdef uint64_t span
    if b.top == offset:
        b.top = a.prev
        return  # it stays linked above the new top, ready for the next pass
    if flow_holding(b, a, &slot):
        slot[1] = a.prev
        if activation_at(b, a.prev).prev == 0:  # that flow is empty now, and an empty flow has no entry
            map_remove(&b.flows, slot)
            put_back(b, a.prev)
        return
    above = activation_at(b, a.next)
    # What is above went on while this one closed: its time so far was spent inside this one.
    span = elapsed(b, above.start, now)
    if not above.flags & (MUTED | DROPPED):
        a.child += span - (above.billed if above.flags & BILLED else 0)
    above.billed = span
    above.flags |= BILLED | (a.flags & FLOW_ROOT)
    a.flags &= ~<uint32_t>FLOW_ROOT
    above.prev = a.prev
    activation_at(b, a.prev).next = a.next
    a.next = 0
    put_back(b, offset)

cdef void leave_irregular(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Closes a pass that is not on top, or has something to settle with other passes first."""
    cdef uint64_t ticks = elapsed(b, a.start, now)
    cdef uint32_t flags = a.flags
    cdef uint64_t billed = a.billed if flags & BILLED else 0
    cdef Activation* below
    if flags & BASE:
        leave_base(b, a, now)
    below = activation_at(b, a.prev)
    unlink(b, a, now)
    if a.flags & FLOW_ROOT:
        close_on_base(b, below, now)
    elif flags & MUTED:
        below.child += a.child
    else:
        below.child += ticks - billed
    if not flags & (MUTED | DROPPED):
        if flags & PAUSED:
            a.child += a.suspended
        record(b, a, ticks, flags)

cdef Activation* mute(Buffer* b, const Handle* h) noexcept nogil:
    """Opens a pass that will not be recorded, if leaving it could be mistaken for leaving one that will."""
    cdef Activation* top = activation_at(b, b.top)
    cdef uint32_t offset
    cdef Activation* a
    if not (top.site_mask & h.site_bit and is_open(b, top, h.site, 0)):
        return NULL
    offset = top.next if top.next else extend_stack(b, top)
    if offset == 0:
        return NULL
    a = activation_at(b, offset)
    a.node = top.node
    a.handle = h
    a.child = 0
    a.site_mask = top.site_mask
    a.track_mask = top.track_mask
    a.flags = MUTED
    if top.flags & BASED:
        a.flags |= FLOW_ROOT
        open_on_base(b, top)
    b.top = offset
    a.start = st_ticks()
    return a

cdef Buffer* current_buffer(const Handle* h) noexcept nogil:
    """The calling thread's buffer in the handle's store, whether its track is on or not, or NULL."""
    cdef Seat* seat = &st_seats[h.seat]
    if ST_LIKELY(seat.session == st_load64(&h.store.session)):
        return <Buffer*>seat.buffer
    return known_buffer(h.store)

cdef void enter_block(const Handle* h) noexcept nogil:
    cdef Buffer* b
    if ST_LIKELY(st_load64(h.gate) != 0):
        enter(h, &b)
        return
    b = current_buffer(h)
    if b != NULL and st_context() == b.context:
        mute(b, h)

cdef Activation* innermost(Buffer* b, uint32_t top, const Handle* h) noexcept nogil:
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        if a.handle == h:
            return a
        a = activation_at(b, a.prev)
    return NULL

cdef Activation* find_open(Buffer* b, const Handle* h) noexcept nogil:
    """The innermost open pass of a site: in the current flow, else (closed by the collector) in any other."""
    cdef Activation* a = innermost(b, b.top, h)
    cdef uint64_t i
    if a == NULL and b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and a == NULL:
                a = innermost(b, <uint32_t>b.flows.slots[2 * i + 1], h)
    return a

cdef bint leave_block(const Handle* h) noexcept nogil:
    """Closes the innermost open pass of the site; False when there is none and there should be."""
    cdef Buffer* b = current_buffer(h)
    cdef Activation* a
    cdef void* context
    if ST_LIKELY(b != NULL):
        if ST_UNLIKELY(b.flows.used):  # else whatever is open is in the one flow, whoever is running
            context = st_context()
            if context != b.context and not switch_flow(b, context):
                return True
        a = activation_at(b, b.top)
        if ST_UNLIKELY(a.handle != h):
            a = find_open(b, h)
        if ST_LIKELY(a != NULL):
            leave(b, a)
            return True
    return st_load64(&h.store.unmatched) != 0


# ---- flows ----------------------------------------------------------------------------------------------------------------

cdef inline uint64_t flow_key(void* context) noexcept nogil:
    return <uint64_t><uintptr_t>context + 1

cdef uint64_t* find_flow(Buffer* b, void* context) noexcept nogil:
    """The entry of a flow that is not current and not empty, or NULL."""
    cdef uint64_t* slot = map_find(&b.flows, flow_key(context))
    if slot == NULL and context == NULL and b.adopted != NULL:
        slot = map_find(&b.flows, flow_key(b.adopted))
    return slot

cdef Base* base_of(Buffer* b, uint32_t activation) noexcept nogil:
    cdef Base* base = b.bases
    while base != NULL and base.activation != activation:
        base = base.next
    return base

cdef void lay_on(Buffer* b, Activation* bottom, uint32_t activation) noexcept nogil:
    """Puts a flow's bottom on an open activation of another flow: what it opens is that one's child."""
    cdef Activation* a = activation_at(b, activation)
    cdef Base* base = base_of(b, activation)
    if base == NULL:
        base = <Base*>PyMem_RawCalloc(1, sizeof(Base))
        if base == NULL:
            return  # the flow starts under nothing: its own figures are right all the same
        base.activation = activation
        base.next = b.bases
        b.bases = base
    a.flags |= BASE
    bottom.flags = BASED
    bottom.base = activation
    bottom.node = a.node
    bottom.site_mask = a.site_mask
    bottom.track_mask = a.track_mask

cdef void place_bottom(Buffer* b, Activation* bottom, void* context) noexcept nogil:
    """Says under what a new flow starts: what was open where its context was entered."""
    cdef uint64_t* slot
    cdef int depth
    bottom.flags = 0
    bottom.base = 0
    bottom.node = b.data_start
    bottom.site_mask = 0
    bottom.track_mask = 0
    if b.flows.used == 0:
        return
    for depth in range(1000):
        if context == NULL:
            return
        context = st_outer_context(context)
        slot = find_flow(b, context)
        if slot != NULL:
            lay_on(b, bottom, <uint32_t>slot[1])
            return

cdef bint save_flow(Buffer* b) noexcept nogil:
    """Puts the current flow aside if anything is open in it, and leaves an empty one; False when there is no memory."""
    cdef uint32_t bottom
    if activation_at(b, b.top).prev == 0:
        if b.context == b.adopted:
            b.adopted = NULL
        return True
    bottom = take_bottom(b)
    if bottom == 0 or not map_put(&b.flows, flow_key(b.context), b.top):
        put_back(b, bottom)
        return False
    b.top = bottom
    return True

cdef bint switch_flow(Buffer* b, void* context) noexcept nogil:
    """Makes the flow of a context the current one."""
    cdef uint64_t* slot
    if activation_at(b, b.top).prev != 0 and find_flow(b, context) == NULL:
        if b.context == NULL:
            # The thread had no context until now; this is the one it got, or one that was entered from none.
            b.adopted = context
            b.context = context
            return True
        if context == NULL and b.context == b.adopted:
            b.adopted = NULL
            b.context = NULL
            return True
    if not save_flow(b):
        return False
    slot = find_flow(b, context)
    if slot != NULL:
        put_back(b, b.top)
        b.top = <uint32_t>slot[1]
        map_remove(&b.flows, slot)
    else:
        place_bottom(b, activation_at(b, b.top), context)
    b.context = context
    return True

cdef void open_on_base(Buffer* b, Activation* bottom) noexcept nogil:
    cdef Base* base = base_of(b, <uint32_t>bottom.base)
    if base.open_flows == 0:
        base.since = st_ticks()
    base.open_flows += 1

cdef void close_on_base(Buffer* b, Activation* bottom, uint64_t now) noexcept nogil:
    """A flow on a base has nothing open any more. The base is billed the time in which any of its flows had."""
    cdef Base* base
    if not bottom.flags & BASED:
        return
    base = base_of(b, <uint32_t>bottom.base)
    base.open_flows -= 1
    if base.open_flows == 0:
        activation_at(b, base.activation).child += elapsed(b, base.since, now)

cdef void move_bottom(Buffer* b, uint32_t top, Activation* old) noexcept nogil:
    """Puts the flow that ends in `top`, if it lies on `old`, on what `old` lies on."""
    cdef Activation* a = activation_at(b, top)
    cdef Activation* below = activation_at(b, old.prev)
    cdef bint has_open = a.prev != 0
    cdef Base* base
    while a.prev:
        a = activation_at(b, a.prev)
    if not a.flags & BASED or a.base != offset_of(b, old):
        return
    a.flags = 0
    if below.prev == 0:
        if not below.flags & BASED:
            return
        lay_on(b, a, <uint32_t>below.base)
    else:
        lay_on(b, a, old.prev)
    if has_open and a.flags & BASED:
        open_on_base(b, a)

cdef void leave_base(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """An activation closes while flows lie on it: they are settled with it and moved to what it lies on."""
    cdef Base** link = &b.bases
    cdef Base* base
    cdef uint64_t i
    while link[0].activation != offset_of(b, a):
        link = &link[0].next
    base = link[0]
    if base.open_flows:
        a.child += elapsed(b, base.since, now)
    link[0] = base.next
    PyMem_RawFree(base)
    move_bottom(b, b.top, a)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                move_bottom(b, <uint32_t>b.flows.slots[2 * i + 1], a)


# ---- packing: a buffer's figures as one run of words, torn nowhere -----------------------------------------------------

cdef enum:  # words of a packed node, then `pages` times: octave, 16 counts two to a word
    W_PARENT = 0               # its parent's number in the run, -1 for a top node
    W_SITE = 1
    W_PAGES = 2
    W_PASSES = 3
    W_TOTAL = 4
    W_CHILD = 5
    W_SQUARES_LOW = 6
    W_SQUARES_HIGH = 7
    W_MINIMUM = 8
    W_MAXIMUM = 9
    W_NESTED = 10
    W_TRACK_NESTED = 11
    W_UNDER = 12
    W_SUSPENDED = 13
    NODE_WORDS = 14
    PAGE_WORDS = 9
    CARRY = 256                # added to an octave: these are high halves

cdef bint reserve_words(Packed* p, size_t more) noexcept nogil:
    cdef size_t capacity = p.capacity
    cdef uint64_t* words
    if p.used + more <= capacity:
        return True
    capacity = 2 * (p.used + more)
    words = <uint64_t*>PyMem_RawRealloc(p.words, capacity * sizeof(uint64_t))
    if words == NULL:
        return False
    p.words = words
    p.capacity = capacity
    return True

cdef inline bint is_within(Buffer* b, uint32_t offset, size_t size) noexcept nogil:
    # A reader may look at a buffer that its owner is emptying, and take a count for an offset. It finds out by the
    # session, afterwards; until then it must stay inside.
    return offset >= b.data_start and offset % LINE == 0 and offset + size <= b.size

cdef void pack_page(Buffer* b, uint32_t offset, uint32_t octave, Packed* p) noexcept nogil:
    cdef uint64_t* words = p.words + p.used
    cdef uint64_t* page
    cdef uint32_t i
    if not is_within(b, offset, LINE):
        return
    page = <uint64_t*>(<char*>b + offset)
    words[0] = octave
    for i in range(PAGE_WORDS - 1):
        words[1 + i] = st_load64(page + i)
    p.used += PAGE_WORDS

cdef void pack_pages(Buffer* b, Node* n, Packed* p) noexcept nogil:
    cdef uint32_t octave, offset
    cdef Extra* extra
    for octave in range(NEAR_PAGES):
        offset = st_load32_acquire(&n.pages[octave])
        if offset:
            pack_page(b, offset, octave, p)
    offset = st_load32_acquire(&n.extra)
    if not offset or not is_within(b, offset, sizeof(Extra)):
        return
    extra = <Extra*>(<char*>b + offset)
    for octave in range(OCTAVES - NEAR_PAGES):
        offset = st_load32_acquire(&extra.far_pages[octave])
        if offset:
            pack_page(b, offset, NEAR_PAGES + octave, p)
    for octave in range(OCTAVES):
        offset = st_load32_acquire(&extra.carries[octave])
        if offset:
            pack_page(b, offset, CARRY + octave, p)

cdef void pack_figures(Node* n, uint64_t* words) noexcept nogil:
    words[W_TOTAL] = st_load64(&n.total)
    words[W_CHILD] = st_load64(&n.child)
    words[W_SQUARES_LOW] = st_load64(&n.squares_low)
    words[W_SQUARES_HIGH] = st_load64(&n.squares_high)
    words[W_MINIMUM] = st_load64(&n.minimum)
    words[W_MAXIMUM] = st_load64(&n.maximum)
    words[W_NESTED] = st_load64(&n.nested)
    words[W_TRACK_NESTED] = st_load64(&n.track_nested)
    words[W_UNDER] = st_load64(&n.under)
    words[W_SUSPENDED] = st_load64(&n.suspended)

cdef bint is_steady(Node* n, uint64_t passes) noexcept nogil:
    """Whether what was read since `finished` gave `passes` belongs to exactly these passes."""
    st_fence_acquire()
    return st_load64(&n.started) == passes

cdef uint64_t bucket_count(uint64_t* page, uint32_t sub) noexcept nogil:
    return (<uint32_t*>(page + 1))[sub]

cdef uint64_t packed_count(uint64_t* words) noexcept nogil:
    """Passes in a packed node's histogram."""
    cdef uint64_t* page = words + NODE_WORDS
    cdef uint64_t i, total = 0
    cdef uint32_t sub
    for i in range(words[W_PAGES]):
        for sub in range(SUB_BUCKETS):
            total += bucket_count(page, sub) << (32 if page[0] >= CARRY else 0)
        page += PAGE_WORDS
    return total

cdef void trim_histogram(uint64_t* words, uint64_t* before) noexcept nogil:
    """Takes out of a node's histogram what is more than its passes, from the buckets that grew while it was read.

    The counts of `before` were read earlier than the figures, those of `words` later; what lies between them is of
    passes that ended in this very moment.
    """
    cdef uint64_t surplus = packed_count(words) - words[W_PASSES]
    cdef uint64_t* page = words + NODE_WORDS
    cdef uint64_t* old = before + NODE_WORDS
    cdef uint64_t* old_end = old + before[W_PAGES] * PAGE_WORDS
    cdef uint64_t i, grown
    cdef uint32_t sub
    if <int64_t>surplus <= 0:
        return
    for i in range(words[W_PAGES]):
        while old < old_end and old[0] < page[0]:
            old += PAGE_WORDS
        for sub in range(SUB_BUCKETS):
            grown = bucket_count(page, sub)
            if old < old_end and old[0] == page[0]:
                grown -= bucket_count(old, sub)
            if page[0] < CARRY and grown <= <uint32_t>-1:
                grown = min(grown, surplus)
                (<uint32_t*>(page + 1))[sub] -= <uint32_t>grown
                surplus -= grown
        page += PAGE_WORDS

cdef uint64_t steady_figures(Node* n, uint64_t* words) noexcept nogil:
    """Reads a node's figures, without the histogram, at a moment between two passes: the passes until then."""
    cdef uint64_t passes
    while True:
        passes = st_load64_acquire(&n.finished)
        pack_figures(n, words)
        if is_steady(n, passes):
            return passes
        st_pause()

cdef bint pack_node(Buffer* b, Node* n, Packed* p) noexcept nogil:
    """Appends a node: its figures and its histogram after the same pass; False when there is no memory."""
    cdef size_t start = p.used, most = NODE_WORDS + 2 * OCTAVES * PAGE_WORDS, second
    cdef uint64_t* words
    cdef uint64_t passes
    cdef int attempt
    if not reserve_words(p, 2 * most):
        return False
    words = p.words + start
    words[W_SITE] = st_load32(&n.site)
    for attempt in range(20):
        p.used = start + NODE_WORDS
        passes = words[W_PASSES] = st_load64_acquire(&n.finished)
        pack_figures(n, words)
        pack_pages(b, n, p)
        words[W_PAGES] = (p.used - start - NODE_WORDS) // PAGE_WORDS
        if is_steady(n, passes):
            return True
        st_pause()
    # Its thread passes here faster than a histogram can be read: the figures alone, between two of the histogram.
    second = p.used
    p.used += NODE_WORDS
    words[W_PASSES] = steady_figures(n, words)
    pack_pages(b, n, p)
    memcpy(p.words + second, words, NODE_WORDS * sizeof(uint64_t))
    p.words[second + W_PAGES] = (p.used - second - NODE_WORDS) // PAGE_WORDS
    trim_histogram(p.words + second, words)
    memcpy(words, p.words + second, (p.used - second) * sizeof(uint64_t))
    p.used -= second - start
    return True

cdef uint32_t* node_offsets(Buffer* b, size_t* count) noexcept nogil:
    """Offsets of a buffer's nodes below the root, oldest first; NULL when there is no memory."""
    cdef uint32_t offset = st_load32_acquire(&b.newest)
    cdef uint32_t newest = offset
    cdef size_t n = 0
    cdef uint32_t* offsets
    cdef uint32_t older
    while is_within(b, offset, sizeof(Node)) and offset != b.data_start:
        n += 1
        older = st_load32(&node_at(b, offset).older)
        if older >= offset:  # being emptied: older nodes stand lower, always
            break
        offset = older
    offsets = <uint32_t*>PyMem_RawMalloc((n + 1) * sizeof(uint32_t))
    if offsets == NULL:
        return NULL
    count[0] = n
    offset = newest
    while n and is_within(b, offset, sizeof(Node)):
        n -= 1
        offsets[n] = offset
        offset = st_load32(&node_at(b, offset).older)
    while n:  # emptied while it was read
        n -= 1
        offsets[n] = b.data_start
    return offsets

cdef uint64_t number_of(uint32_t* offsets, size_t count, uint32_t offset) noexcept nogil:
    """The number of a node among ascending offsets, -1 when it is not there (the root)."""
    cdef size_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) // 2
        if offsets[middle] < offset:
            low = middle + 1
        else:
            high = middle
    return low if low < count and offsets[low] == offset else <uint64_t>-1

cdef bint pack_buffer(Buffer* b, uint64_t session, Packed* p) noexcept nogil:
    """Appends what a buffer recorded in a session. Nothing is appended if it is of another; False: no memory."""
    cdef size_t count = 0, i, start = p.used, words
    cdef uint32_t* offsets
    cdef bint ok = True
    p.nodes = 0
    if st_load64_acquire(&b.session) != session:
        return True
    offsets = node_offsets(b, &count)
    if offsets == NULL:
        return False
    for i in range(count):
        words = p.used
        ok = pack_node(b, node_at(b, offsets[i]), p)
        if not ok:
            break
        p.words[words + W_PARENT] = number_of(offsets, count, st_load32(&node_at(b, offsets[i]).parent))
    PyMem_RawFree(offsets)
    st_fence_acquire()
    if not ok or st_load64(&b.session) != session:
        p.used = start
        return ok
    p.nodes = count
    p.clamped = st_load64(&b.clamped)
    p.untimed = st_load64(&b.untimed)
    p.unbinned = st_load64(&b.unbinned)
    return True

cdef bint fold_histogram(Buffer* b, Node* n, uint64_t* page, uint64_t pages) noexcept nogil:
    cdef uint64_t i
    cdef uint32_t sub, octave, amount
    cdef uint32_t* count
    for i in range(pages):
        octave = <uint32_t>page[0] & (CARRY - 1)
        for sub in range(SUB_BUCKETS):
            amount = <uint32_t>bucket_count(page, sub)
            if amount == 0:
                continue
            if page[0] >= CARRY:
                carry_bucket(b, n, octave, sub, amount)
                continue
            count = bucket(b, n, octave, sub)
            if count == NULL:
                return False
            count[0] += amount
            if count[0] < amount:
                carry_bucket(b, n, octave, sub, 1)
        page += PAGE_WORDS
    return True

cdef void fold_node(Buffer* b, Node* n, uint64_t* words) noexcept nogil:
    cdef uint64_t low = n.squares_low
    n.finished += words[W_PASSES]
    n.started = n.finished
    n.total += words[W_TOTAL]
    n.child += words[W_CHILD]
    n.squares_low += words[W_SQUARES_LOW]
    n.squares_high += words[W_SQUARES_HIGH] + (n.squares_low < low)
    n.minimum = min(n.minimum, words[W_MINIMUM])
    n.maximum = max(n.maximum, words[W_MAXIMUM])
    n.nested += words[W_NESTED]
    n.track_nested += words[W_TRACK_NESTED]
    n.under += words[W_UNDER]
    n.suspended += words[W_SUSPENDED]

cdef bint fold(Buffer* b, Packed* p, uint64_t* words) noexcept nogil:
    """Adds a packed buffer to one that no other thread sees, path by path; False when there is no memory.

    The buffer's limit of nodes must be out of reach: a path may not change its kind while it is merged.
    """
    cdef uint32_t* places = <uint32_t*>PyMem_RawMalloc((p.nodes + 1) * sizeof(uint32_t))
    cdef size_t i
    cdef uint32_t parent
    cdef uint64_t* slot
    cdef uint64_t key
    if places == NULL:
        return False
    for i in range(p.nodes):
        parent = b.data_start if words[W_PARENT] == <uint64_t>-1 else places[words[W_PARENT]]
        key = (<uint64_t>parent << 32) | (<uint32_t>words[W_SITE] + 1)
        slot = map_find(&b.children, key)
        if slot != NULL:
            places[i] = <uint32_t>slot[1]
        else:
            places[i] = new_node(b, parent, <uint32_t>words[W_SITE])
            if places[i] == 0 or not map_put(&b.children, key, places[i]):
                PyMem_RawFree(places)
                return False
        fold_node(b, node_at(b, places[i]), words)
        if not fold_histogram(b, node_at(b, places[i]), words + NODE_WORDS, words[W_PAGES]):
            PyMem_RawFree(places)
            return False
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    b.clamped += p.clamped
    b.untimed += p.untimed
    b.unbinned += p.unbinned
    PyMem_RawFree(places)
    return True


# ---- ended threads ----------------------------------------------------------------------------------------------------------

cdef void free_ended(Ended* e) noexcept nogil:
    drop_thread(e.thread)
    PyMem_RawFree(e.packed.words)
    PyMem_RawFree(e)

cdef void fold_oldest(Store* s) noexcept nogil:
    """Lets the oldest ended threads beyond the limit share one line. Those that find no memory stay as they are."""
    cdef Ended* e
    while s.ended_count > s.retain_threads:
        if s.folded == NULL:
            s.folded = new_buffer(MERGE_RESERVE, NO_LIMIT)
            if s.folded == NULL:
                return
        e = s.ended_first
        if not fold(s.folded, &e.packed, e.packed.words):
            return
        s.ended_first = e.next
        if s.ended_first == NULL:
            s.ended_last = NULL
        s.ended_count -= 1
        s.folded_threads += 1
        free_ended(e)

cdef bint retire(Store* s, Buffer* b, Ended** batch) noexcept nogil:
    """Puts what an ended thread recorded in front of a batch, compactly; False when there is no memory."""
    cdef Ended* e
    cdef uint64_t* words
    if b.session != s.session:
        return True
    e = <Ended*>PyMem_RawCalloc(1, sizeof(Ended))
    if e == NULL:
        return False
    if not pack_buffer(b, s.session, &e.packed):
        PyMem_RawFree(e.packed.words)
        PyMem_RawFree(e)
        return False
    words = <uint64_t*>PyMem_RawRealloc(e.packed.words, (e.packed.used + 1) * sizeof(uint64_t))
    if words != NULL:
        e.packed.words = words
        e.packed.capacity = e.packed.used + 1
    e.thread = b.thread
    st_add64(&e.thread.references, 1)
    e.next = batch[0]
    batch[0] = e
    return True

cdef void keep_batch(Store* s, Ended* batch) noexcept nogil:
    if batch == NULL:
        return
    if s.ended_last == NULL:
        s.ended_first = batch
    else:
        s.ended_last.next = batch
    while batch != NULL:
        s.ended_last = batch
        s.ended_count += 1
        batch = batch.next

cdef void detach(Store* s, Buffer* b) noexcept nogil:
    """Takes a buffer out of the list. Others may push in front meanwhile; only the holder of the lock takes out."""
    cdef Buffer* previous = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    if previous == b and st_casp(<void**>&s.buffers, b, b.next):
        return
    previous = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while previous.next != b:
        previous = previous.next
    previous.next = b.next

cdef void sweep(Store* s) noexcept nogil:
    """Retires the buffers of threads that ended. Its caller holds the store's lock."""
    cdef uint64_t ended = st_load64_acquire(&threads_ended)
    cdef Buffer* b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    cdef Buffer* following
    cdef Ended* batch = NULL
    if ended == s.swept:
        return
    s.swept = ended
    while b != NULL:
        following = b.next
        if st_load64_acquire(&b.thread.ended):
            if retire(s, b, &batch):
                detach(s, b)
                free_buffer(b)
            else:
                s.swept = 0
        b = following
    keep_batch(s, batch)  # the list had the newest first, the batch has the oldest first
    fold_oldest(s)

cdef void sweep_if_free(Store* s) noexcept nogil:
    if st_load64_acquire(&threads_ended) != s.swept and PyThread_acquire_lock(s.lock, NOWAIT_LOCK):
        sweep(s)
        PyThread_release_lock(s.lock)


# ---- stores -------------------------------------------------------------------------------------------------------------------

cdef void forget_ended(Store* s) noexcept nogil:
    cdef Ended* e
    while s.ended_first != NULL:
        e = s.ended_first
        s.ended_first = e.next
        free_ended(e)
    s.ended_last = NULL
    s.ended_count = 0
    s.folded_threads = 0
    if s.folded != NULL:
        free_buffer(s.folded)
        s.folded = NULL

cdef void free_buffers(Store* s, Thread* keep) noexcept nogil:
    cdef Buffer* b = s.buffers
    cdef Buffer* following
    s.buffers = NULL
    while b != NULL:
        following = b.next
        if b.thread == keep:
            b.next = s.buffers
            s.buffers = b
        else:
            free_buffer(b)
        b = following

cdef void set_session(Store* s) noexcept nogil:
    """Starts a new session: whatever was recorded before belongs to none."""
    cdef uint64_t session = st_add64(&last_session, 1)
    cdef uint32_t i
    st_store64_release(&s.session, session)
    for i in range(s.gate_count):
        if st_load64(s.gates[i]):
            st_store64_release(s.gates[i], session)

cdef Store* new_store(uint64_t retain_threads, uint32_t max_nodes) noexcept nogil:
    cdef Store* s = <Store*>PyMem_RawCalloc(1, sizeof(Store))
    if s == NULL:
        return NULL
    s.lock = PyThread_allocate_lock()
    if s.lock == NULL:
        PyMem_RawFree(s)
        return NULL
    s.id = st_add64(&last_store_id, 1)
    s.retain_threads = retain_threads
    s.max_nodes = max_nodes
    set_session(s)
    PyThread_acquire_lock(stores_lock, WAIT_LOCK)
    s.next = all_stores
    st_storep_release(<void**>&all_stores, s)
    PyThread_release_lock(stores_lock)
    st_add64(&live_stores, 1)
    return s

cdef void unlist_store(Store* s) noexcept nogil:
    cdef Store** link = &all_stores
    PyThread_acquire_lock(stores_lock, WAIT_LOCK)
    while link[0] != s:
        link = &link[0].next
    link[0] = s.next
    PyThread_release_lock(stores_lock)

cdef void free_store(Store* s) noexcept nogil:
    """Frees a store that nobody can record into any more."""
    cdef uint32_t i
    unlist_store(s)
    free_buffers(s, NULL)
    forget_ended(s)
    for i in range(s.gate_count):
        PyMem_RawFree(s.gates[i])
    PyMem_RawFree(s.gates)
    for i in range(s.site_count):
        PyMem_RawFree(s.handles[i])
    PyMem_RawFree(s.handles)
    PyThread_free_lock(s.lock)
    PyMem_RawFree(s)
    st_add64(&live_stores, <uint64_t>-1)

cdef void fill_handle(Handle* h, Store* s, uint32_t site, uint32_t track) noexcept nogil:
    """Writes what a call needs to know of its site."""
    h.gate = s.gates[track]
    h.store = s
    h.site = site
    h.track = track
    h.seat = <uint32_t>(s.id % SEATS)
    h.site_bit = <uint64_t>1 << (site % 64)
    h.track_bit = <uint64_t>1 << min(track, 63)

cdef Handle* add_site(Store* s, uint32_t track) noexcept nogil:
    """Makes the handle of the next site, or NULL when there is no memory. Its caller holds the profiler's lock."""
    cdef Handle** handles
    cdef Handle* h
    if s.site_count % 64 == 0:
        handles = <Handle**>PyMem_RawRealloc(s.handles, (s.site_count + 64) * sizeof(Handle*))
        if handles == NULL:
            return NULL
        s.handles = handles
    h = <Handle*>PyMem_RawCalloc(1, sizeof(Handle))
    if h == NULL:
        return NULL
    fill_handle(h, s, s.site_count, track)
    s.handles[s.site_count] = h
    s.site_count += 1
    return h

cdef bint add_gate(Store* s) noexcept nogil:
    """Makes the gate of the next track, closed; False when there is no memory."""
    cdef uint64_t** gates = <uint64_t**>PyMem_RawRealloc(s.gates, (s.gate_count + 1) * sizeof(uint64_t*))
    if gates == NULL:
        return False
    s.gates = gates
    # A line of its own: a switch of one track must not disturb who reads another's gate.
    s.gates[s.gate_count] = <uint64_t*>PyMem_RawCalloc(1, LINE)
    if s.gates[s.gate_count] == NULL:
        return False
    s.gate_count += 1
    return True


# ---- call sites: where a block was asked for -> its handle -------------------------------------------------------------------

cdef size_t MOST_CALL_SITES = 1 << 16

cdef inline uint64_t call_site_hash(PyObject* code, int offset, Py_hash_t name_hash) noexcept nogil:
    return scatter(<uint64_t><uintptr_t>code ^ (<uint64_t>name_hash << 1) ^ (<uint64_t><uint32_t>offset << 40))

cdef inline Handle* find_call_site(Store* s, PyObject* code, int offset, int64_t track, PyObject* track_name,
                                   str name) noexcept:
    """The handle that this place, track and name came to before, or NULL. Reads without a lock."""
    cdef CallSites* table = <CallSites*>st_loadp_acquire(<void**>&s.call_sites)
    cdef uint64_t hashed
    cdef size_t i
    cdef CallSite* slot
    cdef Handle* h
    if table == NULL:
        return NULL
    hashed = call_site_hash(code, offset, hash(name))
    i = hashed & table.mask
    while True:
        slot = &table.slots[i]
        h = <Handle*>st_loadp_acquire(<void**>&slot.handle)
        if h == NULL:
            return NULL
        if (slot.code == code and slot.offset == offset and slot.track == track and slot.track_name == track_name
                and (slot.name == <PyObject*>name or (slot.hash == hashed and <str>slot.name == name))):
            return h
        i = (i + 1) & table.mask

cdef void put_call_site(CallSites* table, CallSite* site) noexcept nogil:
    cdef size_t i = site.hash & table.mask
    cdef Handle* h = site.handle
    while table.slots[i].handle != NULL:
        i = (i + 1) & table.mask
    site.handle = NULL
    table.slots[i] = site[0]
    site.handle = h
    st_storep_release(<void**>&table.slots[i].handle, h)
    table.used += 1

cdef CallSites* bigger_call_sites(CallSites* table) noexcept nogil:
    """A table of twice the size with the same entries, or NULL. Readers may still be in the old one, so it stays."""
    cdef CallSites* bigger = <CallSites*>PyMem_RawCalloc(1, sizeof(CallSites))
    cdef size_t i, capacity = 16 if table == NULL else 2 * (table.mask + 1)
    if bigger == NULL:
        return NULL
    bigger.slots = <CallSite*>PyMem_RawCalloc(capacity, sizeof(CallSite))
    if bigger.slots == NULL:
        PyMem_RawFree(bigger)
        return NULL
    bigger.mask = capacity - 1
    bigger.older = table
    if table != NULL:
        for i in range(table.mask + 1):
            if table.slots[i].handle != NULL:
                put_call_site(bigger, &table.slots[i])
    return bigger

cdef bint add_call_site(Store* s, CallSite* site) noexcept nogil:
    """Remembers a call site; False when there is no memory, or too much of it in use already."""
    cdef CallSites* table
    cdef bint added = False
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    table = s.call_sites
    if table == NULL or (4 * table.used >= 3 * (table.mask + 1) and table.used < MOST_CALL_SITES):
        table = bigger_call_sites(table)
        if table != NULL:
            st_storep_release(<void**>&s.call_sites, table)
    if table != NULL and 4 * table.used < 3 * (table.mask + 1):
        put_call_site(table, site)
        added = True
    PyThread_release_lock(s.lock)
    return added

cdef void free_call_sites(CallSites* table):
    cdef size_t i
    cdef CallSites* older
    if table != NULL:
        for i in range(table.mask + 1):
            if table.slots[i].handle != NULL:
                Py_XDECREF(table.slots[i].code)
                Py_XDECREF(table.slots[i].name)
                Py_XDECREF(table.slots[i].track_name)
    while table != NULL:
        older = table.older
        PyMem_RawFree(table.slots)
        PyMem_RawFree(table)
        table = older


# ---- the tracked callable -------------------------------------------------------------------------------------------------

cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        vectorcallfunc vectorcall;
        PyObject *callee;
        void *handle;
        PyObject *owner;
        PyObject *attributes;
        PyObject *references;
    } st_tracked;
    typedef struct {
        PyObject_HEAD
        void *handle;
        PyObject *owner;
    } st_block;
    #define ST_TRACKED_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL \\
                              | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
    /* An inline block lives for one pass: a few dead ones are kept for the next. Without the GIL this list would need
     * a lock, and the allocator has a list for each thread. */
    #if defined(Py_GIL_DISABLED)
    #define st_kept_block() NULL
    #define st_keep_block(block) 0
    #else
    static PyObject *st_kept_blocks[16];
    static int st_kept_count = 0;
    static inline PyObject *st_kept_block(void) {
        if (st_kept_count == 0) return NULL;
        PyObject *block = st_kept_blocks[--st_kept_count];
        Py_SET_REFCNT(block, 1);
        return block;
    }
    static inline int st_keep_block(PyObject *block) {
        if (st_kept_count == 16) return 0;
        st_kept_blocks[st_kept_count++] = block;
        return 1;
    }
    #endif
    #define ST_BLOCK_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE \\
                            | Py_TPFLAGS_DISALLOW_INSTANTIATION)
    """
    ctypedef struct TrackedObject "st_tracked":
        void* vectorcall
        PyObject* callee
        void* handle
        PyObject* owner
        PyObject* attributes
        PyObject* references
    ctypedef struct BlockObject "st_block":
        void* handle
        PyObject* owner
    PyObject* st_kept_block()
    bint st_keep_block(PyObject*)
    const unsigned int ST_TRACKED_FLAGS
    const unsigned int ST_BLOCK_FLAGS

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        void (*tp_free)(void*) noexcept
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    ctypedef struct PyType_Slot:
        int slot
        void* pfunc
    ctypedef struct PyType_Spec:
        const char* name
        int basicsize
        int itemsize
        unsigned int flags
        PyType_Slot* slots
    ctypedef struct PyMethodDef:
        const char* ml_name
        void* ml_meth
        int ml_flags
        const char* ml_doc
    ctypedef struct PyMemberDef:
        const char* name
        int type
        Py_ssize_t offset
        int flags
        const char* doc
    ctypedef struct PyGetSetDef:
        const char* name
        void* get
        void* set
        const char* doc
        void* closure
    const int Py_tp_dealloc, Py_tp_traverse, Py_tp_clear, Py_tp_call, Py_tp_repr, Py_tp_getattro, Py_tp_descr_get
    const int Py_tp_methods, Py_tp_members, Py_tp_getset, Py_tp_doc, Py_tp_setattro
    const int METH_NOARGS, METH_FASTCALL, METH_O
    const int T_PYSSIZET "T_PYSSIZET", T_OBJECT "T_OBJECT", READONLY
    const unsigned int Py_TPFLAGS_METHOD_DESCRIPTOR
    object PyType_FromSpec(PyType_Spec*)
    PyObject* PyType_GenericAlloc(PyTypeObject*, Py_ssize_t)
    PyObject* PyVectorcall_Call(PyObject*, PyObject*, PyObject*)
    PyObject* PyObject_GenericGetAttr(PyObject*, PyObject*)
    PyObject* PyObject_GetAttr(PyObject*, PyObject*)
    PyObject* PyObject_GenericGetDict(PyObject*, void*)
    int PyObject_GenericSetDict(PyObject*, PyObject*, void*)
    PyObject* PyMethod_New(PyObject*, PyObject*)
    PyObject* PyErr_Occurred()
    bint PyErr_ExceptionMatches(PyObject*)
    void PyErr_WriteUnraisable(PyObject*)
    void PyErr_Clear()
    PyObject* PyExc_AttributeError
    void PyObject_GC_UnTrack(void*)
    void PyObject_GC_Track(void*)
    void PyObject_GC_Del(void*)
    PyObject* _PyObject_GC_New "(PyObject *)_PyObject_GC_New"(PyTypeObject*)
    void PyObject_ClearWeakRefs(PyObject*)
    PyTypeObject* Py_TYPE(PyObject*)
    void Py_INCREF(PyObject*)
    void Py_DECREF(PyObject*)
    void Py_XINCREF(PyObject*)
    void Py_XDECREF(PyObject*)
    void Py_CLEAR(PyObject*)
    PyObject* Py_None
    bint PyFunction_Check(PyObject*)
    void* PyObject_GetIter

cdef PyObject* tracked_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    cdef TrackedObject* t = <TrackedObject*>self
    cdef Handle* h = <Handle*>t.handle
    cdef Buffer* b
    cdef Activation* a
    cdef PyObject* result
    if ST_UNLIKELY(st_load64(h.gate) == 0):
        return st_call(t.callee, args, nargsf, names)
    a = enter(h, &b)
    if ST_UNLIKELY(a == NULL):
        return st_call(t.callee, args, nargsf, names)
    result = st_call(t.callee, args, nargsf, names)
    leave(b, a)
    return result

cdef int tracked_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef TrackedObject* t = <TrackedObject*>self
    cdef PyObject* held[4]
    cdef int i, result
    held[0] = <PyObject*>Py_TYPE(self)
    held[1] = t.callee
    held[2] = t.owner
    held[3] = t.attributes
    for i in range(4):
        if held[i] != NULL:
            result = visit(held[i], arg)
            if result:
                return result
    return 0

cdef int tracked_clear(PyObject* self) noexcept:
    # What it calls and its profiler stay until the very end: a finalizer of the same cycle may still call it.
    cdef TrackedObject* t = <TrackedObject*>self
    Py_CLEAR(t.attributes)
    return 0

cdef void tracked_dealloc(PyObject* self) noexcept:
    cdef TrackedObject* t = <TrackedObject*>self
    cdef PyTypeObject* kind = Py_TYPE(self)
    PyObject_GC_UnTrack(self)
    if t.references != NULL:
        PyObject_ClearWeakRefs(self)
    Py_XDECREF(t.attributes)
    Py_XDECREF(t.callee)
    Py_XDECREF(t.owner)
    PyObject_GC_Del(self)
    Py_DECREF(<PyObject*>kind)

cdef PyObject* tracked_getattr(PyObject* self, PyObject* name) noexcept:
    # What the wrapper does not have itself (code, defaults, closure, annotations, …) is the wrapped one's.
    cdef PyObject* value = PyObject_GenericGetAttr(self, name)
    if value == NULL and PyErr_ExceptionMatches(PyExc_AttributeError):
        PyErr_Clear()
        value = PyObject_GetAttr((<TrackedObject*>self).callee, name)
    return value

cdef PyObject* tracked_bind(PyObject* self, PyObject* instance, PyObject* owner) noexcept:
    if instance == NULL or instance == Py_None:
        Py_INCREF(self)
        return self
    return PyMethod_New(self, instance)

cdef object qualified(PyObject* self):
    callee = <object>(<TrackedObject*>self).callee
    return getattr(<object>self, "__qualname__", None) or repr(callee)

cdef PyObject* tracked_repr(PyObject* self) noexcept:
    try:
        text = f"<tracked {qualified(self)} at {<uintptr_t>self:#x}>"
    except Exception:
        text = f"<tracked callable at {<uintptr_t>self:#x}>"
    Py_INCREF(<PyObject*>text)
    return <PyObject*>text

cdef PyObject* tracked_reduce(PyObject* self, PyObject* ignored) noexcept:
    # By reference, like any function: the name under which its module holds it.
    text = qualified(self)
    Py_INCREF(<PyObject*>text)
    return <PyObject*>text

cdef PyMemberDef tracked_members[4]
cdef PyGetSetDef tracked_getset[2]
cdef PyMethodDef tracked_methods[2]
cdef PyType_Slot tracked_slots[12]
cdef PyType_Spec tracked_spec

cdef void set_slot(PyType_Slot* slot, int which, void* value) noexcept:
    slot.slot = which
    slot.pfunc = value

cdef extern from *:
    """
    #include <stddef.h>
    #include <structmember.h>
    """
    const Py_ssize_t VECTORCALL_OFFSET "offsetof(st_tracked, vectorcall)"
    const Py_ssize_t ATTRIBUTES_OFFSET "offsetof(st_tracked, attributes)"
    const Py_ssize_t REFERENCES_OFFSET "offsetof(st_tracked, references)"

cdef void set_member(PyMemberDef* member, const char* name, int kind, Py_ssize_t offset) noexcept:
    member.name = name
    member.type = kind
    member.offset = offset
    member.flags = READONLY

cdef object make_tracked_type(const char* name, bint binds):
    """A type whose instances forward calls untouched; one that binds is a method where a function would be."""
    set_member(&tracked_members[0], "__vectorcalloffset__", T_PYSSIZET, VECTORCALL_OFFSET)
    set_member(&tracked_members[1], "__dictoffset__", T_PYSSIZET, ATTRIBUTES_OFFSET)
    set_member(&tracked_members[2], "__weaklistoffset__", T_PYSSIZET, REFERENCES_OFFSET)
    tracked_getset[0].name = "__dict__"
    tracked_getset[0].get = <void*>PyObject_GenericGetDict
    tracked_getset[0].set = <void*>PyObject_GenericSetDict
    tracked_methods[0].ml_name = "__reduce__"
    tracked_methods[0].ml_meth = <void*>tracked_reduce
    tracked_methods[0].ml_flags = METH_NOARGS
    set_slot(&tracked_slots[0], Py_tp_dealloc, <void*>tracked_dealloc)
    set_slot(&tracked_slots[1], Py_tp_traverse, <void*>tracked_traverse)
    set_slot(&tracked_slots[2], Py_tp_clear, <void*>tracked_clear)
    set_slot(&tracked_slots[3], Py_tp_call, <void*>PyVectorcall_Call)
    set_slot(&tracked_slots[4], Py_tp_repr, <void*>tracked_repr)
    set_slot(&tracked_slots[5], Py_tp_getattro, <void*>tracked_getattr)
    set_slot(&tracked_slots[6], Py_tp_members, tracked_members)
    set_slot(&tracked_slots[7], Py_tp_getset, tracked_getset)
    set_slot(&tracked_slots[8], Py_tp_methods, tracked_methods)
    set_slot(&tracked_slots[9], Py_tp_descr_get if binds else 0, <void*>tracked_bind)
    set_slot(&tracked_slots[10], 0, NULL)
    tracked_spec.name = name
    tracked_spec.basicsize = sizeof(TrackedObject)
    tracked_spec.flags = ST_TRACKED_FLAGS | (Py_TPFLAGS_METHOD_DESCRIPTOR if binds else 0)
    tracked_spec.slots = tracked_slots
    return PyType_FromSpec(&tracked_spec)

TrackedFunction = make_tracked_type("stichotrope._core.TrackedFunction", True)
TrackedCallable = make_tracked_type("stichotrope._core.TrackedCallable", False)
cdef PyTypeObject* tracked_function_type = <PyTypeObject*><PyObject*>TrackedFunction
cdef PyTypeObject* tracked_callable_type = <PyTypeObject*><PyObject*>TrackedCallable

cdef object new_tracked(callee, owner, Handle* handle, bint binds, bint suspends):
    cdef PyObject* self = PyType_GenericAlloc(tracked_function_type if binds else tracked_callable_type, 0)
    cdef TrackedObject* t = <TrackedObject*>self
    if self == NULL:
        raise MemoryError("no memory for a tracked callable")
    t.vectorcall = <void*>suspending_call if suspends else <void*>tracked_call
    t.callee = <PyObject*>callee
    t.owner = <PyObject*>owner
    t.handle = handle
    Py_INCREF(t.callee)
    Py_INCREF(t.owner)
    result = <object>self
    Py_DECREF(self)
    st_share(self)
    return result


# ---- what suspends: generators, coroutines, asynchronous generators --------------------------------------------------------

cdef extern from *:
    """
    /* What a suspending function returned, and the pass that lasts from its first resume to its end. Between resumes
     * nothing of it is in any buffer, so it may be resumed on another thread, abandoned, or closed by the collector. */
    typedef struct {
        PyObject_HEAD
        PyObject *inner;
        PyObject *owner;
        PyObject *references;
        void *handle;
        void *running;          /* atomic: set while it is on a stack */
        void *buffer;           /* where, while it is */
        void *activation;
        void *saved;            /* passes that its body left open when it was suspended */
        size_t saved_count;
        uint64_t session;
        uint64_t first;
        uint64_t since;
        uint64_t active;
        uint64_t child;
        int started;
        int over;
    } st_suspended;
    /* Drives something on behalf of a pass: what awaits a coroutine, or one step of an asynchronous generator. */
    typedef struct {
        PyObject_HEAD
        PyObject *inner;
        PyObject *pass;
    } st_relay;
    #define ST_OBJECT_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE \\
                             | Py_TPFLAGS_DISALLOW_INSTANTIATION)
    /* Run with an exception set, and leave it set. */
    #if PY_VERSION_HEX >= 0x030C0000
    #define st_take_error(error) (*(error) = PyErr_GetRaisedException())
    #define st_put_error(error) PyErr_SetRaisedException(*(error))
    typedef PyObject *st_error;
    #else
    typedef struct { PyObject *type, *value, *traceback; } st_error;
    #define st_take_error(error) PyErr_Fetch(&(error)->type, &(error)->value, &(error)->traceback)
    #define st_put_error(error) PyErr_Restore((error)->type, (error)->value, (error)->traceback)
    #endif
    """
    ctypedef struct SuspendedObject "st_suspended":
        PyObject* inner
        PyObject* owner
        PyObject* references
        void* handle
        void* running
        void* buffer
        void* activation
        void* saved
        size_t saved_count
        uint64_t session
        uint64_t first
        uint64_t since
        uint64_t active
        uint64_t child
        bint started
        bint over
    ctypedef struct RelayObject "st_relay":
        PyObject* inner
        PyObject* passing "pass"
    ctypedef struct Error "st_error":
        pass
    const unsigned int ST_OBJECT_FLAGS
    const Py_ssize_t SUSPENDED_REFERENCES_OFFSET "offsetof(st_suspended, references)"
    void st_take_error(Error*)
    void st_put_error(Error*)

cdef extern from "Python.h":
    ctypedef int PySendResult
    const int PYGEN_RETURN, PYGEN_ERROR, PYGEN_NEXT
    PySendResult PyIter_Send(PyObject*, PyObject*, PyObject**)
    bint PyGen_CheckExact(PyObject*)
    bint PyCoro_CheckExact(PyObject*)
    bint PyAsyncGen_CheckExact(PyObject*)
    PyObject* PyObject_GetAttrString(PyObject*, const char*)
    PyObject* PyObject_Vectorcall(PyObject*, PyObject**, size_t, PyObject*)
    PyObject* PyObject_CallOneArg(PyObject*, PyObject*)
    PyObject* PyObject_SelfIter(PyObject*)
    PyObject* PyObject_Repr(PyObject*)
    int PyObject_CallFinalizerFromDealloc(PyObject*)
    void PyErr_SetObject(PyObject*, PyObject*)
    PyObject* PyExc_StopIteration
    const int Py_tp_iter, Py_tp_iternext, Py_tp_finalize
    const int Py_am_await, Py_am_aiter, Py_am_anext, Py_am_send

cdef struct Saved:             # a pass that is open inside something suspended
    const Handle* handle
    uint64_t start
    uint64_t child
    uint64_t billed
    uint64_t suspended
    uint32_t flags

cdef void drop_activation(Buffer* b, Activation* a) noexcept nogil:
    a.flags |= DROPPED
    a.node = b.data_start
    a.site_mask = 0
    a.track_mask = 0

cdef bint reopen(Buffer* b, Saved* saved, uint64_t gap, bint dropped) noexcept nogil:
    """Puts a pass back on the stack after it was suspended with what opened it."""
    cdef Activation* below = activation_at(b, b.top)
    cdef Activation* a = push(b, saved.handle)
    if a == NULL:
        return False
    a.start = saved.start
    a.child = saved.child
    a.billed = saved.billed + gap
    a.suspended = saved.suspended + gap
    a.flags |= saved.flags | PAUSED | BILLED
    if dropped or a.flags & DROPPED:
        drop_activation(b, a)
    elif a.flags & MUTED:
        a.node = below.node
        a.site_mask = below.site_mask
        a.track_mask = below.track_mask
    return True

cdef bint resume(SuspendedObject* self) noexcept nogil:
    """Puts the pass on the calling thread's stack; False when this resume is not to be timed."""
    cdef Handle* h = <Handle*>self.handle
    cdef Buffer* b
    cdef Activation* a
    cdef Saved* saved = <Saved*>self.saved
    cdef void* context
    cdef size_t i
    cdef bint dropped
    if self.over or not st_casp(&self.running, NULL, <void*>self):
        return False
    if not self.started and st_load64(h.gate) == 0:
        self.over = True  # it began while its track was off: it is never recorded
        return False
    b = current_buffer(h)
    if b == NULL or b.session != st_load64_acquire(&h.store.session):
        b = settle(h)
    context = st_context()
    if b == NULL or (context != b.context and not switch_flow(b, context)):
        st_storep_release(&self.running, NULL)
        return False
    a = push(b, h)
    if a == NULL:
        st_storep_release(&self.running, NULL)
        return False
    a.start = st_ticks()
    if not self.started:
        self.started = True
        self.first = self.since = a.start
        self.session = b.session
    dropped = self.session != b.session
    if dropped:
        drop_activation(b, a)
    for i in range(self.saved_count):
        reopen(b, &saved[i], elapsed(b, self.since, a.start), dropped)
    self.saved_count = 0
    self.buffer = b
    self.activation = a
    return True

cdef size_t count_above(Buffer* b, Activation* a) noexcept nogil:
    """How many passes lie on an activation in the current flow; -1 when it is in another one."""
    cdef size_t count = 0
    cdef uint32_t offset = b.top
    while offset != offset_of(b, a):
        offset = activation_at(b, offset).prev
        if offset == 0:
            return <size_t>-1
        count += 1
    return count

cdef void save_above(SuspendedObject* self, Buffer* b, Activation* a, size_t count, uint64_t now) noexcept nogil:
    """Takes what the suspended body has open off the stack, to be put back when it is resumed."""
    cdef Saved* saved = <Saved*>PyMem_RawRealloc(self.saved, count * sizeof(Saved))
    cdef size_t i
    if saved == NULL:
        b.untimed += count
        st_store64(&(<Handle*>self.handle).store.unmatched, 1)
        return
    self.saved = saved
    self.saved_count = count
    for i in range(count):
        a = activation_at(b, a.next)
        if a.flags & BASE:
            leave_base(b, a, now)
        saved[i].handle = a.handle
        saved[i].start = a.start
        saved[i].child = a.child
        saved[i].billed = a.billed if a.flags & BILLED else 0
        saved[i].suspended = a.suspended if a.flags & PAUSED else 0
        saved[i].flags = a.flags & (DROPPED | MUTED)

cdef void finish(SuspendedObject* self, Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Records the pass, from its first resume until now."""
    cdef uint64_t ticks = elapsed(b, self.first, now)
    cdef uint64_t idle = ticks - self.active if ticks > self.active else 0
    self.over = True
    if not a.flags & DROPPED:
        a.child = self.child + idle
        a.suspended = idle
        record(b, a, ticks, (a.flags & (NESTED | TRACK_NESTED | UNDER)) | PAUSED)

cdef void suspend(SuspendedObject* self, bint ends) noexcept nogil:
    """Takes the pass off the stack; if it ends, records it."""
    cdef uint64_t now = st_ticks(), slice
    cdef Buffer* b = <Buffer*>self.buffer
    cdef Activation* a = <Activation*>self.activation
    cdef Activation* below = activation_at(b, a.prev)
    cdef size_t above = count_above(b, a)
    if ends:
        while above != <size_t>-1 and b.top != offset_of(b, a):
            leave(b, activation_at(b, b.top))  # a body that is gone leaves nothing open
    elif above and above != <size_t>-1:
        save_above(self, b, a, above, now)
    if a.flags & BASE:
        leave_base(b, a, now)
    if above == <size_t>-1:
        unlink(b, a, now)
    else:
        b.top = a.prev
    slice = elapsed(b, a.start, now)
    self.active += slice
    self.child += a.child
    self.since = now
    if a.flags & FLOW_ROOT:
        close_on_base(b, below, now)
    else:
        below.child += slice
    if ends:
        finish(self, b, a, now)
    st_storep_release(&self.running, NULL)

cdef bint is_over(PyObject* inner) noexcept:
    """Whether a generator or coroutine has come to its end. An exception that is set stays so."""
    cdef Error error
    cdef PyObject* frame
    cdef bint over
    st_take_error(&error)
    frame = PyObject_GetAttrString(
        inner, "gi_frame" if PyGen_CheckExact(inner) else "cr_frame" if PyCoro_CheckExact(inner) else "ag_frame")
    over = frame == NULL or frame == Py_None
    if frame == NULL:
        PyErr_Clear()
    Py_XDECREF(frame)
    st_put_error(&error)
    return over

cdef PySendResult drive(PyObject* passing, PyObject* inner, PyObject* value, PyObject** result) noexcept:
    """Sends a value on, and times what runs until the answer."""
    cdef SuspendedObject* self = <SuspendedObject*>passing
    cdef bint timed = resume(self)
    cdef PySendResult status = PyIter_Send(inner, value, result)
    if timed:
        suspend(self, status != PYGEN_NEXT and is_over(self.inner))
    return status

cdef PyObject* give(PySendResult status, PyObject* result, bint plain) noexcept:
    """What `__next__` or `send` gives for an answer: a return is a StopIteration, left out where it may be (`plain`)."""
    cdef PyObject* stop
    if status == PYGEN_RETURN:
        if not (plain and result == Py_None):
            stop = PyObject_CallOneArg(PyExc_StopIteration, result)
            if stop != NULL:
                PyErr_SetObject(PyExc_StopIteration, stop)
                Py_DECREF(stop)
        Py_DECREF(result)
        return NULL
    return result

cdef PyObject* call_on(PyObject* passing, PyObject* inner, const char* method, PyObject** args,
                       Py_ssize_t count) noexcept:
    """Calls `throw` or `close`, and times what runs until it is answered."""
    cdef SuspendedObject* self = <SuspendedObject*>passing
    cdef PyObject* bound = PyObject_GetAttrString(inner, method)
    cdef PyObject* result
    cdef bint timed
    if bound == NULL:
        return NULL
    timed = resume(self)
    result = PyObject_Vectorcall(bound, args, count, NULL)
    if timed:
        suspend(self, is_over(self.inner))
    Py_DECREF(bound)
    return result

cdef PySendResult suspended_am_send(PyObject* self, PyObject* value, PyObject** result) noexcept:
    return drive(self, (<SuspendedObject*>self).inner, value, result)

cdef PyObject* suspended_next(PyObject* self) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = drive(self, (<SuspendedObject*>self).inner, Py_None, &result)
    return give(status, result, True)

cdef PyObject* suspended_send(PyObject* self, PyObject* value) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = drive(self, (<SuspendedObject*>self).inner, value, &result)
    return give(status, result, False)

cdef PyObject* suspended_throw(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return call_on(self, (<SuspendedObject*>self).inner, "throw", args, count)

cdef PyObject* suspended_close(PyObject* self, PyObject* ignored) noexcept:
    return call_on(self, (<SuspendedObject*>self).inner, "close", NULL, 0)

cdef PyObject* suspended_await(PyObject* self) noexcept:
    cdef PyObject* inner = (<SuspendedObject*>self).inner
    Py_INCREF(inner)
    return new_relay(self, inner)

cdef PyObject* step(PyObject* self, const char* method, PyObject** args, Py_ssize_t count) noexcept:
    """One step of an asynchronous generator: the awaitable that it gives, driven on behalf of its pass."""
    cdef PyObject* bound = PyObject_GetAttrString((<SuspendedObject*>self).inner, method)
    cdef PyObject* result
    if bound == NULL:
        return NULL
    result = PyObject_Vectorcall(bound, args, count, NULL)
    Py_DECREF(bound)
    return new_relay(self, result) if result != NULL else NULL

cdef PyObject* suspended_anext(PyObject* self) noexcept:
    return step(self, "__anext__", NULL, 0)

cdef PyObject* suspended_asend(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return step(self, "asend", args, count)

cdef PyObject* suspended_athrow(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return step(self, "athrow", args, count)

cdef PyObject* suspended_aclose(PyObject* self, PyObject* ignored) noexcept:
    return step(self, "aclose", NULL, 0)

cdef PyObject* suspended_getattr(PyObject* self, PyObject* name) noexcept:
    # Frame, code, state and name are the inner one's.
    cdef PyObject* value = PyObject_GenericGetAttr(self, name)
    if value == NULL and PyErr_ExceptionMatches(PyExc_AttributeError):
        PyErr_Clear()
        value = PyObject_GetAttr((<SuspendedObject*>self).inner, name)
    return value

cdef PyObject* suspended_class(PyObject* self, void* closure) noexcept:
    # `isinstance` and with it `inspect` see what the function really gave.
    cdef PyObject* kind = <PyObject*>Py_TYPE((<SuspendedObject*>self).inner)
    Py_INCREF(kind)
    return kind

cdef PyObject* suspended_repr(PyObject* self) noexcept:
    return PyObject_Repr((<SuspendedObject*>self).inner)

cdef void suspended_finalize(PyObject* self) noexcept:
    """An abandoned pass ends here. Dropping the last reference to the inner one runs what is left of its body."""
    cdef SuspendedObject* s = <SuspendedObject*>self
    cdef Error error
    cdef PyObject* result
    if not s.started or s.over:
        return
    st_take_error(&error)
    if not PyAsyncGen_CheckExact(s.inner):  # that one's event loop closes it, in its own time
        result = call_on(self, s.inner, "close", NULL, 0)
        if result == NULL:
            PyErr_WriteUnraisable(s.inner)
        Py_XDECREF(result)
    if not s.over and resume(s):
        suspend(s, True)
    st_put_error(&error)

cdef int suspended_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef SuspendedObject* s = <SuspendedObject*>self
    cdef int result = visit(<PyObject*>Py_TYPE(self), arg)
    if not result:
        result = visit(s.inner, arg)
    return result if result else visit(s.owner, arg)

cdef void suspended_dealloc(PyObject* self) noexcept:
    cdef SuspendedObject* s = <SuspendedObject*>self
    cdef PyTypeObject* kind = Py_TYPE(self)
    if PyObject_CallFinalizerFromDealloc(self) < 0:
        return  # somebody has taken it up again
    PyObject_GC_UnTrack(self)
    if s.references != NULL:
        PyObject_ClearWeakRefs(self)
    Py_XDECREF(s.inner)
    Py_XDECREF(s.owner)
    PyMem_RawFree(s.saved)
    PyObject_GC_Del(self)
    Py_DECREF(<PyObject*>kind)

cdef PySendResult relay_am_send(PyObject* self, PyObject* value, PyObject** result) noexcept:
    return drive((<RelayObject*>self).passing, (<RelayObject*>self).inner, value, result)

cdef PyObject* relay_next(PyObject* self) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = relay_am_send(self, Py_None, &result)
    return give(status, result, True)

cdef PyObject* relay_send(PyObject* self, PyObject* value) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = relay_am_send(self, value, &result)
    return give(status, result, False)

cdef PyObject* relay_throw(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return call_on((<RelayObject*>self).passing, (<RelayObject*>self).inner, "throw", args, count)

cdef PyObject* relay_close(PyObject* self, PyObject* ignored) noexcept:
    return call_on((<RelayObject*>self).passing, (<RelayObject*>self).inner, "close", NULL, 0)

cdef int relay_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef int result = visit(<PyObject*>Py_TYPE(self), arg)
    if not result:
        result = visit((<RelayObject*>self).inner, arg)
    return result if result else visit((<RelayObject*>self).passing, arg)

cdef void relay_dealloc(PyObject* self) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(self)
    PyObject_GC_UnTrack(self)
    Py_XDECREF((<RelayObject*>self).inner)
    Py_XDECREF((<RelayObject*>self).passing)
    PyObject_GC_Del(self)
    Py_DECREF(<PyObject*>kind)

cdef PyMethodDef generator_methods[4]
cdef PyMethodDef async_methods[4]
cdef PyMethodDef relay_methods[4]
cdef PyMemberDef suspended_members[2]
cdef PyGetSetDef suspended_getset[2]

cdef void set_method(PyMethodDef* method, const char* name, void* function, int flags) noexcept:
    method.ml_name = name
    method.ml_meth = function
    method.ml_flags = flags

cdef object make_type(const char* name, int size, PyType_Slot* slots):
    cdef PyType_Spec spec
    memset(&spec, 0, sizeof(PyType_Spec))
    spec.name = name
    spec.basicsize = size
    spec.flags = ST_OBJECT_FLAGS
    spec.slots = slots
    return PyType_FromSpec(&spec)

cdef int set_common(PyType_Slot* slots) noexcept:
    """The slots that all suspended kinds share; how many they are."""
    set_slot(&slots[0], Py_tp_dealloc, <void*>suspended_dealloc)
    set_slot(&slots[1], Py_tp_traverse, <void*>suspended_traverse)
    set_slot(&slots[2], Py_tp_finalize, <void*>suspended_finalize)
    set_slot(&slots[3], Py_tp_getattro, <void*>suspended_getattr)
    set_slot(&slots[4], Py_tp_repr, <void*>suspended_repr)
    set_slot(&slots[5], Py_tp_members, suspended_members)
    set_slot(&slots[6], Py_tp_getset, suspended_getset)
    return 7

cdef object make_suspended_types():
    """(generator, generator that may be awaited, coroutine, asynchronous generator, relay)"""
    cdef PyType_Slot slots[16]
    cdef int n
    set_method(&generator_methods[0], "send", <void*>suspended_send, METH_O)
    set_method(&generator_methods[1], "throw", <void*>suspended_throw, METH_FASTCALL)
    set_method(&generator_methods[2], "close", <void*>suspended_close, METH_NOARGS)
    set_method(&async_methods[0], "asend", <void*>suspended_asend, METH_FASTCALL)
    set_method(&async_methods[1], "athrow", <void*>suspended_athrow, METH_FASTCALL)
    set_method(&async_methods[2], "aclose", <void*>suspended_aclose, METH_NOARGS)
    set_method(&relay_methods[0], "send", <void*>relay_send, METH_O)
    set_method(&relay_methods[1], "throw", <void*>relay_throw, METH_FASTCALL)
    set_method(&relay_methods[2], "close", <void*>relay_close, METH_NOARGS)
    set_member(&suspended_members[0], "__weaklistoffset__", T_PYSSIZET, SUSPENDED_REFERENCES_OFFSET)
    suspended_getset[0].name = "__class__"
    suspended_getset[0].get = <void*>suspended_class
    n = set_common(slots)
    set_slot(&slots[n], Py_tp_iter, <void*>PyObject_SelfIter)
    set_slot(&slots[n + 1], Py_tp_iternext, <void*>suspended_next)
    set_slot(&slots[n + 2], Py_am_send, <void*>suspended_am_send)
    set_slot(&slots[n + 3], Py_tp_methods, generator_methods)
    set_slot(&slots[n + 4], 0, NULL)
    generator = make_type("stichotrope._core.TrackedGenerator", sizeof(SuspendedObject), slots)
    set_slot(&slots[n + 4], Py_am_await, <void*>PyObject_SelfIter)
    set_slot(&slots[n + 5], 0, NULL)
    awaitable = make_type("stichotrope._core.TrackedAwaitableGenerator", sizeof(SuspendedObject), slots)
    set_slot(&slots[n], Py_am_await, <void*>suspended_await)
    set_slot(&slots[n + 1], Py_am_send, <void*>suspended_am_send)
    set_slot(&slots[n + 2], Py_tp_methods, generator_methods)
    set_slot(&slots[n + 3], 0, NULL)
    coroutine = make_type("stichotrope._core.TrackedCoroutine", sizeof(SuspendedObject), slots)
    set_slot(&slots[n], Py_am_aiter, <void*>PyObject_SelfIter)
    set_slot(&slots[n + 1], Py_am_anext, <void*>suspended_anext)
    set_slot(&slots[n + 2], Py_tp_methods, async_methods)
    set_slot(&slots[n + 3], 0, NULL)
    asynchronous = make_type("stichotrope._core.TrackedAsyncGenerator", sizeof(SuspendedObject), slots)
    set_slot(&slots[0], Py_tp_dealloc, <void*>relay_dealloc)
    set_slot(&slots[1], Py_tp_traverse, <void*>relay_traverse)
    set_slot(&slots[2], Py_am_await, <void*>PyObject_SelfIter)
    set_slot(&slots[3], Py_tp_iter, <void*>PyObject_SelfIter)
    set_slot(&slots[4], Py_tp_iternext, <void*>relay_next)
    set_slot(&slots[5], Py_am_send, <void*>relay_am_send)
    set_slot(&slots[6], Py_tp_methods, relay_methods)
    set_slot(&slots[7], 0, NULL)
    return generator, awaitable, coroutine, asynchronous, make_type("stichotrope._core.Relay", sizeof(RelayObject), slots)

TrackedGenerator, TrackedAwaitableGenerator, TrackedCoroutine, TrackedAsyncGenerator, Relay = make_suspended_types()
cdef PyTypeObject* generator_type = <PyTypeObject*><PyObject*>TrackedGenerator
cdef PyTypeObject* awaitable_type = <PyTypeObject*><PyObject*>TrackedAwaitableGenerator
cdef PyTypeObject* coroutine_type = <PyTypeObject*><PyObject*>TrackedCoroutine
cdef PyTypeObject* async_type = <PyTypeObject*><PyObject*>TrackedAsyncGenerator
cdef PyTypeObject* relay_type = <PyTypeObject*><PyObject*>Relay

cdef PyObject* new_relay(PyObject* passing, PyObject* inner) noexcept:
    """Takes over the reference to `inner`."""
    cdef PyObject* self = PyType_GenericAlloc(relay_type, 0)
    if self == NULL:
        Py_DECREF(inner)
        return NULL
    (<RelayObject*>self).inner = inner
    (<RelayObject*>self).passing = passing
    Py_INCREF(passing)
    return self

cdef PyTypeObject* kind_for(PyObject* inner) noexcept:
    """The type that stands for what a function returned; NULL when that does not suspend."""
    if PyCoro_CheckExact(inner):
        return coroutine_type
    if PyAsyncGen_CheckExact(inner):
        return async_type
    if PyGen_CheckExact(inner):
        return awaitable_type if st_is_awaitable_generator(inner) else generator_type
    return NULL

cdef extern from *:
    """
    /* A generator function under `types.coroutine`: its code says that what it gives can be awaited. */
    static int st_is_awaitable_generator(PyObject *generator) {
        PyObject *code = PyObject_GetAttrString(generator, "gi_code");
        int is = code != NULL && PyCode_Check(code) && (((PyCodeObject *)code)->co_flags & CO_ITERABLE_COROUTINE);
        if (code == NULL) PyErr_Clear();
        Py_XDECREF(code);
        return is;
    }
    """
    bint st_is_awaitable_generator(PyObject*)

cdef PyObject* suspending_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    """Calls a function whose result suspends: what it gives is timed when it runs, not when it is made."""
    cdef TrackedObject* t = <TrackedObject*>self
    cdef PyObject* inner = st_call(t.callee, args, nargsf, names)
    cdef PyTypeObject* kind
    cdef PyObject* made
    if inner == NULL or st_load64((<Handle*>t.handle).gate) == 0:
        return inner
    kind = kind_for(inner)
    if kind == NULL:
        return inner
    made = PyType_GenericAlloc(kind, 0)
    if made == NULL:
        Py_DECREF(inner)
        return NULL
    (<SuspendedObject*>made).inner = inner
    (<SuspendedObject*>made).owner = t.owner
    (<SuspendedObject*>made).handle = t.handle
    Py_INCREF(t.owner)
    return made


# ---- the block -------------------------------------------------------------------------------------------------------------

cdef PyObject* block_enter(PyObject* self, PyObject* ignored) noexcept:
    enter_block(<Handle*>(<BlockObject*>self).handle)
    Py_INCREF(self)
    return self

cdef PyObject* block_exit(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    if ST_UNLIKELY(not leave_block(<Handle*>(<BlockObject*>self).handle)):
        return complain(self)
    Py_INCREF(Py_None)
    return Py_None

cdef object label(PyObject* self):
    cdef BlockObject* block = <BlockObject*>self
    return (<object>block.owner)._describe_site((<Handle*>block.handle).site)

cdef int raise_not_entered(PyObject* self) except -1:
    raise RuntimeError(f"block {label(self)} was left on a thread and in a context where it is not open: "
                       "every __exit__ needs an __enter__ before it on the same thread")

cdef PyObject* complain(PyObject* self) noexcept:
    raising(self, raise_not_entered)
    return NULL

cdef extern from *:
    """
    /* Leaves the exception set, as a C slot does that returns NULL. */
    #define raising(self, function) ((void)function(self))
    """
    void raising(PyObject*, int (*)(PyObject*) except -1) noexcept

cdef PyObject* block_repr(PyObject* self) noexcept:
    try:
        text = f"<block {label(self)}>"
    except Exception:
        text = f"<block at {<uintptr_t>self:#x}>"
    Py_INCREF(<PyObject*>text)
    return <PyObject*>text

cdef int block_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef int result = visit(<PyObject*>Py_TYPE(self), arg)
    return result if result else visit((<BlockObject*>self).owner, arg)

cdef void block_dealloc(PyObject* self) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(self)
    cdef PyObject* owner = (<BlockObject*>self).owner
    PyObject_GC_UnTrack(self)
    if not st_keep_block(self):
        PyObject_GC_Del(self)
        Py_DECREF(<PyObject*>kind)
    Py_DECREF(owner)

cdef PyMethodDef block_methods[3]
cdef PyType_Slot block_slots[5]
cdef PyType_Spec block_spec

cdef object make_block_type():
    block_methods[0].ml_name = "__enter__"
    block_methods[0].ml_meth = <void*>block_enter
    block_methods[0].ml_flags = METH_NOARGS
    block_methods[1].ml_name = "__exit__"
    block_methods[1].ml_meth = <void*>block_exit
    block_methods[1].ml_flags = METH_FASTCALL
    set_slot(&block_slots[0], Py_tp_dealloc, <void*>block_dealloc)
    set_slot(&block_slots[1], Py_tp_traverse, <void*>block_traverse)
    set_slot(&block_slots[2], Py_tp_repr, <void*>block_repr)
    set_slot(&block_slots[3], Py_tp_methods, block_methods)
    set_slot(&block_slots[4], 0, NULL)
    block_spec.name = "stichotrope._core.Block"
    block_spec.basicsize = sizeof(BlockObject)
    block_spec.flags = ST_BLOCK_FLAGS
    block_spec.slots = block_slots
    return PyType_FromSpec(&block_spec)

Block = make_block_type()
cdef PyTypeObject* block_type = <PyTypeObject*><PyObject*>Block

cdef inline PyObject* new_block(PyObject* owner, Handle* handle) noexcept:
    cdef PyObject* self = st_kept_block()
    if self == NULL:
        self = _PyObject_GC_New(block_type)
    if self != NULL:
        (<BlockObject*>self).handle = handle
        (<BlockObject*>self).owner = owner
        Py_INCREF(owner)
        PyObject_GC_Track(self)
    return self


# ---- snapshots ---------------------------------------------------------------------------------------------------------------

cdef struct Share:             # one thread's part of a snapshot
    Thread* thread             # NULL for the older ended threads in one
    Packed packed

cdef bint add_share(Share** shares, size_t* count, size_t* capacity, Thread* thread, Packed* packed) noexcept nogil:
    cdef Share* bigger
    if count[0] == capacity[0]:
        bigger = <Share*>PyMem_RawRealloc(shares[0], (2 * capacity[0] + 16) * sizeof(Share))
        if bigger == NULL:
            return False
        shares[0] = bigger
        capacity[0] = 2 * capacity[0] + 16
    shares[0][count[0]].thread = thread
    shares[0][count[0]].packed = packed[0]
    if thread != NULL:
        st_add64(&thread.references, 1)
    count[0] += 1
    return True

cdef bint copy_packed(Packed* target, Packed* source) noexcept nogil:
    target[0] = source[0]
    target.words = <uint64_t*>PyMem_RawMalloc((source.used + 1) * sizeof(uint64_t))
    if target.words == NULL:
        return False
    memcpy(target.words, source.words, source.used * sizeof(uint64_t))
    return True

cdef object bucket_counts(uint64_t* page, uint64_t pages):
    """{octave * 16 + sub-bucket: count} of a packed histogram."""
    cdef uint64_t i, count, octave
    cdef uint32_t sub
    counts = {}
    for i in range(pages):
        octave = page[0] & (CARRY - 1)
        for sub in range(SUB_BUCKETS):
            count = bucket_count(page, sub)
            if count and page[0] >= CARRY:
                counts[octave * SUB_BUCKETS + sub] = counts.get(octave * SUB_BUCKETS + sub, 0) + (<object>count << 32)
            elif count:
                counts[octave * SUB_BUCKETS + sub] = count
        page += PAGE_WORDS
    return counts

cdef object decode(Packed* p):
    """Packed nodes as tuples, a parent before its children."""
    cdef uint64_t* words = p.words
    cdef size_t i
    cdef int64_t site
    nodes = []
    for i in range(p.nodes):
        site = -1 if <uint32_t>words[W_SITE] == OTHER_PATHS else <int64_t>words[W_SITE]
        nodes.append((
            <int64_t>words[W_PARENT],
            site,
            words[W_PASSES],
            words[W_TOTAL],
            words[W_CHILD],
            words[W_MINIMUM] if words[W_PASSES] else 0,
            words[W_MAXIMUM],
            (<object>words[W_SQUARES_HIGH] << 64) | words[W_SQUARES_LOW],
            words[W_NESTED],
            words[W_TRACK_NESTED],
            words[W_UNDER],
            words[W_SUSPENDED],
            bucket_counts(words + NODE_WORDS, words[W_PAGES]),
        ))
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    return tuple(nodes)

cdef class Snapshot:
    """What all threads had recorded at one moment. It owns its memory and never changes."""
    cdef Share* shares
    cdef size_t count
    cdef size_t capacity
    cdef readonly int folded_threads
    cdef readonly unsigned long long untimed

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            if self.shares[i].thread != NULL:
                drop_thread(self.shares[i].thread)
            PyMem_RawFree(self.shares[i].packed.words)
        PyMem_RawFree(self.shares)

    cdef bint take_live(self, Store* s) noexcept nogil:
        cdef Buffer* b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
        cdef Packed packed
        while b != NULL:
            memset(&packed, 0, sizeof(Packed))
            if not pack_buffer(b, s.session, &packed):
                PyMem_RawFree(packed.words)
                return False
            if packed.nodes == 0 and packed.untimed == 0:
                PyMem_RawFree(packed.words)
            elif not add_share(&self.shares, &self.count, &self.capacity, b.thread, &packed):
                PyMem_RawFree(packed.words)
                return False
            b = b.next
        return True

    cdef bint take_ended(self, Store* s) noexcept nogil:
        cdef Ended* e = s.ended_first
        cdef Packed packed
        while e != NULL:
            if not copy_packed(&packed, &e.packed):
                return False
            if not add_share(&self.shares, &self.count, &self.capacity, e.thread, &packed):
                PyMem_RawFree(packed.words)
                return False
            e = e.next
        return True

    cdef bint take_folded(self, Store* s) noexcept nogil:
        cdef Packed packed
        if s.folded == NULL:
            return True
        memset(&packed, 0, sizeof(Packed))
        if not pack_buffer(s.folded, 0, &packed) or not add_share(
                &self.shares, &self.count, &self.capacity, NULL, &packed):
            PyMem_RawFree(packed.words)
            return False
        return True

    cdef bint take(self, Store* s) noexcept nogil:
        cdef bint ok
        PyThread_acquire_lock(s.lock, WAIT_LOCK)
        sweep(s)
        ok = self.take_live(s) and self.take_ended(s) and self.take_folded(s)
        self.folded_threads = <int>s.folded_threads
        self.untimed = st_load64(&s.untimed)
        PyThread_release_lock(s.lock)
        return ok

    def threads(self):
        """(key, OS id, name, whether it ended, address of its `threading.Thread`, clamped, untimed, unbinned) each.

        The older ended threads, folded into one line, have the key 0.
        """
        cdef size_t i
        cdef Share* share
        found = []
        for i in range(self.count):
            share = &self.shares[i]
            if share.thread == NULL:
                head = (0, 0, None, True, 0)
            else:
                name = share.thread.name.decode("utf-8") if share.thread.name != NULL else None
                head = (share.thread.key, share.thread.os_id, name, bool(st_load64_acquire(&share.thread.ended)),
                        share.thread.python_thread)
            found.append(head + (share.packed.clamped, share.packed.untimed, share.packed.unbinned))
        return found

    def nodes(self, size_t index):
        """The nodes of one of the `threads()`, each (parent's number or -1, site or -1 for "other paths", passes,
        total, child, minimum, maximum, sum of squares, nested, track-nested, under, suspended, buckets), times in
        ticks."""
        if index >= self.count:
            raise IndexError(f"thread {index} of {self.count}")
        return decode(&self.shares[index].packed)

    def merged(self):
        """The nodes of all threads together, path by path, in the shape of `nodes()`."""
        cdef Packed packed
        cdef Buffer* b = new_buffer(MERGE_RESERVE, NO_LIMIT)
        cdef size_t i
        cdef bint ok = b != NULL
        memset(&packed, 0, sizeof(Packed))
        with nogil:
            for i in range(self.count):
                ok = ok and fold(b, &self.shares[i].packed, self.shares[i].packed.words)
            ok = ok and pack_buffer(b, 0, &packed)
            if b != NULL:
                free_buffer(b)
        try:
            if not ok:
                raise MemoryError("no memory to merge the threads of a profiler")
            return decode(&packed)
        finally:
            PyMem_RawFree(packed.words)


# ---- the C half of a profiler ----------------------------------------------------------------------------------------------------

cdef class Recorder:
    """What records for one profiler: its sites, its tracks' gates, its threads' buffers.

    The Python layer subclasses it, validates, holds the locks and names things; it gives `_intern_block` and
    `_describe_site`.
    """
    cdef Store* store

    def __cinit__(self, *args, **kwargs):
        self.store = NULL

    def __dealloc__(self):
        cdef CallSites* call_sites
        if self.store != NULL:
            call_sites = self.store.call_sites
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

    def _add_track(self):
        """Makes the next track's gate, closed, and gives its number."""
        if not add_gate(self.opened()):
            raise MemoryError("no memory for a track")
        return self.store.gate_count - 1

    def _set_gate(self, unsigned int track, bint on):
        """Lets the passes of a track in, or keeps them out, for all threads."""
        cdef Store* s = self.opened()
        if track >= s.gate_count:
            raise IndexError(f"track {track} of {s.gate_count}")
        st_store64_release(s.gates[track], s.session if on else 0)
        if not on:
            st_store64(&s.unmatched, 1)

    def _add_site(self, unsigned int track):
        """Makes the next call site, on a track that is there, and gives its number."""
        cdef Store* s = self.opened()
        if track >= s.gate_count:
            raise IndexError(f"track {track} of {s.gate_count}")
        if s.site_count >= MAX_SITES:
            raise OverflowError(f"a profiler holds at most {MAX_SITES:,} blocks: are names made up at run time?")
        if add_site(s, track) == NULL:
            raise MemoryError("no memory for a block")
        return s.site_count - 1

    cdef Handle* handle(self, unsigned int site) except NULL:
        if site >= self.opened().site_count:
            raise IndexError(f"site {site} of {self.store.site_count}")
        return self.store.handles[site]

    def _wrap(self, callee, unsigned int site, bint binds, bint suspends):
        """The callable that records each call of `callee` as a pass of the site.

        binds: it becomes a method, as functions do. suspends: what a call gives is a generator or coroutine, and the
        pass is its run.
        """
        return new_tracked(callee, self, self.handle(site), binds, suspends)

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

    def block(self, track, name):
        """A context manager that records each pass through its `with` body as a pass of one block.

        track: the track's index (an int from 0 on) or its name (a str). name: the block's name, a str that is not
        empty. The block is the one of this line, track and name, whoever comes here, however often. It may be kept,
        and entered again and again, recursively and by many threads at once.

        Raises TypeError or ValueError, here and not at `with`, for a track or a name of another kind.
        """
        cdef int offset = 0
        cdef PyObject* code = st_calling_code(&offset)
        cdef int64_t index = -1
        cdef PyObject* track_name = NULL
        cdef Handle* h = NULL
        cdef PyObject* made
        if type(track) is int:
            index = small_index(track)
        elif type(track) is str:
            track_name = <PyObject*>track
        if self.store != NULL and code != NULL and type(name) is str and (index >= 0 or track_name != NULL):
            h = find_call_site(self.store, code, offset, index, track_name, <str>name)
        if h == NULL:
            h = self.learn_call_site(code, offset, index, track_name, track, name)
        made = new_block(<PyObject*>self, h)
        if made == NULL:
            raise MemoryError("no memory for a block")
        block = <object>made
        Py_DECREF(made)
        return block

    cdef Handle* learn_call_site(self, PyObject* code, int offset, int64_t index, PyObject* track_name, track,
                                 name) except NULL:
        cdef CallSite site
        cdef Handle* h
        if code == NULL:
            return self.handle(self._intern_block(track, name, "<no Python code>", 0))
        held = <object>code
        h = self.handle(self._intern_block(track, name, held.co_filename, PyCode_Addr2Line(<PyCodeObject*>code, offset)))
        if type(name) is not str or (index < 0 and track_name == NULL):
            return h  # of a subclass: looked up by value each time
        site.code = code
        site.name = <PyObject*>name
        site.track_name = track_name
        site.track = index
        site.offset = offset
        site.hash = call_site_hash(code, offset, hash(name))
        site.handle = h
        Py_INCREF(site.code)
        Py_INCREF(site.name)
        Py_XINCREF(site.track_name)
        if not add_call_site(self.store, &site):
            Py_DECREF(site.code)
            Py_DECREF(site.name)
            Py_XDECREF(site.track_name)
        return h

cdef inline int64_t small_index(track) noexcept:
    """The value of an exact int, -1 when it is negative or too large to be remembered."""
    cdef int64_t value
    try:
        value = track
    except OverflowError:
        return -1
    return value if value >= 0 else -1


# ---- clock ---------------------------------------------------------------------------------------------------------------------

def use_clock(str source):
    """Chooses what passes are timed with, for the whole process: "counter", "monotonic", or "manual" for tests.

    Passes that are open or recorded already keep the ticks of the clock they were taken with.
    """
    global st_clock_kind
    if source == "counter":
        if not st_counter_name()[0]:
            raise ValueError("this processor has no counter that the clock could use")
        st_clock_kind = ST_CLOCK_COUNTER
    elif source == "monotonic":
        st_clock_kind = ST_CLOCK_MONOTONIC
    elif source == "manual":
        st_clock_kind = ST_CLOCK_MANUAL
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

def set_manual_ticks(unsigned long long ticks):
    """Sets what the manual clock shows on this thread, in nanoseconds."""
    global st_manual_ticks
    st_manual_ticks = ticks

def read_clocks():
    """(ticks, monotonic ns, how far apart they may be in ns) of one moment: the closest of several readings."""
    cdef uint64_t before, ticks, after, best_ticks = 0, best_ns = 0, closest = <uint64_t>-1
    cdef int i
    for i in range(16):
        before = st_monotonic_ns()
        ticks = st_ticks()
        after = st_monotonic_ns()
        if after - before < closest:
            closest = after - before
            best_ticks = ticks
            best_ns = before + (after - before) // 2
    return best_ticks, best_ns, closest

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

def measure_pass(unsigned int passes=500, unsigned int rounds=20):
    """What recording one pass takes, in ns: the least of several rounds, the call itself not counted."""
    cdef Store* s = new_store(0, 16)
    cdef Handle* h
    cdef Buffer* b = NULL
    cdef Activation* a
    cdef uint64_t start, took, least = <uint64_t>-1
    cdef unsigned int i, j
    if s == NULL or not add_gate(s) or add_site(s, 0) == NULL:
        raise MemoryError("no memory to measure a pass")
    st_store64(s.gates[0], s.session)
    h = s.handles[0]
    with nogil:
        for i in range(rounds):
            start = st_monotonic_ns()
            for j in range(passes):
                a = enter(h, &b)
                if a != NULL:
                    leave(b, a)
            took = st_monotonic_ns() - start
            least = min(least, took)
        free_store(s)
    return least / <double>passes


# ---- fork, and what tests look at ----------------------------------------------------------------------------------------------

def before_fork():
    """Waits until no other thread is inside the lists of stores and buffers."""
    cdef Store* s
    with nogil:
        PyThread_acquire_lock(stores_lock, WAIT_LOCK)
        s = all_stores
        while s != NULL:
            PyThread_acquire_lock(s.lock, WAIT_LOCK)
            s = s.next

def after_fork_in_parent():
    cdef Store* s = all_stores
    while s != NULL:
        PyThread_release_lock(s.lock)
        s = s.next
    PyThread_release_lock(stores_lock)

def after_fork_in_child():
    """Starts empty, with fresh locks: the other threads are gone, and what is open here began in the parent."""
    global stores_lock
    cdef Store* s = all_stores
    cdef Thread* t = <Thread*>st_this_thread
    stores_lock = PyThread_allocate_lock()
    while s != NULL:
        s.lock = PyThread_allocate_lock()
        free_buffers(s, t)
        forget_ended(s)
        set_session(s)
        s.untimed = 0
        s = s.next
    if t != NULL:
        t.os_id = PyThread_get_thread_ident()

def memory():
    """Counts of live C objects: {"stores", "buffers", "threads"}."""
    return {"stores": st_load64(&live_stores), "buffers": st_load64(&live_buffers),
            "threads": st_load64(&live_threads)}

cdef void* native_enter(Handle* h, Buffer** b) noexcept nogil:
    return enter(h, b)

cdef void native_leave(Buffer* b, Activation* a) noexcept nogil:
    leave(b, a)

def native_entry_points(Recorder recorder, unsigned int site):
    """Addresses of (handle, enter, leave) for recording from threads that Python does not know.

    C: `void *enter(handle, void **buffer)`, NULL when not recorded, and `void leave(void *buffer, void *entered)`.
    The recorder must outlive their use, and its track be on.
    """
    return (<uintptr_t>recorder.handle(site), <uintptr_t>&native_enter, <uintptr_t>&native_leave)


if not st_on_thread_exit(end_thread):
    raise ImportError("stichotrope._core: the system gives no more thread-exit hooks")
