# The timeline: what the rings of all threads held at one moment, laid out in lanes in which each pass lies within
# another one, or beside it.

cdef extern from "stdlib.h" nogil:
    void qsort(void* base, size_t count, size_t size, int (*compare)(const void*, const void*) noexcept nogil)

cdef extern from *:
    """
    /* number * factor / divisor, rounded to the nearest, or the greatest there is. */
    #if defined(__SIZEOF_INT128__)
    static uint64_t st_scale(uint64_t number, uint64_t factor, uint64_t divisor) {
        unsigned __int128 found = ((unsigned __int128)number * factor + divisor / 2) / divisor;
        return found > INT64_MAX / 4 ? INT64_MAX / 4 : (uint64_t)found;
    }
    #else
    static uint64_t st_scale(uint64_t number, uint64_t factor, uint64_t divisor) {
        uint64_t whole = number / divisor, rest = number % divisor;
        if (factor && whole > INT64_MAX / 4 / factor) return INT64_MAX / 4;
        while (rest && factor > UINT64_MAX / 2 / rest) { factor >>= 1; divisor >>= 1; }
        return whole * factor + (divisor ? (rest * factor + divisor / 2) / divisor : 0);
    }
    #endif
    """
    uint64_t st_scale(uint64_t number, uint64_t factor, uint64_t divisor) nogil

cdef enum:  # kinds of lanes
    OF_THREAD = 0              # what runs on the thread itself
    OF_TASKS = 1               # of contexts: tasks, greenlets
    OF_BODIES_TOO = 2          # of generators
    OF_CROSSING = 3            # passes that end in the middle of another one of their strand

cdef enum:
    NOWHERE = 0xFFFFFFFF

cdef struct Section:           # the ring of one thread
    Thread* thread
    bint is_kept
    Passes passes

cdef struct Laid:              # one pass on its way to a lane
    int64_t start              # ns
    int64_t end
    uint64_t tag
    uint64_t serial            # among all of its thread, in the order in which they ended
    uint32_t site
    uint32_t strand
    uint32_t thread
    uint32_t how

cdef struct StrandSeen:
    int64_t end                # of its last pass
    uint32_t lane              # or NOWHERE
    uint32_t number

cdef struct Lane:
    uint32_t thread
    uint32_t kind
    int64_t busy_until         # end of the last pass of the strand that has it
    uint32_t top               # the innermost pass that is open, or NOWHERE
    uint32_t older             # the lane of this thread made before, or NOWHERE

cdef struct Layout:
    Laid* passes
    size_t count
    StrandSeen* strands
    uint32_t strand_count
    Map numbers                # thread and strand -> index of the strand
    Lane* lanes
    uint32_t lane_count
    uint32_t lane_room
    uint32_t* newest_lane      # of each thread
    uint32_t* below            # of each pass: the one that it lies in, or NOWHERE

cdef int earlier(const void* one, const void* other) noexcept nogil:
    """By start; of those that start together, the one first that the others lie in."""
    cdef const Laid* a = <const Laid*>one
    cdef const Laid* b = <const Laid*>other
    if a.start != b.start:
        return -1 if a.start < b.start else 1
    if a.end != b.end:
        return -1 if a.end > b.end else 1
    if a.thread != b.thread:
        return -1 if a.thread < b.thread else 1
    return -1 if a.serial > b.serial else 1 if a.serial < b.serial else 0

cdef inline uint64_t strand_key(const Laid* p) noexcept nogil:
    return (<uint64_t>p.thread << 32 | p.strand) + 1

cdef bint number_strands(Layout* l) noexcept nogil:
    """Finds the strands, in the order in which they begin, and when each ends; False when there is no memory."""
    cdef size_t i
    cdef uint64_t* slot
    cdef StrandSeen* seen
    for i in range(l.count):
        slot = map_find(&l.numbers, strand_key(&l.passes[i]))
        if slot == NULL:
            if l.strand_count & (l.strand_count - 1) == 0:
                seen = <StrandSeen*>PyMem_RawRealloc(l.strands, (2 * l.strand_count + 1) * sizeof(StrandSeen))
                if seen == NULL:
                    return False
                l.strands = seen
            seen = &l.strands[l.strand_count]
            seen.lane = NOWHERE
            seen.number = l.strand_count
            seen.end = l.passes[i].end
            if not map_put(&l.numbers, strand_key(&l.passes[i]), l.strand_count):
                return False
            l.strand_count += 1
        else:
            seen = &l.strands[slot[1]]
            seen.end = max(seen.end, l.passes[i].end)
    return True

cdef bint fits(Layout* l, Lane* lane, Laid* p) noexcept nogil:
    """Whether a pass lies within what is open in a lane. What has ended before is taken off."""
    while lane.top != NOWHERE and l.passes[lane.top].end <= p.start:
        lane.top = l.below[lane.top]
    return lane.top == NOWHERE or p.end <= l.passes[lane.top].end

