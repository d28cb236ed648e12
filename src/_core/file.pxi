# The file of a store: its threads' buffers, the names of its blocks and tracks, and what is kept of ended threads,
# mapped shared, so that another process can read it and it outlives this one.
#
# A file is chunks. The first one begins with a header, after which comes an index of all of them. A chunk that is in the
# index is whole: its kind is written last. Growing takes the file's lock; recording what there is room for takes none.

cdef enum:  # kinds of chunks
    OF_NOTHING = 0             # free
    OF_INDEX = 1               # the next stretch of the index
    OF_LOG = 2                 # of the log: what is said once, such as names
    OF_BUFFER = 3              # a piece of a thread's buffer
    OF_ENDED = 4               # what is kept of a thread that ended
    OF_FOLDED = 5              # the same, of the older ones together
    OF_OTHERS = 6              # in use, and nothing to readers
    OF_RING = 7                # a piece of a thread's ring
    OF_PASSED = 8              # what is kept of the ring of a thread that ended
    OF_TEXTS = 9               # a piece of the texts that are tags

cdef enum:
    FILE_VERSION = 2
    HEADER_BYTES = 512
    MOST_INDEX = 8 << 20
    MOST_LOG = 256 << 20
    MOST_TEXTS = 1 << 16       # that are tags: newer ones take the places of the oldest
    TEXT_BYTES = 48

cdef enum:  # records of the log
    SAID_ABOUT = 1             # JSON: what the process and the profiler are
    SAID_TRACK = 2             # its number, its index, whether it is enabled; its name
    SAID_SITE = 3              # its number, its track's number, its line, length of its name; its name, its file

cdef struct Chunk:
    uint64_t at                # in the file
    uint64_t logical           # offset in what it is a piece of; of ended threads, the number of the buffer it replaces
    uint64_t owner             # of a piece of a buffer, its number; of ended threads, how many had ended before
    uint32_t size
    uint32_t kind              # atomic: written last

cdef struct FileHeader:
    char magic[8]
    uint32_t version
    uint32_t layout
    uint32_t node_bytes
    uint32_t activation_bytes
    uint32_t clock
    uint32_t has_ended         # 1 when the process has ended in order, or needs the profiler no more
    uint32_t chunks            # atomic: how many are in the index
    uint32_t error             # the system's number of it: there is no room for all of it any more
    uint64_t process
    uint64_t session           # atomic: the store's
    uint64_t began_ns          # when the session did, in ns since the epoch
    uint64_t began_ticks
    uint64_t log_used          # atomic
    uint64_t untimed           # passes that had no buffer
    uint64_t origin_ticks      # one moment, …
    uint64_t origin_ns         # … in ns of the monotonic clock
    uint64_t beats             # odd while the rest of the pulse is written
    uint64_t beat_ticks        # the last moment at which the process lived, …
    uint64_t beat_ns           # … in ns of the monotonic clock, …
    uint64_t beat_real_ns      # … and since the epoch
    uint64_t page              # bytes of the header and the first stretch of the index
    uint64_t reserved[46]

cdef struct File:
    int fd
    uint64_t page
    FileHeader* header         # a reserved stretch: with the index
    char* log                  # another
    uint64_t index_committed
    uint64_t log_committed
    Text* texts                # another
    uint64_t texts_committed   # in bytes
    uint64_t end               # of the file
    uint64_t limit             # bytes, beyond which it does not grow
    uint64_t buffers           # atomic: how many were given numbers
    uint64_t ended             # how many threads were kept
    PyThread_type_lock lock
    File* next                 # all of them, under the pulse's lock

cdef struct Text:              # that is a tag
    uint64_t number            # atomic: its number, and 1; 0 while the rest is written
    uint32_t length
    uint32_t unused
    char text[TEXT_BYTES]

cdef struct Kept:              # before the packed figures of ended threads
    uint64_t session
    uint64_t thread_key
    uint64_t os_id
    uint64_t threads
    uint64_t words
    uint64_t nodes
    uint64_t scopes
    uint64_t clamped
    uint64_t untimed
    uint64_t unbinned
    char name[NAME_BYTES]

cdef char* MAGIC = b"stchtrp"
cdef File* all_files = NULL  # atomic: changed with the pulse held

cdef inline File* first_file() noexcept nogil:
    return <File*>st_loadp_acquire(<void**>&all_files)

cdef inline Chunk* chunk_at(File* f, uint32_t i) noexcept nogil:
    return &(<Chunk*>(<char*>f.header + HEADER_BYTES))[i]

