# Packing: a buffer's figures as one run of words, torn nowhere; and folding such runs together.

cdef enum:  # words of a packed node, then `pages` times: octave, 16 counts two to a word
    W_PARENT = 0               # its parent's number in the run, -1 for a top node
    W_SITE = 1
    W_PAGES = 2
    W_PASSES = 3
    W_TOTAL = 4
    W_CHILD = 5
    W_SQUARES_LOW = 6
    W_SQUARES_HIGH = 7
    W_MINIMUM = 8
    W_MAXIMUM = 9
    W_NESTED = 10
    W_TRACK_NESTED = 11
    W_UNDER = 12
    W_SUSPENDED = 13
    NODE_WORDS = 14
    PAGE_WORDS = 9
    CARRY = 256                # added to an octave: these are high halves

cdef bint reserve_words(Packed* p, size_t more) noexcept nogil:
    cdef size_t capacity = p.capacity
    cdef uint64_t* words
    if p.used + more <= capacity:
        return True
    capacity = 2 * (p.used + more)
    words = <uint64_t*>PyMem_RawRealloc(p.words, capacity * sizeof(uint64_t))
    if words == NULL:
        return False
    p.words = words
    p.capacity = capacity
    return True

cdef inline bint is_within(Buffer* b, uint32_t offset, size_t size) noexcept nogil:
    # A reader may look at a buffer that its owner is emptying, and take a count for an offset. It finds out by the
    # session, afterwards; until then it must stay inside.
    return offset >= b.data_start and offset % LINE == 0 and offset + size <= b.size

cdef void pack_page(Buffer* b, uint32_t offset, uint32_t octave, Packed* p) noexcept nogil:
    cdef uint64_t* words = p.words + p.used
    cdef uint64_t* page
    cdef uint32_t i
    if not is_within(b, offset, LINE):
        return
    page = <uint64_t*>(<char*>b + offset)
    words[0] = octave
    for i in range(PAGE_WORDS - 1):
        words[1 + i] = st_load64(page + i)
    p.used += PAGE_WORDS

cdef void pack_pages(Buffer* b, Node* n, Packed* p) noexcept nogil:
    cdef uint32_t octave, offset
    cdef Extra* extra
    for octave in range(NEAR_PAGES):
        offset = st_load32_acquire(&n.pages[octave])
        if offset:
            pack_page(b, offset, octave, p)
    offset = st_load32_acquire(&n.extra)
    if not offset or not is_within(b, offset, sizeof(Extra)):
        return
    extra = <Extra*>(<char*>b + offset)
    for octave in range(OCTAVES - NEAR_PAGES):
        offset = st_load32_acquire(&extra.far_pages[octave])
        if offset:
            pack_page(b, offset, NEAR_PAGES + octave, p)
    for octave in range(OCTAVES):
        offset = st_load32_acquire(&extra.carries[octave])
        if offset:
            pack_page(b, offset, CARRY + octave, p)

cdef void pack_figures(Node* n, uint64_t* words) noexcept nogil:
    words[W_TOTAL] = st_load64(&n.total)
    words[W_CHILD] = st_load64(&n.child)
    words[W_SQUARES_LOW] = st_load64(&n.squares_low)
    words[W_SQUARES_HIGH] = st_load64(&n.squares_high)
    words[W_MINIMUM] = st_load64(&n.minimum)
    words[W_MAXIMUM] = st_load64(&n.maximum)
    words[W_NESTED] = st_load64(&n.nested)
    words[W_TRACK_NESTED] = st_load64(&n.track_nested)
    words[W_UNDER] = st_load64(&n.under)
    words[W_SUSPENDED] = st_load64(&n.suspended)

cdef bint is_steady(Node* n, uint64_t passes) noexcept nogil:
    """Whether what was read since `finished` gave `passes` belongs to exactly these passes."""
    st_fence_acquire()
    return st_load64(&n.started) == passes

cdef uint64_t bucket_count(uint64_t* page, uint32_t sub) noexcept nogil:
    return (<uint32_t*>(page + 1))[sub]

cdef uint64_t packed_count(uint64_t* words) noexcept nogil:
    """Passes in a packed node's histogram."""
    cdef uint64_t* page = words + NODE_WORDS
    cdef uint64_t i, total = 0
    cdef uint32_t sub
    for i in range(words[W_PAGES]):
        for sub in range(SUB_BUCKETS):
            total += bucket_count(page, sub) << (32 if page[0] >= CARRY else 0)
        page += PAGE_WORDS
    return total

