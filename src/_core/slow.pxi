# Slow passes: who wants to know of the long ones of a site is told when they end, on their thread.

ctypedef void (*slow_telling)(PyObject*, const Handle*, uint64_t, uint64_t, int) noexcept nogil  # where the GIL is held

cdef void tell_if_slow(PyObject* owner, const Handle* h, uint64_t start, uint64_t now, int how) noexcept:
    """Tells of a pass that has been recorded, if it took as long as its site is watched for. An exception that is set
    stays so; one that slow_telling raises goes where those go that nobody can catch."""
    cdef Error error
    if stretch(start, now) < st_load64(&h.slow_ticks):
        return
    st_take_error(&error)
    tell_of_slow(owner, h.site, stretch(start, now), how)
    st_put_error(&error)

cdef void tell_of_slow(PyObject* owner, uint32_t site, uint64_t ticks, int how) noexcept:
    (<object>owner)._pass_was_slow(site, ticks, how)

cdef PyObject* leave_block_watched(PyObject* self, int how) noexcept:
    """Leaves a block whose slow passes are told of."""
    cdef Handle* h = <Handle*>(<BlockObject*>self).handle
    cdef Buffer* b = current_buffer(h)
    cdef Activation* a = working_pass(b, h) if b != NULL and b.session == st_load64_acquire(&h.store.session) else NULL
    cdef bint is_known = a != NULL and not a.flags & SILENT
    cdef uint64_t start = a.start if is_known else 0
    cdef bint is_found
    leave_block(h, how, &is_found)
    if not is_found:
        return complain(self)
    if is_known:
        tell_if_slow((<BlockObject*>self).owner, h, start, st_ticks(), how)
    return st_none()
