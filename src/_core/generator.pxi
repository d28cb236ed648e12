# What suspends: generators, coroutines and asynchronous generators, timed when they run.

cdef extern from *:
    """
    /* What a suspending function returned, and the pass that lasts from its first resume to its end. Between resumes
     * nothing of it is in any buffer, so it may be resumed on another thread, abandoned, or closed by the collector. */
    typedef struct st_suspended st_suspended;
    struct st_suspended {
        PyObject_HEAD
        PyObject *inner;
        PyObject *owner;
        PyObject *references;
        PyObject *finalizer;    /* what an event loop wants to be told when an asynchronous generator is dropped */
        void *handle;
        void *running;          /* atomic: set while it is on a stack */
        st_strand strand;       /* its pass, and what its body has open, from its first resume to its end */
        void *body;             /* the frame of its body */
        void *around;           /* while it is on a stack: the body that was innermost before; compared only */
        void *waiter;           /* the frame whose block it last went on in, which awaits it; compared only */
        uint64_t since;         /* when it was last resumed or suspended */
        int started;
        int untouched;          /* it was returned by a call that is part of the pass, and not resumed since */
        int over;
        int lost;               /* its body ended without it: the exits of what it has open have found nothing */
        int hooked;             /* an asynchronous generator has been shown to its event loop */
        int delegated;          /* somebody awaits it, and goes on with it as with an iterator */
        int closed_by;          /* how the pass ended when it was closed because nobody refers to it any more */
    };
    /* Drives something on behalf of a pass: what awaits a coroutine, or one step of an asynchronous generator. */
    typedef struct {
        PyObject_HEAD
        PyObject *inner;
        PyObject *pass;
        int kind;               /* ST_STEP, ST_CLOSING or 0 */
    } st_relay;
    enum {
        ST_STEP = 1,            /* its return is that of a step of the asynchronous generator, which goes on after it */
        ST_CLOSING = 2          /* its return is the generator's end, which somebody asked for */
    };
    static void st_read_hooks(PyObject **firstiter, PyObject **finalizer) {
        *firstiter = PyThreadState_Get()->async_gen_firstiter;
        *finalizer = PyThreadState_Get()->async_gen_finalizer;
    }
    static PyObject *st_anext(PyObject *generator) { return Py_TYPE(generator)->tp_as_async->am_anext(generator); }
    /* Puts hooks in the place of the thread's: event loops set them to be told of asynchronous generators. */
    static void st_swap_hooks(PyObject **firstiter, PyObject **finalizer) {
        PyThreadState *state = PyThreadState_Get();
        PyObject *first = state->async_gen_firstiter, *final = state->async_gen_finalizer;
        state->async_gen_firstiter = *firstiter;
        state->async_gen_finalizer = *finalizer;
        *firstiter = first;
        *finalizer = final;
    }
    static const char st_close[] = "close";
    /* A coroutine is no iterator for who asks, in C as in Python; but an `await` that holds the very object (`cr_await`)
     * goes on with it as with one. So these slots are set past what the type shows. */
    static void st_be_awaited_itself(PyObject *type, unaryfunc await, getiterfunc iter, iternextfunc next) {
        ((PyTypeObject *)type)->tp_as_async->am_await = await;
        if (iter == NULL) return;
        ((PyTypeObject *)type)->tp_iter = iter;
        ((PyTypeObject *)type)->tp_iternext = next;
    }
    /* As messages call it. */
    static void st_name_type(PyObject *type, const char *name) { ((PyTypeObject *)type)->tp_name = name; }
    static PyMethodDef *st_method_of(PyTypeObject *kind, const char *name) {
        PyMethodDef *each = kind->tp_methods;
        while (each != NULL && each->ml_name != NULL && strcmp(each->ml_name, name) != 0) each++;
        return each != NULL && each->ml_name != NULL ? each : NULL;
    }
    static PyTypeObject *st_kind_shown(PyObject *type) {
        const char *name = ((PyTypeObject *)type)->tp_name;
        return strcmp(name, "coroutine") == 0 ? &PyCoro_Type : strcmp(name, "generator") == 0 ? &PyGen_Type : &PyAsyncGen_Type;
    }
    static PyObject *st_generic(PyObject *type, PyObject *item) {
        return Py_GenericAlias((PyObject *)st_kind_shown(type), item);
    }
    static void st_do_nothing(PyObject *object) { (void)object; }
    /* Has an object count as finalized: that is done once only. The type is there to be called by, for a moment. */
    static void st_note_finalized(PyObject *object) {
        static PyTypeObject done = {
            PyVarObject_HEAD_INIT(NULL, 0)
            .tp_name = "stichotrope._core.Finalized",
            .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
            .tp_finalize = st_do_nothing,
        };
        PyTypeObject *kind = Py_TYPE(object);
        Py_SET_TYPE(object, &done);
        PyObject_CallFinalizer(object);
        Py_SET_TYPE(object, kind);
    }
    /* Reports the exception that is set as the interpreter does when closing what nobody refers to raises it. */
    static void st_report_closing(PyObject *object) {
    #if PY_VERSION_HEX >= 0x030E0000
        PyErr_FormatUnraisable("Exception ignored while closing generator %R", object);
    #else
        PyErr_WriteUnraisable(object);
    #endif
    }
    #define ST_OBJECT_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE \\
                             | Py_TPFLAGS_DISALLOW_INSTANTIATION)
    /* Run with an exception set, and leave it set. */
    #if PY_VERSION_HEX >= 0x030C0000
    #define st_take_error(error) (*(error) = PyErr_GetRaisedException())
    #define st_put_error(error) PyErr_SetRaisedException(*(error))
    #define st_value_of(error) (*(error))
    typedef PyObject *st_error;
    #else
    typedef struct { PyObject *type, *value, *traceback; } st_error;
    #define st_take_error(error) PyErr_Fetch(&(error)->type, &(error)->value, &(error)->traceback)
    #define st_put_error(error) PyErr_Restore((error)->type, (error)->value, (error)->traceback)
    #define st_value_of(error) ((error)->value)
    #endif
    """
    ctypedef struct SuspendedObject "st_suspended":
        PyObject* inner
        PyObject* owner
        PyObject* references
        PyObject* finalizer
        void* handle
        void* running
        Strand strand
        void* body
        void* around
        void* waiter
        uint64_t since
        bint started
        bint untouched
        bint over
        bint lost
        bint hooked
        bint delegated
        int closed_by
    ctypedef struct RelayObject "st_relay":
        PyObject* inner
        PyObject* passing "pass"
        int kind
    const int STEP "ST_STEP"
    const int CLOSING "ST_CLOSING"
    ctypedef struct Error "st_error":
        pass
    const char* CLOSE "st_close"
    void st_be_awaited_itself(PyObject*, void*, void*, void*)
    void st_name_type(PyObject*, const char*)
    PyMethodDef* st_method_of(PyTypeObject*, const char*)
    PyObject* st_generic(PyObject*, PyObject*)
    PyTypeObject PyGen_Type, PyCoro_Type, PyAsyncGen_Type
    const unsigned int ST_OBJECT_FLAGS
    const Py_ssize_t SUSPENDED_REFERENCES_OFFSET "offsetof(st_suspended, references)"
    void st_read_hooks(PyObject** firstiter, PyObject** finalizer)
    void st_swap_hooks(PyObject** firstiter, PyObject** finalizer)
    PyObject* st_anext(PyObject*)
    void st_note_finalized(PyObject*)
    void st_report_closing(PyObject*)
    bint PyObject_GC_IsFinalized(PyObject*)
    void st_take_error(Error*)
    void st_put_error(Error*)
    PyObject* st_value_of(Error*)

