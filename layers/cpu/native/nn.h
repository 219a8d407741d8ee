/* nn.h: a compiled network in six calls. The same for every network and every processor.
 *
 *     NN_Handle net;
 *     NN_Init(NULL, &net);                                      a session: threads, and where the weights are
 *     NN_Prepare(net, NULL, 0);                                 memory for inputs of the usual shapes
 *     NN_SetTensor(net, "data", pixels, sizeof pixels);
 *     NN_Forward(net);
 *     NN_GetTensor(net, "prob", scores, sizeof scores);
 *     NN_Destroy(net);
 *
 * Every call returns NN_OK or an error code below 0; NN_ErrorText says in words what was wrong. Sessions share nothing
 * that changes, so different threads may use different ones at the same time.
 *
 * C99. A library of one network is linked like any other. For several in one program, let each have names of its own
 * (fbnet compile --prefix face_), and include the headers that were written beside the libraries instead of this one.
 */
#ifndef NN_H
#define NN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NN_VERSION 1   /* of these calls: what NN_Options.version is to be */
#define NN_MAX_AXES 8  /* of a tensor */

enum {
    NN_OK = 0,
    NN_ERROR_HANDLE = -1,   /* no session: never made, or destroyed */
    NN_ERROR_BUSY = -2,     /* another thread is in a call of this session */
    NN_ERROR_VERSION = -3,  /* the caller was made for another version of these calls */
    NN_ERROR_TARGET = -4,   /* the processor lacks instructions that the library was compiled for */
    NN_ERROR_MEMORY = -5,   /* the allocator returned NULL */
    NN_ERROR_WEIGHTS = -6,  /* the file of weights is missing, damaged, or another network's */
    NN_ERROR_STATE = -7,    /* too early: not prepared, or an input that nobody has set */
    NN_ERROR_SHAPE = -8,    /* the library has no plan for these shapes */
    NN_ERROR_NAME = -9,     /* no tensor, or no input, is called so */
    NN_ERROR_SIZE = -10,    /* as many bytes as the tensor has were wanted, and others given */
    NN_ERROR_ARGUMENT = -11, /* NULL, or a number out of range */
    NN_ERROR_LIBRARY = -12   /* from NN_Load of nn_load.h: no library, another processor's, or one that lacks a call */
};

/* A session. Numbers are never used again, so one that is destroyed is known to be so. */
typedef uint64_t NN_Handle;

/* What a session is to use. All zeros but the version are the defaults. */
typedef struct {
    int version;         /* NN_VERSION */
    int threads;         /* with the caller's; 0: as many as there are processors, and the plan is for */
    const char *weights; /* the file of weights, of a library compiled with --weights file */
    void *(*allocate)(void *context, size_t bytes); /* NULL: malloc; any alignment will do */
    void (*release)(void *context, void *memory);   /* NULL: free */
    void *context;                                  /* handed to both */
} NN_Options;

typedef struct {
    const char *name; /* an input's */
    int axes;
    int64_t shape[NN_MAX_AXES];
} NN_Shape;

/* An input or an output. Its numbers lie in C order. */
typedef struct {
    const char *name;
    const char *dtype; /* fp32, fp16, int8, uint8, int32, int64, bool */
    float scale;       /* of a quantised tensor: real = scale * (stored - zero); else 1 and 0 */
    int32_t zero;
    int output;        /* 0: an input */
    int axes;
    int64_t shape[NN_MAX_AXES];
    size_t bytes;
    void *data; /* where it lies, to read or write in place, once prepared; else NULL */
} NN_Tensor;

/* Make a session. options may be NULL. */
int NN_Init(const NN_Options *options, NN_Handle *handle);

/* Make ready for inputs of these shapes, of which the library must have been compiled for each; those not named keep
 * the shapes of the plan that is found. NULL and 0: its first plan. May be called again, for other shapes. */
int NN_Prepare(NN_Handle handle, const NN_Shape *shapes, int count);

/* Copy an input in. If data is where the tensor lies (NN_Tensor.data), nothing is copied. */
int NN_SetTensor(NN_Handle handle, const char *name, const void *data, size_t bytes);

/* Run. Inputs stay as they are, and need not be set again. */
int NN_Forward(NN_Handle handle);

/* Copy an output, or an input, out. */
int NN_GetTensor(NN_Handle handle, const char *name, void *data, size_t bytes);

/* Give everything back. */
int NN_Destroy(NN_Handle handle);

/* What was wrong: in detail if `status` is what the session's last call returned, else what the code means. The text
 * lives until the session's next call. handle may be 0. */
const char *NN_ErrorText(NN_Handle handle, int status);

/* The number of inputs and outputs, or an error code. Before NN_Prepare those of the first plan. */
int NN_TensorCount(NN_Handle handle);

/* Describe one of them: inputs come first. */
int NN_TensorInfo(NN_Handle handle, int index, NN_Tensor *tensor);

/* Use so many threads from the next NN_Forward on, with the caller's; more than the plan is for are not used. */
int NN_SetThreads(NN_Handle handle, int threads);

#ifdef __cplusplus
}
#endif
#endif
