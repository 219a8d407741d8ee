// group: what the work-items of a group find out together, and which numbers belong together.

// Where the number `i` of some lies, counted along axes of these (size, step), the last axis first.
int placed(int i, __global const int *axes, int rank) {
    int at = 0;
    for (int k = 0; k < rank; k++) {
        const int above = i / axes[2 * k];
        at += (i - above * axes[2 * k]) * axes[2 * k + 1];
        i = above;
    }
    return at;
}

// The sum, or the largest, of `v` over the group, whose size is a power of 2. `shared` has a number for each.
float group_sum(float v, __local float *shared) {
    const int me = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    shared[me] = v;
    for (int middle = get_local_size(0) / 2; middle > 0; middle /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me < middle) shared[me] += shared[me + middle];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return shared[0];
}

float group_max(float v, __local float *shared) {
    const int me = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    shared[me] = v;
    for (int middle = get_local_size(0) / 2; middle > 0; middle /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me < middle) shared[me] = fmax(shared[me], shared[me + middle]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return shared[0];
}
