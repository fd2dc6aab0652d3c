//! Damages the fixtures at random and reads them, for as many seconds as the argument says; a panic is a bug.
//!
//! `cargo run --release -p sd-nn --example damage -- 60 [SEED]`

use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use sd_nn::checkpoint::fuzzing;

type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

/// Each parser with files that it reads.
const TARGETS: &[Target] = &[
    ("safetensors", fuzzing::safetensors, &["torch/weights.safetensors", "vae.safetensors"]),
    (
        "torch",
        fuzzing::torch,
        &[
            "torch/weights.ckpt",
            "torch/weights-legacy.ckpt",
            "torch/bare.bin",
            "torch/embedding.pt",
            "torch/untyped.pt",
        ],
    ),
    ("pickle", fuzzing::pickle, &["torch/weights-legacy.ckpt", "torch/hostile/eval-legacy.ckpt"]),
    ("gguf", fuzzing::gguf, &["gguf/weights-v2.gguf", "gguf/weights-v3.gguf"]),
    (
        "json",
        fuzzing::json,
        &[
            "tiny-sd1/unet/config.json",
            "tiny-sd1/model_index.json",
            "tiny-sd1-fp16/unet/diffusion_pytorch_model.safetensors.index.fp16.json",
        ],
    ),
    (
        "sniff",
        fuzzing::sniff,
        &["torch/weights.ckpt", "gguf/weights-v3.gguf", "tiny-sd1/model_index.json"],
    ),
];

/// Marsaglia's xorshift: enough to choose bytes.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below.max(1)
    }

    /// Changes, repeats, removes or inserts a few bytes.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        const EXTREME: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
        for _ in 0..=self.next(6) {
            let at = self.next(bytes.len());
            let len = self.next(16).min(bytes.len() - at);
            match self.next(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..at + len)),
                2 => {
                    let piece = bytes[at..at + len].to_vec();
                    let to = self.next(bytes.len());
                    bytes.splice(to..to, piece);
                }
                3 if at < bytes.len() => bytes[at] = EXTREME[self.next(EXTREME.len())],
                4 => bytes[at..at + len].fill(0xff),
                _ if at < bytes.len() => bytes[at] = self.next(256) as u8,
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().as_deref().unwrap_or("10").parse()?;
    let seed: u64 = arguments.next().as_deref().unwrap_or("1").parse()?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let share = Duration::from_secs(seconds) / TARGETS.len() as u32;
    for (name, target, files) in TARGETS {
        let files = files
            .iter()
            .map(|file| fs::read(fixtures.join(file)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (started, mut runs) = (Instant::now(), 0u64);
        while started.elapsed() < share {
            let mut bytes = files[random.next(files.len())].clone();
            random.damage(&mut bytes);
            target(&bytes);
            runs += 1;
        }
        println!("{name}: {runs} files in {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}
