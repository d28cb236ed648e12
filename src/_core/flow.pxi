# Flows: the stacks of activations that share a thread, and what each of them lies on.

cdef inline uint64_t flow_key(void* context) noexcept nogil:
    return <uint64_t><uintptr_t>context + 1

cdef uint64_t* find_flow(Buffer* b, void* context) noexcept nogil:
    """The entry of a flow that is not current and not empty, or NULL."""
    return map_find(&b.flows, flow_key(context))

cdef bint make_room_for_flow(Buffer* b) noexcept nogil:
    """Has the table of flows take one more; False when there is no memory. Readers may be in the old one meanwhile."""
    cdef Map bigger
    cdef uint64_t* old = b.flows.slots
    if not map_is_full(&b.flows):
        return True
    if not map_double(&b.flows, &bigger):
        return False
    st_storep_release(<void**>&b.flows.slots, bigger.slots)
    st_store64_release(&b.flows.mask, bigger.mask)  # last: with the old one, less of a table is read
    if ST_HAS_GIL or old == NULL:
        PyMem_RawFree(old)
    else:
        old[0] = <uint64_t><uintptr_t>b.old_flows
        b.old_flows = old
    return True

cdef bint add_flow(Buffer* b, uint64_t key, uint32_t top) noexcept nogil:
    """Adds a flow that is not current; False when there is no memory."""
    cdef bint ok
    st_store64(&b.flow_changes, b.flow_changes + 1)
    st_fence_release()
    ok = make_room_for_flow(b)
    if ok:
        map_insert(&b.flows, key, top)
    st_store64_release(&b.flow_changes, b.flow_changes + 1)
    return ok

cdef void remove_flow(Buffer* b, uint64_t* slot) noexcept nogil:
    st_store64(&b.flow_changes, b.flow_changes + 1)
    st_fence_release()
    map_remove(&b.flows, slot)
    st_store64_release(&b.flow_changes, b.flow_changes + 1)

cdef Base* base_of(Buffer* b, uint32_t activation) noexcept nogil:
    cdef Base* base = b.bases
    while base != NULL and base.activation != activation:
        base = base.next
    return base

cdef void lay_on(Buffer* b, Activation* bottom, Activation* a) noexcept nogil:
    """Puts a flow's bottom on an open activation of another flow: what it opens is that one's child."""
    cdef uint32_t offset = offset_of(b, a)
    cdef Base* base = base_of(b, offset)
    if base == NULL:
        base = <Base*>PyMem_RawCalloc(1, sizeof(Base))
        if base == NULL:
            return  # the flow lies on nothing: its own figures are right all the same
        base.activation = offset
        base.next = b.bases
        b.bases = base
    a.flags |= BASE
    bottom.flags = BOTTOM | BASED
    bottom.base = offset
    bottom.node = a.node
    bottom.site_mask = a.site_mask
    bottom.track_mask = a.track_mask

cdef Activation* running_from(Buffer* b, Activation* top) noexcept nogil:
    """The uppermost activation of a flow whose frame is not suspended, though nobody has put aside what is."""
    while top.flags & SUSPENDABLE and not st_frame_is_running(top.frame):
        top = activation_at(b, lowest(b, top).prev)
    return top

cdef bint lay_on_flow(Buffer* b, Activation* bottom, uint32_t top) noexcept nogil:
    """Puts a bottom on the uppermost pass of a flow that is recorded and not a suspended generator's. False if that
    flow never had one."""
    cdef Activation* a = running_from(b, activation_at(b, top))
    cdef bint had_one = False
    while a.prev:
        if not a.flags & SILENT:
            lay_on(b, bottom, a)
            return True
        had_one = had_one or a.flags & DROPPED
        a = activation_at(b, a.prev)
    if had_one and a.flags & BASED:
        lay_on(b, bottom, activation_at(b, <uint32_t>a.base))
    return had_one

cdef void lay_on_nothing(Buffer* b, Activation* bottom) noexcept nogil:
    bottom.flags = BOTTOM
    bottom.node = b.data_start
    bottom.site_mask = 0
    bottom.track_mask = 0

cdef void place_bottom(Buffer* b, Activation* bottom, void* context) noexcept nogil:
    """Says what an empty flow lies on: what is open where its context was entered."""
    cdef uint64_t* slot
    cdef int depth
    lay_on_nothing(b, bottom)
    for depth in range(1000):
        if b.flows.used == 0 or context == NULL:
            return
        context = st_outer_context(context)
        if depth == 0:
            bottom.home = context
        slot = find_flow(b, context)
        if slot != NULL and lay_on_flow(b, bottom, <uint32_t>slot[1]):
            return

