# Strands: what can be suspended as one. A pass belongs to the strand that entered it.
#
# A thread's own stack, or that of a context (a task's, a greenlet's), is a flow: a chain of activations on a bottom, which
# says what the flow lies on. One flow is the current one, `turn_to` another.
#
# A body, tracked or not, has its passes on top of the flow that it runs in. When it is suspended they are taken off as a
# chain (`suspend_strand`), which a bottom of its own keeps on what waits for it; when it goes on they are put on top of
# whatever is running (`resume_strand`): in another context, or on another thread, which takes them over whole and in
# order, and posts the old ones to the thread that has them.
#
# What a tracked body has open is known by its object (generator.pxi) or its run (code.pxi), that of one which is not by
# its frame, in the store: `body_suspends` and `body_goes_on` are told (monitor.pxi), or asked for where nobody tells:
# when somebody enters above a block whose frame is not running, and when that frame enters or leaves again.

# ---- flows: the stacks that share a thread

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
    if st_load64(&contexts_wait) and context != NULL and lay_on_parent(b, bottom, context):
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
    """Has the next enter look at more than its context while bodies are suspended that nobody tells of, or there is none."""
    b.expected = b.context if b.context != NULL and (b.aside == 0 or is_told()) else <void*>b

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
        bring_all_back(b)
    return True

cdef void lift_off(Buffer* b, Activation* low, uint64_t now, bint counts) noexcept nogil:
    """What is suspended lies no more on what waits for it, which it `counts` for."""
    cdef Activation* bottom = activation_at(b, low.prev)
    cdef Activation* under = base_under(b, bottom)
    activation_at(b, low.prev).next = 0
    if counts and under != bottom:
        uncover(b, under, now)
    let_base_go(b, bottom)

# ---- chains: what is suspended

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

cdef Activation* lowest_recorded(Buffer* b, Activation* top, Activation* low) noexcept nogil:
    """The lowest from `top` down to `low` that will be recorded, or NULL."""
    cdef Activation* found = NULL
    while True:
        if not top.flags & SILENT:
            found = top
        if top == low:
            return found
        top = activation_at(b, top.prev)

cdef Activation* recorded_down(Buffer* b, Activation* top, Activation* low) noexcept nogil:
    """The uppermost from `top` down to `low` that will be recorded, or NULL."""
    while top.flags & SILENT:
        if top == low:
            return NULL
        top = activation_at(b, top.prev)
    return top

cdef bint make_all_paces(Buffer* b, Activation* low) noexcept nogil:
    """Has idle passes be told from others for all that is on top of the current flow from `low` on."""
    cdef Activation* a = activation_at(b, b.top)
    while True:
        if not a.flags & SILENT and not make_pace(b, a):
            return False
        if a == low:
            return True
        a = activation_at(b, a.prev)

cdef void set_idle(Buffer* b, Activation* low, uint64_t now) noexcept nogil:
    """What is about to be suspended goes on being open, but not being active: nor is any of it time of its own."""
    cdef Activation* a = activation_at(b, b.top)
    cdef Activation* lid = recorded_down(b, a, low)
    if not make_all_paces(b, low):
        b.untimed += 1
        return
    low.flags |= IDLE
    pace_chain(b, a, low, now, False)
    if lid != NULL:
        cover(b, lid, now)

cdef void set_active(Buffer* b, Activation* low, Activation* top, uint64_t now) noexcept nogil:
    """What is suspended is about to go on."""
    cdef Activation* lid = recorded_down(b, top, low)
    if not low.flags & IDLE:
        return
    low.flags &= ~<uint32_t>IDLE
    if lid != NULL:
        uncover(b, lid, now)
    pace_chain(b, top, low, now, True)

cdef void pace_chain(Buffer* b, Activation* a, Activation* low, uint64_t now, bint starts) noexcept nogil:
    """Everything from an activation down to `low` is idle no more, or from now on."""
    while True:
        if a.flags & PACED:
            if starts:
                start_pace(b, a, now)
            else:
                stop_pace(b, a, now)
        if a == low:
            return
        a = activation_at(b, a.prev)

