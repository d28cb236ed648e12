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
    trim_rings(s, 0, 0)
    if s.file != NULL:
        free_kept(s.file, <uint64_t>-1, True)
    if s.folded != NULL:
        free_buffer(s.folded)
        s.folded = NULL

cdef void free_buffers(Store* s) noexcept nogil:
    cdef Buffer* b
    while s.buffers != NULL:
        b = s.buffers
        s.buffers = b.next
        free_buffer(b)

cdef void abandon_buffers(Store* s, Thread* keep) noexcept nogil:
    """Gives back the buffers of all threads but one: after a fork, when the others are gone."""
    cdef Buffer* b = s.buffers
    cdef Buffer* following
    s.buffers = NULL
    s.retired = 0
    while b != NULL:
        following = b.next
        if b.thread == keep:
            b.next = NULL
            s.buffers = b
        else:
            abandon_buffer(b)
        b = following

cdef void set_gates(Store* s) noexcept nogil:
    """Opens or closes each track's gate by the three switches."""
    cdef uint64_t session
    cdef uint32_t i
    for i in range(s.gate_count):
        session = s.session if everything_enabled and s.started and s.gates[i].enabled else OFF
        if session != OFF and (s.times or s.gates[i].times):
            session |= TIMES
        st_store64_release(&s.gates[i].session, session)
        if s.gates[i].kept != NULL:
            st_store32(s.gates[i].kept, s.gates[i].enabled)
    if s.own_gates:
        set_own_gates(s)

cdef void heed_left_out(Store* s) noexcept nogil:
    """Has who leaves look at what is in the timeline, if anything is not. Its caller holds the profiler's lock."""
    cdef bint any_is = s.leaves_out
    cdef uint32_t i
    for i in range(s.gate_count):
        any_is = any_is or s.gates[i].left_out
    if s.own_gates:
        set_own_gates(s)
    st_store32(&s.looks, any_is)

cdef void begin_timeline(Store* s, uint64_t passes) noexcept nogil:
    """Has each thread keep its newest passes in a ring, which it makes at its next pass."""
    cdef uint64_t most = FIRST_RING
    cdef Buffer* b
    while most < passes:
        most *= 2
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    st_store64_release(&s.timeline, most)
    st_fence_full()
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL:
        st_or64(&b.posted, RINGED)
        b = b.next
    PyThread_release_lock(s.lock)

cdef inline bint has_own_gate(Store* s, Handle* h) noexcept nogil:
    return h.gate != &s.gates[h.track].session

cdef void set_own_gates(Store* s) noexcept nogil:
    """Opens or closes the gates of sites that have one of their own: with their tracks, to take processor time."""
    cdef uint64_t session
    cdef uint32_t i
    cdef Handle* h
    for i in range(s.site_count):
        h = known_handle(s, i)
        if has_own_gate(s, h):
            session = s.gates[h.track].session
            (<Gate*>h.gate).left_out = s.gates[h.track].left_out
            st_store64_release(h.gate, session if session == OFF else session | TIMES)

cdef bint add_own_gate(Store* s, Handle* h) noexcept nogil:
    """Has a site take processor time whether its track does or not; False when there is no memory. Its caller holds the
    profiler's lock."""
    cdef Gate* gate
    if has_own_gate(s, h):
        return True
    gate = <Gate*>PyMem_RawCalloc(1, LINE)
    if gate == NULL:
        return False
    gate.left_out = s.gates[h.track].left_out
    gate.session = OFF if s.gates[h.track].session == OFF else s.gates[h.track].session | TIMES
    st_storep_release(<void**>&h.gate, gate)
    s.own_gates += 1
    return True

cdef void set_session(Store* s) noexcept nogil:
    """Starts a new session: whatever was recorded before belongs to none."""
    st_store64_release(&s.session, st_add64(&last_session, 1))
    show_session(s)
    set_gates(s)

