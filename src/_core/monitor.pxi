# Suspension, told: from CPython 3.12 on, the interpreter says when a body that has a block open is suspended or goes on.
#
# Only the code of such bodies has these events. Where there are none (3.11, or all tools' numbers are taken), a body is
# asked when next something is entered: see aside.pxi.

cdef object set_local_events = None
cdef object local_events = None
ctypedef void (*telling)(void*) noexcept nogil

cdef inline void be_told(void* frame) noexcept nogil:
    """Has the interpreter say when a frame's body is suspended. Its caller holds the GIL, if there is one."""
    if ST_CAN_BE_TOLD and monitoring_tool != -2:
        (<telling>ask_to_be_told)(frame)

cdef void ask_to_be_told(void* frame) noexcept:
    cdef PyObject* code = st_code_of_frame(frame)
    cdef Error error
    if st_is_told(code):
        return
    st_take_error(&error)
    try:
        if monitoring_tool == -1:
            become_tool()
        if monitoring_tool >= 0:
            set_local_events(monitoring_tool, <object>code, local_events)
            st_note_told(code)
    except:  # any, and without looking a name up: the interpreter may be shutting down
        pass
    st_put_error(&error)

cdef int become_tool() except -1:
    """Takes the first number that is free of those that no kind of tool claims."""
    global monitoring_tool, set_local_events, local_events
    monitoring = (<object>PyImport_GetModule("sys")).monitoring
    for number in (4, 3):
        if monitoring.get_tool(number) is None:
            monitoring.use_tool_id(number, "stichotrope")
            break
    else:
        monitoring_tool = -2
        return 0
    events = monitoring.events
    monitoring.register_callback(number, events.PY_YIELD, _has_yielded)
    monitoring.register_callback(number, events.PY_RESUME, _goes_on)
    monitoring.register_callback(number, events.PY_THROW, _goes_on)
    monitoring.set_events(number, events.PY_THROW)  # there is no such event for some code alone
    set_local_events = monitoring.set_local_events
    local_events = events.PY_YIELD | events.PY_RESUME
    monitoring_tool = number
    return 0

def _has_yielded(code, offset, value):
    """Told: the body that calls this is being suspended."""
    cdef int flags = st_code_flags(<PyObject*>code)
    cdef bint waits = flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE) != 0
    cdef void* frame = NULL
    if flags & CO_ASYNC_GENERATOR:
        waits = not st_is_wrapped_value(<PyObject*>value)
    st_context(&frame)
    if st_is_delegated_to(frame):
        be_told(st_outer_frame(frame))  # which is suspended with it, and says so next
    else:
        each_buffer(set_frame_aside, waits)

def _goes_on(code, offset, error=None):
    """Told: the body that calls this goes on."""
    if st_is_told(<PyObject*>code):
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
