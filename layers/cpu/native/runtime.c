/* runtime.c: the six calls. Included by model.c, which holds one network's tables, so that every name but the calls'
 * stays in one object.
 *
 *     NN_NO_THREADS  no pthreads: the caller does all the work
 *     NN_NO_MMAP     a file of weights is read, not mapped
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef NN_NO_THREADS
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#endif

#define ALIGN 64 /* bytes: a cache line, and the widest vector */
#define ROUNDED(bytes) (((bytes) + ALIGN - 1) / ALIGN * ALIGN)

static unsigned char *aligned(void *memory) {
    return memory ? (unsigned char *)memory + (ALIGN - (uintptr_t)memory % ALIGN) % ALIGN : NULL;
}

#include "processor.h"
#include "team.h"
#include "weights.h"

typedef struct Session {
    struct Session *next;
    NN_Handle handle;
    int busy; /* in a call; under the lock */
    NN_Options options;
    Weights weights;
    const Plan *plan; /* NULL until prepared */
    void *block;      /* one allocation: sync, arena, words, table, which inputs are set */
    unsigned char *arena, *set;
    int64_t *table;
    Team team;
    int status;
    char text[256];
} Session;

/* -- sessions that are there --------------------------------------------------------------------------------------- */

static Session *sessions;
static NN_Handle last_handle;

#ifdef NN_NO_THREADS
#define LOCK() ((void)0)
#define UNLOCK() ((void)0)
#else
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
#define LOCK() pthread_mutex_lock(&lock)
#define UNLOCK() pthread_mutex_unlock(&lock)
#endif

/* Begin a call of a session. */
static int enter(NN_Handle handle, Session **found) {
    int status = NN_ERROR_HANDLE;
    Session *s;
    *found = NULL;
    LOCK();
    for (s = sessions; s; s = s->next) {
        if (s->handle != handle) continue;
        status = s->busy ? NN_ERROR_BUSY : NN_OK;
        if (!s->busy) *found = s;
        s->busy = 1;
    }
    UNLOCK();
    return status;
}

/* End it. */
static int leave(Session *s, int status) {
    s->status = status < 0 ? status : NN_OK;
    LOCK();
    s->busy = 0;
    UNLOCK();
    return status;
}

/* Take note of what is wrong; returns the status. */
static int wrong(Session *s, int status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(s->text, sizeof s->text, format, values);
    va_end(values);
    return status;
}

static const char *meaning(int status) {
    switch (status) {
    case NN_OK: return "all is well";
    case NN_ERROR_HANDLE: return "this is no session: it was never made, or is destroyed";
    case NN_ERROR_BUSY: return "another thread is in a call of this session: give each thread one of its own";
    case NN_ERROR_VERSION: return "NN_Options.version is not this library's NN_VERSION: compile against its nn.h";
    case NN_ERROR_TARGET: return "this library is for " TARGET ", and this processor is less";
    case NN_ERROR_MEMORY: return "no memory";
    case NN_ERROR_WEIGHTS: return "NN_Options.weights is not the file of weights that belongs to this library";
    case NN_ERROR_STATE: return "too early: call NN_Prepare, then set every input";
    case NN_ERROR_SHAPE: return "this library was not compiled for inputs of these shapes";
    case NN_ERROR_NAME: return "no tensor is called so";
    case NN_ERROR_SIZE: return "the tensor has another number of bytes";
    case NN_ERROR_ARGUMENT: return "an argument is NULL, or out of range";
    case NN_ERROR_LIBRARY: return "this is no library that can be loaded, or it lacks a call";
    default: return "an unknown status";
    }
}

/* -- plans --------------------------------------------------------------------------------------------------------- */

static const Tensor *tensor_named(const Plan *plan, const char *name) {
    uint32_t i;
    for (i = 0; i < plan->tensor_count; i++)
        if (!strcmp(plan->tensors[i].name, name)) return &plan->tensors[i];
    return NULL;
}

static int fits(const Plan *plan, const NN_Shape *shape) {
    const Tensor *tensor = tensor_named(plan, shape->name);
    int i, same = tensor && !tensor->output && tensor->axes == shape->axes;
    for (i = 0; same && i < shape->axes; i++) same = tensor->shape[i] == shape->shape[i];
    return same;
}

