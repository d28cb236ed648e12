# Files of stores, read: of processes that live, and of those that do not any more. Whatever is in one, reading it does
# not go beyond it.

cdef enum:
    MOST_BUFFER = RESERVE      # bytes of a thread's stretch of addresses

cdef bint is_packed(Packed* p) noexcept nogil:
    """Whether what was read as packed figures is."""
    cdef uint64_t* words = p.words
    cdef uint64_t* end = words + p.used
    cdef uint64_t page
    cdef size_t i
    if p.nodes > p.used // NODE_WORDS or p.scopes > p.used // SCOPE_WORDS:
        return False
    for i in range(p.nodes):
        if words + NODE_WORDS > end or words[W_PAGES] > 2 * OCTAVES or (
                words[W_PARENT] >= i and words[W_PARENT] != <uint64_t>-1):
            return False
        if <uint64_t>(end - words) < NODE_WORDS + words[W_PAGES] * PAGE_WORDS:
            return False
        for page in range(words[W_PAGES]):
            if words[NODE_WORDS + page * PAGE_WORDS] & ~<uint64_t>CARRY >= OCTAVES:
                return False
        words += NODE_WORDS + words[W_PAGES] * PAGE_WORDS
    return <uint64_t>(end - words) == p.scopes * SCOPE_WORDS

cdef Thread* foreign_thread(uint64_t key, uint64_t os_id, uint64_t ended_at, const char* name) noexcept nogil:
    """What is known of a thread of another process, or NULL when there is no memory."""
    cdef Thread* t = <Thread*>PyMem_RawCalloc(1, sizeof(Thread))
    if t == NULL:
        return NULL
    t.key = key
    t.os_id = os_id
    t.ended = ended_at != 0
    t.ended_at = ended_at
    t.references = 1
    st_add64(&live_threads, 1)
    if name[0]:
        t.name = <char*>PyMem_RawCalloc(1, NAME_BYTES + 1)
        if t.name != NULL:
            memcpy(t.name, name, NAME_BYTES)
    return t

cdef bint is_open_pass(Buffer* b, Activation* a) noexcept nogil:
    """Whether an activation is of a pass that is open, and recorded."""
    cdef uint32_t flags = st_load32(&a.flags), node = st_load32(&a.node)
    if flags & (SILENT | BOTTOM | LEFT) or not is_since(st_load64(&a.start)) or st_load32(&a.gone) and flags & (
            SUSPENDABLE | BODY):
        return False
    return node != b.data_start and is_within(b, node, sizeof(Node)) and st_load32(&a.prev) != 0

cdef uint32_t last_activation(Buffer* b) noexcept nogil:
    """Behind the last activation that a buffer has."""
    return min(st_load32(&b.stack_used), b.data_start)

cdef uint64_t latest_start(Buffer* b) noexcept nogil:
    cdef uint32_t offset = FIRST_ACTIVATION + <uint32_t>sizeof(Activation)
    cdef uint64_t latest = 0
    while offset + sizeof(Activation) <= last_activation(b):
        if is_open_pass(b, activation_at(b, offset)):
            latest = max(latest, st_load64(&activation_at(b, offset).start))
        offset += <uint32_t>sizeof(Activation)
    return latest

cdef bint add_waiting(Buffer* b, uint64_t now, char* running, Opens* found) noexcept nogil:
    """Appends what is open in a buffer and does not run; `running`: a mark for each activation of the current flow."""
    cdef uint32_t low = FIRST_ACTIVATION, i = 0, offset
    cdef Open item
    memset(&item, 0, sizeof(Open))
    item.thread = b.thread
    item.suspended = True
    while low + sizeof(Activation) <= last_activation(b):
        if not running[i] and is_open_pass(b, activation_at(b, low)) and read_open(b, low, now, &item):
            item.depth = 0
            offset = st_load32(&activation_at(b, low).prev)
            while is_activation(b, offset) and st_load32(&activation_at(b, offset).prev) and item.depth < 1000:
                item.depth += is_open_pass(b, activation_at(b, offset))
                offset = st_load32(&activation_at(b, offset).prev)
            if not add_open(found, &item):
                return False
        low += <uint32_t>sizeof(Activation)
        i += 1
    return True

