# Passes as two packets each, of a trace that is a protobuf: at its begin and at its end, a delta of time and a body that is
# given. What the bodies say is not known here.

cdef struct Packets:
    unsigned char* data
    size_t used
    size_t room

cdef enum:  # fields, with their wire types
    PACKET = 0x0A              # Trace.packet
    TIMESTAMP = 0x40           # TracePacket.timestamp

cdef size_t varint_bytes(uint64_t value) noexcept nogil:
    return (st_top_bit(value | 1) + 7) // 7

cdef unsigned char* put_varint(unsigned char* to, uint64_t value) noexcept nogil:
    while value > 0x7F:
        to[0] = <unsigned char>(value & 0x7F | 0x80)
        value >>= 7
        to += 1
    to[0] = <unsigned char>value
    return to + 1

cdef struct Bodies:            # one after the other
    const unsigned char* data
    const uint64_t* ends       # where each one ends

cdef inline const unsigned char* body_at(Bodies* b, uint32_t which) noexcept nogil:
    return b.data + (b.ends[which - 1] if which else 0)

cdef inline size_t body_bytes(Bodies* b, uint32_t which) noexcept nogil:
    return b.ends[which] - (b.ends[which - 1] if which else 0)

cdef bint put_packet(Packets* p, uint64_t delta, Bodies* prefixes, uint32_t lane, Bodies* bodies, uint32_t which) noexcept nogil:
    """Appends a packet; False when there is no memory."""
    cdef size_t prefix = body_bytes(prefixes, lane), length = body_bytes(bodies, which)
    cdef size_t size = 1 + varint_bytes(delta) + prefix + length, wanted = size + 11
    cdef unsigned char* bigger
    cdef unsigned char* to
    if p.room - p.used < wanted:
        bigger = <unsigned char*>PyMem_RawRealloc(p.data, 2 * p.room + wanted)
        if bigger == NULL:
            return False
        p.data = bigger
        p.room = 2 * p.room + wanted
    to = p.data + p.used
    to[0] = PACKET
    to = put_varint(to + 1, size)
    to[0] = TIMESTAMP
    to = put_varint(to + 1, delta)
    memcpy(to, body_at(prefixes, lane), prefix)
    memcpy(to + prefix, body_at(bodies, which), length)
    p.used = <size_t>(to + prefix + length - p.data)
    return True

cdef struct Slices:            # what is written, and what is open meanwhile
    size_t count
    const int64_t* starts
    const int64_t* durations
    const uint32_t* lanes
    const uint32_t* which
    uint32_t lane_count
    uint32_t* tops             # of each lane: what is open there innermost, or NOWHERE
    uint32_t* below            # of each pass: what it lies in, or NOWHERE
    int64_t* last              # of each lane: when its newest packet was
    Bodies prefixes            # of lanes
    Bodies begins
    Bodies end

cdef bint put_slice(Slices* s, Packets* p, int64_t at, uint32_t lane, Bodies* bodies, uint32_t which) noexcept nogil:
    cdef uint64_t delta = <uint64_t>(at - s.last[lane]) if at > s.last[lane] else 0
    s.last[lane] += delta
    return put_packet(p, delta, &s.prefixes, lane, bodies, which)

cdef bint end_slices(Slices* s, Packets* p, int64_t until, uint32_t lane) noexcept nogil:
    """Ends what is open in a lane and over at a moment; False when there is no memory."""
    cdef uint32_t top = s.tops[lane]
    while top != NOWHERE and s.starts[top] + s.durations[top] <= until:
        if not put_slice(s, p, s.starts[top] + s.durations[top], lane, &s.end, 0):
            return False
        top = s.below[top]
    s.tops[lane] = top
    return True

cdef bint write_slices(Slices* s, Packets* p) noexcept nogil:
    cdef size_t i
    cdef uint32_t lane
    for i in range(s.count):
        lane = s.lanes[i]
        if not end_slices(s, p, s.starts[i], lane) or not put_slice(s, p, s.starts[i], lane, &s.begins, s.which[i]):
            return False
        s.below[i] = s.tops[lane]
        s.tops[lane] = <uint32_t>i
    for lane in range(s.lane_count):
        if not end_slices(s, p, <int64_t>(<uint64_t>-1 >> 1), lane):
            return False
    return True

def slices(bytes starts not None, bytes durations not None, bytes lanes not None, bytes which not None,
           bytes origins not None, list prefixes not None, list begins not None, bytes end not None):
    """Passes as packets of a trace, at their begins and ends.

    starts, durations: int64, in ns, in the order of `Timeline`. lanes, which: uint32, of each pass its lane and the one of
    `begins` that it begins with. origins: int64, of each lane the moment from which its first packet counts. prefixes: of
    each lane, what its packets have before their bodies. end: the body of ends. Each packet has its time as the ns since
    the one before it in its lane.
    """
    cdef Slices s
    cdef Packets p
    cdef size_t i
    cdef bint ok = False
    cdef bytes prefix_data = b"".join(prefixes), prefix_ends = ends_of(prefixes)
    cdef bytes begin_data = b"".join(begins), begin_ends = ends_of(begins), end_ends = ends_of([end])
    if not (len(durations) == len(starts) == 2 * len(lanes) == 2 * len(which)) or len(origins) != 8 * len(prefixes):
        raise ValueError("columns differ in length")
    s.count = len(starts) // 8
    s.lane_count = <uint32_t>len(prefixes)
    s.starts = <const int64_t*><const char*>starts
    s.durations = <const int64_t*><const char*>durations
    s.lanes = <const uint32_t*><const char*>lanes
    s.which = <const uint32_t*><const char*>which
    for i in range(s.count):
        if s.lanes[i] >= s.lane_count or s.which[i] >= <size_t>len(begins):
            raise ValueError("a pass without a lane or a body")
    set_bodies(&s.prefixes, prefix_data, prefix_ends)
    set_bodies(&s.begins, begin_data, begin_ends)
    set_bodies(&s.end, end, end_ends)
    memset(&p, 0, sizeof(Packets))
    s.below = <uint32_t*>PyMem_RawMalloc(s.count * sizeof(uint32_t) + 1)
    s.tops = <uint32_t*>PyMem_RawMalloc(s.lane_count * sizeof(uint32_t) + 1)
    s.last = <int64_t*>PyMem_RawMalloc(s.lane_count * sizeof(int64_t) + 1)
    try:
        if s.below != NULL and s.tops != NULL and s.last != NULL:
            memset(s.tops, 0xFF, s.lane_count * sizeof(uint32_t))
            memcpy(s.last, <const char*>origins, s.lane_count * sizeof(int64_t))
            with nogil:
                ok = write_slices(&s, &p)
        if not ok:
            raise MemoryError("no memory for a trace")
        return (<char*>p.data)[:p.used] if p.used else b""
    finally:
        PyMem_RawFree(s.below)
        PyMem_RawFree(s.tops)
        PyMem_RawFree(s.last)
        PyMem_RawFree(p.data)

cdef void set_bodies(Bodies* bodies, const char* data, const char* ends) noexcept:
    bodies.data = <const unsigned char*>data
    bodies.ends = <const uint64_t*>ends

cdef bytes ends_of(list bodies):
    """Where each body ends, when they stand one after the other."""
    from array import array
    found, end = array("Q"), 0
    for body in bodies:
        end += len(body)
        found.append(end)
    return found.tobytes()
