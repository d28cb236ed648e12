# The calling-context tree of a buffer, and the histogram pages of its nodes.

cdef uint32_t fold_target(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """The ancestor-or-self of `parent` that stands for the site, or 0: recursion folds back onto it."""
    while parent:
        if node_at(b, parent).site == site:
            return parent
        parent = node_at(b, parent).parent
    return 0

cdef Scope* new_scope(Buffer* b, uint64_t key) noexcept nogil:
    """Makes a scope and shows it to readers, who find it as it is when it counts; NULL when there is no memory."""
    cdef uint32_t offset = take_half_line(b)
    cdef Scope* scope
    if offset == 0:
        return NULL
    scope = scope_at(b, offset)
    st_store64(&scope.key, key)
    st_store32(&scope.older, b.newest_scope)
    st_store32_release(&b.newest_scope, offset)
    if not b.is_lost:
        st_store32_release(&b.newest_scope_kept, offset)
    return scope

cdef Scope* scope_of(Buffer* b, uint64_t key) noexcept nogil:
    """A scope that stands by itself, made when missing; NULL when there is no memory."""
    cdef uint64_t* slot = map_find(&b.scopes, key + 1)
    cdef Scope* scope
    if slot != NULL:
        return scope_at(b, <uint32_t>slot[1])
    scope = new_scope(b, key)
    return scope if scope != NULL and map_put(&b.scopes, key + 1, offset_of(b, scope)) else NULL

cdef inline uint64_t site_key(uint32_t site) noexcept nogil:
    return <uint64_t>site << SCOPE_BITS | OF_SITE

cdef inline uint64_t track_key(uint32_t track) noexcept nogil:
    return <uint64_t>track << SCOPE_BITS | OF_TRACK

cdef bint split(Buffer* b, const uint64_t* keys, int kind) noexcept nogil:
    """Has what was counted by the only one within it be counted apart, before there is a second; False: no memory."""
    cdef uint64_t* slot = map_find(&b.scopes, keys[kind] + 1)
    cdef uint32_t old = <uint32_t>slot[1]
    cdef Count* only = count_at(b, old)
    cdef Scope* scope = new_scope(b, keys[kind])
    cdef uint32_t offset
    if scope == NULL:
        return False
    offset = offset_of(b, scope)
    scope.count.above = only.above
    st_store64_release(&scope.count.once, only.once)
    st_store32(&only.above, offset)
    while kind <= OF_ALL:  # what counted itself by that one, too
        slot = map_find(&b.scopes, keys[kind] + 1)
        if <uint32_t>slot[1] == old:
            slot[1] = offset
        kind += 1
    return True

cdef bint join(Buffer* b, Node* n) noexcept nogil:
    """Has a new node be counted by its site, its track and its thread; False when there is no memory."""
    cdef uint64_t keys[3]
    cdef uint64_t* slot
    cdef int kind
    keys[OF_SITE] = site_key(n.site)
    keys[OF_TRACK] = track_key(n.track)
    keys[OF_ALL] = OF_ALL
    for kind in range(3):
        slot = map_find(&b.scopes, keys[kind] + 1)
        if slot == NULL:
            if not map_put(&b.scopes, keys[kind] + 1, offset_of(b, &n.count)):
                return False
            continue
        if is_count_of(b, <uint32_t>slot[1], keys[kind]) or split(b, keys, kind):
            n.count.above = <uint32_t>map_find(&b.scopes, keys[kind] + 1)[1]
            return True
        return False
    return True

cdef bint is_count_of(Buffer* b, uint32_t offset, uint64_t key) noexcept nogil:
    """Whether a Count is that of the scope with a key, and not of the only one within it."""
    return offset % (LINE // 2) == 0 and scope_at(b, offset).key == key

cdef uint32_t add_child(Buffer* b, uint32_t parent, uint32_t site, uint32_t track) noexcept nogil:
    """Offset of the node that a site leads to from another one, found for the first time; 0 when there is no room."""
    cdef uint32_t found
    cdef uint64_t* slot
    if b.nodes > b.max_nodes and parent != b.other:
        # The tree is full: the pass is recorded under "other paths", where each site has one node.
        if b.other == 0:
            b.other = new_node(b, b.data_start, OTHER_PATHS, 0)
            if b.other == 0:
                return 0
        slot = map_find(&b.children, (<uint64_t>b.other << 32) | (site + 1))
        return <uint32_t>slot[1] if slot != NULL else add_child(b, b.other, site, track)
    found = fold_target(b, parent, site)
    if found == 0:
        found = new_node(b, parent, site, track)
        if found == 0:
            return 0
        if not join(b, node_at(b, found)):
            return 0
    return found if map_put(&b.children, (<uint64_t>parent << 32) | (site + 1), found) else 0

cdef bint grow_sites(Buffer* b, uint32_t site) noexcept nogil:
    cdef uint32_t capacity = b.site_capacity
    cdef SiteState* sites
    while capacity <= site:
        capacity *= 2
    sites = <SiteState*>PyMem_RawCalloc(capacity, sizeof(SiteState))
    if sites == NULL:
        return False
    memcpy(sites, b.sites, b.site_capacity * sizeof(SiteState))
    if b.sites != b.inline_sites:
        PyMem_RawFree(b.sites)
    b.sites = sites
    b.site_capacity = capacity
    return True

cdef bint find_child(Buffer* b, uint32_t parent, uint32_t site, uint32_t track) noexcept nogil:
    """Points the site's state at the node below `parent`; False when there is no memory for it."""
    cdef SiteState* state
    cdef uint64_t* slot
    cdef uint32_t found
    if site >= b.site_capacity and not grow_sites(b, site):
        return False
    state = &b.sites[site]
    if state.parent == UNSETTLED and state.paced_parent == parent:
        return True
    slot = map_find(&b.children, (<uint64_t>parent << 32) | (site + 1))
    found = <uint32_t>slot[1] if slot != NULL else add_child(b, parent, site, track)
    if found == 0:
        return False
    state.node = found
    state.paced_parent = parent
    state.parent = UNSETTLED if state.pace else parent
    return True

cdef uint32_t node_like(Buffer* b, Buffer* other, uint32_t node, int depth) noexcept nogil:
    """Offset of the node that has the path of one in another buffer; 0 when there is no memory. Beyond a depth that no
    stack reaches, it is placed at the top."""
    cdef Node* n = node_at(other, node)
    cdef uint32_t parent = b.data_start
    if not is_within(other, node, sizeof(Node)):
        return 0  # its thread is emptying it
    if n.parent != other.data_start and depth < 5000:
        parent = node_like(b, other, n.parent, depth + 1)
    if n.site == OTHER_PATHS:
        return parent
    if parent == 0 or not find_child(b, parent, n.site, n.track):
        return 0
    return b.sites[n.site].node

cdef uint32_t* page_slot(Buffer* b, Node* n, uint32_t octave) noexcept nogil:
    """Where the offset of an octave's page stands, or NULL when there is no memory."""
    if octave < NEAR_PAGES:
        return &n.pages[octave]
    if n.extra == 0:
        st_store32_release(&n.extra, take_data(b, sizeof(Extra)))
        if n.extra == 0:
            return NULL
    return &(<Extra*>(<char*>b + n.extra)).far_pages[octave - NEAR_PAGES]

cdef uint16_t* bucket(Buffer* b, Node* n, uint32_t octave, uint32_t sub) noexcept nogil:
    """The low bits of a bucket's count, its page made when missing; NULL when there is no memory."""
    cdef uint32_t* slot = page_slot(b, n, octave)
    if slot == NULL:
        return NULL
    if slot[0] == 0:
        st_store32_release(slot, take_half_line(b))
        if slot[0] == 0:
            return NULL
    return <uint16_t*>(<char*>b + slot[0]) + sub

cdef bint carry_bucket(Buffer* b, Node* n, uint32_t octave, uint32_t sub, uint64_t amount) noexcept nogil:
    """Adds to the high bits of a bucket's count; False when there is no memory."""
    cdef Extra* extra
    cdef uint64_t* count
    if n.extra == 0:
        st_store32_release(&n.extra, take_data(b, sizeof(Extra)))
        if n.extra == 0:
            return False
    extra = <Extra*>(<char*>b + n.extra)
    if extra.carries[octave] == 0:
        st_store32_release(&extra.carries[octave], take_data(b, SUB_BUCKETS * sizeof(uint64_t)))
        if extra.carries[octave] == 0:
            return False
    count = <uint64_t*>(<char*>b + extra.carries[octave]) + sub
    st_store64(count, count[0] + amount)
    return True

cdef void add_to_bucket(Buffer* b, Node* n, uint32_t octave, uint32_t sub, uint64_t amount) noexcept nogil:
    """Adds to a bucket's count. What is carried is written first, and read last: who reads in between finds too much, never
    too little."""
    cdef uint16_t* count = bucket(b, n, octave, sub)
    cdef uint64_t more = (count[0] if count != NULL else 0) + amount
    if count == NULL or (more >> COUNT_BITS and not carry_bucket(b, n, octave, sub, more >> COUNT_BITS)):
        b.unbinned += amount
        return
    st_store16_release(count, <uint16_t>more)

cdef void count_rare(Buffer* b, Node* n, uint32_t octave, uint32_t sub) noexcept nogil:
    """The histogram's slow way: a page that is not there yet or is found through the node's Extra, or an overflow."""
    add_to_bucket(b, n, octave, sub, 1)