cdef bint suspend_strand(Strand* s, Buffer* b, Activation* low, uint64_t now, bint waits, bint idles) noexcept nogil:
    """Takes what a body has open, all that is on top of the current flow from `low` on, off it; False when there is no
    memory. `waits`: for as long, what it lies on waits for it. `idles`: none of it is active meanwhile."""
    cdef Activation* top = activation_at(b, b.top)
    cdef Activation* first
    cdef Activation* below
    cdef Activation* under
    cdef Activation* bottom
    cdef uint32_t offset
    first = recorded_down(b, top, low) if waits else NULL
    if first != NULL:
        wait_in(b, first)
    first = lowest_recorded(b, top, low)
    below = activation_at(b, low.prev)
    under = lies_on(b, first) if first != NULL else NULL
    offset = take_bottom(b)
    bottom = activation_at(b, offset)
    if offset == 0:
        return False
    if under != NULL and waits:
        lay_on(b, bottom, under)  # which it goes on being counted by
    elif under != NULL:
        uncover(b, under, now)
    if idles:
        set_idle(b, low, now)
    s.buffer = b
    s.low = low
    s.top = b.top
    s.session = b.session
    detach_chain(b, low, top)
    bottom.next = offset_of(b, low)
    st_store32(&low.prev, offset)
    st_store32(&low.gone, 0)
    st_store32(&low.flags, low.flags | SUSPENDED)
    if below.flags & BOTTOM:
        st_let_go(b.context)
    return True

cdef bint resume_strand(Strand* s, Buffer* b, uint64_t now) noexcept nogil:
    """Puts what is suspended on top of the current flow; False when there is no memory."""
    if s.buffer == b:
        relink(s, b, now)
        return True
    return adopt(s, b, now)

cdef void relink(Strand* s, Buffer* b, uint64_t now) noexcept nogil:
    """The same, on the thread that it is open on."""
    cdef Activation* low = <Activation*>s.low
    cdef Activation* top = activation_at(b, s.top)
    cdef Activation* a = low
    st_store32(&low.flags, low.flags & ~<uint32_t>SUSPENDED)
    if s.session != b.session:
        while True:
            drop(b, a)
            if a == top:
                break
            a = activation_at(b, a.next)
        lift_off(b, low, now, False)
        s.session = b.session
    else:
        lift_off(b, low, now, lowest_recorded(b, top, low) != NULL)
        set_active(b, low, top, now)
    put_back(b, low.prev)
    attach_chain(b, low, top, now)

cdef Activation* take_over(Buffer* b, Buffer* origin, Activation* a, bint dropped) noexcept nogil:
    """Puts a pass that is open on another thread on top of the current flow; NULL when there is no memory."""
    cdef const Handle* h = handle_of(origin, a)
    cdef uint32_t kept = a.flags & (SUSPENDABLE | BODY | STRANDED | TAGGED), node = 0
    cdef Activation* made
    if not dropped and not a.flags & SILENT:
        node = node_like(b, origin, a.node, 0)
        if node == 0:
            b.untimed += 1
    made = push_silent(b, h, DROPPED if node == 0 and not a.flags & MUTED else MUTED)
    if made == NULL:
        return NULL
    made.frame = a.frame
    made.tag = a.tag
    made.strand = a.strand
    st_store64(&made.start, a.start)
    st_store32(&made.gone, 0)
    made.flags |= kept
    if node:
        b.silent -= 1
        made.node = node
        made.flags = kept
        if a.flags & PAUSED and processor_node(b, node) != NULL:
            made.flags |= TIMED | PAUSED
            made.ran = a.ran
    return made

