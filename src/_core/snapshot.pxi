# Snapshots: what all threads had recorded at one moment, as plain tuples.

cdef struct Share:             # one thread's part of a snapshot
    Thread* thread             # NULL for the older ended threads in one
    bint is_kept               # of a thread that ended, and whose figures have been kept apart
    Packed packed

cdef bint add_share(Share** shares, size_t* count, size_t* capacity, Thread* thread, bint is_kept,
                    Packed* packed) noexcept nogil:
    cdef Share* bigger
    if count[0] == capacity[0]:
        bigger = <Share*>PyMem_RawRealloc(shares[0], (2 * capacity[0] + 16) * sizeof(Share))
        if bigger == NULL:
            return False
        shares[0] = bigger
        capacity[0] = 2 * capacity[0] + 16
    shares[0][count[0]].thread = thread
    shares[0][count[0]].is_kept = is_kept
    shares[0][count[0]].packed = packed[0]
    if thread != NULL:
        st_add64(&thread.references, 1)
    count[0] += 1
    return True

cdef bint copy_packed(Packed* target, Packed* source) noexcept nogil:
    target[0] = source[0]
    target.words = <uint64_t*>PyMem_RawMalloc((source.used + 1) * sizeof(uint64_t))
    if target.words == NULL:
        return False
    memcpy(target.words, source.words, source.used * sizeof(uint64_t))
    return True

cdef object bucket_counts(uint64_t* page, uint64_t pages):
    """{octave * 16 + sub-bucket: count} of a packed histogram."""
    cdef uint64_t i, count, octave
    cdef uint32_t sub
    counts = {}
    for i in range(pages):
        octave = page[0] & (CARRY - 1)
        for sub in range(SUB_BUCKETS):
            count = bucket_count(page, sub)
            if count and page[0] >= CARRY:
                counts[octave * SUB_BUCKETS + sub] = counts.get(octave * SUB_BUCKETS + sub, 0) + (<object>count << 32)
            elif count:
                counts[octave * SUB_BUCKETS + sub] = count
        page += PAGE_WORDS
    return counts

cdef object decode(Packed* p):
    """Packed nodes as tuples, a parent before its children."""
    cdef uint64_t* words = p.words
    cdef size_t i
    cdef int64_t site
    nodes = []
    for i in range(p.nodes):
        site = <int64_t>words[W_SITE]
        if <uint32_t>words[W_SITE] == OTHER_PATHS:
            site = -1
        elif <uint32_t>words[W_SITE] == PROCESSOR:
            site = -2
        elif <uint32_t>words[W_SITE] == WORK:
            site = -3
        nodes.append((
            <int64_t>words[W_PARENT],
            site,
            words[W_PASSES],
            words[W_TOTAL],
            words[W_MINIMUM] if words[W_PASSES] else 0,
            words[W_MAXIMUM],
            (<object>words[W_SQUARES_HIGH] << 64) | words[W_SQUARES_LOW],
            words[W_ONCE],
            words[W_ONCE] - words[W_COVERED],
            words[W_OPEN],
            words[W_FAILED],
            words[W_CANCELLED],
            bucket_counts(words + NODE_WORDS, words[W_PAGES]),
        ))
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    return tuple(nodes)

cdef object decode_scopes(Packed* p):
    """A packed run's scopes, in the shape of `Snapshot.scopes()`."""
    cdef uint64_t* words = after_nodes(p, p.words)
    cdef size_t i
    sites, tracks, all_of_them = {}, {}, (0, 0)
    for i in range(p.scopes):
        figures = (words[W_SCOPE_ONCE], words[W_ACTIVE])
        if words[W_KEY] % (1 << SCOPE_BITS) == OF_SITE:
            sites[words[W_KEY] >> SCOPE_BITS] = figures
        elif words[W_KEY] % (1 << SCOPE_BITS) == OF_TRACK:
            tracks[words[W_KEY] >> SCOPE_BITS] = figures[0]
        else:
            all_of_them = figures
        words += SCOPE_WORDS
    return sites, tracks, all_of_them[0]

cdef inline bint is_special(uint64_t site) noexcept nogil:
    """Whether the site of a packed node is none that was made."""
    return site == OTHER_PATHS or site == PROCESSOR or site == WORK

cdef bint confine_packed(Packed* p, uint32_t sites) noexcept nogil:
    cdef uint64_t* words = p.words
    cdef size_t i
    cdef bint found = False
    for i in range(p.nodes):
        if words[W_SITE] > sites and not is_special(words[W_SITE]):
            words[W_SITE] = sites
        found = found or words[W_SITE] == sites
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    for i in range(p.scopes):
        if words[W_KEY] % (1 << SCOPE_BITS) == OF_SITE and words[W_KEY] >> SCOPE_BITS > sites:
            words[W_KEY] = <uint64_t>sites << SCOPE_BITS | OF_SITE
        words += SCOPE_WORDS
    return found

