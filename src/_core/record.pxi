# Enter and leave: how a pass is opened, closed and recorded.

cdef inline uint64_t stretch(uint64_t start, uint64_t now) noexcept nogil:
    """The ticks between two readings; none when the clock went backwards."""
    return now - start if <int64_t>(now - start) > 0 else 0

cdef inline uint64_t elapsed(Buffer* b, uint64_t start, uint64_t now) noexcept nogil:
    """The ticks of a pass, which is counted if the clock went backwards meanwhile."""
    if ST_UNLIKELY(<int64_t>(now - start) < 0):
        b.clamped += 1
        return 0
    return now - start

cdef inline Seat* seat_of(const Handle* h) noexcept nogil:
    return <Seat*>(<char*>st_seats + h.seat)

cdef Activation* recorded_from(Buffer* b, uint32_t offset) noexcept nogil:
    """The uppermost activation at or below an offset that will be recorded; the flow's bottom if there is none."""
    cdef Activation* a = activation_at(b, offset)
    while a.prev and a.flags & SILENT:
        a = activation_at(b, a.prev)
    return a

cdef Activation* base_under(Buffer* b, Activation* bottom) noexcept nogil:
    """The open pass that a flow lies on, or its bottom, which then stands for nothing; what is no bottom is itself."""
    cdef uint32_t offset = bottom.base if bottom.flags & BASED else 0
    while offset and activation_at(b, offset).flags & LEFT:
        offset = activation_at(b, offset).prev
    if offset:
        return activation_at(b, offset)
    if bottom.flags & BASED:
        bottom.node = b.data_start  # for nothing, from then on
    return bottom

cdef Activation* ground_of(Buffer* b, Activation* a) noexcept nogil:
    """The open pass that one which is recorded lies on, or a bottom."""
    return base_under(b, recorded_from(b, a.prev))

cdef Activation* lies_on(Buffer* b, Activation* a) noexcept nogil:
    """The open pass that one which is recorded lies on, or NULL."""
    cdef Activation* below = ground_of(b, a)
    return below if not below.flags & BOTTOM else NULL

cdef uint32_t extend_stack(Buffer* b, Activation* top) noexcept nogil:
    cdef uint32_t offset = take_activation(b)
    if offset:
        activation_at(b, offset).next = 0
        st_store64(&activation_at(b, offset).start, NOT_YET)
        st_store32(&activation_at(b, offset).prev, offset_of(b, top))
        top.next = offset
    return offset

cdef Activation* what_is_under(Buffer* b, int who, void* frame) noexcept nogil:
    """What a pass will lie on that is about to start on a bottom, on what may be suspended, or on what is not recorded."""
    cdef Activation* top = activation_at(b, b.top)
    if who != NATIVE and top.flags & SUSPENDABLE and frame_of(top) != frame:
        top = running_top(b, frame)
    if not top.flags & (SILENT | BASED | BOTTOM):
        return top
    lie_down(b, top)
    return base_under(b, recorded_from(b, b.top))

cdef bint place(Buffer* b, const Handle* h, uint32_t parent, uint32_t* flags) noexcept nogil:
    """Points the site's state at the node below `parent`; False, and counted, when there is no memory for it."""
    if not find_child(b, parent, h.site, h.track):
        b.untimed += 1
        return False
    if b.sites[h.site].pace:
        flags[0] = PACED
    if b.times == h.site + 1:
        stop_looking(b, h)
        flags[0] |= TIMED
    return True

cdef inline hot push(Buffer* b, const Handle* h, int who, void* frame, Activation** pushed,
                     Activation** below) noexcept nogil:
    """Puts a pass on the current flow, which `begin` then opens; NULL when there is no memory for it. `below`: what it
    lies on."""
    cdef Activation* top = activation_at(b, b.top)
    cdef Activation* under = top
    cdef uint32_t offset, flags = 0
    cdef Activation* a
    if top.flags & (SILENT | BASED | SUSPENDABLE | BOTTOM) and (
            top.flags != BOTTOM or b.flows.used or st_load64(&contexts_wait)):
        under = what_is_under(b, who, frame)
        top = activation_at(b, b.top)
    pushed[0] = NULL
    below[0] = under
    if ST_UNLIKELY(h.site >= b.site_capacity or b.sites[h.site].parent != under.node):
        if not place(b, h, under.node, &flags):
            return
    offset = top.next
    if ST_UNLIKELY(offset == 0):
        offset = extend_stack(b, top)
        if offset == 0:
            b.untimed += 1
            return
    a = activation_at(b, offset)
    st_store32(&a.node, b.sites[h.site].node)
    st_store32(&a.site, h.site)
    a.frame = <uintptr_t>frame
    a.over = 0
    st_store32(&a.flags, flags)
    st_store32_release(&b.top, offset)
    if top.flags & BOTTOM:
        st_hold(b.context)
    pushed[0] = a

