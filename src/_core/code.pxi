# Code that is tracked: from CPython 3.12 on, the interpreter says when it is entered and left. Nothing stands in its
# place, so whoever holds the function calls the very same one.
#
# A code object has a Mark, that its Targets: the sites that record its calls, of one profiler or several. A plain call is
# an activation that knows its frame. What suspends has a Run for each target from its first resume to its end, found by
# its frame, which is a part of the generator or coroutine. Of strands, this room uses `enter` and `leave`, and `resume`
# and `suspend` of a SuspendedObject that is no object here.
#
# A track that is off has its events taken away, but for those that say how what is still open ends: the last of that
# takes them away. So a call never begins without its end being told, and an end without a beginning was under way when
# its code was tracked, and is left alone.

cdef extern from *:
    """
    static PyObject *st_call_teller(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names);
    typedef void (*st_telling)(PyObject *code, PyObject *value);
    typedef struct {
        PyObject_HEAD
        vectorcallfunc vectorcall;
        st_telling tell;
        int has_value;
    } st_teller;
    /* What the interpreter calls for an event. A function of C would take half as long again to be called. */
    static PyTypeObject st_teller_type = {
        PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "stichotrope._core.Teller",
        .tp_basicsize = sizeof(st_teller),
        .tp_vectorcall_offset = offsetof(st_teller, vectorcall),
        .tp_call = PyVectorcall_Call,
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    };
    /* Whether the arguments are those of the interpreter. */
    static inline int st_is_telling(PyObject *const *args, size_t nargsf, Py_ssize_t least) {
        return ST_LIKELY(PyVectorcall_NARGS(nargsf) >= least) && ST_LIKELY(Py_IS_TYPE(args[0], &PyCode_Type));
    }
    static ST_NOINLINE PyObject *st_refuse_telling(void) {
        PyErr_SetString(PyExc_TypeError, "only the interpreter calls this");
        return NULL;
    }
    static PyObject *st_call_teller(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names) {
        st_teller *teller = (st_teller *)self;
        (void)names;
        if (ST_UNLIKELY(!st_is_telling(args, nargsf, 2 + teller->has_value))) return st_refuse_telling();
        teller->tell(args[0], teller->has_value ? args[2] : NULL);
        return Py_NewRef(Py_None);
    }
    /* `call`: what is called instead of `tell`, or NULL. */
    static PyObject *st_new_teller(vectorcallfunc call, st_telling tell, int has_value) {
        if (PyType_Ready(&st_teller_type) < 0) return NULL;
        st_teller *teller = PyObject_New(st_teller, &st_teller_type);
        if (teller == NULL) return NULL;
        teller->vectorcall = call != NULL ? call : st_call_teller;
        teller->tell = tell;
        teller->has_value = has_value;
        return (PyObject *)teller;
    }
    /* Without the GIL, runs lie in many tables, so that threads seldom meet at one. */
    #if defined(Py_GIL_DISABLED)
    enum { ST_RUN_TABLES = 64 };
    typedef struct { PyMutex mutex; char room[63]; } st_run_lock;
    static st_run_lock st_run_locks[ST_RUN_TABLES];
    #define st_lock_runs(i) PyMutex_Lock(&st_run_locks[i].mutex)
    #define st_unlock_runs(i) PyMutex_Unlock(&st_run_locks[i].mutex)
    #define st_renew_run_locks() memset(st_run_locks, 0, sizeof st_run_locks)
    #else
    enum { ST_RUN_TABLES = 1 };
    #define st_lock_runs(i) ((void)(i))
    #define st_unlock_runs(i) ((void)(i))
    #define st_renew_run_locks() ((void)0)
    #endif
    /* How far into a generator or coroutine its frame begins, as one says that calls this; -1 until then. */
    static ptrdiff_t st_frame_offset = -1;
    static void st_learn_frame_offset(PyObject *generator) {
        char *frame = st_frame_of(st_thread_state());
        if (st_is_frame_of_body(frame, generator)) st_frame_offset = frame - (char *)generator;
    }
    static inline PyObject *st_body_of_frame(void *frame) { return (PyObject *)((char *)frame - st_frame_offset); }
    /* On 3.13, a generator that is closed where no `try` is around it is ended without an event, as an argument of the
     * instruction at which it would go on allows. It goes the long way without that. */
    static int st_have_its_close_told(PyObject *code) {
    #if PY_VERSION_HEX >= 0x030D0000 && PY_VERSION_HEX < 0x030E0000
        enum { NOTHING_AROUND = 4 };
        PyObject *plain = PyCode_GetCode((PyCodeObject *)code);  /* as it was compiled */
        unsigned char *running = (unsigned char *)((PyCodeObject *)code)->co_code_adaptive;
        if (plain == NULL) return -1;
        for (Py_ssize_t i = 0; i + 1 < PyBytes_GET_SIZE(plain); i += 2)
            if ((unsigned char)PyBytes_AS_STRING(plain)[i] == RESUME) running[i + 1] &= (unsigned char)~NOTHING_AROUND;
        Py_DECREF(plain);
    #else
        (void)code;
    #endif
        return 0;
    }
    static PyObject *st_code_file(PyObject *code) { return ((PyCodeObject *)code)->co_filename; }
    static int st_code_line(PyObject *code) { return ((PyCodeObject *)code)->co_firstlineno; }
    static int st_code_is_suspending(PyObject *code) { return (((PyCodeObject *)code)->co_flags & ST_CODE_SUSPENDS) != 0; }
    """
    ctypedef void (*tells "st_telling")(PyObject*, PyObject*) noexcept
    object st_new_teller(void* call, tells, bint has_value)
    bint st_is_telling(PyObject** args, size_t nargsf, Py_ssize_t least)
    PyObject* st_refuse_telling()
    const int RUN_TABLES "ST_RUN_TABLES"
    void st_lock_runs(uint64_t) nogil
    void st_unlock_runs(uint64_t) nogil
    void st_renew_run_locks()
    const Py_ssize_t st_frame_offset
    void st_learn_frame_offset(PyObject*)
    PyObject* st_body_of_frame(void*) nogil
    int st_have_its_close_told(PyObject*) except -1
    PyObject* st_code_file(PyObject*)
    int st_code_line(PyObject*)
    bint st_code_is_suspending(PyObject*)
    void Py_SET_TYPE(PyObject*, PyTypeObject*) nogil
    bint PyCode_Check(PyObject*)
    Py_ssize_t Py_REFCNT(PyObject*)
    PyObject* PyExc_GeneratorExit

