/* weights.h: where the constants are: in the library, or in a file beside it, which is mapped where that can be done. */

#if !defined(NN_NO_MMAP) && (defined(__unix__) || defined(__APPLE__)) && !defined(__wasm__)
#define MAPPED 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#define MAPPED 0
#endif

#define WEIGHTS_AT 64 /* of a file: before them a mark that says whose they are */

typedef struct {
    const unsigned char *data;
    void *memory; /* to be given back: a mapping, or an allocation of `bytes` */
    size_t bytes;
} Weights;

#ifdef WEIGHTS
extern const unsigned char WEIGHTS[];

static const char *open_weights(Weights *weights, const NN_Options *options) {
    (void)options;
    weights->data = WEIGHTS;
    return NULL;
}
#elif MAPPED
/* Returns NULL, or what is wrong. */
static const char *open_weights(Weights *weights, const NN_Options *options) {
    struct stat found;
    void *memory;
    int file;
    if (!options->weights) return "NN_Options.weights is to name the file of weights that belongs to this library";
    file = open(options->weights, O_RDONLY);
    if (file < 0) return "the file of weights cannot be opened";
    if (fstat(file, &found) || (uint64_t)found.st_size != WEIGHTS_AT + WEIGHTS_BYTES) {
        close(file);
        return "the file of weights has another size than this library's";
    }
    memory = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (memory == MAP_FAILED) return "the file of weights cannot be mapped";
    weights->memory = memory;
    weights->bytes = (size_t)found.st_size;
    weights->data = (const unsigned char *)memory + WEIGHTS_AT;
    return memcmp(memory, MARK, WEIGHTS_AT) ? "the file of weights belongs to another library" : NULL;
}
#else
static const char *open_weights(Weights *weights, const NN_Options *options) {
    unsigned char mark[WEIGHTS_AT], *start;
    FILE *file;
    size_t got;
    if (!options->weights) return "NN_Options.weights is to name the file of weights that belongs to this library";
    file = fopen(options->weights, "rb");
    if (!file) return "the file of weights cannot be opened";
    if (fread(mark, 1, WEIGHTS_AT, file) != WEIGHTS_AT || memcmp(mark, MARK, WEIGHTS_AT)) {
        fclose(file);
        return "the file of weights belongs to another library";
    }
    weights->bytes = (size_t)WEIGHTS_BYTES + ALIGN;
    weights->memory = options->allocate(options->context, weights->bytes);
    start = aligned(weights->memory);
    got = start ? fread(start, 1, (size_t)WEIGHTS_BYTES, file) : 0;
    fclose(file);
    weights->data = start;
    return got == WEIGHTS_BYTES ? NULL : start ? "the file of weights is cut short" : "no memory for the weights";
}
#endif

static void close_weights(Weights *weights, const NN_Options *options) {
    (void)options;
    if (!weights->memory) return;
#if MAPPED
    munmap(weights->memory, weights->bytes);
#else
    options->release(options->context, weights->memory);
#endif
    weights->memory = NULL;
}
