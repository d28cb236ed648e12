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

cdef inline bint matches(Activation* a, const Handle* h, int what) noexcept nogil:
    """Whether an activation will be recorded and is of the same site or track, or whatever."""
    return not a.flags & SILENT and (
        what == ANYTHING or (what == SAME_SITE and a.handle == h)
        or (what == SAME_TRACK and a.handle.track == h.track))

cdef inline bint place_is_outermost(Buffer* b, Node* n) noexcept nogil:
    """Whether a node's place in the tree shows nothing that its passes are nested in."""
    return n.parent == b.data_start or n.parent == b.other

cdef bint is_open(Buffer* b, Activation* a, const Handle* h, int what) noexcept nogil:
    """Whether a pass of the same site or track, or any, is open at an activation, below it, or put aside."""
    while True:
        if a.prev and matches(a, h, what):
            return True
        if a.prev:
            a = activation_at(b, a.prev)
        elif a.flags & BASED:
            a = activation_at(b, <uint32_t>a.base)
        else:
            return b.aside != 0 and is_open_aside(b, h, what)

cdef Activation* recorded_from(Buffer* b, uint32_t offset) noexcept nogil:
    """The uppermost activation at or below an offset that will be recorded; the flow's bottom if there is none."""
    cdef Activation* a = activation_at(b, offset)
    while a.prev and a.flags & SILENT:
        a = activation_at(b, a.prev)
    return a

cdef uint32_t nesting(Buffer* b, Activation* top, const Handle* h, SiteState* state) noexcept nogil:
    """The flags of a pass that starts above `top`, for the cases in which it is not plainly the first of its kind."""
    cdef uint32_t flags = 0
    # The masks may say "open" of what has left out of order.
    if top.site_mask & h.site_bit and is_open(b, top, h, SAME_SITE):
        flags |= NESTED
    if top.track_mask & h.track_bit and is_open(b, top, h, SAME_TRACK):
        flags |= TRACK_NESTED
    if state.edge & LOOSE and place_is_outermost(b, node_at(b, state.node)) and is_open(b, top, h, ANYTHING):
        flags |= UNDER
    return flags

cdef uint32_t extend_stack(Buffer* b, Activation* top) noexcept nogil:
    cdef uint32_t offset = take_activation(b)
    if offset:
        activation_at(b, offset).next = 0
        st_store32(&activation_at(b, offset).prev, offset_of(b, top))
        top.next = offset
    return offset

cdef inline void set_handle(Activation* a, const Handle* h) noexcept nogil:
    st_store64(<uint64_t*>&a.handle, <uint64_t><uintptr_t>h)

cdef inline Activation* push(Buffer* b, const Handle* h, int who, void* frame) noexcept nogil:
    """Opens a pass on the current flow, clock not yet read; NULL when there is no memory for it."""
    cdef Activation* top = activation_at(b, b.top)
    cdef Activation* under = top
    cdef SiteState* state
    cdef uint32_t offset, flags = 0
    cdef Activation* a
    if top.flags & (BOTTOM | SILENT | SUSPENDABLE):
        if who != NATIVE and top.flags & SUSPENDABLE and (top.frame != frame or st_load32(&b.gone)):
            top = under = running_top(b, frame)
        if ST_UNLIKELY(top.flags & SILENT or (b.flows.used and top.flags & BOTTOM)):
            flags = lie_down(b, top)
            under = recorded_from(b, b.top)
    if ST_UNLIKELY(h.site >= b.site_capacity or b.sites[h.site].parent != under.node):
        if not find_child(b, under.node, h.site):
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
    st_store64(&a.start, NOT_YET)  # until its clock is read: who looks what is open passes over it
    a.node = state.node
    set_handle(a, h)
    a.frame = frame
    a.child = 0
    a.site_mask = under.site_mask | h.site_bit
    a.track_mask = under.track_mask | h.track_bit
    if (under.site_mask & h.site_bit) | (under.track_mask & h.track_bit) | state.edge:
        flags |= nesting(b, under, h, state)
    if ST_UNLIKELY(flags & FLOW_ROOT):
        open_on_base(b, recorded_from(b, b.top))
    st_store32(&a.flags, flags)
    st_store32_release(&b.top, offset)
    if top.flags & BOTTOM:
        st_hold(b.context)
    return a

