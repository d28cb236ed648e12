# Parents across tasks: a context that was copied from another one knows what that one waits in.
#
# When a body that somebody waits for is suspended, its context gets a variable that names the innermost pass it has open.
# What is made meanwhile (a task, a call in another thread) runs in a copy of the context, and lies on that pass.

cdef extern from *:
    """
    typedef struct {
        void *buffer;           /* where the pass is open; compared only */
        uint64_t session;
        uint64_t start;         /* by which it is known again */
        uint32_t activation;
        uint32_t node;
    } st_place;
    typedef struct {
        PyObject_HEAD
        PyObject *context;      /* a weak reference to whose it is, not one that was copied from it: another one may get
                                 * the address of one that is gone */
        st_place innermost;     /* that the context waits in */
        st_place parent;        /* that the one waited in which it was copied from */
    } st_waits_in;
    #define ST_PLAIN_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
    static PyObject *st_waits_in_variable = NULL;
    /* The context that a weak reference is to, compared only; NULL when it is gone. */
    static void *st_context_of(PyObject *reference) {
        PyObject *context = NULL;
    #if PY_VERSION_HEX >= 0x030D0000
        PyWeakref_GetRef(reference, &context);
        Py_XDECREF(context);
    #else
        context = PyWeakref_GET_OBJECT(reference);
    #endif
        return context != Py_None ? context : NULL;
    }
    /* New references, or NULL. No exception is left. */
    static PyObject *st_get_waits_in(void) {
        PyObject *value = NULL;
        if (st_waits_in_variable == NULL || st_thread_state() == NULL) return NULL;
        if (PyContextVar_Get(st_waits_in_variable, NULL, &value) < 0) PyErr_Clear();
        return value;
    }
    static int st_set_waits_in(PyObject *value) {
        PyObject *token;
        if (st_waits_in_variable == NULL) st_waits_in_variable = PyContextVar_New("stichotrope.waits_in", NULL);
        token = st_waits_in_variable != NULL ? PyContextVar_Set(st_waits_in_variable, value) : NULL;
        if (token == NULL) PyErr_Clear();
        Py_XDECREF(token);
        return token != NULL;
    }
    """
    ctypedef struct Place "st_place":
        void* buffer
        uint64_t session
        uint64_t start
        uint32_t activation
        uint32_t node
    ctypedef struct WaitsIn "st_waits_in":
        PyObject* context
        Place innermost
        Place parent
    void* st_context_of(PyObject*)
    PyObject* PyWeakref_NewRef(PyObject*, PyObject*)
    PyObject* st_get_waits_in()
    bint st_set_waits_in(PyObject*)
    const unsigned int ST_PLAIN_FLAGS
    void PyObject_Free(void*)

ctypedef void (*noting)(Buffer*, Activation*) noexcept nogil
ctypedef void (*knowing)(Buffer*) noexcept nogil
ctypedef bint (*laying)(Buffer*, Activation*, void*) noexcept nogil

cdef bint is_still(Buffer* b, Place* place) noexcept nogil:
    """Whether a pass is still open in a buffer."""
    cdef Activation* a
    if st_load64_acquire(&b.session) != place.session or not is_activation(b, place.activation):
        return False
    a = activation_at(b, place.activation)
    return place.start != NOT_YET and st_load64(&a.start) == place.start and st_load32(&a.node) == place.node and not (
        st_load32(&a.flags) & (SILENT | LEFT | BOTTOM))

cdef inline void wait_in(Buffer* b, Activation* a) noexcept nogil:
    """Notes what the running context waits in. Its caller holds the GIL, if there is one."""
    (<noting>note_waits_in)(b, a)

cdef void note_waits_in(Buffer* b, Activation* a) noexcept:
    cdef WaitsIn* w = <WaitsIn*>own_waits_in(b)
    if w == NULL:
        return
    # What it waits for in turn was suspended first, and is what is innermost.
    if not (w.innermost.buffer == b and is_still(b, &w.innermost) and <int64_t>(w.innermost.start - a.start) >= 0):
        w.innermost.buffer = b
        w.innermost.session = b.session
        w.innermost.start = a.start
        w.innermost.activation = offset_of(b, a)
        w.innermost.node = a.node
    Py_DECREF(<PyObject*>w)

cdef inline void know_own_context(Buffer* b) noexcept nogil:
    """Has the running context know what it will wait in, before others are copied from it."""
    (<knowing>own_waits_in_alone)(b)

cdef void own_waits_in_alone(Buffer* b) noexcept:
    Py_XDECREF(own_waits_in(b))

cdef PyObject* own_waits_in(Buffer* b) noexcept:
    """What the running context itself waits in, made when missing: a new reference, or NULL when there is no memory."""
    cdef PyObject* given = st_get_waits_in()
    cdef WaitsIn* w
    cdef Error error
    cdef void* context = st_need_context()
    if given != NULL and is_own(<WaitsIn*>given, context):
        return given
    st_take_error(&error)
    w = <WaitsIn*>PyType_GenericAlloc(waits_in_type, 0)
    if w != NULL and context != NULL:
        w.context = PyWeakref_NewRef(<PyObject*>context, NULL)
    if w == NULL or w.context == NULL:
        PyErr_Clear()
        Py_XDECREF(<PyObject*>w)
        w = NULL
    else:
        w.innermost.start = w.parent.start = NOT_YET
        w.innermost.buffer = b
        w.innermost.session = b.session
        if given != NULL:
            w.parent = (<WaitsIn*>given).innermost
        if not st_set_waits_in(<PyObject*>w):
            Py_DECREF(<PyObject*>w)
            w = NULL
        st_store64(&contexts_wait, 1)
    Py_XDECREF(given)
    st_put_error(&error)
    return <PyObject*>w

