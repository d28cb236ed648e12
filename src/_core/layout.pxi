# What is stored: nodes, activations, buffers, stores, and the flags that they carry.

cdef enum:
    LAYOUT = 3                 # version of what buffers share with readers
    OWN = 1 << 16              # bytes of a buffer before what it shares: no system's pages are larger
    LINE = 64                  # a cache line; every allocation in a buffer is a multiple of it
    INLINE_SITES = 128         # of which a thread remembers where it was entered from, in its buffer
    NAME_BYTES = 128
    BUFFER_OWN = 2368          # what a Buffer is made of, before its gap and after it
    BUFFER_SHARED = 512
    NEAR_PAGES = 34            # octaves whose histogram page a node finds directly: up to 2**38 ticks
    OCTAVES = 60
    SUB_BUCKETS = 16           # of an octave: a page of so many counts of 16 bits is half a line
    COUNT_BITS = 16
    SEATS = 8
    MAX_SITES = 1 << 24
    RESERVE = 128 << 20        # bytes of address space that a thread's buffer reserves, at most
    MERGE_RESERVE = 2047 << 20 # the same where the trees of many threads meet
    SMALLEST_RESERVE = 1 << 20
    FIRST_HANDLES = 64         # a power of two
    HANDLE_CHUNKS = 19         # of them, for MAX_SITES

cdef enum:  # activation flags
    BOTTOM = 1                 # no pass, but what a flow's first one lies on
    BASED = 2                  # of a bottom: the flow lies on a pass of another flow, which `base` names
    BASE = 4                   # bottoms name it
    LEFT = 8                   # it has closed while bottoms named it: `prev` is what their flows lie on now
    DROPPED = 64               # it was open across a clear: it will leave, and be recorded nowhere
    MUTED = 128                # entered while its track was off, only so that leaving finds its own
    BODY = 256                 # the run of something tracked that suspends
    SUSPENDABLE = 512          # its `with` stands in a generator or coroutine, which may be suspended inside it
    PACED = 1024               # of a site whose passes may be idle: counted as active while it is not
    IDLE = 2048                # the lowest of what is suspended and idle; `over` of the uppermost counts one more
    SUSPENDED = 4096           # the lowest of what is suspended with a body: its chain is in no flow
    TIMED = 8192               # its processor time is taken, too
    PAUSED = 16384             # of a TIMED one: it is suspended
    STRANDED = 32768           # of a generator: in the timeline it is on a strand of its own
    TAGGED = 65536             # it has a tag, for the timeline
    SILENT = DROPPED | MUTED
    ORDINARY = SUSPENDABLE | STRANDED | TAGGED  # what the straight way out can handle

cdef enum:  # in `posted`, beside the offset of an activation
    RINGED = 1                 # passes that end here go into the thread's ring, too

cdef enum:  # what `gone` says has ended on another thread
    PASS = 1
    CHAIN = 2                  # all that was suspended with a body

cdef enum:  # who enters
    CALL = 0
    BLOCK = 1
    NATIVE = 2                 # a thread that does not hold the GIL: it has no context, and may not ask the interpreter
    CODE = 3                   # a call that is known by its frame

cdef enum:  # what is asked for beside the figures of a site
    ASKED = 1                  # what its functions give is asked how much it is
    WATCHED = 2                # slow passes are told of

cdef enum:  # what is not plain with a store's exits, from when it is noted on
    UNMATCHED = 1              # one may rightly find no activation, its thread having found no memory for a buffer
    OF_BODIES = 2              # a body that can be suspended has entered a block
    MISSED = 4                 # a block has found no room on its thread's stack

cdef enum:  # how a pass ended
    RETURNED = 0
    FAILED = 1                 # by an exception
    CANCELLED = 2              # by one that says that nobody waits for it any more

cdef enum:  # scopes: what is counted once beside nodes; the low bits of a scope's key, above them its number
    OF_SITE = 0
    OF_TRACK = 1
    OF_ALL = 2
    OF_ACTIVE = 3              # not of all that is open on a site, but of what is not idle
    SCOPE_BITS = 2
    UNSETTLED = 1              # no node's offset: a SiteState's `parent` where each enter is to look closer