cdef extern from "Python.h":
    ctypedef int PySendResult
    const int PYGEN_RETURN, PYGEN_ERROR, PYGEN_NEXT
    PySendResult st_send(PyObject*, PyObject*, PyObject**)
    bint PyGen_CheckExact(PyObject*)
    bint PyCoro_CheckExact(PyObject*)
    bint PyAsyncGen_CheckExact(PyObject*)
    PyObject* PyObject_GetAttrString(PyObject*, const char*)
    PyObject* PyObject_Vectorcall(PyObject*, PyObject**, size_t, PyObject*)
    PyObject* PyObject_CallOneArg(PyObject*, PyObject*)
    PyTypeObject* type_of "Py_TYPE"(PyObject*) nogil
    PyObject* PyObject_SelfIter(PyObject*)
    PyObject* PyObject_Repr(PyObject*)
    int PyObject_CallFinalizerFromDealloc(PyObject*)
    void PyObject_CallFinalizer(PyObject*)
    void PyErr_SetObject(PyObject*, PyObject*)
    void PyErr_SetNone(PyObject*)
    PyObject* PyExc_StopIteration
    PyObject* PyExc_StopAsyncIteration
    bint PyErr_GivenExceptionMatches(PyObject*, PyObject*)
    void PyErr_SetString(PyObject*, const char*)
    PyObject* PyExc_TypeError
    PyObject* PyExc_RuntimeError
    int st_yield_from_asks()
    const int METH_CLASS
    const int Py_tp_iter, Py_tp_iternext, Py_tp_finalize
    const int Py_am_await, Py_am_aiter, Py_am_anext, Py_am_send

cdef bint is_suspended_kind(PyObject* each) noexcept nogil:
    """Whether an object is one of ours that stand for what suspends."""
    cdef PyTypeObject* kind = type_of(each)
    return kind in (generator_type, awaitable_type, coroutine_type, async_type)

cdef PyObject* innermost_of(PyObject* inner) noexcept nogil:
    """What is behind all that stand for it: a function may be tracked more than once."""
    while is_suspended_kind(inner):
        inner = (<SuspendedObject*>inner).inner
    return inner

cdef bint give_up(SuspendedObject* self, Buffer* b) noexcept nogil:
    """There is no memory to go on with a pass, which has been counted as untimed."""
    self.over = True
    if self.started:
        forget_strand(&self.strand, b)
    st_storep_release(&self.running, NULL)
    return False

cdef uint64_t moment(SuspendedObject* self) noexcept nogil:
    """The time, never before what it was when this was last resumed or suspended: a clock may go backwards."""
    self.since += stretch(self.since, st_ticks())
    return self.since

cdef bint turn_to_own(Buffer* b) noexcept nogil:
    """Makes the flow of the running context the current one; False, and counted, when there is no memory."""
    cdef void* context = st_context(NULL)
    if context != b.expected and not switch_flow(b, context):
        b.untimed += 1
        return False
    if b.aside and b.thrown_through != NULL:
        bring_back(b, b.thrown_through)
    return True

cdef bint put_on_stack(SuspendedObject* self, Buffer* b, Handle* h) noexcept nogil:
    """Opens the pass, or goes on with it, on the flow of the running context; False, and counted, when there is no
    memory."""
    cdef Activation* a
    cdef Activation* below = NULL
    if not turn_to_own(b):
        return False
    running_top(b, NULL)
    if self.started:
        return resume_strand(&self.strand, b, moment(self))
    if gate_of(h) & TIMES:
        look_closer(b, h)
    push(b, h, CALL, NULL, &a, &below)
    if a == NULL:
        return False
    a.flags |= BODY
    if type_of(<PyObject*>self) == generator_type or type_of(<PyObject*>self) == async_type:
        go_on_strand(a, self.body)
    self.since = st_ticks()
    begin(b, a, below, self.since)
    hold_buffer(&self.strand, b, a)
    if type_of(<PyObject*>self) != generator_type:
        know_own_context(b)
    return True

