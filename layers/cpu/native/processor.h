/* processor.h: whether this processor has the instructions that the kernels were compiled for: x86-64's LEVEL, and those
 * that multiply DOTS small integers a lane. */

#if defined(__x86_64__)
#include <cpuid.h>

/* The levels of the System V psABI for x86-64, table 3.1: bits of cpuid 1 ecx, 7 ebx, and of the registers that the
 * operating system saves. */
static const unsigned LEVELS[][3] = {
    {0x00982201u, 0x00000000u, 0x00u}, /* v2: SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT */
    {0x38d83201u, 0x00000128u, 0x06u}, /* v3: FMA, MOVBE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2 */
    {0x38d83201u, 0xd0030128u, 0xe6u}, /* v4: AVX-512 F, DQ, CD, BW, VL */
};

static int processor_serves(void) {
    const unsigned *wanted = LEVELS[LEVEL - 2];
    unsigned eax, ebx, ecx, edx, saved = 0, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & wanted[0]) != wanted[0]) return 0;
    if (wanted[2]) {
        __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
        if ((saved & wanted[2]) != wanted[2]) return 0;
    }
    if (wanted[1]) {
        if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (ebx & wanted[1]) != wanted[1]) return 0;
    }
    if (DOTS < 4) return 1;
    if (LEVEL == 4) return (int)(ecx >> 11 & 1);                                    /* AVX512_VNNI */
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (int)(eax >> 4 & 1); /* AVX-VNNI */
}

#elif defined(__linux__) && (defined(__arm__) || defined(__aarch64__) || defined(__riscv))
#include <sys/auxv.h>

#if defined(__aarch64__) /* all have vectors; not all the dot product of bytes */
#define WANTED (DOTS == 4 ? 1UL << 20 : 0UL)
#elif defined(__arm__)
#define WANTED (1UL << 12 | 1UL << 16) /* NEON and VFPv4, as <asm/hwcap.h> numbers them */
#else
#define WANTED (1UL << ('V' - 'A')) /* a letter of the instruction set's name a bit */
#endif

static int processor_serves(void) {
    return (getauxval(AT_HWCAP) & WANTED) == WANTED;
}

#else
static int processor_serves(void) { /* here nobody can be asked */
    return 1;
}
#endif
