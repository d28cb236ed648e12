# What is kept of threads that ended.

cdef void free_ended(Ended* e) noexcept nogil:
    drop_thread(e.thread)
    PyMem_RawFree(e.packed.words)
    PyMem_RawFree(e)

cdef void fold_oldest(Store* s) noexcept nogil:
    """Lets the oldest ended threads beyond the limit share one line. Those that find no memory stay as they are."""
    cdef Ended* e
    while s.ended_count > s.retain_threads:
        if s.folded == NULL:
            s.folded = new_buffer(MERGE_RESERVE, NO_LIMIT, NULL)
            if s.folded == NULL:
                return
        e = s.ended_first
        if not fold(s.folded, &e.packed, e.packed.words):
            return
        s.ended_first = e.next
        if s.ended_first == NULL:
            s.ended_last = NULL
        s.ended_count -= 1
        s.folded_threads += 1
        s.folded_until = max(s.folded_until, e.number)
        free_ended(e)

cdef void keep_folded(Store* s, uint64_t before) noexcept nogil:
    """Has the file have the older ended threads together, if there are more of them than before."""
    cdef Packed packed
    cdef Kept about
    if s.file == NULL or s.folded == NULL or s.folded_threads == before:
        return
    memset(&packed, 0, sizeof(Packed))
    memset(&about, 0, sizeof(Kept))
    about.session = s.session
    about.threads = s.folded_threads
    if pack_buffer(s.folded, 0, &packed) and keep_packed(s.file, OF_FOLDED, &packed, &about, s.folded_until, 0):
        free_kept(s.file, s.folded_until, False)
    PyMem_RawFree(packed.words)

cdef uint64_t numbers_for(Store* s, Buffer* b) noexcept nogil:
    """Sets aside a number for each buffer from this one on, and returns the greatest. The list has the newest first, which
    are folded last: their numbers must be the greater ones."""
    if s.file == NULL:
        return 0
    while b != NULL:
        s.file.ended += 1
        b = b.next
    return s.file.ended

cdef void keep_ended(Store* s, Buffer* b, Ended* e, uint64_t number) noexcept nogil:
    """Has the file have a thread that ended compactly, in place of its buffer. Without room, that one stays."""
    cdef Kept about
    if s.file == NULL or b.file == NULL:
        return
    if e != NULL:
        memset(&about, 0, sizeof(Kept))
        about.session = s.session
        about.thread_key = b.thread.key
        about.os_id = b.thread.os_id
        about.threads = 1
        memcpy(about.name, b.name, NAME_BYTES)
        e.number = number
        if not keep_packed(s.file, OF_ENDED, &e.packed, &about, e.number, b.number):
            return
    set_kind(s.file, b.number, OF_OTHERS)
    b.is_replaced = True

cdef bint retire(Store* s, Buffer* b, Ended** batch) noexcept nogil:
    """Puts what an ended thread recorded in front of a batch, compactly; False when there is no memory."""
    cdef Ended* e
    cdef uint64_t* words
    if b.session != s.session:
        return True
    e = <Ended*>PyMem_RawCalloc(1, sizeof(Ended))
    if e == NULL:
        return False
    if not pack_buffer(b, s.session, &e.packed):
        PyMem_RawFree(e.packed.words)
        PyMem_RawFree(e)
        return False
    if e.packed.nodes == 0 and e.packed.untimed == 0:
        PyMem_RawFree(e.packed.words)
        PyMem_RawFree(e)
        return True
    words = <uint64_t*>PyMem_RawRealloc(e.packed.words, (e.packed.used + 1) * sizeof(uint64_t))
    if words != NULL:
        e.packed.words = words
        e.packed.capacity = e.packed.used + 1
    e.thread = b.thread
    st_add64(&e.thread.references, 1)
    e.next = batch[0]
    batch[0] = e
    return True

cdef void keep_batch(Store* s, Ended* batch) noexcept nogil:
    if batch == NULL:
        return
    if s.ended_last == NULL:
        s.ended_first = batch
    else:
        s.ended_last.next = batch
    while batch != NULL:
        s.ended_last = batch
        s.ended_count += 1
        batch = batch.next

cdef void detach(Store* s, Buffer* b) noexcept nogil:
    """Takes a buffer out of the list. Others may push in front meanwhile; only the holder of the lock takes out."""
    cdef Buffer* previous = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    if previous == b and st_casp(<void**>&s.buffers, b, b.next):
        return
    previous = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while previous.next != b:
        previous = previous.next
    previous.next = b.next

cdef bint is_swept(Store* s) noexcept nogil:
    return st_load64_acquire(&threads_ended) == st_load64(&s.swept) and st_load64(&s.retired) == 0

cdef void sweep(Store* s) noexcept nogil:
    """Retires the buffers of threads that ended, and frees those that nothing is held in. Its caller holds the store's
    lock."""
    cdef Buffer* b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    cdef Buffer* following
    cdef Ended* batch = NULL
    cdef Ended* newest
    cdef EndedRing* rings = NULL
    cdef uint64_t folded = s.folded_threads, number
    if is_swept(s):
        return
    st_store64(&s.swept, st_load64_acquire(&threads_ended))
    number = numbers_for(s, b)
    while b != NULL:
        following = b.next
        if not b.retired and st_load64_acquire(&b.thread.ended):
            newest = batch
            if retire(s, b, &batch):
                if not is_told() and may_be_left_elsewhere(b):
                    b.held += 1  # for good: nobody says when
                keep_ring(s, b, &rings)
                keep_ended(s, b, batch if batch != newest else NULL, number)
                b.retired = True
                st_store64(&s.retired, s.retired + 1)
            else:
                st_store64(&s.swept, 0)
        if b.retired and st_load64_acquire(&b.released) == b.held:
            st_store64(&s.retired, s.retired - 1)
            detach(s, b)
            if b.is_replaced and b.file != NULL:
                set_kind(b.file, b.number, OF_NOTHING)
            free_buffer(b)
        number -= 1
        b = following
    keep_rings(s, rings)
    keep_batch(s, batch)  # the list had the newest first, the batch has the oldest first
    fold_oldest(s)
    keep_folded(s, folded)

cdef void sweep_if_free(Store* s) noexcept nogil:
    if not is_swept(s) and PyThread_acquire_lock(s.lock, NOWAIT_LOCK):
        sweep(s)
        PyThread_release_lock(s.lock)
