# What is open now, on all threads: read without stopping anybody.

cdef struct Open:
    uint64_t ticks             # since it began
    Thread* thread             # with a reference to it
    uint32_t site
    uint32_t depth             # how many are open below it in its flow
    bint suspended

cdef struct Opens:
    Open* items
    size_t used
    size_t capacity

cdef bint add_open(Opens* found, Open* item) noexcept nogil:
    cdef size_t capacity
    cdef Open* bigger
    if found.used == found.capacity:
        capacity = 2 * found.capacity + 64
        bigger = <Open*>PyMem_RawRealloc(found.items, capacity * sizeof(Open))
        if bigger == NULL:
            return False
        found.items = bigger
        found.capacity = capacity
    found.items[found.used] = item[0]
    found.used += 1
    return True

cdef bint read_open(Buffer* b, uint32_t offset, uint64_t now, Open* item) noexcept nogil:
    """Reads one activation; False for one that is not recorded, or has only just been entered."""
    cdef Activation* a = activation_at(b, offset)
    cdef uint32_t flags = st_load32(&a.flags)
    cdef uint64_t start = st_load64(&a.start)
    if flags & (SILENT | BOTTOM) or not is_since(start) or (flags & SUSPENDABLE and st_load32(&a.gone)):
        return False
    item.site = st_load32(&a.site)
    item.ticks = stretch(start, now)
    return True

cdef bint add_chain(Buffer* b, uint32_t top, bint suspended, uint64_t now, Opens* found) noexcept nogil:
    """Appends what is open in one flow, the innermost first; False when there is no memory."""
    cdef Open item
    cdef size_t first = found.used, i, most = b.data_start // sizeof(Activation)
    cdef uint32_t offset = top
    item.thread = b.thread
    item.suspended = suspended
    while most and is_activation(b, offset) and st_load32(&activation_at(b, offset).prev):
        if read_open(b, offset, now, &item) and not add_open(found, &item):
            return False
        offset = st_load32(&activation_at(b, offset).prev)
        most -= 1
    for i in range(first, found.used):
        found.items[i].depth = <uint32_t>(found.used - 1 - i)
    return True

cdef bint add_flows(Buffer* b, uint64_t now, Opens* found) noexcept nogil:
    """Appends what is open in a buffer: in the flow that runs, and in those that wait."""
    cdef uint64_t mask = st_load64_acquire(&b.flows.mask), i
    cdef uint64_t* slots = <uint64_t*>st_loadp_acquire(<void**>&b.flows.slots)
    if slots != NULL:
        for i in range(mask + 1):
            if st_load64(&slots[2 * i]) and not add_chain(b, <uint32_t>st_load64(&slots[2 * i + 1]), True, now, found):
                return False
    return add_chain(b, st_load32_acquire(&b.top), False, now, found)

cdef bint same_opens(Opens* found, size_t first, size_t middle) noexcept nogil:
    """Whether two readings are the same, but for the time that went by."""
    cdef size_t i
    if found.used - middle != middle - first:
        return False
    for i in range(middle - first):
        if found.items[first + i].site != found.items[middle + i].site:
            return False
        if found.items[first + i].ticks > found.items[middle + i].ticks:
            return False
    return True

cdef bint add_buffer(Buffer* b, uint64_t session, Opens* found) noexcept nogil:
    """Appends what is open in a buffer, as two readings in a row show it; the last one if its thread never rests."""
    cdef size_t first = found.used, middle
    cdef uint64_t changes
    cdef int attempt
    if st_load64_acquire(&b.session) != session or st_load64_acquire(&b.thread.ended):
        return True
    for attempt in range(100):
        found.used = first
        changes = st_load64_acquire(&b.flow_changes)
        if not add_flows(b, st_ticks(), found):
            return False
        middle = found.used
        if not add_flows(b, st_ticks(), found):
            return False
        st_fence_acquire()
        if changes % 2 == 0 and st_load64(&b.flow_changes) == changes and same_opens(found, first, middle):
            found.used = middle
            return True
        memmove(found.items + first, found.items + middle, (found.used - middle) * sizeof(Open))
        found.used -= middle - first
        st_pause()
    return True

cdef bint add_buffers(Store* s, Opens* found) noexcept nogil:
    """Appends what is open on all threads, each item with a reference to its thread; False when there is no memory."""
    cdef Buffer* b
    cdef size_t i
    cdef bint ok = True
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL and ok:
        ok = add_buffer(b, s.session, found)
        b = b.next
    for i in range(found.used):
        st_add64(&found.items[i].thread.references, 1)
    PyThread_release_lock(s.lock)
    return ok

cdef object shown_open(Open* item):
    name = item.thread.name.decode("utf-8", "replace") if item.thread.name != NULL else None
    return (item.site, item.ticks, item.depth, bool(item.suspended), item.thread.key, item.thread.os_id, name)

cdef object open_passes(Store* s):
    cdef Opens found
    cdef size_t i
    memset(&found, 0, sizeof(Opens))
    # With the GIL held: then no other thread that has one changes its flows meanwhile.
    cdef bint ok = add_buffers(s, &found)
    try:
        if not ok:
            raise MemoryError("no memory to say what is open")
        return [shown_open(&found.items[i]) for i in reversed(range(found.used))]
    finally:
        for i in range(found.used):
            drop_thread(found.items[i].thread)
        PyMem_RawFree(found.items)

cdef bint is_suspended(Activation* a) noexcept nogil:
    """Whether an activation is the lowest of what is suspended here, and no other thread has taken that over."""
    return st_load32(&a.flags) & SUSPENDED and not st_load32(&a.gone)

cdef bint add_suspended(Buffer* b, uint64_t now, Opens* found) noexcept nogil:
    """Appends what tracked bodies that are suspended have open in a buffer; False when there is no memory."""
    cdef uint32_t low = FIRST_ACTIVATION + <uint32_t>sizeof(Activation), offset
    cdef Open item
    memset(&item, 0, sizeof(Open))
    while low + sizeof(Activation) <= st_load32(&b.stack_used):
        offset = low if is_suspended(activation_at(b, low)) else 0
        item.depth = 0
        while is_activation(b, offset) and item.depth < 1_000_000:
            if read_open(b, offset, now, &item):
                if not add_open(found, &item):
                    return False
            item.depth += 1
            offset = st_load32(&activation_at(b, offset).next)
        low += sizeof(Activation)
    return True

cdef bint add_all_suspended(Store* s, Opens* found) noexcept nogil:
    cdef uint64_t now = st_ticks()
    cdef Buffer* b
    cdef bint ok = True
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL and ok:
        if st_load64_acquire(&b.session) == s.session:
            ok = add_suspended(b, now, found)
        b = b.next
    PyThread_release_lock(s.lock)
    return ok

cdef object suspended_passes(Store* s):
    cdef Opens found
    cdef size_t i
    memset(&found, 0, sizeof(Opens))
    # With the GIL held: then no other thread that has one resumes anything meanwhile.
    cdef bint ok = add_all_suspended(s, &found)
    try:
        if not ok:
            raise MemoryError("no memory to say what is open")
        return [(found.items[i].site, found.items[i].ticks, found.items[i].depth) for i in range(found.used)]
    finally:
        PyMem_RawFree(found.items)
