/* The floors: what a callable and a context manager cost in C before they do anything.
 *
 * Forward         passes a call on, untouched; two ways of calling, the cheaper one is the floor.
 * ForwardClocks   the same between two raw clock reads.
 * EmptyContext    a context manager that does nothing; its method `block` gives itself back.
 * ClockContext    the same with a raw clock read on the way in and one on the way out.
 *
 * _suspending.h has those of generators and coroutines, _native.h that of native threads.
 *
 * The types are immutable: the interpreter specialises the look-up of a method only then.
 * Nothing here records. Every type is what a careful author would write, no more: a floor that
 * is slower than it need be would flatter what is compared with it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
#define CLOCK_NAME "rdtsc"
static inline uint64_t ticks(void) { return __rdtsc(); }
#elif defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#define CLOCK_NAME "rdtsc"
static inline uint64_t ticks(void) { return __rdtsc(); }
#elif defined(__aarch64__) && !defined(_MSC_VER)
#define CLOCK_NAME "cntvct_el0"
static inline uint64_t ticks(void) {
    uint64_t value;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(value));
    return value;
}
#else
#include <time.h>
#define CLOCK_NAME "clock_gettime"
static inline uint64_t ticks(void) {
    struct timespec now;
#if defined(CLOCK_MONOTONIC)
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#endif

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall; /* found by the interpreter through __vectorcalloffset__ */
    PyObject *func;
    vectorcallfunc target;     /* func's own entry, for the direct variants */
    volatile uint64_t elapsed; /* volatile: the two reads may not be optimised away */
} Forward;

static PyObject *forward(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    return PyObject_Vectorcall(((Forward *)self)->func, args, nargsf, kwnames);
}

static PyObject *forward_direct(PyObject *self, PyObject *const *args, size_t nargsf,
                                PyObject *kwnames) {
    Forward *me = (Forward *)self;
    return me->target(me->func, args, nargsf, kwnames);
}

static PyObject *clocks(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Forward *me = (Forward *)self;
    uint64_t start = ticks();
    PyObject *result = PyObject_Vectorcall(me->func, args, nargsf, kwnames);
    me->elapsed = ticks() - start;
    return result;
}

static PyObject *clocks_direct(PyObject *self, PyObject *const *args, size_t nargsf,
                               PyObject *kwnames) {
    Forward *me = (Forward *)self;
    uint64_t start = ticks();
    PyObject *result = me->target(me->func, args, nargsf, kwnames);
    me->elapsed = ticks() - start;
    return result;
}

static PyObject *make_forward(PyTypeObject *type, PyObject *args, PyObject *kwargs,
                              vectorcallfunc entry) {
    static char *names[] = {"func", NULL};
    PyObject *func;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!:Forward", names, &PyFunction_Type, &func))
        return NULL;
    Forward *self = (Forward *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->vectorcall = entry;
    self->func = Py_NewRef(func);
    self->target = PyVectorcall_Function(func);
    return (PyObject *)self;
}

#define CONSTRUCTOR(name, entry)                                                          \
    static PyObject *name(PyTypeObject *type, PyObject *args, PyObject *kwargs) {         \
        return make_forward(type, args, kwargs, entry);                                   \
    }
CONSTRUCTOR(new_forward, forward)
CONSTRUCTOR(new_forward_direct, forward_direct)
CONSTRUCTOR(new_clocks, clocks)
CONSTRUCTOR(new_clocks_direct, clocks_direct)

static int forward_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Forward *)self)->func);
    return 0;
}

static int forward_clear(PyObject *self) {
    Py_CLEAR(((Forward *)self)->func);
    return 0;
}

static void forward_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)forward_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *forward_get(PyObject *self, PyObject *instance, PyObject *Py_UNUSED(owner)) {
    if (instance == NULL || instance == Py_None)
        return Py_NewRef(self);
    return PyMethod_New(self, instance);
}

static PyMemberDef forward_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Forward, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define FORWARD_SPEC(variable, type_name, constructor)                                    \
    static PyType_Slot variable##_slots[] = {                                             \
        {Py_tp_new, (void *)constructor},                                                 \
        {Py_tp_call, (void *)PyVectorcall_Call},                                          \
        {Py_tp_descr_get, (void *)forward_get},                                           \
        {Py_tp_traverse, (void *)forward_traverse},                                       \
        {Py_tp_clear, (void *)forward_clear},                                             \
        {Py_tp_dealloc, (void *)forward_dealloc},                                         \
        {Py_tp_members, forward_members},                                                 \
        {0, NULL},                                                                        \
    };                                                                                    \
    static PyType_Spec variable = {                                                       \
        "_floors." type_name, sizeof(Forward), 0,                                         \
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC |              \
            Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,                    \
        variable##_slots,                                                                 \
    };
FORWARD_SPEC(forward_spec, "Forward", new_forward)
FORWARD_SPEC(forward_direct_spec, "ForwardDirect", new_forward_direct)
FORWARD_SPEC(clocks_spec, "ForwardTwoClocks", new_clocks)
FORWARD_SPEC(clocks_direct_spec, "ForwardTwoClocksDirect", new_clocks_direct)

static PyObject *context_enter(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return Py_NewRef(self);
}

static PyObject *context_exit(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args),
                              Py_ssize_t Py_UNUSED(count)) {
    Py_RETURN_NONE;
}

static PyObject *context_block(PyObject *self, PyObject *const *Py_UNUSED(args),
                               Py_ssize_t Py_UNUSED(count)) {
    return Py_NewRef(self);
}

static PyMethodDef context_methods[] = {
    {"__enter__", context_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))context_exit, METH_FASTCALL, NULL},
    {"block", (PyCFunction)(void (*)(void))context_block, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot context_slots[] = {{Py_tp_methods, context_methods}, {0, NULL}};

static PyType_Spec context_spec = {
    "_floors.EmptyContext", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    context_slots,
};

typedef struct {
    PyObject_HEAD
    uint64_t start;
    volatile uint64_t elapsed;
} ClockContext;

static PyObject *clock_enter(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    ((ClockContext *)self)->start = ticks();
    return Py_NewRef(self);
}

static PyObject *clock_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                            Py_ssize_t Py_UNUSED(count)) {
    ClockContext *me = (ClockContext *)self;
    me->elapsed = ticks() - me->start;
    Py_RETURN_NONE;
}

static PyMethodDef clock_methods[] = {
    {"__enter__", clock_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))clock_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot clock_slots[] = {{Py_tp_methods, clock_methods}, {0, NULL}};

static PyType_Spec clock_spec = {
    "_floors.ClockContext", sizeof(ClockContext), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    clock_slots,
};

#include "_native.h"
#include "_suspending.h"

static int add_types(PyObject *module) {
    static PyType_Spec *const specs[] = {
        &forward_spec, &forward_direct_spec, &clocks_spec, &clocks_direct_spec, &context_spec,
        &clock_spec, &suspending_spec, &suspending_clocks_spec,
    };
    if (make_stand_ins() < 0)
        return -1;
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        PyObject *type = PyType_FromSpec(specs[i]);
        if (type == NULL)
            return -1;
        int failed = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (failed)
            return -1;
    }
    if (PyModule_AddIntConstant(module, "WARM_UP", NATIVE_WARM_UP) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "CLOCK", CLOCK_NAME);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)add_types},
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED}, /* importing this must not bring the GIL back */
#endif
    {0, NULL},
};

static PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_floors", "What doing nothing costs.", 0, native_methods, module_slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__floors(void) { return PyModuleDef_Init(&module); }
