//! The tables of training against diffusers, bit for bit.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bytes, crc32, fixture, numbers};
use safetensors::SafeTensors;
use sd_schedulers::SchedulerConfig;

#[derive(serde::Deserialize)]
struct Table {
    config: SchedulerConfig,
    crc32: u32,
    /// Where the table is in full, as its last bits differ from machine to machine.
    tensor: Option<String>,
}

#[test]
fn alphas_cumprod() {
    let tables: Vec<Table> = serde_json::from_slice(&fixture("tables.json")).unwrap();
    let file = fixture("tables.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(tables.len(), 12);
    for Table { config, crc32: expected, tensor } in tables {
        let schedule = config.training().unwrap().schedule().unwrap();
        let values = schedule.alphas_cumprod();
        let Some(tensor) = tensor else {
            let values: Vec<f32> = values.iter().map(|&alpha| alpha as f32).collect();
            assert_eq!(crc32(&bytes(&values)), expected, "{config:?}");
            continue;
        };
        let reference = numbers(&file, &tensor);
        assert_eq!(values.len(), reference.len());
        for (found, expected) in values.iter().zip(reference) {
            // differences of nearly equal roots, whose last bits are those of torch's functions on one machine
            assert!(
                (found - expected).abs() <= 1e-6 * expected + 2e-8 * expected.sqrt(),
                "{config:?}: {found} {expected}"
            );
        }
    }
}
