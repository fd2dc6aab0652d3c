// A product with a weight, [rows, in] · [out, in]ᵀ, or a convolution as the same product over the pixels under its kernel, which the
// copy engine gathers; with an epilogue.
//
// A block has tiles of ROWS × BN one after the other, in steps of 64 elements of the summed dimension, for which SLOTS places of shared
// memory are filled by one thread and multiplied by two groups of 128 threads. Either both work on one tile, 64 rows each, or
// (ALTERNATE) each has tiles of its own, so that one writes what it has while the other multiplies.
//
// Constants: BN, SLOTS, ALTERNATE, CONVOLUTION, PAIR (a second input, its channels after the first's), GATED, SPLIT (the sum is made by
// several blocks, of which the last to come adds the parts up, always in the same order), BIAS, ADD, MUL, RESIDUAL, ACTIVATION, VECTOR (rows of the
// output can be written 16 bytes at a time), WIDE (the output is of f32), BFLOAT.

#define ROWS 128
#define SLOT_A (ROWS * 128)
#define SLOT_B (BN * 128)
#define SLOT (SLOT_A + SLOT_B)
#if ALTERNATE
#define BLOCKS 2
#else
#define BLOCKS 1
#endif
#define HALF (BN / 2)
#define PARTS (BN / 2)
#if GATED
#define OUT_BN HALF
#else
#define OUT_BN BN
#endif
// Rows of 32 values in f32 that a warp turns into rows of 16-byte pieces.
#define STAGE_PITCH 40
#define STAGE (16 * STAGE_PITCH * 4)

#if WIDE
typedef float Output;
__device__ __forceinline__ float round_to_output(float value) { return value; }
__device__ __forceinline__ void store_8(float *to, const float (&values)[8]) {
    ((float4 *)to)[0] = make_float4(values[0], values[1], values[2], values[3]);
    ((float4 *)to)[1] = make_float4(values[4], values[5], values[6], values[7]);
}
#else
typedef u16 Output;
__device__ __forceinline__ u16 round_to_output(float value) { return (u16)(pack(value, value) & 0xFFFF); }
__device__ __forceinline__ void store_8(u16 *to, const float (&values)[8]) { *(uint4 *)to = pack_8(values); }
#endif

// Groups multiply one after the other: a barrier tells only whether its last phase is over, so a place must not be waited for before
// all that was there earlier has been taken.
__device__ __forceinline__ void take_turn(int group) { asm volatile("bar.sync %0, 256;" ::"r"(3 + group) : "memory"); }
__device__ __forceinline__ void pass_turn(int group) { asm volatile("bar.arrive %0, 256;" ::"r"(3 + group) : "memory"); }

struct Info {
    // Of the output; `out` counts columns that are written.
    u64 rows, out, positions;
    u64 tiles_m, tiles_n, steps, splits;
    // Of a convolution: steps of 64 through the channels of both inputs, the first's channels; kernel width, stride, padding, and the output's size.
    u64 chunks_first, chunks_second, first_channels, kernel_w, stride, top, left, out_h, out_w, batch;
    // log2 of a tile's width and height in pixels, and tiles along and down.
    u64 log_w, log_h, tiles_x, tiles_y;
    u64 add_offset, add_pitch, mul_offset, mul_pitch, residual_pitch;
    // f32, as bits.
    u64 scale, output_scale;
    u64 total;
};

struct Tile {
    int m, n, first_step, last_step, split;
    // Of a convolution: sample, row, column of the first pixel.
    int sample, y, x;
};

// Tiles that share columns of the weight or rows of the input come near each other.
__device__ __forceinline__ Tile tile_at(int work, const Info &info) {
    Tile tile;
    const int splits = (int)info.splits;
    tile.split = work % splits;
    int index = work / splits;
    const int tiles_n = (int)info.tiles_n, tiles_m = (int)info.tiles_m;
    const int band = 8 * tiles_n;
    const int first = (index / band) * 8;
    const int high = min(8, tiles_m - first);
    index -= first * tiles_n;
    tile.m = first + index % high;
    tile.n = index / high;
    const int steps = (int)info.steps;
    tile.first_step = (int)((long long)steps * tile.split / splits);
    tile.last_step = (int)((long long)steps * (tile.split + 1) / splits);
#if CONVOLUTION
    const int tiles_x = (int)info.tiles_x, tiles_y = (int)info.tiles_y;
    const int log_w = (int)info.log_w, log_h = (int)info.log_h;
    tile.x = (tile.m % tiles_x) << log_w;
    tile.y = ((tile.m / tiles_x) % tiles_y) << log_h;
    tile.sample = (tile.m / (tiles_x * tiles_y)) * (ROWS >> (log_w + log_h));
#endif
    return tile;
}

