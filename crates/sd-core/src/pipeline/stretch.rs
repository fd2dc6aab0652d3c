//! Which part of a sampler's schedule a request makes.

use sd_schedulers::{Plan, PlanRequest, Scheduler, SchedulerConfig};

use crate::{
    Error,
    request::{ImageToImage, Request, RequestError},
};

/// The key of a scheduler's configuration that shares of the schedule refer to, and its default.
const TRAINING_STEPS: (&str, f64) = ("num_train_timesteps", 1000.0);

/// A part of a schedule.
pub(super) struct Stretch {
    /// From its first step to the end of the schedule.
    pub(super) plan: Plan,
    /// Steps to make of these.
    pub(super) steps: usize,
}

impl Stretch {
    /// The part that a request makes.
    ///
    /// A run that ends at a share of the schedule makes the steps that begin at or above its timestep, and one that starts
    /// there makes the others. In diffusers that goes by evaluations of the model; here no step is cut in two.
    ///
    /// # Errors
    /// When there is no such step, or the scheduler cannot plan it.
    pub(super) fn of(scheduler: &dyn Scheduler, request: Request<'_>) -> Result<Self, Error> {
        let text = request.text();
        let whole = PlanRequest::new(text.steps).eta(text.eta);
        whole.validate()?;
        let none = RequestError::NoStepsLeft { steps: text.steps };
        let begin = match request.image() {
            None => 0,
            Some(image) => begin(scheduler, &whole, image)?,
        };
        if begin >= text.steps {
            return Err(none.into());
        }
        let plan = scheduler.plan(&whole.begin(begin))?;
        // The end of the schedule is no cutoff: samplers that count timesteps otherwise (EDM) end below 0.
        let steps = match text.denoising_end.filter(|end| *end < 1.0) {
            None => plan.steps(),
            Some(share) => {
                let cutoff = cutoff(scheduler.config(), share);
                let timesteps = plan.step_timesteps();
                timesteps.iter().take_while(|timestep| **timestep >= cutoff).count()
            }
        };
        match steps {
            0 => Err(none.into()),
            steps => Ok(Self { plan, steps }),
        }
    }
}

/// The step to begin at, which may lie behind the last.
fn begin(
    scheduler: &dyn Scheduler,
    whole: &PlanRequest,
    image: &ImageToImage,
) -> Result<usize, Error> {
    let Some(share) = image.denoising_start else {
        return Ok(whole.steps.saturating_sub(image.strength_steps()));
    };
    let cutoff = cutoff(scheduler.config(), share);
    let [mut low, mut high] = [0, whole.steps];
    // The first beginning below the cutoff. What a beginning means is the scheduler's matter, so it is asked.
    while low < high {
        let middle = low + (high - low) / 2;
        let plan = scheduler.plan(&whole.clone().begin(middle))?;
        match plan.timesteps().first().is_some_and(|first| *first >= cutoff) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(low)
}

/// The timestep at a share of the schedule, rounded as Python does it.
fn cutoff(config: &SchedulerConfig, share: f64) -> f64 {
    let (key, default) = TRAINING_STEPS;
    let steps = config.get(key).and_then(serde_json::Value::as_f64).unwrap_or(default);
    (steps - share * steps).round_ties_even()
}

#[cfg(test)]
mod tests {
    use sd_schedulers::SchedulerKind;

    use super::*;
    use crate::{Latents, TextToImage};

    fn scheduler(kind: SchedulerKind, spacing: &str) -> Box<dyn Scheduler> {
        let config = kind.default_scheduler().unwrap().config().clone();
        config.with("timestep_spacing", spacing).build().unwrap()
    }

    fn timesteps(scheduler: &dyn Scheduler, request: Request<'_>) -> Vec<f64> {
        let stretch = Stretch::of(scheduler, request).unwrap();
        stretch.plan.step_timesteps()[..stretch.steps].to_vec()
    }

    fn source() -> Latents {
        Latents::new([1, 1, 1, 1], vec![0.0]).unwrap()
    }

    /// The two parts are the whole, each step in one of them.
    #[test]
    fn a_schedule_is_split_between_steps() {
        let text = TextToImage::new("").steps(10);
        let mut checked = 0;
        for kind in [
            SchedulerKind::Euler,
            SchedulerKind::EulerAncestral,
            SchedulerKind::Heun,
            SchedulerKind::Ddim,
            "DPM++ 2M".parse().unwrap(),
            SchedulerKind::UniPc,
        ] {
            for spacing in ["leading", "trailing", "linspace"] {
                let scheduler = scheduler(kind, spacing);
                let whole = timesteps(&*scheduler, (&text).into());
                assert_eq!(whole.len(), 10, "{kind}");
                for share in [0.2, 0.5, 0.85] {
                    let mut parts =
                        timesteps(&*scheduler, (&text.clone().denoising_end(share)).into());
                    let rest = ImageToImage::new(source(), text.clone()).denoising_start(share);
                    parts.extend(timesteps(&*scheduler, (&rest).into()));
                    assert_eq!(parts, whole, "{kind}, {spacing}, {share}");
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 54);
    }

    /// Their timesteps are logarithms of sigmas, below 0 at the end.
    #[test]
    fn the_whole_share_is_the_whole_schedule() {
        for kind in ["EDM Euler".parse().unwrap(), SchedulerKind::Euler] {
            let scheduler = kind.default_scheduler().unwrap();
            let text = TextToImage::new("").steps(10);
            let whole = timesteps(&*scheduler, (&text).into());
            let end = text.denoising_end(1.0);
            assert_eq!(timesteps(&*scheduler, (&end).into()), whole, "{kind}");
        }
    }

    #[test]
    fn strength_is_a_share_of_the_steps() {
        let scheduler = scheduler(SchedulerKind::Euler, "leading");
        let steps = |steps, strength| {
            let text = TextToImage::new("").steps(steps);
            let request = ImageToImage::new(source(), text).strength(strength);
            Stretch::of(&*scheduler, (&request).into()).map(|stretch| stretch.steps)
        };
        for (count, strength, expected) in
            [(50, 0.8, 40), (20, 0.3, 6), (50, 0.75, 37), (9, 1.0, 9)]
        {
            assert_eq!(steps(count, strength).unwrap(), expected);
        }
        for strength in [0.0, 0.1] {
            let error = steps(9, strength).err().unwrap().to_string();
            assert!(error.contains("no step is left of 9"), "{error}");
        }
        let text = TextToImage::new("").steps(10);
        let end = ImageToImage::new(source(), text.denoising_end(0.5)).denoising_start(0.5);
        assert!(Stretch::of(&*scheduler, (&end).into()).is_err());
    }
}
