# Enter and leave: how a pass is opened, closed and recorded.

cdef bint is_open(Buffer* b, Activation* a, uint32_t site, uint32_t track) noexcept nogil:
    """Whether a pass of the site (or, with NO_SITE, of the track) is open at an activation or below it."""
    while True:
        if a.prev == 0:
            if not a.flags & BASED:
                return False
            a = activation_at(b, <uint32_t>a.base)
            continue
        if not a.flags & (DROPPED | MUTED) and (
                a.handle.site == site or (site == NO_SITE and a.handle.track == track)):
            return True
        a = activation_at(b, a.prev)

cdef uint32_t nesting(Buffer* b, Activation* top, const Handle* h, uint32_t edge) noexcept nogil:
    """The flags of a pass that starts above `top`, for the cases in which it is not plainly the first of its kind."""
    cdef uint32_t flags = 0
    if top.site_mask & h.site_bit and is_open(b, top, h.site, 0):
        flags |= NESTED
    if top.track_mask & h.track_bit:
        if h.track < 63 or is_open(b, top, NO_SITE, h.track):
            flags |= TRACK_NESTED
    if edge & LOOSE and (top.prev != 0 or top.flags & BASED):
        flags |= UNDER
    return flags

cdef uint32_t extend_stack(Buffer* b, Activation* top) noexcept nogil:
    cdef uint32_t offset = take_activation(b)
    if offset:
        activation_at(b, offset).next = 0
        activation_at(b, offset).prev = offset_of(b, top)
        top.next = offset
    return offset

cdef inline Activation* push(Buffer* b, const Handle* h) noexcept nogil:
    """Opens a pass on the current flow, clock not yet read; NULL when there is no memory for it."""
    cdef Activation* top = activation_at(b, b.top)
    cdef SiteState* state
    cdef uint32_t offset, flags
    cdef Activation* a
    if ST_UNLIKELY(h.site >= b.site_capacity or b.sites[h.site].parent != top.node):
        if not find_child(b, top.node, h.site):
            b.untimed += 1
            return NULL
    state = &b.sites[h.site]
    offset = top.next
    if ST_UNLIKELY(offset == 0):
        offset = extend_stack(b, top)
        if offset == 0:
            b.untimed += 1
            return NULL
    a = activation_at(b, offset)
    a.node = state.node
    a.handle = h
    a.child = 0
    a.site_mask = top.site_mask | h.site_bit
    a.track_mask = top.track_mask | h.track_bit
    flags = 0
    if (top.site_mask & h.site_bit) | (top.track_mask & h.track_bit) | state.edge:
        flags = nesting(b, top, h, state.edge)
    if ST_UNLIKELY(top.flags & BASED):
        flags |= FLOW_ROOT
        open_on_base(b, top)
    a.flags = flags
    b.top = offset
    return a

cdef inline Activation* enter(const Handle* h, Buffer** owner) noexcept nogil:
    """Opens a pass; its clock starts last. NULL when it can't be recorded: it was counted as untimed."""
    cdef Seat* seat = &st_seats[h.seat]
    cdef Buffer* b = <Buffer*>seat.buffer
    cdef Activation* a
    cdef void* context
    if ST_UNLIKELY(seat.session != st_load64(h.gate)):
        b = settle(<Handle*>h)
        if b == NULL:
            return NULL
    context = st_context()
    if ST_UNLIKELY(context != b.context):
        if not switch_flow(b, context):
            b.untimed += 1
            return NULL
    a = push(b, h)
    if ST_LIKELY(a != NULL):
        owner[0] = b
        a.start = st_ticks()
    else:
        st_store64(&h.store.unmatched, 1)
    return a

cdef inline uint64_t elapsed(Buffer* b, uint64_t start, uint64_t now) noexcept nogil:
    if ST_UNLIKELY(<int64_t>(now - start) < 0):
        b.clamped += 1
        return 0
    return now - start

cdef inline void record(Buffer* b, Activation* a, uint64_t ticks, uint32_t flags) noexcept nogil:
    """Writes one pass into its node."""
    cdef Node* n = node_at(b, a.node)
    cdef uint64_t passes = n.finished + 1
    cdef uint64_t biased = ticks + SUB_BUCKETS
    cdef uint32_t octave = st_top_bit(biased) - 4
    cdef uint32_t sub = <uint32_t>(biased >> octave) & (SUB_BUCKETS - 1)
    cdef uint32_t page, count
    cdef uint32_t* counts
    st_store64(&n.started, passes)
    st_fence_release()
    st_store64(&n.total, n.total + ticks)
    st_store64(&n.child, n.child + a.child)
    st_add_square(&n.squares_low, &n.squares_high, ticks)
    if ticks < n.minimum:
        st_store64(&n.minimum, ticks)
    if ticks > n.maximum:
        st_store64(&n.maximum, ticks)
    page = n.pages[octave] if ST_LIKELY(octave < NEAR_PAGES) else 0
    counts = <uint32_t*>(<char*>b + page) + sub
    if ST_LIKELY(page != 0 and counts[0] != <uint32_t>-1):
        st_store32(counts, counts[0] + 1)
    else:
        count_rare(b, n, octave, sub)
    if flags:
        if flags & TRACK_NESTED:
            st_store64(&n.track_nested, n.track_nested + ticks)
        if flags & NESTED:
            st_store64(&n.nested, n.nested + ticks)
        if flags & UNDER:
            st_store64(&n.under, n.under + ticks)
        if flags & PAUSED and not flags & NESTED:
            st_store64(&n.suspended, n.suspended + a.suspended)
    st_store64_release(&n.finished, passes)

