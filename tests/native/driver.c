/* Records passes from threads that Python does not know, through the addresses that the core gives. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef void *(*enter_function)(void *handle, void **buffer);
typedef void (*leave_function)(void *buffer, void *entered);

enum { DEEPEST = 8 };

typedef struct {
    enter_function enter;
    leave_function leave;
    void *handles[DEEPEST]; /* entered one inside the other */
    uint32_t depth;
    uint64_t rounds;        /* 0: until `stop` is called */
    uint64_t done;          /* rounds done: each is a pass of every handle */
    uint64_t missed;        /* passes that could not be recorded */
} job;

static int stopped;

void stop(void) { __atomic_store_n(&stopped, 1, __ATOMIC_RELAXED); }

void go(void) { __atomic_store_n(&stopped, 0, __ATOMIC_RELAXED); }

static void nest(job *j, uint32_t level) {
    void *buffer = NULL;
    void *entered;
    if (level == j->depth) return;
    entered = j->enter(j->handles[level], &buffer);
    nest(j, level + 1);
    if (entered != NULL) j->leave(buffer, entered);
    else j->missed++;
}

/* Does a job on the calling thread. */
void *work(void *argument) {
    job *j = argument;
    while (j->rounds ? j->done < j->rounds : !__atomic_load_n(&stopped, __ATOMIC_RELAXED)) {
        nest(j, 0);
        j->done++;
    }
    return NULL;
}

/* Does each job on a new thread, at most `together` at once, and waits for them. 0, or the system's error number. */
int run(job *jobs, int count, int together) {
    pthread_t threads[64];
    int begun = 0, error = 0;
    if (together > 64) together = 64;
    while (begun < count && error == 0) {
        int batch = 0;
        while (batch < together && begun < count && error == 0) {
            error = pthread_create(&threads[batch], NULL, work, &jobs[begun]);
            if (error == 0) { batch++; begun++; }
        }
        while (batch > 0) pthread_join(threads[--batch], NULL);
    }
    return error;
}