cdef struct Target:            # a site that records the calls of a code
    Handle* handle
    PyObject* owner            # whose end ends it; but without the GIL, when another thread may be looking: held by it
    Mark* mark
    Target* next               # of the same code
    Target* older              # of the same store
    Target* younger
    bint is_over               # it was given up: what it has open will still be recorded

cdef struct Run:               # of a generator's or coroutine's body, for one target: from its first resume to its end
    SuspendedObject saved
    Mark* mark                 # of its code; compared only
    Run* next                  # for another target
    bint is_closing            # it was last told to end, and may do so by returning
    bint is_lifted             # it goes on because what it waits for was thrown into, without being told itself

cdef Map runs[RUN_TABLES]      # a frame -> its first Run
cdef uint64_t runs_lifted = 0  # atomic
cdef uint64_t codes_tracked = 0  # of which the interpreter says how they end
cdef uint64_t codes_told = 0  # of which it says anything

# ---- marks, and what is told of them

cdef Mark* mark_of(PyObject* code) except NULL:
    """The mark of a code object, made when missing. Its caller holds the lock of marks."""
    cdef Mark* m = <Mark*>st_mark_on(code)
    if m != NULL:
        return m
    m = <Mark*>PyMem_RawCalloc(1, sizeof(Mark))
    if m != NULL:
        m.code = code
        m.suspends = st_code_is_suspending(code)
    if m == NULL or not st_put_mark(code, m, let_mark_go):
        PyMem_RawFree(m)
        raise MemoryError("no memory to track code")
    return m

cdef void let_mark_go(void* mark) noexcept:
    """A code object is gone, and nothing of it runs any more."""
    cdef Mark* m = <Mark*>mark
    cdef Target* t
    if m == NULL:
        return
    st_lock_marks()
    note_told(m, 0)
    if m.events & RETURNS:
        note_tracked(-1)
    t = m.targets
    while t != NULL:
        unlist_target(t)
        t = t.next
    st_unlock_marks()
    while m.targets != NULL:
        t = m.targets
        m.targets = t.next
        free_target(t)
    PyMem_RawFree(m)

