//! NumPy's `SeedSequence` (`numpy/random/bit_generator.pyx`), after M. O'Neill's `seed_seq_fe`: any number of words is
//! mixed into a pool, from which any number of words is drawn.

const INIT_POOL: u32 = 0x43b0_d7e5;
const MULTIPLY_POOL: u32 = 0x931e_8875;
const INIT_STATE: u32 = 0x8b51_f9dd;
const MULTIPLY_STATE: u32 = 0x58f3_8ded;
const MIX_LEFT: u32 = 0xca01_f9dd;
const MIX_RIGHT: u32 = 0x4973_f715;

/// A hash whose constant changes at every use.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn of(&mut self, value: u32) -> u32 {
        let value = value ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        fold(value.wrapping_mul(self.constant))
    }
}

/// `SeedSequence(entropy, spawn_key=spawn_key, pool_size=POOL).generate_state(COUNT)`.
pub(crate) fn generate_state<const POOL: usize, const COUNT: usize>(
    entropy: u64,
    spawn_key: &[u64],
) -> [u32; COUNT] {
    let mut words = words_of(entropy);
    if !spawn_key.is_empty() && words.len() < POOL {
        words.resize(POOL, 0);
    }
    words.extend(spawn_key.iter().flat_map(|&key| words_of(key)));

    let pool = pool::<POOL>(&words);
    let mut hash = Hash { constant: INIT_STATE, multiplier: MULTIPLY_STATE };
    std::array::from_fn(|index| hash.of(pool[index % POOL]))
}

fn pool<const POOL: usize>(words: &[u32]) -> [u32; POOL] {
    let mut hash = Hash { constant: INIT_POOL, multiplier: MULTIPLY_POOL };
    let mut pool: [u32; POOL] =
        std::array::from_fn(|index| hash.of(words.get(index).copied().unwrap_or(0)));
    for source in 0..POOL {
        for target in (0..POOL).filter(|&target| target != source) {
            pool[target] = mix(pool[target], hash.of(pool[source]));
        }
    }
    for &word in words.iter().skip(POOL) {
        pool.iter_mut().for_each(|value| *value = mix(*value, hash.of(word)));
    }
    pool
}

fn mix(left: u32, right: u32) -> u32 {
    fold(MIX_LEFT.wrapping_mul(left).wrapping_sub(MIX_RIGHT.wrapping_mul(right)))
}

fn fold(value: u32) -> u32 {
    value ^ (value >> 16)
}

/// The words of a number from the lowest on; one word for 0.
fn words_of(value: u64) -> Vec<u32> {
    let (low, high) = (value as u32, (value >> 32) as u32);
    if high == 0 { vec![low] } else { vec![low, high] }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with NumPy 2.4.6.
    #[test]
    fn agrees_with_numpy() {
        assert_eq!(
            generate_state::<4, 4>(42, &[]),
            [0xcd54_0ab7, 0x9f1e_2e6d, 0x79fb_94b6, 0xd578_73dc]
        );
        assert_eq!(
            generate_state::<24, 4>((1 << 40) + 7, &[0, 0]),
            [0xb4ae_2b74, 0x77f3_e95f, 0x3573_6426, 0x7ba0_1dc5]
        );
        assert_eq!(
            generate_state::<24, 4>(0, &[(1 << 33) + 5, 34]),
            [0xed08_142e, 0x191d_25c0, 0x3b0f_7dae, 0x4a69_2f9c]
        );
        assert_eq!(generate_state::<24, 3>(u64::MAX, &[]), [0x46bd_6001, 0x1280_08e2, 0xbfc8_8d82]);
    }
}