cdef inline hot begin(Buffer* b, Activation* a, Activation* below, uint64_t now) noexcept nogil:
    """Opens a pass that was pushed. `below`: what it lies on; a bottom: nothing."""
    st_store64(&a.start, now)
    open_node(b, node_at(b, a.node), now)
    if not below.flags & BOTTOM:
        cover(b, below, now)
    if ST_UNLIKELY(a.flags & (PACED | TIMED)):
        begin_counted(b, a, now)

cdef cold begin_counted(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    if a.flags & PACED:
        start_pace(b, a, now)
    if a.flags & (TIMED | PAUSED) == TIMED:
        start_processor_time(b, a)

cdef Activation* push_silent(Buffer* b, const Handle* h, uint32_t flag) noexcept nogil:
    """Opens a pass that will not be recorded, and stands for what it lies on; NULL when there is no memory."""
    cdef Activation* top = activation_at(b, b.top)
    cdef uint32_t offset = top.next if top.next else extend_stack(b, top)
    cdef Activation* a
    if offset == 0:
        return NULL
    a = activation_at(b, offset)
    st_store32(&a.site, h.site)
    a.frame = 0
    a.over = 0
    st_store32(&a.flags, flag)
    b.silent += 1
    st_store32_release(&b.top, offset)
    if top.flags & BOTTOM:
        st_hold(b.context)
    return a

cdef cold make_suspendable(Buffer* b, Activation* a, void* frame) noexcept nogil:
    """Notes that the frame which has entered a block may be suspended inside it: itself, or the one whose `with` it is. A
    coroutine without a `with` enters it for whoever awaits, as an `__aenter__` does."""
    cdef bint is_own = not st_frame_is_coroutine(frame) or st_with_calls()
    cdef void* owner = owner_of(frame)
    if owner != frame:
        frame = owner
        a.frame = <uintptr_t>owner
        is_own = st_frame_suspends(frame)
    if is_own:
        st_store32(&a.gone, 0)
        st_store32(&a.flags, a.flags | SUSPENDABLE)
        if not st_frame_is_coroutine(frame):
            go_on_strand(a, b.body if b.body != NULL and st_is_frame_of_body(frame, b.body) else frame)
        note_exits(b.store, OF_BODIES)
        if st_frame_is_coroutine(frame):
            know_own_context(b)
        be_told(frame)

cdef cold miss_block(Buffer* b, const Handle* h, void* frame) noexcept nogil:
    """Notes a block that found no memory, so that its exit is not taken for another's."""
    cdef Activation* a = push_silent(b, h, MUTED)
    if a != NULL:
        a.frame = <uintptr_t>frame
    else:
        miss_exit(b)

cdef void miss_exit(Buffer* b) noexcept nogil:
    """A block is open that is on no stack: the next exit is its own."""
    b.missed += 1
    note_exits(b.store, MISSED)

cdef cold become_native(Buffer* b) noexcept nogil:
    """From now on a thread may record while others hold the GIL: they drain nothing for it any more."""
    st_store32(&b.is_native, 1)
    st_fence_full()
    while st_load64_acquire(&b.drains) % 2:
        st_pause()

cdef inline uint64_t gate_of(const Handle* h) noexcept nogil:
    return st_load64(<uint64_t*><uintptr_t>st_load64(<uint64_t*>&h.gate))

cdef inline hot enter(const Handle* h, Buffer** owner, Activation** entered, int who) noexcept nogil:
    """Opens a pass; its clock starts last. NULL when its track is off, or it was counted as untimed."""
    cdef bint is_entered = False
    if who != NATIVE and ST_LIKELY(seat_of(h).session == gate_of(h)):
        enter_plainly(h, owner, entered, who, &is_entered)
    if ST_UNLIKELY(not is_entered):
        enter_otherwise(h, owner, entered, who)

cdef inline hot enter_plainly(const Handle* h, Buffer** owner, Activation** entered, int who,
                              bint* is_entered) noexcept nogil:
    """Does so on a thread's seat where the pass was entered from the same place before and nothing else is to be seen
    to; else changes nothing."""
    cdef Buffer* b = <Buffer*>seat_of(h).buffer
    cdef void* frame = NULL
    cdef void* context
    cdef Activation* top
    cdef SiteState* state
    cdef uint64_t site = h.site, now
    cdef uint32_t flags
    is_entered[0] = False
    if ST_UNLIKELY(is_posted(b)):
        return
    context = st_context_of_caller(&frame if who != CALL else NULL)
    top = activation_at(b, b.top)
    if ST_UNLIKELY(context != b.expected or site >= b.site_capacity):
        return
    state = &b.sites[site]
    if ST_UNLIKELY(state.parent != top.node or top.next == 0):
        return
    if who == BLOCK and ST_UNLIKELY(st_frame_suspends(frame)):
        return
    flags = top.flags
    # Twice, so that it is asked once whether the flow is empty.
    if flags & (SILENT | BASED | SUSPENDABLE | BOTTOM):
        if ST_UNLIKELY(flags != BOTTOM or b.flows.used | st_load64(&contexts_wait)):
            return
        put_on(b, top, state.node, site, frame, entered)
        st_incref(<PyObject*>context)
        now = st_ticks()
        st_store64(&entered[0].start, now)
        open_node(b, node_at(b, state.node), now)
    else:
        put_on(b, top, state.node, site, frame, entered)
        now = st_ticks()
        st_store64(&entered[0].start, now)
        open_node(b, node_at(b, state.node), now)
        cover(b, top, now)
    owner[0] = b
    is_entered[0] = True

cdef inline hot put_on(Buffer* b, Activation* top, uint32_t node, uint64_t site, void* frame,
                       Activation** pushed) noexcept nogil:
    """Puts a pass on the current flow, where there is room for it."""
    cdef uint32_t offset = top.next
    cdef Activation* a = activation_at(b, offset)
    st_store32(&a.node, node)
    st_store32(&a.site, <uint32_t>site)
    a.frame = <uintptr_t>frame
    a.over = 0
    st_store32(&a.flags, 0)
    st_store32_release(&b.top, offset)
    pushed[0] = a

cdef apart enter_otherwise(const Handle* h, Buffer** owner, Activation** entered, int who) noexcept nogil:
    """Opens a pass, whatever there is to be seen to."""
    cdef void* frame = NULL
    cdef Seat* seat = seat_of(h)
    cdef Buffer* b = <Buffer*>seat.buffer
    cdef Activation* a = NULL
    cdef Activation* below = NULL
    cdef void* context
    cdef bint ready
    entered[0] = NULL
    if ST_UNLIKELY(seat.session != gate_of(h)):
        b = settle(<Handle*>h, who) if gate_of(h) != OFF else pass_by(h, who)
        if b == NULL:
            return
    if who == NATIVE and ST_UNLIKELY(st_load32(&b.is_native) == 0):
        become_native(b)
    if ST_UNLIKELY(is_posted(b)):
        drain(b)
    if who == NATIVE:
        # It may hold no context, so it opens no flow of one; what is open on its thread it lies on.
        ready = activation_at(b, b.top).prev != 0 or turn_to(b, NULL)
    else:
        context = st_context(&frame)
        ready = context == b.expected or switch_flow(b, context)
    if ST_LIKELY(ready):
        push(b, h, who, frame if who == BLOCK else NULL, &a, &below)
    else:
        b.untimed += 1
    if ST_LIKELY(a != NULL):
        owner[0] = b
        entered[0] = a
        if who == CODE:
            a.frame = <uintptr_t>frame
        if who == BLOCK and ST_UNLIKELY(st_frame_suspends(frame)):
            make_suspendable(b, a, frame)
            below = ground_of(b, a)  # the collector may have run, and closed it
        begin(b, a, below, st_ticks())
    elif who == BLOCK:
        miss_block(b, h, frame)

cdef inline hot record(Buffer* b, Node* n, Activation* a, uint64_t ticks, uint64_t end, int how, bint closes) noexcept nogil:
    """Writes one pass into its node. `closes`: it is one of those that are open there, until `end`. Who finds it half
    written, the process having been killed, finishes it with what `a` says."""
    cdef uint64_t passes = n.finished + 1
    cdef uint64_t biased = ticks + SUB_BUCKETS
    cdef uint32_t octave = st_top_bit(biased) - 4
    cdef uint64_t sub = (biased >> octave) & (SUB_BUCKETS - 1)
    cdef uint32_t page
    cdef uint16_t count
    cdef uint16_t* counts
    st_store64(&a.start, LEFT_AFTER | ticks)
    st_store64(&a.total_before, n.total)
    st_store64(&a.squares_before, n.squares_low)
    st_store64(&n.started, passes)
    st_fence_release()
    st_store64(&n.total, n.total + ticks)
    st_add_square(&n.squares_low, &n.squares_high, ticks)
    if ticks < n.minimum:
        st_store64(&n.minimum, ticks)
    if ticks > n.maximum:
        st_store64(&n.maximum, ticks)
    if ST_UNLIKELY(how != RETURNED):
        count_end(n, how)
    page = n.pages[octave] if ST_LIKELY(octave < NEAR_PAGES) else 0
    counts = <uint16_t*>(<char*>b + page) + sub
    count = <uint16_t>(counts[0] + 1) if ST_LIKELY(page != 0) else 0
    if ST_LIKELY(count != 0):
        st_store16(counts, count)
    else:
        count_rare(b, n, octave, <uint32_t>sub)
    if closes:
        close_node(b, n, end)
    st_store64_release(&n.finished, passes)

cdef void record_apart(Buffer* b, Node* n, uint64_t ticks, uint64_t end, int how) noexcept nogil:
    """The same, for one that is not open in its node."""
    st_store32(&b.leaving, 1)
    record(b, n, scratch(b), ticks, end, how, False)
    st_store32(&b.leaving, 0)

cdef cold count_end(Node* n, int how) noexcept nogil:
    if how == FAILED:
        st_store64(&n.failed, n.failed + 1)
    else:
        st_store64(&n.cancelled, n.cancelled + 1)

cdef void leave(Buffer* b, Activation* a, uint64_t now, int how) noexcept nogil:
    """Closes a pass and records it."""
    leave_quickly(b, a, now, how)

cdef inline hot leave_quickly(Buffer* b, Activation* a, uint64_t now, int how) noexcept nogil:
    """The same, inline."""
    if ST_UNLIKELY(b.top != offset_of(b, a) or a.flags & ~<uint32_t>ORDINARY or not is_plain(b)):
        leave_irregular(b, a, now, how)
    else:
        leave_top(b, a, now, how)

cdef cold leave_silent(Buffer* b, Activation* a, Activation* below, uint64_t now) noexcept nogil:
    """A pass lies no more on what it lay on: what is not recorded, or another flow."""
    cdef Activation* under = lies_on(b, a)
    if under != NULL:
        uncover(b, under, now)
    if below.flags & BOTTOM:
        st_let_go(b.context)

cdef inline hot leave_top(Buffer* b, Activation* a, uint64_t now, int how) noexcept nogil:
    """Closes a pass that is on top of the current flow, and has nothing to settle with others."""
    cdef uint64_t ticks = elapsed(b, a.start, now)
    cdef uint64_t end = a.start + ticks
    cdef Activation* below = activation_at(b, a.prev)
    cdef uint32_t flags = below.flags
    st_store32(&b.top, a.prev)
    record(b, node_at(b, a.node), a, ticks, end, how, True)
    if not flags & (BOTTOM | SILENT):
        uncover(b, below, end)
    elif ST_LIKELY(flags == BOTTOM):
        st_let_go(b.context)  # last: it may be the context's end, and run whatever that brings
    else:
        leave_silent(b, a, below, end)

cdef uint64_t* flow_with_top(Buffer* b, uint32_t offset) noexcept nogil:
    """The entry of the flow that is not current and has its top at an offset, or NULL."""
    cdef uint64_t i
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and b.flows.slots[2 * i + 1] == offset:
                return &b.flows.slots[2 * i]
    return NULL

cdef void unlink(Buffer* b, Activation* a) noexcept nogil:
    """Takes an activation out of its chain."""
    if a.next:
        activation_at(b, a.next).prev = a.prev
    activation_at(b, a.prev).next = a.next
    a.next = 0

cdef void* end_flow(Buffer* b, uint64_t* slot, uint32_t bottom) noexcept nogil:
    """A flow that is not current has nothing open any more. Gives the context to let go of."""
    cdef void* context = <void*><uintptr_t>(slot[0] - 1)
    remove_flow(b, slot)
    let_base_go(b, activation_at(b, bottom))
    put_back(b, bottom)
    return context

cdef void* take_off(Buffer* b, Activation* a) noexcept nogil:
    """Takes an activation out of whatever flow it is in. Gives the context to let go of if the flow is empty now."""
    cdef uint32_t offset = offset_of(b, a), below = a.prev
    cdef uint64_t* slot = NULL if b.top == offset else flow_with_top(b, offset)
    unlink(b, a)
    if b.top == offset:
        st_store32(&b.top, below)
        return b.context if activation_at(b, below).flags & BOTTOM else NULL
    if slot == NULL:
        return NULL
    st_store64(&slot[1], below)
    return end_flow(b, slot, below) if activation_at(b, below).prev == 0 else NULL

cdef void* take_out(Buffer* b, Activation* a) noexcept nogil:
    """The same, for good."""
    cdef uint32_t below = a.prev
    cdef Activation* base
    cdef void* context
    if a.flags & SILENT:
        b.silent -= 1
    st_store64(&a.start, NOT_YET)
    if a.flags & BASE:
        base = NULL if a.flags & SILENT else lies_on(b, a)
        if base != NULL:
            base.bottoms += 1
            base.flags |= BASE
        context = take_off(b, a)
        st_store32(&a.flags, LEFT)
        a.prev = offset_of(b, base) if base != NULL else 0
        return context
    if b.top == offset_of(b, a):
        st_store32(&b.top, below)  # it stays linked above the new top, ready for the next pass
        return b.context if activation_at(b, below).flags & BOTTOM else NULL
    context = take_off(b, a)
    put_back(b, offset_of(b, a))
    return context

cdef void leave_irregular(Buffer* b, Activation* a, uint64_t now, int how) noexcept nogil:
    """Closes a pass that is not on top, or has something to settle with other passes first."""
    cdef uint64_t ticks, ran = st_processor_ns() if a.flags & TIMED else 0
    if is_posted(b):
        drain(b)
    if a.flags & TIMED:
        end_processor_time(b, a, ran, stretch(a.start, now))
    into_ring(b, a, now, how)
    if b.top == offset_of(b, a) and not a.flags & ~<uint32_t>ORDINARY:
        leave_top(b, a, now, how)
        return
    if not a.flags & SILENT:
        ticks = elapsed(b, a.start, now)
        close(b, a, a.start + ticks)
        record_apart(b, node_at(b, a.node), ticks, a.start + ticks, how)
    st_let_go(take_out(b, a))

cdef void hand_over(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """What lies on an open pass lies on what that one lies on."""
    cdef Activation* below = lies_on(b, a)
    cdef uint32_t over = a.over
    uncover_wholly(b, a, now)
    if below != NULL and over == 0:
        uncover(b, below, now)
    elif below != NULL:
        st_store32(&below.over, below.over + over - 1)

cdef void close(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Has an open pass not be counted as open any more."""
    if a.flags & PACED:
        stop_pace(b, a, now)
    hand_over(b, a, now)
    close_node(b, node_at(b, a.node), now)

cdef Buffer* current_buffer(const Handle* h) noexcept nogil:
    """The calling thread's buffer in the handle's store, whether its track is on or not, or NULL."""
    cdef Seat* seat = seat_of(h)
    if ST_LIKELY(seat.session == st_load64(&h.store.session)):
        return <Buffer*>seat.buffer
    return known_buffer(h.store)

cdef Buffer* pass_by(const Handle* h, int who) noexcept nogil:
    """Enters what is not recorded, its track being off: always NULL. A block is noted all the same: by the time it is left,
    others of its site may be open, which must not be taken for it."""
    cdef Seat* seat = seat_of(h)
    cdef Buffer* b = <Buffer*>seat.buffer
    if who == BLOCK:
        if seat.session != st_load64(&h.store.session):
            b = take_seat(h, BLOCK)
        if b != NULL:
            enter_muted(b, h)
    return NULL

cdef inline hot enter_block(const Handle* h) noexcept nogil:
    cdef Buffer* b
    cdef Activation* a
    enter(h, &b, &a, BLOCK)

cdef void enter_tagged(const Handle* h, uint64_t tag) noexcept nogil:
    """The same, with a tag for the timeline."""
    cdef Buffer* b
    cdef Activation* a
    enter_block(h)
    b = current_buffer(h)
    a = activation_at(b, b.top) if b != NULL else NULL
    if a != NULL and a.site == h.site and not a.flags & ~<uint32_t>ORDINARY:
        a.tag = tag
        st_store32(&a.flags, a.flags | TAGGED)

cdef bint is_site_open(Buffer* b, uint32_t site) noexcept nogil:
    """Whether any pass of a site is open on the thread."""
    cdef uint64_t* slot = map_find(&b.scopes, site_key(site) + 1)
    return slot != NULL and count_at(b, <uint32_t>slot[1]).once & 1

cdef void enter_muted(Buffer* b, const Handle* h) noexcept nogil:
    """Enters a block whose track is off."""
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef Activation* a = NULL
    if is_posted(b):
        drain(b)
    if context == b.expected or switch_flow(b, context):
        running_top(b, frame)
        a = push_silent(b, h, MUTED)
    if a == NULL:
        miss_exit(b)
        return
    a.frame = <uintptr_t>frame
    if st_frame_suspends(frame):
        make_suspendable(b, a, frame)

cdef Activation* innermost(Buffer* b, uint32_t top, const Handle* h, uint32_t but) noexcept nogil:
    """The innermost open pass of a site in a flow, but for those that have a flag."""
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        if a.site == h.site and not a.flags & but:
            return a
        a = activation_at(b, a.prev)
    return NULL

cdef Activation* find_open(Buffer* b, const Handle* h) noexcept nogil:
    """The innermost open pass of a site: in the current flow, else (closed by the collector) in any other."""
    cdef Activation* a = innermost(b, b.top, h, 0)
    cdef uint64_t i
    if a == NULL and b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and a == NULL:
                a = innermost(b, <uint32_t>b.flows.slots[2 * i + 1], h, 0)
    return a

cdef Activation* find_by_frame(Buffer* b, uint32_t top, const Handle* h, void* frame) noexcept nogil:
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        if a.site == h.site and frame_of(a) == frame:
            return a
        a = activation_at(b, a.prev)
    return NULL

cdef Activation* find_own(Buffer* b, uint32_t top, const Handle* h, void* frame) noexcept nogil:
    """The open pass that a body, which can be suspended, has entered itself, or NULL."""
    cdef Activation* a = find_by_frame(b, top, h, frame)
    cdef uint64_t i
    # It is in another flow if the body is closed in another context than it ran in.
    if a == NULL and b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and a == NULL:
                a = find_by_frame(b, <uint32_t>b.flows.slots[2 * i + 1], h, frame)
    return a

cdef Activation* find_left(Buffer* b, uint32_t top, const Handle* h) noexcept nogil:
    """The open pass that another frame has entered than leaves it: an ExitStack's, or one by hand. NULL when there is
    none, or it cannot be told."""
    cdef Activation* a = innermost(b, top, h, SUSPENDABLE)
    return a if a != NULL or st_load64(&h.store.exits) & UNMATCHED else find_open(b, h)

cdef inline hot leave_block(const Handle* h, int how, bint* is_found) noexcept nogil:
    """Closes the innermost open pass of the site; False when there is none and there should be."""
    cdef uint64_t now = st_ticks()  # first: the rest is looked up while the counter is being read
    cdef Seat* seat = seat_of(h)
    cdef Buffer* b = <Buffer*>seat.buffer
    cdef Activation* a
    is_found[0] = True
    if ST_LIKELY(seat.session == st_load64(&h.store.session)):
        a = activation_at(b, b.top)
        # Each exit has its activation, all of them are in one flow, whoever is running, and no body can be suspended.
        if ST_LIKELY(a.site == h.site and a.flags == 0 and not (
                b.flows.used | st_load64(&h.store.exits) | st_load64(&b.posted))):
            leave_top(b, a, now, how)
            return
    leave_otherwise(h, now, how, is_found)

cdef void leave_otherwise(const Handle* h, uint64_t now, int how, bint* is_found) noexcept nogil:
    is_found[0] = leave_muted(h) or leave_ringed(h, now, how) or leave_found(h, current_buffer(h), now, how)

cdef bint leave_muted(const Handle* h) noexcept nogil:
    """Leaves a block that was off when it was entered, where that is plain; else False."""
    cdef Seat* seat = seat_of(h)
    cdef Buffer* b = <Buffer*>seat.buffer
    cdef Activation* a
    if seat.session != st_load64(&h.store.session):
        return False
    a = activation_at(b, b.top)
    if a.site != h.site or a.flags != MUTED or b.flows.used or st_load64(&h.store.exits) or is_posted(b):
        return False
    st_let_go(take_out(b, a))
    return True

cdef bint leave_ringed(const Handle* h, uint64_t now, int how) noexcept nogil:
    """Does the same where all that is not plain is that there is a ring; else False."""
    cdef Seat* seat = seat_of(h)
    cdef Buffer* b = <Buffer*>seat.buffer
    cdef Activation* a
    if seat.session != st_load64(&h.store.session) or st_load64(&b.posted) != RINGED:
        return False
    a = activation_at(b, b.top)
    if a.site != h.site or a.flags & ~<uint32_t>TAGGED or b.flows.used or st_load64(&h.store.exits):
        return False
    into_ring(b, a, now, how)
    leave_top(b, a, now, how)
    return True

cdef bint leave_block_raising(const Handle* h, int how) noexcept nogil:
    """The same for a block that is left by an exception, out of the way of one that is not."""
    cdef bint is_found
    leave_block(h, how, &is_found)
    return is_found

cdef bint leave_found(const Handle* h, Buffer* b, uint64_t now, int how) noexcept nogil:
    """The same, where it is not plain which pass is left."""
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef bint suspends = st_frame_suspends(frame)
    cdef Activation* a = NULL
    cdef uint32_t top = 0
    if suspends:
        frame = owner_of(frame)
        suspends = st_frame_suspends(frame)
    if b != NULL:
        if is_posted(b):
            drain(b)
        if b.missed:
            b.missed -= 1
            return True
        top = top_for(b, context)
        a = activation_at(b, top)
        if a.site == h.site and not a.flags & BODY and frame_of(a) == frame:
            leave(b, a, now, how)
            return True
        a = find_own(b, top, h, frame) if suspends and may_be_open(b, h) else NULL
    # Before what others have open here of the same site.
    if a == NULL and suspends:
        a = fetch(<Handle*>h, frame)
        if a == NULL and leave_elsewhere(<Handle*>h, frame, now, how):
            return True
        b = current_buffer(h)
    if a == NULL and b != NULL and may_be_open(b, h):
        a = find_left(b, top, h)
    if a != NULL:
        leave(b, a, now, how)
        return True
    # What a generator has open may have been dropped for want of memory.
    return suspends or st_load64(&h.store.exits) & UNMATCHED != 0

cdef Activation* fetch(Handle* h, void* frame) noexcept nogil:
    """The pass of a site that a frame has open and that went on here without anybody saying so, maybe on another thread
    than before; NULL when there is none."""
    cdef Buffer* b
    if not is_body_known(h.store, frame):
        return NULL
    b = buffer_in(h.store, BLOCK)
    if b == NULL or not switch_flow(b, st_context(NULL)) or not bring_back(b, frame):
        return NULL
    return find_by_frame(b, b.top, h, frame)

cdef uint32_t top_for(Buffer* b, void* context) noexcept nogil:
    """The top of the flow of a context, the current one from now on if there is memory for it."""
    cdef uint64_t* slot
    if context == b.expected or switch_flow(b, context):
        return b.top
    slot = find_flow(b, context)
    return <uint32_t>slot[1] if slot != NULL else b.top

cdef bint may_be_open(Buffer* b, const Handle* h) noexcept nogil:
    """Whether a pass of a site is open in a buffer, or anything is that will not be recorded."""
    return b.silent != 0 or is_site_open(b, h.site)