cdef void free_target(Target* t) noexcept:
    cdef PyObject* owner = t.owner
    PyMem_RawFree(t)
    if not ST_HAS_GIL:
        Py_DECREF(owner)

cdef void unlist_target(Target* t) noexcept:
    if t.younger != NULL:
        t.younger.older = t.older
    else:
        t.handle.store.targets = t.older
    if t.older != NULL:
        t.older.younger = t.younger

cdef void list_target(Target* t) noexcept:
    t.older = <Target*>t.handle.store.targets
    if t.older != NULL:
        t.older.younger = t
    t.handle.store.targets = t

cdef void note_tracked(int change) noexcept:
    """Before 3.15, exceptions that leave a frame are told of all code or none."""
    global codes_tracked
    cdef bint any_before = codes_tracked != 0
    codes_tracked += change
    if ST_ALL_ARE_LOCAL or any_before == (codes_tracked != 0):
        return
    try:
        monitoring.set_events(monitoring_tool, THROWS | UNWINDS if codes_tracked else THROWS)
    except:  # the interpreter may be shutting down
        pass

cdef void note_told(Mark* m, uint32_t events) noexcept:
    global codes_told
    codes_told += (events != 0) - (m.events != 0)

cdef int set_events(Mark* m, uint32_t events) except -1:
    """Has the interpreter tell some events of a code, and no others. Its caller holds the lock of marks."""
    cdef int change = (events & RETURNS != 0) - (m.events & RETURNS != 0)
    if events == m.events:
        return 0
    if change > 0:
        note_tracked(change)
    try:
        tell_locally(m, events)
    except:
        if change > 0:
            note_tracked(-change)
        raise
    note_told(m, events)
    m.events = events
    if change < 0:
        note_tracked(change)
    return 0

cdef int tell_locally(Mark* m, uint32_t events) except -1:
    try:
        monitoring.set_local_events(monitoring_tool, <object>m.code, events)
    except ValueError:  # another tool has given our number back
        if take_number_again():
            monitoring.set_local_events(monitoring_tool, <object>m.code, events)
    return 0

cdef bint take_number_again() except -1:
    """Takes the number that was ours, and has all be told again that was; False when another tool has it now: then
    nothing is told any more."""
    cdef Store* s = all_stores
    cdef Target* t
    if monitoring.get_tool(monitoring_tool) is not None:
        return False
    use_number(monitoring_tool)
    if codes_tracked and not ST_ALL_ARE_LOCAL:
        monitoring.set_events(monitoring_tool, THROWS | UNWINDS)
    while s != NULL:
        t = <Target*>s.targets
        while t != NULL:
            monitoring.set_local_events(monitoring_tool, <object>t.mark.code, t.mark.events)
            t = t.older
        s = s.next
    return True

cdef inline bint is_on(Target* t) noexcept nogil:
    return not t.is_over and st_load64(t.handle.gate) != OFF

cdef struct OpenNow:           # what has begun and not ended, recorded or not
    Store* store
    char* sites                # of that store: whether any plain call is open
    Map marks                  # of code of which a body runs or is suspended

cdef bint look_at_open(Store* s, OpenNow* found) noexcept:
    """Finds out what is open; False when there is no memory. `forget_open` frees it."""
    cdef Buffer* b
    memset(found, 0, sizeof(OpenNow))
    found.store = s
    found.sites = <char*>PyMem_RawCalloc(max(s.site_count, 1), 1)
    if found.sites == NULL or not note_runs(found):
        return False
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL:
        if not st_load64_acquire(&b.thread.ended):
            note_calls(b, found)
        b = b.next
    PyThread_release_lock(s.lock)
    return True

cdef void forget_open(OpenNow* found) noexcept:
    PyMem_RawFree(found.sites)
    map_free(&found.marks)

