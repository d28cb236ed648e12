/* Files that are mapped, and the pulse that says until when their process lived. Where the system has no such files,
 * none is ever opened, and the rest is never called. */
#ifndef STICHOTROPE_MAPPED_H
#define STICHOTROPE_MAPPED_H

#include "_platform.h"

#if defined(_WIN32)
#define ST_HAS_FILES 0
static size_t st_page_size(void) { return 1 << 16; }
static int st_allocate(int fd, uint64_t at, uint64_t size) { (void)fd; (void)at; (void)size; return ENOSYS; }
static int st_map_piece(void *to, int fd, uint64_t at, size_t size, int how) {
    (void)to; (void)fd; (void)at; (void)size; (void)how;
    return ENOSYS;
}
static int st_make_private(void *at, size_t size) { (void)at; (void)size; return ENOSYS; }
static int st_read_at(int fd, void *to, size_t size, uint64_t at) { (void)fd; (void)to; (void)size; (void)at; return 0; }
static int st_write_at(int fd, const void *from, size_t size, uint64_t at) { (void)fd; (void)from; (void)size; (void)at; return ENOSYS; }
static void st_close_file(int fd) { (void)fd; }
static int st_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    (void)before; (void)parent; (void)child;
    return 1;
}
static uint64_t st_real_ns(void) { return 0; }
static int st_start_pulse(void (*beat)(void)) { (void)beat; return 0; }
static void st_stop_pulse(void) {}
static void st_hold_pulse(void) {}
static void st_let_pulse_go(void) {}
static void st_forget_pulse(void) {}
#else
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define ST_HAS_FILES 1
enum { ST_MAP_SHARED = 0, ST_MAP_TO_READ = 1, ST_MAP_PRIVATE = 2 };

static size_t st_page_size(void) {
    static size_t size = 0;
    if (size == 0) size = (size_t)sysconf(_SC_PAGESIZE);
    return size;
}

/* Gives a stretch of a file its blocks, zeroed: writing to what has none raises SIGBUS once the disk is full. 0, or an
 * error's number. */
static int st_allocate(int fd, uint64_t at, uint64_t size) {
#if defined(__linux__) || defined(__FreeBSD__)
    return posix_fallocate(fd, (off_t)at, (off_t)size);
#else
    static const char zeros[4096];
    while (size > 0) {
        ssize_t done = pwrite(fd, zeros, size < sizeof zeros ? size : sizeof zeros, (off_t)at);
        if (done <= 0) return done < 0 ? errno : ENOSPC;
        at += (uint64_t)done;
        size -= (uint64_t)done;
    }
    return 0;
#endif
}

/* Puts a piece of a file in the place of what is mapped there. 0, or an error's number. */
static int st_map_piece(void *to, int fd, uint64_t at, size_t size, int how) {
    int protection = how == ST_MAP_TO_READ ? PROT_READ : PROT_READ | PROT_WRITE;
    int flags = MAP_FIXED | (how == ST_MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED);
    return mmap(to, size, protection, flags, fd, (off_t)at) == MAP_FAILED ? errno : 0;
}

/* Has what is mapped there be memory of this process alone. Called after a fork, so nothing that takes a lock. */
static int st_make_private(void *at, size_t size) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    return mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED ? errno : 0;
}

/* Whether all of it could be read. */
static int st_read_at(int fd, void *to, size_t size, uint64_t at) {
    char *next = to;
    while (size > 0) {
        ssize_t done = pread(fd, next, size, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return 0;
        next += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return 1;
}

static int st_write_at(int fd, const void *from, size_t size, uint64_t at) {
    const char *next = from;
    while (size > 0) {
        ssize_t done = pwrite(fd, next, size, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done < 0 ? errno : ENOSPC;
        next += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return 0;
}

static void st_close_file(int fd) { close(fd); }
static int st_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    return pthread_atfork(before, parent, child) == 0;
}

static uint64_t st_real_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The pulse: a thread that does nothing but note the time, four times a second. It knows no Python, holds nothing while it
 * sleeps, and takes no signal. */
enum { ST_BEAT_MS = 250 };
static pthread_mutex_t st_pulse_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t st_pulse_wake = PTHREAD_COND_INITIALIZER;
static pthread_t st_pulse_thread;
static int st_pulse_runs = 0, st_pulse_stops = 0;
static void (*st_pulse_beat)(void);

static void *st_pulse(void *unused) {
    (void)unused;
    pthread_mutex_lock(&st_pulse_mutex);
    while (!st_pulse_stops) {
        struct timespec until;
        st_pulse_beat();
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += ST_BEAT_MS * 1000000;
        if (until.tv_nsec >= 1000000000) { until.tv_sec++; until.tv_nsec -= 1000000000; }
        pthread_cond_timedwait(&st_pulse_wake, &st_pulse_mutex, &until);
    }
    pthread_mutex_unlock(&st_pulse_mutex);
    return NULL;
}

/* Whether it runs. `beat` is called in it. */
static int st_start_pulse(void (*beat)(void)) {
    pthread_attr_t attributes;
    sigset_t all, before;
    if (st_pulse_runs) return 1;
    st_pulse_beat = beat;
    st_pulse_stops = 0;
    if (pthread_attr_init(&attributes) != 0) return 0;
    pthread_attr_setstacksize(&attributes, 128 << 10);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    st_pulse_runs = pthread_create(&st_pulse_thread, &attributes, st_pulse, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return st_pulse_runs;
}

static void st_hold_pulse(void) { pthread_mutex_lock(&st_pulse_mutex); }
static void st_let_pulse_go(void) { pthread_mutex_unlock(&st_pulse_mutex); }

static void st_stop_pulse(void) {
    if (!st_pulse_runs) return;
    pthread_mutex_lock(&st_pulse_mutex);
    st_pulse_stops = 1;
    pthread_cond_signal(&st_pulse_wake);
    pthread_mutex_unlock(&st_pulse_mutex);
    pthread_join(st_pulse_thread, NULL);
    st_pulse_runs = 0;
}

/* In the child of a fork, where the thread is not. */
static void st_forget_pulse(void) {
    static const pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    st_pulse_mutex = mutex;
    st_pulse_wake = condition;
    st_pulse_runs = 0;
}
#endif
#endif