cdef uint32_t new_lane(Layout* l, uint32_t thread, uint32_t kind) noexcept nogil:
    """The number of a lane more, or NOWHERE when there is no memory."""
    cdef Lane* bigger
    cdef Lane* made
    if l.lane_count == l.lane_room:
        bigger = <Lane*>PyMem_RawRealloc(l.lanes, (2 * l.lane_room + 16) * sizeof(Lane))
        if bigger == NULL:
            return NOWHERE
        l.lanes = bigger
        l.lane_room = 2 * l.lane_room + 16
    made = &l.lanes[l.lane_count]
    made.thread = thread
    made.kind = kind
    made.busy_until = 0
    made.top = NOWHERE
    made.older = l.newest_lane[thread]
    l.newest_lane[thread] = l.lane_count
    l.lane_count += 1
    return l.lane_count - 1

cdef uint32_t free_lane(Layout* l, Laid* p, uint32_t kind, int64_t until) noexcept nogil:
    """A lane of a kind in which nothing is going on when a pass begins, from then on taken until a moment; NOWHERE when
    there is no memory."""
    cdef uint32_t i = l.newest_lane[p.thread], found = NOWHERE
    while i != NOWHERE:
        if l.lanes[i].kind == kind and l.lanes[i].busy_until <= p.start and fits(l, &l.lanes[i], p) and (
                l.lanes[i].top == NOWHERE):
            found = i  # the oldest one: so that there are few, and they are full
        i = l.lanes[i].older
    if found == NOWHERE:
        found = new_lane(l, p.thread, kind)
    if found != NOWHERE:
        l.lanes[found].busy_until = until
    return found

cdef uint32_t lane_for(Layout* l, Laid* p) noexcept nogil:
    cdef StrandSeen* strand = &l.strands[map_find(&l.numbers, strand_key(p))[1]]
    cdef uint32_t kind = OF_THREAD
    if p.strand:
        kind = OF_BODIES_TOO if p.strand & 1 else OF_TASKS
    if strand.lane == NOWHERE:
        strand.lane = free_lane(l, p, kind, strand.end)
    if strand.lane == NOWHERE or fits(l, &l.lanes[strand.lane], p):
        return strand.lane
    return free_lane(l, p, OF_CROSSING, p.end)

cdef bint lay_out(Layout* l, uint32_t* lane_of, uint32_t* depths) noexcept nogil:
    """Gives each pass a lane, and says how many passes it lies in there; False when there is no memory."""
    cdef size_t i
    cdef uint32_t number
    cdef Lane* lane
    if not number_strands(l):
        return False
    for i in range(l.count):
        number = lane_for(l, &l.passes[i])
        if number == NOWHERE:
            return False
        lane = &l.lanes[number]
        l.below[i] = lane.top
        depths[i] = depths[lane.top] + 1 if lane.top != NOWHERE else 0
        lane.top = <uint32_t>i
        lane_of[i] = number
    return True

cdef inline int64_t moment_of(uint64_t ticks, uint64_t since, int64_t ns_then, uint64_t ns, uint64_t rate) noexcept nogil:
    """When that was, in ns."""
    cdef uint64_t apart = ticks - since
    if <int64_t>apart < 0:
        return ns_then - <int64_t>st_scale(since - ticks, ns, rate)
    return ns_then + <int64_t>st_scale(apart, ns, rate)

