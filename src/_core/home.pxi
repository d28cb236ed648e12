# Homes: the contexts in which something was put aside. What begins there, or in a context that was entered there, is
# nested in that; what other tasks do meanwhile is not.
#
# The bottoms of what is put aside of one context are a list: `since` and `unbilled` say which are next and before, `start`
# under which key the flow is found, `frame` the context, which may be gone by now.

cdef bint add_to_home(Buffer* b, Activation* bottom, uint64_t key) noexcept nogil:
    """Notes where something is put aside of, which is the current flow; False when there is no memory."""
    cdef uint64_t* slot = map_find(&b.homes, flow_key(b.context))
    if slot == NULL:
        if not map_put(&b.homes, flow_key(b.context), 0):
            return False
        slot = map_find(&b.homes, flow_key(b.context))
    bottom.frame = b.context
    bottom.start = key
    bottom.unbilled = 0
    bottom.since = slot[1]
    if bottom.since:
        activation_at(b, <uint32_t>bottom.since).unbilled = offset_of(b, bottom)
    slot[1] = offset_of(b, bottom)
    return True

cdef void remove_from_home(Buffer* b, Activation* bottom) noexcept nogil:
    cdef uint64_t* slot
    if bottom.since:
        activation_at(b, <uint32_t>bottom.since).unbilled = bottom.unbilled
    if bottom.unbilled:
        activation_at(b, <uint32_t>bottom.unbilled).since = bottom.since
        return
    slot = map_find(&b.homes, flow_key(bottom.frame))
    slot[1] = bottom.since
    if not bottom.since:
        map_remove(&b.homes, slot)

cdef uint32_t first_aside(Buffer* b, void* context) noexcept nogil:
    """The bottom of the first that is put aside of a context, or 0."""
    cdef uint64_t* slot = map_find(&b.homes, flow_key(context))
    return <uint32_t>slot[1] if slot != NULL else 0

cdef Activation* top_on(Buffer* b, Activation* bottom) noexcept nogil:
    """The top of what is put aside and has this bottom."""
    return activation_at(b, <uint32_t>map_find(&b.flows, bottom.start)[1])

cdef bint is_open_on(Activation* a, Buffer* b, const Handle* h, int what) noexcept nogil:
    while a.prev:
        if matches(a, h, what):
            return True
        a = activation_at(b, a.prev)
    return False

cdef bint is_open_aside(Buffer* b, const Handle* h, int what) noexcept nogil:
    """Whether a pass of the same site or track, or any, is open in what is put aside of the running context, or of those
    that it was entered in: its time is not to be counted twice."""
    cdef void* context = b.context
    cdef Activation* bottom
    cdef uint32_t offset
    cdef int depth
    for depth in range(1000):
        offset = first_aside(b, context)
        while offset:
            bottom = activation_at(b, offset)
            if is_open_on(top_on(b, bottom), b, h, what):
                return True
            offset = <uint32_t>bottom.since
        if context == NULL:
            break
        context = st_outer_context(context)
    return False

cdef bint is_any_aside(Buffer* b) noexcept nogil:
    """Whether anything will be recorded of what is put aside where the running context is."""
    return b.aside != 0 and is_open_aside(b, NULL, ANYTHING)

cdef void note_aside(Buffer* b) noexcept nogil:
    """Has the current flow know what is put aside where its context is: what begins there may be nested in that."""
    cdef void* context = b.context
    cdef Activation* known = recorded_from(b, b.top)
    cdef Activation* top
    cdef uint32_t offset
    cdef int depth
    for depth in range(1000):
        offset = first_aside(b, context)
        while offset:
            top = top_on(b, activation_at(b, offset))
            if top.site_mask & ~known.site_mask | top.track_mask & ~known.track_mask:
                add_masks(b, b.top, top.site_mask, top.track_mask, 0)
            offset = <uint32_t>activation_at(b, offset).since
        if context == NULL:
            break
        context = st_outer_context(context)

cdef bint is_in_home(Buffer* b, Activation* a, void* home) noexcept nogil:
    """Whether an open pass is in a context, or in one that was entered there. Only contexts that are alive are asked for
    the one around them: those whose flow is not empty."""
    cdef uint32_t top
    cdef uint64_t* slot
    cdef Activation* bottom
    cdef void* context
    while True:
        top = top_over(b, a)
        bottom = bottom_of(b, top)
        slot = flow_with_top(b, top) if top != b.top else NULL
        if slot != NULL and is_frame_key(slot[0]):
            if bottom.frame == home:
                return True
        else:
            context = b.context if slot == NULL else <void*><uintptr_t>(slot[0] - 1)
            if home in (context, bottom.home) or (context != NULL and is_entered_in(context, home)):
                return True
        if not bottom.flags & BASED:
            return False
        a = activation_at(b, <uint32_t>bottom.base)

cdef bint is_nested_in_aside(Buffer* b, Activation* a, uint32_t top, int what) noexcept nogil:
    cdef Activation* each = activation_at(b, top)
    if holds(b, top, a):
        return False
    while each.prev:
        if each.flags & WAS_ASIDE and was_there_before(each, a) and matches(each, a.handle, what):
            if is_in_home(b, a, each.home):
                return True
        each = activation_at(b, each.prev)
    return False

cdef bint is_nested_aside(Buffer* b, Activation* a, int what) noexcept nogil:
    """Whether an open pass is nested in what is put aside, or was when it came to lie where it is."""
    cdef uint64_t i
    if is_nested_in_aside(b, a, b.top, what):
        return True
    for i in range(b.flows.mask + 1):
        if b.flows.slots[2 * i] and is_nested_in_aside(b, a, <uint32_t>b.flows.slots[2 * i + 1], what):
            return True
    return False
