/* wrong.c: everything that a caller can do wrong with a library, one after the other: each has its code, and words.
 *
 *     wrong GOOD.so GOOD.weights LACKING.so FOREIGN.so
 *
 * GOOD is a library of the net `small`: x (1,3,128,128) -> prob; LACKING has no NN_Prepare, FOREIGN is none of this
 * machine's.
 */
#include <stdlib.h>

#include "nn_load.h"

static NN_Library lib;
static int failures;

/* Whether a call's status is the wanted one, and the words for it are among those that the library says. */
static void want(int line, NN_Handle net, int got, int wanted, const char *words) {
    const char *text = lib.ErrorText(net, got);
    if (got == wanted && strstr(text, words)) return;
    printf("line %d: %d (%s), but wanted %d (%s)\n", line, got, text, wanted, words);
    failures++;
}
#define WANT(net, got, wanted, words) want(__LINE__, net, got, wanted, words)

static void want_no_library(int line, const char *path, const char *words) {
    NN_Library none;
    int status = NN_Load(&none, path);
    if (status == NN_ERROR_LIBRARY && strstr(none.text, words) && !none.library && !none.Init) return;
    printf("line %d: %d (%s), but wanted %s\n", line, status, none.text, words);
    failures++;
}

/* An allocator that soon has nothing left. */
typedef struct {
    int left, held;
} Store;

static void *take(void *context, size_t bytes) {
    Store *store = context;
    void *memory = store->left-- > 0 ? malloc(bytes) : NULL;
    if (memory) store->held++;
    return memory;
}

static void put_back(void *context, void *memory) {
    ((Store *)context)->held--;
    free(memory);
}

static void without_memory(const char *weights, const float *x, size_t bytes) {
    int granted, status = NN_ERROR_MEMORY;
    for (granted = 0; granted < 4; granted++) {
        Store store = {granted, 0};
        NN_Options options = {NN_VERSION, 2, weights, take, put_back, &store};
        NN_Handle net = 7;
        status = lib.Init(&options, &net);
        if (status) {
            WANT(net, status, NN_ERROR_MEMORY, "no memory");
        } else if ((status = lib.Prepare(net, NULL, 0))) {
            WANT(net, status, NN_ERROR_MEMORY, "no memory for a plan of ");
            WANT(net, lib.Forward(net), NN_ERROR_STATE, "this session is not prepared: call NN_Prepare");
        } else { /* without memory for threads it does all the work itself */
            WANT(net, lib.SetTensor(net, "x", x, bytes), NN_OK, "");
            WANT(net, lib.Forward(net), NN_OK, "");
        }
        if (net) WANT(net, lib.Destroy(net), NN_OK, "");
        if (store.held || (!status) != (granted >= 2)) {
            printf("%d allocations granted: status %d, %d not given back\n", granted, status, store.held);
            failures++;
        }
    }
}

