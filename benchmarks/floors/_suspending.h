/* The floors of what suspends: an object in C that stands for a generator or a coroutine and forwards each resume.
 *
 * ForwardSuspending            a callable that gives such a stand-in for what its function returns.
 * ForwardSuspendingTwoClocks   the same; its stand-ins read the raw clock before and after each resume.
 *
 * The step of an asynchronous generator is an object of its own, so it gets a stand-in of its own. Only what resumes
 * is forwarded: `throw` and `close` are in no loop that is timed.
 */

typedef struct {
    PyObject_HEAD
    PyObject *inner;
    sendfunc send;     /* inner's own slots, found once; a coroutine has no `next` */
    iternextfunc next;
    volatile uint64_t elapsed;
} StandIn;

enum { PLAIN, TWO_CLOCKS, STAND_INS };
static PyTypeObject *stand_in_types[STAND_INS];

/* Takes over the reference to `inner`. */
static PyObject *stand_in_for(PyObject *inner, int kind) {
    if (inner == NULL)
        return NULL;
    PyTypeObject *type = Py_TYPE(inner);
    StandIn *self = PyObject_GC_New(StandIn, stand_in_types[kind]);
    if (self == NULL) {
        Py_DECREF(inner);
        return NULL;
    }
    self->inner = inner;
    self->send = type->tp_as_async && type->tp_as_async->am_send ? type->tp_as_async->am_send
                                                                 : PyIter_Send;
    self->next = type->tp_iternext;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* `kind` is a constant wherever these are called, and they are inlined: each kind has its own code. */
static inline PySendResult stand_in_send(PyObject *self, PyObject *value, PyObject **result,
                                         int kind) {
    StandIn *me = (StandIn *)self;
    if (kind == PLAIN)
        return me->send(me->inner, value, result);
    uint64_t start = ticks();
    PySendResult status = me->send(me->inner, value, result);
    me->elapsed = ticks() - start;
    return status;
}

/* What `__next__` or `send` gives for an answer: a return is a StopIteration with the value. */
static PyObject *answer(PySendResult status, PyObject *result) {
    if (status != PYGEN_RETURN)
        return result;
    if (result != Py_None) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
    }
    Py_DECREF(result);
    return NULL;
}

static inline PyObject *stand_in_next(PyObject *self, int kind) {
    StandIn *me = (StandIn *)self;
    PyObject *result = NULL;
    if (me->next == NULL) {
        PySendResult status = stand_in_send(self, Py_None, &result, kind);
        return answer(status, result);
    }
    if (kind == PLAIN)
        return me->next(me->inner);
    uint64_t start = ticks();
    result = me->next(me->inner);
    me->elapsed = ticks() - start;
    return result;
}

static inline PyObject *stand_in_step(PyObject *self, int kind) {
    PyObject *inner = ((StandIn *)self)->inner;
    unaryfunc anext = Py_TYPE(inner)->tp_as_async ? Py_TYPE(inner)->tp_as_async->am_anext : NULL;
    if (anext == NULL) {
        PyErr_Format(PyExc_TypeError, "%s has no asynchronous steps", Py_TYPE(inner)->tp_name);
        return NULL;
    }
    return stand_in_for(anext(inner), kind);
}

static int stand_in_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((StandIn *)self)->inner);
    return 0;
}

static void stand_in_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((StandIn *)self)->inner);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

#define STAND_IN(variable, type_name, kind)                                                     \
    static PySendResult variable##_am_send(PyObject *self, PyObject *value, PyObject **result) { \
        return stand_in_send(self, value, result, kind);                                        \
    }                                                                                           \
    static PyObject *variable##_iternext(PyObject *self) { return stand_in_next(self, kind); }  \
    static PyObject *variable##_anext(PyObject *self) { return stand_in_step(self, kind); }     \
    static PyObject *variable##_send(PyObject *self, PyObject *value) {                         \
        PyObject *result = NULL;                                                                \
        PySendResult status = stand_in_send(self, value, &result, kind);                        \
        if (status == PYGEN_RETURN && result == Py_None)                                        \
            PyErr_SetNone(PyExc_StopIteration);                                                 \
        return answer(status, result);                                                          \
    }                                                                                           \
    static PyMethodDef variable##_methods[] = {                                                 \
        {"send", variable##_send, METH_O, NULL},                                                \
        {NULL, NULL, 0, NULL},                                                                  \
    };                                                                                          \
    static PyType_Slot variable##_slots[] = {                                                   \
        {Py_tp_iter, (void *)PyObject_SelfIter},                                                \
        {Py_tp_iternext, (void *)variable##_iternext},                                          \
        {Py_am_await, (void *)PyObject_SelfIter},                                               \
        {Py_am_send, (void *)variable##_am_send},                                               \
        {Py_am_aiter, (void *)PyObject_SelfIter},                                               \
        {Py_am_anext, (void *)variable##_anext},                                                \
        {Py_tp_traverse, (void *)stand_in_traverse},                                            \
        {Py_tp_dealloc, (void *)stand_in_dealloc},                                              \
        {Py_tp_methods, variable##_methods},                                                    \
        {0, NULL},                                                                              \
    };                                                                                          \
    static PyType_Spec variable##_spec = {                                                      \
        "_floors." type_name, sizeof(StandIn), 0,                                               \
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC |                    \
            Py_TPFLAGS_DISALLOW_INSTANTIATION,                                                  \
        variable##_slots,                                                                       \
    };
STAND_IN(plain, "StandIn", PLAIN)
STAND_IN(timed, "StandInTwoClocks", TWO_CLOCKS)

static int make_stand_ins(void) {
    static PyType_Spec *const specs[STAND_INS] = {&plain_spec, &timed_spec};
    for (int kind = 0; kind < STAND_INS; kind++) {
        stand_in_types[kind] = (PyTypeObject *)PyType_FromSpec(specs[kind]);
        if (stand_in_types[kind] == NULL)
            return -1;
    }
    return 0;
}

static PyObject *suspending(PyObject *self, PyObject *const *args, size_t nargsf,
                            PyObject *kwnames) {
    Forward *me = (Forward *)self;
    return stand_in_for(me->target(me->func, args, nargsf, kwnames), PLAIN);
}

static PyObject *suspending_clocks(PyObject *self, PyObject *const *args, size_t nargsf,
                                   PyObject *kwnames) {
    Forward *me = (Forward *)self;
    return stand_in_for(me->target(me->func, args, nargsf, kwnames), TWO_CLOCKS);
}

CONSTRUCTOR(new_suspending, suspending)
CONSTRUCTOR(new_suspending_clocks, suspending_clocks)
FORWARD_SPEC(suspending_spec, "ForwardSuspending", new_suspending)
FORWARD_SPEC(suspending_clocks_spec, "ForwardSuspendingTwoClocks", new_suspending_clocks)
