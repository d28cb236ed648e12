# Metrics: values that are not times of passes. Counters and histograms are kept per thread, in cells; a gauge is one
# word, for it says what is so now, whoever said it.
#
# A series (a metric with its label values) has a number: where its cell stands with each thread, and which of the
# series that have stood there it is. A cell is written by its own thread only, which empties it when it finds there
# another series than the one it writes. So a series that is reset, or gone, is one whose number nobody asks for any
# more, and nobody ever writes into another thread's cell.

cdef extern from *:
    """
    static inline double st_load_double(const double *p) {
        uint64_t bits = st_load64((const uint64_t *)(const void *)p);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    static inline void st_store_double(double *p, double value) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        st_store64((uint64_t *)(void *)p, bits);
    }
    static inline uint64_t st_bits_of(double value) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        return bits;
    }
    static inline double st_of_bits(uint64_t bits) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    """
    double st_load_double(const double*) nogil
    void st_store_double(double*, double) nogil
    uint64_t st_bits_of(double) nogil
    double st_of_bits(uint64_t) nogil

cdef extern from "math.h" nogil:
    bint isfinite(double)
    double INFINITY

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(PyObject*, int*) except? -1
    bint PyLong_CheckExact(PyObject*)
    bint PyFloat_CheckExact(PyObject*)
    bint PyBool_Check(PyObject*)
    bint PyIndex_Check(PyObject*)
    double PyFloat_AS_DOUBLE(PyObject*)

cdef enum:
    PLACE_BITS = 24            # of a series' number; above them which one it is of those that have stood there
    FIRST_CHUNK = 64           # cells that the first chunk has room for; each has twice the one before
    FIRST_CHUNK_BITS = 6
    CHUNKS = PLACE_BITS - FIRST_CHUNK_BITS + 1
    NEAR_OCTAVES = 64          # powers of two whose page a cell finds directly: 2**-31 up to 2**32
    FIRST_NEAR = 1023 - 31     # exponent of a double, as it is stored, of the first of those
    NO_PLACE = 1 << PLACE_BITS
    VALUE_BITS = 48            # of a double's 64, below the 4 that tell which of an octave's buckets it is in

cdef enum:  # what a cell's counts are: the low bits of its shape, above them how many words they take
    NO_COUNTS = 0
    FIXED = 1                  # one for each bound, and one for what is beyond
    LOG_LINEAR = 2             # pages of octaves; the words are those that are found directly
    SHAPE_BITS = 2
    OF_COUNTER = NO_COUNTS
    OF_OCTAVES = NEAR_OCTAVES << SHAPE_BITS | LOG_LINEAR

cdef struct Page:              # the buckets of one power of two, and sign
    Page* older                # of the same cell
    uint64_t series            # atomic: that of the cell
    uint64_t octave            # a double's upper 12 bits: sign and exponent
    uint64_t counts[SUB_BUCKETS]

cdef struct Cell:
    uint64_t series            # atomic: whose it is; 0 while it is being emptied
    uint64_t finished          # values recorded; written last
    uint64_t started           # the same; written first
    uint64_t whole             # of a counter: the integers in it; of a histogram: ticks of what was timed
    double sum                 # of what is not in `whole`
    double minimum
    double maximum
    Page* pages                # atomic: the newest
    Cell* spare                # the next that is
    uint64_t shape             # never changes

cdef struct Lap:               # a timer that is running
    Lap* below                 # stays when it is stopped: who reads may be there
    Lap* spare                 # the next that is
    void* timer                # compared only
    void* frame                # whose `with` it is; likewise
    void* context
    uint64_t start
    uint32_t gone              # atomic: it was stopped on another thread
    uint32_t suspends          # whether the frame is a generator's or coroutine's
    uint64_t forks             # that the process came by before it was started

cdef struct Cells:             # what one thread has recorded
    Cell** chunks[CHUNKS]      # atomic
    Cell* spare
    Lap* laps                  # atomic: the newest that is running
    Lap* spare_laps
    Thread* thread             # NULL of what is kept of those that ended
    Cells* next

cdef struct Tally:             # a series in all threads together
    uint64_t count
    uint64_t whole
    uint64_t whole_high
    double sum
    double lost                # what rounding took from it so far
    double minimum
    double maximum
    uint64_t* counts           # of a fixed histogram
    Map buckets                # of a log-linear one: its 16 bits + 1 -> place in `tallied`
    uint64_t* tallied
    size_t capacity

