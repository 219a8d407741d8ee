// emulated: CUDA C++ for a processor, so that the kernels of this folder run where there is no GPU. Only for tests: slow,
// and harsh where a GPU may be lucky.
//
// A block's threads are coroutines. Each runs until it has to wait for its block (__syncthreads) or its warp (a matrix
// instruction), in rising order and then in falling order, so that a barrier that is missing shows. A copy past the
// registers happens when it is waited for, not before. Shared memory begins with NaNs, and ends with bytes that must stay.
// `run` gives nullptr, or what went wrong.

#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <string>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(n)
#define VISIBLE __attribute__((visibility("default")))  // to Python; what is not is this library's own

struct Three { unsigned x, y, z; };
struct int4 { int x, y, z, w; };
static Three threadIdx, blockIdx, blockDim, gridDim;

const int MOST_SHARED = 227 << 10, GUARD = 4096, STACK = 64 << 10, MOST_THREADS = 1024, WARP = 32;
alignas(16) char memory[MOST_SHARED + GUARD];
static const char *wrong;

struct Copy { void *to; const void *from; int bytes; bool there; };
enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Coroutine {
    jmp_buf here;
    ucontext_t start;
    State state;
    std::vector<std::vector<Copy>> copies;  // groups under way, the last one still open
};
static Coroutine threads_[MOST_THREADS];
static jmp_buf scheduler;
static int current;

static void wait_as(State state) {
    threads_[current].state = state;
    const int me = current;
    if (!_setjmp(threads_[me].here)) _longjmp(scheduler, 1);
}

static void __syncthreads() { wait_as(AT_BLOCK); }

// -- what instructions.cu says for a GPU

template <class T> static void copy_later(T *to, const T *from, bool there, int bytes) {
    if ((uintptr_t)to % bytes || (there && (uintptr_t)from % bytes)) wrong = "a copy past the registers is not aligned";
    threads_[current].copies.back().push_back({to, from, bytes, there});
}
template <class T> static void copy4(T *to, const T *from, bool there) { copy_later(to, from, there, 4); }
template <class T> static void copy16(T *to, const T *from, bool there) { copy_later(to, from, there, 16); }
static void together() { threads_[current].copies.emplace_back(); }
template <int LATER> static void landed() {
    auto &groups = threads_[current].copies;
    while ((int)groups.size() > LATER + 1) {
        for (const Copy &c : groups.front()) c.there ? memcpy(c.to, c.from, c.bytes) : memset(c.to, 0, c.bytes);
        groups.erase(groups.begin());
    }
}

static float as_float(unsigned bits) { float v; memcpy(&v, &bits, 4); return v; }
static unsigned as_bits(float v) { unsigned bits; memcpy(&bits, &v, 4); return bits; }

// The layout of operands: PTX ISA, "Matrix Fragments for mma.m16n8k8", .tf32.
static void multiply(float *d, const unsigned *a, const unsigned *b) {
    static unsigned left[2][MOST_THREADS][4], right[2][MOST_THREADS][2];
    static int turns[MOST_THREADS];
    const int me = current, first = me / WARP * WARP, lane = me % WARP, turn = turns[me]++ % 2;
    memcpy(left[turn][me], a, 16);
    memcpy(right[turn][me], b, 8);
    wait_as(AT_WARP);
    for (int q = 0; q < 4; q++) {
        const int row = lane / 4, column = lane % 4 * 2 + q % 2;
        for (int k = 0; k < 8; k++) {
            const unsigned l = left[turn][first + row * 4 + k % 4][k / 4 * 2 + q / 2];
            const unsigned r = right[turn][first + column * 4 + k % 4][k / 4];
            d[q] += as_float(l & 0xffffe000u) * as_float(r & 0xffffe000u);
        }
    }
}

static float widened(unsigned short half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float top = fraction ? NAN : INFINITY;
    const float size = exponent == 31 ? top : exponent ? std::ldexp(1024.f + fraction, exponent - 25) : std::ldexp((float)fraction, -24);
    return half >> 15 ? -size : size;
}

// -- what CUDA has by itself

template <class T> static T __ldg(const T *from) { return *from; }
static float __uint_as_float(unsigned bits) { return as_float(bits); }
static float __int_as_float(int bits) { return as_float((unsigned)bits); }
static unsigned __float_as_uint(float v) { return as_bits(v); }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fadd_rn(float a, float b) { return a + b; }
static int __float2int_rn(float v) { return (int)std::nearbyint(v); }
static int __dp4a(int a, int b, int sum) {
    for (int i = 0; i < 4; i++) sum += (int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i);
    return sum;
}

