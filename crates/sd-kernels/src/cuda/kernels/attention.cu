// softmax(scale · q · kᵀ) · v for each head, without the matrix of scores.
//
// A block has 128 queries of one head, 64 for each of two groups of 128 threads; a thread of a third group fills places of shared
// memory with tiles of TILE keys and values. Scores, shares and outputs stay in registers: while the product of the shares of one tile with
// its values runs, the scores of the next are computed.
//
// Constants: TILE (keys at once), HEAD (width of a head), ATOMS (HEAD in 64s), SLOTS, CAUSAL, BFLOAT.

#define QUERIES 128
#define QUERY_ATOM (QUERIES * 128)
#define TILE_ATOM (TILE * 128)
#define TILE_BYTES (ATOMS * TILE_ATOM)
#define QUERY_BYTES (ATOMS * QUERY_ATOM)
#define WIDTH_STEPS ((HEAD + 15) / 16)

// The groups take turns in giving the tensor cores work, so that one multiplies while the other has a softmax to do.
__device__ __forceinline__ void take_turn(int group) { asm volatile("bar.sync %0, 256;" ::"r"(3 + group) : "memory"); }
__device__ __forceinline__ void pass_turn(int group) { asm volatile("bar.arrive %0, 256;" ::"r"(3 + group) : "memory"); }

struct Info {
    u64 queries, keys, heads;
    // f32 as bits: the factor of the scores times log2(e).
    u64 scale;
};

__device__ __forceinline__ void scores_of(float (&scores)[TILE / 2], u32 query, u32 key) {
#pragma unroll
    for (int k = 0; k < WIDTH_STEPS; k++) {
        const u32 inside = (k % 4) * 32;
        multiply_scores(scores, descriptor(query + (k / 4) * QUERY_ATOM + inside, 16), descriptor(key + (k / 4) * TILE_ATOM + inside, 16), k != 0);
    }
}

__device__ __forceinline__ void add_values(float (&output)[HEAD / 2], const u32 (&shares)[TILE / 4], u32 value) {
#pragma unroll
    for (int k = 0; k < TILE / 16; k++) {
        multiply_values(output, shares[4 * k], shares[4 * k + 1], shares[4 * k + 2], shares[4 * k + 3], descriptor(value + k * 2048, TILE_ATOM), 1);
    }
}

// Scores to shares, and what they are relative to; gives the factors of what was summed before.
__device__ __forceinline__ void soften(float (&scores)[TILE / 2], float (&high)[2], float (&total)[2], float (&factor)[2],
                                       float scale, int first_key, const int (&bound)[2], bool masked) {
    const int lane = threadIdx.x % 32;
    if (masked) {
#pragma unroll
        for (int j = 0; j < TILE / 8; j++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (first_key + j * 8 + (lane % 4) * 2 + (i & 1) >= bound[i / 2]) {
                    scores[j * 4 + i] = -1e30f;
                }
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float top = high[half];
#pragma unroll
        for (int j = 0; j < TILE / 8; j++) {
            top = fmaxf(top, fmaxf(scores[j * 4 + half * 2], scores[j * 4 + half * 2 + 1]));
        }
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFF, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFF, top, 2));
        factor[half] = exp2_fast((high[half] - top) * scale);
        high[half] = top;
        const float shift = top * scale;
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < TILE / 8; j++) {
            const float left = exp2_fast(scores[j * 4 + half * 2] * scale - shift);
            const float right = exp2_fast(scores[j * 4 + half * 2 + 1] * scale - shift);
            sum += left + right;
            scores[j * 4 + half * 2] = left;
            scores[j * 4 + half * 2 + 1] = right;
        }
        total[half] = total[half] * factor[half] + sum;
    }
}

__device__ __forceinline__ void round_shares(const float (&scores)[TILE / 2], u32 (&shares)[TILE / 4]) {
#pragma unroll
    for (int i = 0; i < TILE / 4; i++) {
        shares[i] = pack(scores[2 * i], scores[2 * i + 1]);
    }
}

