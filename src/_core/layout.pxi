# What is stored: nodes, activations, buffers, stores, and the flags that they carry.

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
    MOVED = 8                  # it came to lie where it lies at `since`, not at its start
    BOTTOM = 16                # no pass, but what a flow's first one lies on
    BASED = 32                 # of a bottom: the flow lies on an open pass of another flow
    FLOW_ROOT = 64             # the lowest of a flow that is recorded, where that flow lies on another's pass
    BASE = 128                 # a flow lies on it
    DROPPED = 256              # it was open across a clear: it will leave, and be recorded nowhere
    MUTED = 512                # entered while its track was off, only so that leaving finds its own
    LIFTED = 1024              # it lies on one of these two, which stand for what they lie on
    PAUSED = 2048              # it was suspended, with the tracked generator or coroutine that opened it, for some time
    RESUMED = 8192             # the run of something suspended: `base` says when the first one began
    SUSPENDABLE = 4096         # its `with` stands in a generator or coroutine, which may be suspended inside it
    PARTLY = 16384             # what it was nested in closed first: `…_part` say how much of its time that took
    EXPOSED = 32768            # its place says that it is nested, but since `exposed` it has been outermost
    SHADED = 65536             # when it was open, something was put aside that may be nested in it
    WAS_ASIDE = 131072         # it is, or was, put aside
    SILENT = DROPPED | MUTED
    ORDINARY = TRACK_NESTED | SUSPENDABLE  # what the straight way out can handle

cdef enum:  # who enters
    CALL = 0
    BLOCK = 1
    NATIVE = 2                 # a thread that does not hold the GIL: it has no context, and may not ask the interpreter

cdef enum:  # what may be open
    SAME_SITE = 0
    SAME_TRACK = 1
    ANYTHING = 2

cdef enum:  # flags of an edge of the tree, kept beside the node's offset
    LOOSE = 1                  # the edge folds back, or leads to "other paths": the place says nothing of nesting

cdef extern from *:
    """
    #define ST_NO_SITE 0xFFFFFFFFu
    #define ST_OTHER_PATHS 0xFFFFFFFEu
    #define ST_NO_LIMIT 0xFFFFFFFFu
    #define ST_NOT_YET 0xFFFFFFFFFFFFFFFFu
    #define ST_OFF 0xFFFFFFFFFFFFFFFFu
    """
    const uint32_t NO_SITE "ST_NO_SITE"
    const uint32_t OTHER_PATHS "ST_OTHER_PATHS"
    const uint32_t NO_LIMIT "ST_NO_LIMIT"
    const uint64_t NOT_YET "ST_NOT_YET"
    const uint64_t OFF "ST_OFF"    # of a gate: no thread's session is ever this

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
    uint64_t under             # the same for any pass, where the node's place says that it is outermost; elsewhere the
                               # opposite: part of total in which it was outermost all the same
    uint64_t suspended         # part of total that is not nested: what generators and coroutines did not run
    uint32_t pages[NEAR_PAGES]
    uint32_t unused

cdef struct Extra:             # what few nodes need
    uint32_t far_pages[OCTAVES - NEAR_PAGES]
    uint32_t carries[OCTAVES]  # pages of high halves, for counts that passed 2**32