cdef PyThread_type_lock cells_lock = PyThread_allocate_lock()
cdef Cells* all_cells = NULL        # atomic: threads push their own
cdef Cells* ended_cells = NULL      # of all threads that ended, in one
cdef Lap* ended_laps = NULL         # that are still running
cdef uint64_t cells_swept = 0       # value of `threads_ended` at the last sweep
cdef uint64_t unrecorded = 0        # values that found no memory
cdef uint64_t last_series = 0
cdef uint64_t fork_count = 0
cdef uint32_t* free_places = NULL   # a stack
cdef size_t free_count = 0
cdef size_t free_capacity = 0
cdef uint32_t places = 0
cdef double seconds_of_tick = 1e-9

# ---- places

cdef uint64_t take_series() noexcept nogil:
    """The number of a new series, or 0 when there is no memory or no place."""
    global free_count, places
    cdef uint64_t place = NO_PLACE
    PyThread_acquire_lock(cells_lock, WAIT_LOCK)
    if free_count:
        free_count -= 1
        place = free_places[free_count]
    elif places < (1 << PLACE_BITS) - FIRST_CHUNK and make_room_to_free():
        place = places
        places += 1
    PyThread_release_lock(cells_lock)
    return 0 if place == NO_PLACE else st_add64(&last_series, 1) << PLACE_BITS | place

cdef bint make_room_to_free() noexcept nogil:
    """Has there be room to note one more place as free: giving one back needs no memory then."""
    global free_places, free_capacity
    cdef uint32_t* bigger
    if places < free_capacity:
        return True
    bigger = <uint32_t*>PyMem_RawRealloc(free_places, (2 * free_capacity + 64) * sizeof(uint32_t))
    if bigger == NULL:
        return False
    free_places = bigger
    free_capacity = 2 * free_capacity + 64
    return True

cdef void give_back(uint64_t series) noexcept nogil:
    """Nobody asks for a series any more: its place is another's."""
    global free_count
    if series == 0:
        return
    PyThread_acquire_lock(cells_lock, WAIT_LOCK)
    free_places[free_count] = <uint32_t>(series & ((1 << PLACE_BITS) - 1))
    free_count += 1
    PyThread_release_lock(cells_lock)

# ---- cells

cdef inline Cell** slot_of(Cells* cells, uint64_t series) noexcept nogil:
    """Where a series' cell stands, or NULL where there is no chunk for it yet."""
    cdef uint32_t place = <uint32_t>(series & ((1 << PLACE_BITS) - 1)) + FIRST_CHUNK
    cdef uint32_t chunk = st_top_bit(place) - FIRST_CHUNK_BITS
    cdef Cell** cell = <Cell**>st_loadp_acquire(<void**>&cells.chunks[chunk])
    return cell + (place - (FIRST_CHUNK << chunk)) if cell != NULL else NULL

cdef Cell** need_slot(Cells* cells, uint64_t series) noexcept nogil:
    """The same, its chunk made when missing; NULL when there is no memory."""
    cdef uint32_t place = <uint32_t>(series & ((1 << PLACE_BITS) - 1)) + FIRST_CHUNK
    cdef uint32_t chunk = st_top_bit(place) - FIRST_CHUNK_BITS
    cdef void* made
    if cells.chunks[chunk] == NULL:
        made = PyMem_RawCalloc(FIRST_CHUNK << chunk, sizeof(Cell*))
        if made == NULL:
            return NULL
        st_storep_release(<void**>&cells.chunks[chunk], made)
    return slot_of(cells, series)

cdef inline uint64_t room_of(Cell* cell) noexcept nogil:
    return cell.shape >> SHAPE_BITS

cdef inline int counts_of(Cell* cell) noexcept nogil:
    return <int>(cell.shape & ((1 << SHAPE_BITS) - 1))

cdef inline uint64_t* words_of(Cell* cell) noexcept nogil:
    return <uint64_t*>(cell + 1)

cdef void empty_cell(Cell* cell, uint64_t series) noexcept nogil:
    """Has a cell be another series'. Readers see the number change and look away."""
    cdef Page* page = cell.pages
    cdef uint32_t i
    st_store64(&cell.series, 0)
    st_fence_release()
    st_store64(&cell.finished, 0)
    st_store64(&cell.started, 0)
    st_store64(&cell.whole, 0)
    st_store_double(&cell.sum, 0)
    st_store_double(&cell.minimum, INFINITY)
    st_store_double(&cell.maximum, -INFINITY)
    while page != NULL:
        st_store64(&page.series, 0)
        for i in range(SUB_BUCKETS):
            st_store64(&page.counts[i], 0)
        st_store64_release(&page.series, series)
        page = page.older
    if counts_of(cell) == FIXED:
        for i in range(room_of(cell)):
            st_store64(words_of(cell) + i, 0)
    st_store64_release(&cell.series, series)

