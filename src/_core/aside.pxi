# Blocks put aside: what a suspended generator has open is not what its consumer's passes lie on.
#
# A generator that is not tracked cannot be seen to suspend. But when somebody enters above a block whose frame is not
# running, its generator has been suspended inside it: the block is put aside, and brought back when somebody enters or
# leaves while that frame runs. Aside, what a frame has open is a flow of its own.

cdef inline uint64_t frame_key(void* frame) noexcept nogil:
    return <uint64_t><uintptr_t>frame + 2

cdef inline bint is_frame_key(uint64_t key) noexcept nogil:
    return key & 2 != 0

cdef PyObject* context_manager_codes[2]

ctypedef void (*learning)() noexcept nogil

cdef void learn_context_managers() noexcept:
    """Finds the code that enters what `contextlib.contextmanager` makes, once that module is there."""
    try:
        module = PyImport_GetModule("contextlib")
        if module is None:
            return
        codes = (module._GeneratorContextManager.__enter__.__code__,
                 module._AsyncGeneratorContextManager.__aenter__.__code__)
    except:  # any, and without looking a name up: the interpreter may be shutting down
        return
    Py_INCREF(<PyObject*>codes)  # for good
    context_manager_codes[0] = <PyObject*>codes[0]
    context_manager_codes[1] = <PyObject*>codes[1]

cdef bint enters_for_its_caller(void* frame) noexcept nogil:
    """Whether a generator is being run as a context manager: what it has open then is open in the body of its `with`."""
    cdef int depth
    if context_manager_codes[0] == NULL:
        (<learning>learn_context_managers)()
    for depth in range(2):  # the interpreter may have one of its own in between
        frame = st_outer_frame(frame)
        if frame == NULL or context_manager_codes[0] == NULL:
            return False
        if st_code_of_frame(frame) in (context_manager_codes[0], context_manager_codes[1]):
            return True
    return False

cdef Activation* lowest_recorded(Buffer* b, Activation* top, Activation* low) noexcept nogil:
    """The lowest from `top` down to `low` that will be recorded, or NULL."""
    cdef Activation* found = NULL
    while True:
        if not top.flags & SILENT:
            found = top
        if top == low:
            return found
        top = activation_at(b, top.prev)

cdef Activation* lowest(Buffer* b, Activation* top) noexcept nogil:
    """The lowest of the passes that one suspendable frame has open at the top of a flow."""
    cdef Activation* below = activation_at(b, top.prev)
    while below.flags & SUSPENDABLE and below.frame == top.frame:
        top = below
        below = activation_at(b, top.prev)
    return top

cdef void settle_below(Buffer* b, Activation* top, Activation* low, uint64_t now) noexcept nogil:
    """What a chain lies on is billed for it until now."""
    cdef Activation* a = lowest_recorded(b, top, low)
    cdef Activation* below = recorded_from(b, low.prev)
    if a == NULL:
        return
    if a.flags & FLOW_ROOT:
        close_on_base(b, below, now)
    else:
        charge(below, lying(a, now))
    a.flags = (a.flags & ~<uint32_t>FLOW_ROOT) | MOVED
    a.since = now
    a.unbilled = 0

cdef void add_masks(Buffer* b, uint32_t top, uint64_t sites, uint64_t tracks, uint32_t flag) noexcept nogil:
    """Has everything in a flow know what else may be open, and gives it a flag."""
    cdef Activation* a
    while top:
        a = activation_at(b, top)
        a.site_mask |= sites
        a.track_mask |= tracks
        if a.prev:
            a.flags |= flag
        top = a.prev

cdef void note_home(Buffer* b, Activation* top, Activation* low) noexcept nogil:
    """Notes where passes are put aside of: what they are nested in may be there, and what is nested in them."""
    b.was_aside = True
    while True:
        top.flags |= WAS_ASIDE
        top.home = b.context
        if top == low:
            return
        top = activation_at(b, top.prev)

