// instructions: what a GPU can do and C++ cannot say, a function each. It stands before every other file of the folder;
// emulated.h has the same functions for a processor.

// Copies from memory to shared memory that do not pass through registers: they are under way until a `landed` waits for
// them. `there` false: zeros. Both addresses are multiples of the size.
template <class T> __device__ __forceinline__ void copy4(T *to, const T *from, bool there) {
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = there ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from), "r"(bytes));
}

template <class T> __device__ __forceinline__ void copy16(T *to, const T *from, bool there) {
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes));
}

// What was copied since the last call is a group.
__device__ __forceinline__ void together() { asm volatile("cp.async.commit_group;"); }

// Waits until all groups of this thread have landed but the last LATER ones.
template <int LATER> __device__ __forceinline__ void landed() { asm volatile("cp.async.wait_group %0;" ::"n"(LATER)); }

// d += a * b on the tensor cores, by all 32 threads of a warp: a 16 x 8, b 8 x 8, d 16 x 8; of numbers with 11 bits.
__device__ __forceinline__ void multiply(float *d, const unsigned *a, const unsigned *b) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The bits of an fp16 number as a number.
__device__ __forceinline__ float widened(unsigned short half) {
    float v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(half));
    return v;
}