cdef Cell* take_cell(Cells* cells, uint64_t shape) noexcept nogil:
    """A cell that is nobody's: one that was before, or a new one; NULL when there is no memory."""
    cdef Cell** link = &cells.spare
    cdef Cell* cell
    while link[0] != NULL:
        cell = link[0]
        if cell.shape == shape:
            link[0] = cell.spare
            return cell
        link = &cell.spare
    cell = <Cell*>take_record(sizeof(Cell) + (shape >> SHAPE_BITS) * sizeof(uint64_t), OF_CELL)
    if cell != NULL:
        cell.shape = shape
    return cell

cdef Cell* place_cell(Cells* cells, uint64_t series, uint64_t shape) noexcept nogil:
    """The cell of a series, made or emptied for it. NULL when there is no memory, or another has its place by now."""
    cdef Cell** slot = need_slot(cells, series)
    cdef Cell* cell = slot[0] if slot != NULL else NULL
    if slot == NULL or (cell != NULL and cell.series > series):
        return NULL
    if cell != NULL and cell.series == series:
        return cell
    if cell == NULL or cell.shape != shape:
        # The old one is kept: who reads may be in it.
        if cell != NULL:
            empty_cell(cell, 0)
            cell.spare = cells.spare
            cells.spare = cell
            st_storep_release(<void**>slot, NULL)
        cell = take_cell(cells, shape)
        if cell == NULL:
            return NULL
    empty_cell(cell, series)
    st_storep_release(<void**>slot, cell)
    return cell

cdef Cells* join_cells() noexcept nogil:
    """Gives the calling thread its cells, or NULL when there is no memory. Waits for nobody."""
    global st_cells
    cdef Thread* t = this_thread()
    cdef Cells* cells
    if t == NULL:
        return NULL
    sweep_cells_if_free()
    cells = <Cells*>PyMem_RawCalloc(1, sizeof(Cells))
    if cells == NULL:
        return NULL
    cells.thread = t
    st_add64(&t.references, 1)
    while True:
        cells.next = <Cells*>st_loadp_acquire(<void**>&all_cells)
        if st_casp(<void**>&all_cells, cells.next, cells):
            break
    st_cells = cells
    return cells

cdef Cell* settle_cell(uint64_t series, uint64_t shape) noexcept nogil:
    """The slow way to a cell: first use, or another series had its place."""
    cdef Cells* cells = <Cells*>st_cells
    cdef Cell* cell
    if cells == NULL:
        cells = join_cells()
    cell = place_cell(cells, series, shape) if cells != NULL else NULL
    if cell == NULL:
        st_add64(&unrecorded, 1)
    return cell

cdef inline Cell* cell_of(uint64_t series, uint64_t shape) noexcept nogil:
    """The calling thread's cell of a series; NULL, and counted, when there is no memory for it."""
    cdef Cells* cells = <Cells*>st_cells
    cdef Cell** slot
    if ST_LIKELY(cells != NULL):
        slot = slot_of(cells, series)
        if ST_LIKELY(slot != NULL and slot[0] != NULL and slot[0].series == series):
            return slot[0]
    return settle_cell(series, shape)

# ---- recording

cdef inline uint64_t* page_counts(Cell* cell, uint64_t octave) noexcept nogil:
    """The counts of an octave, their page made when missing; NULL when there is no memory."""
    cdef uint64_t near = octave - FIRST_NEAR
    cdef Page* page = <Page*><uintptr_t>words_of(cell)[near] if near < NEAR_OCTAVES else find_page(cell, octave)
    if ST_UNLIKELY(page == NULL):
        page = new_page(cell, octave)
    return page.counts if page != NULL else NULL

cdef Page* find_page(Cell* cell, uint64_t octave) noexcept nogil:
    cdef Page* page = cell.pages
    while page != NULL and page.octave != octave:
        page = page.older
    return page

cdef Page* new_page(Cell* cell, uint64_t octave) noexcept nogil:
    cdef Page* page = <Page*>take_record(sizeof(Page), OF_PAGE)
    if page == NULL:
        return NULL
    page.octave = octave
    page.older = cell.pages
    st_store64(&page.series, cell.series)
    if octave - FIRST_NEAR < <uint64_t>NEAR_OCTAVES:
        words_of(cell)[octave - FIRST_NEAR] = <uint64_t><uintptr_t>page
    st_storep_release(<void**>&cell.pages, page)
    return page

cdef inline uint32_t bucket_of(const double* bounds, uint32_t count, double value) noexcept nogil:
    """Which of the fixed buckets a value is in: the first whose bound it does not exceed."""
    cdef uint32_t low = 0, middle
    while count > 8:
        middle = count // 2
        if bounds[low + middle - 1] < value:
            low += middle
            count -= middle
        else:
            count = middle
    while count and bounds[low] < value:
        low += 1
        count -= 1
    return low