cdef void* frame_below(Buffer* b, Activation* a) noexcept nogil:
    """The frame of the innermost block below an activation that may be suspended, or NULL. Below another tracked body,
    it is that one's to know."""
    a = activation_at(b, a.prev)
    while a.prev and not a.flags & (SUSPENDABLE | BODY):
        a = activation_at(b, a.prev)
    return frame_of(a) if a.flags & SUSPENDABLE else NULL

cdef bint resume(SuspendedObject* self, bint thrown) noexcept nogil:
    """Puts the pass on the calling thread's stack; False when this resume is not to be timed. `thrown`: something is
    thrown into it."""
    cdef Handle* h = <Handle*>self.handle
    cdef Buffer* b
    cdef bint ok
    if self.over or not st_casp(&self.running, NULL, <void*>self):
        return False
    if not self.started and gate_of(h) == OFF:
        self.over = True  # it began while its track was off: it is never recorded
        return False
    b = current_buffer(h)
    if b == NULL or b.session != st_load64_acquire(&h.store.session):
        b = settle(h, CALL)
    if b == NULL:
        return give_up(self, NULL)
    if is_posted(b):
        drain(b)
    if self.body == NULL:
        self.body = st_frame_of_body(innermost_of(self.inner))
    if thrown:
        b.thrown_through = self.waiter
    ok = put_on_stack(self, b, h)
    b.thrown_through = NULL
    if not ok:
        return give_up(self, b)
    self.started = True
    self.untouched = False
    self.around = b.body
    b.body = self.body
    return True

cdef bint resume_for(SuspendedObject* self) noexcept nogil:
    """The same, on behalf of what is calling: it is noted which frame that is, if it awaits this."""
    if not resume(self, False):
        return False
    self.waiter = NULL
    if st_delegation_calls():
        self.waiter = frame_below(<Buffer*>self.strand.buffer, <Activation*>self.strand.low)
    return True

cdef size_t count_above(Buffer* b, Activation* a) noexcept nogil:
    """How many passes lie on an activation in the current flow; -1 when it is in another one."""
    cdef size_t count = 0
    cdef uint32_t offset = b.top
    while offset != offset_of(b, a):
        offset = activation_at(b, offset).prev
        if offset == 0:
            return <size_t>-1
        count += 1
    return count

cdef void leave_own(SuspendedObject* self, Buffer* b, Activation* a, uint64_t now, int how) noexcept nogil:
    """A body is gone: it has no `with` open any more, though an exception may have come between its `__enter__` and what
    would have left it. What it entered by hand is still to be left."""
    cdef Activation* each = activation_at(b, b.top)
    cdef Activation* below
    while each != a:
        below = activation_at(b, each.prev)
        if self.lost or (each.flags & SUSPENDABLE and self.body != NULL and st_is_frame_of_body(frame_of(each), self.body)):
            leave(b, each, now, how)
        each = below

cdef void suspend(SuspendedObject* self, bint ends, int how, bint waits) noexcept nogil:
    """Takes the pass off the stack; if it ends, records it."""
    cdef uint64_t now = st_ticks() if ends else moment(self)
    cdef Buffer* b = <Buffer*>self.strand.buffer
    cdef Activation* a = <Activation*>self.strand.low
    cdef void* context = st_context(NULL)
    cdef uint64_t start = NOT_YET if a.flags & SILENT else a.start
    cdef size_t above
    if is_posted(b):
        drain(b)
    if ST_UNLIKELY(context != b.context):
        turn_to(b, context)  # the body was in another context meanwhile, and its own blocks lie in this one
    b.body = self.around
    above = count_above(b, a)
    self.strand.session = b.session
    if not ends and above == <size_t>-1:
        bring_to_top(b, a, now)
    if not ends:
        if not suspend_strand(&self.strand, b, a, now, waits, True):
            b.untimed += 1
            self.over = True
            leave_unrecorded(b, a, now)
            b.held -= 1
    else:
        self.over = True
        if above and above != <size_t>-1:
            leave_own(self, b, a, now, how)
        a.flags &= ~<uint32_t>BODY
        leave(b, a, now, how)
        b.held -= 1
    st_storep_release(&self.running, NULL)
    if ends and ST_UNLIKELY(st_load32(&(<Handle*>self.handle).asks) & WATCHED and start != NOT_YET):
        (<slow_telling>tell_if_slow)(self.owner, <Handle*>self.handle, start, now, how)