cdef Activation* push_silent(Buffer* b, const Handle* h, uint32_t flag) noexcept nogil:
    """Opens a pass that will not be recorded, and stands for what it lies on; NULL when there is no memory."""
    cdef Activation* top = activation_at(b, b.top)
    cdef uint32_t offset = top.next if top.next else extend_stack(b, top)
    cdef Activation* a
    if offset == 0:
        return NULL
    if top.flags & BOTTOM and b.flows.used:
        place_bottom(b, top, b.context)
    a = activation_at(b, offset)
    set_handle(a, h)
    a.frame = NULL
    a.child = 0
    st_store32(&a.flags, flag)
    st_store32_release(&b.top, offset)
    if top.flags & BOTTOM:
        st_hold(b.context)
    return a

cdef void make_suspendable(Activation* a, void* frame) noexcept nogil:
    """Notes that the frame which has entered a block may be suspended inside it, if the block is its own: a coroutine
    without a `with` enters it for whoever awaits, as an `__aenter__` does."""
    if not enters_for_its_caller(frame) and not (st_frame_is_coroutine(frame) and not st_with_calls()):
        st_store32(&a.gone, 0)
        st_store32(&a.flags, a.flags | SUSPENDABLE)

cdef void miss_block(Buffer* b, const Handle* h, void* frame) noexcept nogil:
    """Notes a block that found no memory, so that its exit is not taken for another's."""
    cdef Activation* a = push_silent(b, h, MUTED)
    if a != NULL:
        a.frame = frame
    else:
        b.missed += 1
    st_store64(&h.store.unmatched, 1)

cdef inline Activation* enter(const Handle* h, Buffer** owner, int who) noexcept nogil:
    """Opens a pass; its clock starts last. NULL when its track is off, or it was counted as untimed."""
    cdef void* frame = NULL
    cdef Seat* seat = &st_seats[h.seat]
    cdef Buffer* b = <Buffer*>seat.buffer
    cdef Activation* a
    cdef void* context
    cdef bint ready
    if ST_UNLIKELY(seat.session != st_load64(h.gate)):
        b = settle(<Handle*>h, who) if st_load64(h.gate) != OFF else pass_by(h, who)
        if b == NULL:
            return NULL
    if who == NATIVE:
        # It may hold no context, so it opens no flow of one; what is open on its thread it lies on.
        ready = activation_at(b, b.top).prev != 0 or turn_to(b, NULL)
    else:
        context = st_context(&frame if who == BLOCK else NULL)
        ready = context == b.expected or switch_flow(b, context)
    if ST_UNLIKELY(not ready):
        b.untimed += 1
        a = NULL
    else:
        a = push(b, h, who, frame)
    if ST_LIKELY(a != NULL):
        owner[0] = b
        if who == BLOCK and ST_UNLIKELY(st_frame_suspends(frame)):
            make_suspendable(a, frame)
        st_store64(&a.start, st_ticks())
    elif who == BLOCK:
        miss_block(b, h, frame)
    return a

cdef void record_parts(Node* n, Activation* a, uint64_t ticks, uint32_t flags) noexcept nogil:
    """Writes how much of its time a pass was nested in others that closed before it."""
    cdef uint64_t part = a.exposed
    if a.flags & EXPOSED:
        part = stretch(a.exposed, a.start + ticks)
    st_store64(&n.nested, n.nested + min(a.nested_part, ticks))
    st_store64(&n.track_nested, n.track_nested + min(a.track_part, ticks))
    st_store64(&n.under, n.under + min(part, ticks))
    if flags & PAUSED and not flags & NESTED:
        st_store64(&n.suspended, n.suspended - min(a.nested_suspended, a.suspended))

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
        if flags & PARTLY:
            record_parts(n, a, ticks, flags)
    st_store64_release(&n.finished, passes)