cdef inline void add_whole(Cell* cell, uint64_t amount) noexcept nogil:
    """Adds an integer; where 64 bits do not hold the sum, to what is not kept as one. One word changes, not two."""
    if ST_LIKELY(cell.whole + amount >= amount):
        st_store64(&cell.whole, cell.whole + amount)
    else:
        st_store_double(&cell.sum, cell.sum + <double>amount)

cdef inline uint64_t wide_bucket(double value) noexcept nogil:
    """The log-linear bucket of a value, which holds its upper bound and not its lower one, as those of Prometheus do.
    Below 0 that is so of the bits themselves."""
    return (st_bits_of(value + 0.0) - (value > 0)) >> VALUE_BITS  # of two zeroes one

cdef inline bint add_value(Cell* cell, const double* bounds, uint32_t bound_count, double value,
                           uint64_t ticks, bint is_ticks) noexcept nogil:
    """Records one value of a histogram: it is added to the sum, or its ticks are. False when there is no memory."""
    cdef uint64_t values = cell.finished + 1, bits
    cdef uint64_t* count
    if bounds != NULL:
        count = words_of(cell) + bucket_of(bounds, bound_count, value)
    else:
        bits = wide_bucket(value)
        count = page_counts(cell, bits >> 4)
        if ST_UNLIKELY(count == NULL):
            return False
        count += bits & (SUB_BUCKETS - 1)
    st_store64(&cell.started, values)
    st_fence_release()
    if is_ticks:
        st_store64(&cell.whole, cell.whole + ticks)
    else:
        st_store_double(&cell.sum, cell.sum + value)
    if value < cell.minimum:
        st_store_double(&cell.minimum, value)
    if value > cell.maximum:
        st_store_double(&cell.maximum, value)
    st_store64(count, count[0] + 1)
    st_store64_release(&cell.finished, values)
    return True

# ---- threads that ended

cdef void fold_pages(Cell* target, Cell* cell) noexcept nogil:
    cdef Page* page = cell.pages
    cdef uint64_t* counts
    cdef uint32_t i
    while page != NULL:
        counts = page_counts(target, page.octave)
        for i in range(SUB_BUCKETS):
            if counts != NULL:
                counts[i] += page.counts[i]
        page = page.older

cdef bint make_cell_pages(Cell* target, Cell* cell) noexcept nogil:
    cdef Page* page = cell.pages
    while page != NULL:
        if page_counts(target, page.octave) == NULL:
            return False
        page = page.older
    return True

cdef bint fold_cell(Cell* cell) noexcept nogil:
    """Adds a cell of a thread that ended to what is kept of those; False when there is no memory, and nothing is."""
    cdef Cell* target
    cdef uint64_t i
    if cell.series == 0 or (cell.finished == 0 and cell.whole == 0 and cell.sum == 0):
        return True
    target = place_cell(ended_cells, cell.series, cell.shape)
    if target == NULL:  # another has its place: nobody asks for this one
        return slot_of(ended_cells, cell.series) != NULL and slot_of(ended_cells, cell.series)[0] != NULL
    if not make_cell_pages(target, cell):
        return False
    fold_pages(target, cell)
    if counts_of(cell) == FIXED:
        for i in range(room_of(cell)):
            words_of(target)[i] += words_of(cell)[i]
    add_whole(target, cell.whole)
    target.sum += cell.sum
    target.minimum = min(target.minimum, cell.minimum)
    target.maximum = max(target.maximum, cell.maximum)
    target.finished += cell.finished
    target.started = target.finished
    cell.series = 0  # should the rest find no memory, this one is not added again
    return True

cdef bint fold_cells(Cells* cells) noexcept nogil:
    cdef uint32_t chunk, i
    cdef bint ok = True
    for chunk in range(CHUNKS):
        if cells.chunks[chunk] == NULL:
            continue
        for i in range(<uint32_t>FIRST_CHUNK << chunk):
            if cells.chunks[chunk][i] != NULL and not fold_cell(cells.chunks[chunk][i]):
                ok = False
    return ok

cdef void free_cell(Cell* cell) noexcept nogil:
    cdef Page* page
    while cell.pages != NULL:
        page = cell.pages
        cell.pages = page.older
        give_record_back(page)
    give_record_back(cell)

