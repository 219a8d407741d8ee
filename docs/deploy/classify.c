/* classify.c: an image in, labels out, with a network that `fbnet compile` made a library of.
 *
 *     fbnet compile squeezenet.fbnet -o out
 *     cc -std=c99 -O2 -Iout classify.c -Lout -lsqueezenet -Wl,-rpath,out -o classify
 *     ./classify -l labels.txt photo.ppm
 *
 * IMAGE is a PPM (P6) or PGM (P5) of 8 bits, in a size that the library was compiled for; or else a file that holds the
 * bytes of the input as they are. The network's first input is the image, its first output the scores of the classes.
 * RESULTS is written: every output's bytes, one after the other.
 */
#define _POSIX_C_SOURCE 200809L /* a clock */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn.h"

#define BEST 5

static int check(NN_Handle net, int status) {
    if (status < 0) {
        fprintf(stderr, "classify: error %d: %s\n", status, NN_ErrorText(net, status));
        exit(1);
    }
    return status;
}

static void *bytes_of(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    size_t room = 1 << 16;
    char *bytes = malloc(room);
    *size = 0;
    if (!file || !bytes) {
        fprintf(stderr, "classify: %s cannot be read\n", path);
        exit(1);
    }
    for (;;) {
        size_t got = fread(bytes + *size, 1, room - *size, file);
        if (!got) break;
        *size += got;
        if (*size == room) bytes = realloc(bytes, room *= 2);
        if (!bytes) exit(1);
    }
    fclose(file);
    return bytes;
}

/* A number of a PPM's head, in which comments may stand; NULL if there is none. */
static const char *number(const char *at, const char *end, int64_t *value) {
    while (at < end && (*at == '#' || strchr(" \t\r\n", *at))) {
        if (*at == '#') while (at < end && *at != '\n') at++;
        else at++;
    }
    if (at == end || *at < '0' || *at > '9') return NULL;
    for (*value = 0; at < end && *at >= '0' && *at <= '9' && *value < 100000; at++) *value = *value * 10 + (*at - '0');
    return at;
}

/* The pixels of a PPM or PGM; NULL if the bytes are none. shape is (1, height, width, channels). */
static const unsigned char *pixels(const char *bytes, size_t size, int64_t shape[4]) {
    const char *at = bytes + 2, *end = bytes + size;
    int64_t most = 0;
    if (size < 8 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) return NULL;
    shape[0] = 1;
    shape[3] = bytes[1] == '6' ? 3 : 1;
    if (!(at = number(at, end, &shape[2])) || !(at = number(at, end, &shape[1])) || !(at = number(at, end, &most)))
        return NULL;
    if (most != 255 || end - at - 1 < shape[1] * shape[2] * shape[3]) return NULL;
    return (const unsigned char *)at + 1;
}

/* An image as the input wants it: its pixels as they are, or as fp32 in planes. */
static void set_image(NN_Handle net, const NN_Tensor *input, const unsigned char *from, const int64_t shape[4]) {
    size_t places = (size_t)(shape[1] * shape[2]), channels = (size_t)shape[3], i, c;
    float *planes;
    if (!strcmp(input->dtype, "uint8")) {
        check(net, NN_SetTensor(net, input->name, from, places * channels));
        return;
    }
    planes = malloc(places * channels * sizeof *planes);
    if (!planes) exit(1);
    for (c = 0; c < channels; c++)
        for (i = 0; i < places; i++) planes[c * places + i] = from[i * channels + c];
    check(net, NN_SetTensor(net, input->name, planes, places * channels * sizeof *planes));
    free(planes);
}

static void print_best(const float *scores, size_t classes, char *labels) {
    size_t best[BEST] = {0}, found, k, i;
    for (found = 0; found < BEST && found < classes; found++) {
        int first = 1;
        for (i = 0; i < classes; i++) {
            int taken = 0;
            for (k = 0; k < found; k++) taken |= best[k] == i;
            if (!taken && (first || scores[i] > scores[best[found]])) best[found] = i, first = 0;
        }
    }
    for (k = 0; k < found; k++) {
        char *label = labels;
        for (i = 0; label && i < best[k]; i++) label = strchr(label, '\n') ? strchr(label, '\n') + 1 : NULL;
        printf("%.4f  %d  %.*s\n", scores[best[k]], (int)best[k], label ? (int)strcspn(label, "\n") : 0, label ? label : "");
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int count, char **words) {
    const char *labels = NULL, *results = NULL, *image = NULL;
    NN_Options options = {NN_VERSION, 0, NULL, NULL, NULL, NULL};
    NN_Shape wanted = {NULL, 4, {0}};
    NN_Tensor input, output;
    NN_Handle net;
    int runs = 1, i, tensors;
    size_t size;
    char *bytes, *names = NULL;
    const unsigned char *from;
    double fastest = 1e9;
    for (i = 1; i < count; i++) {
        char option = words[i][0] == '-' && i + 1 < count ? words[i][1] : 0;
        if (!option) image = words[i];
        else if (option == 'l') labels = words[++i];
        else if (option == 'w') options.weights = words[++i];
        else if (option == 't') options.threads = atoi(words[++i]);
        else if (option == 'r') runs = atoi(words[++i]);
        else if (option == 'o') results = words[++i];
        else image = NULL, i = count;
    }
    if (!image) {
        fprintf(stderr, "classify [-l LABELS] [-w WEIGHTS] [-t THREADS] [-r RUNS] [-o RESULTS] IMAGE\n");
        return 2;
    }
    check(0, NN_Init(&options, &net));
    check(net, NN_TensorInfo(net, 0, &input));
    bytes = bytes_of(image, &size);
    from = pixels(bytes, size, wanted.shape);
    if (from) {
        wanted.name = input.name;
        if (strcmp(input.dtype, "uint8")) { /* planes: (1, channels, height, width) */
            int64_t planes[4] = {1, wanted.shape[3], wanted.shape[1], wanted.shape[2]};
            NN_Shape plain = {input.name, 4, {1, planes[1], planes[2], planes[3]}};
            check(net, NN_Prepare(net, &plain, 1));
        } else {
            check(net, NN_Prepare(net, &wanted, 1));
        }
        set_image(net, &input, from, wanted.shape);
    } else {
        check(net, NN_Prepare(net, NULL, 0));
        check(net, NN_SetTensor(net, input.name, bytes, size));
    }
    free(bytes);
    for (i = 0; i < runs; i++) {
        double since = seconds();
        check(net, NN_Forward(net));
        if (seconds() - since < fastest) fastest = seconds() - since;
    }
    if (runs > 1) printf("%.3f ms\n", 1e3 * fastest);
    tensors = check(net, NN_TensorCount(net));
    for (i = 0; i < tensors; i++) {
        check(net, NN_TensorInfo(net, i, &output));
        if (output.output) break;
    }
    if (labels) {
        names = bytes_of(labels, &size);
        names = realloc(names, size + 1);
        if (!names) return 1;
        names[size] = 0;
    }
    if (!strcmp(output.dtype, "fp32")) print_best(output.data, output.bytes / sizeof(float), names);
    if (results) {
        FILE *file = fopen(results, "wb");
        for (; file && i < tensors; i++) {
            check(net, NN_TensorInfo(net, i, &output));
            if (fwrite(output.data, 1, output.bytes, file) != output.bytes) return 1;
        }
        if (!file || fclose(file)) return 1;
    }
    free(names);
    check(0, NN_Destroy(net));
    return 0;
}