// The row of the output that row `row` of a tile is, or -1; and its sample.
__device__ __forceinline__ long long place_of(int row, const Tile &tile, const Info &info, int &sample) {
#if CONVOLUTION
    const int log_w = (int)info.log_w, log_h = (int)info.log_h;
    const int x = tile.x + (row & ((1 << log_w) - 1));
    const int y = tile.y + ((row >> log_w) & ((1 << log_h) - 1));
    sample = tile.sample + (row >> (log_w + log_h));
    if (x >= (int)info.out_w || y >= (int)info.out_h || sample >= (int)info.batch) {
        return -1;
    }
    return ((long long)sample * info.out_h + y) * info.out_w + x;
#else
    const long long place = (long long)tile.m * ROWS + row;
    sample = (int)(place / (long long)info.positions);
    return place < (long long)info.rows ? place : -1;
#endif
}

// Two neighbouring elements of a vector, or what takes their place beyond its end, where nothing is written.
__device__ __forceinline__ u32 read_pair(const u16 *from, int column, int length) {
#if VECTOR
    return *(const u32 *)(from + min(column, length - 2));
#else
    return (u32)from[min(column, length - 1)] | ((u32)from[min(column + 1, length - 1)] << 16);
#endif
}

__device__ __forceinline__ void add_packed(float (&values)[8], uint4 packed) {
    float more[8];
    unpack(packed, more);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        values[i] += more[i];
    }
}

