/* model.h: a compiled network as tables. model.c, which is written for each network, fills them in. */
#ifndef FBNET_MODEL_H
#define FBNET_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* Every kernel has this shape: words are addresses, sizes and numbers; ith of nth is the thread's share. */
typedef void (*Kernel)(int64_t words, int64_t ith, int64_t nth);

/* One kernel call: `count` words from words[first] on, of which moves[move] ... are addresses. */
typedef struct {
    uint16_t kernel;
    uint16_t threads; /* at most */
    uint32_t first, count, move, moves;
} Step;

/* words[at] of a step is an offset into a region: 0 is the arena, k the plan's k-th constant. */
typedef struct {
    uint16_t at, region;
} Move;

typedef struct {
    const char *name, *dtype;
    float scale;
    int32_t zero;
    uint16_t output, region;
    uint16_t axes;
    uint64_t offset, bytes;
    int64_t shape[8];
} Tensor;

/* The work for inputs of one set of shapes. */
typedef struct {
    const Step *steps;
    const int64_t *words;
    const Move *moves;
    const Tensor *tensors;
    const uint64_t *constants; /* of each region but the arena: where it begins in the weights */
    uint32_t step_count, word_count, tensor_count, threads;
    uint64_t arena_bytes;
} Plan;

#endif