cdef extern from *:
    """
    #define ST_NO_SITE 0xFFFFFFFFu
    #define ST_OTHER_PATHS 0xFFFFFFFEu
    #define ST_NO_LIMIT 0xFFFFFFFFu
    #define ST_NOT_YET 0xFFFFFFFFFFFFFFFFu
    #define ST_LEFT_AFTER 0x8000000000000000u
    #define ST_OFF 0xFFFFFFFFFFFFFFFFu
    #define ST_PROCESSOR 0xFFFFFFFDu
    #define ST_WORK 0xFFFFFFFCu
    #define ST_TIMES 0x8000000000000000u
    """
    const uint32_t NO_SITE "ST_NO_SITE"
    const uint32_t OTHER_PATHS "ST_OTHER_PATHS"
    const uint32_t NO_LIMIT "ST_NO_LIMIT"
    const uint64_t NOT_YET "ST_NOT_YET"
    const uint64_t LEFT_AFTER "ST_LEFT_AFTER"
    const uint64_t OFF "ST_OFF"    # of a gate: no thread's session is ever this
    const uint32_t PROCESSOR "ST_PROCESSOR"  # the site of the node that holds another one's processor time
    const uint32_t WORK "ST_WORK"  # the site of the node that holds what another one's passes went through
    const uint64_t TIMES "ST_TIMES"  # added to a gate's session: no thread's is ever this, so each enter is to look closer

cdef extern from *:
    """
    /* What a body has open: all from `low` up to `top`, while it is suspended. */
    typedef struct {
        void *buffer;           /* where, from the first pass to the last */
        void *low;              /* the outermost pass */
        uint64_t session;       /* in which it was suspended: what was cleared since is dropped */
        uint32_t top;           /* offset of the innermost */
    } st_strand;
    """
    ctypedef struct Strand "st_strand":
        void* buffer
        void* low
        uint64_t session
        uint32_t top

cdef struct Body:              # a body that is not tracked, suspended with something open
    Strand strand
    Body* next                 # of those that are not in use

cdef struct Store
cdef struct Thread
cdef struct Buffer
cdef struct File

cdef struct Handle:            # what a call needs to know of its site
    uint64_t* gate             # atomic: its track's; or one of its own, where that one times less than it does
    Store* store
    uint32_t site
    uint32_t track
    uint32_t seat              # offset of a thread's Seat for the store
    uint32_t asks              # atomic: ASKED, WATCHED
    uint64_t slow_ticks        # atomic: of a WATCHED one, what lasts as long is told of

# How long at least one of some passes was open is kept in one word, so that nobody sees it half written: twice the
# ticks until now, less twice the moment at which the first of those that are open began, and 1 while any is.
#
# What is counted so is nested: a node in its site, that in its track, that in the whole thread. A node counts passes, a site
# its nodes that are open, and so on: what changes nothing for a node changes nothing around it. A site
# with one node, a track with one site, a thread with one track are not counted apart: they are open when that is.

cdef struct Count:
    uint64_t once
    uint32_t others            # that are open, but for the one that the word's last bit says is
    uint32_t above             # offset of the Count around it, or 0

cdef struct Scope:             # a site, a track, or all, on one thread
    Count count
    uint64_t key               # number << SCOPE_BITS | which kind
    uint32_t older             # the scope made before this one
    uint32_t unused

cdef struct Node:
    # Written on every pass.
    uint64_t finished          # passes recorded; written last
    uint64_t started           # the same; written first
    uint64_t total             # ticks, over all passes
    uint64_t squares_low       # 128-bit sum of squared ticks
    uint64_t squares_high
    uint64_t minimum
    uint64_t maximum
    Count count
    uint64_t covered           # how long something lay on each of its open passes; in the same form
    uint32_t covering          # those of its open passes that something lies on, or that are idle
    uint32_t pages[NEAR_PAGES]
    # Written when the node is made, or rarely.
    uint32_t parent
    uint32_t site
    uint32_t older             # the node made before this one: how readers enumerate them
    uint32_t extra             # offset of an Extra, or 0
    uint32_t track
    uint64_t failed            # passes
    uint64_t cancelled

cdef struct Extra:             # what few nodes need
    uint32_t far_pages[OCTAVES - NEAR_PAGES]
    uint32_t carries[OCTAVES]  # pages of 64 bits, for what counts have beyond their 16

