//! Runs checks and collects what failed.

use core::{any::Any, fmt::Display};
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{DType, Tensor};

use super::{
    Array, Generator, Scale, Tolerances,
    make::{Layout, Maker},
    report::{Failure, Report},
    tolerance::compare,
};
use crate::DiffusionBackend;

/// One backend on one device in one dtype.
pub(crate) struct Suite<B: DiffusionBackend> {
    pub(crate) device: B::Device,
    pub(crate) dtype: DType,
    pub(crate) tolerances: Tolerances,
    scale: Scale,
    generator: Generator,
    report: Report,
}

impl<B: DiffusionBackend> Suite<B> {
    pub(crate) fn new(
        device: &B::Device,
        dtype: DType,
        tolerances: Tolerances,
        scale: Scale,
    ) -> Self {
        let generator = Generator::new(20_220_822);
        Self {
            device: device.clone(),
            dtype,
            tolerances,
            scale,
            generator,
            report: Report::default(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.scale == Scale::Full
    }

    /// Normal numbers that the dtype can hold.
    pub(crate) fn random(&mut self, shape: &[usize]) -> Array {
        self.random_around(shape, 0.0, 1.0)
    }

    pub(crate) fn random_around(&mut self, shape: &[usize], mean: f64, deviation: f64) -> Array {
        self.generator.array(shape, mean, deviation).round(self.dtype)
    }

    /// A weight whose product with normal numbers is about as large as they are.
    pub(crate) fn random_weight(&mut self, shape: &[usize]) -> Array {
        let inputs: usize = shape[1..].iter().product();
        self.random_around(shape, 0.0, 1.0 / (inputs as f64).sqrt())
    }

    /// Runs an operation on every layout of its inputs.
    pub(crate) fn check<const D: usize>(
        &mut self,
        name: impl Display,
        tolerance: f64,
        expected: &Array,
        run: impl Fn(&mut Maker<'_, B>) -> Tensor<B, D>,
    ) {
        let layouts = match self.scale {
            Scale::Full => &Layout::ALL[..],
            Scale::Small => &[Layout::Dense, Layout::PermutedShared, Layout::SlicedShared],
        };
        for layout in layouts {
            self.check_layout(&name, tolerance, expected, *layout, &run);
        }
    }

    /// Runs an operation once, on dense inputs.
    pub(crate) fn check_dense<const D: usize>(
        &mut self,
        name: impl Display,
        tolerance: f64,
        expected: &Array,
        run: impl Fn(&mut Maker<'_, B>) -> Tensor<B, D>,
    ) {
        self.check_layout(&name, tolerance, expected, Layout::Dense, &run);
    }

    fn check_layout<const D: usize>(
        &mut self,
        name: &impl Display,
        tolerance: f64,
        expected: &Array,
        layout: Layout,
        run: &impl Fn(&mut Maker<'_, B>) -> Tensor<B, D>,
    ) {
        let (dtype, measure) = (self.dtype, self.tolerances.measure);
        let mut maker = Maker::new(&self.device, dtype, layout);
        let outcome = caught(|| {
            let data = run(&mut maker).into_data();
            if data.dtype != dtype {
                return Err(format!("expected an output of {dtype:?}, found {:?}", data.dtype));
            }
            compare(expected, &Array::from_data(data), measure, tolerance)?;
            maker.check_kept()
        });
        self.record(name, layout, outcome);
    }

    /// Records a check that is not a comparison with a reference.
    pub(crate) fn check_that(
        &mut self,
        name: impl Display,
        run: impl FnOnce(&B::Device) -> Result<(), String>,
    ) {
        let outcome = caught(|| run(&self.device));
        self.record(&name, Layout::Dense, outcome);
    }

    fn record(&mut self, name: &impl Display, layout: Layout, outcome: Result<(), String>) {
        self.report.checks += 1;
        if let Err(message) = outcome {
            self.report.failures.push(Failure { name: name.to_string(), layout, message });
        }
    }

    pub(crate) fn finish(self) -> Report {
        self.report
    }
}

/// A panic is one more failure, and the checks after it still run.
fn caught(run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic))))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
