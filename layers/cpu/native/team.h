/* team.h: the threads of one session. The caller leads; workers spin for more for a moment, then sleep.
 *
 * How leader and workers meet at each step is compiled into every plan, as the kernels are (replay_run, replay_work).
 * Here is what needs the operating system: threads, and bells to wake them. Without threads (NN_NO_THREADS) the caller
 * does everything.
 */

typedef struct Worker Worker;

typedef struct {
    int size; /* threads, with the leader */
    int64_t *sync;
    Worker *workers;
#if !defined(NN_NO_THREADS) && defined(__linux__)
    cpu_set_t allowed;
    int processors;
#endif
} Team;

static void lead(Team *team, int64_t *control) {
    control[REPLAY_SYNC / 8] = (int64_t)(uintptr_t)team->sync;
    replay_run((int64_t)(uintptr_t)control, 0, team->size);
}

#ifdef NN_NO_THREADS

static void start_team(Team *team, int size, const NN_Options *options) {
    (void)size, (void)options;
    team->size = 1;
}

static void stop_team(Team *team, const NN_Options *options) {
    (void)options;
    team->size = 1;
}

static void run_team(Team *team, int64_t *control) {
    lead(team, control);
}

static int processors(void) {
    return 1;
}

#else

struct Worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t bell;
    int rung, stop; /* under the mutex */
    int ith;
    Team *team;
};

static int processors(void) {
#ifdef __linux__
    cpu_set_t allowed;
    if (!sched_getaffinity(0, sizeof allowed, &allowed)) return CPU_COUNT(&allowed);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Let a sleeping worker wake up on another processor than the leader's, where it would be put otherwise: there it would
 * wait for the leader, which soon waits for it, until the scheduler notices. */
static void wake_elsewhere(Worker *worker) {
#ifdef __linux__
    cpu_set_t others = worker->team->allowed;
    int here = sched_getcpu();
    if (worker->team->processors > 1 && here >= 0) {
        CPU_CLR((size_t)here, &others);
        pthread_setaffinity_np(worker->thread, sizeof others, &others);
    }
#else
    (void)worker;
#endif
}

/* Let this worker, which is awake, move to any processor again. */
static void run_anywhere(Worker *worker) {
#ifdef __linux__
    if (worker->team->processors > 1) sched_setaffinity(0, sizeof worker->team->allowed, &worker->team->allowed);
#else
    (void)worker;
#endif
}

/* A worker's life: sleep until the bell, then carry out orders until none has come for a while. */
static void *serve(void *given) {
    Worker *worker = given;
    for (;;) {
        int stop;
        pthread_mutex_lock(&worker->mutex);
        while (!worker->rung) pthread_cond_wait(&worker->bell, &worker->mutex);
        worker->rung = 0;
        stop = worker->stop;
        pthread_mutex_unlock(&worker->mutex);
        if (stop) return NULL;
        run_anywhere(worker);
        replay_work((int64_t)(uintptr_t)worker->team->sync, worker->ith, worker->team->size);
    }
}

static void ring(Worker *worker, int stop) {
    pthread_mutex_lock(&worker->mutex);
    if (!worker->rung || stop) {
        if (!stop) wake_elsewhere(worker);
        worker->rung = 1;
        worker->stop = stop;
        pthread_cond_signal(&worker->bell);
    }
    pthread_mutex_unlock(&worker->mutex);
}

/* Run the steps of a control block; returns when the last one is done. */
static void run_team(Team *team, int64_t *control) {
    volatile int64_t *slots = team->sync + REPLAY_SLOTS / 8;
    int i;
    for (i = 1; i < team->size; i++)
        if (slots[i * (REPLAY_LINE / 8)] == REPLAY_AWAY) ring(&team->workers[i - 1], 0);
    lead(team, control);
}

static void stop_team(Team *team, const NN_Options *options) {
    int i;
    ((volatile int64_t *)team->sync)[REPLAY_STOP / 8] = 1;
    for (i = 0; i + 1 < team->size; i++) ring(&team->workers[i], 1);
    for (i = 0; i + 1 < team->size; i++) {
        pthread_join(team->workers[i].thread, NULL);
        pthread_cond_destroy(&team->workers[i].bell);
        pthread_mutex_destroy(&team->workers[i].mutex);
    }
    if (team->workers) options->release(options->context, team->workers);
    team->workers = NULL;
    team->size = 1;
}

/* Start size - 1 workers, or as many as the system grants. team->sync has room for them, and is all zeros. */
static void start_team(Team *team, int size, const NN_Options *options) {
    int i;
    team->size = 1;
    team->sync[REPLAY_YIELD / 8] = (int64_t)(uintptr_t)sched_yield;
    team->workers = size > 1 ? options->allocate(options->context, (size_t)(size - 1) * sizeof(Worker)) : NULL;
    if (!team->workers) return;
#ifdef __linux__
    team->processors = sched_getaffinity(0, sizeof team->allowed, &team->allowed) ? 1 : CPU_COUNT(&team->allowed);
#endif
    for (i = 1; i < size; i++) {
        Worker *worker = &team->workers[i - 1];
        memset(worker, 0, sizeof *worker);
        worker->ith = i;
        worker->team = team;
        pthread_mutex_init(&worker->mutex, NULL);
        pthread_cond_init(&worker->bell, NULL);
        if (pthread_create(&worker->thread, NULL, serve, worker)) {
            pthread_cond_destroy(&worker->bell);
            pthread_mutex_destroy(&worker->mutex);
            break;
        }
        team->size = i + 1;
    }
}

#endif
