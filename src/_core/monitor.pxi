# Suspension, told: from CPython 3.12 on, the interpreter says when a body that has a block open is suspended or goes on.
#
# Only the code of such bodies has these events. Where there are none (3.11, or all tools' numbers are taken), a body is
# asked when next something is entered: see aside.pxi.

cdef object monitoring = None
cdef uint32_t STARTS, RETURNS, YIELDS, RESUMES, THROWS, UNWINDS  # the events, as the interpreter numbers them
ctypedef void (*telling)(void*) noexcept nogil

cdef inline void be_told(void* frame) noexcept nogil:
    """Has the interpreter say when a frame's body is suspended. Its caller holds the GIL, if there is one."""
    if ST_CAN_BE_TOLD and monitoring_tool != -2:
        (<telling>ask_to_be_told)(frame)

cdef void ask_to_be_told(void* frame) noexcept:
    cdef PyObject* code = st_code_of_frame(frame)
    cdef Mark* m = <Mark*>st_mark_on(code)
    cdef Error error
    if m != NULL and m.is_told:
        return
    st_take_error(&error)
    try:
        if become_tool():
            tell_of(code)
    except:  # any, and without looking a name up: the interpreter may be shutting down
        pass
    st_put_error(&error)

cdef int tell_of(PyObject* code) except -1:
    """Has the interpreter say when a code's bodies are suspended."""
    cdef Mark* m
    st_lock_marks()
    try:
        m = mark_of(code)
        m.is_told = True
        set_events(m, m.events | events_that_tell())
    finally:
        st_unlock_marks()
    return 0

cdef inline uint32_t events_that_tell() noexcept:
    return YIELDS | RESUMES | (THROWS if ST_ALL_ARE_LOCAL else 0)

cdef bint become_tool() except -1:
    """Takes the first number that is free of those that no kind of tool claims, if that is still to be done; whether we
    have one."""
    global monitoring_tool, monitoring, STARTS, RETURNS, YIELDS, RESUMES, THROWS, UNWINDS
    if monitoring_tool != -1 or not ST_CAN_BE_TOLD:
        return is_told()
    monitoring = (<object>PyImport_GetModule("sys")).monitoring
    for number in (4, 3):
        if monitoring.get_tool(number) is None:
            monitoring.use_tool_id(number, "stichotrope")
            break
    else:
        monitoring_tool = -2
        return False
    events = monitoring.events
    STARTS, RETURNS, YIELDS = events.PY_START, events.PY_RETURN, events.PY_YIELD
    RESUMES, THROWS, UNWINDS = events.PY_RESUME, events.PY_THROW, events.PY_UNWIND
    for event, told in zip((STARTS, RETURNS, YIELDS, RESUMES, THROWS, UNWINDS), tellers()):
        monitoring.register_callback(number, event, told)
    if not ST_ALL_ARE_LOCAL:
        monitoring.set_events(number, THROWS)  # there is no such event for some code alone
    monitoring_tool = number
    return True

cdef void body_yields(PyObject* code, PyObject* value) noexcept:
    """Told: the body that runs is being suspended."""
    cdef int flags = st_code_flags(code)
    cdef bint waits = waits_at(flags, value)
    cdef void* frame = NULL
    st_context(&frame)
    if st_is_delegated_to(frame):
        be_told(st_outer_frame(frame))  # which is suspended with it, and says so next
    else:
        each_buffer(set_frame_aside, waits)

cdef inline bint waits_at(int flags, PyObject* value) noexcept:
    """Whether what is being suspended, and gives a value, is waited for."""
    if flags & CO_ASYNC_GENERATOR:
        return not st_is_wrapped_value(value)
    return flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE) != 0

cdef inline void body_goes_on() noexcept:
    """Told: the body that runs goes on."""
    each_buffer(bring_frame_back, False)

cdef void each_buffer(void (*change)(Buffer*, void*, bint) noexcept nogil, bint waits) noexcept nogil:
    """Changes each of the thread's buffers whose store is still there. Stores go with the GIL held, if there is one."""
    cdef Thread* t = <Thread*>st_this_thread
    cdef void* frame = NULL
    cdef uint64_t i
    if t == NULL or t.buffers.slots == NULL:
        return
    st_context(&frame)
    if not ST_HAS_GIL:
        PyThread_acquire_lock(stores_lock, WAIT_LOCK)
    for i in range(t.buffers.mask + 1):
        if t.buffers.slots[2 * i] and store_lives(t.buffers.slots[2 * i]):
            change(<Buffer*><uintptr_t>t.buffers.slots[2 * i + 1], frame, waits)
    if not ST_HAS_GIL:
        PyThread_release_lock(stores_lock)

cdef void set_frame_aside(Buffer* b, void* frame, bint waits) noexcept nogil:
    """What a frame has open in the flow of its context is put aside."""
    cdef void* context = st_context(NULL)
    cdef Activation* top
    if is_posted(b):
        drain(b)
    if context != b.context and b.flows.used:
        turn_to(b, context)
    if b.body != NULL and st_is_frame_of_body(frame, b.body):
        return  # a tracked body is suspended with all that lies on it
    while True:
        top = activation_at(b, b.top)
        # With it, all that its `yield from` or `await` runs.
        if not top.flags & SUSPENDABLE or (frame_of(top) != frame and st_frame_is_running(frame_of(top))):
            return
        if waits and not top.flags & SILENT:
            wait_in(b, top)
        if not put_aside(b, top, waits):
            return

cdef void bring_frame_back(Buffer* b, void* frame, bint ignored) noexcept nogil:
    """What a frame has open is on top of the running context's flow again."""
    if b.aside == 0 or map_find(&b.flows, frame_key(frame)) == NULL:
        return
    if is_posted(b):
        drain(b)
    if turn_to(b, st_context(NULL)):
        bring_back_of(b, frame)