cdef bint adopt(Strand* s, Buffer* b, uint64_t now) noexcept nogil:
    """Takes what is suspended over from the thread that it is open on, whole and in order; False when there is no
    memory."""
    cdef Buffer* origin = <Buffer*>s.buffer
    cdef Activation* low = <Activation*>s.low
    cdef Activation* from_ = low
    cdef Activation* first = NULL
    cdef Activation* made
    cdef bint dropped = s.session != b.session
    if activation_at(b, b.top).flags & (BOTTOM | SILENT):
        lie_down(b, activation_at(b, b.top))
    while True:
        made = take_over(b, origin, from_, dropped)
        if first == NULL:
            if made == NULL:
                return False
            first = made
        if made == NULL:
            break
        if not made.flags & SILENT:
            if b.sites[made.site].pace:
                made.flags |= PACED
            begin_at(b, made, now)
        if offset_of(origin, from_) == s.top:
            break
        from_ = activation_at(origin, from_.next)
    post(origin, low, now if s.session == st_load64_acquire(&origin.session) else 0, CHAIN)
    drain_for(origin)
    st_add64(&origin.released, 1)
    hold_buffer(s, b, first)
    resume_any(b, first, activation_at(b, b.top))
    return True

cdef void begin_at(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """The same as `begin`, for a pass that has begun elsewhere."""
    cdef uint64_t start = a.start
    begin(b, a, ground_of(b, a), now)
    st_store64(&a.start, start)

cdef void hold_buffer(Strand* s, Buffer* b, Activation* low) noexcept nogil:
    """What a body has open is open in a buffer, which stays until it is not."""
    s.buffer = b
    s.low = low
    s.session = b.session
    b.held += 1

cdef void forget_strand(Strand* s, Buffer* b) noexcept nogil:
    """What is suspended is open no more. `b`: the calling thread's buffer, or NULL."""
    cdef Buffer* origin = <Buffer*>s.buffer
    cdef Activation* low = <Activation*>s.low
    cdef bint counts = s.session == st_load64_acquire(&origin.session)
    if origin == b:
        low.ended = st_ticks() if counts else 0
        drain_chain(b, low)
        b.held -= 1
    else:
        post(origin, low, st_ticks() if counts else 0, CHAIN)
        drain_for(origin)
        st_add64(&origin.released, 1)

# ---- what other threads have taken over or left

cdef void post(Buffer* b, Activation* a, uint64_t now, uint32_t what) noexcept nogil:
    """Tells the thread whose buffer it is that something has ended there: a PASS in one of its flows, or, suspended, a
    CHAIN of which this is the lowest. 0 instead of a moment: it was forgotten before."""
    cdef uint64_t newest
    a.ended = now
    st_store32(&a.gone, what)  # that thread may not look for long, and who asks what is open shall not find it
    while True:
        newest = st_load64_acquire(&b.posted)
        a.posted = <uint32_t>newest & ~<uint32_t>RINGED
        if st_cas64(&b.posted, newest, offset_of(b, a) | (newest & RINGED)):
            return

cdef void drain_chain(Buffer* b, Activation* low) noexcept nogil:
    """Closes what another thread has taken over."""
    cdef Activation* a = low
    lift_off(b, low, low.ended, low.ended != 0)
    put_back(b, low.prev)
    if not low.flags & BODY:
        b.aside -= 1
        expect(b)
    while True:
        if low.ended and not a.flags & SILENT:
            if a.flags & PACED and not low.flags & IDLE:
                stop_pace(b, a, low.ended)
            uncover_wholly(b, a, low.ended)
            close_node(b, node_at(b, a.node), low.ended)
        if a.next == 0:
            break
        a = activation_at(b, a.next)
    a = low
    while a != NULL:
        low = activation_at(b, a.next) if a.next else NULL
        a.next = 0
        if a.flags & SILENT:
            b.silent -= 1
        st_store64(&a.start, NOT_YET)
        if a.flags & BASE:
            a.prev = 0
            st_store32(&a.flags, LEFT)
        else:
            put_back(b, offset_of(b, a))
        a = low

cdef void drain(Buffer* b) noexcept nogil:
    """Has what other threads have ended here be open no more, in the order in which they said so."""
    st_store64(&b.drains, b.drains + 1)
    st_fence_release()
    take_posted(b)
    st_store64_release(&b.drains, b.drains + 1)

cdef void take_posted(Buffer* b) noexcept nogil:
    cdef uint64_t newest
    cdef Activation* a
    cdef uint32_t first = 0, offset, following
    while True:
        newest = st_load64_acquire(&b.posted)
        if newest <= RINGED or st_cas64(&b.posted, newest, newest & RINGED):
            break
    offset = <uint32_t>newest & ~<uint32_t>RINGED
    while offset:
        a = activation_at(b, offset)
        following = a.posted
        a.posted = first
        first = offset
        offset = following
    while first:
        a = activation_at(b, first)
        first = a.posted
        if a.gone == CHAIN:
            drain_chain(b, a)
            continue
        if not a.flags & SILENT:
            forget_processor_time(b, a)
            close(b, a, a.ended)
        st_let_go(take_out(b, a))

cdef void drain_for(Buffer* b) noexcept nogil:
    """Does that for another thread, which is in the middle of nothing while this one holds the GIL, unless it records
    without: else it may not look for long."""
    if ST_HAS_GIL and not st_load32(&b.is_native):
        st_store64(&b.drains, b.drains + 1)
        st_fence_full()
        if not st_load32(&b.is_native):
            take_posted(b)
        st_store64_release(&b.drains, b.drains + 1)

# ---- whose a block is

cdef PyObject* context_manager_codes[4]

ctypedef void (*learning)() noexcept nogil

cdef void learn_context_managers() noexcept:
    """Finds the code that enters and leaves what `contextlib.contextmanager` makes, once that module is there."""
    cdef int i
    try:
        module = PyImport_GetModule("contextlib")
        if module is None:
            return
        plain, asynchronous = module._GeneratorContextManager, module._AsyncGeneratorContextManager
        codes = (asynchronous.__aexit__.__code__, asynchronous.__aenter__.__code__,
                 plain.__exit__.__code__, plain.__enter__.__code__)
    except:  # any, and without looking a name up: the interpreter may be shutting down
        return
    Py_INCREF(<PyObject*>codes)  # for good
    for i in range(4):
        context_manager_codes[3 - i] = <PyObject*>codes[i]

cdef bint is_context_manager(PyObject* code) noexcept nogil:
    cdef int i
    for i in range(4):
        if context_manager_codes[i] == code and code != NULL:
            return True
    return False

cdef void* owner_of(void* frame) noexcept nogil:
    """The frame whose `with` it is when a frame enters or leaves a block: another one if this runs a generator as a
    context manager, which does so for the body of that one's `with`."""
    cdef void* outer
    cdef int depth
    if context_manager_codes[0] == NULL:
        (<learning>learn_context_managers)()
    for depth in range(100):
        if context_manager_codes[0] == NULL or not st_frame_suspends(frame):
            break
        outer = st_outer_code_frame(frame)
        if outer == NULL or not is_context_manager(st_code_of_frame(outer)):
            break
        outer = st_outer_code_frame(outer)
        if outer == NULL:
            break
        frame = outer
    return frame

# ---- bodies that are not tracked

cdef inline void lock_bodies(Store* s) noexcept nogil:
    """Bodies are suspended and go on with the GIL held, if there is one."""
    if not ST_HAS_GIL:
        PyThread_acquire_lock(s.lock, WAIT_LOCK)

cdef inline void unlock_bodies(Store* s) noexcept nogil:
    if not ST_HAS_GIL:
        PyThread_release_lock(s.lock)

cdef Body* new_body(Store* s, void* frame) noexcept nogil:
    """What is to be known of a body that is being suspended; NULL when there is no memory, or it is known already, as one
    is of a frame that is gone without leaving what it had open. Its caller has locked bodies."""
    cdef Body* made = s.spare_bodies
    if map_find(&s.bodies, <uint64_t><uintptr_t>frame) != NULL:
        return NULL
    if made != NULL:
        s.spare_bodies = made.next
    else:
        made = <Body*>PyMem_RawCalloc(1, sizeof(Body))
    if made != NULL and not map_put(&s.bodies, <uint64_t><uintptr_t>frame, <uint64_t><uintptr_t>made):
        PyMem_RawFree(made)
        return NULL
    return made

cdef Body* take_body(Store* s, void* frame) noexcept nogil:
    """What is known of a body that was suspended, and is not any more; NULL when it had nothing open."""
    cdef uint64_t* slot
    cdef Body* found = NULL
    if st_load64(&s.bodies.used) == 0:
        return NULL
    lock_bodies(s)
    slot = map_find(&s.bodies, <uint64_t><uintptr_t>frame)
    if slot != NULL:
        found = <Body*><uintptr_t>slot[1]
        map_remove(&s.bodies, slot)
    unlock_bodies(s)
    return found

cdef void spare_body(Store* s, Body* body) noexcept nogil:
    lock_bodies(s)
    body.next = s.spare_bodies
    s.spare_bodies = body
    unlock_bodies(s)

cdef void free_bodies(Store* s) noexcept nogil:
    cdef Body* body
    cdef uint64_t i
    if s.bodies.slots != NULL:
        for i in range(s.bodies.mask + 1):
            if s.bodies.slots[2 * i]:
                PyMem_RawFree(<void*><uintptr_t>s.bodies.slots[2 * i + 1])
    map_free(&s.bodies)
    while s.spare_bodies != NULL:
        body = s.spare_bodies
        s.spare_bodies = body.next
        PyMem_RawFree(body)

cdef bint put_aside(Buffer* b, Activation* low, bint waits) noexcept nogil:
    """Takes what a frame has open, from its lowest on, from the top of the current flow; False when there is no memory.
    `waits`: what it lies on waits for it. If nobody does, it is idle, where it is told when it goes on."""
    cdef Body* body
    lock_bodies(b.store)
    body = new_body(b.store, frame_of(low))
    unlock_bodies(b.store)
    if body == NULL:
        return False
    if not suspend_strand(&body.strand, b, low, st_ticks(), waits, is_told() and not waits):
        spare_body(b.store, take_body(b.store, frame_of(low)))
        return False
    b.held += 1
    b.aside += 1
    expect(b)
    return True

cdef bint bring_back(Buffer* b, void* frame) noexcept nogil:
    """Puts what a frame that goes on has open on top of the current flow; False when it has nothing."""
    cdef Body* body = take_body(b.store, frame)
    cdef bint is_own
    if body == NULL:
        return False
    is_own = body.strand.buffer == b
    if resume_strand(&body.strand, b, st_ticks()):
        b.held -= 1
        b.aside -= is_own
        expect(b)
    else:
        b.untimed += 1
        forget_strand(&body.strand, b)
    spare_body(b.store, body)
    return True

# ---- told

cdef Activation* lowest_of(Buffer* b, void* frame) noexcept nogil:
    """The lowest of the passes that a frame which is being suspended, or what its `yield from` or `await` runs, has open
    on top of the current flow; NULL when there is none. What is left open above it goes with it."""
    cdef Activation* a = activation_at(b, b.top)
    cdef Activation* low = NULL
    cdef void* consumer = st_outer_code_frame(frame)
    while a.prev and not a.flags & BODY:
        if a.flags & SUSPENDABLE:
            if low != NULL and a.frame != low.frame:
                break
            if low == NULL and frame_of(a) != frame and st_frame_is_running(frame_of(a)):
                break
            low = a
        elif a.frame == 0 or frame_of(a) == consumer:
            break  # a call, which would have returned, or a block of who waits for the frame
        a = activation_at(b, a.prev)
    return low

cdef void set_frame_aside(Buffer* b, void* frame, bint waits) noexcept nogil:
    """What a frame has open in the current flow is put aside."""
    cdef Activation* low = lowest_of(b, frame)
    while low != NULL and put_aside(b, low, waits) and frame_of(low) != frame:
        low = lowest_of(b, frame)

cdef bint is_frame_of_body_within(void* frame, void* last, void* body) noexcept nogil:
    """Whether the frame of a body is one of those from one out to another."""
    while frame != last and not st_is_frame_of_body(frame, body):
        frame = st_outer_code_frame(frame)
    return st_is_frame_of_body(frame, body)

cdef void set_frames_aside(Buffer* b, void* frame, void* last, bint waits) noexcept nogil:
    """The same, of all frames from one out to another one that waits for it."""
    cdef void* context = st_context(NULL)
    if is_posted(b):
        drain(b)
    if context != b.context and (b.flows.used == 0 or not turn_to(b, context)):
        return  # nothing is open in this one
    if b.body != NULL and is_frame_of_body_within(frame, last, b.body):
        return  # a tracked body is suspended with all that lies on it
    set_frame_aside(b, frame, waits)
    while frame != last:
        frame = st_outer_code_frame(frame)
        set_frame_aside(b, frame, waits)

cdef void body_suspends(bint waits) noexcept:
    """Told: the body that runs is being suspended, and with it those that wait for it. If something was thrown through
    those, they do not say so themselves."""
    cdef Thread* t = <Thread*>st_this_thread
    cdef void* frame = NULL
    cdef void* last
    cdef uint64_t i
    st_context(&frame)
    last = frame
    while st_waiting_frame(last) != NULL:
        last = st_waiting_frame(last)
        be_told(last)
        if not st_is_thrown_through(last):
            return
    if t == NULL or t.buffers.slots == NULL:
        return
    if not ST_HAS_GIL:  # stores go with the GIL held, if there is one
        PyThread_acquire_lock(stores_lock, WAIT_LOCK)
    for i in range(t.buffers.mask + 1):
        if t.buffers.slots[2 * i] and store_lives(t.buffers.slots[2 * i]):
            set_frames_aside(<Buffer*><uintptr_t>t.buffers.slots[2 * i + 1], frame, last, waits)
    if not ST_HAS_GIL:
        PyThread_release_lock(stores_lock)

cdef void resume_frame(Store* s, void* frame) noexcept nogil:
    """What a frame has open in a store goes on where the frame does, after what those have open that wait for it."""
    cdef Buffer* b
    cdef void* waiting = st_waiting_frame(frame)
    if waiting != NULL:
        resume_frame(s, waiting)
    if is_body_known(s, frame):
        b = buffer_in(s, BLOCK)
        if b != NULL:
            if is_posted(b):
                drain(b)
            if switch_flow(b, st_context(NULL)):
                bring_back(b, frame)

cdef bint is_body_known(Store* s, void* frame) noexcept nogil:
    cdef bint is_known
    lock_bodies(s)
    is_known = map_find(&s.bodies, <uint64_t><uintptr_t>frame) != NULL
    unlock_bodies(s)
    return is_known

cdef void body_goes_on() noexcept:
    """Told: the body that runs goes on, maybe on another thread than before."""
    cdef Store* s
    cdef void* frame = NULL
    st_context(&frame)
    if not ST_HAS_GIL:
        PyThread_acquire_lock(stores_lock, WAIT_LOCK)
    s = all_stores
    while s != NULL:
        if st_load64(&s.bodies.used):
            resume_frame(s, frame)
        s = s.next
    if not ST_HAS_GIL:
        PyThread_release_lock(stores_lock)

# ---- asked

cdef Activation* lowest(Buffer* b, Activation* top) noexcept nogil:
    """The lowest of the passes that one suspendable frame has open at the top of a flow."""
    cdef Activation* below = activation_at(b, top.prev)
    while below.flags & SUSPENDABLE and below.frame == top.frame:
        top = below
        below = activation_at(b, top.prev)
    return top

cdef Activation* running_top(Buffer* b, void* frame) noexcept nogil:
    """The top of the current flow, when what suspended generators have open there has been put aside."""
    cdef Activation* top = activation_at(b, b.top)
    while top.flags & SUSPENDABLE and frame_of(top) != frame and not is_told():
        if frame_of(top) == b.thrown_through or st_frame_is_running(frame_of(top)) or not put_aside(
                b, lowest(b, top), st_frame_is_coroutine(frame_of(top))):
            break
        top = activation_at(b, b.top)
    return top

cdef void bring_all_back(Buffer* b) noexcept nogil:
    """Brings back what frames that are running have put aside, the outermost first."""
    cdef void* innermost_frame = NULL
    cdef void* frame
    cdef void* outermost
    st_context(&innermost_frame)
    running_top(b, innermost_frame)
    while b.aside:
        outermost = NULL
        frame = innermost_frame
        while frame != NULL:
            if map_find(&b.store.bodies, <uint64_t><uintptr_t>frame) != NULL:
                outermost = frame
            frame = st_outer_frame(frame)
        if outermost == NULL or not bring_back(b, outermost):
            return

cdef Activation* find_in_flow(Buffer* b, uint32_t top, const Handle* h, void* frame) noexcept nogil:
    """A pass in another thread's flow. What is read may be in change: each step is checked."""
    cdef size_t most = b.data_start // sizeof(Activation)
    cdef Activation* a
    cdef uint32_t flags
    while most and is_activation(b, top):
        a = activation_at(b, top)
        flags = st_load32(&a.flags)
        if flags & SUSPENDABLE and not flags & SILENT and a.site == h.site and frame_of(a) == frame and not st_load32(&a.gone):
            return a
        top = st_load32(&a.prev)
        most -= 1
    return NULL

cdef Activation* find_in_buffer(Buffer* b, const Handle* h, void* frame) noexcept nogil:
    cdef uint64_t mask = st_load64_acquire(&b.flows.mask), i
    cdef uint64_t* slots = <uint64_t*>st_loadp_acquire(<void**>&b.flows.slots)
    cdef Activation* found = find_in_flow(b, st_load32_acquire(&b.top), h, frame)
    if found == NULL and slots != NULL:
        for i in range(mask + 1):
            if found == NULL and st_load64(&slots[2 * i]):
                found = find_in_flow(b, <uint32_t>st_load64(&slots[2 * i + 1]), h, frame)
    return found

cdef bint may_be_left_elsewhere(Buffer* b) noexcept nogil:
    """Whether a thread that has ended has left anything open that a body may still leave, which nobody has put aside."""
    cdef uint64_t i
    if activation_at(b, b.top).flags & SUSPENDABLE:
        return True
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i] and activation_at(b, <uint32_t>b.flows.slots[2 * i + 1]).flags & SUSPENDABLE:
                return True
    return False

