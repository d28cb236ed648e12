# Blocks left on another thread than they were entered on, because their generator was resumed or closed there.

cdef Begun begun_of(Activation* a) noexcept nogil:
    """What goes with a pass that is left elsewhere. Its owner may be changing it."""
    cdef Begun found
    found.start = st_load64(&a.start)
    found.child = st_load64(&a.child)
    found.suspended = st_load64(&a.suspended) if st_load32(&a.flags) & PAUSED else 0
    return found

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
                orphan.begun = begun_of(a)
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

cdef bint take_orphan(Store* s, const Handle* h, void* frame, Begun* found) noexcept nogil:
    cdef Orphan** link = &s.orphans
    cdef Orphan** innermost = NULL
    cdef Orphan* orphan
    while link[0] != NULL:
        if link[0].handle == h and link[0].frame == frame:
            innermost = link  # of those in one frame, the one that was kept first
        link = &link[0].next
    if innermost == NULL:
        return False
    orphan = innermost[0]
    found[0] = orphan.begun
    innermost[0] = orphan.next
    PyMem_RawFree(orphan)
    return True

cdef bint take_from_flow(Buffer* b, uint32_t top, const Handle* h, void* frame, Begun* found) noexcept nogil:
    """Marks the pass in another thread's flow as gone. What is read may be in change: each step is checked."""
    cdef size_t most = b.data_start // sizeof(Activation)
    cdef Activation* a
    cdef uint32_t flags
    while most and is_activation(b, top):
        a = activation_at(b, top)
        flags = st_load32(&a.flags)
        if flags & SUSPENDABLE and not flags & SILENT and a.handle == h and a.frame == frame and not st_load32(&a.gone):
            found[0] = begun_of(a)
            st_store32(&a.gone, 1)
            st_store32_release(&b.gone, 1)
            return True
        top = st_load32(&a.prev)
        most -= 1
    return False

cdef bint take_from_buffer(Buffer* b, const Handle* h, void* frame, Begun* found) noexcept nogil:
    cdef uint64_t mask = st_load64_acquire(&b.flows.mask), i
    cdef uint64_t* slots = <uint64_t*>st_loadp_acquire(<void**>&b.flows.slots)
    if take_from_flow(b, st_load32_acquire(&b.top), h, frame, found):
        return True
    if slots != NULL:
        for i in range(mask + 1):
            if st_load64(&slots[2 * i]) and take_from_flow(b, <uint32_t>st_load64(&slots[2 * i + 1]), h, frame, found):
                return True
    return False

cdef bint take_from_others(Store* s, const Handle* h, void* frame, Begun* found) noexcept nogil:
    """Finds the pass that a frame leaves, on whatever thread it was entered, and marks it as gone."""
    cdef Buffer* b
    cdef bint is_found
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    sweep(s)
    is_found = take_orphan(s, h, frame, found)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL and not is_found:
        is_found = st_load64_acquire(&b.session) == s.session and take_from_buffer(b, h, frame, found)
        b = b.next
    PyThread_release_lock(s.lock)
    return is_found

cdef bint leave_elsewhere(Handle* h, uint64_t now) noexcept nogil:
    """Records a pass, which was entered on another thread, on the one that leaves it; False when there is none."""
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef Begun found
    cdef Buffer* b
    cdef Activation* a
    if not take_from_others(h.store, h, frame, &found):
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
    a.start = found.start
    a.child = found.child
    a.suspended = found.suspended
    a.laid = now
    a.since = now
    a.unbilled = 0
    a.flags |= PAUSED | MOVED  # nothing that is open here is billed for it
    leave(b, a, now)
    return True
