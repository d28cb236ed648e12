# Memory of cells: this process's own, or a file that others map and read, also when this process was killed.
#
# A file is a run of segments, each mapped by itself, so that nothing moves while it grows. In a segment, after its
# head, stands one record after another: a size, what it is, and what it holds. What a record is, is written last; a
# record that is given back is what nobody reads, and is used again for another of the same size.

cdef extern from *:
    """
    #if !defined(_WIN32)
    #include <fcntl.h>
    #include <sys/types.h>
    static void *st_map_file(int fd, uint64_t offset, size_t size) {
    #if defined(__APPLE__)
        if (ftruncate(fd, (off_t)(offset + size)) != 0) return NULL;
    #else
        /* A full disk is found out now: a page that cannot be written would end the process. */
        if (posix_fallocate(fd, (off_t)offset, (off_t)size) != 0) return NULL;
    #endif
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
        return memory == MAP_FAILED ? NULL : memory;
    }
    #else
    static void *st_map_file(int fd, uint64_t offset, size_t size) { (void)fd; (void)offset; (void)size; return NULL; }
    #endif
    """
    void* st_map_file(int, uint64_t, size_t) nogil

cdef enum:
    SEGMENT = 64 << 10         # bytes of the first; each has twice the one before, up to the largest
    LARGEST_SEGMENT = 1 << 20
    SHARE_VERSION = 1

cdef enum:  # what a record is
    GIVEN_BACK = 0
    OF_CELL = 1
    OF_PAGE = 2
    OF_SERIES = 3
    OF_GAUGE = 4

cdef struct Segment:           # its head
    char magic[8]
    uint32_t version
    uint32_t size
    uint32_t clock
    uint32_t unused
    uint64_t folds             # atomic, of the first: odd while cells are added up that are not those of a thread

cdef struct Record:            # its head
    uint32_t size              # with the head
    uint32_t kind              # atomic: written last
    Record* spare              # the next that is given back; of this process's own memory: itself

cdef struct Described:         # what a series is; a text follows
    uint64_t series            # atomic: 0 when it is gone
    uint64_t length

cdef PyThread_type_lock share_lock = PyThread_allocate_lock()  # taken after `cells_lock`
cdef int share_fd = -1
cdef uint64_t shared_bytes = 0
cdef char* segment = NULL      # the one that is being filled
cdef Segment* first_segment = NULL
cdef uint32_t segment_size = 0
cdef uint32_t segment_used = 0
cdef Record* spare_records = NULL
cdef uint64_t unshared = 0     # records that found no room in the file

cdef bint add_segment(uint32_t wanted) noexcept nogil:
    global segment, segment_size, segment_used, shared_bytes, first_segment
    cdef uint32_t size = SEGMENT if segment == NULL else min(2 * segment_size, LARGEST_SEGMENT)
    cdef Segment* head
    while size < wanted + sizeof(Segment):
        size *= 2
    head = <Segment*>st_map_file(share_fd, shared_bytes, size)
    if head == NULL:
        return False
    head.version = SHARE_VERSION
    head.size = size
    head.clock = st_load32(&st_clock_kind)
    memcpy(head.magic, b"stmetric", 8)
    if shared_bytes == 0:
        first_segment = head
    shared_bytes += size
    segment = <char*>head
    segment_size = size
    segment_used = sizeof(Segment)
    return True

cdef Record* spare_record(uint32_t size) noexcept nogil:
    cdef Record** link = &spare_records
    cdef Record* record
    while link[0] != NULL:
        record = link[0]
        if record.size == size:
            link[0] = record.spare
            memset(record + 1, 0, size - sizeof(Record))
            return record
        link = &record.spare
    return NULL

cdef Record* shared_record(uint32_t size) noexcept nogil:
    """An empty record in the file, that is nothing yet; NULL when there is no room. Its caller holds the lock."""
    global segment_used
    cdef Record* record = spare_record(size)
    if record != NULL:
        return record
    if (segment == NULL or segment_used + size > segment_size) and not add_segment(size):
        return NULL
    record = <Record*>(segment + segment_used)
    segment_used += size
    st_store32(&record.size, size)
    return record

cdef void* take_record(size_t size, uint32_t kind) noexcept nogil:
    """Zeroed memory for a cell or what belongs to it, in the file if there is one; NULL when there is no memory."""
    cdef Record* record = NULL
    size = (sizeof(Record) + size + 7) // 8 * 8
    if share_fd >= 0:
        PyThread_acquire_lock(share_lock, WAIT_LOCK)
        record = shared_record(<uint32_t>size)
        PyThread_release_lock(share_lock)
        if record == NULL:
            st_add64(&unshared, 1)
        else:
            record.spare = NULL
    if record == NULL:
        record = <Record*>PyMem_RawCalloc(1, size)
        if record == NULL:
            return NULL
        record.spare = record
    st_store32_release(&record.kind, kind)
    return record + 1

cdef inline bint is_shared(void* memory) noexcept nogil:
    return (<Record*>memory - 1).spare != <Record*>memory - 1

cdef void give_record_back(void* memory) noexcept nogil:
    global spare_records
    cdef Record* record = <Record*>memory - 1
    if memory == NULL:
        return
    if record.spare == record:
        PyMem_RawFree(record)
        return
    st_store32_release(&record.kind, GIVEN_BACK)
    PyThread_acquire_lock(share_lock, WAIT_LOCK)
    record.spare = spare_records
    spare_records = record
    PyThread_release_lock(share_lock)

cdef void* describe(uint64_t series, const char* text, size_t length) noexcept nogil:
    """Writes into the file what a series is; NULL when there is none, or no room."""
    cdef Described* described
    if share_fd < 0:
        return NULL
    described = <Described*>take_record(sizeof(Described) + length, OF_SERIES)
    if described == NULL or not is_shared(described):
        give_record_back(described)
        return NULL
    described.length = length
    memcpy(described + 1, text, length)
    st_store64_release(&described.series, series)
    return described

cdef void count_fold() noexcept nogil:
    """Before and after values go from one cell to another: who reads meanwhile reads again."""
    if first_segment != NULL:
        st_store64(&first_segment.folds, first_segment.folds + 1)
        st_fence_release()

cdef void forget_share() noexcept nogil:
    """After a fork: the file is the parent's. What is mapped stays, and is not touched."""
    global share_lock, share_fd, shared_bytes, segment, segment_size, segment_used, spare_records, unshared
    global first_segment
    first_segment = NULL
    share_lock = PyThread_allocate_lock()
    share_fd = -1
    shared_bytes = 0
    segment = NULL
    segment_size = segment_used = 0
    spare_records = NULL
    unshared = 0
