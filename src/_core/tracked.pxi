# The tracked callable: forwards a call untouched, and records it as a pass.

cdef extern from *:
    """
    #include "_function.h"
    /* What is callable and no function. */
    typedef struct {
        PyObject_HEAD
        vectorcallfunc vectorcall;
        st_marked marked;
        PyObject *attributes;
        PyObject *references;
    } st_tracked;
    typedef struct {
        PyObject_HEAD
        vectorcallfunc vectorcall;
        void *handle;
        PyObject *owner;
    } st_block;
    typedef struct {
        st_block block;
        uint64_t tag;
    } st_tagged_block;
    /* Before 3.12 a type made by calling `type` does not inherit the flag, though all else of it. */
    #define st_call_by_vector(kind) ((kind)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL)
    #define ST_TRACKED_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL \\
                              | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
    /* An inline block lives for one pass: a few dead ones are kept for the next. Without the GIL this list would need
     * a lock, and the allocator has a list for each thread. */
    #if defined(Py_GIL_DISABLED)
    #define st_kept_block() NULL
    #define st_keep_block(block) 0
    #else
    static PyObject *st_kept_blocks[16];
    static int st_kept_count = 0;
    static inline PyObject *st_kept_block(void) {
        if (st_kept_count == 0) return NULL;
        PyObject *block = st_kept_blocks[--st_kept_count];
        Py_SET_REFCNT(block, 1);
        return block;
    }
    static inline int st_keep_block(PyObject *block) {
        if (st_kept_count == 16) return 0;
        st_kept_blocks[st_kept_count++] = block;
        return 1;
    }
    #endif
    /* Up to 3.13 a `with` has a bound method made for `__enter__` and one for `__exit__`, which costs more than the pass.
     * So it gets the block itself for both, and calls that: without an argument, or with the three of an exit. To all
     * but a `with` a block has the methods that it is to have, and can't be called. A debug build of the interpreter does
     * not bear what is called by vector and has no `tp_call`. */
    #if PY_VERSION_HEX < 0x030E0000 && !defined(Py_DEBUG)
    #define ST_BLOCKS_ARE_CALLED 1
    #define ST_BLOCK_CALL_FLAG Py_TPFLAGS_HAVE_VECTORCALL
    #else
    #define ST_BLOCKS_ARE_CALLED 0
    #define ST_BLOCK_CALL_FLAG 0
    #endif
    #define ST_BLOCK_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE \\
                            | Py_TPFLAGS_DISALLOW_INSTANTIATION | ST_BLOCK_CALL_FLAG)
    typedef struct {
        PyObject_HEAD
        PyObject *method;
    } st_with_method;
    static void st_with_method_dealloc(PyObject *self) {
        Py_DECREF(((st_with_method *)self)->method);
        PyObject_Free(self);
    }
    /* A `with` asks the type; what asks an object goes through its `tp_getattro`. */
    static PyObject *st_with_method_get(PyObject *self, PyObject *block, PyObject *type) {
        (void)type;
        return Py_NewRef(block != NULL ? block : ((st_with_method *)self)->method);
    }
    static PyTypeObject st_with_method_type = {
        PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "stichotrope._core.WithMethod",
        .tp_basicsize = sizeof(st_with_method),
        .tp_dealloc = st_with_method_dealloc,
        .tp_descr_get = st_with_method_get,
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    };
    /* Has a `with` get an object of a type for one of its methods. */
    static int st_give_itself(PyObject *type, const char *name) {
        PyObject *dictionary = ((PyTypeObject *)type)->tp_dict;
        PyObject *method = PyDict_GetItemString(dictionary, name);
        st_with_method *made;
        int status;
        if (method == NULL || PyType_Ready(&st_with_method_type) < 0) return -1;
        if ((made = PyObject_New(st_with_method, &st_with_method_type)) == NULL) return -1;
        made->method = Py_NewRef(method);
        status = PyDict_SetItemString(dictionary, name, (PyObject *)made);
        Py_DECREF(made);
        PyType_Modified((PyTypeObject *)type);
        return status;
    }
    static PyObject *st_block_getattro(PyObject *self, PyObject *name) {
        PyObject *value = PyObject_GenericGetAttr(self, name), *method;
        if (ST_LIKELY(value != self)) return value;
        Py_DECREF(value);
        if ((method = PyObject_GetAttr((PyObject *)Py_TYPE(self), name)) == NULL) return NULL;
        value = Py_TYPE(method)->tp_descr_get(method, self, (PyObject *)Py_TYPE(self));
        Py_DECREF(method);
        return value;
    }
    static PyObject *st_refuse_call(PyObject *self) {
        PyErr_Format(PyExc_TypeError, "'%s' object is not callable", Py_TYPE(self)->tp_name);
        return NULL;
    }
    """
    ctypedef struct Marked "st_marked":
        PyObject* callee
        void* handle
        PyObject* owner
    ctypedef struct FunctionObject "st_function":
        Marked marked
    ctypedef struct TrackedObject "st_tracked":
        void* vectorcall
        Marked marked
        PyObject* attributes
        PyObject* references
    ctypedef struct BlockObject "st_block":
        void* vectorcall
        void* handle
        PyObject* owner
    ctypedef struct TaggedBlockObject "st_tagged_block":
        uint64_t tag
    PyObject* st_kept_block()
    bint st_keep_block(PyObject*)
    const unsigned int ST_TRACKED_FLAGS
    const unsigned int ST_BLOCK_FLAGS
    const bint ST_BLOCKS_ARE_CALLED
    int st_give_itself(object type, const char* name) except -1
    PyObject* st_block_getattro(PyObject*, PyObject*)
    PyObject* st_refuse_call(PyObject*)
    void st_call_by_vector(PyTypeObject*)
    bint st_is_function(PyObject*)
    object st_ready_function_type(void* plain, void* suspending)
    PyObject* st_new_function(PyObject* function, PyObject* owner, void* handle)