cdef void leave_unrecorded(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    if not a.flags & SILENT:
        forget_processor_time(b, a)
        close(b, a, now)
    st_let_go(take_out(b, a))

cdef void bring_to_top(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Moves a pass from another flow to the top of the current one: its body has been in another context meanwhile."""
    if not a.flags & SILENT:
        hand_over(b, a, now)
    st_let_go(take_off(b, a))
    attach_chain(b, a, a, now)

cdef bint is_coroutine(PyObject* result) noexcept:
    return PyCoro_CheckExact(result) or Py_TYPE(result) == coroutine_type

cdef bint is_over(PyObject* inner) noexcept:
    """Whether a generator or coroutine has come to its end. An exception that is set stays so."""
    cdef Error error
    cdef PyObject* frame
    cdef bint over
    st_take_error(&error)
    inner = innermost_of(inner)
    frame = PyObject_GetAttrString(
        inner, "gi_frame" if PyGen_CheckExact(inner) else "cr_frame" if PyCoro_CheckExact(inner) else "ag_frame")
    over = frame == NULL or frame == Py_None
    if frame == NULL:
        PyErr_Clear()
    Py_XDECREF(frame)
    st_put_error(&error)
    return over

cdef int way_out(PyObject* kind, PyObject* value) noexcept:
    """How a pass ends that an exception leaves. Told by name: nothing is imported for it."""
    if kind == NULL or kind == Py_None:
        return RETURNED
    return CANCELLED if st_cancels(kind, value, 0) else FAILED

cdef int way_out_raising() noexcept:
    """The same, for the exception that is set."""
    cdef Error error
    cdef PyObject* kind = PyErr_Occurred()
    cdef int how
    if kind == NULL:
        return RETURNED
    st_take_error(&error)
    how = way_out(kind, st_value_of(&error))
    st_put_error(&error)
    return how

cdef int way_out_now() noexcept:
    """The same, for a generator or a step of one: an exception that says that it has returned is none."""
    cdef PyObject* kind = PyErr_Occurred()
    if kind != NULL and (PyErr_GivenExceptionMatches(kind, PyExc_StopIteration) or PyErr_GivenExceptionMatches(
            kind, PyExc_StopAsyncIteration)):
        return RETURNED
    return way_out_raising()

cdef bint is_awaited(SuspendedObject* self, PyObject* inner) noexcept:
    """Whether somebody waits for what has just been suspended: for a coroutine, or in a step of an asynchronous
    generator."""
    cdef PyTypeObject* kind = Py_TYPE(<PyObject*>self)
    return kind != generator_type and (kind != async_type or inner != self.inner)

cdef void note_end_before_start(SuspendedObject* self) noexcept:
    """What was closed or thrown into before its first resume is over: resuming it then runs nothing, and is no pass."""
    if not self.started and is_over(self.inner):
        self.over = True

cdef PySendResult drive(PyObject* passing, PyObject* inner, PyObject* value, PyObject** result, int kind) noexcept:
    """Sends a value on, and times what runs until the answer. `kind`: STEP, CLOSING or 0, says what a return means."""
    cdef SuspendedObject* self = <SuspendedObject*>passing
    cdef bint timed
    cdef Working w
    cdef PySendResult status
    # Before its first step, an asynchronous generator that is closed or thrown into runs nothing, nor does anything that
    # is sent a value: no pass begins.
    timed = (self.started or kind == STEP or (inner == self.inner and value == Py_None)) and resume_for(self)
    status = st_send(inner, value, result)
    if not timed:
        note_end_before_start(self)
        return status
    note_working(&w, <Buffer*>self.strand.buffer, <Activation*>self.strand.low)
    if status == PYGEN_RETURN:
        suspend(self, kind != STEP and (inner == self.inner or is_over(self.inner)),
                CANCELLED if kind == CLOSING else RETURNED, False)
    else:
        suspend(self, status == PYGEN_ERROR and is_over(self.inner), way_out_now(), is_awaited(self, inner))
    if ST_UNLIKELY(st_load32(&(<Handle*>self.handle).asks) & ASKED and is_given(self, status, kind)):
        work_of(self.owner, <Handle*>self.handle, &w, result[0])
    return status

cdef bint is_given(SuspendedObject* self, PySendResult status, int kind) noexcept:
    """Whether an answer is something that the tracked function gives: what a generator yields, also by a step of an
    asynchronous one, and what a coroutine returns."""
    if Py_TYPE(<PyObject*>self) == generator_type:
        return status == PYGEN_NEXT
    return status == PYGEN_RETURN and kind != CLOSING

cdef void work_of_thrown(SuspendedObject* self, Working* w, PyObject* result) noexcept:
    """Counts what is given where something was thrown in: a result, or a StopIteration that is set and stays so."""
    cdef Error error
    cdef PyObject* value
    cdef PyObject* kind = PyErr_Occurred() if result == NULL else NULL
    if Py_TYPE(<PyObject*>self) == generator_type:
        if result != NULL:
            work_of(self.owner, <Handle*>self.handle, w, result)
    elif kind != NULL and PyErr_GivenExceptionMatches(kind, PyExc_StopIteration):
        st_take_error(&error)
        value = stopped_with(st_value_of(&error))
        if value != NULL:
            work_of(self.owner, <Handle*>self.handle, w, value)
            Py_DECREF(value)
        st_put_error(&error)

cdef PyObject* stopped_with(PyObject* stop) noexcept:
    """What a StopIteration carries. On 3.11 an exception that is set may not be an instance yet: then it is the value."""
    cdef PyObject* value
    if stop == NULL:
        return NULL
    if not PyErr_GivenExceptionMatches(<PyObject*>Py_TYPE(stop), PyExc_StopIteration):
        Py_INCREF(stop)
        return stop
    value = PyObject_GetAttrString(stop, "value")
    if value == NULL:
        PyErr_Clear()
    return value

cdef PyObject* give(PySendResult status, PyObject* result, bint plain) noexcept:
    """What `__next__` or `send` gives for an answer: a return is a StopIteration, left out where it may be (`plain`), and
    without an argument where nothing was returned."""
    cdef PyObject* stop
    if status == PYGEN_RETURN:
        if result == Py_None:
            if not plain:
                PyErr_SetNone(PyExc_StopIteration)
        else:
            stop = PyObject_CallOneArg(PyExc_StopIteration, result)
            if stop != NULL:
                PyErr_SetObject(PyExc_StopIteration, stop)
                Py_DECREF(stop)
        Py_DECREF(result)
        return NULL
    return result

cdef PyObject* call_on(PyObject* passing, PyObject* inner, const char* method, PyObject** args,
                       Py_ssize_t count) noexcept:
    """Calls `throw` or `close`, and times what runs until it is answered."""
    cdef SuspendedObject* self = <SuspendedObject*>passing
    cdef PyObject* bound = PyObject_GetAttrString(inner, method)
    cdef PyObject* result
    cdef bint timed
    cdef Working w
    cdef int how
    if bound == NULL:
        return NULL
    timed = self.started and resume(self, True)  # before its first resume, no pass begins by its being closed
    result = PyObject_Vectorcall(bound, args, count, NULL)
    if timed:
        note_working(&w, <Buffer*>self.strand.buffer, <Activation*>self.strand.low)
        how = CANCELLED if result != NULL and method == CLOSE else way_out_now()
        suspend(self, is_over(self.inner), how, result != NULL and is_awaited(self, inner))
        if ST_UNLIKELY(st_load32(&(<Handle*>self.handle).asks) & ASKED and method != CLOSE):
            work_of_thrown(self, &w, result)
    else:
        note_end_before_start(self)
    Py_DECREF(bound)
    return result

cdef PySendResult suspended_am_send(PyObject* self, PyObject* value, PyObject** result) noexcept:
    return drive(self, (<SuspendedObject*>self).inner, value, result, 0)

cdef PyObject* suspended_next(PyObject* self) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = drive(self, (<SuspendedObject*>self).inner, Py_None, &result, 0)
    return give(status, result, True)

cdef PyObject* suspended_send(PyObject* self, PyObject* value) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = drive(self, (<SuspendedObject*>self).inner, value, &result, False)
    return give(status, result, False)

cdef PyObject* suspended_throw(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return call_on(self, (<SuspendedObject*>self).inner, "throw", args, count)

cdef PyObject* suspended_close(PyObject* self, PyObject* ignored) noexcept:
    return call_on(self, (<SuspendedObject*>self).inner, CLOSE, NULL, 0)

cdef PyObject* coroutine_wrapper(PyObject* self) noexcept:
    """What `__await__` gives: as every coroutine's, an iterator that drives it."""
    cdef PyObject* inner = (<SuspendedObject*>self).inner
    Py_INCREF(inner)
    return new_relay(wrapper_type, self, inner, 0)

cdef bint is_awaited_already(SuspendedObject* self) noexcept:
    """Whether a coroutine is suspended in an `await` of its own: so somebody waits for it."""
    cdef PyObject* awaits
    cdef bint waits
    if not self.started and not self.over:
        return False
    if not self.over:
        return not self.untouched and st_loadp_acquire(&self.running) == NULL
    awaits = PyObject_GetAttrString(innermost_of(self.inner), "cr_await")  # it may go on untimed
    waits = awaits != NULL and awaits != Py_None
    if awaits == NULL:
        PyErr_Clear()
    Py_XDECREF(awaits)
    return waits

cdef PyObject* delegated(PyObject* self) noexcept:
    (<SuspendedObject*>self).delegated = True
    Py_INCREF(self)
    return self

cdef PyObject* coroutine_await(PyObject* self) noexcept:
    """What an `await` goes on with: the coroutine, which is then seen to be what is awaited."""
    if is_awaited_already(<SuspendedObject*>self):
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already")
        return NULL
    return delegated(self)

cdef PyObject* coroutine_iter(PyObject* self) noexcept:
    """A `yield from` may go on with a coroutine where it stands in one; nobody else may iterate over it."""
    cdef int asks = st_yield_from_asks()
    if asks > 0:
        return delegated(self)
    PyErr_SetString(
        PyExc_TypeError, "cannot 'yield from' a coroutine object in a non-coroutine generator" if asks
        else "'coroutine' object is not iterable")
    return NULL

cdef PyObject* coroutine_next(PyObject* self) noexcept:
    if not (<SuspendedObject*>self).delegated:
        PyErr_SetString(PyExc_TypeError, "'coroutine' object is not an iterator")
        return NULL
    return suspended_next(self)

cdef bint show_to_loop(SuspendedObject* self) noexcept:
    """Tells the event loop of an asynchronous generator, as the interpreter does when one is first used; False for an
    exception. The loop shall close what the program sees, not what is behind it."""
    cdef PyObject* firstiter = NULL
    cdef PyObject* finalizer = NULL
    cdef PyObject* result = Py_None
    self.hooked = True
    st_read_hooks(&firstiter, &finalizer)
    Py_XINCREF(finalizer)
    self.finalizer = finalizer
    if firstiter != NULL:
        Py_INCREF(firstiter)
        result = PyObject_CallOneArg(firstiter, <PyObject*>self)
        Py_DECREF(firstiter)
        Py_XDECREF(result)
    return result != NULL

def _closed_by_its_loop(generator):
    """The finalizer of what is behind an asynchronous generator whose event loop wants to be told when it is dropped:
    whichever of the two the collector comes to first, the loop closes what the program sees, or nobody closes it."""

cdef object closed_by_its_loop = _closed_by_its_loop

cdef PyObject* step(PyObject* self, const char* method, PyObject** args, Py_ssize_t count, int kind) noexcept:
    """One step of an asynchronous generator: the awaitable that it gives, driven on behalf of its pass."""
    cdef SuspendedObject* s = <SuspendedObject*>self
    cdef PyObject* no_firstiter = NULL
    cdef PyObject* no_finalizer = NULL
    cdef PyObject* bound = NULL
    cdef PyObject* result = NULL
    cdef bint first = not s.hooked
    if first and not show_to_loop(s):
        return NULL
    if method != NULL:
        bound = PyObject_GetAttrString(s.inner, method)
        if bound == NULL:
            return NULL
    if first:
        if s.finalizer != NULL:
            no_finalizer = <PyObject*>closed_by_its_loop
        st_swap_hooks(&no_firstiter, &no_finalizer)
    result = PyObject_Vectorcall(bound, args, count, NULL) if bound != NULL else st_anext(s.inner)
    if first:
        st_swap_hooks(&no_firstiter, &no_finalizer)
    Py_XDECREF(bound)
    return new_relay(send_type if kind == STEP else throw_type, self, result, kind) if result != NULL else NULL

cdef PyObject* suspended_anext(PyObject* self) noexcept:
    return step(self, NULL, NULL, 0, STEP)

cdef PyObject* suspended_asend(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return step(self, "asend", args, count, STEP)

cdef PyObject* suspended_athrow(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return step(self, "athrow", args, count, 0)

cdef PyObject* suspended_aclose(PyObject* self, PyObject* ignored) noexcept:
    return step(self, "aclose", NULL, 0, CLOSING)

cdef PyObject* suspended_getattr(PyObject* self, PyObject* name) noexcept:
    # Frame, code, state and name are the inner one's.
    cdef PyObject* value = PyObject_GenericGetAttr(self, name)
    if value == NULL and PyErr_ExceptionMatches(PyExc_AttributeError):
        PyErr_Clear()
        value = PyObject_GetAttr((<SuspendedObject*>self).inner, name)
    return value

cdef int suspended_setattr(PyObject* self, PyObject* name, PyObject* value) noexcept:
    # Its names can be written to; all else the inner one refuses.
    return PyObject_SetAttr((<SuspendedObject*>self).inner, name, value)

cdef PyObject* suspended_class(PyObject* self, void* closure) noexcept:
    # `isinstance` and with it `inspect` see what the function really gave.
    cdef PyObject* kind = <PyObject*>Py_TYPE((<SuspendedObject*>self).inner)
    Py_INCREF(kind)
    return kind

cdef PyObject* suspended_repr(PyObject* self) noexcept:
    return PyObject_Repr((<SuspendedObject*>self).inner)

cdef void suspended_finalize(PyObject* self) noexcept:
    """An abandoned pass ends here. Dropping the last reference to the inner one runs what is left of its body."""
    cdef SuspendedObject* s = <SuspendedObject*>self
    cdef Error error
    cdef PyObject* result
    cdef bint is_over_now = is_over(s.inner)
    cdef bint has_loop = s.finalizer != NULL and not is_over_now
    if s.started and not s.over:
        s.lost = is_over_now
    elif not has_loop:
        return
    st_take_error(&error)
    # An asynchronous generator is closed by its event loop, which takes it up again, in its own time, timed or not. A
    # coroutine that was never awaited says so when it goes, if nobody closes it before.
    if has_loop:
        result = PyObject_CallOneArg(s.finalizer, self)
        if result == NULL:
            PyErr_WriteUnraisable(s.inner)
        Py_XDECREF(result)
    elif not s.untouched and not PyAsyncGen_CheckExact(innermost_of(s.inner)):
        finalize_inner(s)
    st_put_error(&error)

cdef void finalize_inner(SuspendedObject* self) noexcept:
    """Closes what is behind one that is abandoned as it would be closed itself: once, though it may ignore that."""
    cdef bint timed = resume(self, True)
    self.closed_by = close_once(self.inner)
    if timed:
        suspend(self, is_over(self.inner), self.closed_by, False)

cdef int close_once(PyObject* inner) noexcept:
    """Does what the interpreter does to a generator or coroutine that nobody refers to any more. Gives how its pass ends,
    which the interpreter would not say."""
    cdef PyObject* bound
    cdef PyObject* result = NULL
    cdef int how = CANCELLED
    if is_suspended_kind(inner):
        PyObject_CallFinalizer(inner)
        return (<SuspendedObject*>inner).closed_by
    if PyObject_GC_IsFinalized(inner):
        return CANCELLED
    bound = PyObject_GetAttrString(inner, CLOSE)
    if bound != NULL:
        result = PyObject_Vectorcall(bound, NULL, 0, NULL)
        Py_DECREF(bound)
    if result == NULL:
        how = way_out_raising()
        st_report_closing(inner)
    Py_XDECREF(result)
    st_note_finalized(inner)
    return how

cdef void end_abandoned(SuspendedObject* self) noexcept:
    """The pass of what is dropped ends now, if closing it has not ended it."""
    cdef Error error
    if self.started and not self.over:
        # What its event loop did not take up again goes without running: it leaves nothing.
        self.lost = self.finalizer != NULL or is_over(self.inner)
        st_take_error(&error)
        if resume(self, False):
            self.body = NULL  # it is still to leave what it has open
            if is_suspended_kind(self.inner):
                end_abandoned(<SuspendedObject*>self.inner)
            suspend(self, True, CANCELLED, False)
        st_put_error(&error)

cdef int suspended_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef SuspendedObject* s = <SuspendedObject*>self
    cdef int result = visit(<PyObject*>Py_TYPE(self), arg)
    if not result:
        result = visit(s.inner, arg)
    if not result and s.finalizer != NULL:
        result = visit(s.finalizer, arg)
    return result if result else visit(s.owner, arg)

cdef void suspended_dealloc(PyObject* self) noexcept:
    cdef SuspendedObject* s = <SuspendedObject*>self
    cdef PyTypeObject* kind = Py_TYPE(self)
    if PyObject_CallFinalizerFromDealloc(self) < 0:
        return  # somebody has taken it up again
    PyObject_GC_UnTrack(self)
    end_abandoned(s)
    if s.references != NULL:
        PyObject_ClearWeakRefs(self)
    Py_XDECREF(s.inner)
    Py_XDECREF(s.finalizer)
    Py_XDECREF(s.owner)
    PyObject_GC_Del(self)
    Py_DECREF(<PyObject*>kind)

cdef PySendResult relay_am_send(PyObject* self, PyObject* value, PyObject** result) noexcept:
    cdef RelayObject* r = <RelayObject*>self
    return drive(r.passing, r.inner, value, result, r.kind)

cdef PyObject* relay_next(PyObject* self) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = relay_am_send(self, Py_None, &result)
    return give(status, result, True)

cdef PyObject* relay_send(PyObject* self, PyObject* value) noexcept:
    cdef PyObject* result = NULL
    cdef PySendResult status = relay_am_send(self, value, &result)
    return give(status, result, False)

cdef PyObject* relay_throw(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    return call_on((<RelayObject*>self).passing, (<RelayObject*>self).inner, "throw", args, count)

cdef PyObject* relay_close(PyObject* self, PyObject* ignored) noexcept:
    return call_on((<RelayObject*>self).passing, (<RelayObject*>self).inner, CLOSE, NULL, 0)

cdef int relay_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef int result = visit(<PyObject*>Py_TYPE(self), arg)
    if not result:
        result = visit((<RelayObject*>self).inner, arg)
    return result if result else visit((<RelayObject*>self).passing, arg)

cdef void relay_dealloc(PyObject* self) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(self)
    PyObject_GC_UnTrack(self)
    Py_XDECREF((<RelayObject*>self).inner)
    Py_XDECREF((<RelayObject*>self).passing)
    PyObject_GC_Del(self)
    Py_DECREF(<PyObject*>kind)

cdef PyMethodDef generator_methods[5]
cdef PyMethodDef coroutine_methods[5]
cdef PyMethodDef async_methods[5]
cdef PyMethodDef relay_methods[4]
cdef PyMemberDef suspended_members[2]
cdef PyGetSetDef suspended_getset[2]

cdef object make_type(const char* name, int size, PyType_Slot* slots):
    cdef PyType_Spec spec
    memset(&spec, 0, sizeof(PyType_Spec))
    spec.name = name
    spec.basicsize = size
    spec.flags = ST_OBJECT_FLAGS
    spec.slots = slots
    made = PyType_FromSpec(&spec)
    st_for_good(<PyObject*>made)
    st_name_type(<PyObject*>made, name + len(b"builtins."))
    return made

cdef void set_documented(PyMethodDef* method, PyTypeObject* shown, const char* name, void* function, int flags) noexcept:
    """A method that the type which is shown has too, on this version."""
    cdef PyMethodDef* its = st_method_of(shown, name)
    if its != NULL:
        set_method(method, name, function, flags)
        method.ml_doc = its.ml_doc

cdef void set_driving(PyMethodDef* methods, PyTypeObject* shown) noexcept:
    set_documented(&methods[0], shown, "send", <void*>suspended_send, METH_O)
    set_documented(&methods[1], shown, "throw", <void*>suspended_throw, METH_FASTCALL)
    set_documented(&methods[2], shown, "close", <void*>suspended_close, METH_NOARGS)
    set_documented(&methods[3], shown, "__class_getitem__", <void*>st_generic, METH_O | METH_CLASS)

cdef int set_common(PyType_Slot* slots) noexcept:
    """The slots that all suspended kinds share; how many they are."""
    set_slot(&slots[0], Py_tp_dealloc, <void*>suspended_dealloc)
    set_slot(&slots[1], Py_tp_traverse, <void*>suspended_traverse)
    set_slot(&slots[2], Py_tp_finalize, <void*>suspended_finalize)
    set_slot(&slots[3], Py_tp_getattro, <void*>suspended_getattr)
    set_slot(&slots[4], Py_tp_repr, <void*>suspended_repr)
    set_slot(&slots[5], Py_tp_members, suspended_members)
    set_slot(&slots[6], Py_tp_getset, suspended_getset)
    set_slot(&slots[7], Py_tp_setattro, <void*>suspended_setattr)
    return 8

cdef object make_suspended_types():
    """(generator, generator that may be awaited, coroutine, asynchronous generator)"""
    cdef PyType_Slot slots[16]
    cdef int n
    set_driving(generator_methods, &PyGen_Type)
    set_driving(coroutine_methods, &PyCoro_Type)
    set_documented(&async_methods[0], &PyAsyncGen_Type, "asend", <void*>suspended_asend, METH_FASTCALL)
    set_documented(&async_methods[1], &PyAsyncGen_Type, "athrow", <void*>suspended_athrow, METH_FASTCALL)
    set_documented(&async_methods[2], &PyAsyncGen_Type, "aclose", <void*>suspended_aclose, METH_NOARGS)
    set_documented(&async_methods[3], &PyAsyncGen_Type, "__class_getitem__", <void*>st_generic, METH_O | METH_CLASS)
    set_method(&relay_methods[0], "send", <void*>relay_send, METH_O)
    set_method(&relay_methods[1], "throw", <void*>relay_throw, METH_FASTCALL)
    set_method(&relay_methods[2], "close", <void*>relay_close, METH_NOARGS)
    set_member(&suspended_members[0], "__weaklistoffset__", T_PYSSIZET, SUSPENDED_REFERENCES_OFFSET)
    suspended_getset[0].name = "__class__"
    suspended_getset[0].get = <void*>suspended_class
    n = set_common(slots)
    set_slot(&slots[n], Py_tp_iter, <void*>PyObject_SelfIter)
    set_slot(&slots[n + 1], Py_tp_iternext, <void*>suspended_next)
    set_slot(&slots[n + 2], Py_am_send, <void*>suspended_am_send)
    set_slot(&slots[n + 3], Py_tp_methods, generator_methods)
    set_slot(&slots[n + 4], 0, NULL)
    generator = make_type("builtins.generator", sizeof(SuspendedObject), slots)
    awaitable = make_type("builtins.generator", sizeof(SuspendedObject), slots)
    st_be_awaited_itself(<PyObject*>awaitable, <void*>PyObject_SelfIter, NULL, NULL)
    set_slot(&slots[n], Py_am_await, <void*>coroutine_wrapper)
    set_slot(&slots[n + 1], Py_am_send, <void*>suspended_am_send)
    set_slot(&slots[n + 2], Py_tp_methods, coroutine_methods)
    set_slot(&slots[n + 3], 0, NULL)
    coroutine = make_type("builtins.coroutine", sizeof(SuspendedObject), slots)
    st_be_awaited_itself(<PyObject*>coroutine, <void*>coroutine_await, <void*>coroutine_iter, <void*>coroutine_next)
    set_slot(&slots[n], Py_am_aiter, <void*>PyObject_SelfIter)
    set_slot(&slots[n + 1], Py_am_anext, <void*>suspended_anext)
    set_slot(&slots[n + 2], Py_tp_methods, async_methods)
    set_slot(&slots[n + 3], 0, NULL)
    return generator, awaitable, coroutine, make_type("builtins.async_generator", sizeof(SuspendedObject), slots)

cdef object make_relay_types():
    """(what a coroutine's `__await__` gives, a step of an asynchronous generator, what is thrown into it)"""
    cdef PyType_Slot slots[9]
    set_slot(&slots[0], Py_tp_dealloc, <void*>relay_dealloc)
    set_slot(&slots[1], Py_tp_traverse, <void*>relay_traverse)
    set_slot(&slots[2], Py_tp_iter, <void*>PyObject_SelfIter)
    set_slot(&slots[3], Py_tp_iternext, <void*>relay_next)
    set_slot(&slots[4], Py_am_send, <void*>relay_am_send)
    set_slot(&slots[5], Py_tp_methods, relay_methods)
    set_slot(&slots[6], 0, NULL)
    wrapper = make_type("builtins.coroutine_wrapper", sizeof(RelayObject), slots)
    set_slot(&slots[6], Py_am_await, <void*>PyObject_SelfIter)
    set_slot(&slots[7], 0, NULL)
    return (wrapper, make_type("builtins.async_generator_asend", sizeof(RelayObject), slots),
            make_type("builtins.async_generator_athrow", sizeof(RelayObject), slots))

TrackedGenerator, TrackedAwaitableGenerator, TrackedCoroutine, TrackedAsyncGenerator = make_suspended_types()
cdef object CoroutineWrapper, Step, Throw
CoroutineWrapper, Step, Throw = make_relay_types()
cdef PyTypeObject* generator_type = <PyTypeObject*><PyObject*>TrackedGenerator
cdef PyTypeObject* awaitable_type = <PyTypeObject*><PyObject*>TrackedAwaitableGenerator
cdef PyTypeObject* coroutine_type = <PyTypeObject*><PyObject*>TrackedCoroutine
cdef PyTypeObject* async_type = <PyTypeObject*><PyObject*>TrackedAsyncGenerator
cdef PyTypeObject* wrapper_type = <PyTypeObject*><PyObject*>CoroutineWrapper
cdef PyTypeObject* send_type = <PyTypeObject*><PyObject*>Step
cdef PyTypeObject* throw_type = <PyTypeObject*><PyObject*>Throw

cdef PyObject* new_relay(PyTypeObject* kind, PyObject* passing, PyObject* inner, int part) noexcept:
    """Takes over the reference to `inner`. `part`: STEP, CLOSING or 0."""
    cdef PyObject* self = PyType_GenericAlloc(kind, 0)
    if self == NULL:
        Py_DECREF(inner)
        return NULL
    (<RelayObject*>self).inner = inner
    (<RelayObject*>self).passing = passing
    (<RelayObject*>self).kind = part
    Py_INCREF(passing)
    return self

cdef PyTypeObject* kind_for(PyObject* inner, PyObject* callee) noexcept:
    """The type that stands for what a callable returned; NULL when that does not suspend."""
    if is_suspended_kind(inner):
        return Py_TYPE(inner)
    if PyCoro_CheckExact(inner):
        return coroutine_type
    if PyAsyncGen_CheckExact(inner):
        return async_type
    if PyGen_CheckExact(inner):
        return awaitable_type if st_is_awaitable_generator(inner, callee) else generator_type
    return NULL

cdef extern from *:
    """
    /* A generator function under `types.coroutine`: its code says that what it gives can be awaited. */
    static int st_is_awaitable_generator(PyObject *generator, PyObject *callee) {
        if (PyFunction_Check(callee))  /* the usual case: no look-up */
            return (((PyCodeObject *)PyFunction_GET_CODE(callee))->co_flags & CO_ITERABLE_COROUTINE) != 0;
        PyObject *code = PyObject_GetAttrString(generator, "gi_code");
        int is = code != NULL && PyCode_Check(code) && (((PyCodeObject *)code)->co_flags & CO_ITERABLE_COROUTINE);
        if (code == NULL) PyErr_Clear();
        Py_XDECREF(code);
        return is;
    }
    """
    bint st_is_awaitable_generator(PyObject*, PyObject*)

cdef PyObject* new_suspended(PyTypeObject* kind, Marked* m, PyObject* inner) noexcept:
    """Stands for what a tracked function returned, and takes over the reference to it; NULL when there is no memory."""
    cdef PyObject* self = PyType_GenericAlloc(kind, 0)
    if self != NULL:
        (<SuspendedObject*>self).inner = inner
        (<SuspendedObject*>self).closed_by = CANCELLED
        (<SuspendedObject*>self).owner = m.owner
        (<SuspendedObject*>self).handle = m.handle
        Py_INCREF(m.owner)
    return self

cdef PyObject* go_on(Marked* m, Buffer* b, Activation* a, PyObject* inner) noexcept:
    """A call has returned a coroutine that it made: the pass goes on until that ends."""
    cdef PyObject* made = new_suspended(coroutine_type, m, inner)
    cdef SuspendedObject* self = <SuspendedObject*>made
    if made == NULL:
        PyErr_Clear()
        leave(b, a, st_ticks(), RETURNED)
        return inner
    self.started = True
    self.untouched = True
    a.flags |= BODY
    self.around = b.body
    self.since = a.start
    hold_buffer(&self.strand, b, a)
    st_storep_release(&self.running, made)
    suspend(self, False, RETURNED, False)
    return made

cdef PyObject* standing_for(Marked* m, PyObject* inner) noexcept:
    """What a call of what suspends gives in place of what it gave: it is timed when it runs, not when it is made."""
    cdef PyTypeObject* kind
    cdef PyObject* made
    if inner == NULL or gate_of(<Handle*>m.handle) == OFF:
        return inner
    kind = kind_for(inner, m.callee)
    if kind == NULL:
        return inner
    made = new_suspended(kind, m, inner)
    if made == NULL:
        Py_DECREF(inner)
    return made