cdef void free_cells(Cells* cells) noexcept nogil:
    """Frees what a thread that ended has left, but for what still runs."""
    cdef uint32_t chunk, i
    cdef Cell* cell
    cdef Lap* lap
    for chunk in range(CHUNKS):
        if cells.chunks[chunk] != NULL:
            for i in range(<uint32_t>FIRST_CHUNK << chunk):
                if cells.chunks[chunk][i] != NULL:
                    free_cell(cells.chunks[chunk][i])
            PyMem_RawFree(cells.chunks[chunk])
    while cells.spare != NULL:
        cell = cells.spare
        cells.spare = cell.spare
        free_cell(cell)
    while cells.spare_laps != NULL:
        lap = cells.spare_laps
        cells.spare_laps = lap.spare
        PyMem_RawFree(lap)
    if cells.thread != NULL:
        drop_thread(cells.thread)
    PyMem_RawFree(cells)

cdef void keep_laps(Cells* cells) noexcept nogil:
    """What is still running when its thread ends: a coroutine's, which goes on elsewhere."""
    global ended_laps
    cdef Lap* lap = cells.laps
    cdef Lap* below
    cells.laps = NULL
    while lap != NULL:
        below = lap.below
        if lap.gone:
            PyMem_RawFree(lap)
        else:
            lap.below = ended_laps
            ended_laps = lap
        lap = below

cdef void detach_cells(Cells* cells) noexcept nogil:
    cdef Cells* previous = <Cells*>st_loadp_acquire(<void**>&all_cells)
    if previous == cells and st_casp(<void**>&all_cells, cells, cells.next):
        return
    previous = <Cells*>st_loadp_acquire(<void**>&all_cells)
    while previous.next != cells:
        previous = previous.next
    previous.next = cells.next

cdef void sweep_cells() noexcept nogil:
    """Adds up what threads that ended have left behind. Its caller holds the lock."""
    global cells_swept, ended_cells
    cdef Cells* cells
    cdef Cells* following
    cdef uint64_t ended = st_load64_acquire(&threads_ended)
    if ended == st_load64(&cells_swept):
        return
    if ended_cells == NULL:
        ended_cells = <Cells*>PyMem_RawCalloc(1, sizeof(Cells))
        if ended_cells == NULL:
            return
    st_store64(&cells_swept, ended)
    cells = <Cells*>st_loadp_acquire(<void**>&all_cells)
    while cells != NULL:
        following = cells.next
        if st_load64_acquire(&cells.thread.ended):
            count_fold()
            if fold_cells(cells):
                keep_laps(cells)
                detach_cells(cells)
                free_cells(cells)
            else:
                st_store64(&cells_swept, <uint64_t>-1)
            count_fold()
        cells = following

cdef void sweep_cells_if_free() noexcept nogil:
    if st_load64_acquire(&threads_ended) != st_load64(&cells_swept) and PyThread_acquire_lock(cells_lock, NOWAIT_LOCK):
        sweep_cells()
        PyThread_release_lock(cells_lock)

# ---- reading

cdef void add_to_sum(Tally* tally, double value) noexcept nogil:
    """Neumaier's sum (Zeitschrift für Angewandte Mathematik und Mechanik 54, 1974)."""
    cdef double sum = tally.sum + value
    if not isfinite(sum):
        tally.lost = 0
    elif (tally.sum if tally.sum >= 0 else -tally.sum) >= (value if value >= 0 else -value):
        tally.lost += (tally.sum - sum) + value
    else:
        tally.lost += (value - sum) + tally.sum
    tally.sum = sum

cdef bint tally_bucket(Tally* tally, uint64_t bucket, uint64_t count) noexcept nogil:
    cdef uint64_t* slot = map_find(&tally.buckets, bucket + 1)
    cdef uint64_t* bigger
    cdef size_t used = tally.buckets.used
    if slot != NULL:
        tally.tallied[slot[1]] += count
        return True
    if used == tally.capacity:
        bigger = <uint64_t*>PyMem_RawRealloc(tally.tallied, (2 * used + 64) * sizeof(uint64_t))
        if bigger == NULL:
            return False
        tally.tallied = bigger
        tally.capacity = 2 * used + 64
    tally.tallied[used] = count
    return map_put(&tally.buckets, bucket + 1, used)

cdef struct Copied:            # a cell as it was at one moment
    uint64_t values
    uint64_t whole
    double sum
    double minimum
    double maximum

cdef struct Counts:            # of one cell: one after another, or (bucket, count) each; reused for the next
    uint64_t* words
    size_t used
    size_t capacity

cdef bint room_for(Counts* counts, size_t more) noexcept nogil:
    cdef uint64_t* bigger
    cdef size_t wanted = counts.used + more
    if wanted <= counts.capacity:
        return True
    bigger = <uint64_t*>PyMem_RawRealloc(counts.words, 2 * wanted * sizeof(uint64_t))
    if bigger == NULL:
        return False
    counts.words = bigger
    counts.capacity = 2 * wanted
    return True