cdef bint note_runs(OpenNow* found) noexcept:
    cdef uint64_t i, j, mark
    cdef bint ok = True
    for i in range(RUN_TABLES):
        st_lock_runs(i)
        if runs[i].slots != NULL:
            for j in range(runs[i].mask + 1):
                if runs[i].slots[2 * j] and ok:
                    mark = <uint64_t><uintptr_t>(<Run*><uintptr_t>runs[i].slots[2 * j + 1]).mark
                    ok = map_find(&found.marks, mark) != NULL or map_put(&found.marks, mark, 1)
        st_unlock_runs(i)
    return ok

cdef void note_calls(Buffer* b, OpenNow* found) noexcept:
    """Notes what lies in the flows of a thread, which may be changing them: each step is checked."""
    cdef uint64_t mask = st_load64_acquire(&b.flows.mask), i
    cdef uint64_t* slots = <uint64_t*>st_loadp_acquire(<void**>&b.flows.slots)
    note_flow(b, st_load32_acquire(&b.top), found)
    if slots != NULL:
        for i in range(mask + 1):
            if st_load64(&slots[2 * i]):
                note_flow(b, <uint32_t>st_load64(&slots[2 * i + 1]), found)

cdef void note_flow(Buffer* b, uint32_t offset, OpenNow* found) noexcept:
    cdef size_t most = b.data_start // sizeof(Activation)
    cdef Activation* a
    cdef uint32_t site
    while most and is_activation(b, offset):
        a = activation_at(b, offset)
        site = st_load32(&a.site)
        if not st_load32(&a.flags) & BOTTOM and site < found.store.site_count:
            found.sites[site] = 1
        offset = st_load32(&a.prev)
        most -= 1

cdef inline bint may_still_end(Target* t, OpenNow* found) noexcept:
    """Whether anything that a target has begun is open, as far as that is known."""
    if found == NULL or found.store != t.handle.store:
        return True
    if t.mark.suspends:
        return map_find(&found.marks, <uint64_t><uintptr_t>t.mark) != NULL
    return found.sites[t.handle.site]

cdef uint32_t events_for(Mark* m, OpenNow* found) noexcept:
    """What is to be told of a code: of a target that is off, the ends of what is open."""
    cdef uint32_t ends = RETURNS
    cdef uint32_t events = events_that_tell() if m.is_told else 0
    cdef Target* t = m.targets
    if m.suspends:
        ends |= events_that_tell()
    if ST_ALL_ARE_LOCAL:
        ends |= UNWINDS
    while t != NULL:
        if is_on(t):
            events |= STARTS | ends
        elif m.events & RETURNS and may_still_end(t, found):
            events |= ends
        t = t.next
    return events

cdef int heed_gates(Store* s) except -1:
    """Has the interpreter tell of the code that a store tracks what its tracks' gates want."""
    cdef OpenNow found
    if s.targets == NULL:
        return 0
    memset(&found, 0, sizeof(OpenNow))
    st_lock_marks()
    try:
        set_all_events(s, NULL)  # no more begins, on whatever thread, when this is done
        if look_at_open(s, &found):
            set_all_events(s, &found)
    finally:
        forget_open(&found)
        st_unlock_marks()
    return 0

cdef int set_all_events(Store* s, OpenNow* found) except -1:
    cdef Target* t = <Target*>s.targets
    while t != NULL:
        set_events(t.mark, events_for(t.mark, found))
        t = t.older
    return 0

cdef void heed_last_end(Mark* m, Handle* h) noexcept:
    """A pass of a track that is off has ended: it may have been the last that was open."""
    cdef Buffer* b = current_buffer(h)
    cdef OpenNow found
    cdef Error error
    if b != NULL and is_site_open(b, h.site):
        return
    memset(&found, 0, sizeof(OpenNow))
    st_take_error(&error)
    st_lock_marks()
    try:
        if look_at_open(h.store, &found):
            set_events(m, events_for(m, &found))
    except:  # the interpreter may be shutting down
        pass
    forget_open(&found)
    st_unlock_marks()
    st_put_error(&error)

# ---- plain calls

cdef inline hot start_call(Target* t) noexcept:
    cdef Buffer* b
    cdef Activation* a
    if ST_LIKELY(not t.is_over):
        enter(t.handle, &b, &a, CODE)

