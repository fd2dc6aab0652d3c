use proptest::prelude::*;
use sd_schedulers::{
    BatchGenerator, GeneratorKind, NoiseGenerator, TorchCudaGenerator,
    rng::{BrownianTree, CudaDevice, ImageSeeds},
};

fn kinds() -> impl Strategy<Value = GeneratorKind> {
    let device = (0u32..4, 0u32..1200).prop_map(|(multiprocessors, threads)| {
        GeneratorKind::TorchCuda(CudaDevice::new(multiprocessors, threads))
    });
    prop_oneof![
        Just(GeneratorKind::TorchCpu),
        Just(GeneratorKind::Numpy),
        Just(GeneratorKind::Nv),
        device
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_generator_fills_all_and_repeats_itself(
        kind in kinds(), seed: u64, sizes in prop::collection::vec(0usize..3000, 1..4)
    ) {
        prop_assert_eq!(kind.to_string().parse(), Ok(kind));
        let (mut first, mut second) = (kind.seeded(seed), kind.seeded(seed));
        for size in sizes {
            let mut values = vec![f32::NAN; size];
            first.fill(&mut values);
            // The least uniform number is 2^-33, or 2^-53 with NumPy and in short draws of torch.
            prop_assert!(values.iter().all(|value| value.abs() < 9.0));
            prop_assert_eq!(second.normal(size), values);
        }
    }

    #[test]
    fn a_batch_is_made_of_its_images(kind in kinds(), seeds in prop::collection::vec(any::<u64>(), 1..4), size in 1usize..200) {
        let together = BatchGenerator::seeded(kind, &seeds).normal(size * seeds.len());
        for (values, &seed) in together.chunks(size).zip(&seeds) {
            prop_assert_eq!(values, kind.seeded(seed).normal(size));
        }
    }

    /// Where each number of a long draw comes from, by the words of the definition.
    #[test]
    fn a_long_draw_goes_over_the_threads_in_passes(
        multiprocessors in 1u32..3, size in 1usize..10_000, seed: u64, earlier in 0usize..3
    ) {
        let device = CudaDevice::new(multiprocessors, 512);
        let threads = (device.one_pass() as usize).min(size.div_ceil(256) * 256);
        let mut generator = TorchCudaGenerator::on(device, seed);
        for _ in 0..earlier {
            generator.normal(1);
        }
        let long = generator.normal(size);
        prop_assert_eq!(generator.offset() as usize, 4 * (earlier + size.div_ceil(4 * threads)));
        // A draw on a device that takes it in one pass has the first number of each thread and pass.
        let mut wide = TorchCudaGenerator::on(CudaDevice::new(1000, 1024), seed);
        for _ in 0..earlier {
            wide.normal(1);
        }
        for pass in long.chunks(4 * threads) {
            let first = wide.normal(threads.min(pass.len()));
            prop_assert_eq!(&pass[..first.len()], &first[..]);
        }
    }

    #[test]
    fn increments_add_up(seed: u64, ends in prop::array::uniform3(0.0f64..20.0)) {
        let mut ends = ends;
        ends.sort_by(f64::total_cmp);
        let [from, middle, to] = ends;
        let mut tree = BrownianTree::new([0.0, 20.0], 20, seed).unwrap();
        let whole = tree.increment(from, to).unwrap();
        let (left, right) = (tree.increment(from, middle).unwrap(), tree.increment(middle, to).unwrap());
        for (index, whole) in whole.iter().enumerate() {
            prop_assert!((whole - left[index] - right[index]).abs() < 2e-5);
        }
        prop_assert_eq!(BrownianTree::new([0.0, 20.0], 20, seed).unwrap().increment(from, to).unwrap(), whole);
    }

    #[test]
    fn varied_and_resized_noise_is_whole(
        seed: u64, latents in prop::array::uniform3(1usize..7), made_at in prop::array::uniform2(0usize..7),
        strength in 0.0f32..=1.0, delta: i64
    ) {
        let seeds = ImageSeeds::counting(seed, 2).variation(seed ^ 1, strength).made_at(made_at).step_delta(delta);
        let mut noise = seeds.noise(GeneratorKind::Nv, latents).unwrap();
        let size = 2 * latents.iter().product::<usize>();
        for _ in 0..2 {
            let mut values = vec![f32::NAN; size];
            noise.fill(&mut values);
            prop_assert!(values.iter().all(|value| value.is_finite()));
        }
    }
}