cdef bint copy_counts(Cell* cell, Counts* counts) noexcept nogil:
    """Copies what a cell counts, as it is just then; False when there is no memory."""
    cdef Page* page = NULL
    cdef uint64_t i, count
    counts.used = 0
    if counts_of(cell) == FIXED:
        if not room_for(counts, room_of(cell)):
            return False
        for i in range(room_of(cell)):
            counts.words[i] = st_load64(words_of(cell) + i)
        counts.used = room_of(cell)
    elif counts_of(cell) == LOG_LINEAR:
        page = <Page*>st_loadp_acquire(<void**>&cell.pages)
    while page != NULL:
        if not room_for(counts, 2 * SUB_BUCKETS):
            return False
        for i in range(SUB_BUCKETS):
            count = st_load64(&page.counts[i])
            if count:
                counts.words[counts.used] = page.octave << 4 | i
                counts.words[counts.used + 1] = count
                counts.used += 2
        page = page.older
    return True

cdef bint copy_cell(Cell* cell, uint64_t series, Copied* copied, Counts* counts) noexcept nogil:
    """Copies a cell as it was at one moment, empty when it is not that of the series; False when there is no memory."""
    memset(copied, 0, sizeof(Copied))
    counts.used = 0
    while st_load64_acquire(&cell.series) == series:
        copied.values = st_load64_acquire(&cell.finished)
        copied.whole = st_load64(&cell.whole)
        copied.sum = st_load_double(&cell.sum)
        copied.minimum = st_load_double(&cell.minimum)
        copied.maximum = st_load_double(&cell.maximum)
        if not copy_counts(cell, counts):
            return False
        st_fence_acquire()
        if st_load64(&cell.started) == copied.values and st_load64(&cell.series) == series:
            return True
        st_pause()
    memset(copied, 0, sizeof(Copied))
    counts.used = 0
    return True

cdef bint tally_cell(Tally* tally, Cell* cell, uint64_t series, Counts* counts) noexcept nogil:
    """Adds a cell to a tally; False when there is no memory."""
    cdef Copied copied
    cdef size_t i
    if not copy_cell(cell, series, &copied, counts):
        return False
    tally.count += copied.values
    tally.whole += copied.whole
    tally.whole_high += tally.whole < copied.whole
    add_to_sum(tally, copied.sum)
    if copied.values:
        tally.minimum = min(tally.minimum, copied.minimum)
        tally.maximum = max(tally.maximum, copied.maximum)
    if counts_of(cell) == FIXED:
        for i in range(counts.used):
            tally.counts[i] += counts.words[i]
        return True
    for i in range(0, counts.used, 2):
        if not tally_bucket(tally, counts.words[i], counts.words[i + 1]):
            return False
    return True

cdef bint tally_series(Tally* tally, uint64_t series) noexcept nogil:
    """Adds up a series over all threads. No thread waits for it. False when there is no memory."""
    cdef Cells* cells
    cdef Cell** slot
    cdef Cell* cell
    cdef Counts counts
    cdef bint ok = True
    memset(&counts, 0, sizeof(Counts))
    tally.minimum = INFINITY
    tally.maximum = -INFINITY
    PyThread_acquire_lock(cells_lock, WAIT_LOCK)
    sweep_cells()
    cells = <Cells*>st_loadp_acquire(<void**>&all_cells)
    if ended_cells != NULL:
        ended_cells.next = cells
        cells = ended_cells
    while ok and cells != NULL:
        slot = slot_of(cells, series)
        cell = <Cell*>st_loadp_acquire(<void**>slot) if slot != NULL else NULL
        if cell != NULL:
            ok = tally_cell(tally, cell, series, &counts)
        cells = cells.next
    PyThread_release_lock(cells_lock)
    PyMem_RawFree(counts.words)
    return ok

# ---- laps

cdef inline void set_pointer(void** where, void* value) noexcept nogil:
    st_store64(<uint64_t*>where, <uint64_t><uintptr_t>value)

cdef inline void* get_pointer(void** where) noexcept nogil:
    return <void*><uintptr_t>st_load64(<uint64_t*>where)

cdef inline Lap* take_lap(Cells* cells) noexcept nogil:
    """A lap that nothing runs in, or NULL when there is no memory."""
    cdef Lap* lap = cells.spare_laps
    if ST_LIKELY(lap != NULL):
        cells.spare_laps = lap.spare
        return lap
    return <Lap*>PyMem_RawCalloc(1, sizeof(Lap))