static char *write_shape(char *to, char *end, const int64_t *shape, int axes) {
    int i, n;
    for (i = 0; i < axes && to < end; i++, to += n) {
        n = snprintf(to, (size_t)(end - to), i ? ",%lld" : "%lld", (long long)shape[i]);
        if (n < 0 || n >= end - to) return end;
    }
    return to;
}

/* Say which shapes of an input there are plans for. */
static int no_plan(Session *s, const NN_Shape *shape) {
    char given[128] = "", known[160] = "", *to = known, *end = known + sizeof known;
    int i;
    write_shape(given, given + sizeof given, shape->shape, shape->axes);
    for (i = 0; i < PLANS; i++) {
        const Tensor *tensor = tensor_named(&plans[i], shape->name), *before;
        before = i ? tensor_named(&plans[i - 1], shape->name) : NULL;
        if (before && !memcmp(before->shape, tensor->shape, sizeof tensor->shape)) continue;
        if (i && end - to > 5) to += snprintf(to, (size_t)(end - to), " or ");
        to = write_shape(to, end, tensor->shape, tensor->axes);
    }
    return wrong(s, NN_ERROR_SHAPE, "input '%s' is %s, but this library was compiled for %s", shape->name, given, known);
}

static int plan_for(Session *s, const NN_Shape *shapes, int count, const Plan **found) {
    int i, k, fit;
    for (k = 0; k < count; k++) {
        const Tensor *tensor = shapes[k].name ? tensor_named(&plans[0], shapes[k].name) : NULL;
        if (shapes[k].axes < 0 || shapes[k].axes > NN_MAX_AXES)
            return wrong(s, NN_ERROR_ARGUMENT, "a shape has 0 to %d axes, not %d", NN_MAX_AXES, shapes[k].axes);
        if (!tensor || tensor->output)
            return wrong(s, NN_ERROR_NAME, "there is no input '%s'", shapes[k].name ? shapes[k].name : "NULL");
    }
    for (i = 0; i < PLANS; i++) {
        for (fit = 1, k = 0; k < count; k++) fit = fit && fits(&plans[i], &shapes[k]);
        if (fit) {
            *found = &plans[i];
            return NN_OK;
        }
    }
    for (k = 0; k + 1 < count && fits(&plans[0], &shapes[k]); k++) {} /* the first that differs from the usual ones */
    return no_plan(s, &shapes[k]);
}

static unsigned char *place(const Session *s, const Plan *plan, uint16_t region, uint64_t offset) {
    const unsigned char *start = region ? s->weights.data + plan->constants[region - 1] : s->arena;
    return (unsigned char *)start + offset; /* nobody writes to a constant */
}

/* Widest step: threads that the plan can use. */
static int widest(const Plan *plan) {
    uint32_t i;
    int most = 1;
    for (i = 0; i < plan->step_count; i++)
        if (plan->steps[i].threads > most) most = plan->steps[i].threads;
    return most;
}

static int64_t *fill_table(const Session *s, const Plan *plan, int64_t *words) {
    int64_t *table = words + plan->word_count;
    uint32_t i, k;
    memcpy(words, plan->words, plan->word_count * sizeof *words);
    for (i = 0; i < plan->step_count; i++) {
        const Step *step = &plan->steps[i];
        int64_t *row = table + i * REPLAY_STEP_WORDS;
        for (k = 0; k < step->moves; k++) {
            const Move *move = &plan->moves[step->move + k];
            words[step->first + move->at] += (int64_t)(uintptr_t)place(s, plan, move->region, 0);
        }
        row[0] = (int64_t)(uintptr_t)kernels[step->kernel];
        row[1] = (int64_t)(uintptr_t)(words + step->first);
        row[2] = step->threads;
    }
    return table;
}

static void begin_team(Session *s, int threads) {
    int most = widest(s->plan);
    memset(s->team.sync, 0, REPLAY_SLOTS + REPLAY_LINE * (size_t)(most + 1));
    start_team(&s->team, threads < most ? threads : most, &s->options);
}

static void release_plan(Session *s) {
    if (!s->plan) return;
    stop_team(&s->team, &s->options);
    s->options.release(s->options.context, s->block);
    s->plan = NULL;
    s->block = NULL;
}

