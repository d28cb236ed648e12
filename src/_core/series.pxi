# Series, as a program holds them: counters, gauges, histograms, and what times into one.

from collections.abc import Mapping as _Mapping
from time import time as _now

cdef enum:
    LONGEST_EXEMPLAR = 128     # characters of all names and values, as OpenMetrics limits it

cdef double as_double(value) except? -1.0:
    """A number as a double; what only converts to one when asked by name, such as a text, is none."""
    if PyBool_Check(<PyObject*>value) or not hasattr(value, "__float__") and not PyIndex_Check(<PyObject*>value):
        raise TypeError(f"a value must be a number, not {value!r} of type {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a value must fit into a double, which ends at 1.8e308, and this one of type "
                         f"{type(value).__name__} does not") from None

cdef int add_slowly(Cell* cell, amount) except -1:
    """Adds to a counter what is no small int and no float."""
    cdef double value
    if PyIndex_Check(<PyObject*>amount) and not PyBool_Check(<PyObject*>amount):
        amount = amount.__index__()
        if 0 <= amount < 1 << 64:
            add_whole(cell, amount)
            return 0
    value = as_double(amount)
    if not isfinite(value) or value < 0:
        raise ValueError(f"a counter only goes up: it is increased by a finite amount from 0 on, not by {amount!r}")
    st_store_double(&cell.sum, cell.sum + value)
    return 0

cdef inline int add_amount(Cell* cell, PyObject* amount) except -1:
    """Adds to a counter."""
    cdef int overflow = 0
    cdef long long whole
    cdef double value
    if PyLong_CheckExact(amount):
        whole = PyLong_AsLongLongAndOverflow(amount, &overflow)
        if ST_LIKELY(whole >= 0 and not overflow):
            add_whole(cell, <uint64_t>whole)
            return 0
    elif PyFloat_CheckExact(amount):
        value = PyFloat_AS_DOUBLE(amount)
        if ST_LIKELY(0 <= value < INFINITY):
            st_store_double(&cell.sum, cell.sum + value)
            return 0
    return add_slowly(cell, <object>amount)


cdef dict checked_exemplar(labels):
    """The labels of an exemplar, as OpenMetrics has them: https://prometheus.io/docs/specs/om/open_metrics_spec/."""
    cdef Py_ssize_t length = 0
    cdef dict found
    if not isinstance(labels, _Mapping):
        raise TypeError(f"the labels of an exemplar are a dict of texts, not {labels!r} of type {type(labels).__name__}")
    found = {}
    for name, text in dict(labels).items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"the labels of an exemplar are texts under names, not {name!r}: {text!r}")
        if not name.isascii() or not name.isidentifier():
            raise ValueError(f"a label of an exemplar is named by letters, digits and _, and begins with no digit, not {name!r}")
        length += len(<str>name) + len(<str>text)
        found[str.__str__(name)] = str.__str__(text)  # of an enumeration, the value
    if length > LONGEST_EXEMPLAR:
        raise ValueError(f"names and values of an exemplar's labels have at most {LONGEST_EXEMPLAR} characters in all, "
                         f"and these have {length}")
    return found

cdef bint series_are_kept = False

cdef class Series:
    """A metric, or one of its label sets. A metric that has labels records nothing itself.

    name: of the metric. label_values: {label: value}, in order. label_names: those that are to be chosen by.
    """
    cdef readonly str name
    cdef readonly dict label_values
    cdef readonly tuple label_names
    cdef readonly dict children  # values of the labels -> what records for them
    cdef uint64_t series
    cdef Described* described    # in the file that others read, or NULL
    cdef uint64_t described_forks

    def __init__(self, str name, dict label_values, tuple label_names=()):
        if self.name is not None:
            raise RuntimeError("a series is made once")
        self.name = name
        self.label_values = label_values
        self.label_names = label_names
        if label_names:
            self.children = {}
        else:
            self._restart()

    def labels(self, *values, **named):
        """What records for these labels, made at first sight. It may be kept, which saves looking it up.

        values: of all labels, in order, or by name; what is no text is what str() makes of it.

        Raises ValueError for other labels than the metric has, or when it has none.
        """
        if self.children is not None:
            try:
                if named:
                    known = self.children.get(tuple([named[name] for name in self.label_names]))
                else:
                    known = self.children.get(values)
            except (KeyError, TypeError):
                known = None
            if known is not None and not (named and (values or len(named) != len(self.label_names))):
                return known
        return self._labelled(values, named)

    def _labelled(self, values, named):
        """What records for labels that were not found as they were given; a metric knows."""
        raise ValueError(f"{self.name} has no labels to be chosen, or has its own already")

    def __dealloc__(self):
        if not series_are_kept:
            self.withdraw()
            give_back(self.series)

    cdef void withdraw(self) noexcept:
        if self.described != NULL and self.described_forks == fork_count:
            st_store64_release(&self.described.series, 0)
            give_record_back(self.described)
        self.described = NULL

    def _describe(self, bytes text):
        """Writes what it is into the file that others read, and gives whether there is one, with room."""
        self.withdraw()
        self.described_forks = fork_count
        self.described = <Described*>describe(self.series, text, len(text))
        return self.described != NULL

    def _withdraw(self):
        """Has others not see it any more."""
        self.withdraw()

    def _is_described(self):
        """Whether others can read what it is."""
        return self.described != NULL and self.described_forks == fork_count

    def __repr__(self):
        labels = ", ".join(f"{name}={value!r}" for name, value in (self.label_values or {}).items())
        return f"<{type(self).__name__} {self.name}{'{' + labels + '}' if labels else ''}>"

    def _restart(self):
        """Forgets what was recorded: from now on it is in another place."""
        cdef uint64_t old = self.series, series = take_series()
        if series == 0:
            raise MemoryError(f"no memory for a series of {self.name}")
        st_store64_release(&self.series, series)
        if self.described != NULL and self.described_forks == fork_count:
            st_store64_release(&self.described.series, series)
        give_back(old)

    cdef int refuse(self) except -1:
        raise ValueError(f"{self.name} has labels: values are recorded in what its labels() gives")


