# What counts once: how long at least one of some passes was open. See the words of a Scope.

cdef inline uint64_t begun(uint64_t now) noexcept nogil:
    return 1 - 2 * now

cdef inline void word_on(uint64_t* word, uint64_t now) noexcept nogil:
    st_store64(word, word[0] + begun(now))

cdef inline void word_off(uint64_t* word, uint64_t now) noexcept nogil:
    st_store64(word, word[0] - begun(now))

cdef inline uint32_t count_open(Count* count) noexcept nogil:
    """How many are open."""
    return st_load32(&count.others) + <uint32_t>(st_load64(&count.once) & 1)

cdef inline bint open_one(Count* count, uint64_t now) noexcept nogil:
    """One more has opened; whether it is the first."""
    if count.once & 1:
        st_store32(&count.others, count.others + 1)
        return False
    word_on(&count.once, now)
    return True

cdef inline bint close_one(Count* count, uint64_t now) noexcept nogil:
    """One has closed; whether it is the last."""
    if count.others:
        st_store32(&count.others, count.others - 1)
        return False
    word_off(&count.once, now)
    return True

cdef void open_around(Buffer* b, uint32_t offset, uint64_t now) noexcept nogil:
    """The first of what is within a scope has opened."""
    while offset and open_one(count_at(b, offset), now):
        offset = count_at(b, offset).above

cdef void close_around(Buffer* b, uint32_t offset, uint64_t now) noexcept nogil:
    """The last of what is within a scope has closed."""
    while offset and close_one(count_at(b, offset), now):
        offset = count_at(b, offset).above

cdef inline void open_node(Buffer* b, Node* n, uint64_t now) noexcept nogil:
    """A pass of a node begins."""
    if ST_LIKELY(open_one(&n.count, now)):
        if n.count.above:
            open_around(b, n.count.above, now)
    elif n.covering == n.count.others:  # all that were open
        word_off(&n.covered, now)

cdef inline void close_node(Buffer* b, Node* n, uint64_t now) noexcept nogil:
    """A pass of a node ends; nothing lies on it."""
    if ST_LIKELY(close_one(&n.count, now)):
        if n.count.above:
            close_around(b, n.count.above, now)
    elif n.covering == n.count.others + 1:  # all that are left
        word_on(&n.covered, now)

cdef inline void cover(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Something more lies on an open pass."""
    cdef Node* n
    st_store32(&a.over, a.over + 1)
    if a.over == 1:
        n = node_at(b, a.node)
        if n.covering == n.count.others:  # all but this one
            word_on(&n.covered, now)
        st_store32(&n.covering, n.covering + 1)

cdef inline void uncover(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Something lies on an open pass no more."""
    cdef Node* n
    st_store32(&a.over, a.over - 1)
    if a.over == 0:
        n = node_at(b, a.node)
        st_store32(&n.covering, n.covering - 1)
        if n.covering == n.count.others:
            word_off(&n.covered, now)

cdef void uncover_wholly(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """Nothing lies on an open pass any more."""
    if a.over:
        st_store32(&a.over, 1)
        uncover(b, a, now)

cdef inline Count* pace_of(Buffer* b, Activation* a) noexcept nogil:
    return count_at(b, b.sites[a.site].pace)

cdef void start_pace(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    """An open pass of a site whose passes may be idle is not, from now on."""
    open_one(pace_of(b, a), now)

cdef void stop_pace(Buffer* b, Activation* a, uint64_t now) noexcept nogil:
    close_one(pace_of(b, a), now)

cdef inline bint pace(Activation* a, uint32_t site) noexcept nogil:
    """Notes that an open pass may be idle, if it is one of a site."""
    if a.site != site or a.flags & (SILENT | BOTTOM):
        return False
    st_store32(&a.flags, a.flags | PACED)
    return True

cdef uint32_t pace_flow(Buffer* b, uint32_t top, uint32_t site) noexcept nogil:
    """Notes the open passes of a site in one flow; how many they are."""
    cdef Activation* a = activation_at(b, top)
    cdef uint32_t count = 0
    while a.prev:
        count += pace(a, site)
        a = activation_at(b, a.prev)
    return count

cdef uint32_t pace_chain_of(Buffer* b, uint32_t low, uint32_t site) noexcept nogil:
    """The same, of what is suspended with a body."""
    cdef uint32_t count = 0
    while low:
        count += pace(activation_at(b, low), site)
        low = activation_at(b, low).next
    return count

cdef bint make_pace(Buffer* b, Activation* a) noexcept nogil:
    """Has idle passes of a site be told from others, now that there will be one; False when there is no memory."""
    cdef SiteState* state = &b.sites[a.site]
    cdef uint64_t key = site_key(a.site)
    cdef Scope* scope
    cdef uint32_t running, offset
    cdef uint64_t i
    if state.pace:
        return True
    scope = scope_of(b, key | OF_ACTIVE)
    if scope == NULL:
        return False
    running = pace_flow(b, b.top, a.site)
    if b.flows.slots != NULL:
        for i in range(b.flows.mask + 1):
            if b.flows.slots[2 * i]:
                running += pace_flow(b, <uint32_t>b.flows.slots[2 * i + 1], a.site)
    offset = FIRST_ACTIVATION + <uint32_t>sizeof(Activation)
    while offset < b.stack_used:  # what is suspended, and not idle, or it would be told from others already
        if activation_at(b, offset).flags & SUSPENDED and st_load32(&activation_at(b, offset).gone) == 0:
            running += pace_chain_of(b, offset, a.site)
        offset += <uint32_t>sizeof(Activation)
    scope.count.others = running - 1  # the word counts one of them
    st_store64_release(&scope.count.once, count_at(b, <uint32_t>map_find(&b.scopes, key + 1)[1]).once)
    state.pace = offset_of(b, scope)
    state.parent = UNSETTLED
    return True
