# Processor time: for how long its thread really ran while a pass was open.
#
# The system has to be asked, twice a pass, which takes longer than all the rest of it. So what is TIMED goes the slow way
# in, by its gate and its site's state, and out, by its flag, and nothing else takes notice of it. The clock is read after that of the pass
# when it begins, and before or after nothing else when it ends: the pass does not hold the asking of its own, and what
# one reading takes of itself is taken off.
#
# What a node's passes took stands in a node of its own below it, of the site PROCESSOR, in ns: `finished`, `total`, the
# extremes and the histogram are those of any node. Of the rest,
#   failed      is what the outermost of its passes took: recursion counts once
#   cancelled   the ticks for which its passes were open
#   covering    those of its passes that are open and not suspended; the owner's own

cdef uint64_t processor_reading = 0  # ns that a reading of the clock takes of what is measured

cdef Node* processor_node(Buffer* b, uint32_t node) noexcept nogil:
    """Where the processor time of a node's passes is kept; NULL when there is no memory."""
    cdef uint64_t key = <uint64_t>node << 32 | (PROCESSOR + 1)
    cdef uint64_t* slot = map_find(&b.children, key)
    cdef uint32_t made
    if slot != NULL:
        return node_at(b, <uint32_t>slot[1])
    made = new_node(b, node, PROCESSOR, 0)
    return node_at(b, made) if made and map_put(&b.children, key, made) else NULL

cdef uint64_t processor_time(uint64_t since, uint64_t now) noexcept nogil:
    """The ns between two readings, less what a reading takes."""
    return stretch(since + processor_reading, now)

cdef bint may_be_told_of(Buffer* b, Activation* a) noexcept nogil:
    """Whether nobody suspends the frame that has entered a pass without our being told: what runs instead would count."""
    return not a.flags & SUSPENDABLE or is_told() or (b.body != NULL and st_is_frame_of_body(frame_of(a), b.body))

cdef void look_closer(Buffer* b, const Handle* h) noexcept nogil:
    """Has the pass of a site that begins next be told from those that take no processor time."""
    b.times = h.site + 1
    if h.site < b.site_capacity:
        b.sites[h.site].parent = UNSETTLED

cdef void stop_looking(Buffer* b, const Handle* h) noexcept nogil:
    b.times = 0
    if not b.sites[h.site].pace:
        b.sites[h.site].parent = b.sites[h.site].paced_parent

cdef void start_processor_time(Buffer* b, Activation* a) noexcept nogil:
    """Begins to take a pass's processor time. Without memory, it is a pass whose processor time is not known."""
    cdef Node* n = processor_node(b, a.node) if may_be_told_of(b, a) else NULL
    if n == NULL:
        st_store32(&a.flags, a.flags & ~<uint32_t>TIMED)
        return
    n.covering += 1
    st_store32(&a.flags, a.flags | TIMED)
    a.ran = st_processor_ns()

cdef void forget_processor_time(Buffer* b, Activation* a) noexcept nogil:
    """A pass ends without being recorded."""
    if a.flags & TIMED and not a.flags & PAUSED:
        processor_node(b, a.node).covering -= 1
    st_store32(&a.flags, a.flags & ~<uint32_t>(TIMED | PAUSED))

cdef void end_processor_time(Buffer* b, Activation* a, uint64_t ran, uint64_t ticks) noexcept nogil:
    """Records the processor time of a pass, given what the clock says and for how many ticks the pass was open."""
    cdef Node* n = processor_node(b, a.node)
    cdef uint64_t ns = a.ran if a.flags & PAUSED else processor_time(a.ran, ran)
    forget_processor_time(b, a)
    st_store64(&n.started, n.finished + 1)
    st_fence_release()
    if n.covering == 0:
        st_store64(&n.failed, n.failed + ns)
    st_store64(&n.cancelled, n.cancelled + ticks)
    record_apart(b, n, ns, 0, RETURNED)

cdef void pause_processor_time(Buffer* b, Activation* low, Activation* top) noexcept nogil:
    """What is open from `top` down to `low` is being suspended."""
    cdef uint64_t now = st_processor_ns()
    while True:
        if top.flags & TIMED and not top.flags & PAUSED:
            processor_node(b, top.node).covering -= 1
            st_store32(&top.flags, top.flags | PAUSED)
            top.ran = processor_time(top.ran, now)
        if top == low:
            return
        top = activation_at(b, top.prev)

cdef void resume_processor_time(Buffer* b, Activation* low, Activation* top) noexcept nogil:
    """What is open from `top` down to `low` goes on."""
    cdef uint64_t now = st_processor_ns()
    while True:
        if top.flags & PAUSED:
            processor_node(b, top.node).covering += 1
            st_store32(&top.flags, top.flags & ~<uint32_t>PAUSED)
            top.ran = now - top.ran
        if top == low:
            return
        top = activation_at(b, top.prev)

cdef bint any_is_timed(Buffer* b, Activation* low, Activation* top) noexcept nogil:
    while not top.flags & TIMED:
        if top == low:
            return False
        top = activation_at(b, top.prev)
    return True

cdef inline void pause_any(Buffer* b, Activation* low, Activation* top) noexcept nogil:
    if ST_UNLIKELY(st_load32(&processor_time_used)) and any_is_timed(b, low, top):
        pause_processor_time(b, low, top)

cdef inline void resume_any(Buffer* b, Activation* low, Activation* top) noexcept nogil:
    if ST_UNLIKELY(st_load32(&processor_time_used)) and any_is_timed(b, low, top):
        resume_processor_time(b, low, top)

cdef void measure_processor_clock() noexcept nogil:
    """Learns what a reading takes of what is measured: the least of many. The clock of tests takes nothing."""
    global processor_reading
    cdef uint64_t before, after, least = <uint64_t>-1
    cdef int i
    if st_clock_kind == ST_CLOCK_MANUAL:
        processor_reading = 0
        return
    for i in range(200):
        before = st_processor_ns()
        after = st_processor_ns()
        least = min(least, stretch(before, after))
    processor_reading = least