cdef inline bint is_own(WaitsIn* given, void* context) noexcept:
    """Whether what was found in a context is its own, and not one that it was copied with."""
    return st_context_of(given.context) == context

cdef Buffer* find_buffer(Store* s, void* wanted) noexcept nogil:
    """A buffer of the store, which its caller has locked, or NULL when it is gone."""
    cdef Buffer* b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL and b != wanted:
        b = b.next
    return b

cdef bint lay_on_parent(Buffer* b, Activation* bottom, void* context) noexcept nogil:
    """Puts an empty flow on what the one waits in that its context was copied from; False when there is none."""
    return (<laying>lay_on_waits_in)(b, bottom, context)

cdef bint lay_on_waits_in(Buffer* b, Activation* bottom, void* context) noexcept:
    """What lies below a context: what the one waits in that it was copied from."""
    cdef PyObject* value = st_get_waits_in()
    cdef Place* parent
    cdef void* copied_from
    cdef Activation* a
    cdef bint found = False
    if value == NULL:
        return False
    copied_from = st_context_of((<WaitsIn*>value).context)
    parent = &(<WaitsIn*>value).innermost
    if copied_from == context:
        parent = &(<WaitsIn*>value).parent
        copied_from = NULL  # not known any more
    # The session is of this profiler, and of this time.
    if parent.session == b.session and parent.buffer != b:
        found = lay_below_other(b, bottom, copied_from, parent)
    elif parent.session == b.session and is_still(b, parent):
        lay_on(b, bottom, activation_at(b, parent.activation))
        found = True
    elif parent.session == b.session and copied_from != NULL:
        a = top_that_waits(b, copied_from)
        found = a != NULL
        if found:
            lay_on(b, bottom, a)
    Py_DECREF(value)
    return found

cdef bint lay_below_other(Buffer* b, Activation* bottom, void* copied_from, Place* parent) noexcept nogil:
    """Has a flow start at the path that its parent is at on another thread. That one is not covered: threads add up."""
    cdef Buffer* origin
    cdef uint32_t node = 0
    cdef int attempt
    for attempt in range(10_000):  # whoever holds it does so for a snapshot at most
        if PyThread_acquire_lock(b.store.lock, NOWAIT_LOCK):
            origin = find_buffer(b.store, parent.buffer)
            if origin != NULL and st_load64_acquire(&origin.session) == b.session:
                node = node_that_waits(origin, copied_from, parent)
            if node:
                node = node_like(b, origin, node, 0)
            PyThread_release_lock(b.store.lock)
            break
        st_pause()
    if node:
        bottom.node = node
    return node != 0

cdef uint32_t node_that_waits(Buffer* origin, void* copied_from, Place* parent) noexcept nogil:
    """The node of what a parent waits in on another thread, or will, as it is still running; 0 when it does not any more."""
    cdef Activation* a = top_that_waits(origin, copied_from) if copied_from != NULL else NULL
    if a != NULL:
        return st_load32(&a.node)
    return parent.node if is_still(origin, parent) else 0

cdef Activation* top_that_waits(Buffer* b, void* context) noexcept nogil:
    """The innermost pass in the flow of a context that is running, or may be suspended without having said so; NULL when
    there is none."""
    cdef uint64_t* slot = NULL if is_told() or context == b.context else find_flow(b, context)
    cdef uint32_t offset = <uint32_t>slot[1] if slot != NULL else st_load32_acquire(&b.top)
    if slot == NULL and b.context != context:
        return NULL
    while is_activation(b, offset) and st_load32(&activation_at(b, offset).flags) & SILENT:
        offset = st_load32(&activation_at(b, offset).prev)
    if not is_activation(b, offset) or st_load32(&activation_at(b, offset).flags) & BOTTOM:
        return NULL
    return activation_at(b, offset)

cdef void waits_in_dealloc(PyObject* self) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(self)
    Py_XDECREF((<WaitsIn*>self).context)
    PyObject_Free(self)
    Py_DECREF(<PyObject*>kind)

cdef PyType_Slot waits_in_slots[2]
cdef PyType_Spec waits_in_spec

cdef object make_waits_in_type():
    set_slot(&waits_in_slots[0], Py_tp_dealloc, <void*>waits_in_dealloc)
    set_slot(&waits_in_slots[1], 0, NULL)
    waits_in_spec.name = "stichotrope._core.WaitsIn"
    waits_in_spec.basicsize = sizeof(WaitsIn)
    waits_in_spec.flags = ST_PLAIN_FLAGS
    waits_in_spec.slots = waits_in_slots
    return PyType_FromSpec(&waits_in_spec)

_WaitsIn = make_waits_in_type()
cdef PyTypeObject* waits_in_type = <PyTypeObject*><PyObject*>_WaitsIn