// -- running

static void (*work)();
static void begin() {
    work();
    threads_[current].state = DONE;
    _longjmp(scheduler, 1);
}

static void resume(int thread) {
    current = thread;
    threadIdx = {(unsigned)thread, 0, 0};
    if (!_setjmp(scheduler)) _longjmp(threads_[thread].here, 1);
}

static ucontext_t back;
static void enter() {  // on the new stack: remember it, and go back
    if (!_setjmp(threads_[current].here)) setcontext(&back);
    begin();
}

static void prepare(int thread) {
    static std::vector<char> stacks(MOST_THREADS * (size_t)STACK);
    Coroutine &t = threads_[thread];
    t.state = READY;
    t.copies.assign(1, {});
    getcontext(&t.start);
    t.start.uc_stack.ss_sp = stacks.data() + thread * (size_t)STACK;
    t.start.uc_stack.ss_size = STACK;
    t.start.uc_link = nullptr;
    makecontext(&t.start, enter, 0);
    current = thread;
    swapcontext(&back, &t.start);
}

static void release(State from, int first, int last) {
    for (int i = first; i < last; i++) if (threads_[i].state == from) threads_[i].state = READY;
}

static bool all(State state, int first, int last) {
    for (int i = first; i < last; i++) if (threads_[i].state != state) return false;
    return true;
}

static void run_block(int count) {
    for (int i = 0; i < count; i++) prepare(i);
    for (int turn = 0; !wrong; turn++) {
        bool moved = false;
        for (int i = 0; i < count; i++) {
            const int thread = turn % 2 ? count - 1 - i : i;
            if (threads_[thread].state == READY) resume(thread), moved = true;
        }
        for (int first = 0; first < count; first += WARP) {
            const int last = first + WARP < count ? first + WARP : count;
            if (all(AT_WARP, first, last)) release(AT_WARP, first, last), moved = true;
        }
        if (all(DONE, 0, count)) return;
        if (all(AT_BLOCK, 0, count)) release(AT_BLOCK, 0, count), moved = true;
        if (!moved) wrong = "threads wait for others that wait elsewhere, or are done";
    }
}

// How a parameter comes: a 64-bit word each, smaller ones in its low bytes. Its letter says its type to emulation.py.
template <class T> struct Letter;
template <> struct Letter<int> { static const char value = 'I'; };
template <> struct Letter<float> { static const char value = 'F'; };
template <> struct Letter<const float *> { static const char value = 'f'; };
template <> struct Letter<float *> { static const char value = 'f'; };
template <> struct Letter<const int *> { static const char value = 'i'; };
template <> struct Letter<const int4 *> { static const char value = 'i'; };
template <> struct Letter<int *> { static const char value = 'i'; };
template <> struct Letter<const signed char *> { static const char value = 'b'; };
template <> struct Letter<signed char *> { static const char value = 'b'; };
template <> struct Letter<const unsigned short *> { static const char value = 'h'; };

template <class T> static T word(const uint64_t *at) { T v; memcpy(&v, at, sizeof v); return v; }

static const uint64_t *words;
template <auto kernel> struct Call;
template <class... A, void (*kernel)(A...)> struct Call<kernel> {
    template <size_t... I> static void with(std::index_sequence<I...>) { kernel(word<A>(words + I)...); }
    static void now() { with(std::index_sequence_for<A...>()); }
    static const char *letters() {
        static const char made[] = {Letter<A>::value..., 0};
        return made;
    }
};

template <auto kernel> static const char *run_grid(const uint64_t *values, const int *grid, int threads, int shared) {
    wrong = nullptr;
    words = values;
    work = Call<kernel>::now;
    blockDim = {(unsigned)threads, 1, 1};
    gridDim = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]};
    if (shared > MOST_SHARED || threads > MOST_THREADS) return "no GPU has so much of a block";
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x; x++) {
                blockIdx = {x, y, z};
                memset(memory, 0xff, shared + GUARD);  // NaN, and -1
                run_block(threads);
                for (int i = 0; i < GUARD && !wrong; i++)
                    if (memory[shared + i] != (char)0xff) wrong = "a block writes past its shared memory";
                if (wrong) return wrong;
            }
    return nullptr;
}
