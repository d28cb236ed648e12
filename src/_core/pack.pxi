# Packing: a buffer's figures as one run of words, torn nowhere; and folding such runs together.

cdef enum:  # words of a packed node, then `pages` times: octave, 16 counts two to a word
    W_PARENT = 0               # its parent's number in the run, -1 for a top node
    W_SITE = 1
    W_PAGES = 2
    W_PASSES = 3
    W_TOTAL = 4
    W_SQUARES_LOW = 5
    W_SQUARES_HIGH = 6
    W_MINIMUM = 7
    W_MAXIMUM = 8
    W_ONCE = 9                 # ticks in which any was open, up to the moment of reading
    W_COVERED = 10             # of those, the ticks in which something lay on each
    W_OPEN = 11
    W_FAILED = 12
    W_CANCELLED = 13
    W_TRACK = 14
    NODE_WORDS = 15
    PAGE_WORDS = 9
    PAGE_WORDS_KEPT = 4        # in a buffer: of 16 bits each
    CARRY = 256                # added to an octave: these are high halves

cdef enum:  # words of a packed scope; a run of nodes is followed by its scopes
    W_KEY = 0
    W_SCOPE_ONCE = 1
    W_ACTIVE = 2               # ticks in which any was open and not idle
    SCOPE_WORDS = 3
    UNCOVERED = 1              # added to a node's offset: of so many of its open passes nothing lies on them any more
    INACTIVE = 2               # likewise: so many of them are not active any more

cdef struct Ending:            # of passes that other threads have ended, and the buffer's own does not know of yet
    uint32_t offset            # of a Count; of an Activation that something does not lie on any more; or one of these
    uint32_t count             # of those that are open in it, so many are not; of what lies on it, so many do not
    uint32_t covering          # of a node: of those that are not open, the ones that are counted as covering
    bint is_passed_on          # what is around it knows
    uint64_t at                # the last of them ended then

cdef struct Sum:               # a scope, by what is within it
    uint64_t key
    uint64_t around            # the key of what it is within
    uint64_t once
    uint64_t active

cdef struct Reading:           # of one buffer
    Buffer* b
    uint64_t until             # what is open counts until then, its thread or process having ended, or NOT_YET
    bint has_ended             # its thread has
    Map sums                   # key + 1 of a scope -> place of its Sum
    Sum* scopes
    size_t scopes_used
    size_t scopes_capacity
    Ending* endings
    size_t used
    size_t capacity

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
    return offset >= b.data_start and offset % LINE == 0 and offset + size <= st_load32(&b.committed_data)