cdef inline PyObject* passed_on(Marked* m, bint is_function, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    return st_call_function(m.callee, args, nargsf, names) if is_function else st_call(m.callee, args, nargsf, names)

cdef inline hot record_call(Marked* m, bint is_function, PyObject** args, size_t nargsf, PyObject* names,
                            PyObject** result) noexcept:
    """Passes a call on, and records it."""
    cdef Handle* h = <Handle*>m.handle
    cdef Buffer* b
    cdef Activation* a
    cdef bint is_entered
    enter_plainly(h, &b, &a, CALL, &is_entered)
    if ST_UNLIKELY(not is_entered):
        result[0] = record_otherwise(m, is_function, args, nargsf, names)
        return
    result[0] = passed_on(m, is_function, args, nargsf, names)
    if ST_UNLIKELY(result[0] == NULL or st_may_be_awaited(result[0]) or st_load32(&h.asks)):
        result[0] = end_otherwise(m, b, a, result[0])
    else:
        leave_quickly(b, a, st_ticks(), RETURNED)

cdef inline bint is_seated(const Handle* h, uint64_t gate) noexcept nogil:
    """Whether a thread's seat has its buffer of a store whose gate says this."""
    return seat_of(h).session == gate

cdef PyObject* record_otherwise(Marked* m, bint is_function, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    """The same, whatever there is to be seen to."""
    cdef Buffer* b = NULL
    cdef Activation* a
    cdef PyObject* result
    enter_otherwise(<Handle*>m.handle, &b, &a, CALL)
    result = passed_on(m, is_function, args, nargsf, names)
    return end_otherwise(m, b, a, result) if ST_LIKELY(a != NULL) else result

cdef PyObject* end_otherwise(Marked* m, Buffer* b, Activation* a, PyObject* result) noexcept:
    """Closes the pass of a call that has raised, or whose result is looked at first."""
    if ST_UNLIKELY(st_may_be_awaited(result)) and is_coroutine(result) and st_is_fresh(result):
        return go_on(m, b, a, result)
    if ST_UNLIKELY(st_load32(&(<Handle*>m.handle).asks)):
        leave_asked(m.owner, <Handle*>m.handle, b, a, result)
    else:
        leave(b, a, st_ticks(), RETURNED if ST_LIKELY(result != NULL) else way_out_raising())
    return result

# What is off is passed on before anything else, so that it takes no more than a jump.

cdef PyObject* function_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    cdef Marked* m = &(<FunctionObject*>self).marked
    cdef uint64_t gate = gate_of(<Handle*>m.handle)
    cdef PyObject* result
    if ST_UNLIKELY(not is_seated(<Handle*>m.handle, gate)):
        if gate == OFF:
            return passed_on(m, True, args, nargsf, names)
        return record_otherwise(m, True, args, nargsf, names)
    record_call(m, True, args, nargsf, names, &result)
    return result

cdef PyObject* function_suspending_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    cdef Marked* m = &(<FunctionObject*>self).marked
    return standing_for(m, passed_on(m, True, args, nargsf, names))

cdef PyObject* tracked_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    cdef Marked* m = &(<TrackedObject*>self).marked
    cdef uint64_t gate = gate_of(<Handle*>m.handle)
    cdef PyObject* result
    if ST_UNLIKELY(not is_seated(<Handle*>m.handle, gate)):
        if gate == OFF:
            return passed_on(m, False, args, nargsf, names)
        return record_otherwise(m, False, args, nargsf, names)
    record_call(m, False, args, nargsf, names, &result)
    return result

cdef PyObject* suspending_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    cdef Marked* m = &(<TrackedObject*>self).marked
    return standing_for(m, passed_on(m, False, args, nargsf, names))

TrackedFunction = st_ready_function_type(<void*>function_call, <void*>function_suspending_call)

cdef int tracked_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef TrackedObject* t = <TrackedObject*>self
    cdef PyObject* held[4]
    cdef int i, result
    held[0] = <PyObject*>Py_TYPE(self)
    held[1] = t.marked.callee
    held[2] = t.marked.owner
    held[3] = t.attributes
    for i in range(4):
        if held[i] != NULL:
            result = visit(held[i], arg)
            if result:
                return result
    return 0

cdef int tracked_clear(PyObject* self) noexcept:
    # What it calls and its profiler stay until the very end: a finalizer of the same cycle may still call it.
    cdef TrackedObject* t = <TrackedObject*>self
    Py_CLEAR(t.attributes)
    return 0

cdef void tracked_dealloc(PyObject* self) noexcept:
    cdef TrackedObject* t = <TrackedObject*>self
    cdef PyTypeObject* kind = Py_TYPE(self)
    PyObject_GC_UnTrack(self)
    if t.references != NULL:
        PyObject_ClearWeakRefs(self)
    Py_XDECREF(t.attributes)
    Py_XDECREF(t.marked.callee)
    Py_XDECREF(t.marked.owner)
    PyObject_GC_Del(self)
    Py_DECREF(<PyObject*>kind)

cdef PyObject* tracked_getattr(PyObject* self, PyObject* name) noexcept:
    # What the wrapper does not have itself (code, defaults, closure, annotations, …) is the wrapped one's.
    cdef PyObject* value = PyObject_GenericGetAttr(self, name)
    if value == NULL and PyErr_ExceptionMatches(PyExc_AttributeError):
        PyErr_Clear()
        value = PyObject_GetAttr((<TrackedObject*>self).marked.callee, name)
    return value

cdef PyObject* tracked_bind(PyObject* self, PyObject* instance, PyObject* owner) noexcept:
    if instance == NULL or instance == Py_None:
        Py_INCREF(self)
        return self
    return PyMethod_New(self, instance)

cdef PyObject* tracked_bind_as_callee(PyObject* self, PyObject* instance, PyObject* owner) noexcept:
    """What standing in a class makes of it: whatever it makes of the callee."""
    cdef TrackedObject* t = <TrackedObject*>self
    cdef descrgetfunc get = <descrgetfunc>PyType_GetSlot(Py_TYPE(t.marked.callee), Py_tp_descr_get)
    cdef PyObject* bound = get(t.marked.callee, instance, owner) if get != NULL else NULL
    cdef PyObject* result
    if get != NULL and bound == NULL:
        return NULL
    if bound == NULL or bound == t.marked.callee:
        Py_XDECREF(bound)
        Py_INCREF(self)
        return self
    if PyMethod_Check(bound) and PyMethod_Function(bound) == t.marked.callee:
        result = PyMethod_New(self, PyMethod_Self(bound))
    else:
        result = alloc_tracked(
            bound, t.marked.owner, <Handle*>t.marked.handle, tracked_callable_type, t.vectorcall)
    Py_DECREF(bound)
    return result

cdef object qualified(PyObject* self):
    callee = <object>(<TrackedObject*>self).marked.callee
    return getattr(<object>self, "__qualname__", None) or repr(callee)

cdef PyObject* tracked_repr(PyObject* self) noexcept:
    try:
        if has_repr((<TrackedObject*>self).marked.callee):
            text = repr(<object>(<TrackedObject*>self).marked.callee)
        else:
            text = f"<tracked {qualified(self)} at {<uintptr_t>self:#x}>"
    except Exception:
        text = f"<tracked callable at {<uintptr_t>self:#x}>"
    Py_INCREF(<PyObject*>text)
    return <PyObject*>text

cdef bint has_repr(PyObject* callee):
    """Whether somebody has said how an instance of a class of Python is shown."""
    kind = type(<object>callee)
    return kind.__flags__ & HEAPTYPE != 0 and kind.__repr__ is not object.__repr__

cdef object HEAPTYPE = 1 << 9

cdef object tracked_reduce(PyObject* self, PyObject* ignored):
    """By reference, like any function, what goes by reference itself: under the name by which its module holds it.
    Else as what it calls, to be tracked again."""
    cdef Marked* m = &(<TrackedObject*>self).marked
    if isinstance((<object>m.callee).__reduce_ex__(4), str):
        return qualified(self)
    return (<object>m.owner)._reduced(<object>m.callee, (<Handle*>m.handle).site)

cdef PyObject* tracked_copy(PyObject* self, PyObject* memo) noexcept:
    Py_INCREF(self)
    return self

cdef object tracked_class(PyObject* self, void* closure):
    return (<object>(<TrackedObject*>self).marked.callee).__class__

cdef int tracked_set_class(PyObject* self, PyObject* value, void* closure) except -1:
    if value == NULL:
        raise TypeError("can't delete __class__ attribute")
    (<object>(<TrackedObject*>self).marked.callee).__class__ = <object>value
    return 0

cdef int tracked_setattr(PyObject* self, PyObject* name, PyObject* value) noexcept:
    """A callable instance has state, which is set where it is read. What it refuses, the wrapper takes, as well as what
    makes it look like what it calls."""
    if name_is_special(name):
        return PyObject_GenericSetAttr(self, name, value)
    if PyObject_SetAttr((<TrackedObject*>self).marked.callee, name, value) == 0:
        return 0
    if not PyErr_ExceptionMatches(PyExc_AttributeError):
        return -1
    PyErr_Clear()
    return PyObject_GenericSetAttr(self, name, value)

cdef bint name_is_special(PyObject* name) noexcept:
    cdef Py_ssize_t length = PyUnicode_GetLength(name)
    return length > 4 and PyUnicode_Tailmatch(name, DOUBLE, 0, length, -1) == 1 and (
        PyUnicode_Tailmatch(name, DOUBLE, 0, length, 1) == 1)

cdef object double_underscore = "__"
cdef PyObject* DOUBLE = <PyObject*>double_underscore

cdef PyMemberDef tracked_members[4]
cdef PyGetSetDef tracked_getset[3]
cdef PyMethodDef tracked_methods[5]
cdef PyType_Slot tracked_slots[12]
cdef PyType_Spec tracked_spec

cdef void set_slot(PyType_Slot* slot, int which, void* value) noexcept:
    slot.slot = which
    slot.pfunc = value

cdef void set_method(PyMethodDef* method, const char* name, void* function, int flags) noexcept:
    method.ml_name = name
    method.ml_meth = function
    method.ml_flags = flags

cdef extern from *:
    """
    #include <stddef.h>
    #include <structmember.h>
    """
    const Py_ssize_t VECTORCALL_OFFSET "offsetof(st_tracked, vectorcall)"
    const Py_ssize_t ATTRIBUTES_OFFSET "offsetof(st_tracked, attributes)"
    const Py_ssize_t REFERENCES_OFFSET "offsetof(st_tracked, references)"
    const Py_ssize_t BLOCK_VECTORCALL_OFFSET "offsetof(st_block, vectorcall)"

cdef void set_member(PyMemberDef* member, const char* name, int kind, Py_ssize_t offset) noexcept:
    member.name = name
    member.type = kind
    member.offset = offset
    member.flags = READONLY

cdef object make_tracked_type(const char* name, bint binds):
    """A type whose instances forward calls untouched. One that binds does so as functions do, and the interpreter
    knows; the other one asks its callee."""
    set_member(&tracked_members[0], "__vectorcalloffset__", T_PYSSIZET, VECTORCALL_OFFSET)
    set_member(&tracked_members[1], "__dictoffset__", T_PYSSIZET, ATTRIBUTES_OFFSET)
    set_member(&tracked_members[2], "__weaklistoffset__", T_PYSSIZET, REFERENCES_OFFSET)
    tracked_getset[0].name = "__dict__"
    tracked_getset[0].get = <void*>PyObject_GenericGetDict
    tracked_getset[0].set = <void*>PyObject_GenericSetDict
    tracked_getset[1].name = "__class__"
    tracked_getset[1].get = <void*>tracked_class
    tracked_getset[1].set = <void*>tracked_set_class
    set_method(&tracked_methods[0], "__reduce__", <void*>tracked_reduce, METH_NOARGS)
    set_method(&tracked_methods[1], "__reduce_ex__", <void*>tracked_reduce, METH_O)
    set_method(&tracked_methods[2], "__copy__", <void*>tracked_copy, METH_NOARGS)
    set_method(&tracked_methods[3], "__deepcopy__", <void*>tracked_copy, METH_O)
    set_slot(&tracked_slots[0], Py_tp_dealloc, <void*>tracked_dealloc)
    set_slot(&tracked_slots[1], Py_tp_traverse, <void*>tracked_traverse)
    set_slot(&tracked_slots[2], Py_tp_clear, <void*>tracked_clear)
    set_slot(&tracked_slots[3], Py_tp_call, <void*>PyVectorcall_Call)
    set_slot(&tracked_slots[4], Py_tp_repr, <void*>tracked_repr)
    set_slot(&tracked_slots[5], Py_tp_getattro, <void*>tracked_getattr)
    set_slot(&tracked_slots[6], Py_tp_members, tracked_members)
    set_slot(&tracked_slots[7], Py_tp_getset, tracked_getset)
    set_slot(&tracked_slots[8], Py_tp_methods, tracked_methods)
    set_slot(&tracked_slots[9], Py_tp_descr_get, <void*>tracked_bind if binds else <void*>tracked_bind_as_callee)
    set_slot(&tracked_slots[10], 0 if binds else Py_tp_setattro, NULL if binds else <void*>tracked_setattr)
    set_slot(&tracked_slots[11], 0, NULL)
    tracked_spec.name = name
    tracked_spec.basicsize = sizeof(TrackedObject)
    tracked_spec.flags = ST_TRACKED_FLAGS | (Py_TPFLAGS_METHOD_DESCRIPTOR if binds else Py_TPFLAGS_BASETYPE)
    tracked_spec.slots = tracked_slots
    made = PyType_FromSpec(&tracked_spec)
    st_for_good(<PyObject*>made)
    return made

TrackedRoutine = make_tracked_type("stichotrope._core.TrackedRoutine", True)
TrackedCallable = make_tracked_type("stichotrope._core.TrackedCallable", False)
cdef PyTypeObject* tracked_routine_type = <PyTypeObject*><PyObject*>TrackedRoutine
cdef PyTypeObject* tracked_callable_type = <PyTypeObject*><PyObject*>TrackedCallable

cdef PyObject* alloc_tracked(PyObject* callee, PyObject* owner, Handle* handle, PyTypeObject* kind,
                             void* vectorcall) noexcept:
    cdef PyObject* self = PyType_GenericAlloc(kind, 0)
    cdef TrackedObject* t = <TrackedObject*>self
    if self != NULL:
        t.vectorcall = vectorcall
        t.marked.callee = callee
        t.marked.owner = owner
        t.marked.handle = handle
        Py_INCREF(callee)
        Py_INCREF(owner)
        st_share(self)
    return self

def callable_type(dict methods):
    """A type of tracked callables that have special methods, called as their callees' are."""
    made = type("TrackedCallable", (TrackedCallable,), {"__slots__": (), "__module__": TrackedCallable.__module__, **methods})
    st_call_by_vector(<PyTypeObject*><PyObject*>made)
    return made

cdef object new_tracked(callee, owner, Handle* handle, bint binds, bint suspends, kind):
    cdef PyTypeObject* of = tracked_routine_type if binds else tracked_callable_type
    if st_is_function(<PyObject*>callee):
        return st_new(st_new_function(<PyObject*>callee, <PyObject*>owner, handle))
    if kind is not None and not binds:
        if not issubclass(kind, TrackedCallable):
            raise TypeError(f"{kind!r} is no type of tracked callables")
        of = <PyTypeObject*><PyObject*>kind
    return st_new(alloc_tracked(
        <PyObject*>callee, <PyObject*>owner, handle, of,
        <void*>suspending_call if suspends else <void*>tracked_call))

cdef Marked* marked_of(PyObject* each) noexcept:
    """What a tracked callable stands for; NULL for anything else."""
    cdef PyTypeObject* kind = Py_TYPE(each)
    if kind == <PyTypeObject*><PyObject*>TrackedFunction:
        return &(<FunctionObject*>each).marked
    if kind == tracked_routine_type or PyType_IsSubtype(kind, tracked_callable_type):
        return &(<TrackedObject*>each).marked
    return NULL

cdef class Through:
    """Calls what makes a function out of another with the one that a tracked function stands for, and tracks what it
    makes, as passes of the same call site. It has no frame: who looks for its caller finds the caller of this."""
    cdef object make

    def __init__(self, make):
        self.make = make

    def __call__(self, function):
        cdef Marked* m
        if type(function) is not TrackedFunction:
            return self.make(function)
        m = marked_of(<PyObject*>function)
        made = self(<object>m.callee)
        if not st_is_function(<PyObject*>made):
            return made
        tracked = st_new(st_new_function(<PyObject*>made, m.owner, m.handle))
        tracked.__dict__.update(function.__dict__)
        return tracked
