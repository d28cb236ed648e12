# Blocks left on another thread than they were entered on, because their generator was resumed or closed there.

cdef void add_orphans(Store* s, Buffer* b, uint32_t top) noexcept nogil:
    """Keeps what a thread that ended has open in one flow, and a generator may still leave. What finds no memory is
    lost, as a pass that never ends is."""
    cdef Activation* a = activation_at(b, top)
    cdef Orphan* orphan
    while a.prev:
        if a.flags & SUSPENDABLE and not a.flags & SILENT and not st_load32(&a.gone):
            orphan = <Orphan*>PyMem_RawMalloc(sizeof(Orphan))
            if orphan != NULL:
                orphan.handle = a.handle
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
    cdef Orphan* orphan
    while link[0] != NULL:
        orphan = link[0]
        if orphan.handle == h and orphan.frame == frame:
            start[0] = orphan.start
            link[0] = orphan.next
            PyMem_RawFree(orphan)
            return True
        link = &orphan.next
    return False

cdef bint take_from_flow(Buffer* b, uint32_t top, const Handle* h, void* frame, uint64_t* start) noexcept nogil:
    """Marks the pass in another thread's flow as gone. What is read may be in change: each step is checked."""
    cdef size_t most = b.data_start // sizeof(Activation)
    cdef Activation* a
    cdef uint32_t flags
    while most and is_activation(b, top):
        a = activation_at(b, top)
        flags = st_load32(&a.flags)
        if flags & SUSPENDABLE and not flags & SILENT and a.handle == h and a.frame == frame and not st_load32(&a.gone):
            start[0] = st_load64(&a.start)
            st_store32(&a.gone, 1)
            st_store32_release(&b.gone, 1)
            return True
        top = st_load32(&a.prev)
        most -= 1
    return False

cdef bint take_from_buffer(Buffer* b, const Handle* h, void* frame, uint64_t* start) noexcept nogil:
    cdef uint64_t mask = st_load64_acquire(&b.flows.mask), i
    cdef uint64_t* slots = <uint64_t*>st_loadp_acquire(<void**>&b.flows.slots)
    if take_from_flow(b, st_load32_acquire(&b.top), h, frame, start):
        return True
    if slots != NULL:
        for i in range(mask + 1):
            if st_load64(&slots[2 * i]) and take_from_flow(b, <uint32_t>st_load64(&slots[2 * i + 1]), h, frame, start):
                return True
    return False

cdef bint take_from_others(Store* s, const Handle* h, void* frame, uint64_t* start) noexcept nogil:
    """Finds when the pass that a frame leaves was entered, on whatever thread, and marks it as gone."""
    cdef Buffer* b
    cdef bint found
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    sweep(s)
    found = take_orphan(s, h, frame, start)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL and not found:
        found = st_load64_acquire(&b.session) == s.session and take_from_buffer(b, h, frame, start)
        b = b.next
    PyThread_release_lock(s.lock)
    return found

cdef bint leave_elsewhere(Handle* h, uint64_t now) noexcept nogil:
    """Records a pass, which was entered on another thread, on the one that leaves it; False when there is none."""
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef uint64_t start = 0
    cdef Buffer* b
    cdef Activation* a
    if not take_from_others(h.store, h, frame, &start):
        return False
    b = current_buffer(h)
    if b == NULL or b.session != st_load64_acquire(&h.store.session):
        b = settle(h, BLOCK)
    if b == NULL:
        return True  # counted as untimed
    if context != b.expected and not switch_flow(b, context):
        b.untimed += 1
        return True
    a = push(b, h, BLOCK, frame)
    if a == NULL:
        return True
    a.start = start
    a.since = now
    a.unbilled = 0
    a.flags |= MOVED  # nothing that is open here is billed for it
    leave(b, a, now)
    return True
