/* What C alone can say for the core: memory order, thread-local state, raw clocks, reserved memory, the calling
 * frame. Nothing here knows what a node or a pass is. */
#ifndef STICHOTROPE_PLATFORM_H
#define STICHOTROPE_PLATFORM_H

#include <Python.h>
#include <opcode.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if UINTPTR_MAX < UINT64_MAX
#  error "stichotrope needs a machine with 64-bit addresses: its buffers reserve more than others have"
#endif

#if defined(_WIN32)
#  define WIN32_LEAN_AND_MEAN
#  include <windows.h>
#  include <intrin.h>
#else
#  include <pthread.h>
#  include <sched.h>
#  include <sys/mman.h>
#  include <time.h>
#endif
#if defined(__APPLE__)
#  include <mach/mach_time.h>
#endif
#if defined(__x86_64__) && !defined(_MSC_VER)
#  include <cpuid.h>
#  include <x86intrin.h>
#endif
#if PY_VERSION_HEX < 0x030C0000
/* 3.11 has no accessor for a frame that is not an object; its layout is final. */
#  define Py_BUILD_CORE
#  include <internal/pycore_frame.h>
#  undef Py_BUILD_CORE
#endif

#if defined(_MSC_VER)
#  define ST_LIKELY(x) (x)
#  define ST_UNLIKELY(x) (x)
#  define ST_NOINLINE __declspec(noinline)
#  define ST_APART __declspec(noinline)
#  define ST_HOT __forceinline
#  define ST_THREAD_LOCAL __declspec(thread)
#else
#  define ST_LIKELY(x) __builtin_expect(!!(x), 1)
#  define ST_UNLIKELY(x) __builtin_expect(!!(x), 0)
#  define ST_NOINLINE __attribute__((noinline, cold))
#  define ST_APART __attribute__((noinline))
#  define ST_HOT __attribute__((always_inline))
/* The initial-exec model makes a thread-local one load. musl refuses it in a library that is opened late. */
#  if defined(__GLIBC__)
#    define ST_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#  else
#    define ST_THREAD_LOCAL __thread
#  endif
#endif

#define ST_HOT_VOID ST_HOT void
#define ST_COLD_VOID ST_NOINLINE void
#define ST_APART_VOID ST_APART void

/* ---- memory order: every word that two threads share goes through these ------------------------------------- */

