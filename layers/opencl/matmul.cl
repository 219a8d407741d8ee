// matmul: one element of a product of matrices. a_of and b_of say which matrices each of y's is the product of.

void matmul(__global const a_t *a, __global const b_t *b, __global y_t *y, __global const int *a_of,
            __global const int *b_of, int m, int n, int k, int b_row, int b_column, int a_zero, int b_zero,
            float multiplier, float low, float high, float zero, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int row = i / n, column = i - row * n, matrix = row / m;
    const int left = a_of[matrix] * m * k + (row - matrix * m) * k, right = b_of[matrix] * n * k + column * b_column;
    number sum = 0;
    for (int j = 0; j < k; j++) sum += ((number)a[left + j] - a_zero) * ((number)b[right + j * b_row] - b_zero);
#if !INTEGERS || TO == 2
    y[i] = sum;
#elif TO == 1
    y[i] = (float)sum * multiplier;
#else
    y[i] = rounded((float)sum * multiplier, low, high, zero);
#endif
}
