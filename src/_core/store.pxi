# Stores: the C half of a profiler, its sites and its tracks' gates.

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