#if defined(_MSC_VER)
static inline uint32_t st_load32(const uint32_t *p) { return *(const volatile uint32_t *)p; }
static inline uint64_t st_load64(const uint64_t *p) { return *(const volatile uint64_t *)p; }
static inline void st_store16(uint16_t *p, uint16_t v) { *(volatile uint16_t *)p = v; }
static inline void st_store32(uint32_t *p, uint32_t v) { *(volatile uint32_t *)p = v; }
static inline void st_store64(uint64_t *p, uint64_t v) { *(volatile uint64_t *)p = v; }
#  if defined(_M_ARM64)
static inline void st_fence(void) { __dmb(_ARM64_BARRIER_ISH); }
#  else
static inline void st_fence(void) { _ReadWriteBarrier(); }
#  endif
static inline void st_fence_full(void) { MemoryBarrier(); }
static inline void st_fence_release(void) { st_fence(); }
static inline void st_fence_acquire(void) { st_fence(); }
static inline void st_store16_release(uint16_t *p, uint16_t v) { st_fence(); st_store16(p, v); }
static inline uint32_t st_load32_acquire(const uint32_t *p) { uint32_t v = st_load32(p); st_fence(); return v; }
static inline uint64_t st_load64_acquire(const uint64_t *p) { uint64_t v = st_load64(p); st_fence(); return v; }
static inline void *st_loadp_acquire(void *const *p) { void *v = *(void *const volatile *)p; st_fence(); return v; }
static inline void st_store32_release(uint32_t *p, uint32_t v) { st_fence(); st_store32(p, v); }
static inline void st_store64_release(uint64_t *p, uint64_t v) { st_fence(); st_store64(p, v); }
static inline void st_storep_release(void **p, void *v) { st_fence(); *(void *volatile *)p = v; }
static inline uint64_t st_add64(uint64_t *p, uint64_t v) {
    return (uint64_t)_InterlockedExchangeAdd64((volatile __int64 *)p, (__int64)v) + v;
}
static inline void st_or64(uint64_t *p, uint64_t v) { _InterlockedOr64((volatile __int64 *)p, (__int64)v); }
static inline int st_casp(void **p, void *expected, void *desired) {
    return _InterlockedCompareExchangePointer((void *volatile *)p, desired, expected) == expected;
}
static inline int st_cas64(uint64_t *p, uint64_t expected, uint64_t desired) {
    return (uint64_t)_InterlockedCompareExchange64((volatile __int64 *)p, (__int64)desired, (__int64)expected) == expected;
}
#else
static inline uint32_t st_load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline uint64_t st_load64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void st_store16(uint16_t *p, uint16_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline void st_store32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline void st_store64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
/* ThreadSanitizer does not model fences; the accesses around them are atomic, so it has nothing to report. */
#  if defined(__SANITIZE_THREAD__)
#    pragma GCC diagnostic ignored "-Wtsan"
#  endif
static inline void st_fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void st_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
static inline void st_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void st_store16_release(uint16_t *p, uint16_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint32_t st_load32_acquire(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t st_load64_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void *st_loadp_acquire(void *const *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void st_store32_release(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void st_store64_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void st_storep_release(void **p, void *v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t st_add64(uint64_t *p, uint64_t v) { return __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL); }
static inline void st_or64(uint64_t *p, uint64_t v) { __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); }
static inline int st_casp(void **p, void *expected, void *desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline int st_cas64(uint64_t *p, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
#endif

static inline void st_pause(void) {
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

#if defined(Py_GIL_DISABLED)
#  define ST_HAS_GIL 0
#else
#  define ST_HAS_GIL 1
#endif

/* ---- bits ---------------------------------------------------------------------------------------------------- */

/* Position of the highest set bit; v is never 0. */
static inline uint32_t st_top_bit(uint64_t v) {
#if defined(_MSC_VER)
    unsigned long index;
    _BitScanReverse64(&index, v);
    return (uint32_t)index;
#else
    return 63u - (uint32_t)__builtin_clzll(v);
#endif
}

/* (high:low) += v * v. 128 bits: the square of three seconds of 3 GHz ticks overflows 64. */
static ST_NOINLINE void st_add_large_square(uint64_t *low, uint64_t *high, uint64_t v) {
#if defined(_MSC_VER)
    uint64_t square_low = v * v;
    uint64_t square_high = __umulh(v, v);
    uint64_t sum = st_load64(low) + square_low;
    st_store64(high, st_load64(high) + square_high + (sum < square_low));
    st_store64(low, sum);
#else
    unsigned __int128 sum = ((unsigned __int128)st_load64(high) << 64) | st_load64(low);
    sum += (unsigned __int128)v * v;
    st_store64(high, (uint64_t)(sum >> 64));
    st_store64(low, (uint64_t)sum);
#endif
}

static inline void st_add_square(uint64_t *low, uint64_t *high, uint64_t v) {
#if !defined(_MSC_VER)
    unsigned long long square, sum;
    if (ST_LIKELY(!__builtin_umulll_overflow(v, v, &square))
        && ST_LIKELY(!__builtin_uaddll_overflow(st_load64(low), square, &sum))) {
        st_store64(low, sum);
        return;
    }
#endif
    st_add_large_square(low, high, v);
}

/* ---- clocks --------------------------------------------------------------------------------------------------- */

enum { ST_CLOCK_COUNTER = 0, ST_CLOCK_MONOTONIC = 1, ST_CLOCK_MANUAL = 2 };

static uint32_t st_clock_kind = ST_CLOCK_MONOTONIC;
static ST_THREAD_LOCAL uint64_t st_manual_ticks = 0;

static inline uint64_t st_monotonic_ns(void) {
#if defined(_WIN32)
    static uint64_t frequency = 0;
    LARGE_INTEGER value;
    if (frequency == 0) { QueryPerformanceFrequency(&value); frequency = (uint64_t)value.QuadPart; }
    QueryPerformanceCounter(&value);
    uint64_t ticks = (uint64_t)value.QuadPart;
    return ticks / frequency * 1000000000u + ticks % frequency * 1000000000u / frequency;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

/* The processor's counter, unordered: the few instructions it may drift by are below its resolution. */
static inline uint64_t st_counter(void) {
#if defined(_WIN32)
    LARGE_INTEGER value;
    QueryPerformanceCounter(&value);
    return (uint64_t)value.QuadPart;
#elif defined(__x86_64__) && !defined(__APPLE__)
    return __rdtsc();
#elif defined(__APPLE__)
    return mach_absolute_time();
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return st_monotonic_ns();
#endif
}

static const char *st_counter_name(void) {
#if defined(_WIN32)
    return "qpc";
#elif defined(__x86_64__) && !defined(__APPLE__)
    return "tsc";
#elif defined(__APPLE__)
    return "mach_absolute_time";
#elif defined(__aarch64__)
    return "cntvct";
#else
    return "";
#endif
}

/* Whether the processor promises a counter of one constant rate in all its power states (CPUID 80000007h, EDX bit
 * 8; Intel SDM vol. 3 "Invariant TSC"). The other counters named above are constant by definition. */
static int st_counter_is_invariant(void) {
#if defined(__x86_64__) && !defined(__APPLE__) && !defined(_WIN32)
    unsigned int eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
#else
    return st_counter_name()[0] != '\0';
#endif
}

static ST_NOINLINE uint64_t st_ticks_other(void) {
    return st_load32(&st_clock_kind) == ST_CLOCK_MANUAL ? st_manual_ticks : st_monotonic_ns();
}

/* What a clock shows, whichever is in use. */
static inline uint64_t st_ticks_of(uint32_t kind) {
    return kind == ST_CLOCK_COUNTER ? st_counter() : kind == ST_CLOCK_MONOTONIC ? st_monotonic_ns() : st_manual_ticks;
}

static inline uint64_t st_ticks(void) {
    if (ST_LIKELY(st_load32(&st_clock_kind) == ST_CLOCK_COUNTER)) return st_counter();
    return st_ticks_other();
}

/* How long the calling thread has been running on a processor, in ns; 0 where the system does not say. A call into the
 * system everywhere: some hundreds of ns. */
static ST_THREAD_LOCAL uint64_t st_manual_processor_ns = 0;

static ST_NOINLINE uint64_t st_processor_ns(void) {
    if (st_load32(&st_clock_kind) == ST_CLOCK_MANUAL) return st_manual_processor_ns;
#if defined(_WIN32)
    FILETIME made, ended, kernel, user;
    if (!GetThreadTimes(GetCurrentThread(), &made, &ended, &kernel, &user)) return 0;
    return 100 * ((((uint64_t)kernel.dwHighDateTime << 32) | kernel.dwLowDateTime)
                  + (((uint64_t)user.dwHighDateTime << 32) | user.dwLowDateTime));
#elif defined(__APPLE__)
    return clock_gettime_nsec_np(CLOCK_THREAD_CPUTIME_ID);  /* as clock_gettime, which rounds to microseconds */
#elif defined(CLOCK_THREAD_CPUTIME_ID)
    struct timespec ran;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran)) return 0;
    return (uint64_t)ran.tv_sec * 1000000000u + (uint64_t)ran.tv_nsec;
#else
    return 0;
#endif
}

/* What it is called where it is read; "" where there is none. */
static const char *st_processor_clock(void) {
#if defined(_WIN32)
    return "GetThreadTimes";
#elif defined(__APPLE__) || defined(CLOCK_THREAD_CPUTIME_ID)
    return "CLOCK_THREAD_CPUTIME_ID";
#else
    return "";
#endif
}

/* ---- reserved memory: address space now, pages when touched; what is in it never moves ------------------------- */

static void *st_reserve(size_t size) {
#if defined(_WIN32)
    return VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
#else
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#  if defined(MAP_NORESERVE)
    flags |= MAP_NORESERVE;
#  endif
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#  if defined(MADV_NOHUGEPAGE)
    /* One huge page a thread would be 2 MB for a few nodes. */
    madvise(memory, size, MADV_NOHUGEPAGE);
#  endif
    return memory;
#endif
}

/* Makes [start, start + size) usable; elsewhere than on Windows the first touch does. */
static int st_commit(void *start, size_t size) {
#if defined(_WIN32)
    return VirtualAlloc(start, size, MEM_COMMIT, PAGE_READWRITE) != NULL;
#else
    (void)start; (void)size;
    return 1;
#endif
}

static void st_release(void *memory, size_t size) {
#if defined(_WIN32)
    (void)size;
    VirtualFree(memory, 0, MEM_RELEASE);
#else
    munmap(memory, size);
#endif
}

/* ---- the end of a thread ---------------------------------------------------------------------------------------- */

typedef void (*st_exit_function)(void *);

/* The hook runs when the system takes the thread down: no thread state, no GIL, so it must stay pure C. */
#if defined(_WIN32)
static DWORD st_exit_key = FLS_OUT_OF_INDEXES;
static st_exit_function st_exit_callee = NULL;
static void NTAPI st_exit_trampoline(void *value) { if (value) st_exit_callee(value); }
static int st_on_thread_exit(st_exit_function callee) {
    st_exit_callee = callee;
    st_exit_key = FlsAlloc(st_exit_trampoline);
    return st_exit_key != FLS_OUT_OF_INDEXES;
}
static int st_watch_thread(void *value) { return FlsSetValue(st_exit_key, value) != 0; }
#else
static pthread_key_t st_exit_key;
static int st_on_thread_exit(st_exit_function callee) { return pthread_key_create(&st_exit_key, callee) == 0; }
static int st_watch_thread(void *value) { return pthread_setspecific(st_exit_key, value) == 0; }
#endif

/* ---- the interpreter ---------------------------------------------------------------------------------------------- */

static inline PyThreadState *st_thread_state(void) {
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

/* The interpreter's own frame that a thread runs, NULL for none. */
static inline void *st_frame_of(PyThreadState *state) {
#if PY_VERSION_HEX < 0x030D0000
    return state->cframe->current_frame;
#else
    return state->current_frame;
#endif
}

/* The same, of a thread that runs Python code. */
static inline void *st_context_of_caller(void **frame) {
    PyThreadState *state = st_thread_state();
    if (frame != NULL) *frame = st_frame_of(state);
    return state->context;
}

/* The context that the thread runs in: a flow's identity. Also, where asked for, the frame that it runs. */
static inline void *st_context(void **frame) {
    PyThreadState *state = st_thread_state();
    if (ST_UNLIKELY(state == NULL)) return NULL;
    if (frame != NULL) *frame = st_frame_of(state);
    return state->context;
}

/* A thread, or a greenlet, has no context until it needs one; and two greenlets without one could not be told apart.
 * So each that records gets one: an empty one, which is what it has without. */
static ST_NOINLINE void *st_need_context(void) {
    PyThreadState *state = st_thread_state();
    if (state == NULL || state->context != NULL) return st_context(NULL);
    PyObject *copy = PyContext_CopyCurrent();
    if (copy == NULL) PyErr_Clear();
    Py_XDECREF(copy);
    return state->context;
}

/* References to what is never immortal: without looking whether it is. */
#if PY_VERSION_HEX >= 0x030C0000 && !defined(Py_GIL_DISABLED) && !defined(Py_REF_DEBUG)
static inline void st_incref(PyObject *object) { object->ob_refcnt++; }
static inline void st_decref(PyObject *object) { if (--object->ob_refcnt == 0) _Py_Dealloc(object); }
#else
static inline void st_incref(PyObject *object) { Py_INCREF(object); }
static inline void st_decref(PyObject *object) { Py_DECREF(object); }
#endif

static inline void st_hold(void *context) { if (context != NULL) st_incref((PyObject *)context); }
static inline void st_let_go(void *context) { if (context != NULL) st_decref((PyObject *)context); }

/* The context that a context was entered from; NULL for none. The field is private, and the first one of the object
 * in every version named here; a later one gets NULL until somebody has looked, and its flows start under nothing. */
enum { st_contexts_are_linked = PY_VERSION_HEX < 0x03100000 };
static inline void *st_outer_context(void *context) {
    return st_contexts_are_linked ? *(void **)((char *)context + sizeof(PyObject)) : NULL;
}

#if PY_VERSION_HEX >= 0x030C0000
/* The accessor of a frame's code gives a new reference, and without the GIL all threads in a function would contend
 * for its code's count. A frame's first word is its code, with a tag in the low bits from 3.14 on; that it is so was
 * looked up (`st_learn_frames`), not assumed. */
static int st_frame_begins_with_code = 0;
static inline PyObject *st_first_of_frame(const void *frame) {
    return (PyObject *)(*(const uintptr_t *)frame & ~(uintptr_t)7);
}
#endif

/* From 3.13 on, where C entered the interpreter there is a frame all the same, whose code is None. */
static inline int st_is_code(PyObject *code) {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IS_TYPE(code, &PyCode_Type);
#else
    (void)code;
    return 1;
#endif
}

#define ST_CODE_SUSPENDS (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE)

/* Whether it is known where a frame says which one it was entered from: without, a suspended frame cannot be told from
 * a running one. */
static int st_frames_are_linked = PY_VERSION_HEX < 0x030C0000;

#if PY_VERSION_HEX >= 0x030C0000
/* Behind the code stands the frame that it was entered from. Looked up, too: a frame object's second word of its own
 * is the interpreter's frame, which is how the outer frame's address is got at. */
static int st_second_of_frame_is_outer(PyThreadState *state, void *frame) {
    PyFrameObject *inner = PyThreadState_GetFrame(state);
    PyFrameObject *outer = inner != NULL ? PyFrame_GetBack(inner) : NULL;
    int is = outer != NULL && ((void **)((char *)inner + sizeof(PyObject)))[1] == frame
             && ((void **)((char *)outer + sizeof(PyObject)))[1] == ((void **)frame)[1];
    Py_XDECREF(outer);
    Py_XDECREF(inner);
    return is;
}
#endif

/* Called once, from Python code that Python code called. */
static void st_learn_frames(void) {
#if PY_VERSION_HEX >= 0x030C0000
    PyThreadState *state = st_thread_state();
    struct _PyInterpreterFrame *frame = st_frame_of(state);
    if (frame == NULL) return;
    PyObject *code = PyUnstable_InterpreterFrame_GetCode(frame);
    st_frame_begins_with_code = code != NULL && st_first_of_frame(frame) == code;
    Py_XDECREF(code);
    st_frames_are_linked = st_frame_begins_with_code && st_second_of_frame_is_outer(state, frame);
#endif
}

/* The frame that a running frame was entered from, or NULL. */
static inline void *st_outer_frame(void *frame) {
#if PY_VERSION_HEX < 0x030C0000
    return ((_PyInterpreterFrame *)frame)->previous;
#else
    return ((void **)frame)[1];
#endif
}

/* The code of a frame, borrowed. */
static inline PyObject *st_code_of_frame(void *frame) {
#if PY_VERSION_HEX < 0x030C0000
    return (PyObject *)((_PyInterpreterFrame *)frame)->f_code;
#else
    return st_first_of_frame(frame);
#endif
}

/* Where C enters the interpreter, that puts a frame of its own in between: on 3.12 one of a code that it made itself,
 * later one without code. */
static int st_is_of_interpreter(void *frame) {
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
    static PyObject *trampoline = NULL;  /* the same for good */
    PyObject *code = st_code_of_frame(frame);
    if (trampoline == NULL && PyUnicode_CompareWithASCIIString(((PyCodeObject *)code)->co_name, "<interpreter trampoline>") == 0)
        trampoline = code;
    return code == trampoline;
#else
    return !st_is_code(st_code_of_frame(frame));
#endif
}

/* The frame that a running frame was entered from, but for the interpreter's own; NULL for none. */
static inline void *st_outer_code_frame(void *frame) {
    do frame = st_outer_frame(frame);
    while (frame != NULL && st_is_of_interpreter(frame));
    return frame;
}

/* Whether the frame that is calling is a generator's or coroutine's, which can be suspended and told from a running
 * one then. */
static inline int st_frame_suspends(void *frame) {
    return ST_LIKELY(frame != NULL) && ST_LIKELY(st_is_code(st_code_of_frame(frame)))
           && ST_UNLIKELY(((PyCodeObject *)st_code_of_frame(frame))->co_flags & ST_CODE_SUSPENDS)
           && st_frames_are_linked;
}

static inline int st_frame_is_coroutine(void *frame) {
    return ((PyCodeObject *)st_code_of_frame(frame))->co_flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE);
}

/* The frame of a generator's or coroutine's body is a part of the object, by which it is known. */
static inline void *st_frame_of_body(PyObject *body) {
    return body;
}

/* Whether a frame is that one. */
static inline int st_is_frame_of_body(void *frame, void *body) {
    return (char *)body < (char *)frame && (char *)frame < (char *)body + Py_TYPE((PyObject *)body)->tp_basicsize;
}

/* Whether a frame is among those that the thread runs. */
static int st_frame_is_running(void *frame) {
    PyThreadState *state = st_thread_state();
    void *each = state != NULL ? st_frame_of(state) : NULL;
    while (each != NULL && each != frame) each = st_outer_frame(each);
    return each != NULL;
}

/* The code that is calling, borrowed from its frame (the caller's frame outlives the call), and the byte offset of
 * the calling instruction. NULL when no Python code is running. */
static inline PyObject *st_calling_code(int *offset) {
    PyThreadState *state = st_thread_state();
#if PY_VERSION_HEX < 0x030C0000
    _PyInterpreterFrame *frame = state->cframe->current_frame;
    if (frame == NULL) return NULL;
    *offset = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
    return (PyObject *)frame->f_code;
#else
#  if PY_VERSION_HEX < 0x030D0000
    struct _PyInterpreterFrame *frame = state->cframe->current_frame;
#  else
    struct _PyInterpreterFrame *frame = state->current_frame;
#  endif
    if (frame == NULL) return NULL;
    *offset = PyUnstable_InterpreterFrame_GetLasti(frame);
    if (ST_LIKELY(st_frame_begins_with_code)) {
        PyObject *first = st_first_of_frame(frame);
        return ST_LIKELY(st_is_code(first)) ? first : NULL;
    }
    PyObject *code = PyUnstable_InterpreterFrame_GetCode(frame);
    Py_XDECREF(code);
    return code;
#endif
}

/* The instruction that is calling, as a pointer to its opcode; NULL when no Python code is running. */
static const unsigned char *st_calling_instruction(void) {
    int offset;
    PyCodeObject *code = st_thread_state() != NULL ? (PyCodeObject *)st_calling_code(&offset) : NULL;
    if (code == NULL || offset < 0) return NULL;
    return (const unsigned char *)code->co_code_adaptive + offset;
}

/* Instructions that are being watched do not say what they stand for. */
static inline int st_is_watched(const unsigned char *instruction) {
#ifdef MIN_INSTRUMENTED_OPCODE
    return *instruction >= MIN_INSTRUMENTED_OPCODE;
#else
    (void)instruction;
    return 0;
#endif
}

/* Whether a `with` statement is calling. */
static int st_with_calls(void) {
    const unsigned char *instruction = st_calling_instruction();
    if (instruction == NULL) return 0;
#if PY_VERSION_HEX < 0x030E0000
    return *instruction == BEFORE_WITH || st_is_watched(instruction);
#else
    return instruction[-(int)sizeof(uint16_t)] == LOAD_SPECIAL;  /* a code's first instruction is no call */
#endif
}

/* Whether an instruction is the one with which a `yield from` asks for what it goes on with. */
static int st_is_yield_from(const unsigned char *instruction) {
#ifdef GET_YIELD_FROM_ITER
    return *instruction == GET_YIELD_FROM_ITER;
#else
    return instruction[1] & 2  /* one instruction for all that iterate, with what for */
           && (*instruction == GET_ITER || *instruction == GET_ITER_SELF || *instruction == GET_ITER_VIRTUAL);
#endif
}

/* Whether a `yield from` asks: 0, or 1 where its code may go on with a coroutine, and -1 where it may not. */
static int st_yield_from_asks(void) {
    const unsigned char *instruction = st_calling_instruction();
    int offset = 0, asks;
    if (instruction == NULL) return 0;
    PyObject *code = st_calling_code(&offset);
    asks = st_is_yield_from(instruction);
    if (st_is_watched(instruction)) {
        PyObject *plain = PyCode_GetCode((PyCodeObject *)code);
        if (plain == NULL) PyErr_Clear();
        asks = plain != NULL && st_is_yield_from((const unsigned char *)PyBytes_AS_STRING(plain) + offset);
        Py_XDECREF(plain);
    }
    return !asks ? 0 : ((PyCodeObject *)code)->co_flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE) ? 1 : -1;
}

static int st_is_delegation(const unsigned char *instruction) {
    switch (*instruction) {
    case SEND:
#ifdef SEND_GEN
    case SEND_GEN:
#endif
#ifdef SEND_ASYNC_GEN
    case SEND_ASYNC_GEN:
#endif
#ifdef SEND_VIRTUAL
    case SEND_VIRTUAL:
#endif
        return 1;
    }
    return 0;
}

/* Whether a `yield from` or an `await` is calling, which passes on what is thrown. */
static int st_delegation_calls(void) {
    const unsigned char *instruction = st_calling_instruction();
    return instruction != NULL && (st_is_delegation(instruction) || st_is_watched(instruction));
}

#if PY_VERSION_HEX >= 0x030C0000
/* Whether an instruction is one at which a body is suspended, and nothing is called. */
static int st_is_suspension(const unsigned char *instruction) {
    switch (*instruction) {
    case YIELD_VALUE:
    case INSTRUMENTED_YIELD_VALUE:
    case RESUME:
    case INSTRUMENTED_RESUME:
#ifdef RESUME_CHECK
    case RESUME_CHECK:
#endif
        return 1;
    }
    return 0;
}

/* The instruction that a frame of what can be suspended stands at, or NULL for any other frame. */
static const unsigned char *st_instruction_of_body(void *frame) {
    if (frame == NULL || !st_is_code(st_first_of_frame(frame))) return NULL;
    PyCodeObject *code = (PyCodeObject *)st_first_of_frame(frame);
    int offset = PyUnstable_InterpreterFrame_GetLasti(frame);
    return code->co_flags & ST_CODE_SUSPENDS && offset >= 0 ? (const unsigned char *)code->co_code_adaptive + offset : NULL;
}

/* Whether something is being thrown through a frame into what its `yield from` or `await` runs: that goes straight there,
 * and the frame stands where it was suspended. */
static int st_is_thrown_through(void *frame) {
    const unsigned char *instruction = st_instruction_of_body(frame);
    return instruction != NULL && st_is_suspension(instruction);
}

/* The frame of what waits for a frame in a `yield from` or `await`, or NULL: when this yields, so does that. */
static void *st_waiting_frame(void *frame) {
    void *outer = st_outer_code_frame(frame);
    const unsigned char *instruction = st_instruction_of_body(outer);
    if (instruction == NULL) return NULL;
    if (st_is_suspension(instruction)) return outer;
    /* On 3.12 a frame that has entered another one stands behind its instruction's cache. */
    return outer == st_outer_frame(frame) && (st_is_delegation(instruction)
           || (PY_VERSION_HEX < 0x030D0000 && PyUnstable_InterpreterFrame_GetLasti(outer) >= 2
               && st_is_delegation(instruction - 2))) ? outer : NULL;
}
#else
#define st_waiting_frame(frame) ((void)(frame), NULL)
#define st_is_thrown_through(frame) ((void)(frame), 0)
#endif

static inline void st_share(PyObject *object) {
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    /* Many threads call one wrapper: without this its reference count is the word they all contend for. */
    PyUnstable_Object_EnableDeferredRefcount(object);
#else
    (void)object;
#endif
}

/* A type of ours, which is there for good. Its count would be the word that all threads contend for which make objects of
 * it; beyond this there is no counting. */
static inline void st_for_good(PyObject *type) {
#if defined(Py_GIL_DISABLED)
    Py_SET_REFCNT(type, (Py_ssize_t)1 << 40);
#else
    (void)type;
#endif
}

/* Whether a call's result is a coroutine that nobody else can know, so that another object may stand for it. */
static inline int st_is_fresh(PyObject *result) {
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    return PyUnstable_Object_IsUniquelyReferenced(result);
#else
    return Py_REFCNT(result) == 1;
#endif
}

static inline int st_may_be_awaited(PyObject *result) { return result != NULL && Py_TYPE(result)->tp_as_async != NULL; }

/* A tracked call takes C stack where the same call untracked takes none, and more of it than the interpreter reckons
 * with. From 3.14 on that watches the stack itself. 3.12 and 3.13 count the levels instead, so that a recursion ends far
 * from the end of a large stack, and behind that of a small one; 3.11 does neither. So the stack is watched here: each
 * thread has a line on it, and a call from beyond the line looks closer: how much is left, what to count anew, where the
 * next line is. */
#define ST_WATCHES_STACK (PY_VERSION_HEX < 0x030E0000)
#if ST_WATCHES_STACK
#define ST_COUNTS_C_LEVELS (PY_VERSION_HEX >= 0x030C0000)
enum {
    ST_STACK_MARGIN = 256 << 10,  /* kept free, for what C functions need */
    ST_STACK_STRIDE = 32 << 10,   /* from line to line */
    ST_STRIDE_LEVELS = 600,       /* more than go into a stride; the interpreter counts two for a call */
    ST_BYTES_A_LEVEL = 512,
};
typedef struct {
    uintptr_t line;  /* the thread's before */
    int levels;      /* that were added */
} st_depth;
static ST_THREAD_LOCAL uintptr_t st_stack_line = UINTPTR_MAX;
static ST_THREAD_LOCAL uintptr_t st_stack_start = 0;  /* the lowest address; 0 when it is not known */
static ST_THREAD_LOCAL uintptr_t st_stack_limit = 0;

static void st_set_stack(uintptr_t start, size_t size) {
    st_stack_start = start;
    st_stack_limit = start + (size / 2 < ST_STACK_MARGIN ? size / 2 : ST_STACK_MARGIN);
}

static void st_find_stack(void) {
#  if defined(_WIN32)
    ULONG_PTR low, high;
    GetCurrentThreadStackLimits(&low, &high);
    st_set_stack(low, high - low);
#  elif defined(__APPLE__)
    size_t size = pthread_get_stacksize_np(pthread_self());
    st_set_stack((uintptr_t)pthread_get_stackaddr_np(pthread_self()) - size, size);
#  elif defined(__linux__)
    pthread_attr_t attributes;
    void *start;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        if (pthread_attr_getstack(&attributes, &start, &size) == 0) st_set_stack((uintptr_t)start, size);
        pthread_attr_destroy(&attributes);
    }
#  endif
}

/* Not by the address of a variable: a function that has one returns before what it calls last. */
static inline int st_is_beyond_line(void) {
#  if defined(__GNUC__) && defined(__x86_64__)
    uintptr_t here;
    __asm__("mov %%rsp, %0" : "=r"(here));
#  elif defined(__GNUC__) && defined(__aarch64__)
    uintptr_t here;
    __asm__("mov %0, sp" : "=r"(here));
#  else
    char variable;
    uintptr_t here = (uintptr_t)&variable;
#  endif
    return ST_UNLIKELY(here < st_stack_line);
}

static uintptr_t st_line_below(uintptr_t here) {
#  if ST_COUNTS_C_LEVELS
    return here - st_stack_limit > ST_STACK_STRIDE ? here - ST_STACK_STRIDE : st_stack_limit;
#  else
    (void)here;
    return st_stack_limit;
#  endif
}

/* Called from beyond the line: false when the stack is nearly used up. What it changes, `st_come_back` changes back. */
static int st_go_deeper(st_depth *depth) {
    uintptr_t here = (uintptr_t)depth;
    int is_first = st_stack_line == UINTPTR_MAX;
    if (is_first) {
        st_find_stack();
        st_stack_line = st_stack_start ? st_line_below(here > st_stack_limit ? here : st_stack_limit) : 0;
    }
    depth->line = st_stack_line;
    depth->levels = 0;
    if (here < st_stack_start || here >= st_stack_line) return 1;  /* a stack of somebody else's; or the first call */
    if (here < st_stack_limit) return 0;
    st_stack_line = st_line_below(here);
#  if ST_COUNTS_C_LEVELS
    PyThreadState *state = st_thread_state();
    uintptr_t fitting = (here - st_stack_start) / ST_BYTES_A_LEVEL;
    int wanted = fitting < ST_STRIDE_LEVELS ? (int)fitting : ST_STRIDE_LEVELS;
    if (state->c_recursion_remaining < wanted) depth->levels = wanted - state->c_recursion_remaining;
    state->c_recursion_remaining += depth->levels;
#  endif
    return 1;
}

static void st_come_back(const st_depth *depth) {
    st_stack_line = depth->line;
#  if ST_COUNTS_C_LEVELS
    st_thread_state()->c_recursion_remaining -= depth->levels;
#  endif
}
#else
typedef int st_depth;
static inline int st_is_beyond_line(void) { return 0; }
static inline int st_go_deeper(st_depth *depth) { return *depth = 1; }
static inline void st_come_back(const st_depth *depth) { (void)depth; }
#endif
static ST_NOINLINE PyObject *st_refuse_recursion(void) {
    PyErr_SetString(PyExc_RecursionError,
                    "maximum recursion depth exceeded in a tracked call: the thread's C stack is nearly used up");
    return NULL;
}

static ST_NOINLINE PyObject *st_call_deep(PyObject *callee, PyObject *const *args, size_t nargsf, PyObject *names) {
    st_depth depth;
    if (!st_go_deeper(&depth)) return st_refuse_recursion();
    PyObject *result = PyObject_Vectorcall(callee, args, nargsf, names);
    st_come_back(&depth);
    return result;
}

static inline PyObject *st_call(PyObject *callee, PyObject *const *args, size_t nargsf, PyObject *names) {
    if (st_is_beyond_line()) return st_call_deep(callee, args, nargsf, names);
    return PyObject_Vectorcall(callee, args, nargsf, names);
}

/* A function's own entry: the call through it needs no check of its result (functions give one or raise), so it saves
 * the generic path's. */
static inline PyObject *st_call_function(PyObject *callee, PyObject *const *args, size_t nargsf, PyObject *names) {
    if (st_is_beyond_line()) return st_call_deep(callee, args, nargsf, names);
    return ((PyFunctionObject *)callee)->vectorcall(callee, args, nargsf, names);
}

static ST_NOINLINE PySendResult st_send_deep(PyObject *inner, PyObject *value, PyObject **result) {
    st_depth depth;
    if (!st_go_deeper(&depth)) {
        st_refuse_recursion();
        *result = NULL;
        return PYGEN_ERROR;
    }
    PySendResult status = PyIter_Send(inner, value, result);
    st_come_back(&depth);
    return status;
}

/* PyIter_Send. */
static inline PySendResult st_send(PyObject *inner, PyObject *value, PyObject **result) {
    return st_is_beyond_line() ? st_send_deep(inner, value, result) : PyIter_Send(inner, value, result);
}

#endif
