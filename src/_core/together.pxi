# What many files hold, added up: of processes that are gone, whose threads nobody tells apart any more.

cdef bint is_numbered(Packed* p, uint32_t sites, uint32_t tracks) noexcept nogil:
    """Whether packed figures are of so many sites and tracks."""
    cdef uint64_t* words = p.words
    cdef uint64_t number
    cdef size_t i
    for i in range(p.nodes):
        number = words[W_SITE]
        if (number >= sites and not is_special(number)) or words[W_TRACK] >= tracks:
            return False
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    for i in range(p.scopes):
        number = words[W_KEY] >> SCOPE_BITS
        if words[W_KEY] % (1 << SCOPE_BITS) != OF_ALL and number >= (
                sites if words[W_KEY] % (1 << SCOPE_BITS) == OF_SITE else tracks):
            return False
        words += SCOPE_WORDS
    return True

cdef void renumber(Packed* p, const uint32_t* sites, const uint32_t* tracks) noexcept nogil:
    """Gives the sites and tracks of packed figures other numbers."""
    cdef uint64_t* words = p.words
    cdef uint64_t kind, number
    cdef size_t i
    for i in range(p.nodes):
        if not is_special(words[W_SITE]):
            words[W_SITE] = sites[words[W_SITE]]
        words[W_TRACK] = tracks[words[W_TRACK]]
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    for i in range(p.scopes):
        kind, number = words[W_KEY] % (1 << SCOPE_BITS), words[W_KEY] >> SCOPE_BITS
        if kind != OF_ALL:
            words[W_KEY] = <uint64_t>(sites[number] if kind == OF_SITE else tracks[number]) << SCOPE_BITS | kind
        words += SCOPE_WORDS

cdef void sum_nodes(Packed* p, uint64_t* sums) noexcept nogil:
    """Adds up passes, those open, failed and cancelled, and ticks in which any was open."""
    cdef uint64_t* words = p.words
    cdef size_t i
    for i in range(p.nodes):
        if not is_special(words[W_SITE]):
            sums[0] += words[W_PASSES]
            sums[1] += words[W_OPEN]
            sums[2] += words[W_FAILED]
            sums[3] += words[W_CANCELLED]
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    for i in range(p.scopes):
        if words[W_KEY] % (1 << SCOPE_BITS) == OF_ALL:
            sums[4] += words[W_SCOPE_ONCE]
        words += SCOPE_WORDS


cdef class Together:
    """What several files hold, as if one thread had recorded it."""
    cdef Buffer* b
    cdef unsigned long long untimed
    cdef readonly int threads   # how many are in it

    def __cinit__(self):
        self.b = new_buffer(MERGE_RESERVE, NO_LIMIT, NULL)
        if self.b == NULL:
            raise MemoryError("no memory to add up a store's files")

    def __dealloc__(self):
        if self.b != NULL:
            free_buffer(self.b)

    def add(self, KeptFile file, bytes sites, bytes tracks, bint has_unknown):
        """Adds what a file holds: (passes, those open, failed, cancelled, ticks in which any was open) of it.

        sites, tracks: for each of the file's, in the order of their numbers there, its number here, 4 bytes each.
        has_unknown: whether the last of the sites stands for all that nothing is said of. Raises ValueError when the file
        speaks of more than these: nothing is added then.
        """
        cdef Snapshot snapshot = file.snapshot()
        cdef uint64_t[5] sums
        cdef uint32_t site_count = <uint32_t>(len(sites) // 4), track_count = <uint32_t>(len(tracks) // 4)
        cdef const uint32_t* site_numbers = <const uint32_t*><const char*>sites
        cdef const uint32_t* track_numbers = <const uint32_t*><const char*>tracks
        cdef size_t i
        cdef bint ok = True
        memset(sums, 0, sizeof(sums))
        with nogil:
            for i in range(snapshot.count):
                if has_unknown:
                    confine_packed(&snapshot.shares[i].packed, site_count - 1)
                ok = ok and is_numbered(&snapshot.shares[i].packed, site_count, track_count)
        if not ok:
            raise ValueError("it speaks of blocks that it does not name")
        with nogil:
            for i in range(snapshot.count):
                sum_nodes(&snapshot.shares[i].packed, sums)
                renumber(&snapshot.shares[i].packed, site_numbers, track_numbers)
                ok = ok and fold(self.b, &snapshot.shares[i].packed, snapshot.shares[i].packed.words)
        if not ok:
            raise MemoryError("no memory to add up a store's files")
        self.threads += <int>snapshot.count + max(snapshot.folded_threads - 1, 0)
        self.untimed += snapshot.untimed
        return tuple(sums)

    def snapshot(self):
        """All of it, in one line of threads that ended."""
        cdef Snapshot snapshot = Snapshot.__new__(Snapshot)
        cdef Packed packed
        cdef bint ok
        memset(&packed, 0, sizeof(Packed))
        with nogil:
            ok = pack_buffer(self.b, 0, &packed) and add_share(
                &snapshot.shares, &snapshot.count, &snapshot.capacity, NULL, True, &packed)
        if not ok:
            PyMem_RawFree(packed.words)
            raise MemoryError("no memory for a snapshot")
        snapshot.folded_threads = self.threads
        snapshot.untimed = self.untimed
        return snapshot