cdef inline bint is_page(Buffer* b, uint32_t offset) noexcept nogil:
    """The same for a page of a histogram, which is half a line."""
    return is_within(b, offset // LINE * LINE, LINE) and offset % (LINE // 2) == 0

cdef Extra* extra_of(Buffer* b, Node* n) noexcept nogil:
    cdef uint32_t offset = st_load32_acquire(&n.extra)
    return <Extra*>(<char*>b + offset) if offset and is_within(b, offset, sizeof(Extra)) else NULL

cdef uint32_t page_of(Node* n, Extra* extra, uint32_t octave) noexcept nogil:
    """Offset of the page of an octave, or 0."""
    if octave < NEAR_PAGES:
        return st_load32_acquire(&n.pages[octave])
    return st_load32_acquire(&extra.far_pages[octave - NEAR_PAGES]) if extra != NULL else 0

cdef uint64_t* carries_of(Buffer* b, Extra* extra, uint32_t octave) noexcept nogil:
    cdef uint32_t offset = st_load32_acquire(&extra.carries[octave]) if extra != NULL else 0
    if not offset or not is_within(b, offset, SUB_BUCKETS * sizeof(uint64_t)):
        return NULL
    return <uint64_t*>(<char*>b + offset)

cdef void pack_page(Buffer* b, uint32_t offset, Extra* extra, uint32_t octave, Packed* p, uint64_t* high) noexcept nogil:
    """Packs an octave; what is beyond 32 bits goes to `high`, whose first word then says of which octave it is."""
    cdef uint64_t* words = p.words + p.used
    cdef uint16_t low[SUB_BUCKETS]
    cdef uint64_t* carries
    cdef uint64_t count
    cdef uint32_t sub
    for sub in range(PAGE_WORDS_KEPT):
        count = st_load64_acquire(<uint64_t*>(<char*>b + offset) + sub)
        memcpy(&low[4 * sub], &count, sizeof(count))
    words[0] = octave
    for sub in range(SUB_BUCKETS):
        (<uint32_t*>(words + 1))[sub] = low[sub]
    p.used += PAGE_WORDS
    carries = carries_of(b, extra, octave)  # after what it belongs to: see `add_to_bucket`
    if carries == NULL:
        return
    for sub in range(SUB_BUCKETS):
        count = low[sub] + (st_load64_acquire(&carries[sub]) << COUNT_BITS)
        (<uint32_t*>(words + 1))[sub] = <uint32_t>count
        (<uint32_t*>(high + 1))[sub] = <uint32_t>(count >> 32)
        if count >> 32:
            high[0] = CARRY + octave

cdef void pack_pages(Buffer* b, Node* n, Packed* p) noexcept nogil:
    """Packs a histogram, for which there is room: the high halves come last."""
    cdef uint64_t high[OCTAVES * PAGE_WORDS]
    cdef uint64_t* page = high
    cdef uint32_t octave, offset
    cdef Extra* extra = extra_of(b, n)
    for octave in range(OCTAVES):
        page[0] = 0
        offset = page_of(n, extra, octave)
        if offset and is_page(b, offset):
            pack_page(b, offset, extra, octave, p, page)
        page += PAGE_WORDS
    page = high
    for octave in range(OCTAVES):
        if page[0]:
            memcpy(p.words + p.used, page, PAGE_WORDS * sizeof(uint64_t))
            p.used += PAGE_WORDS
        page += PAGE_WORDS

cdef Ending* ending_of(Reading* r, uint32_t offset) noexcept nogil:
    cdef size_t i
    for i in range(r.used):
        if r.endings[i].offset == offset:
            return &r.endings[i]
    return NULL

cdef bint add_ending(Reading* r, uint32_t offset, uint64_t at) noexcept nogil:
    cdef Ending* found = ending_of(r, offset)
    cdef Ending* bigger
    if found == NULL:
        if r.used == r.capacity:
            bigger = <Ending*>PyMem_RawRealloc(r.endings, (2 * r.capacity + 16) * sizeof(Ending))
            if bigger == NULL:
                return False
            r.endings = bigger
            r.capacity = 2 * r.capacity + 16
        found = &r.endings[r.used]
        found.offset = offset
        found.count = 0
        found.covering = 0
        found.is_passed_on = False
        found.at = at
        r.used += 1
    found.count += 1
    found.at = max(found.at, at)
    return True

cdef bint add_posted(Reading* r, Activation* a) noexcept nogil:
    """Notes what ended with one that was posted: it alone, or all of a chain. False when there is no memory."""
    cdef size_t most = r.b.data_start // sizeof(Activation)
    cdef bint is_chain = st_load32(&a.gone) == CHAIN
    cdef bint was_active = is_chain and not st_load32(&a.flags) & IDLE
    cdef uint64_t at = a.ended
    cdef uint32_t below = base_of_chain(r.b, a) if is_chain else 0
    cdef Count* count
    if at and below and not add_ending(r, below, at):
        return False
    while at and most:
        if not st_load32(&a.flags) & SILENT and is_within(r.b, a.node, sizeof(Node)):
            count = &node_at(r.b, a.node).count
            if not add_ending(r, offset_of(r.b, count), at):
                return False
            ending_of(r, offset_of(r.b, count)).covering += st_load32(&a.over) != 0
            if was_active and st_load32(&a.flags) & PACED and not add_ending(r, a.node | INACTIVE, at):
                return False
        if not is_chain or not is_activation(r.b, a.next):
            break
        a = activation_at(r.b, a.next)
        most -= 1
    return True

cdef uint32_t base_of_chain(Buffer* b, Activation* low) noexcept nogil:
    """Offset of the open pass that waits for what is suspended, or 0."""
    cdef uint32_t offset = low.prev
    cdef int most = 100_000
    if not is_activation(b, offset) or not st_load32(&activation_at(b, offset).flags) & BASED:
        return 0
    offset = activation_at(b, offset).base
    while is_activation(b, offset) and st_load32(&activation_at(b, offset).flags) & LEFT and most:
        offset = activation_at(b, offset).prev
        most -= 1
    return offset if is_activation(b, offset) else 0

cdef bint read_endings(Reading* r) noexcept nogil:
    """Finds what other threads have ended; False when there is no memory."""
    cdef uint32_t offset = <uint32_t>st_load64_acquire(&r.b.posted) & ~<uint32_t>RINGED
    cdef size_t i = 0
    cdef int most = 100_000
    r.used = 0
    while is_activation(r.b, offset) and most:
        most -= 1
        if not add_posted(r, activation_at(r.b, offset)):
            return False
        offset = activation_at(r.b, offset).posted
    while i < r.used:
        if r.endings[i].is_passed_on or not is_complete(r.b, &r.endings[i]):
            i += 1
            continue
        r.endings[i].is_passed_on = True
        if not pass_on(r, r.endings[i]):
            return False
        i = 0
    return True

cdef bint is_complete(Buffer* b, Ending* ending) noexcept nogil:
    """Whether nothing is open any more of what an ending is of, or nothing lies on it."""
    if ending.offset & (UNCOVERED | INACTIVE):
        return False
    if is_activation(b, ending.offset):
        return st_load32(&activation_at(b, ending.offset).over) <= ending.count
    return count_open(count_at(b, ending.offset)) <= ending.count

cdef bint pass_on(Reading* r, Ending ending) noexcept nogil:
    """What an ending means for what is around it; False when there is no memory."""
    cdef Activation* a
    cdef uint32_t above
    if is_activation(r.b, ending.offset):
        a = activation_at(r.b, ending.offset)
        if a.flags & SILENT or not is_within(r.b, a.node, sizeof(Node)):
            return True
        return add_ending(r, a.node | UNCOVERED, ending.at)
    above = st_load32(&count_at(r.b, ending.offset).above)
    return not is_counting(r.b, above) or add_ending(r, above, ending.at)

cdef inline uint64_t ticks_for(Buffer* b) noexcept nogil:
    """What the clock shows that a buffer is written with."""
    return st_ticks() if ST_LIKELY(b.foreign == 0) else st_ticks_of(b.foreign - 1)

cdef inline uint64_t until_now(uint64_t word, uint64_t now) noexcept nogil:
    """The ticks that a word of what counts once stands for. Never less than none, whatever the clock did."""
    cdef uint64_t ticks = (word >> 1) + (now if word & 1 else 0)
    ticks &= <uint64_t>-1 >> 1
    return 0 if ticks >> 62 else ticks

cdef void read_words(Reading* r, const uint64_t* first, const uint64_t* second, uint64_t until, uint64_t second_until,
                     uint64_t second_since, uint64_t* words) noexcept nogil:
    """What two words stood for at one moment, or at moments that are given; the second one no more than the first. If the
    second one is not open, though it is since a moment that is given, that counts too."""
    cdef uint64_t one = 0, two = 0, now = 0
    cdef int attempt
    # What changes all the time is caught while it is not open: that needs no clock, and less than half of a moment.
    for attempt in range(10_000):
        one = st_load64_acquire(first)
        two = st_load64_acquire(second)
        if (one | two) & 1:
            now = ticks_for(r.b) if until == NOT_YET else until
        st_fence_acquire()
        if st_load64(first) == one and st_load64(second) == two:
            break
    words[0] = until_now(one, now)
    words[1] = until_now(two, now if second_until == NOT_YET else second_until)
    if second_since != NOT_YET and one & 1 and not two & 1:
        words[1] += stretch(second_since, now)
    words[1] = min(words[1], words[0])

cdef uint64_t until_of(Reading* r, Count* count) noexcept nogil:
    """Until when what a Count has open lasts, which other threads may have ended."""
    cdef Ending* ending = ending_of(r, offset_of(r.b, count)) if r.used else NULL
    return ending.at if ending != NULL and ending.is_passed_on else r.until

cdef uint64_t covered_until(Reading* r, Node* n) noexcept nogil:
    """Until when a node's passes were all covered, or NOT_YET: what lay on one may have ended elsewhere."""
    cdef Ending* uncovered = ending_of(r, offset_of(r.b, n) | UNCOVERED) if r.used else NULL
    cdef Ending* ended = ending_of(r, offset_of(r.b, &n.count)) if r.used else NULL
    cdef uint32_t open, covering
    if uncovered == NULL:
        return NOT_YET
    open = count_open(&n.count) - (ended.count if ended != NULL else 0)
    covering = st_load32(&n.covering) - (ended.covering if ended != NULL else 0)
    return NOT_YET if open == covering - uncovered.count else uncovered.at

cdef uint64_t covered_since(Reading* r, Node* n) noexcept nogil:
    """Since when all passes of a node are covered, the last that was not having ended elsewhere, or NOT_YET."""
    cdef Ending* uncovered = ending_of(r, offset_of(r.b, n) | UNCOVERED) if r.used else NULL
    cdef Ending* ended = ending_of(r, offset_of(r.b, &n.count)) if r.used else NULL
    cdef uint32_t open, covering
    if ended == NULL or uncovered != NULL:
        return NOT_YET
    open = count_open(&n.count) - ended.count
    covering = st_load32(&n.covering) - ended.covering
    return ended.at if open and open == covering else NOT_YET

cdef void pack_figures(Reading* r, Node* n, uint64_t* words) noexcept nogil:
    cdef Ending* ending = ending_of(r, offset_of(r.b, &n.count)) if r.used else NULL
    cdef uint64_t open
    words[W_TOTAL] = st_load64(&n.total)
    words[W_SQUARES_LOW] = st_load64(&n.squares_low)
    words[W_SQUARES_HIGH] = st_load64(&n.squares_high)
    words[W_MINIMUM] = st_load64(&n.minimum)
    words[W_MAXIMUM] = st_load64(&n.maximum)
    words[W_FAILED] = st_load64(&n.failed)
    words[W_CANCELLED] = st_load64(&n.cancelled)
    words[W_TRACK] = st_load32(&n.track)
    read_words(r, &n.count.once, &n.covered, until_of(r, &n.count), covered_until(r, n), covered_since(r, n),
               &words[W_ONCE])
    # After the time of what is open: where that is in it, so it is here, or `is_steady` sees that it has ended.
    open = count_open(&n.count) if not r.has_ended else 0  # nothing is open on a thread that ended
    words[W_OPEN] = open if ending == NULL else open - min(open, ending.count)

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
            if <int64_t>grown < 0:
                grown += 1 << COUNT_BITS  # it had been read while it was carried
            if page[0] < CARRY and grown <= <uint32_t>-1:
                grown = min(grown, surplus)
                (<uint32_t*>(page + 1))[sub] -= <uint32_t>grown
                surplus -= grown
        page += PAGE_WORDS

cdef void finish_half_done(Reading* r, Node* n, uint64_t* words) noexcept nogil:
    """Makes whole what was read of a node while a pass was being written into it by a thread that does not go on, because its
    process was killed or stopped: see `record`."""
    cdef Activation* a = half_done(r.b)
    cdef uint32_t* count
    cdef uint64_t ticks, low, high, missing
    cdef uint64_t was_carried = <uint64_t>1 - (1 << COUNT_BITS)  # missing where the low bits stand as they were before that
    cdef uint32_t octave, sub
    words[W_PASSES] = st_load64(&n.started)
    if a == NULL:
        return
    ticks = st_load64(&a.start) & ~LEFT_AFTER
    words[W_TOTAL] = st_load64(&a.total_before) + ticks
    words[W_MINIMUM] = min(words[W_MINIMUM], ticks)
    words[W_MAXIMUM] = max(words[W_MAXIMUM], ticks)
    low = st_load64(&a.squares_before)
    high = 0
    st_add_square(&low, &high, ticks)
    if words[W_SQUARES_LOW] != low:
        words[W_SQUARES_HIGH] += high
        words[W_SQUARES_LOW] = low
    missing = words[W_PASSES] - packed_count(words)
    if missing == 1 or missing == was_carried:
        octave = st_top_bit(ticks + SUB_BUCKETS) - 4
        sub = <uint32_t>((ticks + SUB_BUCKETS) >> octave) & (SUB_BUCKETS - 1)
        count = packed_counts(words, octave) + sub
        if missing != 1:
            count[0] &= ~<uint32_t>((1 << COUNT_BITS) - 1)
        else:
            count[0] += 1
            if count[0] == 0:
                packed_counts(words, CARRY + octave)[sub] += 1

cdef uint32_t* packed_counts(uint64_t* words, uint64_t which) noexcept nogil:
    """The counts of a page of a packed node, made when missing, for which there is room."""
    cdef uint64_t* page = words + NODE_WORDS
    cdef uint64_t* end = page + words[W_PAGES] * PAGE_WORDS
    while page < end and page[0] != which:
        page += PAGE_WORDS
    if page == end:
        memset(page, 0, PAGE_WORDS * sizeof(uint64_t))
        page[0] = which
        words[W_PAGES] += 1
    return <uint32_t*>(page + 1)

cdef Activation* half_done(Buffer* b) noexcept nogil:
    """The activation of the pass that was being written, or NULL when that cannot be told."""
    cdef uint32_t top = st_load32(&b.top), offset
    if st_load32(&b.leaving):
        return scratch(b)
    if not is_activation(b, top):
        return NULL
    offset = st_load32(&activation_at(b, top).next)
    if not is_activation(b, offset) or is_since(st_load64(&activation_at(b, offset).start)):
        return NULL
    return activation_at(b, offset)

cdef uint64_t steady_figures(Reading* r, Node* n, uint64_t* words) noexcept nogil:
    """Reads a node's figures, without the histogram, at a moment between two passes: the passes until then."""
    cdef uint64_t passes = 0
    cdef int attempt = 0
    while not r.b.foreign or attempt < 10_000:
        passes = st_load64_acquire(&n.finished)
        pack_figures(r, n, words)
        if is_steady(n, passes):
            return passes
        attempt += 1
        st_pause()
    return passes

cdef bint pack_node(Reading* r, Node* n, Packed* p) noexcept nogil:
    """Appends a node: its figures and its histogram after the same pass; False when there is no memory."""
    cdef size_t start = p.used, most = NODE_WORDS + 2 * OCTAVES * PAGE_WORDS, second
    cdef uint64_t* words
    cdef uint64_t passes
    cdef int attempt
    if not reserve_words(p, 2 * most):
        return False
    cdef Buffer* b = r.b
    words = p.words + start
    words[W_SITE] = st_load32(&n.site)
    for attempt in range(20):
        p.used = start + NODE_WORDS
        passes = words[W_PASSES] = st_load64_acquire(&n.finished)
        pack_figures(r, n, words)
        pack_pages(b, n, p)
        words[W_PAGES] = (p.used - start - NODE_WORDS) // PAGE_WORDS
        if is_steady(n, passes):
            return True
        st_pause()
    if b.foreign and st_load64(&n.finished) == passes:
        finish_half_done(r, n, words)
        p.used = start + NODE_WORDS + words[W_PAGES] * PAGE_WORDS
        return True
    # Its thread passes here faster than a histogram can be read: the figures alone, between two of the histogram.
    second = p.used
    p.used += NODE_WORDS
    words[W_PASSES] = steady_figures(r, n, words)
    pack_pages(b, n, p)
    memcpy(p.words + second, words, NODE_WORDS * sizeof(uint64_t))
    p.words[second + W_PAGES] = (p.used - second - NODE_WORDS) // PAGE_WORDS
    trim_histogram(p.words + second, words)
    memmove(words, p.words + second, (p.used - second) * sizeof(uint64_t))
    p.used -= second - start
    return True

cdef uint32_t* node_offsets(Buffer* b, size_t* count) noexcept nogil:
    """Offsets of a buffer's nodes below the root, oldest first; NULL when there is no memory."""
    cdef uint32_t offset = st_load32_acquire(&b.newest if not b.foreign else &b.newest_kept)
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

cdef Sum* sum_of(Reading* r, uint64_t key, uint64_t around) noexcept nogil:
    """The place of a scope's sum, made when missing; NULL when there is no memory."""
    cdef uint64_t* slot = map_find(&r.sums, key + 1)
    cdef Sum* bigger
    if slot != NULL:
        return &r.scopes[slot[1]]
    if r.scopes_used == r.scopes_capacity:
        bigger = <Sum*>PyMem_RawRealloc(r.scopes, (2 * r.scopes_capacity + 16) * sizeof(Sum))
        if bigger == NULL:
            return NULL
        r.scopes = bigger
        r.scopes_capacity = 2 * r.scopes_capacity + 16
    if not map_put(&r.sums, key + 1, r.scopes_used):
        return NULL
    bigger = &r.scopes[r.scopes_used]
    bigger.key = key
    bigger.around = around
    bigger.once = 0
    r.scopes_used += 1
    return bigger

cdef bint add_node(Reading* r, uint64_t* words) noexcept nogil:
    """Adds a node to its site; False when there is no memory."""
    cdef Sum* site
    if <uint32_t>words[W_SITE] in (OTHER_PATHS, PROCESSOR, WORK):
        return True
    site = sum_of(r, site_key(<uint32_t>words[W_SITE]), track_key(<uint32_t>words[W_TRACK]))
    if site != NULL:
        site.once += words[W_ONCE]
    return site != NULL

cdef bint pack_nodes(Reading* r, Packed* p, uint32_t* offsets, size_t count) noexcept nogil:
    """Appends all nodes, a parent before its children; False when there is no memory. A child is read before its parent:
    what is open counts up to the moment at which it is read, and shall not come to more than what it is in."""
    cdef Packed read
    cdef size_t* starts = <size_t*>PyMem_RawMalloc((count + 1) * sizeof(size_t))
    cdef size_t i = count, length
    cdef bint ok = starts != NULL
    memset(&read, 0, sizeof(Packed))
    while ok and i:
        i -= 1
        starts[i] = read.used
        ok = pack_node(r, node_at(r.b, offsets[i]), &read)
        if ok:
            ok = add_node(r, read.words + starts[i])
            read.words[starts[i] + W_PARENT] = number_of(offsets, i, st_load32(&node_at(r.b, offsets[i]).parent))
    ok = ok and reserve_words(p, read.used)
    if ok:
        length = read.used
        for i in range(count):
            memcpy(p.words + p.used, read.words + starts[i], (length - starts[i]) * sizeof(uint64_t))
            p.used += length - starts[i]
            length = starts[i]
    PyMem_RawFree(starts)
    PyMem_RawFree(read.words)
    return ok

cdef void read_scopes(Reading* r, int kind) noexcept nogil:
    """Reads the scopes of a kind that are counted apart: what is within them need not add up."""
    cdef uint32_t offset = newest_scope_of(r.b), older
    cdef uint64_t words[2]
    cdef uint64_t* slot
    cdef Scope* scope
    while is_scope(r.b, offset):
        scope = scope_at(r.b, offset)
        slot = map_find(&r.sums, st_load64(&scope.key) + 1)
        if slot != NULL and st_load64(&scope.key) % (1 << SCOPE_BITS) == <uint64_t>kind:
            read_words(r, &scope.count.once, &scope.count.once, until_of(r, &scope.count), NOT_YET, NOT_YET, words)
            r.scopes[slot[1]].once = words[0]
        older = st_load32(&scope.older)
        if older >= offset:
            return
        offset = older

cdef bint sum_up(Reading* r, int kind) noexcept nogil:
    """Adds the scopes of a kind to what is around them; False when there is no memory."""
    cdef size_t i
    cdef Sum* around
    for i in range(r.scopes_used):
        if r.scopes[i].key % (1 << SCOPE_BITS) == <uint64_t>kind:
            around = sum_of(r, r.scopes[i].around, OF_ALL)
            if around == NULL:
                return False
            around.once += r.scopes[i].once
    return True

cdef uint64_t active_until(Reading* r, Count* count, uint64_t site) noexcept nogil:
    """Until when what a site has open was active, which other threads may have ended."""
    cdef uint64_t at = 0
    cdef uint32_t ended = 0
    cdef size_t i
    for i in range(r.used):
        if r.endings[i].offset & INACTIVE and node_at(r.b, r.endings[i].offset & ~<uint32_t>INACTIVE).site == site:
            ended += r.endings[i].count
            at = max(at, r.endings[i].at)
    return at if ended and count_open(count) <= ended else r.until

cdef void read_active(Reading* r) noexcept nogil:
    """Reads how long sites were active that are not whenever they are open, into the sums of their keys."""
    cdef uint32_t offset = newest_scope_of(r.b), older
    cdef uint64_t words[2]
    cdef uint64_t* slot
    cdef uint64_t* active
    cdef uint64_t key
    while is_scope(r.b, offset):
        key = st_load64(&scope_at(r.b, offset).key)
        slot = map_find(&r.sums, (key & ~<uint64_t>OF_ACTIVE) + 1) if key & OF_ACTIVE == OF_ACTIVE else NULL
        if slot != NULL:
            active = &scope_at(r.b, offset).count.once
            read_words(r, active, active, active_until(r, &scope_at(r.b, offset).count, key >> SCOPE_BITS), NOT_YET, NOT_YET, words)
            r.scopes[slot[1]].active = min(words[0], r.scopes[slot[1]].once)
        older = st_load32(&scope_at(r.b, offset).older)
        if older >= offset:
            return
        offset = older

cdef bint pack_scopes(Reading* r, Packed* p) noexcept nogil:
    """Appends all scopes; False when there is no memory. What is within another one is read before it."""
    cdef size_t i
    cdef int kind
    cdef uint64_t* words
    for kind in range(OF_ALL + 1):
        read_scopes(r, kind)
        if kind != OF_ALL and not sum_up(r, kind):
            return False
    for i in range(r.scopes_used):
        r.scopes[i].active = r.scopes[i].once
    read_active(r)
    if not reserve_words(p, r.scopes_used * SCOPE_WORDS):
        return False
    for i in range(r.scopes_used):
        words = p.words + p.used
        words[W_KEY] = r.scopes[i].key
        words[W_SCOPE_ONCE] = r.scopes[i].once
        words[W_ACTIVE] = r.scopes[i].active
        p.used += SCOPE_WORDS
    p.scopes = r.scopes_used
    return True

cdef inline uint32_t newest_scope_of(Buffer* b) noexcept nogil:
    return st_load32_acquire(&b.newest_scope if not b.foreign else &b.newest_scope_kept)

cdef inline bint is_counting(Buffer* b, uint32_t offset) noexcept nogil:
    """Whether a Count can be at an offset."""
    return offset >= b.data_start and offset % 8 == 0 and offset + sizeof(Count) <= st_load32(&b.committed_data)

cdef inline bint is_scope(Buffer* b, uint32_t offset) noexcept nogil:
    return offset >= b.data_start and offset % (LINE // 2) == 0 and offset + sizeof(Scope) <= st_load32(&b.committed_data)

cdef bint pack_once(Reading* r, Packed* p) noexcept nogil:
    """Appends what a buffer holds; False when there is no memory."""
    cdef size_t count = 0
    cdef uint32_t* offsets = node_offsets(r.b, &count)
    cdef bint ok = offsets != NULL and read_endings(r) and pack_nodes(r, p, offsets, count) and pack_scopes(r, p)
    PyMem_RawFree(offsets)
    p.nodes = count
    return ok

cdef bint pack_buffer(Buffer* b, uint64_t session, Packed* p) noexcept nogil:
    """Appends what a buffer recorded in a session. Nothing is appended if it is of another; False: no memory."""
    cdef size_t start = p.used
    cdef uint64_t drains
    cdef Reading reading
    cdef bint ok = True
    cdef int attempt
    p.nodes = p.scopes = 0
    if st_load64_acquire(&b.session) != session:
        return True
    memset(&reading, 0, sizeof(Reading))
    reading.b = b
    reading.has_ended = b.thread != NULL and st_load64_acquire(&b.thread.ended)
    reading.until = b.thread.ended_at if reading.has_ended else b.over_at if b.foreign else NOT_YET
    for attempt in range(20):
        p.used = start
        drains = st_load64_acquire(&b.drains)
        map_clear(&reading.sums)
        reading.scopes_used = 0
        ok = pack_once(&reading, p)
        st_fence_acquire()
        if not ok or (drains % 2 == 0 and st_load64(&b.drains) == drains):
            break
    PyMem_RawFree(reading.endings)
    PyMem_RawFree(reading.scopes)
    map_free(&reading.sums)
    if not ok or st_load64(&b.session) != session:
        p.used = start
        p.nodes = p.scopes = 0
        return ok
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
    cdef uint64_t i, amount
    cdef uint32_t sub
    for i in range(pages):
        for sub in range(SUB_BUCKETS):
            amount = bucket_count(page, sub)
            if amount:
                add_to_bucket(b, n, <uint32_t>page[0] & (CARRY - 1), sub, amount << 32 if page[0] >= CARRY else amount)
        page += PAGE_WORDS

cdef void fold_node(Buffer* b, Node* n, uint64_t* words) noexcept nogil:
    cdef uint64_t low = n.squares_low
    n.finished += words[W_PASSES]
    n.started = n.finished
    n.total += words[W_TOTAL]
    n.squares_low += words[W_SQUARES_LOW]
    n.squares_high += words[W_SQUARES_HIGH] + (n.squares_low < low)
    n.minimum = min(n.minimum, words[W_MINIMUM])
    n.maximum = max(n.maximum, words[W_MAXIMUM])
    n.count.once += 2 * words[W_ONCE]
    n.covered += 2 * words[W_COVERED]
    n.count.others += <uint32_t>words[W_OPEN]
    n.track = <uint32_t>words[W_TRACK]
    n.failed = saturated(n.failed, words[W_FAILED])
    n.cancelled = saturated(n.cancelled, words[W_CANCELLED])

cdef bint make_scopes(Buffer* b, Packed* p, uint64_t* words) noexcept nogil:
    """Finds or makes all scopes of a packed buffer; False when there is no memory."""
    cdef size_t i
    for i in range(p.scopes):
        if scope_of(b, words[W_KEY]) == NULL:
            return False
        if words[W_KEY] % (1 << SCOPE_BITS) == OF_SITE and scope_of(b, words[W_KEY] | OF_ACTIVE) == NULL:
            return False
        words += SCOPE_WORDS
    return True

cdef void fold_scopes(Buffer* b, Packed* p, uint64_t* words) noexcept nogil:
    """Adds packed scopes, which are there."""
    cdef size_t i
    for i in range(p.scopes):
        scope_of(b, words[W_KEY]).count.once += 2 * words[W_SCOPE_ONCE]
        if words[W_KEY] % (1 << SCOPE_BITS) == OF_SITE:
            scope_of(b, words[W_KEY] | OF_ACTIVE).count.once += 2 * words[W_ACTIVE]
        words += SCOPE_WORDS

cdef uint64_t* after_nodes(Packed* p, uint64_t* words) noexcept nogil:
    """Where a packed buffer's scopes begin."""
    cdef size_t i
    for i in range(p.nodes):
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    return words

cdef uint32_t place_for(Buffer* b, uint32_t parent, uint32_t site) noexcept nogil:
    """Offset of the node of a path, made when missing; 0 when there is no memory."""
    cdef uint64_t key = (<uint64_t>parent << 32) | (site + 1)
    cdef uint64_t* slot = map_find(&b.children, key)
    cdef uint32_t place
    if slot != NULL:
        return <uint32_t>slot[1]
    place = new_node(b, parent, site, 0)
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
    cdef bint ok = places != NULL and make_places(b, p, words, places) and make_scopes(b, p, after_nodes(p, words))
    if ok:
        for i in range(p.nodes):
            fold_node(b, node_at(b, places[i]), words)
            fold_histogram(b, node_at(b, places[i]), words + NODE_WORDS, words[W_PAGES])
            words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
        fold_scopes(b, p, words)
        b.clamped += p.clamped
        b.untimed += p.untimed
        b.unbinned += p.unbinned
    PyMem_RawFree(places)
    return ok

cdef enum:
    MARKS = 6

cdef void add_marks(Buffer* b, uint64_t* marks) noexcept nogil:
    """Adds up what changes with each pass of a buffer, without looking at any figure twice."""
    cdef uint32_t offset = st_load32_acquire(&b.newest), older
    marks[3] += st_load64(&b.untimed) + st_load64(&b.clamped) + st_load64(&b.unbinned)
    while is_within(b, offset, sizeof(Node)):
        marks[1] += st_load64_acquire(&node_at(b, offset).finished)
        if node_at(b, offset).site == WORK:
            marks[1] += st_load64(&node_at(b, offset).failed) + st_load64(&node_at(b, offset).cancelled)
        marks[2] += 1
        if count_open(&node_at(b, offset).count):
            marks[5] = st_ticks()
        older = st_load32(&node_at(b, offset).older)
        if older >= offset:
            return
        offset = older

cdef void read_marks(Store* s, uint64_t* marks) noexcept nogil:
    """What is the same twice only if nothing was recorded in between."""
    cdef Buffer* b
    memset(marks, 0, MARKS * sizeof(uint64_t))
    PyThread_acquire_lock(s.lock, WAIT_LOCK)
    sweep(s)
    marks[0] = st_load64(&s.session)
    marks[4] = st_load64_acquire(&threads_ended)
    marks[3] = st_load64(&s.untimed)
    b = <Buffer*>st_loadp_acquire(<void**>&s.buffers)
    while b != NULL:
        if not b.retired and st_load64_acquire(&b.session) == marks[0]:
            add_marks(b, marks)
        b = b.next
    PyThread_release_lock(s.lock)