cdef inline bint start_lap(void* timer) noexcept nogil:
    """Has a timer run on the calling thread; its clock starts last. False when there is no memory."""
    cdef Cells* cells = <Cells*>st_cells
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef Lap* lap
    if ST_UNLIKELY(cells == NULL):
        cells = join_cells()
    lap = take_lap(cells) if cells != NULL else NULL
    if lap == NULL:
        return False
    set_pointer(&lap.timer, timer)
    set_pointer(&lap.frame, frame)
    set_pointer(&lap.context, context)
    st_store32(&lap.suspends, st_frame_suspends(frame))
    st_store32(&lap.gone, 0)
    st_store64(&lap.forks, fork_count)
    set_pointer(<void**>&lap.below, cells.laps)
    st_storep_release(<void**>&cells.laps, lap)
    st_store64(&lap.start, st_ticks())
    return True

cdef Lap* find_lap(Lap* lap, void* timer, void* frame, void* context, bint is_own) noexcept nogil:
    """The newest lap of a timer that a frame has started; else one that was started in the same context by a frame
    that cannot be suspended; else, on one's own thread, any by such a frame."""
    cdef Lap* found = NULL
    while lap != NULL:
        if get_pointer(&lap.timer) == timer and not st_load32(&lap.gone):
            if get_pointer(&lap.frame) == frame:
                return lap
            if not st_load32(&lap.suspends) and (found == NULL or get_pointer(&found.context) != context):
                if (context != NULL and get_pointer(&lap.context) == context) or (is_own and found == NULL):
                    found = lap
        lap = <Lap*>get_pointer(<void**>&lap.below)
    return found

cdef Lap* find_lap_elsewhere(Cells* own, void* timer, void* frame, void* context) noexcept nogil:
    """A lap that was started on another thread, by the same frame or in the same context. Its caller holds the lock."""
    cdef Cells* cells = <Cells*>st_loadp_acquire(<void**>&all_cells)
    cdef Lap* found = find_lap(ended_laps, timer, frame, context, False)
    cdef Lap* lap
    while cells != NULL and (found == NULL or get_pointer(&found.frame) != frame):
        if cells != own:
            lap = find_lap(<Lap*>st_loadp_acquire(<void**>&cells.laps), timer, frame, context, False)
            found = lap if found == NULL or (lap != NULL and get_pointer(&lap.frame) == frame) else found
        cells = cells.next
    return found

cdef inline void pop_lap(Cells* cells) noexcept nogil:
    cdef Lap* lap = cells.laps
    st_storep_release(<void**>&cells.laps, lap.below)
    lap.spare = cells.spare_laps
    cells.spare_laps = lap

cdef void pop_gone_laps(Cells* cells) noexcept nogil:
    """Gives back what was stopped, as far as nothing that runs lies on it."""
    while cells.laps != NULL and st_load32_acquire(&cells.laps.gone):
        pop_lap(cells)

cdef void free_gone_laps() noexcept nogil:
    """Those of threads that have ended. Its caller holds the lock."""
    cdef Lap** link = &ended_laps
    cdef Lap* lap
    while link[0] != NULL:
        lap = link[0]
        if lap.gone:
            link[0] = lap.below
            PyMem_RawFree(lap)
        else:
            link = &lap.below

cdef void copy_lap(Lap* stopped, Lap* lap) noexcept nogil:
    """What is told of a lap that is stopped."""
    stopped.start = st_load64(&lap.start)
    stopped.forks = st_load64(&lap.forks)

cdef bint stop_lap_elsewhere(Cells* cells, void* timer, void* frame, void* context, Lap* stopped) noexcept nogil:
    cdef Lap* lap
    PyThread_acquire_lock(cells_lock, WAIT_LOCK)
    lap = find_lap_elsewhere(cells, timer, frame, context)
    if lap != NULL:
        copy_lap(stopped, lap)
        st_store32_release(&lap.gone, 1)
        free_gone_laps()
    PyThread_release_lock(cells_lock)
    return lap != NULL

cdef bint stop_lap_slowly(Cells* cells, void* timer, void* frame, void* context, Lap* stopped) noexcept nogil:
    """Stops a timer whose lap is not plainly the newest; False when it does not run."""
    cdef Lap* lap = NULL
    if cells != NULL:
        pop_gone_laps(cells)
        lap = find_lap(cells.laps, timer, frame, context, True)
    # What a frame that can be suspended has started, it may have started on another thread.
    if lap == NULL or (lap.frame != frame and st_frame_suspends(frame)):
        if stop_lap_elsewhere(cells, timer, frame, context, stopped):
            return True
    if lap == NULL:
        return False
    copy_lap(stopped, lap)
    st_store32(&lap.gone, 1)
    pop_gone_laps(cells)
    return True

