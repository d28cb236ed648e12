/* A signal that ends the process, seen to by Python code first.
 *
 * The interpreter calls Python code between two steps of the main thread, and code of C that holds the interpreter may
 * keep it from there for ever. So a timer delivers the signal again, when nobody sees to it any more. Where there are no
 * such timers (they are POSIX's, and macOS has none), the Python code is waited for. */

#ifndef ST_END_H
#define ST_END_H

#if defined(__linux__)

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ST_MOST_ENDS 4
#define ST_PATIENCE_S 2

typedef struct {
    int number;
    pid_t pid; /* whose the timer is: a child of a fork has none */
    timer_t timer;
    void (*python)(int); /* the interpreter's own handler: it notes that the Python code is to be called */
} st_end;

static st_end st_ends[ST_MOST_ENDS];

static st_end *st_end_of(int number) {
    for (int i = 0; i < ST_MOST_ENDS; i++)
        if (st_ends[i].number == number)
            return &st_ends[i];
    return NULL;
}

static void st_set_timer(st_end *end, time_t seconds) {
    struct itimerspec when;
    memset(&when, 0, sizeof when);
    when.it_value.tv_sec = seconds;
    if (end->pid == getpid())
        timer_settime(end->timer, 0, &when, NULL);
}

/* Calls only what may be called in a handler of signals. */
static void st_ends_now(int number) {
    int kept = errno;
    st_end *end = st_end_of(number);
    signal(number, SIG_DFL);
    if (end != NULL) {
        st_set_timer(end, ST_PATIENCE_S);
        end->python(number);
    }
    errno = kept;
}

/* To be called when Python code was set to see to the signal, and in a child of a fork. */
static void st_end_in_time(int number) {
    struct sigaction now;
    struct sigevent event;
    st_end *end = st_end_of(number);
    if (end == NULL)
        end = st_end_of(0);
    if (end == NULL || sigaction(number, NULL, &now) != 0 || (now.sa_flags & SA_SIGINFO))
        return;
    if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)
        return;
    if (now.sa_handler != st_ends_now) {
        if (end->number == number && end->python != now.sa_handler)
            return; /* somebody else's */
        end->python = now.sa_handler;
    }
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = number;
    if (end->pid != getpid()) {
        if (timer_create(CLOCK_MONOTONIC, &event, &end->timer) != 0)
            return;
        end->pid = getpid();
    }
    end->number = number;
    now.sa_handler = st_ends_now;
    sigaction(number, &now, NULL);
}

static void st_end_has_begun(void) {
    for (int i = 0; i < ST_MOST_ENDS; i++)
        if (st_ends[i].number != 0)
            st_set_timer(&st_ends[i], 0);
}

#else

static void st_end_in_time(int number) { (void)number; }
static void st_end_has_begun(void) {}

#endif

#endif