int main(int count, char **words) {
    enum { BYTES = 3 * 128 * 128 * sizeof(float) };
    NN_Options options = {NN_VERSION, 2, NULL, NULL, NULL, NULL}, other;
    NN_Shape shape = {"x", 4, {1, 3, 128, 127}};
    NN_Tensor tensor;
    NN_Handle net, gone;
    float *x = calloc(BYTES, 1);
    if (count != 5 || !x) return 2;
    want_no_library(__LINE__, "nowhere.so", "no library that can be loaded: nowhere.so: ");
    want_no_library(__LINE__, words[3], "lacking.so lacks NN_Prepare");
    want_no_library(__LINE__, words[4], "no library that can be loaded: ");
    if (NN_Load(&lib, words[1])) return puts(lib.text), 2;

    WANT(0, lib.Init(&options, &net), NN_ERROR_WEIGHTS, "NN_Options.weights is not the file of weights that belongs");
    options.weights = words[1]; /* some other file */
    WANT(0, lib.Init(&options, &net), NN_ERROR_WEIGHTS, "NN_Options.weights is not the file of weights that belongs");
    options.weights = words[2];
    other = options, other.version = NN_VERSION + 1;
    WANT(0, lib.Init(&other, &net), NN_ERROR_VERSION, "NN_Options.version is not this library's NN_VERSION");
    other = options, other.threads = -1;
    WANT(0, lib.Init(&other, &net), NN_ERROR_ARGUMENT, "an argument is NULL, or out of range");
    other = options, other.allocate = take;
    WANT(0, lib.Init(&other, &net), NN_ERROR_ARGUMENT, "an argument is NULL, or out of range");
    WANT(0, lib.Init(&options, NULL), NN_ERROR_ARGUMENT, "an argument is NULL, or out of range");
    WANT(net, lib.Forward(net), NN_ERROR_HANDLE, "this is no session: it was never made, or is destroyed");
    without_memory(words[2], x, BYTES);

    WANT(0, lib.Init(&options, &net), NN_OK, "all is well");
    WANT(net, lib.SetTensor(net, "x", x, BYTES), NN_ERROR_STATE, "this session is not prepared: call NN_Prepare");
    WANT(net, lib.Prepare(net, &shape, 1), NN_ERROR_SHAPE, "'x' is 1,3,128,127, but this library was compiled for 1,3,");
    shape.axes = 9;
    WANT(net, lib.Prepare(net, &shape, 1), NN_ERROR_ARGUMENT, "a shape has 0 to 8 axes, not 9");
    shape.name = "y", shape.axes = 4;
    WANT(net, lib.Prepare(net, &shape, 1), NN_ERROR_NAME, "there is no input 'y'");
    WANT(net, lib.Prepare(net, NULL, 1), NN_ERROR_ARGUMENT, "shapes is NULL, or count is 1");
    WANT(net, lib.Prepare(net, NULL, 0), NN_OK, "");
    WANT(net, lib.Forward(net), NN_ERROR_STATE, "nobody has set 'x'");
    WANT(net, lib.SetTensor(net, "x", x, BYTES - 1), NN_ERROR_SIZE, "'x' has 196608 bytes, but 196607 were given");
    WANT(net, lib.SetTensor(net, "X", x, BYTES), NN_ERROR_NAME, "there is no input or output 'X'");
    WANT(net, lib.SetTensor(net, "prob", x, 64), NN_ERROR_NAME, "'prob' is an output: nobody can set it");
    WANT(net, lib.SetTensor(net, NULL, x, BYTES), NN_ERROR_ARGUMENT, "the name is NULL");
    WANT(net, lib.SetTensor(net, "x", NULL, BYTES), NN_ERROR_ARGUMENT, "the data is NULL");
    WANT(net, lib.GetTensor(net, "prob", x, 4), NN_ERROR_SIZE, "'prob' has 64 bytes, but 4 were given");
    WANT(net, lib.TensorInfo(net, 2, &tensor), NN_ERROR_ARGUMENT, "there are 2 tensors, and one has no index 2");
    WANT(net, lib.TensorInfo(net, 0, NULL), NN_ERROR_ARGUMENT, "there are 2 tensors");
    WANT(net, lib.SetThreads(net, 0), NN_ERROR_ARGUMENT, "a session has 1 thread or more, not 0");
    WANT(net, lib.SetTensor(net, "x", x, BYTES), NN_OK, "");
    WANT(net, lib.Forward(net), NN_OK, "all is well"); /* after all that it still works */

    gone = net;
    WANT(net, lib.Destroy(net), NN_OK, "");
    WANT(0, lib.Init(&options, &net), NN_OK, "");
    if (net == gone) return puts("a handle came twice"), 1;
    WANT(gone, lib.Forward(gone), NN_ERROR_HANDLE, "this is no session");
    WANT(gone, lib.Prepare(gone, NULL, 0), NN_ERROR_HANDLE, "this is no session");
    WANT(gone, lib.SetTensor(gone, "x", x, BYTES), NN_ERROR_HANDLE, "this is no session");
    WANT(gone, lib.GetTensor(gone, "x", x, BYTES), NN_ERROR_HANDLE, "this is no session");
    WANT(gone, lib.TensorCount(gone), NN_ERROR_HANDLE, "this is no session");
    WANT(gone, lib.TensorInfo(gone, 0, &tensor), NN_ERROR_HANDLE, "this is no session");
    WANT(gone, lib.SetThreads(gone, 1), NN_ERROR_HANDLE, "this is no session");
    WANT(gone, lib.Destroy(gone), NN_ERROR_HANDLE, "this is no session");
    WANT(net, lib.Destroy(net), NN_OK, "");
    NN_Unload(&lib);
    free(x);
    if (!failures) puts("every error has its code and its words");
    return failures;
}
