# Call sites: from where a block was asked for to its handle.

cdef size_t MOST_CALL_SITES = 1 << 16

cdef extern from *:
    """
    /* The hash of an exact str, which keeps it from the first time on. */
    static inline Py_hash_t st_hash(PyObject *name) {
        Py_hash_t known = ((PyASCIIObject *)name)->hash;
        return ST_LIKELY(known != -1) ? known : PyObject_Hash(name);
    }
    """
    uint64_t st_hash(PyObject* name)

cdef inline uint64_t call_site_hash(PyObject* code, int offset, str name) noexcept:
    return scatter(<uint64_t><uintptr_t>code ^ (<uint64_t>st_hash(<PyObject*>name) << 1) ^ (<uint64_t><uint32_t>offset << 40))

cdef bint is_same(PyObject* known, PyObject* given) noexcept:
    """Whether two exact ints or strs have one value."""
    if Py_TYPE(known) != Py_TYPE(given):
        return False
    try:
        return <object>known == <object>given
    except Exception:
        return False

cdef inline Handle* find_call_site(Store* s, PyObject* code, int offset, PyObject* track, str name) noexcept:
    """The handle that this place, track and name came to before, or NULL. Reads without a lock."""
    cdef CallSites* table = <CallSites*>st_loadp_acquire(<void**>&s.call_sites)
    cdef uint64_t hashed
    cdef size_t i
    cdef CallSite* slot
    cdef Handle* h
    if table == NULL:
        return NULL
    hashed = call_site_hash(code, offset, name)
    i = hashed & table.mask
    while True:
        slot = &table.slots[i]
        h = <Handle*>st_loadp_acquire(<void**>&slot.handle)
        if h == NULL:
            return NULL
        if slot.code == code and slot.offset == offset:
            # Constants are one object each time; what is made at run time is compared by value, and by its exact type.
            if slot.name == <PyObject*>name or (slot.hash == hashed and is_same(slot.name, <PyObject*>name)):
                if slot.track == track or is_same(slot.track, track):
                    return h
        i = (i + 1) & table.mask

cdef void put_call_site(CallSites* table, CallSite* site) noexcept nogil:
    cdef size_t i = site.hash & table.mask
    cdef Handle* h = site.handle
    while table.slots[i].handle != NULL:
        i = (i + 1) & table.mask
    # Not its handle, which others look at meanwhile.
    table.slots[i].code = site.code
    table.slots[i].track = site.track
    table.slots[i].name = site.name
    table.slots[i].hash = site.hash
    table.slots[i].offset = site.offset
    st_storep_release(<void**>&table.slots[i].handle, h)
    table.used += 1

cdef CallSites* bigger_call_sites(CallSites* table) noexcept nogil:
    """A table of twice the size with the same entries, or NULL. Readers may still be in the old one, so it stays."""
    cdef CallSites* bigger = <CallSites*>PyMem_RawCalloc(1, sizeof(CallSites))
    cdef size_t i, capacity = 16 if table == NULL else 2 * (table.mask + 1)
    if bigger == NULL:
        return NULL
    bigger.slots = <CallSite*>PyMem_RawCalloc(capacity, sizeof(CallSite))
    if bigger.slots == NULL:
        PyMem_RawFree(bigger)
        return NULL
    bigger.mask = capacity - 1
    bigger.older = table
    bigger.owns = True
    if table != NULL:
        table.owns = False
        for i in range(table.mask + 1):
            if table.slots[i].handle != NULL:
                put_call_site(bigger, &table.slots[i])
    return bigger

cdef bint add_call_site(Store* s, CallSite* site) noexcept nogil:
    """Remembers a call site; False when there is no memory, or too much of it in use already."""
    cdef CallSites* table
    cdef bint added = False
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    table = s.call_sites
    if table == NULL or (4 * table.used >= 3 * (table.mask + 1) and table.used < MOST_CALL_SITES):
        table = bigger_call_sites(table)
        if table != NULL:
            st_storep_release(<void**>&s.call_sites, table)
    if table != NULL and 4 * table.used < 3 * (table.mask + 1):
        put_call_site(table, site)
        added = True
    PyThread_release_lock(s.lock)
    return added

cdef void hold_call_site(CallSite* site) noexcept:
    Py_INCREF(site.code)
    Py_INCREF(site.track)
    Py_INCREF(site.name)

cdef void let_call_site_go(CallSite* site) noexcept:
    Py_DECREF(site.code)
    Py_DECREF(site.track)
    Py_DECREF(site.name)

cdef bint forget_call_sites(Store* s) noexcept nogil:
    """Makes every call site be looked up anew, because what a track's name stands for has changed."""
    cdef CallSites* empty
    cdef CallSites* known
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    known = s.call_sites
    empty = bigger_call_sites(NULL) if known != NULL else NULL
    if empty != NULL:
        empty.older = known
        st_storep_release(<void**>&s.call_sites, empty)
    PyThread_release_lock(s.lock)
    return known == NULL or empty != NULL

cdef void free_call_sites(CallSites* table) noexcept:
    cdef size_t i
    cdef CallSites* older
    while table != NULL:
        older = table.older
        if table.owns:
            for i in range(table.mask + 1):
                if table.slots[i].handle != NULL:
                    let_call_site_go(&table.slots[i])
        PyMem_RawFree(table.slots)
        PyMem_RawFree(table)
        table = older
