// geometry: the numbers that say what a convolution reads: as a function takes them, and as it is given them. c counts the
// channels of a group, m all filters.

#define GEOMETRY \
    int c, int h, int width, int m, int oh, int ow, int kh, int kw, int stride_h, int stride_w, int dilation_h, \
    int dilation_w, int top, int left, int group
#define GIVEN c, h, width, m, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, group