extern "C" __global__ void __launch_bounds__(384, 1) matmul(
    const __grid_constant__ TensorMap first_map,
#if PAIR
    const __grid_constant__ TensorMap second_map,
#endif
    const __grid_constant__ TensorMap weight_map,
    const void *, const void *,
#if PAIR
    const void *,
#endif
    Output *__restrict__ output,
#if BIAS
    const u16 *__restrict__ bias,
#endif
#if ADD
    const u16 *__restrict__ add,
#endif
#if MUL
    const u16 *__restrict__ mul,
#endif
#if RESIDUAL
    const u16 *__restrict__ residual,
#endif
#if SPLIT
    float4 *__restrict__ parts, u32 *__restrict__ counters,
#endif
    const __grid_constant__ Info info) {
    extern __shared__ __align__(1024) unsigned char memory[];
    const u32 base = shared_address(memory);
    const u32 full = base + SLOTS * SLOT + 8 * STAGE;
    const u32 empty = full + SLOTS * 8;
    const int thread = threadIdx.x;

    if (thread == 256) {
        prefetch(&first_map);
#if PAIR
        prefetch(&second_map);
#endif
        prefetch(&weight_map);
    }
    if (thread == 0) {
        for (int slot = 0; slot < SLOTS; slot++) {
            barrier_init(full + slot * 8, 1);
            barrier_init(empty + slot * 8, ALTERNATE ? 4 : 8);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    __syncthreads();

    if (thread >= 256) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (thread != 256) {
            return;
        }
        u32 index = 0;
        for (int work = blockIdx.x; work < (int)info.total; work += gridDim.x) {
            const Tile tile = tile_at(work, info);
#if CONVOLUTION
            const int chunks = (int)info.chunks_first + (int)info.chunks_second;
            int tap = tile.first_step / chunks, chunk = tile.first_step % chunks;
#endif
            for (int step = tile.first_step; step < tile.last_step; step++, index++) {
                const u32 slot = index % SLOTS, turn = index / SLOTS;
                barrier_wait(empty + slot * 8, (turn & 1) ^ 1);
                const u32 barrier = full + slot * 8;
                barrier_expect(barrier, SLOT);
                const u32 a = base + slot * SLOT, b = a + SLOT_A;
#if CONVOLUTION
                const int ky = tap / (int)info.kernel_w, kx = tap % (int)info.kernel_w;
                const int x = tile.x * (int)info.stride + kx - (int)info.left;
                const int y = tile.y * (int)info.stride + ky - (int)info.top;
                int column = chunk * 64;
#if PAIR
                if (chunk >= (int)info.chunks_first) {
                    const int channel = (chunk - (int)info.chunks_first) * 64;
                    load_4d(a, &second_map, barrier, channel, x, y, tile.sample);
                    column = (int)info.first_channels + channel;
                } else
#endif
                {
                    load_4d(a, &first_map, barrier, column, x, y, tile.sample);
                }
                load_4d(b, &weight_map, barrier, column, kx, ky, tile.n * BN);
                if (++chunk == chunks) {
                    chunk = 0;
                    tap++;
                }
#else
                const int column = step * 64;
                load_2d(a, &first_map, barrier, column, tile.m * ROWS);
#if GATED
                load_2d(b, &weight_map, barrier, column, tile.n * HALF);
                load_2d(b + HALF * 128, &weight_map, barrier, column, (int)info.out + tile.n * HALF);
#else
                load_2d(b, &weight_map, barrier, column, tile.n * BN);
#endif
#endif
            }
        }
        return;
    }

    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    const int group = thread / 128, warp = thread / 32, lane = thread % 32;
    float *const stage = (float *)(memory + SLOTS * SLOT + warp * STAGE);
    float sums[BLOCKS][PARTS];
    u32 index = 0;
#if ALTERNATE
    int turn_of = 0;
    if (group == 1) {
        pass_turn(0);
    }
#endif
    for (int work = blockIdx.x; work < (int)info.total; work += gridDim.x) {
        const Tile tile = tile_at(work, info);
        const int steps = tile.last_step - tile.first_step;
#if ALTERNATE
        const bool mine = (turn_of & 1) == group;
        turn_of++;
        if (!mine) {
            index += steps;
            continue;
        }
        take_turn(group);
#endif
        for (int step = 0; step < steps; step++, index++) {
            const u32 slot = index % SLOTS;
            barrier_wait(full + slot * 8, (index / SLOTS) & 1);
            const u32 a = base + slot * SLOT + (ALTERNATE ? 0 : group * (64 * 128)), b = base + slot * SLOT + SLOT_A;
            mma_fence();
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const u64 right = descriptor(b + k * 32, 16);
#pragma unroll
                for (int block = 0; block < BLOCKS; block++) {
                    multiply(sums[block], descriptor(a + block * (64 * 128) + k * 32, 16), right, step + k != 0);
                }
            }
            mma_commit();
            mma_wait<1>();
            if (step != 0 && lane == 0) {
                barrier_arrive(empty + ((index - 1) % SLOTS) * 8);
            }
        }
#if ALTERNATE
        pass_turn(1 - group);
#endif
        mma_wait<0>();
#pragma unroll
        for (int block = 0; block < BLOCKS; block++) {
            settle(sums[block]);
        }
        if (lane == 0) {
            barrier_arrive(empty + ((index - 1) % SLOTS) * 8);
        }

#if SPLIT
        // Every split leaves its part; whoever comes last adds them up.
        {
            const int splits = (int)info.splits;
            const int owner = ALTERNATE ? 0 : group, owners = ALTERNATE ? 1 : 2;
            const long long cell = ((long long)(work / splits) * owners + owner);
            const long long size = BLOCKS * PARTS / 4 * 128;
            float4 *const mine_at = parts + (cell * splits + tile.split) * size + thread % 128;
#pragma unroll
            for (int block = 0; block < BLOCKS; block++) {
#pragma unroll
                for (int i = 0; i < PARTS / 4; i++) {
                    __stcg(mine_at + (block * (PARTS / 4) + i) * 128,
                           make_float4(sums[block][4 * i], sums[block][4 * i + 1], sums[block][4 * i + 2], sums[block][4 * i + 3]));
                }
            }
            __threadfence();
            group_barrier(1 + group);
            u32 *const flag = (u32 *)(memory + SLOTS * SLOT + 8 * STAGE + 2 * SLOTS * 8) + group;
            if (thread % 128 == 0) {
                const u32 before = atomicAdd(counters + cell, 1u);
                *flag = before;
                if (before == (u32)splits - 1) {
                    counters[cell] = 0;
                }
            }
            group_barrier(1 + group);
            const bool last = *flag == (u32)splits - 1;
            group_barrier(1 + group);
            if (!last) {
                continue;
            }
            __threadfence();
#pragma unroll
            for (int block = 0; block < BLOCKS; block++) {
#pragma unroll
                for (int i = 0; i < PARTS; i++) {
                    sums[block][i] = 0.0f;
                }
            }
            for (int split = 0; split < splits; split++) {
                const float4 *const from = parts + (cell * splits + split) * size + thread % 128;
#pragma unroll
                for (int block = 0; block < BLOCKS; block++) {
#pragma unroll
                    for (int i = 0; i < PARTS / 4; i++) {
                        const float4 part = __ldcg(from + (block * (PARTS / 4) + i) * 128);
                        sums[block][4 * i] += part.x;
                        sums[block][4 * i + 1] += part.y;
                        sums[block][4 * i + 2] += part.z;
                        sums[block][4 * i + 3] += part.w;
                    }
                }
            }
        }
#endif

        const float scale = __uint_as_float((u32)info.scale), output_scale = __uint_as_float((u32)info.output_scale);
        const int out = (int)info.out;
        const int first_column = tile.n * OUT_BN;
#pragma unroll
        for (int block = 0; block < BLOCKS; block++) {
            const int first_row = (ALTERNATE ? block * 64 : group * 64) + (warp % 4) * 16;
            // Two rows of 16 per lane, one in each half.
            long long places[2];
            int samples[2];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                places[half] = place_of(first_row + half * 8 + lane / 4, tile, info, samples[half]);
            }
#pragma unroll
            for (int chunk = 0; chunk < (OUT_BN + 31) / 32; chunk++) {
                // What is read from memory is asked for before anything waits for it.
#if BIAS
                u32 biases[4];
#if GATED
                u32 gate_biases[4];
#endif
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const int column = first_column + (chunk * 4 + j) * 8 + (lane % 4) * 2;
                    biases[j] = read_pair(bias, column, out);
#if GATED
                    gate_biases[j] = read_pair(bias + out, column, out);
#endif
                }
#endif
#if RESIDUAL && VECTOR
                uint4 residuals[2];
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int column = min(first_column + chunk * 32 + (lane % 4) * 8, out - 8);
                    residuals[half] = *(const uint4 *)(residual + (places[half] < 0 ? 0 : places[half]) * (long long)info.residual_pitch + column);
                }
#endif
                __syncwarp();
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const int piece = chunk * 4 + j;
                    if (piece * 8 < OUT_BN) {
#pragma unroll
                        for (int half = 0; half < 2; half++) {
                            float2 pair = make_float2(sums[block][piece * 4 + half * 2], sums[block][piece * 4 + half * 2 + 1]);
#if BIAS
                            pair.x += widen((u16)(biases[j] & 0xFFFF));
                            pair.y += widen((u16)(biases[j] >> 16));
#endif
#if GATED
                            const int gate = piece + OUT_BN / 8;
                            float2 gates = make_float2(sums[block][gate * 4 + half * 2], sums[block][gate * 4 + half * 2 + 1]);
#if BIAS
                            gates.x += widen((u16)(gate_biases[j] & 0xFFFF));
                            gates.y += widen((u16)(gate_biases[j] >> 16));
#endif
                            pair.x *= activate(gates.x);
                            pair.y *= activate(gates.y);
#endif
                            *(float2 *)(stage + (half * 8 + lane / 4) * STAGE_PITCH + j * 8 + (lane % 4) * 2) = pair;
                        }
                    }
                }
                __syncwarp();
                const int column = first_column + chunk * 32 + (lane % 4) * 8;
                if (chunk * 32 + (lane % 4) * 8 >= OUT_BN || column >= out) {
                    continue;
                }
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    if (places[half] < 0) {
                        continue;
                    }
                    const float *const from = stage + (half * 8 + lane / 4) * STAGE_PITCH + (lane % 4) * 8;
                    const float4 low = *(const float4 *)from, high = *(const float4 *)(from + 4);
                    float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#if VECTOR
