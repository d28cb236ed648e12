# The block: a context manager that records each pass through it.

cdef PyObject* block_enter(PyObject* self, PyObject* ignored) noexcept:
    enter_block(<Handle*>(<BlockObject*>self).handle)
    st_incref(self)
    return self

cdef PyObject* tagged_enter(PyObject* self, PyObject* ignored) noexcept:
    enter_tagged(<Handle*>(<BlockObject*>self).handle, (<TaggedBlockObject*>self).tag)
    st_incref(self)
    return self

cdef PyObject* block_exit(PyObject* self, PyObject** args, Py_ssize_t count) noexcept:
    cdef PyObject* kind = args[0] if ST_LIKELY(count) else Py_None
    cdef Handle* h = <Handle*>(<BlockObject*>self).handle
    cdef bint is_found
    if ST_UNLIKELY(st_load32(&h.asks) & WATCHED):
        return leave_block_watched(self, way_out(kind, args[1] if count > 1 else NULL))
    if ST_LIKELY(kind == Py_None):
        leave_block(h, RETURNED, &is_found)
    else:
        is_found = leave_block_raising(h, way_out(kind, args[1] if count > 1 else NULL))
    if ST_UNLIKELY(not is_found):
        return complain(self)
    return st_none()

cdef PyObject* block_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    """What a `with` calls: see ST_BLOCKS_ARE_CALLED. It has no arguments to enter, where a call that is written has none
    of them but a place for them."""
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf)
    if ST_LIKELY(count == 3 and names == NULL):
        return block_exit(self, args, 3)
    return block_enter(self, NULL) if ST_LIKELY(args == NULL) else st_refuse_call(self)

cdef PyObject* tagged_call(PyObject* self, PyObject** args, size_t nargsf, PyObject* names) noexcept:
    return tagged_enter(self, NULL) if args == NULL else block_call(self, args, nargsf, names)

cdef object label(PyObject* self):
    cdef BlockObject* block = <BlockObject*>self
    return (<object>block.owner)._describe_site((<Handle*>block.handle).site)

cdef int raise_not_entered(PyObject* self) except -1:
    raise RuntimeError(f"block {label(self)} was left on a thread and in a context where it is not open: "
                       "every __exit__ needs an __enter__ before it on the same thread")

cdef PyObject* complain(PyObject* self) noexcept:
    raising(self, raise_not_entered)
    return NULL

cdef extern from *:
    """
    /* Leaves the exception set, as a C slot does that returns NULL. */
    #define raising(self, function) ((void)function(self))
    """
    void raising(PyObject*, int (*)(PyObject*) except -1) noexcept

cdef PyObject* block_repr(PyObject* self) noexcept:
    try:
        text = f"<block {label(self)}>"
    except Exception:
        text = f"<block at {<uintptr_t>self:#x}>"
    Py_INCREF(<PyObject*>text)
    return <PyObject*>text

cdef int block_traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef int result = visit(<PyObject*>Py_TYPE(self), arg)
    return result if result else visit((<BlockObject*>self).owner, arg)

cdef void tagged_dealloc(PyObject* self) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(self)
    cdef PyObject* owner = (<BlockObject*>self).owner
    PyObject_GC_UnTrack(self)
    PyObject_GC_Del(self)
    Py_DECREF(<PyObject*>kind)
    Py_DECREF(owner)

cdef void block_dealloc(PyObject* self) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(self)
    cdef PyObject* owner = (<BlockObject*>self).owner
    PyObject_GC_UnTrack(self)
    if not st_keep_block(self):
        PyObject_GC_Del(self)
        Py_DECREF(<PyObject*>kind)
    st_decref(owner)

cdef char* ADD_BYTES = (
    b"add_bytes($self, number, /)\n--\n\n"
    b"Count bytes that the pass goes through: an int from 0 to 2**63 - 1. May be called any number of times.\n\n"
    b"It counts for the innermost pass of this block that is open on the thread; where none is, though the track\n"
    b"is on, for the block, by no path. Nothing is counted for a pass that is not recorded.")
cdef char* ADD_ITEMS = (
    b"add_items($self, number, /)\n--\n\n"
    b"Count items that the pass goes through, in the way of `add_bytes`.")
cdef PyMemberDef block_members[2]
cdef PyMethodDef block_methods[5]
cdef PyType_Slot block_slots[7]
cdef PyType_Spec block_spec

