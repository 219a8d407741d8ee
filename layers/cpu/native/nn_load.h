/* nn_load.h: a library of these calls that is chosen when the program runs: ours, or a vendor's.
 *
 *     NN_Library lib;
 *     if (NN_Load(&lib, "./libsqueezenet.so")) puts(lib.text);
 *     lib.Init(NULL, &net);                        and so on, as NN_Init of nn.h
 *     NN_Unload(&lib);                             after the last lib.Destroy
 *
 * C99 and POSIX's dlopen: older systems link it with -ldl.
 */
#ifndef NN_LOAD_H
#define NN_LOAD_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "nn.h"

typedef struct {
    int (*Init)(const NN_Options *options, NN_Handle *handle);
    int (*Prepare)(NN_Handle handle, const NN_Shape *shapes, int count);
    int (*SetTensor)(NN_Handle handle, const char *name, const void *data, size_t bytes);
    int (*Forward)(NN_Handle handle);
    int (*GetTensor)(NN_Handle handle, const char *name, void *data, size_t bytes);
    int (*Destroy)(NN_Handle handle);
    const char *(*ErrorText)(NN_Handle handle, int status); /* this and those below: NULL if the library has none */
    int (*TensorCount)(NN_Handle handle);
    int (*TensorInfo)(NN_Handle handle, int index, NN_Tensor *tensor);
    int (*SetThreads)(NN_Handle handle, int threads);
    void *library;
    char text[256]; /* what was wrong */
} NN_Library;

static void NN_Unload(NN_Library *lib) {
    if (lib->library) dlclose(lib->library);
    memset(lib, 0, offsetof(NN_Library, text));
}

/* Returns NN_OK, or NN_ERROR_LIBRARY: there is none, it is for another processor, or one of the six calls is missing. */
static int NN_Load(NN_Library *lib, const char *path) {
    static const char *const names[] = {"Init",      "Prepare",     "SetTensor",  "Forward",   "GetTensor", "Destroy",
                                        "ErrorText", "TensorCount", "TensorInfo", "SetThreads"};
    const size_t six = 6, all = sizeof names / sizeof *names;
    char name[32];
    size_t i;
    memset(lib, 0, sizeof *lib);
    lib->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib->library) {
        snprintf(lib->text, sizeof lib->text, "no library that can be loaded: %s", dlerror());
        return NN_ERROR_LIBRARY;
    }
    for (i = 0; i < all; i++) {
        void *found;
        snprintf(name, sizeof name, "NN_%s", names[i]);
        found = dlsym(lib->library, name);
        if (!found && i < six) {
            NN_Unload(lib);
            snprintf(lib->text, sizeof lib->text, "%s lacks %s", path, name);
            return NN_ERROR_LIBRARY;
        }
        memcpy((char *)lib + i * sizeof lib->Init, &found, sizeof found); /* C has no cast from data to a function */
    }
    return NN_OK;
}

#endif