cdef inline void leave(Buffer* b, Activation* a) noexcept nogil:
    """Closes a pass and records it."""
    cdef uint64_t now = st_ticks()
    cdef uint64_t ticks
    cdef Activation* below
    if ST_UNLIKELY(b.top != offset_of(b, a) or a.flags & ~<uint32_t>ORDINARY):
        leave_irregular(b, a, now)
        return
    ticks = elapsed(b, a.start, now)
    below = activation_at(b, a.prev)
    b.top = a.prev
    below.child += ticks
    record(b, a, ticks, a.flags)

cdef uint32_t flow_holding(Buffer* b, Activation* a, uint64_t** slot) noexcept nogil:
    """Whether the activation is the top of a flow that is not current: that flow's entry in `slot`."""
    cdef uint64_t i
    slot[0] = NULL
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and b.flows.slots[2 * i + 1] == offset_of(b, a):
                slot[0] = &b.flows.slots[2 * i]
                return True
    return False

cdef void unlink(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Takes an activation out of whatever flow it is in, top or not, and bills what lies on it to what it lay on."""
    cdef uint32_t offset = offset_of(b, a)
    cdef Activation* above
    cdef uint64_t* slot
    cdef uint64_t span
    if b.top == offset:
        b.top = a.prev
        return  # it stays linked above the new top, ready for the next pass
    if flow_holding(b, a, &slot):
        slot[1] = a.prev
        if activation_at(b, a.prev).prev == 0:  # that flow is empty now, and an empty flow has no entry
            map_remove(&b.flows, slot)
            put_back(b, a.prev)
        return
    above = activation_at(b, a.next)
    # What is above went on while this one closed: its time so far was spent inside this one.
    span = elapsed(b, above.start, now)
    if not above.flags & (MUTED | DROPPED):
        a.child += span - (above.billed if above.flags & BILLED else 0)
    above.billed = span
    above.flags |= BILLED | (a.flags & FLOW_ROOT)
    a.flags &= ~<uint32_t>FLOW_ROOT
    above.prev = a.prev
    activation_at(b, a.prev).next = a.next
    a.next = 0
    put_back(b, offset)

cdef void leave_irregular(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Closes a pass that is not on top, or has something to settle with other passes first."""
    cdef uint64_t ticks = elapsed(b, a.start, now)
    cdef uint32_t flags = a.flags
    cdef uint64_t billed = a.billed if flags & BILLED else 0
    cdef Activation* below
    if flags & BASE:
        leave_base(b, a, now)
    below = activation_at(b, a.prev)
    unlink(b, a, now)
    if a.flags & FLOW_ROOT:
        close_on_base(b, below, now)
    elif flags & MUTED:
        below.child += a.child
    else:
        below.child += ticks - billed
    if not flags & (MUTED | DROPPED):
        if flags & PAUSED:
            a.child += a.suspended
        record(b, a, ticks, flags)

cdef Activation* mute(Buffer* b, const Handle* h) noexcept nogil:
    """Opens a pass that will not be recorded, if leaving it could be mistaken for leaving one that will."""
    cdef Activation* top = activation_at(b, b.top)
    cdef uint32_t offset
    cdef Activation* a
    if not (top.site_mask & h.site_bit and is_open(b, top, h.site, 0)):
        return NULL
    offset = top.next if top.next else extend_stack(b, top)
    if offset == 0:
        return NULL
    a = activation_at(b, offset)
    a.node = top.node
    a.handle = h
    a.child = 0
    a.site_mask = top.site_mask
    a.track_mask = top.track_mask
    a.flags = MUTED
    if top.flags & BASED:
        a.flags |= FLOW_ROOT
        open_on_base(b, top)
    b.top = offset
    a.start = st_ticks()
    return a

cdef Buffer* current_buffer(const Handle* h) noexcept nogil:
    """The calling thread's buffer in the handle's store, whether its track is on or not, or NULL."""
    cdef Seat* seat = &st_seats[h.seat]
    if ST_LIKELY(seat.session == st_load64(&h.store.session)):
        return <Buffer*>seat.buffer
    return known_buffer(h.store)

cdef void enter_block(const Handle* h) noexcept nogil:
    cdef Buffer* b
    if ST_LIKELY(st_load64(h.gate) != 0):
        enter(h, &b)
        return
    b = current_buffer(h)
    if b != NULL and st_context() == b.context:
        mute(b, h)

cdef Activation* innermost(Buffer* b, uint32_t top, const Handle* h) noexcept nogil:
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        if a.handle == h:
            return a
        a = activation_at(b, a.prev)
    return NULL

cdef Activation* find_open(Buffer* b, const Handle* h) noexcept nogil:
    """The innermost open pass of a site: in the current flow, else (closed by the collector) in any other."""
    cdef Activation* a = innermost(b, b.top, h)
    cdef uint64_t i
    if a == NULL and b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and a == NULL:
                a = innermost(b, <uint32_t>b.flows.slots[2 * i + 1], h)
    return a

cdef bint leave_block(const Handle* h) noexcept nogil:
    """Closes the innermost open pass of the site; False when there is none and there should be."""
    cdef Buffer* b = current_buffer(h)
    cdef Activation* a
    cdef void* context
    if ST_LIKELY(b != NULL):
        if ST_UNLIKELY(b.flows.used):  # else whatever is open is in the one flow, whoever is running
            context = st_context()
            if context != b.context and not switch_flow(b, context):
                return True
        a = activation_at(b, b.top)
        if ST_UNLIKELY(a.handle != h):
            a = find_open(b, h)
        if ST_LIKELY(a != NULL):
            leave(b, a)
            return True
    return st_load64(&h.store.unmatched) != 0 or st_caller_suspends()