cdef bint is_unfinished(Buffer* b) noexcept nogil:
    """Whether a buffer is one that a thread was making, or for whose nodes there was no room in the file: nothing is
    recorded there."""
    return b.size >= OWN + 4096 and (b.layout == 0 or (b.layout == LAYOUT and b.data_start >= b.size))

cdef bint mark_running(Buffer* b, char* running) noexcept nogil:
    cdef uint32_t offset = st_load32_acquire(&b.top)
    cdef size_t most = b.data_start // sizeof(Activation)
    while most and is_activation(b, offset) and offset + sizeof(Activation) <= last_activation(b):
        running[(offset - FIRST_ACTIVATION) // sizeof(Activation)] = 1
        offset = st_load32(&activation_at(b, offset).prev)
        most -= 1
    return True

cdef bint add_part(uint32_t sites, Buffer* whole, Packed* part, Packed* sums, uint64_t* threads) noexcept nogil:
    """Adds what one thread has recorded to what others have; False when there is no memory."""
    threads[0] += 1
    sums.clamped += part.clamped
    sums.untimed += part.untimed
    sums.unbinned += part.unbinned
    confine_packed(part, sites)
    return fold(whole, part, part.words)


cdef class KeptFile:
    """A store's file.

    descriptor: of the file, open for reading, which must stay so for as long as this is used. size: of the file in
    bytes. lives: whether a process has it, which then goes on writing.

    Raises ValueError, a sentence without the file's name, when it is none, or of another version.
    """
    cdef FileHeader head
    cdef Chunk* chunks
    cdef size_t chunk_count
    cdef Buffer** buffers
    cdef size_t count
    cdef readonly bint lives
    cdef readonly int damaged   # pieces that could not be read
    cdef int descriptor
    cdef uint64_t size
    cdef uint64_t over_at       # until when it lived, as far as it is known

    def __cinit__(self, int descriptor, uint64_t size, bint lives):
        self.descriptor = descriptor
        self.size = size
        self.lives = lives
        self.read_head()
        self.chunks = <Chunk*>PyMem_RawCalloc(self.head.chunks + 1, sizeof(Chunk))
        self.buffers = <Buffer**>PyMem_RawCalloc(self.head.chunks + 1, sizeof(Buffer*))
        if self.chunks == NULL or self.buffers == NULL:
            raise MemoryError("no memory to read a store's file")
        self.read_index()
        self.read_buffers()

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            if self.buffers[i].thread != NULL:
                drop_thread(self.buffers[i].thread)
            st_release(self.buffers[i], self.buffers[i].size)
        PyMem_RawFree(self.buffers)
        PyMem_RawFree(self.chunks)

    cdef int read_head(self) except -1:
        cdef FileHeader* h = &self.head
        if self.size < 4096 or not st_read_at(self.descriptor, h, sizeof(FileHeader), 0):
            raise ValueError("it is too short for a store's file")
        if memcmp(h.magic, MAGIC, 8) != 0:
            raise ValueError("it is no store's file: it does not begin as one")
        if h.version != FILE_VERSION or h.layout != LAYOUT or h.node_bytes != sizeof(Node) or (
                h.activation_bytes != sizeof(Activation)):
            raise ValueError(f"it is a store's file of version {h.version}, layout {h.layout}; "
                             f"this stichotrope reads version {FILE_VERSION}, layout {LAYOUT}")
        if h.page < 4096 or h.page > self.size or h.chunks * sizeof(Chunk) > self.size or h.clock > 2:
            raise ValueError("it is a store's file that is damaged: its header speaks of more than there is")
        return 0

    cdef int read_index(self) except -1:
        """Reads what chunks there are, as far as the index can be followed."""
        cdef size_t wanted = (self.head.page - HEADER_BYTES) // sizeof(Chunk), i = 0
        cdef uint64_t at = HEADER_BYTES, logical = self.head.page
        while self.chunk_count < self.head.chunks:
            wanted = min(wanted, self.head.chunks - self.chunk_count)
            if not st_read_at(self.descriptor, &self.chunks[self.chunk_count], wanted * sizeof(Chunk), at):
                break
            self.chunk_count += wanted
            while i < self.chunk_count and not (
                    self.chunks[i].kind == OF_INDEX and self.chunks[i].logical == logical):
                i += 1
            if i == self.chunk_count:
                break
            at = self.chunks[i].at
            wanted = self.chunks[i].size // sizeof(Chunk)
            logical += self.chunks[i].size
            if wanted == 0:
                break
        self.check_chunks()
        return 0

    cdef void check_chunks(self) noexcept nogil:
        """Takes what cannot be for nothing. All chunks together are no more than the file."""
        cdef uint64_t total = 0
        cdef size_t i
        cdef Chunk* c
        for i in range(self.chunk_count):
            c = &self.chunks[i]
            total += c.size
            if c.at > self.size or c.size > self.size - c.at or total > self.size or c.at % 4096 or c.size % 4096 or c.size == 0:
                self.damaged += c.kind != OF_NOTHING
                c.kind = OF_NOTHING

    cdef int read_buffers(self) except -1:
        cdef Map sizes
        cdef size_t i
        cdef uint64_t* slot
        cdef Chunk* c
        cdef bint ok = True
        memset(&sizes, 0, sizeof(Map))
        for i in range(self.chunk_count):
            c = &self.chunks[i]
            if c.kind != OF_BUFFER or not ok:
                continue
            if c.logical < OWN or c.logical % 4096 or c.logical > MOST_BUFFER or c.owner >> 32 or (
                    c.logical + c.size > MOST_BUFFER):
                self.damaged += 1
                c.kind = OF_NOTHING
                continue
            slot = map_find(&sizes, c.owner + 1)
            if slot == NULL:
                ok = map_put(&sizes, c.owner + 1, c.logical + c.size)
            else:
                slot[1] = max(slot[1], c.logical + c.size)
        if ok and sizes.slots != NULL:
            for i in range(sizes.mask + 1):
                if sizes.slots[2 * i] and ok:
                    ok = self.add_buffer(<uint32_t>(sizes.slots[2 * i] - 1), sizes.slots[2 * i + 1])
                    sizes.slots[2 * i + 1] = self.count - 1
        if ok:
            self.read_pieces(&sizes)
        map_free(&sizes)
        if not ok:
            raise MemoryError("no memory to read a store's file")
        return 0

    cdef bint add_buffer(self, uint32_t number, uint64_t size) noexcept nogil:
        cdef Buffer* b = <Buffer*>st_reserve(size)
        if b == NULL:
            return False
        b.size = <uint32_t>size
        b.number = number
        b.foreign = self.head.clock + 1
        b.over_at = NOT_YET
        self.buffers[self.count] = b
        self.count += 1
        return True

    cdef void read_pieces(self, Map* places) noexcept nogil:
        """Reads or maps what buffers are made of; places: a buffer's number + 1 → its place among them."""
        cdef size_t i
        cdef Chunk* c
        cdef Buffer* b
        cdef bint ok
        for i in range(self.chunk_count):
            c = &self.chunks[i]
            if c.kind == OF_BUFFER:
                b = self.buffers[map_find(places, c.owner + 1)[1]]
                if self.lives:
                    ok = st_map_piece(<char*>b + c.logical, self.descriptor, c.at, c.size, ST_MAP_TO_READ) == 0
                else:
                    ok = st_read_at(self.descriptor, <char*>b + c.logical, c.size, c.at)
                self.damaged += not ok
        self.settle_buffers()

    cdef void settle_buffers(self) noexcept nogil:
        """Says until when each buffer's time goes; drops those that are none."""
        cdef uint64_t over_at = self.head.beat_ticks
        cdef size_t i, kept = 0
        cdef Buffer* b
        for i in range(self.count):
            b = self.buffers[i]
            if b.size < OWN + 4096 or b.layout != LAYOUT or b.data_start <= OWN or b.data_start >= b.size or (
                    b.data_start % 4096):
                self.damaged += not is_unfinished(b)
                st_release(b, b.size)
                continue
            b.committed_stack = b.data_start
            b.committed_data = b.size
            self.buffers[kept] = b
            kept += 1
            over_at = max(over_at, latest_start(b))
        self.count = kept
        self.over_at = over_at
        for i in range(kept):
            b = self.buffers[i]
            b.thread = foreign_thread(b.thread_key, b.os_id, b.ended_at, b.name)
            if not self.lives or self.head.clock == ST_CLOCK_MANUAL:
                b.over_at = over_at

    def has_timeline(self):
        """Whether it holds passes one by one."""
        cdef size_t i
        for i in range(self.chunk_count):
            if self.chunks[i].kind == OF_RING or self.chunks[i].kind == OF_PASSED:
                return True
        return False

    @property
    def clock(self):
        """Which clock its ticks are of."""
        return ("counter", "monotonic", "manual")[self.head.clock]

    def is_current(self):
        """Whether the file is made of the same chunks still: if not, it is to be read anew."""
        cdef FileHeader now
        cdef Chunk* chunks
        if not self.lives:
            return True
        if not st_read_at(self.descriptor, &now, sizeof(FileHeader), 0):
            return False
        if now.chunks != self.head.chunks or now.session != self.head.session:
            return False
        chunks = <Chunk*>PyMem_RawCalloc(self.chunk_count + 1, sizeof(Chunk))
        if chunks == NULL:
            return False
        try:
            return bool(self.same_index(chunks))
        finally:
            PyMem_RawFree(chunks)

    cdef bint same_index(self, Chunk* chunks) noexcept nogil:
        cdef size_t done = 0, wanted = (self.head.page - HEADER_BYTES) // sizeof(Chunk), i = 0
        cdef uint64_t at = HEADER_BYTES, logical = self.head.page
        while done < self.chunk_count:
            wanted = min(wanted, self.chunk_count - done)
            if not st_read_at(self.descriptor, &chunks[done], wanted * sizeof(Chunk), at):
                return False
            if memcmp(&chunks[done], &self.chunks[done], wanted * sizeof(Chunk)) != 0:
                return False
            done += wanted
            while i < done and not (self.chunks[i].kind == OF_INDEX and self.chunks[i].logical == logical):
                i += 1
            if i == done:
                break
            at = self.chunks[i].at
            wanted = self.chunks[i].size // sizeof(Chunk)
            logical += self.chunks[i].size
        return True

    def head_facts(self):
        """What the header says: {"process", "clock", "began_ns", "began_ticks", "origin_ticks", "origin_ns", "beat_ticks",
        "beat_ns", "beat_real_ns", "has_ended", "error"}."""
        cdef FileHeader now
        cdef int attempt
        if self.lives:
            for attempt in range(1000):
                if st_read_at(self.descriptor, &now, sizeof(FileHeader), 0) and now.beats % 2 == 0:
                    self.head.beat_ns = now.beat_ns
                    self.head.beat_real_ns = now.beat_real_ns
                    self.head.beat_ticks = now.beat_ticks
                    self.head.untimed = now.untimed
                    self.head.error = now.error
                    break
        h = self.head
        return {
            "process": h.process, "clock": self.clock, "began_ns": h.began_ns,
            "began_ticks": h.began_ticks, "origin_ticks": h.origin_ticks, "origin_ns": h.origin_ns,
            "over_ticks": max(self.over_at, h.beat_ticks), "beat_ticks": h.beat_ticks, "beat_ns": h.beat_ns, "beat_real_ns": h.beat_real_ns,
            "has_ended": bool(h.has_ended), "error": h.error,
        }

    def log(self):
        """What was said once, as it stands in the file: 4 bytes for the kind of what follows, 4 for its length, and so many
        bytes, up to a multiple of 8."""
        cdef size_t i
        cdef bytes text
        cdef uint64_t used = self.log_used(), place = 0
        pieces = []
        for i in range(self.chunk_count):
            if self.chunks[i].kind == OF_LOG:
                pieces.append((self.chunks[i].logical, self.chunks[i].at, self.chunks[i].size))
        whole = []
        for logical, at, size in sorted(pieces):
            if logical != place or place >= used:
                break
            text = bytes(size)
            if not st_read_at(self.descriptor, <char*>text, size, at):
                break
            whole.append(text)
            place += size
        return b"".join(whole)[:used]

    cdef uint64_t log_used(self) noexcept nogil:
        cdef FileHeader now
        if self.lives and st_read_at(self.descriptor, &now, sizeof(FileHeader), 0):
            return now.log_used
        return self.head.log_used

    cdef bint is_replaced(self, Buffer* b) noexcept nogil:
        cdef size_t i
        for i in range(self.chunk_count):
            if self.chunks[i].kind == OF_ENDED and self.chunks[i].logical == b.number:
                return True
        return False

    cdef bint add_kept(self, Chunk* c, Snapshot snapshot) noexcept nogil:
        """Adds what is kept of ended threads; False when there is no memory."""
        cdef Kept about
        cdef Packed packed
        cdef Thread* thread = NULL
        cdef bint ok
        memset(&packed, 0, sizeof(Packed))
        if c.size < sizeof(Kept) or not st_read_at(self.descriptor, &about, sizeof(Kept), c.at):
            self.damaged += 1
            return True
        if about.session != self.head.session:
            return True
        if about.words > (c.size - sizeof(Kept)) // 8:
            self.damaged += 1
            return True
        packed.words = <uint64_t*>PyMem_RawMalloc(8 * about.words + 8)
        if packed.words == NULL:
            return False
        packed.used = packed.capacity = about.words
        packed.nodes = about.nodes
        packed.scopes = about.scopes
        packed.clamped = about.clamped
        packed.untimed = about.untimed
        packed.unbinned = about.unbinned
        if not st_read_at(self.descriptor, packed.words, 8 * about.words, c.at + sizeof(Kept)) or not is_packed(&packed):
            self.damaged += 1
            PyMem_RawFree(packed.words)
            return True
        if c.kind == OF_ENDED:
            thread = foreign_thread(about.thread_key, about.os_id, 1, about.name)
        else:
            snapshot.folded_threads = <int>min(about.threads, <uint64_t>(1 << 30))
        ok = (thread != NULL or c.kind == OF_FOLDED) and add_share(
            &snapshot.shares, &snapshot.count, &snapshot.capacity, thread, True, &packed)
        if thread != NULL:
            drop_thread(thread)
        if not ok:
            PyMem_RawFree(packed.words)
        return ok

    cdef bint take_into(self, Snapshot snapshot) noexcept nogil:
        cdef Packed packed
        cdef Buffer* b
        cdef size_t i
        for i in range(self.count):
            b = self.buffers[i]
            if b.thread == NULL:
                return False
            if st_load64_acquire(&b.session) != self.head.session or self.is_replaced(b):
                continue
            memset(&packed, 0, sizeof(Packed))
            if not pack_buffer(b, self.head.session, &packed):
                PyMem_RawFree(packed.words)
                return False
            if packed.nodes == 0 and packed.untimed == 0:
                PyMem_RawFree(packed.words)
            elif not add_share(&snapshot.shares, &snapshot.count, &snapshot.capacity, b.thread, b.thread.ended != 0, &packed):
                PyMem_RawFree(packed.words)
                return False
        return self.take_ended_into(snapshot)

    cdef bint take_ended_into(self, Snapshot snapshot) noexcept nogil:
        """Adds what is kept of all ended threads; False when there is no memory."""
        cdef Chunk* folded = NULL
        cdef size_t i
        for i in range(self.chunk_count):
            if self.chunks[i].kind == OF_FOLDED and (folded == NULL or folded.owner < self.chunks[i].owner):
                folded = &self.chunks[i]
        for i in range(self.chunk_count):
            if self.chunks[i].kind == OF_ENDED and (folded == NULL or folded.owner < self.chunks[i].owner):
                if not self.add_kept(&self.chunks[i], snapshot):
                    return False
        return folded == NULL or self.add_kept(folded, snapshot)

    cdef bint add_up(self, uint32_t sites, Buffer* whole, Packed* part, Snapshot ended, Packed* sums,
                     uint64_t* threads) noexcept nogil:
        """Adds what each thread has recorded to one buffer, and what could not be to sums; False: no memory."""
        cdef Buffer* b
        cdef size_t i
        for i in range(self.count):
            b = self.buffers[i]
            if b.thread == NULL:
                return False
            if st_load64_acquire(&b.session) != self.head.session or self.is_replaced(b):
                continue
            part.used = 0  # the next one is written over it: it stays near
            if not pack_buffer(b, self.head.session, part):
                return False
            if (part.nodes or part.untimed) and not add_part(sites, whole, part, sums, threads):
                return False
        if not self.take_ended_into(ended):
            return False
        for i in range(ended.count):
            if not add_part(sites, whole, &ended.shares[i].packed, sums, threads):
                return False
        return True

    def summed(self, uint32_t sites):
        """(what all threads had recorded, as if one thread had; how many threads there are). What is of sites beyond so
        many is of the one that comes next."""
        cdef Snapshot found = Snapshot.__new__(Snapshot)
        cdef Snapshot ended = Snapshot.__new__(Snapshot)
        cdef Buffer* whole = new_buffer(MERGE_RESERVE, NO_LIMIT, NULL)
        cdef Packed part, sums, total
        cdef uint64_t threads = 0
        cdef bint ok = whole != NULL
        memset(&part, 0, sizeof(Packed))
        memset(&sums, 0, sizeof(Packed))
        memset(&total, 0, sizeof(Packed))
        with nogil:
            ok = ok and self.add_up(sites, whole, &part, ended, &sums, &threads) and pack_buffer(whole, 0, &total)
            if whole != NULL:
                free_buffer(whole)
            PyMem_RawFree(part.words)
            total.clamped = sums.clamped
            total.untimed = sums.untimed
            total.unbinned = sums.unbinned
            ok = ok and add_share(&found.shares, &found.count, &found.capacity, NULL, True, &total)
        if not ok:
            PyMem_RawFree(total.words)
            raise MemoryError("no memory for a snapshot")
        found.untimed = self.head.untimed
        found.folded_threads = ended.folded_threads
        return found, threads

    def snapshot(self):
        """What all threads had recorded until now, or until their process ended."""
        cdef Snapshot snapshot = Snapshot.__new__(Snapshot)
        cdef bint ok
        with nogil:
            ok = self.take_into(snapshot)
        if not ok:
            raise MemoryError("no memory for a snapshot")
        snapshot.untimed = self.head.untimed
        return snapshot

    cdef bint read_ring(self, Buffer* b, Passes* found) noexcept nogil:
        """Reads what a thread's ring holds, but for what is overwritten meanwhile; False when there is no memory."""
        cdef uint64_t total = 0, rung, room, first, before = st_load64(&b.rung_before), i
        cdef size_t n
        cdef Chunk* c
        cdef Passed* whole
        found.items = NULL
        found.count = found.lost = 0
        for n in range(self.chunk_count):
            if self.chunks[n].kind == OF_RING and self.chunks[n].owner == b.number:
                total += self.chunks[n].size
        room = total // sizeof(Passed)
        rung = st_load64_acquire(&b.rung)
        if room == 0 or before >= rung:
            return True
        if room & (room - 1):
            self.damaged += 1
            return True
        whole = <Passed*>PyMem_RawCalloc(1, total)
        if whole == NULL:
            return False
        for n in range(self.chunk_count):
            c = &self.chunks[n]
            if c.kind == OF_RING and c.owner == b.number:
                if c.logical > total or c.size > total - c.logical or not st_read_at(
                        self.descriptor, <char*>whole + c.logical, c.size, c.at):
                    self.damaged += 1
        first = max(before, rung - room if rung > room else 0)
        found.items = <Passed*>PyMem_RawMalloc((rung - first) * sizeof(Passed))
        if found.items != NULL:
            for i in range(first, rung):
                found.items[i - first] = whole[i & (room - 1)]
            found.lost = before
            st_fence_acquire()
            keep_whole(b, found, first, rung, room)
        PyMem_RawFree(whole)
        return found.items != NULL

    cdef bint read_passed(self, Chunk* c, RawTimeline timeline) noexcept nogil:
        """Adds what is kept of the ring of a thread that ended; False when there is no memory."""
        cdef Kept about
        cdef Passes found
        cdef Thread* thread
        cdef bint ok
        if c.size < sizeof(Kept) or not st_read_at(self.descriptor, &about, sizeof(Kept), c.at):
            self.damaged += 1
            return True
        if about.session != self.head.session:
            return True
        if about.words > (c.size - sizeof(Kept)) // 8:
            self.damaged += 1
            return True
        found.count = about.words // (sizeof(Passed) // 8)
        found.lost = about.nodes
        found.items = <Passed*>PyMem_RawMalloc(found.count * sizeof(Passed) + 1)
        thread = foreign_thread(about.thread_key, about.os_id, 1, about.name)
        if found.items == NULL or thread == NULL:
            PyMem_RawFree(found.items)
            if thread != NULL:
                drop_thread(thread)
            return False
        if not st_read_at(self.descriptor, found.items, found.count * sizeof(Passed), c.at + sizeof(Kept)):
            self.damaged += 1
            found.count = 0
        ok = timeline.add(thread, True, &found)
        drop_thread(thread)
        return ok

    cdef bint has_passed(self, Buffer* b) noexcept nogil:
        cdef size_t i
        for i in range(self.chunk_count):
            if self.chunks[i].kind == OF_PASSED and self.chunks[i].owner == <uint64_t>b.number + 1:
                return True
        return False

    cdef bint take_passed(self, RawTimeline timeline) noexcept nogil:
        cdef Passes found
        cdef Buffer* b
        cdef size_t i
        for i in range(self.chunk_count):
            if self.chunks[i].kind == OF_PASSED and not self.read_passed(&self.chunks[i], timeline):
                return False
        for i in range(self.count):
            b = self.buffers[i]
            if b.thread == NULL:
                return False
            if st_load64_acquire(&b.session) != self.head.session or self.has_passed(b):
                continue
            if not self.read_ring(b, &found) or not timeline.add(b.thread, b.thread.ended != 0, &found):
                return False
        return True

    def passed(self):
        """What the rings of all threads hold, or did when the process ended."""
        cdef RawTimeline found = RawTimeline.__new__(RawTimeline)
        cdef bint ok
        with nogil:
            ok = self.take_passed(found)
        if not ok:
            raise MemoryError("no memory for a timeline")
        return found

    def texts(self):
        """{tag: text} of the texts that are tags."""
        cdef size_t i, j
        cdef Chunk* c
        cdef Text t
        found = {}
        for i in range(self.chunk_count):
            c = &self.chunks[i]
            for j in range(c.size // sizeof(Text) if c.kind == OF_TEXTS else 0):
                if not st_read_at(self.descriptor, &t, sizeof(Text), c.at + j * sizeof(Text)):
                    break
                if t.number and t.number < <uint64_t>1 << 62 and t.length <= TEXT_BYTES:
                    found[t.number << 1] = t.text[:t.length].decode("utf-8", "replace")
        return found

    cdef bint find_open(self, Opens* found) noexcept nogil:
        cdef Buffer* b
        cdef size_t i
        cdef uint64_t now
        cdef char* running
        cdef bint ok
        for i in range(self.count):
            b = self.buffers[i]
            if st_load64_acquire(&b.session) != self.head.session or b.thread == NULL or b.thread.ended:
                continue
            if self.is_replaced(b):
                continue
            now = ticks_for(b) if b.over_at == NOT_YET else b.over_at
            running = <char*>PyMem_RawCalloc(b.data_start // sizeof(Activation) + 1, 1)
            if running == NULL:
                return False
            mark_running(b, running)
            ok = add_chain(b, st_load32_acquire(&b.top), False, now, found) and add_waiting(b, now, running, found)
            PyMem_RawFree(running)
            if not ok:
                return False
        return True

    def open_passes(self):
        """What is open, or was when the process ended, in the shape of `Recorder._open_passes()`."""
        cdef Opens found
        cdef size_t i
        cdef bint ok
        memset(&found, 0, sizeof(Opens))
        with nogil:
            ok = self.find_open(&found)
        try:
            if not ok:
                raise MemoryError("no memory to say what is open")
            return [shown_open(&found.items[i]) for i in reversed(range(found.used))]
        finally:
            PyMem_RawFree(found.items)