cdef void trim_histogram(uint64_t* words, uint64_t* before) noexcept nogil:
    """Takes out of a node's histogram what is more than its passes, from the buckets that grew while it was read.

    The counts of `before` were read earlier than the figures, those of `words` later; what lies between them is of
    passes that ended in this very moment.
    """
    cdef uint64_t surplus = packed_count(words) - words[W_PASSES]
    cdef uint64_t* page = words + NODE_WORDS
    cdef uint64_t* old = before + NODE_WORDS
    cdef uint64_t* old_end = old + before[W_PAGES] * PAGE_WORDS
    cdef uint64_t i, grown
    cdef uint32_t sub
    if <int64_t>surplus <= 0:
        return
    for i in range(words[W_PAGES]):
        while old < old_end and old[0] < page[0]:
            old += PAGE_WORDS
        for sub in range(SUB_BUCKETS):
            grown = bucket_count(page, sub)
            if old < old_end and old[0] == page[0]:
                grown -= bucket_count(old, sub)
            if page[0] < CARRY and grown <= <uint32_t>-1:
                grown = min(grown, surplus)
                (<uint32_t*>(page + 1))[sub] -= <uint32_t>grown
                surplus -= grown
        page += PAGE_WORDS

cdef uint64_t steady_figures(Node* n, uint64_t* words) noexcept nogil:
    """Reads a node's figures, without the histogram, at a moment between two passes: the passes until then."""
    cdef uint64_t passes
    while True:
        passes = st_load64_acquire(&n.finished)
        pack_figures(n, words)
        if is_steady(n, passes):
            return passes
        st_pause()

cdef bint pack_node(Buffer* b, Node* n, Packed* p) noexcept nogil:
    """Appends a node: its figures and its histogram after the same pass; False when there is no memory."""
    cdef size_t start = p.used, most = NODE_WORDS + 2 * OCTAVES * PAGE_WORDS, second
    cdef uint64_t* words
    cdef uint64_t passes
    cdef int attempt
    if not reserve_words(p, 2 * most):
        return False
    words = p.words + start
    words[W_SITE] = st_load32(&n.site)
    for attempt in range(20):
        p.used = start + NODE_WORDS
        passes = words[W_PASSES] = st_load64_acquire(&n.finished)
        pack_figures(n, words)
        pack_pages(b, n, p)
        words[W_PAGES] = (p.used - start - NODE_WORDS) // PAGE_WORDS
        if is_steady(n, passes):
            return True
        st_pause()
    # Its thread passes here faster than a histogram can be read: the figures alone, between two of the histogram.
    second = p.used
    p.used += NODE_WORDS
    words[W_PASSES] = steady_figures(n, words)
    pack_pages(b, n, p)
    memcpy(p.words + second, words, NODE_WORDS * sizeof(uint64_t))
    p.words[second + W_PAGES] = (p.used - second - NODE_WORDS) // PAGE_WORDS
    trim_histogram(p.words + second, words)
    memmove(words, p.words + second, (p.used - second) * sizeof(uint64_t))
    p.used -= second - start
    return True

cdef uint32_t* node_offsets(Buffer* b, size_t* count) noexcept nogil:
    """Offsets of a buffer's nodes below the root, oldest first; NULL when there is no memory."""
    cdef uint32_t offset = st_load32_acquire(&b.newest)
    cdef uint32_t newest = offset
    cdef size_t n = 0
    cdef uint32_t* offsets
    cdef uint32_t older
    while is_within(b, offset, sizeof(Node)) and offset != b.data_start:
        n += 1
        older = st_load32(&node_at(b, offset).older)
        if older >= offset:  # being emptied: older nodes stand lower, always
            break
        offset = older
    offsets = <uint32_t*>PyMem_RawMalloc((n + 1) * sizeof(uint32_t))
    if offsets == NULL:
        return NULL
    count[0] = n
    offset = newest
    while n and is_within(b, offset, sizeof(Node)):
        n -= 1
        offsets[n] = offset
        offset = st_load32(&node_at(b, offset).older)
    while n:  # emptied while it was read
        n -= 1
        offsets[n] = b.data_start
    return offsets

cdef uint64_t number_of(uint32_t* offsets, size_t count, uint32_t offset) noexcept nogil:
    """The number of a node among ascending offsets, -1 when it is not there (the root)."""
    cdef size_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) // 2
        if offsets[middle] < offset:
            low = middle + 1
        else:
            high = middle
    return low if low < count and offsets[low] == offset else <uint64_t>-1