cdef inline hot end_call(Target* t, void* frame, uint64_t now, int how) noexcept:
    cdef Handle* h = t.handle
    cdef Buffer* b = <Buffer*>seat_of(h).buffer
    cdef Activation* a
    # The gate is the store's session, and the seat's buffer of it, while its track is on.
    if ST_LIKELY(seat_of(h).session == gate_of(h) and not t.is_over):
        a = activation_at(b, b.top)
        if ST_LIKELY(a.site == h.site and frame_of(a) == frame and not st_load32(&h.asks)):
            leave_quickly(b, a, now, how)
            return
    end_found_call(t, frame, now, how)

cdef void end_found_call(Target* t, void* frame, uint64_t now, int how) noexcept:
    """The same, where it is not plain which pass it is, or whether it is the last."""
    cdef Handle* h = t.handle
    cdef Buffer* b = current_buffer(h)
    cdef Activation* a = NULL
    cdef uint64_t start
    if b != NULL and may_be_open(b, h):
        a = find_own(b, top_for(b, st_context(NULL)), h, frame)
    if a == NULL:
        return  # it was under way when its code was tracked
    start = NOT_YET if a.flags & SILENT else a.start
    leave(b, a, now, how)
    if st_load32(&h.asks) & WATCHED and start != NOT_YET:
        tell_if_slow(t.owner, h, start, now, how)
    if not is_on(t):
        heed_last_end(t.mark, h)

# ---- what suspends

cdef inline uint64_t table_of(void* frame) noexcept nogil:
    return scatter(<uint64_t><uintptr_t>frame) % <uint64_t>RUN_TABLES

cdef Run* find_runs(void* frame) noexcept nogil:
    """The first run of a frame, or NULL. Nobody but who drives it looks at what it gives."""
    cdef uint64_t i = table_of(frame)
    cdef uint64_t* slot
    cdef Run* first
    st_lock_runs(i)
    slot = map_find(&runs[i], <uint64_t><uintptr_t>frame)
    first = <Run*><uintptr_t>slot[1] if slot != NULL else NULL
    st_unlock_runs(i)
    return first

cdef Run* take_runs(void* frame) noexcept nogil:
    """The same, which are to be found no more."""
    cdef uint64_t i = table_of(frame)
    cdef uint64_t* slot
    cdef Run* first = NULL
    st_lock_runs(i)
    slot = map_find(&runs[i], <uint64_t><uintptr_t>frame)
    if slot != NULL:
        first = <Run*><uintptr_t>slot[1]
        map_remove(&runs[i], slot)
    st_unlock_runs(i)
    return first

cdef bint put_runs(void* frame, Run* first) noexcept nogil:
    """Has runs be found by their frame; False when there is no memory."""
    cdef uint64_t i = table_of(frame)
    cdef bint ok
    st_lock_runs(i)
    ok = map_put(&runs[i], <uint64_t><uintptr_t>frame, <uint64_t><uintptr_t>first)
    st_unlock_runs(i)
    return ok

cdef Run* new_run(Target* t, PyObject* code, void* frame) noexcept:
    cdef Run* r = <Run*>PyMem_RawCalloc(1, sizeof(Run))
    cdef int flags = st_code_flags(code)
    cdef PyTypeObject* kind = generator_type
    if r == NULL:
        st_add64(&t.handle.store.untimed, 1)
        return NULL
    if flags & CO_COROUTINE:
        kind = coroutine_type
    elif flags & CO_ASYNC_GENERATOR:
        kind = async_type
    elif flags & CO_ITERABLE_COROUTINE:
        kind = awaitable_type
    Py_SET_TYPE(<PyObject*>&r.saved, kind)  # which is all of an object that is looked at
    r.saved.body = st_frame_of_body(st_body_of_frame(frame))
    r.mark = t.mark
    r.saved.handle = t.handle
    r.saved.owner = t.owner
    Py_INCREF(t.owner)
    return r

cdef void free_run(Run* r) noexcept:
    cdef PyObject* owner = r.saved.owner
    PyMem_RawFree(r)
    Py_DECREF(owner)

cdef void miss_runs(Run* r) noexcept:
    """There is no memory to find them again."""
    cdef Run* following
    while r != NULL:
        following = r.next
        st_add64(&(<Handle*>r.saved.handle).store.untimed, 1)
        free_run(r)
        r = following

