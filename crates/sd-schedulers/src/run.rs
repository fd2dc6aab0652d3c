//! Runs on tensors: the thin layer between a solver's coefficients and a backend.

use std::sync::Arc;

use burn_tensor::{DType, FloatDType, Tensor, TensorData, backend::Backend};

use crate::{
    error::RunError,
    interval::IntervalNoise,
    machine::{Machine, Operand, Progress, threshold},
    plan::Plan,
    program::Limit,
    rng::NoiseGenerator,
    schedule::NoiseLevel,
    state::RunState,
};

/// What the model is to be evaluated on.
#[derive(Debug, Clone)]
pub struct ModelInput<B: Backend, const D: usize = 4> {
    /// The scaled latents, in f32.
    pub input: Tensor<B, D>,
    /// The timestep.
    pub timestep: f64,
}

/// One run of a sampler over tensors, latents `[batch, channels, height, width]` by default.
///
/// Latents and arithmetic are f32 whatever the model's dtype. Nothing is read back from the device, except by dynamic
/// thresholding. A clone continues independently.
#[derive(Debug, Clone)]
pub struct Run<B: Backend, const D: usize = 4> {
    machine: Machine<Tensor<B, D>>,
}

impl<B: Backend, const D: usize> Run<B, D> {
    /// Starts a run at these latents: noise times [`Plan::init_noise_sigma`], or clean latents with noise
    /// ([`add_noise`] at [`Plan::level`]).
    pub fn new(plan: &Plan, latents: Tensor<B, D>) -> Self {
        Self { machine: Machine::new(plan, latents.cast(FloatDType::F32)) }
    }

    /// What the model is to be evaluated on next, `None` when the run is finished.
    pub fn evaluation(&self) -> Option<ModelInput<B, D>> {
        let evaluation = self.machine.evaluation()?;
        Some(ModelInput { input: self.machine.input(evaluation), timestep: evaluation.timestep })
    }

    /// Takes the model output for that input, of any float dtype.
    ///
    /// # Shapes
    /// - output: that of the latents
    ///
    /// # Errors
    /// After the last evaluation, if the output has another shape, if the source of interval noise gives another number of
    /// values, if a solver of one's own reads what it has not stored, or if dynamic thresholding cannot read from the
    /// device. The run is then as it was before, and can be advanced again.
    pub fn advance(
        &mut self,
        output: Tensor<B, D>,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Progress, RunError> {
        self.check_shape(&output)?;
        self.machine.advance(output.cast(FloatDType::F32), None, noise)
    }

    /// The same with the model output without guidance beside it, which CFG++ samplers use; [`advance`](Self::advance)
    /// takes the one output for both.
    ///
    /// # Shapes
    /// - output, unguided: that of the latents
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn advance_guided(
        &mut self,
        output: Tensor<B, D>,
        unguided: Tensor<B, D>,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Progress, RunError> {
        self.check_shape(&output)?;
        self.check_shape(&unguided)?;
        let unguided = unguided.cast(FloatDType::F32);
        self.machine.advance(output.cast(FloatDType::F32), Some(unguided), noise)
    }

    /// The same run with noise from this source wherever the sampler names an interval of sigmas.
    pub fn with_interval_noise(mut self, source: Arc<dyn IntervalNoise>) -> Self {
        self.machine.interval_noise = Some(source);
        self
    }

    /// What [`resume`](Self::resume) goes on from. This reads the latents, and what the sampler keeps, from the device.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn save(&self) -> Result<RunState, RunError> {
        self.machine.save(|tensor| {
            let data = tensor.clone().try_into_data();
            let data = data.map_err(|error| RunError::Read(error.to_string()))?;
            Ok(data.iter::<f32>().collect())
        })
    }

    /// Goes on with a run that was saved, over the same plan.
    ///
    /// # Errors
    /// If the state is of a longer plan, or of latents of another size than `shape`.
    pub fn resume(
        plan: &Plan,
        state: RunState,
        shape: [usize; D],
        device: &B::Device,
    ) -> Result<Self, RunError> {
        if shape.iter().product::<usize>() != state.latents.len() {
            let found = vec![state.latents.len()];
            return Err(RunError::Shape { expected: shape.to_vec(), found });
        }
        let tensor = |numbers: Vec<f32>| {
            Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F32))
        };
        Ok(Self { machine: Machine::resume(plan, state, tensor)? })
    }

    /// The latents.
    pub fn latents(&self) -> &Tensor<B, D> {
        &self.machine.sample
    }

    /// Replaces the latents between steps, as inpainting does.
    ///
    /// # Errors
    /// If the shape differs.
    pub fn set_latents(&mut self, latents: Tensor<B, D>) -> Result<(), RunError> {
        self.check_shape(&latents)?;
        self.machine.sample = latents.cast(FloatDType::F32);
        Ok(())
    }

    /// The clean latents that the last evaluation predicted, `None` before the first.
    pub fn denoised(&self) -> Option<&Tensor<B, D>> {
        self.machine.denoised.as_ref()
    }

    /// Steps of this run, as the user counts them.
    pub fn steps(&self) -> usize {
        self.machine.steps
    }

    /// Steps finished.
    pub fn index(&self) -> usize {
        self.machine.index
    }

    /// The timestep of the evaluation that is due, `None` when the run is finished.
    pub fn timestep(&self) -> Option<f64> {
        self.machine.evaluation().map(|evaluation| evaluation.timestep)
    }

    /// The noise level of the latents; that of the result ([`Plan::final_level`]) when the run is finished.
    pub fn level(&self) -> NoiseLevel {
        self.machine.level()
    }

    fn check_shape(&self, tensor: &Tensor<B, D>) -> Result<(), RunError> {
        let (expected, found) = (self.machine.sample.dims(), tensor.dims());
        if expected == found {
            return Ok(());
        }
        Err(RunError::Shape { expected: expected.to_vec(), found: found.to_vec() })
    }
}

