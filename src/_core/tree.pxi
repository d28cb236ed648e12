# The calling-context tree of a buffer, and the histogram pages of its nodes.

cdef uint32_t fold_target(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """The ancestor-or-self of `parent` that stands for the site, or 0: recursion folds back onto it."""
    while parent:
        if node_at(b, parent).site == site:
            return parent
        parent = node_at(b, parent).parent
    return 0

cdef uint64_t add_child(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """Makes the edge from a node along a site: node offset | edge flags << 32, or 0 when there is no room."""
    cdef uint64_t key = (<uint64_t>parent << 32) | (site + 1)
    cdef uint64_t found
    cdef uint64_t* slot
    if b.nodes > b.max_nodes and parent != b.other:
        # The tree is full: the pass is recorded under "other paths", where each site has one node.
        if b.other == 0:
            b.other = new_node(b, b.data_start, OTHER_PATHS)
            if b.other == 0:
                return 0
        slot = map_find(&b.children, (<uint64_t>b.other << 32) | (site + 1))
        return slot[1] if slot != NULL else add_child(b, b.other, site)
    found = fold_target(b, parent, site)
    if found:
        found |= <uint64_t>LOOSE << 32
    else:
        found = new_node(b, parent, site)
        if found == 0:
            return 0
        if parent == b.other:
            found |= <uint64_t>LOOSE << 32
    if not map_put(&b.children, key, found):
        return 0
    return found

cdef bint grow_sites(Buffer* b, uint32_t site) noexcept nogil:
    cdef uint32_t capacity = 32
    cdef SiteState* sites
    while capacity <= site:
        capacity *= 2
    sites = <SiteState*>PyMem_RawRealloc(b.sites, capacity * sizeof(SiteState))
    if sites == NULL:
        return False
    memset(sites + b.site_capacity, 0, (capacity - b.site_capacity) * sizeof(SiteState))
    b.sites = sites
    b.site_capacity = capacity
    return True

cdef bint find_child(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """Points the site's state at the node below `parent`; False when there is no memory for it."""
    cdef uint64_t* slot
    cdef uint64_t found
    if site >= b.site_capacity and not grow_sites(b, site):
        return False
    slot = map_find(&b.children, (<uint64_t>parent << 32) | (site + 1))
    found = slot[1] if slot != NULL else add_child(b, parent, site)
    if found == 0:
        return False
    b.sites[site].parent = parent
    b.sites[site].node = <uint32_t>found
    b.sites[site].edge = <uint32_t>(found >> 32)
    return True

cdef uint32_t* page_slot(Buffer* b, Node* n, uint32_t octave) noexcept nogil:
    """Where the offset of an octave's page stands, or NULL when there is no memory."""
    if octave < NEAR_PAGES:
        return &n.pages[octave]
    if n.extra == 0:
        st_store32_release(&n.extra, take_data(b, sizeof(Extra)))
        if n.extra == 0:
            return NULL
    return &(<Extra*>(<char*>b + n.extra)).far_pages[octave - NEAR_PAGES]

cdef uint32_t* bucket(Buffer* b, Node* n, uint32_t octave, uint32_t sub) noexcept nogil:
    """The counter of a bucket, its page made when missing; NULL when there is no memory."""
    cdef uint32_t* slot = page_slot(b, n, octave)
    if slot == NULL:
        return NULL
    if slot[0] == 0:
        st_store32_release(slot, take_data(b, SUB_BUCKETS * sizeof(uint32_t)))
        if slot[0] == 0:
            return NULL
    return <uint32_t*>(<char*>b + slot[0]) + sub

cdef void carry_bucket(Buffer* b, Node* n, uint32_t octave, uint32_t sub, uint32_t amount) noexcept nogil:
    """Adds to the high half of a bucket's count."""
    cdef Extra* extra
    cdef uint32_t* count
    if n.extra == 0:
        st_store32_release(&n.extra, take_data(b, sizeof(Extra)))
        if n.extra == 0:
            b.unbinned += 1
            return
    extra = <Extra*>(<char*>b + n.extra)
    if extra.carries[octave] == 0:
        st_store32_release(&extra.carries[octave], take_data(b, SUB_BUCKETS * sizeof(uint32_t)))
        if extra.carries[octave] == 0:
            b.unbinned += 1
            return
    count = <uint32_t*>(<char*>b + extra.carries[octave]) + sub
    st_store32(count, count[0] + amount)

cdef void count_rare(Buffer* b, Node* n, uint32_t octave, uint32_t sub) noexcept nogil:
    """The histogram's slow way: a page that is not there yet or is found through the node's Extra, or an overflow."""
    cdef uint32_t* count = bucket(b, n, octave, sub)
    if count == NULL:
        b.unbinned += 1
        return
    st_store32(count, count[0] + 1)
    if count[0] == 0:
        carry_bucket(b, n, octave, sub, 1)
