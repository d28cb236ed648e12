/* The tracked function: an object of a type derived from the interpreter's own, so that whatever asks for a function
 * finds one.
 *
 * It is another door to the function that it stands for. That one runs (the interpreter takes no other kind for the
 * function of a frame: see `sys._getframemodulename`), and has what can be written to, which is read and written there:
 * so `inspect`, which looks behind a wrapper, sees the same. Only the dictionary is its own, begun as a copy. The other
 * fields of the base are one, for what reads them without asking. */
#ifndef STICHOTROPE_FUNCTION_H
#define STICHOTROPE_FUNCTION_H

#include <stddef.h>

/* What every tracked callable has: what it calls, its call site, its profiler. */
typedef struct {
    PyObject *callee;
    void *handle;
    PyObject *owner;
} st_marked;

typedef struct {
    PyFunctionObject base;
    st_marked marked;
    PyObject *wrapped;
} st_function;

static PyTypeObject st_function_type;

/* How one is called: whose result is what the call gives, and whose result suspends. */
static vectorcallfunc st_function_calls[2];

static int st_code_suspends(PyObject *code) {
    return (((PyCodeObject *)code)->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
}

static int st_is_function(PyObject *object) {
    return PyFunction_Check(object) || Py_IS_TYPE(object, &st_function_type);
}

static int st_function_traverse(PyObject *object, visitproc visit, void *arg) {
    st_function *self = (st_function *)object;
    Py_VISIT(self->marked.callee);
    Py_VISIT(self->marked.owner);
    Py_VISIT(self->wrapped);
    return PyFunction_Type.tp_traverse(object, visit, arg);
}

/* Its profiler stays until the very end: a finalizer of the same cycle may still call it. */
static int st_function_clear(PyObject *object) {
    Py_CLEAR(((st_function *)object)->wrapped);
    return PyFunction_Type.tp_clear(object);
}

static void st_function_dealloc(PyObject *object) {
    st_function *self = (st_function *)object;
    st_marked marked = self->marked;
    PyObject *wrapped = self->wrapped;
    memset(&self->marked, 0, sizeof self->marked);
    self->wrapped = NULL;
    /* A watcher of functions may keep it: then it is one that is not tracked. */
    if (PyFunction_Check(marked.callee)) self->base.vectorcall = ((PyFunctionObject *)marked.callee)->vectorcall;
    PyFunction_Type.tp_dealloc(object);
    Py_XDECREF(wrapped);
    Py_XDECREF(marked.callee);
    Py_XDECREF(marked.owner);
}

/* Without the GIL, nobody else writes to either meanwhile. */
#if defined(Py_GIL_DISABLED)
#define ST_BEGIN_BOTH(one, other) Py_BEGIN_CRITICAL_SECTION2(one, other)
#define ST_END_BOTH() Py_END_CRITICAL_SECTION2()
#define ST_BEGIN_OWN(object) Py_BEGIN_CRITICAL_SECTION(object)
#define ST_END_OWN() Py_END_CRITICAL_SECTION()
#else
#define ST_BEGIN_BOTH(one, other)
#define ST_END_BOTH()
#define ST_BEGIN_OWN(object) {
#define ST_END_OWN() }
#endif

/* The base's fields, as the function has them now. */
static void st_show(st_function *self) {
    PyFunctionObject *shown = &self->base, *from = (PyFunctionObject *)self->marked.callee;
#define ST_SHOW(field) Py_XSETREF(shown->field, Py_XNewRef(from->field))
    ST_SHOW(func_globals);
    ST_SHOW(func_builtins);
    ST_SHOW(func_name);
    ST_SHOW(func_qualname);
    ST_SHOW(func_code);
    ST_SHOW(func_defaults);
    ST_SHOW(func_kwdefaults);
    ST_SHOW(func_closure);
    ST_SHOW(func_doc);
    ST_SHOW(func_module);
    ST_SHOW(func_annotations);
#if PY_VERSION_HEX >= 0x030C0000
    ST_SHOW(func_typeparams);
#endif
#if PY_VERSION_HEX >= 0x030E0000
    ST_SHOW(func_annotate);
#endif
#undef ST_SHOW
    shown->vectorcall = st_function_calls[st_code_suspends(shown->func_code)];
}

static PyObject *st_function_get(PyObject *object, void *name) {
    return PyObject_GetAttrString(((st_function *)object)->marked.callee, name);
}

static int st_function_set(PyObject *object, PyObject *value, void *name) {
    st_function *self = (st_function *)object;
    PyObject *key = PyUnicode_InternFromString(name);
    int status = key == NULL ? -1 : PyObject_SetAttr(self->marked.callee, key, value);
    Py_XDECREF(key);
    if (status == 0) {
        ST_BEGIN_BOTH(object, self->marked.callee);
        st_show(self);
        ST_END_BOTH();
    }
    return status;
}

/* A new reference to what a dictionary has for a key; NULL, without an exception unless it failed, when it has nothing. */
static PyObject *st_item(PyObject *dictionary, PyObject *key) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *value = NULL;
    (void)PyDict_GetItemRef(dictionary, key, &value);
    return value;
#else
    return Py_XNewRef(PyDict_GetItemWithError(dictionary, key));
#endif
}