cdef object make_block_type():
    block_methods[0].ml_name = "__enter__"
    block_methods[0].ml_meth = <void*>block_enter
    block_methods[0].ml_flags = METH_NOARGS
    block_methods[1].ml_name = "__exit__"
    block_methods[1].ml_meth = <void*>block_exit
    block_methods[1].ml_flags = METH_FASTCALL
    block_methods[2].ml_name = "add_bytes"
    block_methods[2].ml_meth = <void*>block_add_bytes
    block_methods[2].ml_flags = METH_O
    block_methods[2].ml_doc = ADD_BYTES
    block_methods[3].ml_name = "add_items"
    block_methods[3].ml_meth = <void*>block_add_items
    block_methods[3].ml_flags = METH_O
    block_methods[3].ml_doc = ADD_ITEMS
    set_slot(&block_slots[0], Py_tp_dealloc, <void*>block_dealloc)
    set_slot(&block_slots[1], Py_tp_traverse, <void*>block_traverse)
    set_slot(&block_slots[2], Py_tp_repr, <void*>block_repr)
    set_slot(&block_slots[3], Py_tp_methods, block_methods)
    finish_block_type(&block_slots[4])
    block_spec.name = "stichotrope._core.Block"
    block_spec.basicsize = sizeof(BlockObject)
    block_spec.flags = ST_BLOCK_FLAGS
    block_spec.slots = block_slots
    return called_by_with(PyType_FromSpec(&block_spec))

cdef void finish_block_type(PyType_Slot* slots) noexcept:
    """The last slots: how a `with` calls what it is given."""
    if ST_BLOCKS_ARE_CALLED:
        set_member(&block_members[0], "__vectorcalloffset__", T_PYSSIZET, BLOCK_VECTORCALL_OFFSET)
        set_slot(&slots[0], Py_tp_members, block_members)
        set_slot(&slots[1], Py_tp_getattro, <void*>st_block_getattro)
    set_slot(&slots[2 if ST_BLOCKS_ARE_CALLED else 0], 0, NULL)

cdef object called_by_with(kind):
    if ST_BLOCKS_ARE_CALLED:
        st_give_itself(kind, "__enter__")
        st_give_itself(kind, "__exit__")
    return kind

cdef PyMethodDef tagged_methods[5]
cdef PyType_Slot tagged_slots[7]
cdef PyType_Spec tagged_spec

cdef object make_tagged_type():
    """The same for blocks whose passes have a tag."""
    tagged_methods[0].ml_name = "__enter__"
    tagged_methods[0].ml_meth = <void*>tagged_enter
    tagged_methods[0].ml_flags = METH_NOARGS
    tagged_methods[1] = block_methods[1]
    tagged_methods[2] = block_methods[2]
    tagged_methods[3] = block_methods[3]
    set_slot(&tagged_slots[0], Py_tp_dealloc, <void*>tagged_dealloc)
    set_slot(&tagged_slots[1], Py_tp_traverse, <void*>block_traverse)
    set_slot(&tagged_slots[2], Py_tp_repr, <void*>block_repr)
    set_slot(&tagged_slots[3], Py_tp_methods, tagged_methods)
    finish_block_type(&tagged_slots[4])
    tagged_spec.name = "stichotrope._core.TaggedBlock"
    tagged_spec.basicsize = sizeof(TaggedBlockObject)
    tagged_spec.flags = ST_BLOCK_FLAGS
    tagged_spec.slots = tagged_slots
    return called_by_with(PyType_FromSpec(&tagged_spec))

Block = make_block_type()
st_for_good(<PyObject*>Block)
TaggedBlock = make_tagged_type()
st_for_good(<PyObject*>TaggedBlock)
cdef PyTypeObject* block_type = <PyTypeObject*><PyObject*>Block
cdef PyTypeObject* tagged_block_type = <PyTypeObject*><PyObject*>TaggedBlock

cdef bint is_block(PyObject* each) noexcept:
    return Py_TYPE(each) == block_type or Py_TYPE(each) == tagged_block_type

cdef PyObject* new_tagged_block(PyObject* owner, Handle* handle, uint64_t tag) noexcept:
    cdef PyObject* self = _PyObject_GC_New(tagged_block_type)
    if self != NULL:
        (<BlockObject*>self).vectorcall = <void*>tagged_call
        (<BlockObject*>self).handle = handle
        (<BlockObject*>self).owner = owner
        (<TaggedBlockObject*>self).tag = tag
        Py_INCREF(owner)
        PyObject_GC_Track(self)
    return self

cdef inline PyObject* new_block(PyObject* owner, Handle* handle) noexcept:
    cdef PyObject* self = st_kept_block()
    if self == NULL:
        self = _PyObject_GC_New(block_type)
        if self != NULL:
            (<BlockObject*>self).vectorcall = <void*>block_call
    if self != NULL:
        (<BlockObject*>self).handle = handle
        (<BlockObject*>self).owner = owner
        st_incref(owner)
        PyObject_GC_Track(self)
    return self
