# What the interpreter's C API is used for here and Cython does not declare.

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        void (*tp_free)(void*) noexcept
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    ctypedef struct PyType_Slot:
        int slot
        void* pfunc
    ctypedef struct PyType_Spec:
        const char* name
        int basicsize
        int itemsize
        unsigned int flags
        PyType_Slot* slots
    ctypedef struct PyMethodDef:
        const char* ml_name
        void* ml_meth
        int ml_flags
        const char* ml_doc
    ctypedef struct PyMemberDef:
        const char* name
        int type
        Py_ssize_t offset
        int flags
        const char* doc
    ctypedef struct PyGetSetDef:
        const char* name
        void* get
        void* set
        const char* doc
        void* closure
    const int Py_tp_dealloc, Py_tp_traverse, Py_tp_clear, Py_tp_call, Py_tp_repr, Py_tp_getattro, Py_tp_descr_get
    const int Py_tp_methods, Py_tp_members, Py_tp_getset, Py_tp_doc, Py_tp_setattro
    const int METH_NOARGS, METH_FASTCALL, METH_O
    const int T_PYSSIZET "T_PYSSIZET", T_OBJECT "T_OBJECT", READONLY
    const unsigned int Py_TPFLAGS_METHOD_DESCRIPTOR, Py_TPFLAGS_BASETYPE
    bint PyType_IsSubtype(PyTypeObject*, PyTypeObject*)
    object PyType_FromSpec(PyType_Spec*)
    PyObject* PyType_GenericAlloc(PyTypeObject*, Py_ssize_t)
    PyObject* PyVectorcall_Call(PyObject*, PyObject*, PyObject*)
    Py_ssize_t PyVectorcall_NARGS(size_t)
    PyObject* PyObject_GenericGetAttr(PyObject*, PyObject*)
    PyObject* PyObject_GetAttr(PyObject*, PyObject*)
    int PyObject_SetAttr(PyObject*, PyObject*, PyObject*)
    int PyObject_GenericSetAttr(PyObject*, PyObject*, PyObject*)
    Py_ssize_t PyUnicode_GetLength(PyObject*)
    Py_ssize_t PyUnicode_Tailmatch(PyObject*, PyObject*, Py_ssize_t, Py_ssize_t, int)
    PyObject* PyObject_GenericGetDict(PyObject*, void*)
    int PyObject_GenericSetDict(PyObject*, PyObject*, void*)
    PyObject* PyMethod_New(PyObject*, PyObject*)
    bint PyMethod_Check(PyObject*)
    PyObject* PyMethod_Function(PyObject*)
    PyObject* PyMethod_Self(PyObject*)
    ctypedef PyObject* (*descrgetfunc)(PyObject*, PyObject*, PyObject*) noexcept
    void* PyType_GetSlot(PyTypeObject*, int)
    PyObject* PyErr_Occurred()
    bint PyErr_ExceptionMatches(PyObject*)
    void PyErr_WriteUnraisable(PyObject*)
    void PyErr_Clear()
    PyObject* PyExc_AttributeError
    void PyObject_GC_UnTrack(void*)
    void PyObject_GC_Track(void*)
    void PyObject_GC_Del(void*)
    PyObject* _PyObject_GC_New "(PyObject *)_PyObject_GC_New"(PyTypeObject*)
    void PyObject_ClearWeakRefs(PyObject*)
    PyTypeObject* Py_TYPE(PyObject*)
    void Py_INCREF(PyObject*)
    void Py_DECREF(PyObject*)
    void Py_XINCREF(PyObject*)
    void Py_XDECREF(PyObject*)
    void Py_CLEAR(PyObject*)
    PyObject* Py_None

cdef extern from *:
    """
    /* Takes over a new reference; NULL goes on as the exception that is set. */
    #define st_new(object) (object)
    /* A reference to None, of which there is no end from 3.12 on. */
    #if PY_VERSION_HEX >= 0x030C0000
    #define st_none() Py_None
    #else
    #define st_none() Py_NewRef(Py_None)
    #endif
    """
    object st_new(PyObject*)
    PyObject* st_none()

cdef extern from "Python.h":
    bint PyFunction_Check(PyObject*)
    void* PyObject_GetIter

cdef extern from *:
    """
    /* Whether an exception says that nobody waits any more for what it leaves: GeneratorExit, asyncio's CancelledError and
     * trio's Cancelled, known by name and module so that neither need be imported. */
    static int st_is_named(PyTypeObject *type, const char *name, const char *package) {
        const char *short_name = strrchr(type->tp_name, '.');
        if (strcmp(short_name != NULL ? short_name + 1 : type->tp_name, name) != 0) return 0;
        PyObject *module = PyDict_GetItemString(type->tp_dict, "__module__");  /* borrowed */
        const char *text = module != NULL && PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : NULL;
        size_t length = strlen(package);
        return text != NULL && strncmp(text, package, length) == 0 && (text[length] == 0 || text[length] == '.');
    }
    static int st_cancels(PyObject *kind, PyObject *value, int depth);
    /* A group does if all that is in it does: a nursery of trio's that is cancelled may raise one. */
    static int st_all_cancel(PyObject *group, int depth) {
        PyObject *all = ((PyBaseExceptionGroupObject *)group)->excs;
        Py_ssize_t i, count = all != NULL && PyTuple_Check(all) ? PyTuple_GET_SIZE(all) : 0;
        for (i = 0; i < count; i++) {
            PyObject *each = PyTuple_GET_ITEM(all, i);
            if (!st_cancels((PyObject *)Py_TYPE(each), each, depth + 1)) return 0;
        }
        return count > 0;
    }
    static int st_cancels(PyObject *kind, PyObject *value, int depth) {
        PyTypeObject *type = (PyTypeObject *)kind;
        if (!PyType_Check(kind) || depth > 100) return 0;
        if (PyType_IsSubtype(type, (PyTypeObject *)PyExc_GeneratorExit)) return 1;
        if (type == (PyTypeObject *)PyExc_StopIteration || type->tp_base == (PyTypeObject *)PyExc_Exception
            || type->tp_base == (PyTypeObject *)PyExc_LookupError) return 0;  /* most of them */
        if (PyType_IsSubtype(type, (PyTypeObject *)PyExc_BaseExceptionGroup))
            return value != NULL && Py_TYPE(value) == type && st_all_cancel(value, depth);
        for (; type != NULL && (PyObject *)type != PyExc_BaseException; type = type->tp_base)
            if (st_is_named(type, "CancelledError", "asyncio") || st_is_named(type, "Cancelled", "trio")) return 1;
        return 0;
    }
    """
    bint st_cancels(PyObject* kind, PyObject* value, int depth)