cdef struct Activation:
    uint32_t next              # kept across passes: a warm stack is pushed by moving `top` alone
    uint32_t prev              # 0 for a flow's bottom, and for the lowest of what is suspended
    uint32_t node
    uint32_t flags
    uint64_t start             # NOT_YET while it is not open, or its clock not read; LEFT_AFTER + its ticks once it ends
    uint32_t site
    uint32_t over              # what lies on it and is in progress: passes, and flows
    uint32_t base              # of a BASED bottom: what it lies on
    uint32_t bottoms           # of a BASE: how many name it
    uint64_t total_before      # of its node, for as long as it is being recorded: who finds that half done can finish it
    uint64_t squares_before
    # Not written by most passes.
    uint64_t frame             # of a block: whose `with` it is; an address that only its owner compares
    uint64_t ended             # of what is posted: when it ended here, or 0 when it was forgotten before
    uint32_t posted            # the next that is
    uint32_t gone              # atomic: set when it has ended on another thread, and says what has
    uint64_t ran               # of what is TIMED: since when it runs; PAUSED: what it has run
    uint64_t tag               # of what is TAGGED
    uint32_t strand            # of what is STRANDED
    uint32_t unused
    uint64_t unused_too[3]

cdef struct Passed:            # one pass in a ring: half a line
    uint64_t start             # ticks
    uint64_t took              # its ticks, four times; and how it ended
    uint32_t site
    uint32_t strand            # 0: its thread's own; else the address of its context or body, shortened
    uint64_t tag               # 0: none

cdef struct SiteState:         # a thread's memory of a site: where it was entered from last, and the node that led to
    uint32_t parent
    uint32_t node
    uint32_t paced_parent      # its parent, where `parent` is UNSETTLED
    uint32_t pace              # offset of the Scope of what is not idle, or 0

cdef struct Map:               # open addressing, 64-bit keys (never 0) to 64-bit values; one owner
    uint64_t* slots            # key, value, key, value, …
    uint64_t mask              # capacity - 1
    uint64_t used

cdef struct Thread:
    uint64_t key               # our own counter
    uint64_t os_id
    uintptr_t python_thread    # address of the threading.Thread, only compared
    uint64_t ended             # set by the exit hook
    uint64_t ended_at          # ticks, written before that: what it leaves open lasts no longer
    uint64_t references        # the thread itself, and each of its buffers
    char* name                 # UTF-8
    Map buffers                # store id -> Buffer*

cdef struct Buffer:
    # The owner's own: anonymous memory.
    uint32_t size
    uint32_t spare             # free activations, linked by `next`
    uint32_t other             # the "other paths" node, or 0
    uint32_t max_nodes
    uint32_t committed_stack
    uint32_t committed_data
    uint32_t half_line         # offset of room for a Scope, or 0
    uint32_t silent            # open activations that will not be recorded
    uint32_t missed            # blocks that are open but found no room on the stack: left first, being innermost
    uint32_t times             # the site + 1 whose pass begins next, and is to take processor time; or 0
    uint32_t aside             # suspended bodies that are not tracked and have something open here
    uint32_t is_native         # atomic: its thread has recorded without the GIL
    uint32_t site_capacity
    uint32_t foreign           # of another process: its clock's kind, and 1; else 0
    uint32_t number            # in its file
    bint is_lost               # the file had no room any more: what it has grown by since is nobody else's
    bint is_replaced           # in its file its figures are kept compactly
    bint retired               # its thread has ended, and its figures are kept elsewhere: it stays for what is held
    SiteState* sites
    void* context              # the current flow's; a flow that is not empty holds a reference to its context
    void* expected             # the same, or no context's address while there is none or anything to look at first
    void* body                 # of the tracked generator or coroutine that runs innermost, or NULL; compared only
    void* thrown_through       # a frame that passes on what is thrown into it, which does not show it as running
    Map scopes                 # key + 1 -> offset of a Count: of its Scope, or of the only one within it
    Map children               # (parent offset << 32 | site + 1) -> node offset
    Map flows                  # context + 1 -> offset of the top, of flows that are not current and not empty
    uint64_t flow_changes      # atomic: odd while `flows` is being changed
    uint64_t* old_flows        # without the GIL: tables that readers may still be in, linked by their first word
    uint64_t held              # bodies that are, or were, suspended with something open here
    uint64_t released          # atomic: of these, those that other threads have taken over
    # The store's.
    Thread* thread
    Buffer* next
    Store* store
    uint64_t store_id
    File* file                 # where it is mapped, or NULL
    char* before_fork          # what it held then, for as long as a fork is being made
    uint64_t over_at           # of a foreign one: what is open counts until then; or NOT_YET
    Passed* ring               # atomic: its newest passes, or NULL
    uint64_t ring_mask         # atomic: how many it has room for, less one
    uint64_t ring_most         # how many it may grow to have room for
    uint64_t ring_reserved     # bytes of address space
    uint64_t ring_is_kept      # whether it is in the file
    void* home                 # the context that is the thread's own, or NULL while nobody has asked; compared only
    SiteState inline_sites[INLINE_SITES]
    char gap[OWN - BUFFER_OWN]
    # What readers need, in this process or another: no pointer from here on, and nothing whose size depends on the
    # machine. Offsets count from the start of the buffer.
    uint32_t layout
    uint32_t data_start
    uint64_t session           # atomic: readers check it
    uint64_t thread_key
    uint64_t os_id
    uint64_t ended_at          # ticks, once it is known that the thread has ended
    uint64_t posted            # atomic: offset of the newest Activation that another thread has ended, or 0; and RINGED
    uint64_t rung              # atomic: how many passes have gone into the ring
    uint32_t top
    uint32_t newest            # atomic: offset of the newest node
    uint32_t newest_scope      # atomic: offset of the newest
    uint32_t nodes
    uint32_t stack_used
    uint32_t data_used
    uint64_t clamped           # passes whose clock went backwards
    uint64_t untimed           # passes that could not be given memory
    uint64_t unbinned          # passes whose place in the histogram could not be
    uint32_t newest_kept       # the same, of those that are in the file
    uint32_t newest_scope_kept
    uint32_t leaving           # 1 while the pass that is being recorded is noted in the spare activation
    uint32_t unused
    char name[NAME_BYTES]      # of the thread: UTF-8, cut where it is longer
    uint64_t drains            # atomic: odd while what is posted is taken out
    uint64_t rung_before       # atomic: of those in the ring, how many were there at the last clear
    uint64_t reserved[31]