/// Draws an f32 tensor of unit-variance noise on the host.
pub fn normal<B: Backend, const D: usize>(
    noise: &mut dyn NoiseGenerator,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    let values = noise.normal(shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Brings clean latents to a noise level.
///
/// # Shapes
/// - latents, noise and result: the same
pub fn add_noise<B: Backend, const D: usize>(
    latents: Tensor<B, D>,
    noise: Tensor<B, D>,
    level: NoiseLevel,
) -> Tensor<B, D> {
    latents
        .cast(FloatDType::F32)
        .scaled(level.signal)
        .plus_scaled(noise.cast(FloatDType::F32), level.noise)
}

impl<B: Backend, const D: usize> Operand for Tensor<B, D> {
    fn scaled(self, factor: f64) -> Self {
        if factor as f32 == 1.0 { self } else { self.mul_scalar(factor) }
    }

    fn plus_scaled(self, other: Self, factor: f64) -> Self {
        self.add(other.scaled(factor))
    }

    fn limited(self, limit: Limit) -> Result<Self, RunError> {
        match limit {
            Limit::None => Ok(self),
            Limit::Clip { range } => Ok(self.clamp(-range, range)),
            Limit::Dynamic { ratio, max_value } => dynamic_threshold(self, ratio, max_value),
        }
    }

    fn count(&self) -> usize {
        self.dims().iter().product()
    }

    fn filled(&self, numbers: Vec<f32>) -> Self {
        let data = TensorData::new(numbers, self.dims());
        Tensor::from_data(data, (&self.device(), DType::F32))
    }
}

fn dynamic_threshold<B: Backend, const D: usize>(
    tensor: Tensor<B, D>,
    ratio: f64,
    max_value: f64,
) -> Result<Tensor<B, D>, RunError> {
    let (shape, device) = (tensor.dims(), tensor.device());
    let data = tensor.try_into_data().map_err(|error| RunError::Read(error.to_string()))?;
    let mut values: Vec<f64> = data.iter::<f64>().collect();
    let image = values.len() / shape.first().copied().unwrap_or(1).max(1);
    values.chunks_mut(image.max(1)).for_each(|image| threshold(image, ratio, max_value));
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    Ok(Tensor::from_data(TensorData::new(values, shape), (&device, DType::F32)))
}

#[cfg(test)]
mod tests {
    use burn_ndarray::NdArray;

    use super::*;
    use crate::{PlanRequest, SchedulerKind, TorchCpuGenerator};

    type TestBackend = NdArray<f32>;

    fn tensor(values: [f64; 4], dtype: DType) -> Tensor<TestBackend, 2> {
        let device = Default::default();
        Tensor::from_data(TensorData::new(values.to_vec(), [2, 2]), (&device, dtype))
    }

    fn run(latents: Tensor<TestBackend, 2>) -> Run<TestBackend, 2> {
        let scheduler = SchedulerKind::Euler.default_scheduler().unwrap();
        Run::new(&scheduler.plan(&PlanRequest::new(2)).unwrap(), latents)
    }

    #[test]
    fn arithmetic_is_f32_whatever_the_model_gives() {
        let values = [1.0, -2.0, 0.5, 3.0];
        let mut run = run(tensor(values, DType::F64));
        let mut noise = TorchCpuGenerator::new(0);
        assert_eq!(run.evaluation().unwrap().input.dtype(), DType::F32);
        run.advance(tensor(values, DType::F64), &mut noise).unwrap();
        assert_eq!(run.latents().dtype(), DType::F32);
        assert_eq!(run.denoised().unwrap().dtype(), DType::F32);
    }

    #[test]
    fn wrong_use_is_an_error_and_changes_nothing() {
        let values = [1.0, -2.0, 0.5, 3.0];
        let mut run = run(tensor(values, DType::F32));
        let mut noise = TorchCpuGenerator::new(0);
        let narrow = tensor(values, DType::F32).narrow(0, 0, 1);
        let expected = RunError::Shape { expected: vec![2, 2], found: vec![1, 2] };
        assert_eq!(run.advance(narrow.clone(), &mut noise), Err(expected.clone()));
        assert_eq!(run.set_latents(narrow), Err(expected));
        assert_eq!((run.index(), run.timestep()), (0, Some(999.0)));
        for _ in 0..2 {
            run.advance(tensor(values, DType::F32), &mut noise).unwrap();
        }
        assert_eq!((run.evaluation().is_none(), run.level()), (true, NoiseLevel::CLEAN));
        let error = run.advance(tensor(values, DType::F32), &mut noise);
        assert_eq!(error, Err(RunError::Finished { steps: 2 }));
    }

    #[test]
    fn a_clone_continues_on_its_own() {
        let values = [1.0, -2.0, 0.5, 3.0];
        let mut first = run(tensor(values, DType::F32));
        let mut noise = TorchCpuGenerator::new(0);
        first.advance(tensor(values, DType::F32), &mut noise).unwrap();
        let mut second = first.clone();
        second.advance(tensor(values, DType::F32), &mut noise).unwrap();
        assert_eq!((first.index(), second.index()), (1, 2));
    }
}