cdef void show_session(Store* s) noexcept nogil:
    """Has the file say which session is the store's."""
    if s.file != NULL:
        st_store64(&s.file.header.began_ns, st_real_ns())
        st_store64(&s.file.header.began_ticks, st_ticks())
        st_store64(&s.file.header.untimed, 0)
        st_store64_release(&s.file.header.session, s.session)

cdef void count_untimed(Store* s) noexcept nogil:
    """One more pass had no buffer."""
    st_add64(&s.untimed, 1)
    if s.file != NULL:
        st_add64(&s.file.header.untimed, 1)

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
    s.started = True
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
    cdef File* file = s.file
    unlist_store(s)
    s.file = NULL  # what was recorded stays in it
    free_buffers(s)
    if file != NULL:
        close_file(file)
    free_bodies(s)
    forget_ended(s)
    for i in range(s.site_count):
        if has_own_gate(s, known_handle(s, i)):
            PyMem_RawFree(known_handle(s, i).gate)
    for i in range(s.gate_count):
        PyMem_RawFree(s.gates[i])
    PyMem_RawFree(s.gates)
    for i in range(HANDLE_CHUNKS):
        PyMem_RawFree(s.handles[i])
    PyThread_free_lock(s.lock)
    PyMem_RawFree(s)
    st_add64(&live_stores, <uint64_t>-1)

cdef void fill_handle(Handle* h, Store* s, uint32_t site, uint32_t track) noexcept nogil:
    """Writes what a call needs to know of its site."""
    h.gate = &s.gates[track].session
    h.store = s
    h.site = site
    h.track = track
    h.seat = <uint32_t>(s.id % SEATS * sizeof(Seat))

cdef Handle* add_site(Store* s, uint32_t track) noexcept nogil:
    """Makes the handle of the next site, or NULL when there is no memory. Its caller holds the profiler's lock."""
    cdef uint32_t site = s.site_count, chunk = st_top_bit(site // FIRST_HANDLES + 1)
    cdef Handle* h
    if s.handles[chunk] == NULL:
        s.handles[chunk] = <Handle*>PyMem_RawCalloc(FIRST_HANDLES << chunk, sizeof(Handle))
        if s.handles[chunk] == NULL:
            return NULL
    h = known_handle(s, site)
    fill_handle(h, s, site, track)
    st_store32_release(&s.site_count, site + 1)
    return h

cdef bint add_gate(Store* s) noexcept nogil:
    """Makes the gate of the next track; False when there is no memory. Its caller holds the profiler's lock."""
    cdef Gate** gates = <Gate**>PyMem_RawRealloc(s.gates, (s.gate_count + 1) * sizeof(Gate*))
    if gates == NULL:
        return False
    s.gates = gates
    s.gates[s.gate_count] = <Gate*>PyMem_RawCalloc(1, LINE)
    if s.gates[s.gate_count] == NULL:
        return False
    s.gates[s.gate_count].enabled = True
    s.gates[s.gate_count].left_out = s.leaves_out
    s.gate_count += 1
    set_gates(s)
    return True

cdef void say_track(Store* s, uint32_t track, uint32_t index, const char* name, size_t length) noexcept nogil:
    """Says in the file what a track is called, and from then on whether it is enabled."""
    cdef uint32_t[3] numbers
    cdef uint32_t* where = NULL
    if s.file != NULL:
        numbers[0] = s.gates[track].enabled
        numbers[1] = track
        numbers[2] = index
        if append(s.file, SAID_TRACK, numbers, 3, name, length, &where):
            s.gates[track].kept = where

cdef void say_site(Store* s, uint32_t site, uint32_t track, uint32_t line, const char* name, size_t name_length,
                   const char* said, size_t length) noexcept nogil:
    """Says in the file what a call site is: its name, then its file."""
    cdef uint32_t[4] numbers
    if s.file != NULL:
        numbers[0] = site
        numbers[1] = track
        numbers[2] = line
        numbers[3] = <uint32_t>name_length
        append(s.file, SAID_SITE, numbers, 4, said, length, NULL)
