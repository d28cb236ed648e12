# Whether suspension is told: what the interpreter offers for it. See monitor.pxi.

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
    #define ST_CAN_BE_TOLD 1
    static Py_ssize_t st_told_index = -1;
    /* Whether a code object has the events. What is noted in it goes with it, and is not its successor's. */
    static int st_is_told(PyObject *code) {
        void *noted = NULL;
        return st_told_index >= 0 && PyUnstable_Code_GetExtra(code, st_told_index, &noted) == 0 && noted != NULL;
    }
    static int st_note_told(PyObject *code) {
        if (st_told_index < 0) st_told_index = PyUnstable_Eval_RequestCodeExtraIndex(NULL);
        return st_told_index >= 0 && PyUnstable_Code_SetExtra(code, st_told_index, &st_told_index) == 0;
    }
    #else
    #define ST_CAN_BE_TOLD 0
    #define st_is_told(code) 0
    #define st_note_told(code) 0
    #endif
    static int st_code_flags(PyObject *code) { return ((PyCodeObject *)code)->co_flags; }
    /* What an asynchronous generator gives is wrapped; what it awaits is not. */
    static int st_is_wrapped_value(PyObject *value) {
        return strcmp(Py_TYPE(value)->tp_name, "async_generator_wrapped_value") == 0;
    }
    """
    const bint ST_CAN_BE_TOLD
    bint st_is_told(PyObject*)
    bint st_note_told(PyObject*)
    int st_code_flags(PyObject*)
    bint st_is_wrapped_value(PyObject*)
    const int CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR

cdef int monitoring_tool = -1  # our number among the interpreter's tools; -1: not yet; -2: there is none for us

cdef inline bint is_told() noexcept nogil:
    """Whether the interpreter says when what is open is suspended, and when it goes on."""
    return ST_CAN_BE_TOLD and monitoring_tool >= 0