#if ADD
                    add_packed(values, *(const uint4 *)(add + (long long)samples[half] * info.add_pitch + info.add_offset + column));
#endif
#if !GATED
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        values[i] = activate(values[i]);
                    }
#endif
#if MUL
                    float factors[8];
                    unpack(*(const uint4 *)(mul + (long long)samples[half] * info.mul_pitch + info.mul_offset + column), factors);
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        values[i] *= factors[i];
                    }
#endif
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        values[i] *= scale;
                    }
#if RESIDUAL
                    add_packed(values, residuals[half]);
#endif
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        values[i] *= output_scale;
                    }
                    store_8(output + places[half] * (long long)out + column, values);
#else
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        if (column + i < out) {
                            float value = values[i];
#if ADD
                            value += widen(add[(long long)samples[half] * info.add_pitch + info.add_offset + column + i]);
#endif
#if !GATED
                            value = activate(value);
#endif
#if MUL
                            value *= widen(mul[(long long)samples[half] * info.mul_pitch + info.mul_offset + column + i]);
#endif
                            value *= scale;
#if RESIDUAL
                            value += widen(residual[places[half] * (long long)info.residual_pitch + column + i]);
#endif
                            value *= output_scale;
                            output[places[half] * (long long)out + column + i] = round_to_output(value);
                        }
                    }
#endif
                }
            }
        }
        // Lanes part ways above, and the next product needs all of a warp.
        __syncwarp();
    }
}