extern "C" __global__ void __launch_bounds__(384, 1) attention(
    const __grid_constant__ TensorMap query_map, const __grid_constant__ TensorMap key_map, const __grid_constant__ TensorMap value_map,
    const void *, const void *, const void *, u16 *__restrict__ output, const __grid_constant__ Info info) {
    extern __shared__ __align__(1024) unsigned char memory[];
    const u32 base = shared_address(memory);
    const u32 key_base = base + QUERY_BYTES, value_base = key_base + SLOTS * TILE_BYTES;
    // Barriers: the queries; then, for each place, full and empty of keys and of values.
    const u32 barriers = value_base + SLOTS * TILE_BYTES;
    const u32 key_full = barriers + 8, key_empty = key_full + SLOTS * 8, value_full = key_empty + SLOTS * 8, value_empty = value_full + SLOTS * 8;
    const int thread = threadIdx.x;
    const int head = blockIdx.y, sample = blockIdx.z;
    const int first_query = blockIdx.x * QUERIES;
    const int keys = (int)info.keys, queries = (int)info.queries;
#if CAUSAL
    const int last_key = min(keys, first_query + QUERIES);
#else
    const int last_key = keys;
#endif
    const int tiles = (last_key + TILE - 1) / TILE;

    if (thread == 0) {
        barrier_init(barriers, 1);
        for (int slot = 0; slot < SLOTS; slot++) {
            barrier_init(key_full + slot * 8, 1);
            barrier_init(key_empty + slot * 8, 8);
            barrier_init(value_full + slot * 8, 1);
            barrier_init(value_empty + slot * 8, 8);
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
        barrier_expect(barriers, QUERY_BYTES);
        for (int atom = 0; atom < ATOMS; atom++) {
            load_4d(base + atom * QUERY_ATOM, &query_map, barriers, atom * 64, head, first_query, sample);
        }
        for (int tile = 0; tile < tiles; tile++) {
            const u32 slot = tile % SLOTS, parity = ((tile / SLOTS) & 1) ^ 1;
            barrier_wait(key_empty + slot * 8, parity);
            barrier_expect(key_full + slot * 8, TILE_BYTES);
            for (int atom = 0; atom < ATOMS; atom++) {
                load_4d(key_base + slot * TILE_BYTES + atom * TILE_ATOM, &key_map, key_full + slot * 8, atom * 64, head, tile * TILE, sample);
            }
            barrier_wait(value_empty + slot * 8, parity);
            barrier_expect(value_full + slot * 8, TILE_BYTES);
            for (int atom = 0; atom < ATOMS; atom++) {
                load_4d(value_base + slot * TILE_BYTES + atom * TILE_ATOM, &value_map, value_full + slot * 8, atom * 64, head, tile * TILE, sample);
            }
        }
        return;
    }

    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    const int group = thread / 128, warp = (thread / 32) % 4, lane = thread % 32;
    const float scale = __uint_as_float((u32)info.scale);
    const int row = first_query + group * 64 + warp * 16 + lane / 4;
#if CAUSAL
    const int bound[2] = {min(keys, row + 1), min(keys, row + 9)};
    // Tiles from here on hide something from some query of the group.
    const int whole = min(keys, first_query + group * 64 + 1) / TILE;
#else
    const int bound[2] = {keys, keys};
    const int whole = keys / TILE;
#endif
    const u32 query = base + group * (64 * 128);
    float scores[TILE / 2], sums[HEAD / 2];
    u32 shares[TILE / 4];
    float high[2] = {-1e30f, -1e30f}, total[2] = {0.0f, 0.0f}, factor[2];
#pragma unroll
    for (int i = 0; i < HEAD / 2; i++) {
        sums[i] = 0.0f;
    }

    if (group == 1) {
        pass_turn(0);
    }
    barrier_wait(barriers, 0);
    barrier_wait(key_full, 0);
    mma_fence();
    scores_of(scores, query, key_base);
    mma_commit();
    mma_wait<0>();
    settle(scores);
    if (lane == 0) {
        barrier_arrive(key_empty);
    }
    soften(scores, high, total, factor, scale, 0, bound, 0 >= whole);
    round_shares(scores, shares);

    for (int tile = 1; tile < tiles; tile++) {
        const u32 slot = tile % SLOTS, before = (tile - 1) % SLOTS;
        barrier_wait(key_full + slot * 8, (tile / SLOTS) & 1);
        settle(sums);
        settle(shares);
        take_turn(group);
        mma_fence();
        scores_of(scores, query, key_base + slot * TILE_BYTES);
        mma_commit();
        barrier_wait(value_full + before * 8, ((tile - 1) / SLOTS) & 1);
        mma_fence();
        add_values(sums, shares, value_base + before * TILE_BYTES);
        mma_commit();
        pass_turn(1 - group);
        mma_wait<1>();
        settle(scores);
        if (lane == 0) {
            barrier_arrive(key_empty + slot * 8);
        }
        soften(scores, high, total, factor, scale, tile * TILE, bound, tile >= whole);
        mma_wait<0>();
        settle(sums);
        settle(shares);
        if (lane == 0) {
            barrier_arrive(value_empty + before * 8);
        }
#pragma unroll
        for (int i = 0; i < HEAD / 2; i++) {
            sums[i] *= factor[(i / 2) & 1];
        }
        round_shares(scores, shares);
    }
    const int last = tiles - 1;
    barrier_wait(value_full + (last % SLOTS) * 8, (last / SLOTS) & 1);
    mma_fence();
    add_values(sums, shares, value_base + (last % SLOTS) * TILE_BYTES);
    mma_commit();
    mma_wait<0>();
    settle(sums);

#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum = total[half];
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, 2);
        const float share = 1.0f / sum;
        const int place = row + half * 8;
        if (place < queries) {
            u16 *const to = output + (((long long)sample * queries + place) * (long long)info.heads + head) * HEAD + (lane % 4) * 2;
#pragma unroll
            for (int j = 0; j < HEAD / 8; j++) {
                *(u32 *)(to + j * 8) = pack(sums[j * 4 + half * 2] * share, sums[j * 4 + half * 2 + 1] * share);
            }
        }
    }
}