cdef class CounterSeries(Series):
    """What only goes up."""

    def inc(self, amount=1):
        """Increases it.

        amount: an int or a float from 0 on. Ints are added exactly, as long as those of a thread come to less than 2**64.

        Raises ValueError for what is below 0, infinite or no number, TypeError for what is of another kind.
        """
        cdef uint64_t series = st_load64_acquire(&self.series)
        cdef Cell* cell
        if ST_UNLIKELY(series == 0):
            self.refuse()
        cell = cell_of(series, OF_COUNTER)
        if ST_LIKELY(cell != NULL):
            add_amount(cell, <PyObject*>amount)

    @property
    def value(self):
        """What it has come to in all threads: an int as long as only ints were added, else a float."""
        cdef Tally tally
        cdef bint ok
        memset(&tally, 0, sizeof(Tally))
        ok = tally_series(&tally, st_load64_acquire(&self.series))
        if not ok:
            raise MemoryError(f"no memory to read {self.name}")
        whole = (<object>tally.whole_high << 64) | tally.whole
        return whole if tally.sum == 0 else whole + (tally.sum + tally.lost)


cdef struct Shown:             # a gauge in the file that others read
    uint64_t series
    uint64_t bits

cdef class GaugeSeries(Series):
    """What goes up and down: one value for the whole process."""
    cdef uint64_t bits         # atomic: a double
    cdef uint64_t forks        # that the process came by before it was set
    cdef Shown* shown          # where others read it, or NULL
    cdef uint64_t shown_forks

    def __dealloc__(self):
        if self.shown != NULL and self.shown_forks == fork_count and not series_are_kept:
            give_record_back(self.shown)

    cdef uint64_t current(self) noexcept:
        return st_load64_acquire(&self.bits) if st_load64_acquire(&self.forks) == fork_count else 0

    cdef void show(self) noexcept:
        """Has others see its value. Two threads that change it at once may come here in the other order, and again."""
        cdef uint64_t bits
        if ST_UNLIKELY(self.shown != NULL and self.shown_forks == fork_count):
            while True:
                bits = st_load64_acquire(&self.bits)
                st_store64_release(&self.shown.bits, bits)
                if st_load64_acquire(&self.bits) == bits:
                    return

    cdef int add(self, double amount) except -1:
        cdef uint64_t bits
        if ST_UNLIKELY(self.series == 0):
            self.refuse()
        if ST_UNLIKELY(st_load64_acquire(&self.forks) != fork_count):
            self.put(0)
        while True:
            bits = st_load64_acquire(&self.bits)
            if st_cas64(&self.bits, bits, st_bits_of(st_of_bits(bits) + amount)):
                break
        self.show()
        return 0

    cdef int put(self, double value) except -1:
        if ST_UNLIKELY(self.series == 0):
            self.refuse()
        st_store64_release(&self.bits, st_bits_of(value))
        st_store64_release(&self.forks, fork_count)
        self.show()
        return 0

    def _describe(self, bytes text):
        if not Series._describe(self, text):
            return False
        if self.shown == NULL or self.shown_forks != fork_count:
            self.shown = <Shown*>take_record(sizeof(Shown), OF_GAUGE)
            if self.shown == NULL:
                return False
            self.shown_forks = fork_count
        st_store64_release(&self.shown.series, self.series)
        st_store64_release(&self.shown.bits, self.current())
        return True

    def set(self, value):
        """Sets it. value: any number.

        Raises TypeError for what is none.
        """
        self.put(PyFloat_AS_DOUBLE(<PyObject*>value) if PyFloat_CheckExact(<PyObject*>value) else as_double(value))

    def inc(self, amount=1):
        """Increases it. amount: any number.

        Raises TypeError for what is none.
        """
        self.add(PyFloat_AS_DOUBLE(<PyObject*>amount) if PyFloat_CheckExact(<PyObject*>amount) else as_double(amount))

    def dec(self, amount=1):
        """Decreases it. amount: any number.

        Raises TypeError for what is none.
        """
        self.add(-(PyFloat_AS_DOUBLE(<PyObject*>amount) if PyFloat_CheckExact(<PyObject*>amount) else as_double(amount)))

    def _restart(self):
        st_store64_release(&self.bits, 0)
        if self.series == 0:
            Series._restart(self)
        self.show()

    def _read(self):
        """Its value, a float."""
        return st_of_bits(self.current())