cdef void start_runs(Mark* m, void* frame) noexcept:
    """A body begins."""
    cdef Run* first = NULL
    cdef Run* r
    cdef Target* t = <Target*>st_loadp_acquire(<void**>&m.targets)
    end_runs(NULL, frame, CANCELLED)  # of what was there before, whose end nobody told
    while t != NULL:
        if is_on(t) and Py_REFCNT(t.owner):  # which is 0 while what it had is let go
            r = new_run(t, m.code, frame)
            if r != NULL:
                r.next = first
                first = r
        t = t.next
    if first == NULL:
        return
    if not put_runs(frame, first):
        miss_runs(first)
    else:
        go_on_with(first, False)

cdef void go_on_with(Run* r, bint thrown) noexcept:
    """A body goes on."""
    while r != NULL:
        resume(&r.saved, thrown)
        r = r.next

cdef inline bint is_running(Run* r) noexcept nogil:
    return st_loadp_acquire(&r.saved.running) != NULL

cdef void set_lifted(Run* r, bint lifted) noexcept nogil:
    if r.is_lifted != lifted:
        st_add64(&runs_lifted, 1 if lifted else <uint64_t>-1)
        r.is_lifted = lifted

cdef bint lift_waiter(void* waiter) noexcept:
    """Something is thrown into a body past what waits for it, and what waits for that, in a chain: tracked or not. Whether
    any of it is tracked."""
    cdef Run* r = find_runs(waiter) if waiter != NULL else NULL
    cdef bint lifted
    if waiter == NULL or (r != NULL and is_running(r)):
        return False
    lifted = lift_waiter(st_waiting_frame(waiter))
    while r != NULL:
        r.saved.waiter = st_waiting_frame(waiter)
        set_lifted(r, resume(&r.saved, True))
        lifted = lifted or r.is_lifted
        r = r.next
    return lifted

cdef void lower_waiter(void* waiter) noexcept:
    """A body that was thrown into is suspended again, and with it what waits for it."""
    cdef Run* r = find_runs(waiter) if waiter != NULL else NULL
    if waiter == NULL or (r != NULL and not r.is_lifted):
        return
    while r != NULL:
        if r.is_lifted and is_running(r):
            suspend(&r.saved, False, RETURNED, type_of(<PyObject*>&r.saved) != generator_type)
        set_lifted(r, False)
        r = r.next
    lower_waiter(st_waiting_frame(waiter))

cdef void throw_into_runs(void* frame, PyObject* error) noexcept:
    cdef Run* first = find_runs(frame)
    cdef Run* r = first
    cdef void* waiter
    if first == NULL:
        return
    waiter = st_waiting_frame(frame)
    lift_waiter(waiter)
    while r != NULL:
        set_lifted(r, False)
        r.is_closing = PyErr_GivenExceptionMatches(error, PyExc_GeneratorExit)
        r.saved.waiter = waiter
        r = r.next
    go_on_with(first, True)

cdef void throw_past_runs(void* frame) noexcept:
    """What is thrown into is not tracked, but what waits for it may be."""
    cdef uint64_t i
    for i in range(RUN_TABLES):
        if runs[i].used:
            if lift_waiter(st_waiting_frame(frame)):
                be_told(frame)  # of its suspension, which is theirs
            return

cdef void suspend_runs(void* frame, bint waits) noexcept:
    cdef Run* r = find_runs(frame)
    while r != NULL:
        if not waits:
            r.is_closing = False
        if is_running(r):
            suspend(&r.saved, False, RETURNED, waits)
        r = r.next

cdef void end_runs(Mark* m, void* frame, int how) noexcept:
    """A body has ended; of code that has a mark, or is gone."""
    cdef Run* r = take_runs(frame)
    cdef Run* following
    cdef Handle* h
    while r != NULL:
        following = r.next
        h = <Handle*>r.saved.handle
        r.saved.waiter = NULL
        if not is_running(r):
            resume(&r.saved, True)
        if is_running(r):
            suspend(&r.saved, True, CANCELLED if r.is_closing and how == RETURNED else how, False)
        set_lifted(r, False)
        if m != NULL and ST_UNLIKELY(not m.events & STARTS):
            heed_last_end(m, h)
        free_run(r)
        r = following

# ---- what the interpreter tells