/* One allocation for all that running a plan takes. */
static int take_plan(Session *s, const Plan *plan) {
    size_t sync = ROUNDED(REPLAY_SLOTS + REPLAY_LINE * ((size_t)widest(plan) + 1));
    size_t words = ROUNDED((size_t)plan->word_count * 8 + (size_t)plan->step_count * REPLAY_STEP_WORDS * 8);
    uint64_t bytes = ALIGN + sync + ROUNDED(plan->arena_bytes) + words + plan->tensor_count;
    unsigned char *start;
    release_plan(s);
    s->block = bytes <= SIZE_MAX ? s->options.allocate(s->options.context, (size_t)bytes) : NULL;
    if (!s->block) return wrong(s, NN_ERROR_MEMORY, "no memory for a plan of %llu bytes", (unsigned long long)bytes);
    start = aligned(s->block);
    s->team.sync = (int64_t *)start;
    s->arena = start + sync;
    s->set = s->arena + ROUNDED(plan->arena_bytes) + words;
    memset(s->set, 0, plan->tensor_count);
    s->table = fill_table(s, plan, (int64_t *)(s->arena + ROUNDED(plan->arena_bytes)));
    s->plan = plan;
    begin_team(s, s->options.threads);
    return NN_OK;
}

/* -- the calls ----------------------------------------------------------------------------------------------------- */

static void *by_malloc(void *context, size_t bytes) {
    (void)context;
    return malloc(bytes);
}

static void by_free(void *context, void *memory) {
    (void)context;
    free(memory);
}

int NN_Init(const NN_Options *options, NN_Handle *handle) {
    NN_Options chosen = {NN_VERSION, 0, NULL, NULL, NULL, NULL};
    Session *s;
    if (!handle) return NN_ERROR_ARGUMENT;
    *handle = 0;
    if (options && options->version != NN_VERSION) return NN_ERROR_VERSION;
    if (options) chosen = *options;
    if (!chosen.allocate != !chosen.release || chosen.threads < 0) return NN_ERROR_ARGUMENT;
    if (!processor_serves()) return NN_ERROR_TARGET;
    if (!chosen.allocate) chosen.allocate = by_malloc, chosen.release = by_free;
    if (!chosen.threads) chosen.threads = processors();
    s = chosen.allocate(chosen.context, sizeof *s);
    if (!s) return NN_ERROR_MEMORY;
    memset(s, 0, sizeof *s);
    s->options = chosen;
    s->team.size = 1;
    if (open_weights(&s->weights, &chosen)) {
        close_weights(&s->weights, &chosen);
        chosen.release(chosen.context, s);
        return NN_ERROR_WEIGHTS;
    }
    LOCK();
    s->handle = *handle = ++last_handle;
    s->next = sessions;
    sessions = s;
    UNLOCK();
    return NN_OK;
}

int NN_Prepare(NN_Handle handle, const NN_Shape *shapes, int count) {
    const Plan *plan = NULL;
    Session *s;
    int status = enter(handle, &s);
    if (status) return status;
    if (count < 0 || (count && !shapes))
        return leave(s, wrong(s, NN_ERROR_ARGUMENT, "shapes is NULL, or count is %d", count));
    status = plan_for(s, shapes, count, &plan);
    if (!status && plan != s->plan) status = take_plan(s, plan);
    return leave(s, status);
}

/* The tensor of that name, of so many bytes, of a session that is prepared. */
static int find(Session *s, const char *name, const void *data, size_t bytes, const Tensor **found) {
    if (!s->plan) return wrong(s, NN_ERROR_STATE, "this session is not prepared: call NN_Prepare");
    if (!name || !data) return wrong(s, NN_ERROR_ARGUMENT, "the %s is NULL", name ? "data" : "name");
    *found = tensor_named(s->plan, name);
    if (!*found) return wrong(s, NN_ERROR_NAME, "there is no input or output '%s'", name);
    if ((*found)->bytes != bytes)
        return wrong(s, NN_ERROR_SIZE, "'%s' has %llu bytes, but %llu were given", name,
                     (unsigned long long)(*found)->bytes, (unsigned long long)bytes);
    return NN_OK;
}

