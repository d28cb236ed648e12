# The ring: a thread's newest passes, each with its moment, in room that is written over again and again.
#
# A buffer that has one, or is to have one, says so in `posted` (RINGED), which who leaves looks at anyway: without a
# timeline a pass takes no instruction more. What a pass is called stands elsewhere, so that nothing here loses its name.
#
# `rung` counts the passes that have gone in, and the fence before each one keeps what is written into its place behind
# that: who has copied the ring, and reads `rung` again, knows which places may have been written over meanwhile.

cdef enum:
    FIRST_RING = 128           # passes: a page, the least that can be mapped
    MOST_RING = 1 << 22
    MOST_RINGS = 1024          # of threads that ended
    HOW_BITS = 2               # of `took`, that say how the pass ended

cdef enum:  # kinds of strands but for the thread's own
    OF_CONTEXT = 0
    OF_BODY = 1

cdef inline bint is_ringed(Buffer* b) noexcept nogil:
    return st_load64(&b.posted) & RINGED != 0

cdef inline uint32_t strand_number(const void* what, uint32_t kind) noexcept nogil:
    """What a context or body is known by in the timeline: its address, as far as it fits. Of those that are there at the
    same time no two have the same but by an accident, which the layout of the timeline bears."""
    cdef uint32_t number = <uint32_t>(<uintptr_t>what >> 4) << 1 | kind
    return number if number else 2

cdef inline void go_on_strand(Activation* a, const void* body) noexcept nogil:
    """Notes that a pass is on a strand of its own: a generator's, for which what it lies on does not wait."""
    a.strand = strand_number(body, OF_BODY)
    st_store32(&a.flags, a.flags | STRANDED)

cdef void* outermost_context(void* context) noexcept nogil:
    cdef void* outer = context
    cdef int depth
    for depth in range(1000):
        if outer == NULL:
            break
        context = outer
        outer = st_outer_context(context)
    return context

cdef uint32_t strand_of_context(Buffer* b, void* context) noexcept nogil:
    if b.home == NULL:
        b.home = outermost_context(context)
    return 0 if context == b.home else strand_number(context, OF_CONTEXT)

cdef bint is_in_flow(Buffer* b, uint32_t top, uint32_t offset) noexcept nogil:
    while top and top != offset:
        top = activation_at(b, top).prev
    return top != 0

cdef uint32_t strand_of_covered(Buffer* b, Activation* a) noexcept nogil:
    """The strand of a pass that may be in another flow than the current one."""
    cdef uint32_t offset = offset_of(b, a)
    cdef uint64_t i
    if not is_in_flow(b, b.top, offset) and b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and is_in_flow(b, <uint32_t>b.flows.slots[2 * i + 1], offset):
                return strand_of_context(b, <void*><uintptr_t>(b.flows.slots[2 * i] - 1))
    return strand_of_context(b, b.context)

cdef inline uint32_t strand_of(Buffer* b, Activation* a) noexcept nogil:
    if a.flags & STRANDED:
        return a.strand
    if ST_LIKELY(b.top == offset_of(b, a)):
        return 0 if ST_LIKELY(b.context == b.home) else strand_of_context(b, b.context)
    return strand_of_covered(b, a)

cdef bint grow_ring(Buffer* b, Passed* passes, uint64_t room, uint64_t more) noexcept nogil:
    """Makes room for so many passes more; False when there is none."""
    cdef uint32_t size = <uint32_t>(more * sizeof(Passed))
    if b.ring_is_kept:
        return grow_file(b.file, <char*>passes, room * sizeof(Passed), size, OF_RING, b.number)
    return st_commit(passes + room, size) != 0

