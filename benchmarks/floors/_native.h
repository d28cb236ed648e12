/* Passes made by native threads, which the interpreter does not know: those of a profiler, or the floor's. */

enum { MOST_THREADS = 64, NATIVE_WARM_UP = 1000 };

#ifndef _WIN32
#include <pthread.h>
#include <time.h>

typedef void *(*enter_function)(void *handle, void **buffer);
typedef void (*leave_function)(void *buffer, void *entered);

typedef struct {
    enter_function enter;
    leave_function leave;
    void *handle;
    uint64_t passes;
    uint64_t missed;       /* passes that were not recorded */
    uint64_t cpu_ns;       /* this thread's own processor time for `passes`, the warm-up left out */
    pthread_mutex_t *gate; /* held by whoever starts the threads until all are there */
    pthread_t thread;
} NativeJob;

/* The floor: what a pass does at least, two clock reads behind the same two calls. */
static void *floor_enter(void *handle, void **buffer) {
    uint64_t *start = handle;
    *start = ticks();
    *buffer = handle;
    return handle;
}

static void floor_leave(void *buffer, void *entered) {
    volatile uint64_t *elapsed = buffer;
    *elapsed = ticks() - *(uint64_t *)entered;
}

static uint64_t thread_time_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t make_passes(NativeJob *job, uint64_t passes) {
    uint64_t missed = 0;
    for (uint64_t i = 0; i < passes; i++) {
        void *buffer = NULL;
        void *entered = job->enter(job->handle, &buffer);
        if (entered != NULL)
            job->leave(buffer, entered);
        else
            missed++;
    }
    return missed;
}

static void *native_work(void *argument) {
    NativeJob *job = argument;
    uint64_t word[8]; /* the floor's own cache line */
    if (job->handle == NULL)
        job->handle = word;
    job->missed = make_passes(job, NATIVE_WARM_UP);
    pthread_mutex_lock(job->gate);
    pthread_mutex_unlock(job->gate);
    uint64_t start = thread_time_ns();
    job->missed += make_passes(job, job->passes);
    job->cpu_ns = thread_time_ns() - start;
    return NULL;
}

/* Runs all jobs at once; 0, or the system's error number. */
static int run_jobs(NativeJob *jobs, int count) {
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int begun = 0, error = 0;
    pthread_mutex_lock(&gate);
    for (; begun < count && error == 0; begun += error == 0) {
        jobs[begun].gate = &gate;
        error = pthread_create(&jobs[begun].thread, NULL, native_work, &jobs[begun]);
    }
    pthread_mutex_unlock(&gate);
    while (begun > 0)
        pthread_join(jobs[--begun].thread, NULL);
    return error;
}

static PyObject *cpu_times(const NativeJob *jobs, int count) {
    PyObject *times = PyList_New(count);
    for (int i = 0; times != NULL && i < count; i++) {
        PyObject *ns = PyLong_FromUnsignedLongLong(jobs[i].cpu_ns);
        if (ns == NULL)
            Py_CLEAR(times);
        else
            PyList_SET_ITEM(times, i, ns);
    }
    return times;
}

PyDoc_STRVAR(native_threads_doc,
"native_threads(handle, enter, leave, threads, passes)\n--\n\n"
"Make `passes` passes on each of so many native threads at once; return their processor times in ns.\n\n"
"The addresses are those that a profiler's core gives, or all 0: then a pass is two clock reads.");

static PyObject *native_threads(PyObject *Py_UNUSED(module), PyObject *args) {
    unsigned long long handle, enter, leave, passes;
    int threads, error;
    uint64_t missed = 0;
    NativeJob jobs[MOST_THREADS];
    if (!PyArg_ParseTuple(args, "KKKiK:native_threads", &handle, &enter, &leave, &threads, &passes))
        return NULL;
    if (threads < 1 || threads > MOST_THREADS)
        return PyErr_Format(PyExc_ValueError, "threads is %d; it must be from 1 to %d", threads,
                            MOST_THREADS);
    for (int i = 0; i < threads; i++) {
        NativeJob job = {0};
        job.enter = handle ? (enter_function)(uintptr_t)enter : floor_enter;
        job.leave = handle ? (leave_function)(uintptr_t)leave : floor_leave;
        job.handle = (void *)(uintptr_t)handle;
        job.passes = passes;
        jobs[i] = job;
    }
    Py_BEGIN_ALLOW_THREADS
    error = run_jobs(jobs, threads);
    Py_END_ALLOW_THREADS
    if (error) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    for (int i = 0; i < threads; i++)
        missed += jobs[i].missed;
    if (missed)
        return PyErr_Format(PyExc_RuntimeError, "%llu passes were not recorded",
                            (unsigned long long)missed);
    return cpu_times(jobs, threads);
}
#endif

static PyMethodDef native_methods[] = {
#ifdef _WIN32
    /* no POSIX threads: `hasattr` tells */
#else
    {"native_threads", native_threads, METH_VARARGS, native_threads_doc},
#endif
    {NULL, NULL, 0, NULL},
};