cdef class HistogramSeries(Series):
    """How many values there were, and of which size.

    bounds: upper bounds of the buckets, rising, each finite; empty for log-linear buckets. exemplars: whether one is
    kept in each bucket. sampler: what gives the labels of one, or None where there is none; or None.
    """
    cdef double* bounds
    cdef uint32_t bound_count
    cdef uint64_t shape
    cdef object sampler
    cdef bint sampler_failed   # that was said
    cdef dict exemplars

    def __init__(self, str name, dict label_values, tuple label_names=(), tuple bounds=(), bint exemplars=False, sampler=None):
        cdef Py_ssize_t i
        Series.__init__(self, name, label_values, label_names)
        self.shape = OF_OCTAVES
        self.sampler = sampler
        self.exemplars = {} if exemplars else None
        if bounds:
            self.bounds = <double*>PyMem_RawMalloc(len(bounds) * sizeof(double))
            if self.bounds == NULL:
                raise MemoryError("no memory for a histogram")
            for i in range(len(bounds)):
                self.bounds[i] = bounds[i]
            self.bound_count = <uint32_t>len(bounds)
            self.shape = (<uint64_t>self.bound_count + 1) << SHAPE_BITS | FIXED

    def __dealloc__(self):
        PyMem_RawFree(self.bounds)

    cdef int record(self, double value, uint64_t ticks, bint is_ticks) except -1:
        cdef uint64_t series = st_load64_acquire(&self.series)
        cdef Cell* cell
        if ST_UNLIKELY(series == 0):
            self.refuse()
        cell = cell_of(series, self.shape)
        if ST_LIKELY(cell != NULL) and not add_value(cell, self.bounds, self.bound_count, value, ticks, is_ticks):
            st_add64(&unrecorded, 1)
        if ST_UNLIKELY(self.sampler is not None):
            self.sample(value)
        return 0

    cdef void sample(self, double value) noexcept:
        """Keeps the value as an exemplar if there are labels for it. What gives them has no error that is the
        program's: it is logged once, and the exemplar left out."""
        try:
            labels = self.sampler()
            if labels is not None:
                self.keep_exemplar(value, checked_exemplar(labels))
        except Exception as error:
            if not self.sampler_failed:
                self.sampler_failed = True
                self.say_failed(error)

    cdef void say_failed(self, error) noexcept:
        import logging
        logging.getLogger("stichotrope").warning(
            "the function that gives %s labels of exemplars failed, as it may again without a word; "
            "the values are recorded", self.name, exc_info=error)

    cdef void keep_exemplar(self, double value, dict labels) noexcept:
        self.exemplars[self.bucket(value)] = (labels, value, _now())

    cdef uint64_t bucket(self, double value) noexcept:
        if self.bounds != NULL:
            return bucket_of(self.bounds, self.bound_count, value)
        return wide_bucket(value)

    def observe(self, value, exemplar=None):
        """Records a value.

        value: a number; neither infinite nor NaN, which would be in every sum from then on. exemplar: labels that say
        more of this one, a dict of texts of at most 128 characters in all, where the histogram keeps exemplars.

        Raises ValueError for those, TypeError for what is no number; both for labels that OpenMetrics does not take.
        Then nothing is recorded.
        """
        cdef double number
        cdef dict labels = None
        if ST_LIKELY(PyFloat_CheckExact(<PyObject*>value)):
            number = PyFloat_AS_DOUBLE(<PyObject*>value)
        else:
            number = as_double(value)
        if ST_UNLIKELY(not isfinite(number)):
            raise ValueError(f"{self.name} takes finite numbers, not {value!r}")
        if ST_UNLIKELY(exemplar is not None):
            labels = self.checked_for(exemplar)
        self.record(number, 0, False)
        if ST_UNLIKELY(labels is not None):
            self.keep_exemplar(number, labels)

    cdef dict checked_for(self, exemplar):
        if self.exemplars is None:
            raise ValueError(f"{self.name} keeps no exemplars: it was made without exemplars=True")
        return checked_exemplar(exemplar)

    def _restart(self):
        Series._restart(self)
        if self.exemplars is not None:
            self.exemplars = {}

    def _exemplars(self):
        """{bucket: (labels, value, seconds since 1970)}: of each, the newest. Buckets are counted from 0, or are those of `_read`."""
        return {} if self.exemplars is None else dict(self.exemplars)

    def _read(self):
        """(values, ticks, sum, least, greatest, counts) of all threads.

        What was timed is in the ticks, what was observed in the sum. Counts are a list, the last for what is beyond
        the greatest bound, or {a log-linear bucket: count}; its number is the upper 16 bits of the double next to each of its values,
        nearer to 0 where they are above it.
        """
        cdef Tally tally
        cdef uint64_t i
        cdef bint ok
        memset(&tally, 0, sizeof(Tally))
        if self.bounds != NULL:
            tally.counts = <uint64_t*>PyMem_RawCalloc(self.bound_count + 1, sizeof(uint64_t))
        try:
            ok = (self.bounds == NULL or tally.counts != NULL)
            ok = ok and tally_series(&tally, st_load64_acquire(&self.series))
            if not ok:
                raise MemoryError(f"no memory to read {self.name}")
            if self.bounds != NULL:
                counts = [tally.counts[i] for i in range(self.bound_count + 1)]
            else:
                counts = {}
                for i in range(tally.buckets.mask + 1 if tally.buckets.slots != NULL else 0):
                    if tally.buckets.slots[2 * i]:
                        counts[tally.buckets.slots[2 * i] - 1] = tally.tallied[tally.buckets.slots[2 * i + 1]]
            ticks = (<object>tally.whole_high << 64) | tally.whole
            return tally.count, ticks, tally.sum + tally.lost, tally.minimum, tally.maximum, counts
        finally:
            PyMem_RawFree(tally.counts)
            PyMem_RawFree(tally.tallied)
            map_free(&tally.buckets)