cdef uint32_t lie_down(Buffer* b, Activation* top) noexcept nogil:
    """What a pass must know that is about to start on a bottom, or on what will not be recorded: its flags."""
    cdef uint32_t flags = LIFTED if top.flags & SILENT else 0
    cdef Activation* a = top
    cdef bint dropped = False
    while a.prev and a.flags & SILENT:
        dropped = dropped or a.flags & DROPPED
        a = activation_at(b, a.prev)
    if a.prev:
        return flags
    if not dropped:  # empty: its context may have been entered from elsewhere since it was placed
        place_bottom(b, a, b.context)
        if b.aside:
            note_aside(b)
    if a.flags & BASED:
        return flags | FLOW_ROOT
    return flags | UNDER if is_any_aside(b) else flags

cdef bint save_flow(Buffer* b) noexcept nogil:
    """Puts the current flow aside if anything is open in it, and leaves an empty one; False when there is no memory."""
    cdef uint32_t bottom
    if activation_at(b, b.top).prev == 0:
        return True
    bottom = take_bottom(b)
    if bottom == 0 or not add_flow(b, flow_key(b.context), b.top):
        put_back(b, bottom)
        return False
    b.top = bottom
    return True

cdef void expect(Buffer* b) noexcept nogil:
    """Has the next enter look at more than its context while anything is put aside."""
    b.expected = b.context if b.aside == 0 else <void*>b

cdef bint is_entered_in(void* context, void* outer) noexcept nogil:
    """Whether a context was entered while another one was the running one, or in one that was."""
    cdef int depth
    for depth in range(1000):
        if context == NULL or context == outer:
            break
        context = st_outer_context(context)
    return context != NULL

cdef bint turn_to(Buffer* b, void* context) noexcept nogil:
    """Makes the flow of a context the current one; False when there is no memory."""
    cdef uint64_t* slot
    if context == b.context:
        return True
    if activation_at(b, b.top).flags & SUSPENDABLE and is_entered_in(context, b.context):
        running_top(b, NULL)  # what is suspended there is not what this context was entered in
    if not save_flow(b):
        return False
    slot = find_flow(b, context)
    if slot != NULL:
        put_back(b, b.top)
        b.top = <uint32_t>slot[1]
        remove_flow(b, slot)
    b.context = context
    expect(b)
    return True

cdef bint switch_flow(Buffer* b, void* context) noexcept nogil:
    """Makes the flow of the running context the current one, with what its generators have open; False when there is
    no memory."""
    if context == NULL:
        context = st_need_context()
    if not turn_to(b, context):
        return False
    if b.aside:
        bring_back(b)
    if b.aside:
        note_aside(b)
    return True

cdef void open_on_base(Buffer* b, Activation* bottom) noexcept nogil:
    cdef Base* base = base_of(b, <uint32_t>bottom.base)
    if base.open_flows == 0:
        base.since = st_ticks()
    base.open_flows += 1

cdef void close_on_base(Buffer* b, Activation* bottom, uint64_t now) noexcept nogil:
    """A flow on a base has nothing open any more. The base is billed the time in which any of its flows had."""
    cdef Base* base = base_of(b, <uint32_t>bottom.base)
    base.open_flows -= 1
    if base.open_flows == 0:
        charge(activation_at(b, base.activation), stretch(base.since, now))

cdef void move_bottom(Buffer* b, uint32_t top, Activation* old) noexcept nogil:
    """Puts the flow with this top, if it lies on `old`, on what `old` lies on."""
    cdef Activation* a = activation_at(b, top)
    cdef Activation* below = recorded_from(b, old.prev)
    cdef Activation* root = NULL
    while a.prev:
        if not a.flags & SILENT:
            root = a
        a = activation_at(b, a.prev)
    if not a.flags & BASED or a.base != offset_of(b, old):
        return
    if below.prev:
        lay_on(b, a, below)
    elif below.flags & BASED:
        lay_on(b, a, activation_at(b, <uint32_t>below.base))
    else:
        lay_on_nothing(b, a)
    if root == NULL or not root.flags & FLOW_ROOT:  # put aside, it bills nobody
        return
    if a.flags & BASED:
        open_on_base(b, a)
    else:
        root.flags &= ~<uint32_t>FLOW_ROOT

cdef void leave_base(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """An activation closes while flows lie on it: they are settled with it and moved to what it lies on."""
    cdef Base** link = &b.bases
    cdef Base* base
    cdef uint64_t i
    while link[0].activation != offset_of(b, a):
        link = &link[0].next
    base = link[0]
    if base.open_flows:
        charge(a, stretch(base.since, now))
    link[0] = base.next
    PyMem_RawFree(base)
    a.flags &= ~<uint32_t>BASE
    move_bottom(b, b.top, a)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                move_bottom(b, <uint32_t>b.flows.slots[2 * i + 1], a)