cdef struct Activation:        # one line for every pass, two more for few
    uint32_t next              # kept across passes: a warm stack is pushed by moving `top` alone
    uint32_t prev              # 0 for a flow's bottom
    uint32_t node
    uint32_t flags
    uint64_t start
    uint64_t child
    uint64_t site_mask         # a bit for each site open here and below (modulo 64), so that "not open" is one test
    uint64_t track_mask        # a bit for each track; the last bit stands for all from 63 on
    const Handle* handle       # the owner's own; readers know the site by the node
    void* frame                # of a block: whose `with` it is; compared only
    uint64_t since             # with MOVED: when it came to lie where it lies, …
    uint64_t unbilled          # … and what of the time before that nobody has been billed
    uint64_t suspended         # with PAUSED or RESUMED: the part of its time that it was suspended for
    uint64_t base              # of a BASED bottom: the offset of what it lies on; of what was RESUMED: its first start
    uint64_t laid              # with PAUSED: since when it is on a stack again
    uint64_t nested_part       # with PARTLY: ticks, where NESTED is not set any more, …
    uint64_t nested_suspended  # … and how many of those it was suspended
    uint64_t track_part
    uint64_t exposed           # with EXPOSED: since when; else, with PARTLY, ticks that it was UNDER another
    uint32_t gone              # atomic: of a SUSPENDABLE one, set when it was left on another thread
    uint32_t unused
    void* home                 # with WAS_ASIDE: the context in which it was put aside last; of a flow's bottom: the one in
                               # which the flow's context was entered; compared only
    uint64_t rest[5]

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
    void* context              # the current flow's; a flow that is not empty holds a reference to its context
    void* expected             # the same, or no context's address while there is anything to look at first
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
    uint32_t missed            # blocks that are open but found no room on the stack: left first, being innermost
    uint32_t aside             # suspended generators whose open blocks are put aside
    uint32_t gone              # atomic: set when another thread has left something that is open here
    Map children               # (parent offset << 32 | site + 1) -> node offset | edge << 32
    Map flows                  # context + 1 -> offset of the top, of flows that are not current and not empty;
                               # frame + 2 -> the same, of what suspended generators have open
    uint64_t flow_changes      # atomic: odd while `flows` is being changed
    uint64_t* old_flows        # without the GIL: tables that readers may still be in, linked by their first word
    Base* bases
    uint64_t clamped           # passes whose clock went backwards
    uint64_t untimed           # passes that could not be given memory
    uint64_t unbinned          # passes whose place in the histogram could not be
    void* thrown_through       # a frame that passes on what is thrown into it, which does not show it as running
    Map homes                  # context + 1 -> the bottom of the first that is put aside of it
    bint was_aside             # anything WAS_ASIDE since the buffer was emptied
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

cdef struct Begun:             # of a pass that is left on another thread than it was entered on
    uint64_t start
    uint64_t child
    uint64_t suspended

cdef struct Orphan:            # a block that its thread left open in a generator when it ended
    const Handle* handle
    void* frame
    Begun begun
    Orphan* next

cdef struct Ended:             # what is kept of a thread that ended
    Thread* thread
    Packed packed
    Ended* next

cdef struct Gate:              # in a line of its own: a switch must not disturb who reads another track's
    uint64_t session           # atomic: the store's while all three switches are on, else OFF
    bint enabled

cdef struct CallSite:          # where a block was asked for: what was given, and what it came to
    PyObject* code
    PyObject* track            # an exact int or str
    PyObject* name             # an exact str
    uint64_t hash
    int offset
    Handle* handle             # atomic: written last, never changed

cdef struct CallSites:
    CallSite* slots
    size_t mask
    size_t used
    CallSites* older           # still readable by whoever had it; freed with the store
    bint owns                  # the references of its entries: not once they were copied into a larger table

cdef struct Store:
    uint64_t id
    uint64_t session           # atomic
    uint64_t unmatched         # atomic: set once an exit may rightly find no activation
    Buffer* buffers            # atomic: threads push their own
    uint64_t swept             # atomic: value of `threads_ended` at the last sweep
    PyThread_type_lock lock
    Ended* ended_first         # oldest first
    Ended* ended_last
    uint64_t ended_count
    uint64_t retain_threads
    Buffer* folded             # all older ended threads in one
    uint64_t folded_threads
    Orphan* orphans
    uint64_t untimed           # atomic: passes that had no buffer
    uint32_t max_nodes
    uint32_t site_count
    Handle** handles           # per site; what they point to stays where it is
    uint32_t gate_count
    Gate** gates               # per track; likewise
    bint started
    CallSites* call_sites      # atomic
    Store* next                # all stores, under stores_lock

cdef bint everything_enabled = True  # the switch for the whole process
cdef uint64_t last_session = 0
cdef uint64_t last_thread_key = 0
cdef uint64_t last_store_id = 0
cdef uint64_t threads_ended = 0
cdef Store* all_stores = NULL
cdef PyThread_type_lock stores_lock = PyThread_allocate_lock()
cdef uint64_t live_stores = 0
cdef uint64_t live_buffers = 0
cdef uint64_t live_threads = 0

if sizeof(Node) != 4 * LINE or sizeof(Activation) != 3 * LINE:
    raise ImportError("stichotrope._core was built with a layout its code does not expect")