cdef class Snapshot:
    """What all threads had recorded at one moment. It owns its memory and never changes."""
    cdef Share* shares
    cdef size_t count
    cdef size_t capacity
    cdef readonly int folded_threads
    cdef readonly unsigned long long untimed

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            if self.shares[i].thread != NULL:
                drop_thread(self.shares[i].thread)
            PyMem_RawFree(self.shares[i].packed.words)
        PyMem_RawFree(self.shares)

    cdef bint take_live(self, Store* s) noexcept nogil:
        cdef Buffer* b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
        cdef Packed packed
        while b != NULL:
            if b.retired:
                b = b.next
                continue
            memset(&packed, 0, sizeof(Packed))
            if not pack_buffer(b, s.session, &packed):
                PyMem_RawFree(packed.words)
                return False
            if packed.nodes == 0 and packed.untimed == 0:
                PyMem_RawFree(packed.words)
            elif not add_share(&self.shares, &self.count, &self.capacity, b.thread, False, &packed):
                PyMem_RawFree(packed.words)
                return False
            b = b.next
        return True

    cdef bint take_ended(self, Store* s) noexcept nogil:
        cdef Ended* e = s.ended_first
        cdef Packed packed
        while e != NULL:
            if not copy_packed(&packed, &e.packed):
                return False
            if not add_share(&self.shares, &self.count, &self.capacity, e.thread, True, &packed):
                PyMem_RawFree(packed.words)
                return False
            e = e.next
        return True

    cdef bint take_folded(self, Store* s) noexcept nogil:
        cdef Packed packed
        if s.folded == NULL:
            return True
        memset(&packed, 0, sizeof(Packed))
        if not pack_buffer(s.folded, 0, &packed) or not add_share(
                &self.shares, &self.count, &self.capacity, NULL, True, &packed):
            PyMem_RawFree(packed.words)
            return False
        return True

    cdef bint take(self, Store* s) noexcept nogil:
        cdef bint ok
        PyThread_acquire_lock(s.lock, WAIT_LOCK)
        sweep(s)
        ok = self.take_live(s) and self.take_ended(s) and self.take_folded(s)
        self.folded_threads = <int>s.folded_threads
        self.untimed = st_load64(&s.untimed)
        PyThread_release_lock(s.lock)
        return ok

    def confine(self, uint32_t sites):
        """Has what is recorded of all sites beyond so many be of the one that comes next: whether there was any."""
        cdef size_t i
        cdef bint found = False
        with nogil:
            for i in range(self.count):
                found = confine_packed(&self.shares[i].packed, sites) or found
        return found

    def threads(self):
        """(key, OS id, name, whether it ended, address of its `threading.Thread`, clamped, untimed, unbinned) each.

        The older ended threads, folded into one line, have the key 0.
        """
        cdef size_t i
        cdef Share* share
        found = []
        for i in range(self.count):
            share = &self.shares[i]
            if share.thread == NULL:
                head = (0, 0, None, True, 0)
            else:
                name = share.thread.name.decode("utf-8", "replace") if share.thread.name != NULL else None
                head = (share.thread.key, share.thread.os_id, name, bool(share.is_kept),
                        share.thread.python_thread)
            found.append(head + (share.packed.clamped, share.packed.untimed, share.packed.unbinned))
        return found

    def nodes(self, size_t index):
        """The nodes of one of the `threads()`, each (parent's number or -1, site or -1 for "other paths" -2 for the
        parent's processor time and -3 for its work (their own figures: see processor.pxi, work.pxi), passes that ended, their total, minimum, maximum, sum of squares, ticks in which any was open, part of that in which nothing
        lay on one, passes that are open, that failed, that were cancelled, buckets), times in ticks. What is open counts
        up to the moment of the snapshot."""
        if index >= self.count:
            raise IndexError(f"thread {index} of {self.count}")
        return decode(&self.shares[index].packed)

    def scopes(self, size_t index):
        """The time that counts once on one of the `threads()`: ({site: (ticks in which any of its passes was open, in
        which any was active)}, {track: ticks in which any was open}, ticks in which any was)."""
        if index >= self.count:
            raise IndexError(f"thread {index} of {self.count}")
        return decode_scopes(&self.shares[index].packed)

    def merged(self):
        """(nodes, scopes) of all threads together, path by path, in the shapes of `nodes()` and `scopes()`."""
        cdef Packed packed
        cdef Buffer* b = new_buffer(MERGE_RESERVE, NO_LIMIT, NULL)
        cdef size_t i
        cdef bint ok = b != NULL
        memset(&packed, 0, sizeof(Packed))
        with nogil:
            for i in range(self.count):
                ok = ok and fold(b, &self.shares[i].packed, self.shares[i].packed.words)
            ok = ok and pack_buffer(b, 0, &packed)
            if b != NULL:
                free_buffer(b)
        try:
            if not ok:
                raise MemoryError("no memory to merge the threads of a profiler")
            return decode(&packed), decode_scopes(&packed)
        finally:
            PyMem_RawFree(packed.words)
