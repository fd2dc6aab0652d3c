use safetensors::SafeTensors;
use sd_schedulers::{NoiseGenerator, rng::NvGenerator};

use crate::{fixture, numbers};

#[test]
fn draws_are_those_of_the_web_ui() {
    let file = fixture("nv.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(file.names().len(), 4);
    for seed in file.names() {
        let mut generator = NvGenerator::new(seed.parse().unwrap());
        let expected = numbers(&file, seed);
        let found = [generator.normal(expected.len() / 2), generator.normal(expected.len() / 2)];
        assert_eq!(found.concat(), expected, "seed {seed}");
    }
}
