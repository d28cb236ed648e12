# Buffers: a thread's reserved memory, how it is handed out, and how it is emptied.

cdef inline uint32_t lines(size_t size) noexcept nogil:
    return <uint32_t>((size + LINE - 1) // LINE * LINE)

cdef inline Activation* activation_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Activation*>(<char*>b + offset)

cdef inline bint is_activation(Buffer* b, uint32_t offset) noexcept nogil:
    """Whether an offset that was read while its owner changed it can be looked at."""
    return lines(sizeof(Buffer)) <= offset and offset + sizeof(Activation) <= b.data_start and offset % LINE == 0

cdef inline void charge(Activation* a, uint64_t ticks) noexcept nogil:
    """Bills an open pass for what is nested in it. Who leaves it on another thread may be reading."""
    st_store64(&a.child, a.child + ticks)

cdef inline Node* node_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Node*>(<char*>b + offset)

cdef inline uint32_t offset_of(Buffer* b, void* item) noexcept nogil:
    return <uint32_t>(<char*>item - <char*>b)

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
        a.flags = BOTTOM
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
        size = max(size // 4 // (1 << 16) * (1 << 16), SMALLEST_RESERVE)  # parts of it begin on lines and pages
        b = <Buffer*>st_reserve(size)
    if b == NULL:
        return NULL
    cdef size_t data_start = size // 16 * 3
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
    cdef uint64_t* old
    if b.thread != NULL:
        drop_thread(b.thread)
    free_bases(b)
    map_free(&b.children)
    map_free(&b.flows)
    map_free(&b.homes)
    while b.old_flows != NULL:
        old = <uint64_t*><uintptr_t>b.old_flows[0]
        PyMem_RawFree(b.old_flows)
        b.old_flows = old
    PyMem_RawFree(b.sites)
    st_release(b, b.size)
    st_add64(&live_buffers, <uint64_t>-1)

cdef void abandon_buffer(Buffer* b) noexcept nogil:
    """Frees the buffer of a thread that is gone with the fork. Without the GIL it may have been in the middle of
    changing what it allocated apart, so that is let go of."""
    if ST_HAS_GIL:
        free_buffer(b)
    else:
        st_release(b, b.size)
        st_add64(&live_buffers, <uint64_t>-1)

cdef void drop_chain(Buffer* b, uint32_t top) noexcept nogil:
    """Marks what is open in one flow as dropped; the flow lies on nothing any more."""
    cdef Activation* a = activation_at(b, top)
    while True:
        a.node = b.data_start
        a.site_mask = 0
        a.track_mask = 0
        if a.prev == 0:
            a.flags = BOTTOM
            return
        a.flags = DROPPED | (a.flags & SUSPENDABLE)
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
    b.was_aside = False
    map_clear(&b.children)
    if b.site_capacity:
        memset(b.sites, 0, b.site_capacity * sizeof(SiteState))
    new_node(b, 0, NO_SITE)
    free_bases(b)
    drop_chain(b, b.top)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                drop_chain(b, <uint32_t>b.flows.slots[2 * i + 1])
    st_store64_release(&b.session, session)
