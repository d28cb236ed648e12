# Work: how many bytes and items passes went through, as the program says.
#
# What the passes of a node said stands in a node of its own below it, of the site WORK, of which nothing else is used:
#   failed      bytes
#   cancelled   items
# Each is one word that its own thread adds to as soon as it is said, so that what is open counts as far as it has come.

cdef enum:  # what is counted
    OF_BYTES = 0
    OF_ITEMS = 1

cdef inline uint64_t saturated(uint64_t one, uint64_t other) noexcept nogil:
    """The sum, or the largest number there is."""
    return one + other if one + other >= one else <uint64_t>-1

cdef bint add_work(Buffer* b, uint32_t node, int kind, uint64_t amount) noexcept nogil:
    """Adds to what a node's passes went through; False, and counted as an untimed pass, when there is no memory."""
    cdef uint64_t key = <uint64_t>node << 32 | (WORK + 1)
    cdef uint64_t* slot = map_find(&b.children, key)
    cdef uint32_t place
    cdef Node* n
    if slot != NULL:
        place = <uint32_t>slot[1]
    else:
        place = new_node(b, node, WORK, 0)
        if not place or not map_put(&b.children, key, place):
            b.untimed += 1
            return False
    n = node_at(b, place)
    if kind == OF_BYTES:
        st_store64(&n.failed, saturated(n.failed, amount))
    else:
        st_store64(&n.cancelled, saturated(n.cancelled, amount))
    return True

cdef Buffer* working_buffer(const Handle* h) noexcept nogil:
    """The calling thread's buffer, as it is after the last clear, or NULL when nothing is to be counted."""
    cdef Buffer* b = current_buffer(h)
    if b == NULL or b.session != st_load64_acquire(&h.store.session):
        return buffer_in(h.store, BLOCK) if gate_of(h) != OFF else NULL
    return b

cdef Activation* working_pass(Buffer* b, const Handle* h) noexcept nogil:
    """The pass of a site that whoever asks is in, maybe one that is not recorded; NULL when none is open on the thread."""
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef Activation* a = activation_at(b, b.top)
    cdef bint suspends
    if ST_LIKELY(a.site == h.site and a.prev and a.flags == 0 and context == b.expected and not is_posted(b)):
        return a
    if is_posted(b):
        drain(b)
    suspends = st_frame_suspends(frame)
    if suspends:
        frame = owner_of(frame)
        suspends = st_frame_suspends(frame)
    if context == b.expected or switch_flow(b, context):
        running_top(b, frame)
    a = find_own(b, top_for(b, context), h, frame) if suspends else NULL
    if a == NULL and suspends:
        a = fetch(<Handle*>h, frame)
    return a if a != NULL else find_open(b, h)

cdef void work(const Handle* h, int kind, uint64_t amount) noexcept nogil:
    """Counts what a pass goes through. Where it is not open here (on another thread, or after its end) but its track is
    on, it counts for the block all the same, by no path."""
    cdef Buffer* b = working_buffer(h)
    cdef Activation* a = working_pass(b, h) if b != NULL else NULL
    if b == NULL or (a != NULL and a.flags & SILENT) or (a == NULL and gate_of(h) == OFF):
        return
    if a != NULL:
        add_work(b, a.node, kind, amount)
    elif find_child(b, b.data_start, h.site, h.track):
        add_work(b, b.sites[h.site].node, kind, amount)
    else:
        b.untimed += 1

cdef object MOST_WORK = (1 << 63) - 1

cdef uint64_t amount_of(object given, str what) except? <uint64_t>-1:
    """A number of bytes or items, checked."""
    if not PyIndex_Check(<PyObject*>given):
        raise TypeError(f"a number of {what} is a whole number, not {given!r}")
    number = given if type(given) is int else _operator.index(given)
    if not 0 <= number <= MOST_WORK:
        raise ValueError(f"a number of {what} is from 0 to 2**63 - 1, not {number}")
    return number

cdef PyObject* block_add_bytes(PyObject* self, PyObject* given) except NULL:
    work(<Handle*>(<BlockObject*>self).handle, OF_BYTES, amount_of(<object>given, "bytes"))
    return st_none()

cdef PyObject* block_add_items(PyObject* self, PyObject* given) except NULL:
    work(<Handle*>(<BlockObject*>self).handle, OF_ITEMS, amount_of(<object>given, "items"))
    return st_none()

# What a tracked function gives is asked for its size once the pass, or its step, is over: asking is no part of it.

cdef struct Working:           # whose result it is
    Buffer* b
    uint64_t session
    uint32_t node              # 0: of none

cdef inline void note_working(Working* w, Buffer* b, Activation* a) noexcept nogil:
    w.b = b
    w.session = b.session
    w.node = 0 if a.flags & SILENT else a.node

cdef void work_of(PyObject* owner, const Handle* h, Working* w, PyObject* result) noexcept:
    """Asks the functions of a site how much a result is, and counts that. No exception is set before or after."""
    cdef uint64_t amounts[2]
    cdef int kind
    if not w.node:
        return
    try:
        (<Recorder><object>owner).ask_for_work(h.site, <object>result, amounts)
    except BaseException as error:
        (<Recorder><object>owner).work_failed(h.site, error)
        return
    for kind in range(2):
        if amounts[kind] and w.b.session == w.session:
            add_work(w.b, w.node, kind, amounts[kind])

cdef void leave_asked(PyObject* owner, const Handle* h, Buffer* b, Activation* a, PyObject* result) noexcept:
    """Closes the pass of a call, counts the work of what it returned, and tells of it if it was slow. `result`: NULL when
    it has raised."""
    cdef Working w
    cdef int how = RETURNED if result != NULL else way_out_raising()
    cdef uint64_t start = a.start, now = st_ticks()
    note_working(&w, b, a)
    leave(b, a, now, how)
    if st_load32(&h.asks) & ASKED and result != NULL:
        work_of(owner, h, &w, result)
    if st_load32(&h.asks) & WATCHED and w.node:
        tell_if_slow(owner, h, start, now, how)
