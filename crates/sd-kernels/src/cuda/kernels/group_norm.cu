// Group norm with affine and activation, in two launches: `moments` has blocks that each read some pixels of a sample, all channels of them,
// and leave mean and squared deviations of each group; `normalise` merges what the blocks of a sample left, always in the same order, and
// writes. Moments are merged as Chan et al. (1979) have it, so that nothing cancels.
//
// Constants: AFFINE, ACTIVATION, BFLOAT, THREADS.

struct Info {
    // Channels come in vectors of 8; a block has THREADS / vectors rows of threads.
    u64 pixels, channels, groups, pitch, chunk, chunks;
    // f32 as bits.
    u64 eps;
};

struct Moments {
    float count, mean, squares;
};

__device__ __forceinline__ Moments merge(Moments a, Moments b) {
    const float count = a.count + b.count;
    if (count == 0.0f) {
        return a;
    }
    const float delta = b.mean - a.mean, share = b.count / count;
    Moments merged;
    merged.count = count;
    merged.mean = a.mean + delta * share;
    merged.squares = a.squares + b.squares + delta * delta * a.count * share;
    return merged;
}

__device__ __forceinline__ Moments merge_lanes(Moments moments) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        Moments other;
        other.count = __shfl_down_sync(0xFFFFFFFF, moments.count, distance);
        other.mean = __shfl_down_sync(0xFFFFFFFF, moments.mean, distance);
        other.squares = __shfl_down_sync(0xFFFFFFFF, moments.squares, distance);
        moments = merge(moments, other);
    }
    return moments;
}

// Mean and squared deviations per group and block: [sample, group, chunk].
extern "C" __global__ void __launch_bounds__(THREADS) moments(const u16 *__restrict__ input, float2 *__restrict__ found,
                                                              const __grid_constant__ Info info) {
    extern __shared__ __align__(16) float2 shared[];
    const int vectors = (int)info.channels / 8, lanes = THREADS / vectors;
    const int column = threadIdx.x % vectors, lane = threadIdx.x / vectors;
    const int first = blockIdx.x * (int)info.chunk, last = min(first + (int)info.chunk, (int)info.pixels);
    const u16 *const sample = input + (long long)blockIdx.y * info.pixels * info.pitch + column * 8;

    if (lane < lanes) {
        float centre[8], sum[8], squares[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            centre[i] = sum[i] = squares[i] = 0.0f;
        }
        if (first + lane < last) {
            unpack(*(const uint4 *)(sample + (long long)(first + lane) * info.pitch), centre);
        }
        float count = 0.0f;
#pragma unroll 4
        for (int pixel = first + lane; pixel < last; pixel += lanes) {
            float values[8];
            unpack(*(const uint4 *)(sample + (long long)pixel * info.pitch), values);
            count += 1.0f;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float value = values[i] - centre[i];
                sum[i] += value;
                squares[i] += value * value;
            }
        }
        const float share = count == 0.0f ? 0.0f : 1.0f / count;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float mean = sum[i] * share;
            shared[lane * (int)info.channels + column * 8 + i] = make_float2(centre[i] + mean, fmaxf(squares[i] - mean * sum[i], 0.0f));
        }
    }
    __syncthreads();

    const int depth = (int)(info.channels / info.groups);
    for (int group = threadIdx.x / 32; group < (int)info.groups; group += THREADS / 32) {
        Moments merged = {0.0f, 0.0f, 0.0f};
        for (int i = threadIdx.x % 32; i < depth * lanes; i += 32) {
            const int from = i / depth;
            const int count = last - first - from;
            if (count > 0) {
                const float2 part = shared[from * (int)info.channels + group * depth + i % depth];
                const Moments other = {(float)((count + lanes - 1) / lanes), part.x, part.y};
                merged = merge(merged, other);
            }
        }
        merged = merge_lanes(merged);
        if (threadIdx.x % 32 == 0) {
            found[((long long)blockIdx.y * info.groups + group) * info.chunks + blockIdx.x] = make_float2(merged.mean, merged.squares);
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
    for (int group = threadIdx.x / 32; group < (int)info.groups; group += THREADS / 32) {
        Moments merged = {0.0f, 0.0f, 0.0f};
        for (int i = threadIdx.x % 32; i < (int)info.chunks; i += 32) {
            const float2 part = found[((long long)blockIdx.y * info.groups + group) * info.chunks + i];
            const Moments other = {(float)((min((i + 1) * chunk, pixels) - i * chunk) * depth), part.x, part.y};
            merged = merge(merged, other);
        }
        merged = merge_lanes(merged);
        const float mean = __shfl_sync(0xFFFFFFFF, merged.mean, 0), squares = __shfl_sync(0xFFFFFFFF, merged.squares, 0);
        const float factor = rsqrtf(squares / ((float)pixels * (float)depth) + __uint_as_float((u32)info.eps));
        for (int i = threadIdx.x % 32; i < depth; i += 32) {
            const int channel = group * depth + i;
#if AFFINE
            const float scale = factor * widen(weight[channel]);
            shared[channel] = make_float2(scale, widen(bias[channel]) - mean * scale);
#else
            shared[channel] = make_float2(factor, -mean * factor);
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
    const u16 *const from = input + (long long)blockIdx.y * info.pixels * info.pitch + column * 8;
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
