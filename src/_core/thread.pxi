# Threads: who records, how a thread joins a store, and how it ends.

cdef void end_thread(void* thread) noexcept nogil:
    """The exit hook: pure C, takes no lock. Its buffers stay with their stores until somebody sweeps them."""
    cdef Thread* t = <Thread*>thread
    cdef uint32_t i
    global st_this_thread, st_cells
    st_this_thread = NULL
    st_cells = NULL
    for i in range(SEATS):
        st_seats[i].session = 0
    t.ended_at = st_ticks()
    tell_files(t)
    map_free(&t.buffers)
    st_store64_release(&t.ended, 1)
    st_add64(&threads_ended, 1)
    drop_thread(t)

cdef void tell_files(Thread* t) noexcept nogil:
    """Has the files of an ending thread's buffers say so, unless stores come and go at this very moment: then it is said
    when its figures are kept."""
    cdef Buffer* b
    cdef uint64_t i
    if first_file() == NULL or t.buffers.slots == NULL or not PyThread_acquire_lock(stores_lock, NOWAIT_LOCK):
        return
    for i in range(t.buffers.mask + 1):
        if t.buffers.slots[2 * i] and store_lives(t.buffers.slots[2 * i]):
            b = <Buffer*><uintptr_t>t.buffers.slots[2 * i + 1]
            st_store64(&b.ended_at, t.ended_at)
    PyThread_release_lock(stores_lock)

cdef void name_thread(Thread* t) noexcept:
    """Notes the name that `threading` knows the thread by, without running any Python code.

    A missing name is no error: the thread may not have been made by `threading`.
    """
    try:
        threading = PyImport_GetModule("threading")
        thread = threading._active.get(PyThread_get_thread_ident())
        if thread is None:
            return
        t.python_thread = <uintptr_t><PyObject*>thread
        name = thread._name.encode("utf-8", "replace")
        t.name = <char*>PyMem_RawMalloc(len(name) + 1)
        if t.name != NULL:
            memcpy(t.name, <char*>name, len(name) + 1)
    except:  # any, and without looking a name up: the interpreter may be shutting down
        return

ctypedef void (*pure)(Thread*) noexcept nogil

cdef Thread* this_thread() noexcept nogil:
    """The calling thread's record, made at its first pass, or NULL when there is no memory."""
    global st_this_thread
    cdef Thread* t = <Thread*>st_this_thread
    if t != NULL:
        return t
    t = <Thread*>PyMem_RawCalloc(1, sizeof(Thread))
    if t == NULL:
        return NULL
    t.key = st_add64(&last_thread_key, 1)
    t.os_id = PyThread_get_thread_ident()
    t.references = 1
    st_add64(&live_threads, 1)
    st_this_thread = t
    st_watch_thread(t)
    return t

cdef bint store_lives(uint64_t store_id) noexcept nogil:
    cdef Store* s = all_stores
    while s != NULL and s.id != store_id:
        s = s.next
    return s != NULL

cdef void forget_dead_stores(Thread* t) noexcept nogil:
    """Removes the thread's entries of stores that are gone, before its map grows for them."""
    cdef Map kept
    cdef uint64_t i
    if t.buffers.slots == NULL or not PyThread_acquire_lock(stores_lock, NOWAIT_LOCK):
        return
    memset(&kept, 0, sizeof(Map))
    for i in range(t.buffers.mask + 1):
        if t.buffers.slots[2 * i] and store_lives(t.buffers.slots[2 * i]):
            if not map_put(&kept, t.buffers.slots[2 * i], t.buffers.slots[2 * i + 1]):
                map_free(&kept)
                PyThread_release_lock(stores_lock)
                return
    PyThread_release_lock(stores_lock)
    map_free(&t.buffers)
    t.buffers = kept

cdef Buffer* known_buffer(Store* s) noexcept nogil:
    """The calling thread's buffer in a store, or NULL when it never recorded there."""
    cdef Thread* t = <Thread*>st_this_thread
    cdef uint64_t* slot
    if t == NULL:
        return NULL
    slot = map_find(&t.buffers, s.id)
    return <Buffer*><uintptr_t>slot[1] if slot != NULL else NULL

cdef void copy_name(char* target, const char* name) noexcept nogil:
    """Copies a text of UTF-8, whole characters only."""
    cdef size_t i = 0, whole = 0
    if name == NULL:
        return
    while i < NAME_BYTES and name[i]:
        i += 1
        if not (<unsigned char>name[i] & 0xC0) == 0x80 and i < NAME_BYTES:
            whole = i
    memcpy(target, name, whole)

cdef Buffer* join_store(Store* s, int who) noexcept nogil:
    """Gives the calling thread a buffer in a store, or NULL when there is no memory. Waits for nobody."""
    cdef void* context = NULL if who == NATIVE else st_need_context()
    cdef Buffer* b = known_buffer(s)  # made by what the collector may just have run
    cdef Thread* t = this_thread()
    if t == NULL or b != NULL:
        return b
    if who != NATIVE and t.name == NULL:
        (<pure>name_thread)(t)
    if t.buffers.slots == NULL or 4 * t.buffers.used >= 3 * (t.buffers.mask + 1):
        forget_dead_stores(t)
    sweep_if_free(s)
    b = new_buffer(RESERVE, s.max_nodes, s.file)
    if b == NULL:
        return NULL
    b.context = context
    b.expected = context if context != NULL else <void*>b
    b.store = s
    b.store_id = s.id
    if not map_put(&t.buffers, s.id, <uintptr_t>b):
        free_buffer(b)
        return NULL
    b.thread = t
    b.thread_key = t.key
    b.os_id = t.os_id
    copy_name(b.name, t.name)
    st_add64(&t.references, 1)
    st_store64_release(&b.session, st_load64_acquire(&s.session))
    while True:
        b.next = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
        if st_casp(<void**>&s.buffers, b.next, b):
            break
    st_fence_full()
    if st_load64_acquire(&s.timeline):  # after it is in the list, by which it is told if this is too early
        st_or64(&b.posted, RINGED)
    return b

cdef Buffer* buffer_in(Store* s, int who) noexcept nogil:
    """The thread's buffer in a store, as it is after the last clear; NULL, and counted, when there is no memory."""
    cdef Buffer* b = known_buffer(s)
    cdef uint64_t session
    if b == NULL:
        b = join_store(s, who)
        if b == NULL:
            count_untimed(s)
            note_exits(s, UNMATCHED)
            return NULL
    session = st_load64_acquire(&s.session)
    if b.session != session:
        reset_buffer(b, session)
    return b

cdef Buffer* take_seat(const Handle* h, int who) noexcept nogil:
    """The slow way to the thread's buffer: first use, another profiler on this seat, or cleared since."""
    cdef Buffer* b = buffer_in(h.store, who)
    cdef Seat* seat = <Seat*>(<char*>st_seats + h.seat)
    if b != NULL:
        seat.session = b.session
        seat.buffer = b
    return b

cdef Buffer* settle(Handle* h, int who) noexcept nogil:
    """The same for a pass that is about to be recorded."""
    cdef Buffer* b = take_seat(h, who)
    if b != NULL and gate_of(h) & TIMES:
        look_closer(b, h)
    return b