cdef inline void leave(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Closes a pass and records it."""
    if ST_UNLIKELY(b.top != offset_of(b, a) or a.flags & ~<uint32_t>ORDINARY):
        leave_irregular(b, a, now)
    else:
        leave_top(b, a, now)

cdef inline void leave_top(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Closes a pass that is on top of the current flow, and has nothing to settle with others."""
    cdef uint64_t ticks
    cdef Activation* below
    ticks = elapsed(b, a.start, now)
    below = activation_at(b, a.prev)
    st_store32(&b.top, a.prev)
    charge(below, ticks)
    record(b, a, ticks, a.flags)
    if below.flags & BOTTOM:
        st_let_go(b.context)  # last: it may be the context's end, and run whatever that brings

cdef uint64_t* flow_with_top(Buffer* b, uint32_t offset) noexcept nogil:
    """The entry of the flow that is not current and has its top at an offset, or NULL."""
    cdef uint64_t i
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and b.flows.slots[2 * i + 1] == offset:
                return &b.flows.slots[2 * i]
    return NULL

cdef bint holds(Buffer* b, uint32_t top, Activation* a) noexcept nogil:
    while top and activation_at(b, top) != a:
        top = activation_at(b, top).prev
    return top != 0

cdef uint32_t top_over(Buffer* b, Activation* a) noexcept nogil:
    """The top of the flow that an activation is in."""
    cdef uint64_t i
    if not holds(b, b.top, a) and b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and holds(b, <uint32_t>b.flows.slots[2 * i + 1], a):
                return <uint32_t>b.flows.slots[2 * i + 1]
    return b.top

cdef uint64_t lying(Activation* a, uint64_t now) noexcept nogil:
    """The ticks that what an activation lies on is still to be billed."""
    return a.unbilled + stretch(a.since, now) if a.flags & MOVED else stretch(a.start, now)

cdef void uncover(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """What lies on an activation that closes first is settled with it, and lies on what that one lay on."""
    cdef Activation* above = NULL
    cdef Activation* each
    if b.top == offset_of(b, a):
        return
    each = activation_at(b, top_over(b, a))
    while each != a:
        if not each.flags & SILENT:
            above = each
        each = activation_at(b, each.prev)
    if above != NULL:
        charge(a, lying(above, now))
        above.since = now
        above.unbilled = 0
        above.flags |= MOVED | (a.flags & FLOW_ROOT)
        a.flags &= ~<uint32_t>FLOW_ROOT

cdef void* take_out(Buffer* b, Activation* a) noexcept nogil:
    """Takes an activation out of whatever flow it is in. Gives the context to let go of if the flow is empty now."""
    cdef uint32_t offset = offset_of(b, a)
    cdef uint64_t* slot
    cdef void* context = NULL
    if b.top == offset:
        b.top = a.prev  # it stays linked above the new top, ready for the next pass
        return b.context if activation_at(b, b.top).flags & BOTTOM else NULL
    slot = flow_with_top(b, offset)
    if slot != NULL:
        slot[1] = a.prev
        if activation_at(b, a.prev).prev == 0:  # an empty flow has no entry
            if is_frame_key(slot[0]):
                remove_from_home(b, activation_at(b, a.prev))
                b.aside -= 1
                expect(b)
            else:
                context = <void*><uintptr_t>(slot[0] - 1)
            remove_flow(b, slot)
            put_back(b, a.prev)
        return context
    activation_at(b, a.next).prev = a.prev
    activation_at(b, a.prev).next = a.next
    a.next = 0
    put_back(b, offset)
    return NULL

cdef void bill(Buffer* b, Activation* a, uint64_t ticks, uint64_t now) noexcept nogil:
    """An activation closes, or is suspended: what it lies on is billed, and what lies on it lies on that from now on."""
    cdef Activation* below
    if a.flags & BASE:
        leave_base(b, a, now)
    below = recorded_from(b, a.prev)
    if not a.flags & FLOW_ROOT:
        charge(below, ticks)
    uncover(b, a, now)
    if a.flags & FLOW_ROOT:
        close_on_base(b, below, now)

cdef uint64_t laid_at(Activation* a) noexcept nogil:
    """When an open pass came to be where it is."""
    return a.laid if a.flags & PAUSED else a.start

cdef bint was_there_before(Activation* each, Activation* a) noexcept nogil:
    return <int64_t>(laid_at(a) - laid_at(each)) >= 0

cdef bint is_nested_in(Buffer* b, Activation* a, uint32_t top, int what) noexcept nogil:
    """Whether an open pass is nested in one that is at or below `top`: that was open when it came to lie where it is.
    In its own flow what is below it was, and what is above it was not, unless one of them was put aside since."""
    cdef Activation* each = activation_at(b, top)
    cdef bint is_own = holds(b, top, a), is_above = is_own, is_older
    while True:
        if each == a:
            is_above = False
        elif each.prev and matches(each, a.handle, what):
            is_older = was_there_before(each, a)
            if is_above:
                is_older = each.flags & SUSPENDABLE and not was_there_before(a, each)
            elif is_own and not a.flags & SUSPENDABLE:
                is_older = True
            if is_older:
                return True
        if each.prev:
            each = activation_at(b, each.prev)
        elif each.flags & BASED:
            each = activation_at(b, <uint32_t>each.base)
        else:
            return False

cdef Activation* bottom_of(Buffer* b, uint32_t top) noexcept nogil:
    while activation_at(b, top).prev:
        top = activation_at(b, top).prev
    return activation_at(b, top)

cdef uint32_t top_of(Buffer* b, void* context) noexcept nogil:
    """The top of a context's flow, or 0 when it is empty."""
    cdef uint64_t* slot
    if context == b.context:
        return b.top
    slot = find_flow(b, context)
    return <uint32_t>slot[1] if slot != NULL else 0

cdef bint is_covered(Buffer* b, Activation* a, int what) noexcept nogil:
    """Whether anything that an open pass is nested in is still open: of the same site or track, or any. That may be in
    its own flow, in the one that it was put aside of, or put aside itself."""
    cdef uint32_t own = top_over(b, a)
    cdef uint32_t home = top_of(b, a.home) if a.flags & WAS_ASIDE else 0
    if is_nested_in(b, a, own, what):
        return True
    if home and home != own and is_nested_in(b, a, home, what):
        return True
    return b.was_aside and is_nested_aside(b, a, what)

cdef void uncover_part(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Notes of an open pass which of what it was nested in has closed."""
    cdef bint outer = place_is_outermost(b, node_at(b, a.node))
    cdef uint64_t age = stretch(a.base if a.flags & RESUMED else a.start, now)
    if not a.flags & PARTLY:
        a.nested_part = a.nested_suspended = a.track_part = a.exposed = 0
    if a.flags & NESTED and not is_covered(b, a, SAME_SITE):
        a.nested_part = age
        a.nested_suspended = a.suspended if a.flags & (PAUSED | RESUMED) else 0
        a.flags = (a.flags & ~<uint32_t>NESTED) | PARTLY
    if a.flags & TRACK_NESTED and not is_covered(b, a, SAME_TRACK):
        a.track_part = age
        a.flags = (a.flags & ~<uint32_t>TRACK_NESTED) | PARTLY
    if a.flags & UNDER and not is_covered(b, a, ANYTHING):
        a.exposed = age
        a.flags = (a.flags & ~<uint32_t>UNDER) | PARTLY
    elif not (outer or a.flags & EXPOSED) and not is_covered(b, a, ANYTHING):
        a.exposed = now
        a.flags |= PARTLY | EXPOSED

cdef void uncover_parts(Buffer* b, uint32_t top, uint64_t now) noexcept nogil:
    while activation_at(b, top).prev:
        if not activation_at(b, top).flags & SILENT:
            uncover_part(b, activation_at(b, top), now)
        top = activation_at(b, top).prev

cdef void uncover_all_parts(Buffer* b, uint64_t now) noexcept nogil:
    """Something has closed out of order: what was nested in it may be so no more."""
    cdef uint64_t i
    uncover_parts(b, b.top, now)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                uncover_parts(b, <uint32_t>b.flows.slots[2 * i + 1], now)

cdef bint is_top(Buffer* b, Activation* a) noexcept nogil:
    """Whether an activation is the top of the flow that runs."""
    return b.top == offset_of(b, a)

cdef void leave_irregular(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Closes a pass that is not on top, or has something to settle with other passes first."""
    cdef uint32_t flags = a.flags
    cdef void* context
    cdef bint in_order = is_top(b, a) and not flags & (BASE | SHADED)
    if flags & SILENT:
        st_let_go(take_out(b, a))
        return
    bill(b, a, lying(a, now), now)
    context = take_out(b, a)
    if flags & PAUSED:
        charge(a, a.suspended)
    record(b, a, elapsed(b, a.start, now), flags)
    if not in_order:
        uncover_all_parts(b, now)
    st_let_go(context)

cdef Buffer* current_buffer(const Handle* h) noexcept nogil:
    """The calling thread's buffer in the handle's store, whether its track is on or not, or NULL."""
    cdef Seat* seat = &st_seats[h.seat]
    if ST_LIKELY(seat.session == st_load64(&h.store.session)):
        return <Buffer*>seat.buffer
    return known_buffer(h.store)

cdef Buffer* pass_by(const Handle* h, int who) noexcept nogil:
    """Enters what is not recorded, its track being off: always NULL."""
    cdef Buffer* b
    if who == BLOCK:
        b = current_buffer(h)
        if b != NULL and (b.flows.used or activation_at(b, b.top).prev):
            enter_muted(b, h)
    return NULL

cdef void enter_block(const Handle* h) noexcept nogil:
    cdef Buffer* b
    enter(h, &b, BLOCK)

cdef void enter_muted(Buffer* b, const Handle* h) noexcept nogil:
    """Enters a block whose track is off: noted if leaving it could be mistaken for leaving one that is recorded."""
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef Activation* a
    if find_open(b, h) != NULL and (context == b.expected or switch_flow(b, context)):
        running_top(b, frame)
        a = push_silent(b, h, MUTED)
        if a != NULL:
            a.frame = frame
            if st_frame_suspends(frame):
                make_suspendable(a, frame)

cdef Activation* innermost(Buffer* b, uint32_t top, const Handle* h, uint32_t but) noexcept nogil:
    """The innermost open pass of a site in a flow, but for those that have a flag."""
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        if a.handle == h and not a.flags & but:
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
        if a.handle == h and a.frame == frame:
            return a
        a = activation_at(b, a.prev)
    return NULL

cdef Activation* find_own(Buffer* b, uint32_t top, const Handle* h) noexcept nogil:
    """The open pass, not plainly the one at this top, that the frame which is leaving has entered here, or NULL."""
    cdef Activation* a
    cdef void* frame = NULL
    cdef uint64_t i
    st_context(&frame)
    a = find_by_frame(b, top, h, frame)
    # Another flow's is its own only if one `with` made both, in a generator or coroutine that is closed in another
    # context than it ran in.
    if a == NULL and b.flows.slots != NULL and st_caller_suspends():
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and a == NULL:
                a = find_by_frame(b, <uint32_t>b.flows.slots[2 * i + 1], h, frame)
    return a

cdef Activation* find_left(Buffer* b, uint32_t top, const Handle* h) noexcept nogil:
    """The open pass that another frame has entered than leaves it: an ExitStack's, or one by hand. NULL when there is
    none, or it cannot be told."""
    cdef Activation* a = innermost(b, top, h, SUSPENDABLE)
    # It may have been entered while its track was off: then none of those that generators have open is its own.
    if a == NULL and not st_load64(&h.store.unmatched):
        a = find_open(b, h)
    return a

cdef bint leave_block(const Handle* h) noexcept nogil:
    """Closes the innermost open pass of the site; False when there is none and there should be."""
    cdef uint64_t now = st_ticks()  # first: the rest is looked up while the counter is being read
    cdef Buffer* b = current_buffer(h)
    cdef Activation* a
    cdef void* context
    cdef uint64_t* slot
    cdef uint32_t top = 0
    if ST_LIKELY(b != NULL):
        # Else each exit has its activation, and all of them are in one flow, whoever is running.
        if ST_UNLIKELY(b.flows.used | b.missed | st_load64(&h.store.unmatched)):
            if b.missed:
                b.missed -= 1
                return True
            context = st_context(NULL)
            if context != b.expected and not switch_flow(b, context):
                # No memory to make its flow the current one: it is closed where it is.
                slot = find_flow(b, context)
                top = <uint32_t>slot[1] if slot != NULL else 0
        a = activation_at(b, top if top else b.top)
        if ST_LIKELY(top == 0 and a.handle == h and not a.flags & ~<uint32_t>TRACK_NESTED):
            leave_top(b, a, now)
            return True
        if a.handle != h or a.flags & SUSPENDABLE:
            if top == 0 and st_load32_acquire(&b.gone):
                drop_gone(b)
                a = activation_at(b, b.top)
            top = offset_of(b, a)
            a = find_own(b, top, h)
            # Before what others have open here of the same site.
            if a == NULL and st_caller_suspends() and leave_elsewhere(<Handle*>h, now):
                return True
            if a == NULL:
                a = find_left(b, top, h)
        if a != NULL:
            leave(b, a, now)
            return True
    elif st_caller_suspends() and leave_elsewhere(<Handle*>h, now):
        return True
    # A generator that was entered while its track was off, or before a clear, leaves nothing.
    return st_caller_suspends() or st_load64(&h.store.unmatched) != 0
