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

cdef bint put_aside(Buffer* b, Activation* top, bint waits) noexcept nogil:
    """Takes what a suspended frame has open from the top of the current flow; False when there is no memory. `waits`: what
    it lies on waits for it."""
    cdef Activation* low = lowest(b, top)
    cdef Activation* below = activation_at(b, low.prev)
    cdef Activation* first = lowest_recorded(b, top, low)
    cdef Activation* under = lies_on(b, first) if first != NULL else NULL
    cdef uint32_t offset
    if map_find(&b.flows, frame_key(frame_of(top))) != NULL:
        return False  # of a frame that is gone without leaving them: they stay where they are
    offset = take_bottom(b)
    if offset == 0 or not add_flow(b, frame_key(frame_of(top)), offset_of(b, top)):
        put_back(b, offset)
        return False
    if under != NULL and waits:
        lay_on(b, activation_at(b, offset), under)  # which it goes on being counted by
    elif under != NULL:
        uncover(b, under, st_ticks())
    detach_chain(b, low, top)
    st_store32(&low.prev, offset)
    activation_at(b, offset).next = offset_of(b, low)
    b.aside += 1
    expect(b)
    if below.flags & BOTTOM:
        st_let_go(b.context)
    return True

cdef void detach_chain(Buffer* b, Activation* low, Activation* top) noexcept nogil:
    """Takes what is on top of the current flow, from `low` on, off it."""
    cdef Activation* below = activation_at(b, low.prev)
    pause_any(b, low, top)
    below.next = top.next
    if top.next:
        activation_at(b, top.next).prev = low.prev
    st_store32(&b.top, low.prev)
    top.next = 0
    st_store32(&low.prev, 0)

cdef void attach_chain(Buffer* b, Activation* low, Activation* top, uint64_t now) noexcept nogil:
    """Puts it on top of the current flow again."""
    cdef Activation* old = activation_at(b, b.top)
    cdef Activation* first = lowest_recorded(b, top, low)
    cdef Activation* below
    if old.flags & (BOTTOM | SILENT):
        lie_down(b, old)
    top.next = old.next
    if top.next:
        activation_at(b, top.next).prev = offset_of(b, top)
    st_store32(&low.prev, b.top)
    old.next = offset_of(b, low)
    st_store32_release(&b.top, offset_of(b, top))
    below = lies_on(b, first) if first != NULL else NULL
    if below != NULL:
        cover(b, below, now)
    if old.flags & BOTTOM:
        st_hold(b.context)
    resume_any(b, low, top)

cdef Activation* running_top(Buffer* b, void* frame) noexcept nogil:
    """The top of the current flow, when what suspended generators have open there has been put aside."""
    cdef Activation* top
    top = activation_at(b, b.top)
    while top.flags & SUSPENDABLE and frame_of(top) != frame and not is_told():
        if frame_of(top) == b.thrown_through or st_frame_is_running(frame_of(top)) or not put_aside(
                b, top, st_frame_is_coroutine(frame_of(top))):
            break
        top = activation_at(b, b.top)
    return top

cdef void bring_back_one(Buffer* b, uint64_t* slot) noexcept nogil:
    """Puts what a frame that runs again has open on top of the current flow."""
    cdef Activation* top = activation_at(b, <uint32_t>slot[1])
    cdef Activation* low = lowest(b, top)
    cdef uint64_t now = st_ticks()
    lift_off(b, low, now, lowest_recorded(b, top, low) != NULL)
    put_back(b, low.prev)
    remove_flow(b, slot)
    b.aside -= 1
    expect(b)
    attach_chain(b, low, top, now)

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
