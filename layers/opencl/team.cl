// team: a work-group sums up BM filters by BN places of a convolution. What they read passes through the memory that they
// share, so each number comes from far away once for BM filters, and each weight once for BN places.
//
//     sums[i][n] = sum over cells k of w[k, i] * x[place n's cell k]
//
// A work-item has TM filters by TN places side by side, as TN numbers in a vector: fetches that vector of rows of the
// stage, which has BK cells, and adds up. A cell is a number, or with WORDS four bytes of four channels. The table
// `taps` says where cells lie: how far on in x, rows down, columns across, how many channels.
//
// number is float, or int with WORDS; HALVES: w is fp16, of which no arithmetic is asked. x_zero is what the padding holds;
// it is not taken off: what it adds up to is in the bias.

#define row_t JOIN(number, TN)
#define ACROSS (BN / TN)  // work-items side by side
#define DOWN (BM / TM)
#define ALL (ACROSS * DOWN)

#if WORDS
#define read_t uchar
typedef int cell;
#define cells_t JOIN(int, TN)
#define CHANNEL(i) (channels > i ? JOIN(convert_, cells_t)(PLACES((__global const uchar *)x + at + i * plane)) << 8 * i : 0)
#ifdef __opencl_c_integer_dot_product_input_4x8bit
#define PRODUCT(a, b) dot(as_char4(a), as_char4(b))
#else
#define PRODUCT(a, b) \
    ((char)(a) * (char)(b) + (char)((a) >> 8) * (char)((b) >> 8) + (char)((a) >> 16) * (char)((b) >> 16) + \
     ((a) >> 24) * ((b) >> 24))
#endif
#else
#define read_t number
typedef number cell;
#define cells_t row_t
#endif

// One cell of x, whose place is inside.
cell cell_at(__global const x_t *x, int at, int plane, int channels) {
#if WORDS
    int word = (uchar)x[at];
    word |= channels > 1 ? (uchar)x[at + plane] << 8 : 0;
    word |= channels > 2 ? (uchar)x[at + 2 * plane] << 16 : 0;
    return word | (channels > 3 ? (uchar)x[at + 3 * plane] << 24 : 0);
#else
    return x[at];
#endif
}

// TN cells of x, of places that lie `step` apart in a row of an image.
cells_t cells_at(__global const x_t *x, int at, int plane, int channels, int step) {
#if WORDS
    return CHANNEL(0) | CHANNEL(1) | CHANNEL(2) | CHANNEL(3);
#else
    return PLACES(x + at);
#endif
}

void team(
    __global const x_t *x, __global const w_t *w, __global const int4 *taps, row_t *sums, int place, int places, int x_zero,
    __local cell *ws, __local cell *xs, int depth, GEOMETRY) {
    const int me = get_local_id(0), plane = h * width, g = get_global_id(2);
    const int my_row = me / ACROSS, my_column = me % ACROSS * TN;
    int from[TN], iy[TN], ix[TN];
    look(place, places, g, from, iy, ix, GIVEN);
    // places of one row of the image are read together, if their steps are short
    const int last = TN * stride_w - 1;
    const bool in_a_row = stride_w <= 2 && iy[0] == iy[TN - 1] && from[TN - 1] - from[0] == (TN - 1) * stride_w;
    const cell nothing = WORDS ? (x_zero & 255) * 0x01010101 : 0;
    for (int i = 0; i < TM; i++) sums[i] = 0;

    for (int start = 0; start < depth; start += BK) {
        for (int k = my_row; k < BK; k += DOWN) {
            const int4 t = taps[start + k];
            cells_t v = nothing;
            if (in_a_row && ix[0] + t.z >= 0 && ix[0] + t.z + last < width) {
                if ((uint)(iy[0] + t.y) < (uint)h) v = cells_at(x, from[0] + t.x, plane, t.w, stride_w);
            } else {
                cell each[TN];
                for (int n = 0; n < TN; n++) {
                    const bool inside = (uint)(iy[n] + t.y) < (uint)h && (uint)(ix[n] + t.z) < (uint)width;
                    each[n] = inside ? cell_at(x, from[n] + t.x, plane, t.w) : nothing;
                }
                v = JOIN(vload, TN)(0, each);
            }
            JOIN(vstore, TN)(v, 0, xs + k * BN + my_column);
        }
        for (int i = me; i < BK * BM / 4; i += ALL)
#if HALVES
            vstore4(vload_half4(i, w + start * BM), i, ws);
#else
            vstore4(vload4(i, w + start * BM), i, ws);
#endif
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < BK; k++) {
            const cells_t v = JOIN(vload, TN)(0, xs + k * BN + my_column);
            for (int i = 0; i < TM; i++) {
                const cell weight = ws[k * BM + my_row * TM + i];
#if WORDS
                for (int n = 0; n < TN; n++) ((int *)&sums[i])[n] += PRODUCT(weight, ((const int *)&v)[n]);
#else
                sums[i] += weight * v;
#endif
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}