cdef bint begin_ring(Buffer* b) noexcept nogil:
    """Gives a buffer a ring; False when there is no memory."""
    cdef uint64_t most = st_load64_acquire(&b.store.timeline), first = FIRST_RING
    cdef Passed* made = <Passed*>st_reserve(most * sizeof(Passed))
    if made == NULL:
        return False
    while first * sizeof(Passed) < st_page_size():
        first *= 2
    st_store64(&b.rung, 0)
    st_store64(&b.rung_before, 0)
    st_store64(&b.ring_mask, first - 1)
    b.ring_most = most
    b.ring_reserved = most * sizeof(Passed)
    b.ring_is_kept = b.file != NULL and not b.is_lost
    if not grow_ring(b, made, 0, first):
        b.ring_is_kept = False
        if not grow_ring(b, made, 0, first):
            st_release(made, most * sizeof(Passed))
            st_store64(&b.ring_mask, 0)
            return False
    st_storep_release(<void**>&b.ring, made)  # who reads it finds all this
    return True

cdef void free_ring(Buffer* b) noexcept nogil:
    if b.ring != NULL:
        st_release(b.ring, b.ring_reserved)
        b.ring = NULL
        st_store64(&b.ring_mask, 0)  # so that the next pass makes one

cdef void stop_ringing(Buffer* b) noexcept nogil:
    cdef uint64_t before
    while True:
        before = st_load64_acquire(&b.posted)
        if st_cas64(&b.posted, before, before & ~<uint64_t>RINGED):
            return

cdef Passed* turn_ring(Buffer* b) noexcept nogil:
    """Where the next pass goes when it is the last one that there is room for, and the ring is to be made or to grow, or
    will begin anew; NULL when there is none."""
    cdef uint64_t room
    if b.ring == NULL and not begin_ring(b):
        stop_ringing(b)
        return NULL
    room = b.ring_mask + 1
    if b.rung + 1 == room and room < b.ring_most:
        if grow_ring(b, b.ring, room, room):
            st_store64(&b.ring_mask, 2 * room - 1)
        else:
            b.ring_most = room
    return &b.ring[b.rung & b.ring_mask]

cdef inline hot put_in_ring(Buffer* b, uint32_t site, uint64_t start, uint64_t ticks, int how, uint32_t strand,
                            uint64_t tag) noexcept nogil:
    """Writes one pass over the oldest one."""
    cdef uint64_t rung = b.rung
    cdef Passed* p
    if ST_UNLIKELY(rung & b.ring_mask == b.ring_mask):
        p = turn_ring(b)
        if p == NULL:
            return
        rung = b.rung
    else:
        p = &b.ring[rung & b.ring_mask]
    st_fence_release()
    st_store64(&p.start, start)
    st_store64(&p.took, ticks << HOW_BITS | <uint64_t>how)
    st_store32(&p.site, site)
    st_store32(&p.strand, strand)
    st_store64(&p.tag, tag)
    st_store64_release(&b.rung, rung + 1)

cdef inline hot into_ring(Buffer* b, Activation* a, uint64_t now, int how) noexcept nogil:
    """Has a pass that is about to be recorded go into the thread's ring, if it has one."""
    if is_ringed(b) and not a.flags & SILENT:
        if ST_UNLIKELY(st_load32(&b.store.looks)) and not look_at(b, a):
            return
        put_in_ring(b, a.site, a.start, stretch(a.start, now), how, strand_of(b, a), a.tag if a.flags & TAGGED else 0)

cdef bint look_at(Buffer* b, Activation* a) noexcept nogil:
    """Whether a pass goes into the ring."""
    return not (<Gate*>st_loadp_acquire(<void**>&handle_of(b, a).gate)).left_out

# ---- read

cdef struct Passes:            # what a ring held at one moment
    Passed* items
    uint64_t count
    uint64_t lost              # that were overwritten before

cdef void copy_words(uint64_t* to, uint64_t* words, uint64_t count) noexcept nogil:
    """Copies what its owner may be writing."""
    cdef uint64_t i
    for i in range(count):
        to[i] = st_load64(&words[i])

