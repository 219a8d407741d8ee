// tile: TM filters by TN places of a convolution, summed up in registers.
//
//     sums[n][m] = sum over taps and channels of w[tap, c, m] * (x[c, place n's tap] - x_zero)
//
// It is a matrix product whose right side, x's windows, is never written down. A place is a number from 0 to the images'
// places. Weights lie as (group, block, taps, channels, TM), so that a tile reads a stream of them. Bounds are looked at
// once a tap; what runs is the loop over channels: a vector of filters, and TN numbers of x.
//
// number is float or int; HALVES: w is fp16, of which no arithmetic is asked.

#define row_t JOIN(number, TM)

#if HALVES
#define WEIGHTS(at, w) JOIN(vload_half, TM)(at, w)
#else
#define WEIGHTS(at, w) JOIN(convert_, row_t)(JOIN(vload, TM)(at, w))
#endif

void tile(
    __global const x_t *x, __global const w_t *w, row_t *sums, int place, int places, int block, int blocks, int g,
    int x_zero, GEOMETRY) {
    int from[TN], iy[TN], ix[TN];
    look(place, places, g, from, iy, ix, GIVEN);
    for (int n = 0; n < TN; n++) sums[n] = 0;
    int tap = (g * blocks + block) * kh * kw * c;
    for (int ky = 0; ky < kh; ky++)
        for (int kx = 0; kx < kw; kx++) {
            const int down = ky * dilation_h, across = kx * dilation_w;
            int at[TN];
            bool inside[TN];
            for (int n = 0; n < TN; n++) {
                inside[n] = (uint)(iy[n] + down) < (uint)h && (uint)(ix[n] + across) < (uint)width;
                at[n] = inside[n] ? from[n] + down * width + across : 0;
            }
            for (int k = 0; k < c; k++, tap++) {
                const row_t filters = WEIGHTS(tap, w);
                for (int n = 0; n < TN; n++) {
                    sums[n] += filters * (inside[n] ? (number)x[at[n]] - x_zero : 0);
                    at[n] += h * width;
                }
            }
        }
}