cdef bint pack_buffer(Buffer* b, uint64_t session, Packed* p) noexcept nogil:
    """Appends what a buffer recorded in a session. Nothing is appended if it is of another; False: no memory."""
    cdef size_t count = 0, i, start = p.used, words
    cdef uint32_t* offsets
    cdef bint ok = True
    p.nodes = 0
    if st_load64_acquire(&b.session) != session:
        return True
    offsets = node_offsets(b, &count)
    if offsets == NULL:
        return False
    for i in range(count):
        words = p.used
        ok = pack_node(b, node_at(b, offsets[i]), p)
        if not ok:
            break
        p.words[words + W_PARENT] = number_of(offsets, count, st_load32(&node_at(b, offsets[i]).parent))
    PyMem_RawFree(offsets)
    st_fence_acquire()
    if not ok or st_load64(&b.session) != session:
        p.used = start
        return ok
    p.nodes = count
    p.clamped = st_load64(&b.clamped)
    p.untimed = st_load64(&b.untimed)
    p.unbinned = st_load64(&b.unbinned)
    return True

cdef bint make_pages(Buffer* b, Node* n, uint64_t* page, uint64_t pages) noexcept nogil:
    """Has a node have the pages of a packed histogram; False when there is no memory."""
    cdef uint64_t i
    for i in range(pages):
        if page[0] < CARRY and bucket(b, n, <uint32_t>page[0], 0) == NULL:
            return False
        page += PAGE_WORDS
    return True

cdef void fold_histogram(Buffer* b, Node* n, uint64_t* page, uint64_t pages) noexcept nogil:
    """Adds a packed histogram, for which there are pages."""
    cdef uint64_t i
    cdef uint32_t sub, octave, amount
    cdef uint32_t* count
    for i in range(pages):
        octave = <uint32_t>page[0] & (CARRY - 1)
        for sub in range(SUB_BUCKETS):
            amount = <uint32_t>bucket_count(page, sub)
            if amount == 0:
                continue
            if page[0] >= CARRY:
                carry_bucket(b, n, octave, sub, amount)
                continue
            count = bucket(b, n, octave, sub)
            count[0] += amount
            if count[0] < amount:
                carry_bucket(b, n, octave, sub, 1)
        page += PAGE_WORDS

cdef void fold_node(Buffer* b, Node* n, uint64_t* words) noexcept nogil:
    cdef uint64_t low = n.squares_low
    n.finished += words[W_PASSES]
    n.started = n.finished
    n.total += words[W_TOTAL]
    n.child += words[W_CHILD]
    n.squares_low += words[W_SQUARES_LOW]
    n.squares_high += words[W_SQUARES_HIGH] + (n.squares_low < low)
    n.minimum = min(n.minimum, words[W_MINIMUM])
    n.maximum = max(n.maximum, words[W_MAXIMUM])
    n.nested += words[W_NESTED]
    n.track_nested += words[W_TRACK_NESTED]
    n.under += words[W_UNDER]
    n.suspended += words[W_SUSPENDED]

cdef uint32_t place_for(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """Offset of the node of a path, made when missing; 0 when there is no memory."""
    cdef uint64_t key = (<uint64_t>parent << 32) | (site + 1)
    cdef uint64_t* slot = map_find(&b.children, key)
    cdef uint32_t place
    if slot != NULL:
        return <uint32_t>slot[1]
    place = new_node(b, parent, site)
    return place if place and map_put(&b.children, key, place) else 0

cdef bint make_places(Buffer* b, Packed* p, uint64_t* words, uint32_t* places) noexcept nogil:
    """Finds or makes all that a packed buffer will be added to; False when there is no memory."""
    cdef size_t i
    cdef uint32_t parent
    for i in range(p.nodes):
        parent = b.data_start if words[W_PARENT] == <uint64_t>-1 else places[words[W_PARENT]]
        places[i] = place_for(b, parent, <uint32_t>words[W_SITE])
        if places[i] == 0 or not make_pages(b, node_at(b, places[i]), words + NODE_WORDS, words[W_PAGES]):
            return False
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    return True

cdef bint fold(Buffer* b, Packed* p, uint64_t* words) noexcept nogil:
    """Adds a packed buffer to one that no other thread sees, path by path; when there is no memory, nothing is added
    and it gives False.

    The buffer's limit of nodes must be out of reach: a path may not change its kind while it is merged.
    """
    cdef uint32_t* places = <uint32_t*>PyMem_RawMalloc((p.nodes + 1) * sizeof(uint32_t))
    cdef size_t i
    cdef bint ok = places != NULL and make_places(b, p, words, places)
    if ok:
        for i in range(p.nodes):
            fold_node(b, node_at(b, places[i]), words)
            fold_histogram(b, node_at(b, places[i]), words + NODE_WORDS, words[W_PAGES])
            words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
        b.clamped += p.clamped
        b.untimed += p.untimed
        b.unbinned += p.unbinned
    PyMem_RawFree(places)
    return ok
