# What counts once: how long at least one of some passes was open. See the words of a Scope.

cdef inline void word_on(uint64_t* word, uint64_t now) noexcept nogil:
    st_store64(word, word[0] - 2 * now + 1)

cdef inline void word_off(uint64_t* word, uint64_t now) noexcept nogil:
    st_store64(word, word[0] + 2 * now - 1)

cdef void open_around(Buffer* b, uint32_t offset, uint64_t now) noexcept nogil:
    """The first of what is within a scope has opened."""
    cdef Count* count
    while offset:
        count = count_at(b, offset)
        st_store32(&count.open, count.open + 1)
        if count.open != 1:
            return
        word_on(&count.once, now)
        offset = count.above

cdef void close_around(Buffer* b, uint32_t offset, uint64_t now) noexcept nogil:
    """The last of what is within a scope has closed."""
    cdef Count* count
    while offset:
        count = count_at(b, offset)
        st_store32(&count.open, count.open - 1)
        if count.open:
            return
        word_off(&count.once, now)
        offset = count.above

cdef inline void open_node(Buffer* b, Node* n, uint64_t now) noexcept nogil:
    """A pass of a node begins."""
    cdef uint32_t others = n.count.open
    st_store32(&n.count.open, others + 1)
    if ST_LIKELY(others == 0):
        word_on(&n.count.once, now)
        if n.count.above:
            open_around(b, n.count.above, now)
    elif n.covering == others:
        word_off(&n.covered, now)

cdef inline void close_node(Buffer* b, Node* n, uint64_t now) noexcept nogil:
    """A pass of a node ends; nothing lies on it."""
    cdef uint32_t others = n.count.open - 1
    st_store32(&n.count.open, others)
    if ST_LIKELY(others == 0):
        word_off(&n.count.once, now)
        if n.count.above:
            close_around(b, n.count.above, now)
    elif n.covering == others:
        word_on(&n.covered, now)

cdef inline void cover(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Something more lies on an open pass."""
    cdef Node* n
    a.over += 1
    if a.over == 1:
        n = node_at(b, a.node)
        st_store32(&n.covering, n.covering + 1)
        if n.covering == n.count.open:
            word_on(&n.covered, now)

cdef inline void uncover(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Something lies on an open pass no more."""
    cdef Node* n
    a.over -= 1
    if a.over == 0:
        n = node_at(b, a.node)
        if n.covering == n.count.open:
            word_off(&n.covered, now)
        st_store32(&n.covering, n.covering - 1)

cdef void uncover_wholly(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Nothing lies on an open pass any more."""
    if a.over:
        a.over = 1
        uncover(b, a, now)

cdef inline Count* pace_of(Buffer* b, Activation* a) noexcept nogil:
    return count_at(b, b.sites[a.handle.site].pace)

cdef void start_pace(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """An open pass of a site whose passes may be idle is not, from now on."""
    cdef Count* pace = pace_of(b, a)
    pace.open += 1
    if pace.open == 1:
        word_on(&pace.once, now)

cdef void stop_pace(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    cdef Count* pace = pace_of(b, a)
    pace.open -= 1
    if pace.open == 0:
        word_off(&pace.once, now)

cdef void pace_flow(Buffer* b, uint32_t top, const Handle* h, Count* pace) noexcept nogil:
    """Counts the open passes of a site in one flow."""
    cdef Activation* a = activation_at(b, top)
    while a.prev:
        if a.handle == h and not a.flags & SILENT:
            st_store32(&a.flags, a.flags | PACED)
            pace.open += 1
        a = activation_at(b, a.prev)

cdef bint make_pace(Buffer* b, Activation* a) noexcept nogil:
    """Has idle passes of a site be told from others, now that there will be one; False when there is no memory."""
    cdef SiteState* state = &b.sites[a.handle.site]
    cdef uint64_t key = site_key(a.handle.site)
    cdef Scope* scope
    cdef uint64_t i
    if state.pace:
        return True
    scope = scope_of(b, key | OF_ACTIVE)
    if scope == NULL:
        return False
    pace_flow(b, b.top, a.handle, &scope.count)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                pace_flow(b, <uint32_t>b.flows.slots[2 * i + 1], a.handle, &scope.count)
    st_store64_release(&scope.count.once, count_at(b, <uint32_t>map_find(&b.scopes, key + 1)[1]).once)
    state.pace = offset_of(b, scope)
    state.parent = UNSETTLED
    return True
