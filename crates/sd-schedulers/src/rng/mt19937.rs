//! The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), seeded as by `init_genrand`.

const SIZE: usize = 624;
const SHIFT: usize = 397;
const MATRIX: u32 = 0x9908_b0df;
const UPPER: u32 = 0x8000_0000;

/// A generator of 32-bit numbers.
#[derive(Clone)]
pub(crate) struct Mt19937 {
    state: [u32; SIZE],
    position: usize,
}

impl Mt19937 {
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [seed; SIZE];
        for index in 1..SIZE {
            let previous = state[index - 1];
            state[index] = (previous ^ (previous >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(index as u32);
        }
        Self { state, position: SIZE }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.position == SIZE {
            self.refill();
        }
        let mut y = self.state[self.position];
        self.position += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn refill(&mut self) {
        for index in 0..SIZE {
            let mixed = (self.state[index] & UPPER) | (self.state[(index + 1) % SIZE] & !UPPER);
            let twist = (mixed >> 1) ^ if mixed & 1 == 1 { MATRIX } else { 0 };
            self.state[index] = self.state[(index + SHIFT) % SIZE] ^ twist;
        }
        self.position = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The 10000th number of the default seed, from the C++ standard ([rand.predef]).
    #[test]
    fn agrees_with_the_standard() {
        let mut generator = Mt19937::new(5489);
        let last = (0..10_000).map(|_| generator.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