cdef inline uint64_t whole_pages(File* f, uint64_t size) noexcept nogil:
    return (size + f.page - 1) // f.page * f.page

cdef void note_error(File* f, int error) noexcept nogil:
    if error and not f.header.error:
        st_store32(&f.header.error, <uint32_t>error)

cdef Chunk* extend_file(File* f, uint32_t size) noexcept nogil:
    """A new chunk at the end of the file, of no kind yet; NULL when there is no room."""
    cdef uint32_t i = f.header.chunks
    cdef Chunk* c = chunk_at(f, i)
    cdef int error = TOO_LARGE if f.end + size > f.limit else st_allocate(f.fd, f.end, size)
    if error:
        note_error(f, error)
        return NULL
    c.at = f.end
    c.size = size
    c.logical = c.owner = 0
    st_store32(&c.kind, OF_NOTHING)
    f.end += size
    st_store32_release(&f.header.chunks, i + 1)
    return c

cdef bint lengthen_index(File* f) noexcept nogil:
    """Sees to it that there is room for one more chunk in the index; False when there is none in the file."""
    cdef uint64_t room = (f.index_committed - HEADER_BYTES) // sizeof(Chunk)
    cdef Chunk* c
    cdef int error
    if f.header.chunks + 1 < room:
        return True
    if f.index_committed + f.page > MOST_INDEX:
        return False
    c = extend_file(f, <uint32_t>f.page)  # the last place is for this
    if c == NULL:
        return False
    error = st_map_piece(<char*>f.header + f.index_committed, f.fd, c.at, f.page, ST_MAP_SHARED)
    if error:
        note_error(f, error)
        return False
    c.logical = f.index_committed
    f.index_committed += f.page
    st_store32_release(&c.kind, OF_INDEX)
    return True

cdef Chunk* take_chunk(File* f, uint32_t size, bint* is_used) noexcept nogil:
    """A chunk of a size, of no kind yet, and whether it holds what it was used for before; NULL when there is no room."""
    cdef uint32_t i
    is_used[0] = False
    for i in range(f.header.chunks):
        if chunk_at(f, i).size == size and chunk_at(f, i).kind == OF_NOTHING:
            is_used[0] = True
            return chunk_at(f, i)
    if f.header.error or not lengthen_index(f):
        return NULL
    return extend_file(f, size)

cdef bint grow_file(File* f, char* base, uint64_t logical, uint32_t size, uint32_t kind, uint64_t owner) noexcept nogil:
    """Maps zeroed room of a size to an offset from what it is a piece of; False when there is none, and nothing is changed."""
    cdef bint is_used, ok
    cdef Chunk* c
    cdef int error = 0
    PyThread_acquire_lock(f.lock, WAIT_LOCK)
    c = take_chunk(f, size, &is_used)
    if c != NULL:
        error = st_map_piece(base + logical, f.fd, c.at, size, ST_MAP_SHARED)
        note_error(f, error)
    ok = c != NULL and error == 0
    if ok:
        if is_used:
            memset(base + logical, 0, size)
        c.logical = logical
        c.owner = owner
        st_store32_release(&c.kind, kind)
    PyThread_release_lock(f.lock)
    return ok

cdef void set_kind(File* f, uint32_t number, uint32_t kind) noexcept nogil:
    """What the pieces of a buffer are from now on."""
    cdef uint32_t i
    cdef Chunk* c
    PyThread_acquire_lock(f.lock, WAIT_LOCK)
    for i in range(f.header.chunks):
        c = chunk_at(f, i)
        if c.owner == number and (c.kind == OF_BUFFER or c.kind == OF_OTHERS):
            st_store32_release(&c.kind, kind)
    PyThread_release_lock(f.lock)

cdef void free_chunks(File* f, uint32_t kind, uint64_t owner) noexcept nogil:
    """Frees what is of a kind and belongs to an owner."""
    cdef uint32_t i
    cdef Chunk* c
    PyThread_acquire_lock(f.lock, WAIT_LOCK)
    for i in range(f.header.chunks):
        c = chunk_at(f, i)
        if c.kind == kind and c.owner == owner:
            st_store32_release(&c.kind, OF_NOTHING)
    PyThread_release_lock(f.lock)