cdef inline Mark* tracked_mark(PyObject* code) noexcept nogil:
    cdef Mark* m = <Mark*>st_mark_on(code)
    return m if m != NULL and st_loadp_acquire(<void**>&m.targets) != NULL else NULL

cdef PyObject* start_told(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    cdef Mark* m
    cdef Target* t
    if ST_UNLIKELY(not st_is_telling(args, nargsf, 2)):
        return st_refuse_telling()
    m = tracked_mark(args[0])
    if m == NULL:
        return st_none()
    if ST_UNLIKELY(m.suspends):
        return start_suspending(m)
    t = m.targets
    while t != NULL:
        start_call(t)
        t = t.next
    return st_none()

cdef PyObject* start_suspending(Mark* m) noexcept:
    cdef void* frame = NULL
    st_context(&frame)
    start_runs(m, frame)
    return st_none()

cdef inline hot end_all(Mark* m, uint64_t now, int how) noexcept:
    cdef Target* t = m.targets
    cdef void* frame = NULL
    st_context_of_caller(&frame)
    if ST_UNLIKELY(m.suspends):
        end_runs(m, frame, how)
        return
    while t != NULL:
        end_call(t, frame, now, how)
        t = t.next

cdef PyObject* return_told(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    cdef uint64_t now = st_ticks()
    cdef Mark* m
    if ST_UNLIKELY(not st_is_telling(args, nargsf, 3)):
        return st_refuse_telling()
    m = tracked_mark(args[0])
    if m != NULL:
        end_all(m, now, RETURNED)
    return st_none()

cdef void tell_unwind(PyObject* code, PyObject* error) noexcept:
    cdef uint64_t now
    cdef Mark* m = tracked_mark(code)
    if m != NULL:
        now = st_ticks()
        end_all(m, now, way_out(<PyObject*>Py_TYPE(error), error))

cdef void tell_yield(PyObject* code, PyObject* value) noexcept:
    cdef Mark* m = <Mark*>st_mark_on(code)
    cdef void* frame = NULL
    if m == NULL:
        return
    if m.targets != NULL:
        st_context(&frame)
        suspend_runs(frame, waits_at(st_code_flags(code), value))
    if ST_UNLIKELY(st_load64(&runs_lifted)):
        st_context(&frame)
        lower_waiter(st_waiting_frame(frame))
    if m.is_told:
        body_yields(code, value)

cdef void tell_resume(PyObject* code, PyObject* value) noexcept:
    cdef Mark* m = <Mark*>st_mark_on(code)
    cdef void* frame = NULL
    if m == NULL:
        return
    if m.targets != NULL:
        st_context(&frame)
        go_on_with(find_runs(frame), False)
    if m.is_told:
        body_goes_on()

cdef void tell_throw(PyObject* code, PyObject* error) noexcept:
    cdef Mark* m = <Mark*>st_mark_on(code)
    cdef void* frame = NULL
    st_context(&frame)
    if m != NULL and m.targets != NULL:
        throw_into_runs(frame, error)
    else:
        throw_past_runs(frame)
    if m != NULL and m.is_told:
        body_goes_on()

cdef tuple tellers():
    """What is called for the events, in the order of STARTS, RETURNS, YIELDS, RESUMES, THROWS, UNWINDS."""
    return (st_new_teller(<void*>start_told, NULL, False), st_new_teller(<void*>return_told, NULL, True),
            st_new_teller(NULL, tell_yield, True), st_new_teller(NULL, tell_resume, False),
            st_new_teller(NULL, tell_throw, True), st_new_teller(NULL, tell_unwind, True))

# ---- tracking code

cdef Target* target_of(Mark* m, Store* s) noexcept:
    """What a store has on a code and has not given up, or NULL."""
    cdef Target* t = m.targets
    while t != NULL and (t.handle.store != s or t.is_over):
        t = t.next
    return t

cdef bint is_recorded(PyObject* code, Store* s) noexcept:
    """Whether a store records the calls of a code."""
    cdef Mark* m = <Mark*>st_mark_on(code)
    return m != NULL and target_of(m, s) != NULL

cdef Handle* recorded_as(PyObject* code, Store* s) noexcept:
    """What the calls of a code are passes of in a store; NULL when it does not record them."""
    cdef Mark* m = <Mark*>st_mark_on(code)
    cdef Target* t = target_of(m, s) if m != NULL else NULL
    return t.handle if t != NULL else NULL

cdef int add_target(Mark* m, PyObject* owner, Handle* h) except -1:
    cdef Target* t = <Target*>PyMem_RawCalloc(1, sizeof(Target))
    if t == NULL:
        raise MemoryError("no memory to track code")
    t.owner = owner
    t.handle = h
    t.mark = m
    t.next = m.targets
    if not ST_HAS_GIL:
        Py_INCREF(owner)
    list_target(t)
    st_storep_release(<void**>&m.targets, t)
    return 0

cdef bint record_code(PyObject* code, PyObject* owner, Handle* h) except -1:
    """Has the calls of a code be recorded as passes of a site; False when the site's profiler does so already."""
    cdef Mark* m
    st_lock_marks()
    try:
        m = mark_of(code)
        if target_of(m, h.store) != NULL:
            return False
        if m.suspends:
            st_have_its_close_told(code)
        add_target(m, owner, h)
        set_events(m, events_for(m, NULL))
    finally:
        st_unlock_marks()
    return True

cdef int stop_recording_code(list codes, Store* s) except -1:
    """Has a store record no further call of some code, and take the events away that nobody needs any more."""
    cdef Mark* m
    cdef Target* t
    st_lock_marks()
    for code in codes:
        m = <Mark*>st_mark_on(<PyObject*>code)
        t = target_of(m, s) if m != NULL else NULL
        if t != NULL:
            t.is_over = True
    st_unlock_marks()
    heed_gates(s)
    if ST_HAS_GIL:  # without it, another thread may be looking at them: they go with their code
        let_targets_go(s)
    return 0

cdef void let_targets_go(Store* s) noexcept:
    """Frees what was given up and has nothing open."""
    cdef Target* t = <Target*>s.targets
    cdef Target* older
    cdef OpenNow found
    cdef bint is_known = look_at_open(s, &found)
    while t != NULL and is_known:
        older = t.older
        if t.is_over and not may_still_end(t, &found):
            take_target_off(t)
            free_target(t)
        t = older
    forget_open(&found)

cdef void take_target_off(Target* t) noexcept:
    cdef Target** link = &t.mark.targets
    while link[0] != t:
        link = &link[0].next
    link[0] = t.next
    unlist_target(t)

cdef void forget_targets(Store* s) noexcept:
    """A profiler is gone, and nothing of it is suspended anywhere."""
    cdef Target* t
    cdef Mark* m
    cdef Error error
    st_take_error(&error)
    while s.targets != NULL:
        t = <Target*>s.targets
        m = t.mark
        take_target_off(t)
        free_target(t)
        try:
            set_events(m, events_for(m, NULL))
        except:  # the interpreter may be shutting down
            pass
    st_put_error(&error)

def can_track_code():
    """Whether the interpreter says when code is entered and left: from CPython 3.12 on, where a tool's number is free."""
    return bool(become_tool() and st_frame_offset > 0)

def give_number_back():
    """Gives back the number that we have among the interpreter's tools, unless something is told of any code; whether it
    was given back. It is taken again when it is needed."""
    global monitoring_tool
    cdef bint given = False
    st_lock_marks()
    try:
        if is_told() and not codes_told and monitoring.get_tool(monitoring_tool) == "stichotrope":
            monitoring.set_events(monitoring_tool, 0)
            for event in (STARTS, RETURNS, YIELDS, RESUMES, THROWS, UNWINDS):
                monitoring.register_callback(monitoring_tool, event, None)
            monitoring.free_tool_id(monitoring_tool)
            monitoring_tool = -1
            given = True
    finally:
        st_unlock_marks()
    return given

def code_events(code):
    """The events, as `sys.monitoring` numbers them, that the interpreter is to tell of a code object; for tests."""
    cdef Mark* m = <Mark*>st_mark_on(<PyObject*>code) if PyCode_Check(<PyObject*>code) else NULL
    return m.events if m != NULL else 0

def _learn_frame_offset(generator):
    """Looks up where a generator holds its frame. Called once, by a generator that is given itself."""
    st_learn_frame_offset(<PyObject*>generator)