cdef inline bint stop_lap(void* timer, Lap* stopped) noexcept nogil:
    """Stops a timer that runs, and tells its lap; False when it does not."""
    cdef Cells* cells = <Cells*>st_cells
    cdef void* frame = NULL
    cdef void* context = st_context(&frame)
    cdef Lap* lap = cells.laps if cells != NULL else NULL
    if ST_UNLIKELY(lap == NULL or lap.timer != timer or lap.frame != frame or st_load32(&lap.gone)):
        return stop_lap_slowly(cells, timer, frame, context, stopped)
    stopped.start = lap.start
    stopped.forks = lap.forks
    pop_lap(cells)
    return True

# ---- fork

cdef void cells_after_fork() noexcept nogil:
    """Has the child start from zero. Without the GIL another thread may have been changing what it owns, so that is
    let go of, not freed; and so is what was being swept, and what is in the parent's file."""
    global cells_lock, all_cells, ended_cells, ended_laps, fork_count, unrecorded, st_cells
    cdef Cells* own = <Cells*>st_cells
    cdef uint32_t chunk, i
    cells_lock = PyThread_allocate_lock()
    fork_count += 1
    unrecorded = 0
    ended_cells = NULL
    ended_laps = NULL
    if own != NULL:
        for chunk in range(CHUNKS):
            if own.chunks[chunk] != NULL:
                for i in range(<uint32_t>FIRST_CHUNK << chunk):
                    start_anew(&own.chunks[chunk][i])
        own.next = NULL
        own.spare = NULL
    all_cells = own
    forget_share()

cdef void start_anew(Cell** slot) noexcept nogil:
    """Empties a cell in a forked child; one in the parent's file is let go of, and so is one whose page is."""
    cdef Cell* cell = slot[0]
    cdef Page* page = cell.pages if cell != NULL else NULL
    if cell == NULL:
        return
    while page != NULL and not is_shared(page):
        page = page.older
    if is_shared(cell) or page != NULL:
        slot[0] = NULL
    else:
        empty_cell(cell, cell.series)

# ---- a file that others read

cdef bint move_cell(Cells* cells, Cell** slot) noexcept nogil:
    """Moves a cell into the file, while nobody writes it; False when there is no memory."""
    cdef Cell* cell = slot[0]
    cdef Cell* moved
    cdef uint64_t i
    if cell == NULL or cell.series == 0 or is_shared(cell):
        return True
    moved = take_cell(cells, cell.shape)
    if moved == NULL:
        return False
    empty_cell(moved, 0)
    if not make_cell_pages(moved, cell):
        return False
    fold_pages(moved, cell)
    if counts_of(cell) == FIXED:
        for i in range(room_of(cell)):
            words_of(moved)[i] = words_of(cell)[i]
    moved.whole = cell.whole
    moved.sum = cell.sum
    moved.minimum = cell.minimum
    moved.maximum = cell.maximum
    moved.started = moved.finished = cell.finished
    set_series(moved, cell.series)
    slot[0] = moved
    free_cell(cell)
    return True

cdef void set_series(Cell* cell, uint64_t series) noexcept nogil:
    cdef Page* page = cell.pages
    while page != NULL:
        st_store64_release(&page.series, series)
        page = page.older
    st_store64_release(&cell.series, series)

cdef bint move_cells(Cells* cells) noexcept nogil:
    cdef uint32_t chunk, i
    cdef bint ok = True
    cdef Cell* spare = cells.spare
    cells.spare = NULL  # those are not in the file
    for chunk in range(CHUNKS):
        if cells.chunks[chunk] != NULL:
            for i in range(<uint32_t>FIRST_CHUNK << chunk):
                ok = move_cell(cells, &cells.chunks[chunk][i]) and ok
    while spare != NULL:
        cells_spare_next(&spare)
    return ok

cdef void cells_spare_next(Cell** spare) noexcept nogil:
    cdef Cell* cell = spare[0]
    spare[0] = cell.spare
    free_cell(cell)

cdef bint share_cells(int fd) noexcept nogil:
    """Has cells be in a file from now on, and moves there those that are; False when there is no room. Where there is
    no GIL, those of other threads stay where they are: they may be writing."""
    global share_fd
    cdef Cells* cells
    cdef bint ok = True
    PyThread_acquire_lock(cells_lock, WAIT_LOCK)
    sweep_cells()
    share_fd = fd
    ok = add_segment(0)
    if not ok:
        share_fd = -1
    cells = <Cells*>st_loadp_acquire(<void**>&all_cells)
    while ok and cells != NULL:
        if ST_HAS_GIL or cells == st_cells:
            ok = move_cells(cells)
        cells = cells.next
    if ok and ended_cells != NULL:
        ok = move_cells(ended_cells)
    PyThread_release_lock(cells_lock)
    return ok