cdef class Stopwatch:
    """Times what runs between entering and leaving it, in seconds, into a histogram.

    It may be kept, and entered again and again, recursively, by many threads and in many tasks at once.
    """
    cdef HistogramSeries series

    def __init__(self, histogram, labels=None):
        if not isinstance(histogram, HistogramSeries):
            raise TypeError(f"a timer times into a histogram, not {histogram!r} of type {type(histogram).__name__}")
        if labels is not None and not isinstance(labels, dict):
            raise TypeError(f"a timer's labels are a dict of them by name, not {labels!r} of type {type(labels).__name__}")
        self.series = histogram if labels is None else histogram.labels(**labels)
        if self.series.series == 0:
            self.series.refuse()

    def __enter__(self):
        if ST_UNLIKELY(not start_lap(<void*>self)):
            raise MemoryError(f"no memory to time into {self.series.name}")
        return self

    def __exit__(self, kind, error, traceback):
        cdef uint64_t now = st_ticks()
        cdef uint64_t ticks
        cdef Lap lap
        if ST_UNLIKELY(not stop_lap(<void*>self, &lap)):
            raise RuntimeError(f"a timer of {self.series.name} was left where it does not run: "
                               "every __exit__ needs an __enter__ before it")
        if ST_LIKELY(lap.forks == fork_count):
            ticks = stretch(lap.start, now)
            self.series.record(ticks * seconds_of_tick, ticks, True)

def set_tick_length(double seconds):
    """Sets what a tick of the clock is taken for where the bucket of a time is looked for; sums are of ticks."""
    global seconds_of_tick
    seconds_of_tick = seconds

def unrecorded_values():
    """How many values found no memory, in this process."""
    return st_load64(&unrecorded)

def share_metrics(int fd):
    """Has counters, gauges and histograms of this process be in a file from now on, for other processes to read.

    fd: of an empty file, open for reading and writing. Nothing else writes it.

    Raises RuntimeError when there is a file already, OSError when there is no room.
    """
    cdef bint ok
    if share_fd >= 0:
        raise RuntimeError("this process shares its metrics in a file already")
    with nogil:
        ok = share_cells(fd)
    if not ok:
        raise OSError("there is no room for the file of this process's metrics")

def shares_metrics():
    """Whether metrics of this process are in a file that others read."""
    return share_fd >= 0

def unshared_metrics():
    """How much of this process's metrics found no room in the file that others read."""
    return st_load64(&unshared)

def keep_series():
    """Has series stay where others read them though their objects go: the interpreter ends."""
    global series_are_kept
    series_are_kept = True