int NN_SetTensor(NN_Handle handle, const char *name, const void *data, size_t bytes) {
    const Tensor *tensor = NULL;
    Session *s;
    int status = enter(handle, &s);
    if (status) return status;
    status = find(s, name, data, bytes, &tensor);
    if (!status && tensor->output) status = wrong(s, NN_ERROR_NAME, "'%s' is an output: nobody can set it", name);
    if (!status) {
        unsigned char *to = place(s, s->plan, tensor->region, tensor->offset);
        if (to != data) memcpy(to, data, bytes);
        s->set[tensor - s->plan->tensors] = 1;
    }
    return leave(s, status);
}

int NN_Forward(NN_Handle handle) {
    int64_t control[REPLAY_CONTROL_WORDS] = {0};
    uint32_t i;
    Session *s;
    int status = enter(handle, &s);
    if (status) return status;
    if (!s->plan) return leave(s, wrong(s, NN_ERROR_STATE, "this session is not prepared: call NN_Prepare"));
    for (i = 0; i < s->plan->tensor_count; i++)
        if (!s->plan->tensors[i].output && !s->set[i])
            return leave(s, wrong(s, NN_ERROR_STATE, "nobody has set '%s'", s->plan->tensors[i].name));
    control[REPLAY_COUNT / 8] = s->plan->step_count;
    control[REPLAY_STEPS / 8] = (int64_t)(uintptr_t)s->table;
    run_team(&s->team, control);
    return leave(s, NN_OK);
}

int NN_GetTensor(NN_Handle handle, const char *name, void *data, size_t bytes) {
    const Tensor *tensor = NULL;
    Session *s;
    int status = enter(handle, &s);
    if (status) return status;
    status = find(s, name, data, bytes, &tensor);
    if (!status) memcpy(data, place(s, s->plan, tensor->region, tensor->offset), bytes);
    return leave(s, status);
}

int NN_Destroy(NN_Handle handle) {
    Session *s, **link;
    int status = enter(handle, &s);
    if (status) return status;
    LOCK();
    for (link = &sessions; *link != s;) link = &(*link)->next;
    *link = s->next;
    UNLOCK();
    release_plan(s);
    close_weights(&s->weights, &s->options);
    s->options.release(s->options.context, s);
    return NN_OK;
}

const char *NN_ErrorText(NN_Handle handle, int status) {
    const char *text = meaning(status);
    Session *s;
    if (enter(handle, &s)) return text;
    if (status < 0 && s->status == status && s->text[0]) text = s->text;
    LOCK();
    s->busy = 0;
    UNLOCK();
    return text;
}

int NN_TensorCount(NN_Handle handle) {
    Session *s;
    int status = enter(handle, &s);
    return status ? status : leave(s, (int)(s->plan ? s->plan : plans)->tensor_count);
}

int NN_TensorInfo(NN_Handle handle, int index, NN_Tensor *tensor) {
    const Tensor *found;
    const Plan *plan;
    Session *s;
    int status = enter(handle, &s);
    if (status) return status;
    plan = s->plan ? s->plan : plans;
    if (!tensor || index < 0 || (uint32_t)index >= plan->tensor_count)
        return leave(s, wrong(s, NN_ERROR_ARGUMENT, "there are %u tensors, and one has no index %d",
                              (unsigned)plan->tensor_count, index));
    found = &plan->tensors[index];
    tensor->name = found->name;
    tensor->dtype = found->dtype;
    tensor->scale = found->scale;
    tensor->zero = found->zero;
    tensor->output = found->output;
    tensor->axes = found->axes;
    memcpy(tensor->shape, found->shape, sizeof tensor->shape);
    tensor->bytes = (size_t)found->bytes;
    tensor->data = s->plan ? place(s, plan, found->region, found->offset) : NULL;
    return leave(s, NN_OK);
}

int NN_SetThreads(NN_Handle handle, int threads) {
    Session *s;
    int status = enter(handle, &s);
    if (status) return status;
    if (threads < 1) return leave(s, wrong(s, NN_ERROR_ARGUMENT, "a session has 1 thread or more, not %d", threads));
    s->options.threads = threads;
    if (s->plan) {
        stop_team(&s->team, &s->options);
        begin_team(s, threads);
    }
    return leave(s, NN_OK);
}