cdef bint append(File* f, uint32_t kind, const uint32_t* numbers, uint32_t count, const char* text, size_t length,
                 uint32_t** where) noexcept nogil:
    """Says something in the log: numbers and a text; False when there is no room. Its caller holds the profiler's lock."""
    cdef uint64_t used = f.header.log_used
    cdef uint64_t size = 8 + 4 * count + length
    cdef char* to = f.log + used
    cdef uint32_t step
    while used + size + 8 > f.log_committed:
        step = <uint32_t>min(max(f.log_committed, f.page), <uint64_t>(1 << 20))
        if f.log_committed + step > MOST_LOG or not grow_file(f, f.log, f.log_committed, step, OF_LOG, 0):
            return False
        f.log_committed += step
    (<uint32_t*>to)[0] = kind
    (<uint32_t*>to)[1] = <uint32_t>(size - 8)
    if count:  # else there need be none
        memcpy(to + 8, numbers, 4 * count)
    memcpy(to + 8 + 4 * count, text, length)
    if where != NULL:
        where[0] = <uint32_t*>(to + 8)
    st_store64_release(&f.header.log_used, used + (size + 7) // 8 * 8)
    return True

cdef void say_text(File* f, uint64_t number, const char* text, size_t length) noexcept nogil:
    """Has the file have a text that is a tag, if there is room. Its caller alone does so."""
    cdef uint64_t place = number % MOST_TEXTS, size
    cdef Text* t
    while f.texts_committed < (place + 1) * sizeof(Text):
        size = max(f.texts_committed, f.page)
        if not grow_file(f, <char*>f.texts, f.texts_committed, <uint32_t>size, OF_TEXTS, 0):
            return
        f.texts_committed += size
    t = &f.texts[place]
    st_store64(&t.number, 0)
    st_fence_release()
    length = min(length, <size_t>TEXT_BYTES)
    memcpy(t.text, text, length)
    t.length = <uint32_t>length
    st_store64_release(&t.number, number + 1)

cdef void beat() noexcept nogil:
    """Notes in all files until when this process has lived. The pulse's lock is held."""
    cdef File* f = all_files
    cdef uint64_t ticks, ns
    read_pair(&ticks, &ns)
    while f != NULL:
        st_store64(&f.header.beats, f.header.beats + 1)
        st_fence_release()
        st_store64(&f.header.beat_ticks, ticks)
        st_store64(&f.header.beat_ns, ns)
        st_store64(&f.header.beat_real_ns, st_real_ns())
        st_store64_release(&f.header.beats, f.header.beats + 1)
        f = f.next

cdef void drop_file(File* f) noexcept nogil:
    st_release(f.header, MOST_INDEX)
    st_release(f.log, MOST_LOG)
    st_release(f.texts, MOST_TEXTS * sizeof(Text))
    PyThread_free_lock(f.lock)
    st_close_file(f.fd)
    PyMem_RawFree(f)

cdef File* new_file(int fd, uint64_t limit, int* error) noexcept nogil:
    """Makes an empty file a store's; NULL, and why, when that cannot be. It owns the descriptor then."""
    cdef File* f = <File*>PyMem_RawCalloc(1, sizeof(File))
    error[0] = 0
    if f == NULL:
        return NULL
    f.fd = fd
    f.limit = limit
    f.page = max(st_page_size(), <size_t>4096)
    f.lock = PyThread_allocate_lock()
    f.header = <FileHeader*>st_reserve(MOST_INDEX)
    f.log = <char*>st_reserve(MOST_LOG)
    f.texts = <Text*>st_reserve(MOST_TEXTS * sizeof(Text))
    if f.lock != NULL and f.header != NULL and f.log != NULL and f.texts != NULL:
        error[0] = st_allocate(fd, 0, f.page)
        if error[0] == 0:
            error[0] = st_map_piece(f.header, fd, 0, f.page, ST_MAP_SHARED)
        if error[0] == 0:
            begin_file(f)
            return f
    if f.header != NULL:
        st_release(f.header, MOST_INDEX)
    if f.log != NULL:
        st_release(f.log, MOST_LOG)
    if f.texts != NULL:
        st_release(f.texts, MOST_TEXTS * sizeof(Text))
    if f.lock != NULL:
        PyThread_free_lock(f.lock)
    PyMem_RawFree(f)
    return NULL

cdef void begin_file(File* f) noexcept nogil:
    global all_files
    cdef FileHeader* h = f.header
    f.index_committed = f.end = f.page
    h.version = FILE_VERSION
    h.layout = LAYOUT
    h.page = f.page
    h.node_bytes = sizeof(Node)
    h.activation_bytes = sizeof(Activation)
    h.clock = st_load32(&st_clock_kind)
    read_pair(&h.origin_ticks, &h.origin_ns)
    memcpy(h.magic, MAGIC, 8)
    st_hold_pulse()
    f.next = all_files
    st_storep_release(<void**>&all_files, f)
    beat()
    st_let_pulse_go()

cdef void unlist_file(File* f) noexcept nogil:
    cdef File** link = &all_files
    st_hold_pulse()
    beat()
    while link[0] != f:
        link = &link[0].next
    st_storep_release(<void**>link, f.next)
    st_let_pulse_go()

cdef void close_file(File* f) noexcept nogil:
    """Leaves a file as it is: what was recorded stays in it."""
    unlist_file(f)
    st_store32(&f.header.has_ended, 1)
    drop_file(f)

cdef bint keep_packed(File* f, uint32_t kind, Packed* p, Kept* about, uint64_t owner, uint64_t replaces) noexcept nogil:
    """Writes what is kept of ended threads; False when there is no room."""
    about.words = p.used
    about.nodes = p.nodes
    about.scopes = p.scopes
    about.clamped = p.clamped
    about.untimed = p.untimed
    about.unbinned = p.unbinned
    return keep_words(f, kind, p.words, about, owner, replaces)

cdef bint keep_words(File* f, uint32_t kind, uint64_t* words, Kept* about, uint64_t owner, uint64_t replaces) noexcept nogil:
    """Writes words of ended threads, and what is said about them; False when there is no room."""
    cdef uint32_t size = <uint32_t>f.page
    cdef bint is_used
    cdef Chunk* c
    cdef int error = 0
    while size < sizeof(Kept) + 8 * about.words:
        if size >= 1 << 30:
            return False
        size *= 2
    PyThread_acquire_lock(f.lock, WAIT_LOCK)
    c = take_chunk(f, size, &is_used)
    if c != NULL:
        error = st_write_at(f.fd, about, sizeof(Kept), c.at)
        if error == 0:
            error = st_write_at(f.fd, words, 8 * about.words, c.at + sizeof(Kept))
        note_error(f, error)
    if c != NULL and error == 0:
        c.logical = replaces
        c.owner = owner
        st_store32_release(&c.kind, kind)
    PyThread_release_lock(f.lock)
    return c != NULL and error == 0

cdef void free_kept(File* f, uint64_t until, bint folded_too) noexcept nogil:
    """Frees what is kept of the first so many ended threads; and of those that are folded together before."""
    cdef uint32_t i
    cdef Chunk* c
    PyThread_acquire_lock(f.lock, WAIT_LOCK)
    for i in range(f.header.chunks):
        c = chunk_at(f, i)
        if (c.kind == OF_ENDED and c.owner <= until) or (
                c.kind == OF_FOLDED and (c.owner < until or folded_too)):
            st_store32_release(&c.kind, OF_NOTHING)
    PyThread_release_lock(f.lock)

cdef bint adopt_buffer(File* f, Buffer* b) noexcept nogil:
    """Moves the calling thread's buffer into a file; False when there is no room, and it stays where it is."""
    cdef uint32_t number = <uint32_t>st_add64(&f.buffers, 1)
    cdef uint32_t stack = <uint32_t>whole_pages(f, b.stack_used), data = <uint32_t>whole_pages(f, b.data_used)
    if not move_piece(f, <char*>b, OWN, stack - OWN, OF_BUFFER, number):
        return False
    if not move_piece(f, <char*>b, b.data_start, data - b.data_start, OF_BUFFER, number):
        set_kind(f, number, OF_OTHERS)  # it is mapped there
        return False
    b.ring_is_kept = b.ring != NULL and move_piece(
        f, <char*>b.ring, 0, <uint32_t>((b.ring_mask + 1) * sizeof(Passed)), OF_RING, number)
    st_store32(&b.committed_stack, stack)
    st_store32(&b.committed_data, data)
    b.file = f
    b.number = number
    b.is_lost = False
    st_store32(&b.newest_kept, b.newest)
    st_store32(&b.newest_scope_kept, b.newest_scope)
    return True

cdef bint move_piece(File* f, char* base, uint32_t start, uint32_t size, uint32_t kind, uint32_t number) noexcept nogil:
    cdef char* at = base + start
    cdef char* copy
    cdef bint ok
    if size == 0:
        return True
    copy = <char*>PyMem_RawMalloc(size)
    if copy == NULL:
        return False
    memcpy(copy, at, size)
    ok = grow_file(f, base, start, size, kind, number)
    if ok:
        memcpy(at, copy, size)
    PyMem_RawFree(copy)
    return ok

ctypedef void (*on_piece)(File*, Buffer*, Chunk*, char*) noexcept nogil

cdef uint64_t each_piece(File* f, Buffer* b, on_piece action) noexcept nogil:
    """Does something with each piece of a buffer, and gives their sizes together. A piece's copy is so far behind the
    copy's beginning as the sizes of those before it are together."""
    cdef uint64_t size = 0
    cdef uint32_t i
    cdef Chunk* c
    for i in range(f.header.chunks):
        c = chunk_at(f, i)
        if c.owner == b.number and (c.kind == OF_BUFFER or c.kind == OF_OTHERS):
            if action != NULL:
                action(f, b, c, b.before_fork + size)
            size += c.size
    return size

cdef void save_piece(File* f, Buffer* b, Chunk* c, char* copy) noexcept nogil:
    memcpy(copy, <char*>b + c.logical, c.size)

cdef void keep_piece(File* f, Buffer* b, Chunk* c, char* copy) noexcept nogil:
    if st_make_private(<char*>b + c.logical, c.size) == 0 and b.before_fork != NULL:
        memcpy(<char*>b + c.logical, copy, c.size)

cdef void borrow_piece(File* f, Buffer* b, Chunk* c, char* copy) noexcept nogil:
    st_map_piece(<char*>b + c.logical, f.fd, c.at, c.size, ST_MAP_PRIVATE)

cdef Buffer* own_in(Store* s) noexcept nogil:
    """The calling thread's buffer, if it is in the store's file; else NULL."""
    cdef Buffer* b = known_buffer(s) if s.file != NULL else NULL
    return b if b != NULL and b.file != NULL else NULL

cdef void before_fork() noexcept nogil:
    """Runs before each fork: the child goes on with what its thread has now, while the parent is changing that."""
    cdef Store* s = all_stores
    cdef Buffer* b
    while s != NULL:
        b = own_in(s)
        if b != NULL:
            b.before_fork = <char*>st_reserve(each_piece(s.file, b, NULL))
            if b.before_fork != NULL:
                each_piece(s.file, b, save_piece)
        s = s.next

cdef void forked_parent() noexcept nogil:
    """Runs in the parent after each fork."""
    cdef Store* s = all_stores
    cdef Buffer* b
    while s != NULL:
        b = own_in(s)
        if b != NULL and b.before_fork != NULL:
            st_release(b.before_fork, each_piece(s.file, b, NULL))
            b.before_fork = NULL
        s = s.next

cdef void leave_file(File* f, Buffer* b, bint is_own) noexcept nogil:
    """In the child of a fork: what is mapped here is the parent's. The forking thread goes on with what it had; others'
    buffers are only looked at until they are dropped."""
    cdef uint64_t size = each_piece(f, b, keep_piece if is_own else borrow_piece)
    if b.before_fork != NULL:
        st_release(b.before_fork, size)
        b.before_fork = NULL
    free_ring(b)
    b.file = NULL

cdef void forked() noexcept nogil:
    """Runs in the child of each fork, before anything else of it: nothing may be written into the parent's files."""
    global all_files
    cdef Store* s = all_stores
    cdef Buffer* b
    cdef uint32_t i
    st_storep_release(<void**>&all_files, NULL)
    st_forget_pulse()
    while s != NULL:
        if s.file != NULL:
            b = s.buffers
            while b != NULL:
                if b.file != NULL:
                    leave_file(s.file, b, b.thread == <Thread*>st_this_thread)
                b = b.next
            for i in range(s.gate_count):
                s.gates[i].kept = NULL
            st_close_file(s.file.fd)
            st_release(s.file.header, MOST_INDEX)
            st_release(s.file.log, MOST_LOG)
            st_release(s.file.texts, MOST_TEXTS * sizeof(Text))
            s.file = NULL
        s = s.next

cdef extern from *:
    """
    #if !defined(__cplusplus) && !defined(static_assert)
    #define static_assert _Static_assert
    #endif
    #define ST_ASSERT(condition) static_assert(condition, "a layout that its readers do not expect")
    """
    void ST_ASSERT(bint) nogil

cdef void check_layout() noexcept nogil:
    """Never called: the compiler looks at it."""
    ST_ASSERT(sizeof(Count) == 16)
    ST_ASSERT(2 * sizeof(Scope) == LINE)
    ST_ASSERT(sizeof(Node) == 4 * LINE)
    ST_ASSERT(sizeof(Activation) == 2 * LINE)
    ST_ASSERT(sizeof(Extra) == 4 * (2 * OCTAVES - NEAR_PAGES))
    ST_ASSERT(sizeof(FileHeader) == HEADER_BYTES)
    ST_ASSERT(sizeof(Chunk) == 32)
    ST_ASSERT(2 * sizeof(Passed) == LINE)
    ST_ASSERT(sizeof(Text) == LINE)
    ST_ASSERT(sizeof(Buffer) == OWN + BUFFER_SHARED)
