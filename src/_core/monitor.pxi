# Suspension, told: from CPython 3.12 on, the interpreter says when a body that has a block open is suspended or goes on.
#
# Only the code of such bodies has these events. Where there are none (3.11, or all tools' numbers are taken), a body is
# asked when next something is entered: see strand.pxi.

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
    return YIELDS | RESUMES

cdef bint become_tool() except -1:
    """Takes the first number that is free of those that no kind of tool claims, if that is still to be done; whether we
    have one."""
    global monitoring_tool, monitoring, STARTS, RETURNS, YIELDS, RESUMES, THROWS, UNWINDS
    if monitoring_tool != -1 or not ST_CAN_BE_TOLD:
        return is_told()
    monitoring = (<object>PyImport_GetModule("sys")).monitoring
    for number in (4, 3):
        if monitoring.get_tool(number) is None:
            break
    else:
        monitoring_tool = -2
        return False
    events = monitoring.events
    STARTS, RETURNS, YIELDS = events.PY_START, events.PY_RETURN, events.PY_YIELD
    RESUMES, THROWS, UNWINDS = events.PY_RESUME, events.PY_THROW, events.PY_UNWIND
    use_number(number)
    monitoring_tool = number
    return True

cdef int use_number(int number) except -1:
    """Becomes the tool of a number that is free."""
    monitoring.use_tool_id(number, "stichotrope")
    for event, told in zip((STARTS, RETURNS, YIELDS, RESUMES, THROWS, UNWINDS), tellers()):
        monitoring.register_callback(number, event, told)
    monitoring.set_events(number, THROWS)  # of all code: it may be what tracked code waits for
    return 0

cdef inline void body_yields(PyObject* code, PyObject* value) noexcept:
    """Told: the body that runs is being suspended."""
    body_suspends(waits_at(st_code_flags(code), value))

cdef inline bint waits_at(int flags, PyObject* value) noexcept:
    """Whether what is being suspended, and gives a value, is waited for."""
    if flags & CO_ASYNC_GENERATOR:
        return not st_is_wrapped_value(value)
    return flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE) != 0