cdef struct Packed:            # a buffer's figures without the gaps
    uint64_t* words
    size_t used                # in words
    size_t capacity
    size_t nodes
    size_t scopes              # they come after the nodes
    uint64_t clamped
    uint64_t untimed
    uint64_t unbinned

cdef struct Ended:             # what is kept of a thread that ended
    Thread* thread
    Packed packed
    uint64_t number            # in its file
    Ended* next

cdef struct EndedRing:         # what is kept of the ring of a thread that ended
    Thread* thread
    EndedRing* next
    uint64_t number            # what it is called in the file, or 0
    uint64_t lost              # passes that were overwritten
    uint64_t count
    Passed* passes

cdef struct Gate:              # in a line of its own: a switch must not disturb who reads another track's
    uint64_t session           # atomic: the store's while all three switches are on, else OFF; with TIMES or without
    bint enabled
    bint times
    bint left_out              # its passes are not in the timeline
    uint32_t* kept             # the same, in the file; or NULL

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
    uint64_t exits             # atomic: UNMATCHED, OF_BODIES
    Buffer* buffers            # atomic: threads push their own
    uint64_t swept             # atomic: value of `threads_ended` at the last sweep
    uint64_t retired           # atomic: buffers that are
    PyThread_type_lock lock
    Ended* ended_first         # oldest first
    Ended* ended_last
    uint64_t ended_count
    uint64_t retain_threads
    Buffer* folded             # all older ended threads in one
    uint64_t folded_threads
    uint64_t folded_until      # the number of the newest of them
    Map bodies                 # frame -> Body*, of those that are suspended; with the GIL held, or the lock
    Body* spare_bodies         # likewise
    uint64_t untimed           # atomic: passes that had no buffer
    uint32_t max_nodes
    uint32_t site_count        # atomic: written when its handle is
    Handle* handles[HANDLE_CHUNKS]  # each twice as long as the one before; none ever moves
    uint32_t gate_count
    Gate** gates               # per track; likewise
    uint32_t own_gates         # sites that have one
    bint started
    bint times                 # all tracks take processor time
    CallSites* call_sites      # atomic
    uint64_t timeline          # atomic: how many passes a thread's ring has room for; 0: there are none
    uint32_t looks             # atomic: whether there is anything to look at before a pass goes into the ring
    bint leaves_out            # tracks that are to be made are not in the timeline
    EndedRing* rings_first     # oldest first
    EndedRing* rings_last
    uint64_t rings             # how many there are
    uint64_t rings_passes      # in all of them
    File* file                 # where it is kept, or NULL
    void* targets              # the newest Target of code that is tracked
    Store* next                # all stores, under stores_lock

cdef uint64_t contexts_wait = 0  # atomic: set once a context knows what it waits in
cdef uint32_t processor_time_used = 0  # atomic: set once anything takes it
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
