// Group norm with affine and activation, in two launches: `moments` has blocks that each read some pixels of a sample, all channels of them,
// and leave sums and sums of squares of each group; `normalise` adds up what the blocks of a sample left, always in the same order, and
// writes.
//
// Sums are of values less the first value of the group in the sample, which is as far from the mean as any other, so that squares do
// not cancel where the mean is large.
//
// Constants: AFFINE, ACTIVATION, BFLOAT, THREADS.

struct Info {
    // Channels come in vectors of 8; a block has THREADS / vectors rows of threads.
    u64 pixels, channels, groups, pitch, chunk, chunks;
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

// Sum and sum of squares per group and block: [sample, group, chunk].
extern "C" __global__ void __launch_bounds__(THREADS) moments(const u16 *__restrict__ input, float2 *__restrict__ found,
                                                              const __grid_constant__ Info info) {
    // [lane, place in a vector, vector], so that neighbouring threads write to neighbouring words.
    extern __shared__ __align__(16) float2 shared[];
    const int vectors = (int)info.channels / 8, lanes = THREADS / vectors;
    const int depth = (int)(info.channels / info.groups);
    const int column = threadIdx.x % vectors, lane = threadIdx.x / vectors;
    const int first = blockIdx.x * (int)info.chunk, last = min(first + (int)info.chunk, (int)info.pixels);
    const u16 *const sample = input + (long long)blockIdx.y * info.pixels * info.pitch;

    if (lane < lanes) {
        float centre[8], sum[8], squares[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            centre[i] = widen(sample[(column * 8 + i) / depth * depth]);
            sum[i] = squares[i] = 0.0f;
        }
        const u16 *const from = sample + column * 8;
#pragma unroll 4
        for (int pixel = first + lane; pixel < last; pixel += lanes) {
            float values[8];
            unpack(*(const uint4 *)(from + (long long)pixel * info.pitch), values);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float value = values[i] - centre[i];
                sum[i] += value;
                squares[i] += value * value;
            }
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            shared[(lane * 8 + i) * vectors + column] = make_float2(sum[i], squares[i]);
        }
    }
    __syncthreads();

    for (int group = threadIdx.x / 32; group < (int)info.groups; group += THREADS / 32) {
        float sum = 0.0f, squares = 0.0f;
        for (int from = 0; from < lanes; from++) {
            for (int i = threadIdx.x % 32; i < depth; i += 32) {
                const int channel = group * depth + i;
                const float2 part = shared[(from * 8 + channel % 8) * vectors + channel / 8];
                sum += part.x;
                squares += part.y;
            }
        }
        sum = add_lanes(sum);
        squares = add_lanes(squares);
        if (threadIdx.x % 32 == 0) {
            found[((long long)blockIdx.y * info.groups + group) * info.chunks + blockIdx.x] = make_float2(sum, squares);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) normalise(const u16 *__restrict__ input, const float2 *__restrict__ found,
#if AFFINE
                                                                const u16 *__restrict__ weight, const u16 *__restrict__ bias,
#endif
                                                                u16 *__restrict__ output, const __grid_constant__ Info info) {
    // Factor and summand of each channel.
    extern __shared__ __align__(16) float2 shared[];
    const int channels = (int)info.channels, depth = (int)(info.channels / info.groups);
    const int pixels = (int)info.pixels, chunk = (int)info.chunk;
    const u16 *const sample = input + (long long)blockIdx.y * info.pixels * info.pitch;
    const float share = 1.0f / ((float)pixels * (float)depth);
    for (int group = threadIdx.x / 32; group < (int)info.groups; group += THREADS / 32) {
        float sum = 0.0f, squares = 0.0f;
        const float2 *const parts = found + ((long long)blockIdx.y * info.groups + group) * info.chunks;
        for (int i = threadIdx.x % 32; i < (int)info.chunks; i += 32) {
            const float2 part = parts[i];
            sum += part.x;
            squares += part.y;
        }
        const float mean = add_lanes(sum) * share;
        const float variance = fmaxf(add_lanes(squares) * share - mean * mean, 0.0f);
        const float factor = rsqrtf(variance + __uint_as_float((u32)info.eps));
        const float centre = mean + widen(sample[group * depth]);
        for (int i = threadIdx.x % 32; i < depth; i += 32) {
            const int channel = group * depth + i;
#if AFFINE
            const float scale = factor * widen(weight[channel]);
            shared[channel] = make_float2(scale, widen(bias[channel]) - centre * scale);
#else
            shared[channel] = make_float2(factor, -centre * factor);
#endif
        }
    }
    __syncthreads();

    const int vectors = channels / 8, lanes = THREADS / vectors;
    const int column = threadIdx.x % vectors, lane = threadIdx.x / vectors;
    if (lane >= lanes) {
        return;
    }
    float2 affine[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        affine[i] = shared[column * 8 + i];
    }
    const int first = blockIdx.x * chunk, last = min(first + chunk, pixels);
    const u16 *const from = sample + column * 8;
    u16 *const to = output + (long long)blockIdx.y * info.pixels * channels + column * 8;
#pragma unroll 4
    for (int pixel = first + lane; pixel < last; pixel += lanes) {
        float values[8];
        unpack(*(const uint4 *)(from + (long long)pixel * info.pitch), values);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            values[i] = activate(values[i] * affine[i].x + affine[i].y);
        }
        *(uint4 *)(to + (long long)pixel * channels) = pack_8(values);
    }
}
