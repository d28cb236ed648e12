# A hash map from 64-bit keys to 64-bit values, with one owner.

cdef inline uint64_t scatter(uint64_t key) noexcept nogil:
    # Fibonacci hashing (Knuth, TAOCP 3, 6.4): the high bits of the product are well mixed.
    return (key * <uint64_t>0x9E3779B97F4A7C15) >> 32

cdef uint64_t* map_find(Map* self, uint64_t key) noexcept nogil:
    """The slot that holds the key, or NULL."""
    if self.slots == NULL:
        return NULL
    cdef uint64_t i = scatter(key) & self.mask
    while self.slots[2 * i]:
        if self.slots[2 * i] == key:
            return &self.slots[2 * i]
        i = (i + 1) & self.mask
    return NULL

cdef void map_insert(Map* self, uint64_t key, uint64_t value) noexcept nogil:
    cdef uint64_t i = scatter(key) & self.mask
    while self.slots[2 * i]:
        i = (i + 1) & self.mask
    self.slots[2 * i] = key
    self.slots[2 * i + 1] = value
    self.used += 1

cdef inline bint map_is_full(Map* self) noexcept nogil:
    return self.slots == NULL or 4 * self.used >= 3 * (self.mask + 1)

cdef bint map_double(Map* self, Map* bigger) noexcept nogil:
    """Makes a copy with twice the room; False when there is no memory."""
    cdef uint64_t i
    cdef uint64_t capacity = 16 if self.slots == NULL else 2 * (self.mask + 1)
    bigger.slots = <uint64_t*>PyMem_RawCalloc(2 * capacity, sizeof(uint64_t))
    if bigger.slots == NULL:
        return False
    bigger.mask = capacity - 1
    bigger.used = 0
    if self.slots != NULL:
        for i in range(self.mask + 1):
            if self.slots[2 * i]:
                map_insert(bigger, self.slots[2 * i], self.slots[2 * i + 1])
    return True

cdef bint map_put(Map* self, uint64_t key, uint64_t value) noexcept nogil:
    """Adds a key that is not there yet; False when there is no memory."""
    cdef Map bigger
    if map_is_full(self):
        if not map_double(self, &bigger):
            return False
        PyMem_RawFree(self.slots)
        self[0] = bigger
    map_insert(self, key, value)
    return True

cdef void map_remove(Map* self, uint64_t* slot) noexcept nogil:
    # Later entries of the run move up, so that no search is cut short by the gap (Knuth, 6.4, algorithm R).
    cdef uint64_t hole = <uint64_t>(slot - self.slots) // 2
    cdef uint64_t i = hole, home
    self.used -= 1
    while True:
        self.slots[2 * hole] = 0
        while True:
            i = (i + 1) & self.mask
            if self.slots[2 * i] == 0:
                return
            home = scatter(self.slots[2 * i]) & self.mask
            if ((i - home) & self.mask) >= ((i - hole) & self.mask):
                break
        self.slots[2 * hole] = self.slots[2 * i]
        self.slots[2 * hole + 1] = self.slots[2 * i + 1]
        hole = i

cdef void map_clear(Map* self) noexcept nogil:
    if self.slots != NULL:
        memset(self.slots, 0, 2 * (self.mask + 1) * sizeof(uint64_t))
    self.used = 0

cdef void map_free(Map* self) noexcept nogil:
    PyMem_RawFree(self.slots)
    self.slots = NULL
    self.used = 0
