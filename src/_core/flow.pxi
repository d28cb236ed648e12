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

cdef void lay_on(Buffer* b, Activation* bottom, Activation* a) noexcept nogil:
    """Puts a flow's bottom on an open activation of another flow: what it opens is that one's child."""
    let_base_go(b, bottom)
    if not a.flags & BOTTOM:
        a.bottoms += 1
        a.flags |= BASE
        bottom.flags = BOTTOM | BASED
        bottom.base = offset_of(b, a)
        bottom.node = a.node

cdef Activation* running_from(Buffer* b, Activation* top) noexcept nogil:
    """The uppermost activation of a flow whose frame is not suspended, though nobody has put aside what is."""
    while top.flags & SUSPENDABLE and not st_frame_is_running(frame_of(top)):
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
        lay_on(b, bottom, base_under(b, a))
    return had_one

cdef void place_bottom(Buffer* b, Activation* bottom, void* context) noexcept nogil:
    """Says what an empty flow lies on: what is open where its context was entered."""
    cdef uint64_t* slot
    cdef int depth
    let_base_go(b, bottom)
    if st_load32(&contexts_wait) and context != NULL and lay_on_parent(b, bottom, context):
        return
    for depth in range(1000):
        if b.flows.used == 0 or context == NULL:
            return
        context = st_outer_context(context)
        slot = find_flow(b, context)
        if slot != NULL and lay_on_flow(b, bottom, <uint32_t>slot[1]):
            return

cdef void lie_down(Buffer* b, Activation* a) noexcept nogil:
    """A pass is about to start on a bottom, or on what will not be recorded. If the flow is empty, its context may have
    been entered from elsewhere since it was placed."""
    while a.prev and a.flags & MUTED:
        a = activation_at(b, a.prev)
    if a.prev == 0:
        place_bottom(b, a, b.context)

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
    b.expected = b.context if b.aside == 0 or is_told() else <void*>b

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
        let_base_go(b, activation_at(b, b.top))
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
    if b.aside and not is_told():
        bring_back(b)
    return True

cdef void lift_off(Buffer* b, Activation* low, uint64_t now, bint counts) noexcept nogil:
    """What is suspended lies no more on what waits for it, which it `counts` for."""
    cdef Activation* bottom = activation_at(b, low.prev)
    cdef Activation* under = base_under(b, bottom)
    activation_at(b, low.prev).next = 0
    if counts and under != bottom:
        uncover(b, under, now)
    let_base_go(b, bottom)
