// Layer norm with affine: a warp has a row, of which each lane keeps what it has read in registers, so that the mean is known before
// squares are summed.
//
// Constants: VECTORS (of 8 channels, that a lane has), AFFINE, BFLOAT, THREADS.

struct Info {
    u64 rows, channels, pitch;
    // f32 as bits.
    u64 eps;
};

__device__ __forceinline__ float add_lanes(float sum) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, distance);
    }
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS) layer_norm(const u16 *__restrict__ input,
#if AFFINE
                                                                 const u16 *__restrict__ weight, const u16 *__restrict__ bias,
#endif
                                                                 u16 *__restrict__ output, const __grid_constant__ Info info) {
    const long long row = (long long)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32, vectors = (int)info.channels / 8;
    if (row >= (long long)info.rows) {
        return;
    }
    const u16 *const from = input + row * (long long)info.pitch;
    uint4 words[VECTORS];
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        words[v] = make_uint4(0, 0, 0, 0);
        if (v * 32 + lane < vectors) {
            words[v] = *(const uint4 *)(from + (v * 32 + lane) * 8);
        }
    }
    const float share = 1.0f / (float)info.channels;
    float sum = 0.0f, squares = 0.0f;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        float values[8];
        unpack(words[v], values);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            sum += values[i];
        }
    }
    const float mean = add_lanes(sum) * share;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        if (v * 32 + lane < vectors) {
            float values[8];
            unpack(words[v], values);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float value = values[i] - mean;
                squares += value * value;
            }
        }
    }
    const float factor = rsqrtf(add_lanes(squares) * share + __uint_as_float((u32)info.eps));
    u16 *const to = output + row * (long long)info.channels;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const int channel = (v * 32 + lane) * 8;
        if (v * 32 + lane < vectors) {
            float values[8];
            unpack(words[v], values);
#if AFFINE
            float scale[8], shift[8];
            unpack(*(const uint4 *)(weight + channel), scale);
            unpack(*(const uint4 *)(bias + channel), shift);
#endif
#pragma unroll
            for (int i = 0; i < 8; i++) {
                values[i] = (values[i] - mean) * factor;
#if AFFINE
                values[i] = values[i] * scale[i] + shift[i];
#endif
            }
            *(uint4 *)(to + channel) = pack_8(values);
        }
    }
}
