# Whether suspension is told: what the interpreter offers for it, and what is noted in a code object. See monitor.pxi
# for blocks in what suspends, code.pxi for code that is tracked.

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
    #define ST_CAN_BE_TOLD 1
    static Py_ssize_t st_mark_index = -1;
    /* What is noted in a code object goes with it, and is not its successor's. */
    static inline void *st_mark_on(PyObject *code) {
    #if PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED)
        /* As that function does; these versions' layout is final. An index that is not there yet is larger than any. */
        typedef struct { size_t count; void *each[1]; } extras;
        const extras *all = ((PyCodeObject *)code)->co_extra;
        return all != NULL && ST_LIKELY((size_t)st_mark_index < all->count) ? all->each[st_mark_index] : NULL;
    #else
        void *mark = NULL;
        return st_mark_index >= 0 && PyUnstable_Code_GetExtra(code, st_mark_index, &mark) == 0 ? mark : NULL;
    #endif
    }
    static int st_put_mark(PyObject *code, void *mark, void (*let_go)(void *)) {
        if (st_mark_index < 0) st_mark_index = PyUnstable_Eval_RequestCodeExtraIndex(let_go);
        if (st_mark_index >= 0 && PyUnstable_Code_SetExtra(code, st_mark_index, mark) == 0) return 1;
        PyErr_Clear();
        return 0;
    }
    #else
    #define ST_CAN_BE_TOLD 0
    #define st_mark_on(code) NULL
    #define st_put_mark(code, mark, let_go) 0
    #endif
    /* From 3.15 on each event can be asked for of some code alone. */
    #define ST_ALL_ARE_LOCAL (PY_VERSION_HEX >= 0x030F0000)
    /* Without the GIL, marks are changed by one thread at a time. Waiting for it lets others stop this one. */
    #if defined(Py_GIL_DISABLED)
    static PyMutex st_marks_mutex;
    #define st_lock_marks() PyMutex_Lock(&st_marks_mutex)
    #define st_unlock_marks() PyMutex_Unlock(&st_marks_mutex)
    #define st_renew_marks_lock() memset(&st_marks_mutex, 0, sizeof st_marks_mutex)
    #else
    #define st_lock_marks() ((void)0)
    #define st_unlock_marks() ((void)0)
    #define st_renew_marks_lock() ((void)0)
    #endif
    static int st_code_flags(PyObject *code) { return ((PyCodeObject *)code)->co_flags; }
    /* What an asynchronous generator gives is wrapped; what it awaits is not. */
    static int st_is_wrapped_value(PyObject *value) {
        return strcmp(Py_TYPE(value)->tp_name, "async_generator_wrapped_value") == 0;
    }
    """
    const bint ST_CAN_BE_TOLD
    const bint ST_ALL_ARE_LOCAL
    void* st_mark_on(PyObject*) nogil
    bint st_put_mark(PyObject*, void*, void (*)(void*) noexcept)
    void st_lock_marks()
    void st_unlock_marks()
    void st_renew_marks_lock()
    int st_code_flags(PyObject*)
    bint st_is_wrapped_value(PyObject*)
    const int CO_GENERATOR, CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR

cdef struct Target

cdef struct Mark:              # what a code object has of ours, and is freed with it
    PyObject* code             # whose it is; borrowed
    Target* targets            # atomic: who records its calls
    uint32_t events            # that the interpreter tells of it
    bint is_told               # it is told of its suspension: it has entered blocks
    bint suspends              # it is a generator's or coroutine's

cdef int monitoring_tool = -1  # our number among the interpreter's tools; -1: not yet; -2: there is none for us

cdef inline bint is_told() noexcept nogil:
    """Whether the interpreter says when what is open is suspended, and when it goes on."""
    return ST_CAN_BE_TOLD and monitoring_tool >= 0
