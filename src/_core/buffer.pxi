# Buffers: a thread's reserved memory, how it is handed out, and how it is emptied.

cdef enum:
    FIRST_ACTIVATION = OWN + BUFFER_SHARED

cdef inline uint32_t lines(size_t size) noexcept nogil:
    return <uint32_t>((size + LINE - 1) // LINE * LINE)

cdef inline Activation* activation_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Activation*>(<char*>b + offset)

cdef inline bint is_activation(Buffer* b, uint32_t offset) noexcept nogil:
    """Whether an offset that was read while its owner changed it can be looked at."""
    return FIRST_ACTIVATION < offset and offset + sizeof(Activation) <= st_load32(&b.committed_stack) and (
        offset % sizeof(Activation) == 0)

cdef inline Activation* scratch(Buffer* b) noexcept nogil:
    """What is in no flow: for passes that are recorded without an activation here."""
    return <Activation*>(<char*>b + FIRST_ACTIVATION)

cdef inline bint is_since(uint64_t start) noexcept nogil:
    """Whether an activation that began then is open."""
    return start < LEFT_AFTER

cdef inline void* frame_of(Activation* a) noexcept nogil:
    return <void*><uintptr_t>a.frame

cdef inline Handle* known_handle(Store* s, uint32_t site) noexcept nogil:
    """The handle of a site that is there."""
    cdef uint32_t chunk = st_top_bit(site // FIRST_HANDLES + 1)
    return &s.handles[chunk][site - (((1 << chunk) - 1) * FIRST_HANDLES)]

cdef inline const Handle* handle_of(Buffer* b, Activation* a) noexcept nogil:
    return known_handle(b.store, a.site)

cdef inline Node* node_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Node*>(<char*>b + offset)

cdef inline uint32_t offset_of(Buffer* b, void* item) noexcept nogil:
    return <uint32_t>(<char*>item - <char*>b)

cdef bint commit(Buffer* b, uint32_t* committed, uint32_t start, uint32_t limit) noexcept nogil:
    """Makes more of a buffer's stack or data usable, in its file if it has one; False when there is no memory."""
    cdef uint32_t step = 1 << 16
    if b.file != NULL and not b.is_lost:
        step = min(max(committed[0] - start, <uint32_t>b.file.page), <uint32_t>(1 << 20))
        step = min(step, limit - committed[0])
        b.is_lost = not grow_file(b.file, <char*>b, committed[0], step, OF_BUFFER, b.number)
    if (b.file == NULL or b.is_lost) and not st_commit(<char*>b + committed[0], step):
        return False
    st_store32(committed, committed[0] + step)
    return True

cdef uint32_t take_data(Buffer* b, size_t size) noexcept nogil:
    """Offset of that many zeroed bytes, or 0."""
    cdef uint32_t offset = b.data_used
    cdef uint32_t wanted = lines(size)
    if wanted > b.size - offset:
        return 0
    if offset + wanted > b.committed_data:
        if not commit(b, &b.committed_data, b.data_start, b.size):
            return 0
    b.data_used = offset + wanted
    return offset

cdef uint32_t take_half_line(Buffer* b) noexcept nogil:
    """Offset of half a line of zeroed bytes, or 0."""
    cdef uint32_t offset = b.half_line
    if offset:
        b.half_line = 0
        return offset
    offset = take_data(b, LINE)
    b.half_line = offset + LINE // 2 if offset else 0
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
        if not commit(b, &b.committed_stack, OWN, b.data_start):
            return 0
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
        st_store32(&activation_at(b, first).flags, 0)
        activation_at(b, first).next = b.spare
        b.spare = first
        first = following

cdef uint32_t new_node(Buffer* b, uint32_t parent, uint32_t site, uint32_t track) noexcept nogil:
    """Makes a node and shows it to readers; 0 when there is no room."""
    cdef uint32_t offset = take_data(b, sizeof(Node))
    cdef Node* n
    if offset:
        n = node_at(b, offset)
        st_store64(&n.minimum, <uint64_t>-1)
        st_store32(&n.parent, parent)
        st_store32(&n.site, site)
        st_store32(&n.track, track)
        st_store32(&n.older, b.newest)
        b.nodes += 1
        st_store32_release(&b.newest, offset)
        if not b.is_lost:
            st_store32_release(&b.newest_kept, offset)
    return offset

cdef Buffer* new_buffer(size_t size, uint32_t max_nodes, File* file) noexcept nogil:
    """An empty buffer of no thread and no session, or NULL."""
    cdef Buffer* b = <Buffer*>st_reserve(size)
    while b == NULL and size > SMALLEST_RESERVE:  # a limit on address space
        size = max(size // 4 // (1 << 16) * (1 << 16), SMALLEST_RESERVE)  # parts of it begin on lines and pages
        b = <Buffer*>st_reserve(size)
    if b == NULL:
        return NULL
    cdef size_t data_start = size // 16 * 3
    b.committed_stack = OWN
    b.committed_data = <uint32_t>data_start
    b.size = <uint32_t>size
    if file != NULL:
        b.file = file
        b.number = <uint32_t>st_add64(&file.buffers, 1)
    if not (st_commit(b, OWN) and commit(b, &b.committed_stack, OWN, <uint32_t>data_start)
            and commit(b, &b.committed_data, <uint32_t>data_start, <uint32_t>size)):
        st_release(b, size)
        return NULL
    b.layout = LAYOUT
    b.sites = b.inline_sites
    b.site_capacity = INLINE_SITES
    b.stack_used = FIRST_ACTIVATION + <uint32_t>sizeof(Activation)
    b.data_start = b.data_used = <uint32_t>data_start
    b.max_nodes = max_nodes
    b.top = take_bottom(b)
    new_node(b, 0, NO_SITE, 0)
    st_add64(&live_buffers, 1)
    return b

cdef void drop_thread(Thread* t) noexcept nogil:
    if st_add64(&t.references, <uint64_t>-1) == 0:
        PyMem_RawFree(t.name)
        PyMem_RawFree(t)
        st_add64(&live_threads, <uint64_t>-1)

cdef inline Scope* scope_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Scope*>(<char*>b + offset)

cdef inline Count* count_at(Buffer* b, uint32_t offset) noexcept nogil:
    return <Count*>(<char*>b + offset)

cdef void free_buffer(Buffer* b) noexcept nogil:
    cdef uint64_t* old
    if b.thread != NULL:
        drop_thread(b.thread)
    map_free(&b.children)
    map_free(&b.scopes)
    map_free(&b.flows)
    while b.old_flows != NULL:
        old = <uint64_t*><uintptr_t>b.old_flows[0]
        PyMem_RawFree(b.old_flows)
        b.old_flows = old
    if b.sites != b.inline_sites:
        PyMem_RawFree(b.sites)
    free_ring(b)
    st_release(b, b.size)
    st_add64(&live_buffers, <uint64_t>-1)

cdef void abandon_buffer(Buffer* b) noexcept nogil:
    """Frees the buffer of a thread that is gone with the fork. Without the GIL it may have been in the middle of
    changing what it allocated apart, so that is let go of."""
    if b.held != b.released:  # what is suspended in it is looked at before it is dropped
        st_add64(&live_buffers, <uint64_t>-1)
    elif ST_HAS_GIL:
        free_buffer(b)
    else:
        free_ring(b)
        st_release(b, b.size)
        st_add64(&live_buffers, <uint64_t>-1)

cdef inline void note_exits(Store* s, uint64_t flag) noexcept nogil:
    if not st_load64(&s.exits) & flag:
        st_or64(&s.exits, flag)

cdef inline bint is_posted(Buffer* b) noexcept nogil:
    """Whether other threads have ended anything that is open here."""
    return st_load64(&b.posted) & ~<uint64_t>RINGED != 0

cdef inline bint is_plain(Buffer* b) noexcept nogil:
    """Whether who leaves has nothing to do but to record."""
    return st_load64(&b.posted) == 0

cdef void drop(Buffer* b, Activation* a) noexcept nogil:
    """Has an open pass be recorded nowhere."""
    cdef uint32_t silent = a.flags & MUTED
    if not a.flags & SILENT:
        b.silent += 1
    a.node = b.data_start
    a.over = 0
    st_store32(&a.flags, (silent if silent else <uint32_t>DROPPED) | (a.flags & (SUSPENDABLE | BODY | BASE)))

cdef void drop_chain(Buffer* b, uint32_t top) noexcept nogil:
    """Drops what is open in one flow, which lies on nothing any more."""
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        drop(b, a)
        a = activation_at(b, a.prev)
    let_base_go(b, a)

cdef void let_base_go(Buffer* b, Activation* bottom) noexcept nogil:
    """A flow lies on nothing from now on. What it lay on may have been kept only because of that."""
    cdef uint32_t offset = bottom.base if bottom.flags & BASED else 0
    cdef Activation* base
    bottom.flags = BOTTOM
    bottom.base = 0
    bottom.node = b.data_start
    bottom.over = 0
    while offset:
        base = activation_at(b, offset)
        base.bottoms -= 1
        if base.bottoms:
            return
        if not base.flags & LEFT:
            base.flags &= ~<uint32_t>BASE
            return
        base.next = 0
        put_back(b, offset)
        offset = base.prev

cdef void forget_suspended(Buffer* b) noexcept nogil:
    """What is suspended is not open any more to who looks: it was cleared, and will find that out when it goes on."""
    cdef uint32_t offset = FIRST_ACTIVATION
    while offset < b.stack_used:
        st_store32(&activation_at(b, offset).flags, activation_at(b, offset).flags & ~<uint32_t>SUSPENDED)
        offset += <uint32_t>sizeof(Activation)

cdef void reset_buffer(Buffer* b, uint64_t session) noexcept nogil:
    """Empties the buffer for a new session. The owner calls it; readers see the session change and look away."""
    cdef uint64_t i
    cdef uint32_t offset
    drain(b)
    st_store64(&b.session, 0)
    st_fence_release()
    st_store32(&b.newest, 0)
    st_store32(&b.newest_scope, 0)
    st_store32(&b.newest_kept, 0)
    st_store32(&b.newest_scope_kept, 0)
    for offset in range(b.data_start, b.data_used, 8):
        st_store64(<uint64_t*>(<char*>b + offset), 0)
    b.data_used = b.data_start
    b.half_line = 0
    b.nodes = 0
    b.other = 0
    b.clamped = 0
    b.untimed = 0
    b.unbinned = 0
    st_store64(&b.rung_before, b.rung)
    map_clear(&b.children)
    map_clear(&b.scopes)
    memset(b.sites, 0, b.site_capacity * sizeof(SiteState))
    new_node(b, 0, NO_SITE, 0)
    forget_suspended(b)
    drop_chain(b, b.top)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                drop_chain(b, <uint32_t>b.flows.slots[2 * i + 1])
    st_store64_release(&b.session, session)