cdef class RawTimeline:
    """What the rings of all threads held at one moment. It owns its memory and never changes."""
    cdef Section* sections
    cdef size_t count
    cdef size_t capacity

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            drop_thread(self.sections[i].thread)
            PyMem_RawFree(self.sections[i].passes.items)
        PyMem_RawFree(self.sections)

    cdef bint add(self, Thread* thread, bint is_kept, Passes* passes) noexcept nogil:
        """Takes what a ring held, and lets it go when there is no memory, which is False then."""
        cdef Section* bigger
        if passes.count == 0 and passes.lost == 0:
            PyMem_RawFree(passes.items)
            return True
        if self.count == self.capacity:
            bigger = <Section*>PyMem_RawRealloc(self.sections, (2 * self.capacity + 16) * sizeof(Section))
            if bigger == NULL:
                PyMem_RawFree(passes.items)
                return False
            self.sections = bigger
            self.capacity = 2 * self.capacity + 16
        self.sections[self.count].thread = thread
        self.sections[self.count].is_kept = is_kept
        self.sections[self.count].passes = passes[0]
        st_add64(&thread.references, 1)
        self.count += 1
        return True

    cdef bint add_kept(self, EndedRing* e) noexcept nogil:
        cdef Passes copied
        copied.count = e.count
        copied.lost = e.lost
        copied.items = <Passed*>PyMem_RawMalloc(e.count * sizeof(Passed) + 1)
        if copied.items == NULL:
            return False
        memcpy(copied.items, e.passes, e.count * sizeof(Passed))
        return self.add(e.thread, True, &copied)

    cdef bint take(self, Store* s) noexcept nogil:
        cdef Buffer* b
        cdef EndedRing* e
        cdef Passes passes
        cdef bint ok = True
        PyThread_acquire_lock(s.lock, WAIT_LOCK)
        sweep(s)
        e = s.rings_first
        while e != NULL and ok:
            ok = self.add_kept(e)
            e = e.next
        b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
        while b != NULL and ok:
            if not b.retired:
                ok = copy_ring(b, s.session, &passes) and self.add(b.thread, False, &passes)
            b = b.next
        PyThread_release_lock(s.lock)
        return ok

    def threads(self):
        """(key, OS id, name, whether it ended, address of its `threading.Thread`, passes, how many were overwritten)
        each."""
        cdef size_t i
        cdef Section* each
        found = []
        for i in range(self.count):
            each = &self.sections[i]
            name = each.thread.name.decode("utf-8", "replace") if each.thread.name != NULL else None
            found.append((each.thread.key, each.thread.os_id, name, bool(each.is_kept), each.thread.python_thread,
                          each.passes.count, each.passes.lost))
        return found

    cdef size_t passes_in_all(self) noexcept nogil:
        cdef size_t i, total = 0
        for i in range(self.count):
            total += self.sections[i].passes.count
        return total

    cdef void line_up(self, Laid* to, uint64_t since, int64_t ns_then, uint64_t ns, uint64_t rate) noexcept nogil:
        cdef size_t i, j, n = 0
        cdef Passed* p
        cdef Laid* made
        for i in range(self.count):
            for j in range(self.sections[i].passes.count):
                p = &self.sections[i].passes.items[j]
                made = &to[n]
                made.start = moment_of(p.start, since, ns_then, ns, rate)
                # From both ends, so that what lay within another pass still does when both are rounded.
                made.end = max(made.start, moment_of(p.start + (p.took >> HOW_BITS), since, ns_then, ns, rate))
                made.tag = p.tag
                made.serial = j
                made.site = p.site
                made.strand = p.strand
                made.thread = <uint32_t>i
                made.how = p.took & ((1 << HOW_BITS) - 1)
                n += 1
        qsort(to, n, sizeof(Laid), earlier)

    def laid_out(self, unsigned long long ticks, long long ns_then, unsigned long long ns, unsigned long long rate):
        """All passes by start, and the lanes in which each lies within another one or beside it.

        ticks, ns_then: one moment, by the clock of the passes, and in ns as they are to be said. ns, rate: so many ns are
        so many ticks.

        Gives (columns, lanes): starts and durations (int64, ns), sites, threads (their place in `threads()`), lanes,
        depths in them and strands (uint32), how each ended (uint8: 0 by return, 1 by an exception, 2 cancelled) and tags
        (uint64), in native byte order; and (thread, kind) of each lane.
        """
        cdef size_t count = self.passes_in_all(), i
        cdef Layout l
        cdef bint ok = False
        cdef list columns = [bytearray(width * count) for width in (8, 8, 4, 4, 4, 4, 4, 1, 8)]
        cdef char* to[9]
        if rate == 0:
            raise ValueError("a rate of 0 ticks")
        for i in range(9):
            to[i] = <bytearray>columns[i]
        memset(&l, 0, sizeof(Layout))
        l.count = count
        with nogil:
            l.passes = <Laid*>PyMem_RawMalloc(count * sizeof(Laid) + 1)
            l.below = <uint32_t*>PyMem_RawMalloc(count * sizeof(uint32_t) + 1)
            l.newest_lane = <uint32_t*>PyMem_RawMalloc(self.count * sizeof(uint32_t) + 1)
            if l.passes != NULL and l.below != NULL and l.newest_lane != NULL:
                memset(l.newest_lane, 0xFF, self.count * sizeof(uint32_t))
                self.line_up(l.passes, ticks, ns_then, ns, rate)
                ok = lay_out(&l, <uint32_t*>to[4], <uint32_t*>to[5])
                if ok:
                    write_columns(&l, to)
        try:
            if not ok:
                raise MemoryError("no memory for a timeline")
            return tuple(columns), [(l.lanes[i].thread, l.lanes[i].kind) for i in range(l.lane_count)]
        finally:
            PyMem_RawFree(l.passes)
            PyMem_RawFree(l.below)
            PyMem_RawFree(l.newest_lane)
            PyMem_RawFree(l.strands)
            PyMem_RawFree(l.lanes)
            map_free(&l.numbers)

cdef void write_columns(Layout* l, char** to) noexcept nogil:
    cdef size_t i
    cdef Laid* p
    for i in range(l.count):
        p = &l.passes[i]
        (<int64_t*>to[0])[i] = p.start
        (<int64_t*>to[1])[i] = p.end - p.start
        (<uint32_t*>to[2])[i] = p.site
        (<uint32_t*>to[3])[i] = p.thread
        (<uint32_t*>to[6])[i] = l.strands[map_find(&l.numbers, strand_key(p))[1]].number
        (<unsigned char*>to[7])[i] = <unsigned char>p.how
        (<uint64_t*>to[8])[i] = p.tag
