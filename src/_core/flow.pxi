# Flows: the stacks of activations that share a thread, and what each of them lies on.

cdef inline uint64_t flow_key(void* context) noexcept nogil:
    return <uint64_t><uintptr_t>context + 1

cdef uint64_t* find_flow(Buffer* b, void* context) noexcept nogil:
    """The entry of a flow that is not current and not empty, or NULL."""
    cdef uint64_t* slot = map_find(&b.flows, flow_key(context))
    if slot == NULL and context == NULL and b.adopted != NULL:
        slot = map_find(&b.flows, flow_key(b.adopted))
    return slot

cdef Base* base_of(Buffer* b, uint32_t activation) noexcept nogil:
    cdef Base* base = b.bases
    while base != NULL and base.activation != activation:
        base = base.next
    return base

cdef void lay_on(Buffer* b, Activation* bottom, uint32_t activation) noexcept nogil:
    """Puts a flow's bottom on an open activation of another flow: what it opens is that one's child."""
    cdef Activation* a = activation_at(b, activation)
    cdef Base* base = base_of(b, activation)
    if base == NULL:
        base = <Base*>PyMem_RawCalloc(1, sizeof(Base))
        if base == NULL:
            return  # the flow starts under nothing: its own figures are right all the same
        base.activation = activation
        base.next = b.bases
        b.bases = base
    a.flags |= BASE
    bottom.flags = BASED
    bottom.base = activation
    bottom.node = a.node
    bottom.site_mask = a.site_mask
    bottom.track_mask = a.track_mask

cdef void place_bottom(Buffer* b, Activation* bottom, void* context) noexcept nogil:
    """Says under what a new flow starts: what was open where its context was entered."""
    cdef uint64_t* slot
    cdef int depth
    bottom.flags = 0
    bottom.base = 0
    bottom.node = b.data_start
    bottom.site_mask = 0
    bottom.track_mask = 0
    if b.flows.used == 0:
        return
    for depth in range(1000):
        if context == NULL:
            return
        context = st_outer_context(context)
        slot = find_flow(b, context)
        if slot != NULL:
            lay_on(b, bottom, <uint32_t>slot[1])
            return

cdef bint save_flow(Buffer* b) noexcept nogil:
    """Puts the current flow aside if anything is open in it, and leaves an empty one; False when there is no memory."""
    cdef uint32_t bottom
    if activation_at(b, b.top).prev == 0:
        if b.context == b.adopted:
            b.adopted = NULL
        return True
    bottom = take_bottom(b)
    if bottom == 0 or not map_put(&b.flows, flow_key(b.context), b.top):
        put_back(b, bottom)
        return False
    b.top = bottom
    return True

cdef bint switch_flow(Buffer* b, void* context) noexcept nogil:
    """Makes the flow of a context the current one."""
    cdef uint64_t* slot
    if activation_at(b, b.top).prev != 0 and find_flow(b, context) == NULL:
        if b.context == NULL:
            # The thread had no context until now; this is the one it got, or one that was entered from none.
            b.adopted = context
            b.context = context
            return True
        if context == NULL and b.context == b.adopted:
            b.adopted = NULL
            b.context = NULL
            return True
    if not save_flow(b):
        return False
    slot = find_flow(b, context)
    if slot != NULL:
        put_back(b, b.top)
        b.top = <uint32_t>slot[1]
        map_remove(&b.flows, slot)
    else:
        place_bottom(b, activation_at(b, b.top), context)
    b.context = context
    return True

cdef void open_on_base(Buffer* b, Activation* bottom) noexcept nogil:
    cdef Base* base = base_of(b, <uint32_t>bottom.base)
    if base.open_flows == 0:
        base.since = st_ticks()
    base.open_flows += 1

cdef void close_on_base(Buffer* b, Activation* bottom, uint64_t now) noexcept nogil:
    """A flow on a base has nothing open any more. The base is billed the time in which any of its flows had."""
    cdef Base* base
    if not bottom.flags & BASED:
        return
    base = base_of(b, <uint32_t>bottom.base)
    base.open_flows -= 1
    if base.open_flows == 0:
        activation_at(b, base.activation).child += elapsed(b, base.since, now)

cdef void move_bottom(Buffer* b, uint32_t top, Activation* old) noexcept nogil:
    """Puts the flow that ends in `top`, if it lies on `old`, on what `old` lies on."""
    cdef Activation* a = activation_at(b, top)
    cdef Activation* below = activation_at(b, old.prev)
    cdef bint has_open = a.prev != 0
    cdef Base* base
    while a.prev:
        a = activation_at(b, a.prev)
    if not a.flags & BASED or a.base != offset_of(b, old):
        return
    a.flags = 0
    if below.prev == 0:
        if not below.flags & BASED:
            return
        lay_on(b, a, <uint32_t>below.base)
    else:
        lay_on(b, a, old.prev)
    if has_open and a.flags & BASED:
        open_on_base(b, a)

cdef void leave_base(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """An activation closes while flows lie on it: they are settled with it and moved to what it lies on."""
    cdef Base** link = &b.bases
    cdef Base* base
    cdef uint64_t i
    while link[0].activation != offset_of(b, a):
        link = &link[0].next
    base = link[0]
    if base.open_flows:
        a.child += elapsed(b, base.since, now)
    link[0] = base.next
    PyMem_RawFree(base)
    move_bottom(b, b.top, a)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                move_bottom(b, <uint32_t>b.flows.slots[2 * i + 1], a)