cdef bint copy_ring(Buffer* b, uint64_t session, Passes* found) noexcept nogil:
    """Copies what a ring holds, but for what is overwritten meanwhile; False when there is no memory."""
    cdef Passed* passes = <Passed*>st_loadp_acquire(<void**>&b.ring)
    cdef uint64_t rung = st_load64_acquire(&b.rung), room = st_load64(&b.ring_mask) + 1, first, i, run
    found.items = NULL
    found.count = found.lost = 0
    first = st_load64(&b.rung_before)
    if passes == NULL or st_load64_acquire(&b.session) != session or first >= rung:
        return True
    found.lost = first
    if rung > room:
        first = max(first, rung - room)
    found.items = <Passed*>PyMem_RawMalloc((rung - first) * sizeof(Passed))
    if found.items == NULL:
        return False
    i = first
    while i < rung:
        run = min(rung - i, room - i % room)
        copy_words(<uint64_t*>(found.items + (i - first)), <uint64_t*>(passes + i % room), run * sizeof(Passed) // 8)
        i += run
    st_fence_acquire()
    keep_whole(b, found, first, rung, room)
    if st_load64(&b.session) != session:
        found.count = found.lost = 0
    return True

cdef void keep_whole(Buffer* b, Passes* found, uint64_t first, uint64_t until, uint64_t room) noexcept nogil:
    """Drops what was copied of places that may have been written over meanwhile, the next one included."""
    cdef uint64_t rung = st_load64(&b.rung), whole = first
    if rung + 1 > room:
        whole = min(max(first, rung + 1 - room), until)
    memmove(found.items, found.items + (whole - first), (until - whole) * sizeof(Passed))
    found.count = until - whole
    found.lost = whole - found.lost

# ---- of threads that ended

cdef void drop_ring(Store* s, EndedRing* e) noexcept nogil:
    if s.file != NULL and e.number:
        free_chunks(s.file, OF_PASSED, e.number)
    drop_thread(e.thread)
    PyMem_RawFree(e.passes)
    PyMem_RawFree(e)

cdef void trim_rings(Store* s, uint64_t most, uint64_t most_passes) noexcept nogil:
    """Drops what is kept of the rings of ended threads, the oldest first, until it is no more than that."""
    cdef EndedRing* e
    while s.rings > most or s.rings_passes > most_passes:
        e = s.rings_first
        s.rings_first = e.next
        if e.next == NULL:
            s.rings_last = NULL
        s.rings -= 1
        s.rings_passes -= e.count
        drop_ring(s, e)

cdef void keep_ring(Store* s, Buffer* b, EndedRing** batch) noexcept nogil:
    """Puts what the ring of a thread holds that has ended in front of a batch. Without memory, it is lost."""
    cdef Passes found
    cdef EndedRing* e = NULL
    if b.ring == NULL:
        return
    if copy_ring(b, s.session, &found) and found.count:
        e = <EndedRing*>PyMem_RawCalloc(1, sizeof(EndedRing))
    if e == NULL:
        PyMem_RawFree(found.items)
    else:
        e.thread = b.thread
        st_add64(&e.thread.references, 1)
        e.passes = found.items
        e.count = found.count
        e.lost = found.lost
        e.next = batch[0]
        batch[0] = e
        if s.file != NULL and b.file != NULL and keep_passes(s, b, e):
            e.number = b.number + 1
    if b.file != NULL and b.ring_is_kept:
        free_chunks(b.file, OF_RING, b.number)
    free_ring(b)

cdef void keep_rings(Store* s, EndedRing* batch) noexcept nogil:
    """Keeps a batch: of all ended threads together, as many passes as one ring has room for, the newest threads'."""
    if batch == NULL:
        return
    if s.rings_last == NULL:
        s.rings_first = batch
    else:
        s.rings_last.next = batch
    while batch != NULL:
        s.rings_last = batch
        s.rings += 1
        s.rings_passes += batch.count
        batch = batch.next
    trim_rings(s, MOST_RINGS, st_load64(&s.timeline))

cdef bint keep_passes(Store* s, Buffer* b, EndedRing* e) noexcept nogil:
    """Has the file have them too; False when there is no room."""
    cdef Kept about
    memset(&about, 0, sizeof(Kept))
    about.session = s.session
    about.thread_key = b.thread.key
    about.os_id = b.thread.os_id
    about.threads = 1
    about.words = e.count * (sizeof(Passed) // 8)
    about.nodes = e.lost
    memcpy(about.name, b.name, NAME_BYTES)
    return keep_words(s.file, OF_PASSED, <uint64_t*>e.passes, &about, b.number + 1, 0)
