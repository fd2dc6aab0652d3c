//! The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), seeded as by the authors' `init_genrand` and
//! `init_by_array`.

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

    /// Seeded by several words; none are taken as a single 0.
    pub(crate) fn from_words(words: &[u32]) -> Self {
        let words = if words.is_empty() { &[0] } else { words };
        let mut state = Self::new(19_650_218).state;
        let rounds = SIZE.max(words.len());
        let places = (1..SIZE).cycle();
        for (place, index) in places.clone().zip((0..words.len()).cycle()).take(rounds) {
            mix(&mut state, place, 1_664_525, words[index].wrapping_add(index as u32));
        }
        for place in places.skip(rounds).take(SIZE - 1) {
            mix(&mut state, place, 1_566_083_941, (place as u32).wrapping_neg());
        }
        state[0] = UPPER;
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

/// Mixes the place before into a place.
fn mix(state: &mut [u32; SIZE], place: usize, multiplier: u32, added: u32) {
    let previous = state[place - 1];
    let mixed = (previous ^ (previous >> 30)).wrapping_mul(multiplier);
    state[place] = (state[place] ^ mixed).wrapping_add(added);
    if place == SIZE - 1 {
        // The round goes on behind the last place.
        state[0] = state[place];
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

    // The first numbers of the authors' `mt19937ar.out`.
    #[test]
    fn agrees_with_the_authors() {
        let mut generator = Mt19937::from_words(&[0x123, 0x234, 0x345, 0x456]);
        let first: Vec<u32> = (0..5).map(|_| generator.next_u32()).collect();
        assert_eq!(first, [1_067_595_299, 955_945_823, 477_289_528, 4_107_218_783, 4_228_976_476]);
    }
}