cdef bint put_aside(Buffer* b, Activation* top) noexcept nogil:
    """Takes what a suspended frame has open from the top of the current flow; False when there is no memory."""
    cdef Activation* low = lowest(b, top)
    cdef Activation* below = activation_at(b, low.prev)
    cdef Activation* home
    cdef uint64_t* slot = map_find(&b.flows, frame_key(top.frame))
    cdef uint32_t bottom
    if slot != NULL:
        return False  # of a frame that is gone without leaving them: they stay where they are
    bottom = take_bottom(b)
    if bottom == 0 or not add_to_home(b, activation_at(b, bottom), frame_key(top.frame)):
        put_back(b, bottom)
        return False
    if not add_flow(b, frame_key(top.frame), offset_of(b, top)):
        remove_from_home(b, activation_at(b, bottom))
        put_back(b, bottom)
        return False
    note_home(b, top, low)
    settle_below(b, top, low, st_ticks())
    below.next = top.next
    if top.next:
        activation_at(b, top.next).prev = low.prev
    b.top = low.prev
    top.next = 0
    low.prev = bottom
    activation_at(b, bottom).next = offset_of(b, low)
    home = bottom_of(b, b.top)
    if home.flags & BASED:
        lay_on(b, activation_at(b, bottom), activation_at(b, <uint32_t>home.base))
    b.aside += 1
    expect(b)
    add_masks(b, b.top, top.site_mask, top.track_mask, SHADED)
    if below.flags & BOTTOM:
        st_let_go(b.context)
    return True

cdef Activation* running_top(Buffer* b, void* frame) noexcept nogil:
    """The top of the current flow, when what suspended generators have open there has been put aside."""
    cdef Activation* top
    if ST_UNLIKELY(st_load32_acquire(&b.gone) != 0):
        drop_gone(b)
    top = activation_at(b, b.top)
    while top.flags & SUSPENDABLE and top.frame != frame:
        if top.frame == b.thrown_through or st_frame_is_running(top.frame) or not put_aside(b, top):
            break
        top = activation_at(b, b.top)
    return top

cdef bint drop_one_gone(Buffer* b, uint32_t top) noexcept nogil:
    """Takes something that was left on another thread out of a flow; False when there is nothing."""
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        if a.flags & SUSPENDABLE and st_load32(&a.gone):
            bill(b, a, 0, st_ticks())
            st_let_go(take_out(b, a))
            return True
        a = activation_at(b, a.prev)
    return False

cdef void drop_gone(Buffer* b) noexcept nogil:
    """Drops what was open here and left on another thread, which has recorded it."""
    cdef uint64_t i
    cdef bint again = True
    st_store32(&b.gone, 0)
    while again:
        again = drop_one_gone(b, b.top)
        if b.flows.slots != NULL:
            for i in range(b.flows.mask + 1):
                if not again and b.flows.slots[2 * i]:
                    again = drop_one_gone(b, <uint32_t>b.flows.slots[2 * i + 1])

cdef void bring_back_one(Buffer* b, uint64_t* slot) noexcept nogil:
    """Puts what a frame that runs again has open on top of the current flow."""
    cdef uint32_t offset = <uint32_t>slot[1]
    cdef Activation* top = activation_at(b, offset)
    cdef Activation* low = lowest(b, top)
    cdef Activation* old = activation_at(b, b.top)
    cdef Activation* a = lowest_recorded(b, top, low)
    cdef uint32_t flags = 0, spare = old.next, bottom = low.prev
    remove_from_home(b, activation_at(b, bottom))
    activation_at(b, bottom).next = 0
    put_back(b, bottom)
    remove_flow(b, slot)
    b.aside -= 1
    expect(b)
    if old.flags & (BOTTOM | SILENT):
        flags = lie_down(b, old) & (FLOW_ROOT | LIFTED)
    low.prev = b.top
    old.next = offset_of(b, low)
    top.next = spare
    if spare:
        activation_at(b, spare).prev = offset
    b.top = offset
    if a != NULL:
        a.flags |= flags | MOVED
        a.since = st_ticks()
        a.unbilled = 0
        if flags & FLOW_ROOT:
            open_on_base(b, recorded_from(b, low.prev))
    add_masks(b, offset, old.site_mask, old.track_mask, SHADED)
    if old.flags & BOTTOM:
        st_hold(b.context)

cdef void bring_back_of(Buffer* b, void* frame) noexcept nogil:
    cdef uint64_t* slot = map_find(&b.flows, frame_key(frame))
    if slot != NULL:
        bring_back_one(b, slot)

cdef void bring_back(Buffer* b) noexcept nogil:
    """Brings back what frames that are running have put aside, the outermost first."""
    cdef void* innermost_frame = NULL
    cdef void* frame
    cdef uint64_t* slot
    cdef uint64_t* outermost
    st_context(&innermost_frame)
    running_top(b, innermost_frame)
    while b.aside:
        outermost = NULL
        frame = innermost_frame
        while frame != NULL:
            slot = map_find(&b.flows, frame_key(frame))
            if slot != NULL:
                outermost = slot
            frame = st_outer_frame(frame)
        if outermost == NULL:
            return
        bring_back_one(b, outermost)