/* The decorator that a function is already behind may have written this name: then that is read. Else it is the bare
 * function, until something is written or deleted. */
static PyObject *st_function_wrapped(PyObject *object, void *name) {
    st_function *self = (st_function *)object;
    PyObject *dictionary, *wrapped, *key, *value = NULL;
    ST_BEGIN_OWN(object);
    dictionary = Py_XNewRef(self->base.func_dict);
    wrapped = Py_XNewRef(self->wrapped);
    ST_END_OWN();
    key = PyUnicode_InternFromString(name);
    if (key != NULL && dictionary != NULL) value = st_item(dictionary, key);
    if (value == NULL && !PyErr_Occurred() && (value = Py_XNewRef(wrapped)) == NULL)
        PyErr_Format(PyExc_AttributeError, "'function' object has no attribute '%U'", key);
    Py_XDECREF(key);
    Py_XDECREF(wrapped);
    Py_XDECREF(dictionary);
    return value;
}

static int st_function_set_wrapped(PyObject *object, PyObject *value, void *name) {
    st_function *self = (st_function *)object;
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *dictionary = key == NULL ? NULL : PyObject_GenericGetDict(object, NULL), *wrapped = NULL;
    int status = dictionary == NULL ? -1 : value == NULL ? PyDict_Contains(dictionary, key) : 1;
    if (status >= 0) {
        ST_BEGIN_OWN(object);
        wrapped = self->wrapped;
        self->wrapped = NULL;
        ST_END_OWN();
    }
    if (status == 0 && wrapped == NULL)
        PyErr_Format(PyExc_AttributeError, "'function' object has no attribute '%U'", key);
    else if (status == 1)
        status = value == NULL ? PyDict_DelItem(dictionary, key) : PyDict_SetItem(dictionary, key, value);
    Py_XDECREF(wrapped);
    Py_XDECREF(dictionary);
    Py_XDECREF(key);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *st_function_class(PyObject *object, void *closure) {
    (void)object, (void)closure;
    return Py_NewRef(&PyFunction_Type);
}

/* By reference: the name under which its module holds it. */
static PyObject *st_function_reduce(PyObject *object, PyObject *protocol) {
    (void)protocol;
    return st_function_get(object, "__qualname__");
}

/* A class that is made turns functions of three names into static methods and class methods, those of the exact type
 * only. It tells those of this type their name right after: then they see to it. */
static PyObject *st_function_set_name(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    PyObject *of_class = count == 2 && PyType_Check(args[0]) ? ((PyTypeObject *)args[0])->tp_dict : NULL, *made, *found;
    int is_static, status;
    if (of_class == NULL || !PyUnicode_Check(args[1])) Py_RETURN_NONE;
    is_static = PyUnicode_CompareWithASCIIString(args[1], "__new__") == 0;
    if (!is_static && PyUnicode_CompareWithASCIIString(args[1], "__init_subclass__") != 0
        && PyUnicode_CompareWithASCIIString(args[1], "__class_getitem__") != 0)
        Py_RETURN_NONE;
    found = st_item(of_class, args[1]);
    Py_XDECREF(found);
    if (found != object) return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    if ((made = is_static ? PyStaticMethod_New(object) : PyClassMethod_New(object)) == NULL) return NULL;
    status = PyType_Type.tp_setattro(args[0], args[1], made);
    Py_DECREF(made);
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

/* What the interpreter looks up in the type, functions do not have for who asks them. */
static PyObject *st_function_getattro(PyObject *object, PyObject *name) {
    static const char set_name[] = "__set_name__";
    PyObject *dictionary, *value;
    if (PyUnicode_GetLength(name) != sizeof set_name - 1 || PyUnicode_CompareWithASCIIString(name, set_name) != 0)
        return PyObject_GenericGetAttr(object, name);
    ST_BEGIN_OWN(object);
    dictionary = Py_XNewRef(((st_function *)object)->base.func_dict);
    ST_END_OWN();
    value = dictionary == NULL ? NULL : st_item(dictionary, name);
    Py_XDECREF(dictionary);
    if (value == NULL && !PyErr_Occurred())
        PyErr_Format(PyExc_AttributeError, "'function' object has no attribute '%U'", name);
    return value;
}

#define ST_SHARED(name) {name, st_function_get, st_function_set, NULL, name}
static PyGetSetDef st_function_getset[] = {
    ST_SHARED("__code__"),
    ST_SHARED("__defaults__"),
    ST_SHARED("__kwdefaults__"),
    ST_SHARED("__name__"),
    ST_SHARED("__qualname__"),
    ST_SHARED("__module__"),
    ST_SHARED("__doc__"),
    ST_SHARED("__annotations__"),
#if PY_VERSION_HEX >= 0x030C0000
    ST_SHARED("__type_params__"),
#endif
#if PY_VERSION_HEX >= 0x030E0000
    ST_SHARED("__annotate__"),
#endif
    {"__class__", st_function_class, st_function_set, NULL, "__class__"},
    {"__wrapped__", st_function_wrapped, st_function_set_wrapped, NULL, "__wrapped__"},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyMethodDef st_function_methods[] = {
    {"__reduce_ex__", st_function_reduce, METH_O, NULL},
    {"__set_name__", (PyCFunction)(void (*)(void))st_function_set_name, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
static PyTypeObject st_function_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "function",  /* what messages and reports call it */
    .tp_basicsize = sizeof(st_function),
    .tp_dealloc = st_function_dealloc,
    .tp_vectorcall_offset = offsetof(PyFunctionObject, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_getattro = st_function_getattro,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_traverse = st_function_traverse,
    .tp_clear = st_function_clear,
    .tp_methods = st_function_methods,
    .tp_getset = st_function_getset,
};

/* The type, made ready. Static, so that no thread counts references to it. */
static PyObject *st_ready_function_type(vectorcallfunc plain, vectorcallfunc suspending) {
    st_function_calls[0] = plain;
    st_function_calls[1] = suspending;
    st_function_type.tp_base = &PyFunction_Type;
    st_function_type.tp_descr_get = PyFunction_Type.tp_descr_get;
    st_function_type.tp_dictoffset = PyFunction_Type.tp_dictoffset;
    st_function_type.tp_weaklistoffset = PyFunction_Type.tp_weaklistoffset;
    return PyType_Ready(&st_function_type) < 0 ? NULL : Py_NewRef(&st_function_type);
}

/* The tracked one of a function, tracked itself or not; NULL with an exception. */
static PyObject *st_new_function(PyObject *function, PyObject *owner, void *handle) {
    PyObject *dictionary = ((PyFunctionObject *)function)->func_dict;
    st_function *self = (st_function *)PyType_GenericAlloc(&st_function_type, 0);
    if (self == NULL) return NULL;
    self->marked.callee = Py_NewRef(function);
    self->marked.handle = handle;
    self->marked.owner = Py_NewRef(owner);
    self->wrapped = Py_NewRef(function);
    st_show(self);
    if (dictionary != NULL && (self->base.func_dict = PyDict_Copy(dictionary)) == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    st_share((PyObject *)self);
    return (PyObject *)self;
}

#endif
