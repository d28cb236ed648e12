# Blocks left on another thread than they were entered on, because their generator was resumed or closed there.

cdef void post(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Tells the thread whose buffer it is that something has ended there: a pass in one of its flows, or, suspended, a
    chain of which this is the lowest. 0 instead of a moment: it was forgotten before."""
    cdef uint64_t newest
    a.ended = now
    st_store32(&a.gone, 1)  # that thread may not look for long, and who asks what is open shall not find it
    while True:
        newest = st_load64_acquire(&b.posted)
        a.posted = <uint32_t>newest
        if st_cas64(&b.posted, newest, offset_of(b, a)):
            return

cdef void drain_chain(Buffer* b, Activation* low) noexcept nogil:
    """Closes what another thread has taken over."""
    cdef Activation* a = low
    lift_off(b, low, low.ended, low.ended != 0)
    put_back(b, low.prev)
    while True:
        if low.ended and not a.flags & SILENT:
            uncover_wholly(b, a, low.ended)
            close_node(b, node_at(b, a.node), low.ended)
        if a.next == 0:
            break
        a = activation_at(b, a.next)
    a = low
    while a != NULL:
        low = activation_at(b, a.next) if a.next else NULL
        a.next = 0
        if a.flags & SILENT:
            b.silent -= 1
        st_store64(&a.start, NOT_YET)
        if a.flags & BASE:
            a.prev = 0
            st_store32(&a.flags, LEFT)
        else:
            put_back(b, offset_of(b, a))
        a = low

cdef void drain(Buffer* b) noexcept nogil:
    """Has what other threads have ended here be open no more, in the order in which they said so."""
    cdef uint64_t newest
    cdef Activation* a
    cdef uint32_t first = 0, offset, following
    st_store64(&b.drains, b.drains + 1)
    st_fence_release()
    while True:
        newest = st_load64_acquire(&b.posted)
        if newest == 0 or st_cas64(&b.posted, newest, 0):
            break
    offset = <uint32_t>newest
    while offset:
        a = activation_at(b, offset)
        following = a.posted
        a.posted = first
        first = offset
        offset = following
    while first:
        a = activation_at(b, first)
        first = a.posted
        if a.flags & BODY:
            drain_chain(b, a)
            continue
        if not a.flags & SILENT:
            forget_processor_time(b, a)
            close(b, a, a.ended)
        st_let_go(take_out(b, a))
    st_store64_release(&b.drains, b.drains + 1)

cdef void add_orphans(Store* s, Buffer* b, uint32_t top) noexcept nogil:
    """Keeps what a thread that ended has open in one flow, and a generator may still leave. What finds no memory is
    lost, as a pass that never ends is."""
    cdef Activation* a = activation_at(b, top)
    cdef Orphan* orphan
    while a.prev:
        if a.flags & SUSPENDABLE and not a.flags & SILENT and not st_load32(&a.gone):
            orphan = <Orphan*>PyMem_RawMalloc(sizeof(Orphan))
            if orphan != NULL:
                orphan.site = a.site
                orphan.frame = a.frame
                orphan.start = a.start
                orphan.next = s.orphans
                s.orphans = orphan
        a = activation_at(b, a.prev)

cdef void keep_orphans(Store* s, Buffer* b) noexcept nogil:
    """Keeps what a thread that ended has open and a generator may still leave. Its caller holds the store's lock."""
    cdef uint64_t i
    if b.session != s.session:
        return
    add_orphans(s, b, b.top)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                add_orphans(s, b, <uint32_t>b.flows.slots[2 * i + 1])

cdef void free_orphans(Store* s) noexcept nogil:
    cdef Orphan* orphan
    while s.orphans != NULL:
        orphan = s.orphans
        s.orphans = orphan.next
        PyMem_RawFree(orphan)

cdef bint take_orphan(Store* s, const Handle* h, void* frame, uint64_t* start) noexcept nogil:
    cdef Orphan** link = &s.orphans
    cdef Orphan** innermost = NULL
    cdef Orphan* orphan
    while link[0] != NULL:
        if link[0].site == h.site and link[0].frame == <uintptr_t>frame:
            innermost = link  # of those in one frame, the one that was kept first
        link = &link[0].next
    if innermost == NULL:
        return False
    orphan = innermost[0]
    start[0] = orphan.start
    innermost[0] = orphan.next
    PyMem_RawFree(orphan)
    return True

cdef Activation* find_in_flow(Buffer* b, uint32_t top, const Handle* h, void* frame) noexcept nogil:
    """A pass in another thread's flow. What is read may be in change: each step is checked."""
    cdef size_t most = b.data_start // sizeof(Activation)
    cdef Activation* a
    cdef uint32_t flags
    while most and is_activation(b, top):
        a = activation_at(b, top)
        flags = st_load32(&a.flags)
        if flags & SUSPENDABLE and not flags & SILENT and a.site == h.site and frame_of(a) == frame and not st_load32(&a.gone):
            return a
        top = st_load32(&a.prev)
        most -= 1
    return NULL

cdef Activation* find_in_buffer(Buffer* b, const Handle* h, void* frame) noexcept nogil:
    cdef uint64_t mask = st_load64_acquire(&b.flows.mask), i
    cdef uint64_t* slots = <uint64_t*>st_loadp_acquire(<void**>&b.flows.slots)
    cdef Activation* found = find_in_flow(b, st_load32_acquire(&b.top), h, frame)
    if found == NULL and slots != NULL:
        for i in range(mask + 1):
            if found == NULL and st_load64(&slots[2 * i]):
                found = find_in_flow(b, <uint32_t>st_load64(&slots[2 * i + 1]), h, frame)
    return found

cdef bint take_from_others(Buffer* own, const Handle* h, void* frame, uint64_t now, uint64_t* start,
                           uint32_t* node) noexcept nogil:
    """Finds the pass that a frame leaves, on whatever thread it was entered, and has that thread know. `node`: where it
    belongs here, or 0."""
    cdef Store* s = h.store
    cdef Buffer* b
    cdef Activation* a = NULL
    cdef bint is_found
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    sweep(s)
    is_found = take_orphan(s, h, frame, start)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL and not is_found:
        if st_load64_acquire(&b.session) == s.session and not b.retired:
            a = find_in_buffer(b, h, frame)
        if a != NULL:
            is_found = True
            start[0] = st_load64(&a.start)
            if own != NULL and own.session == s.session:
                node[0] = node_like(own, b, a.node, 0)
            post(b, a, now)
        b = b.next
    PyThread_release_lock(s.lock)
    return is_found

cdef bint leave_elsewhere(Handle* h, uint64_t now, int how) noexcept nogil:
    """Records a pass, which was entered on another thread, on the one that leaves it; False when there is none."""
    cdef void* frame = NULL
    cdef uint64_t start = 0, ticks
    cdef uint32_t node = 0
    cdef Buffer* b = current_buffer(h)
    st_context(&frame)
    if not take_from_others(b, h, frame, now, &start, &node):
        return False
    if b == NULL or b.session != st_load64_acquire(&h.store.session):
        b = settle(h, BLOCK)
    if b == NULL:
        return True  # counted as untimed
    if node == 0 and find_child(b, b.data_start, h.site, h.track):
        node = b.sites[h.site].node
    if node == 0:
        b.untimed += 1
        return True
    ticks = elapsed(b, start, now)
    record_apart(b, node_at(b, node), ticks, now, how)
    return True