cdef bint take_from_others(Buffer* own, const Handle* h, void* frame, uint64_t now, uint64_t* start,
                           uint32_t* node) noexcept nogil:
    """Finds the pass that a frame leaves, in the flow of whatever thread it was entered on, and has that thread know.
    `node`: where it belongs here, or 0."""
    cdef Store* s = h.store
    cdef Buffer* b
    cdef Activation* a = NULL
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL and a == NULL:
        if st_load64_acquire(&b.session) == s.session:
            a = find_in_buffer(b, h, frame)
        if a != NULL:
            start[0] = st_load64(&a.start)
            if own != NULL and own.session == s.session:
                node[0] = node_like(own, b, a.node, 0)
            post(b, a, now, PASS)
        b = b.next
    PyThread_release_lock(s.lock)
    return a != NULL

cdef bint leave_elsewhere(Handle* h, void* frame, uint64_t now, int how) noexcept nogil:
    """Records a pass, which was entered on another thread, on the one that leaves it; False when there is none."""
    cdef uint64_t start = 0, ticks
    cdef uint32_t node = 0
    cdef Buffer* b = current_buffer(h)
    if is_told() or not take_from_others(b, h, frame, now, &start, &node):
        return False
    if b == NULL or b.session != st_load64_acquire(&h.store.session):
        b = settle(h, BLOCK)
    if b == NULL:
        return True  # counted as untimed
    if node == 0 and find_child(b, b.data_start, h.site, h.track):
        node = b.sites[h.site].node
    if node == 0:
        b.untimed += 1
        return True
    ticks = elapsed(b, start, now)
    if is_ringed(b):
        put_in_ring(b, h.site, start, ticks, how, strand_number(frame, OF_BODY), 0)
    record_apart(b, node_at(b, node), ticks, now, how)
    return True
