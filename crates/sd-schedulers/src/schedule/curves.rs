//! Curves that sigmas follow from the greatest to the least, by name.

use crate::{
    names::named_enum,
    schedule::{
        align_your_steps, interpolate, linspace,
        sigmas::{log_sigmas_of, timestep_of_sigma},
        special::beta_quantile,
    },
};

named_enum! {
    /// A rule that places the sigmas of a run, by the names of diffusers and web interfaces.
    pub enum SigmaSchedule ("sigma schedule") {
        /// Karras et al. (<https://arxiv.org/abs/2206.00364>, equation 5): evenly spaced seventh roots.
        Karras = "karras",
        /// Evenly spaced logarithms.
        Exponential = "exponential",
        /// Quantiles of the distribution `Beta(0.6, 0.6)`, dense at both ends (<https://arxiv.org/abs/2407.12173>).
        Beta = "beta",
        /// Logarithms spaced as a power of the step: `exponential` at `rho` 1.
        Polyexponential = "polyexponential",
        /// Every so many'th sigma of training, from the last.
        Simple = "simple",
        /// Evenly spaced timesteps, both ends included.
        Normal = "normal",
        /// Evenly spaced timesteps without the last of them, as Stability's generative models place them.
        SgmUniform = "sgm_uniform",
        /// A whole number of training steps apart, from the second sigma of training up.
        DdimUniform = "ddim_uniform",
        /// "Align Your Steps" for SD 1.5 (<https://arxiv.org/abs/2404.14507>): a table of 10 steps, between by logarithms.
        AlignYourSteps = "align_your_steps",
        /// The same for SDXL.
        AlignYourStepsXl = "align_your_steps_xl",
        /// The same for Stable Video Diffusion.
        AlignYourStepsVideo = "align_your_steps_video",
        /// Optimal for the divergence from Gaussian data, in closed form (the same paper, equation 13): evenly spaced arc
        /// tangents.
        KlOptimal = "kl_optimal",
    }
}

/// `count` sigmas of Karras' rule with this `rho`, falling.
pub fn karras_sigmas(sigma_min: f64, sigma_max: f64, count: usize, rho: f64) -> Vec<f64> {
    let (least, most) = (sigma_min.powf(1.0 / rho), sigma_max.powf(1.0 / rho));
    let sigma = |ramp: f64| (most + ramp * (least - most)).powf(rho);
    linspace(0.0, 1.0, count).into_iter().map(sigma).collect()
}

/// `count` sigmas with evenly spaced logarithms, falling.
pub fn exponential_sigmas(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    linspace(sigma_max.ln(), sigma_min.ln(), count).into_iter().map(f64::exp).collect()
}

/// `count` sigmas whose logarithms fall as a power of the step.
pub fn polyexponential_sigmas(sigma_min: f64, sigma_max: f64, count: usize, rho: f64) -> Vec<f64> {
    let (least, most) = (sigma_min.ln(), sigma_max.ln());
    let sigma = |ramp: f64| (ramp.powf(rho) * (most - least) + least).exp();
    linspace(1.0, 0.0, count).into_iter().map(sigma).collect()
}

/// `count` sigmas at quantiles of a symmetric beta distribution, falling.
pub fn beta_sigmas(sigma_min: f64, sigma_max: f64, count: usize, shape: f64) -> Vec<f64> {
    let sigma = |ramp: f64| sigma_min + beta_quantile(1.0 - ramp, shape) * (sigma_max - sigma_min);
    linspace(0.0, 1.0, count).into_iter().map(sigma).collect()
}

/// `count` sigmas with evenly spaced arc tangents, falling.
pub fn kl_optimal_sigmas(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    linspace(sigma_max.atan(), sigma_min.atan(), count).into_iter().map(f64::tan).collect()
}

/// A table of sigmas read at `count` places; the last of its intervals is left to the step to zero.
fn from_table(table: &[f64], count: usize) -> Vec<f64> {
    let logarithms: Vec<f64> = table.iter().map(|sigma| sigma.ln()).collect();
    let places = linspace(0.0, table.len() as f64 - 1.0, count + 1);
    places[..count].iter().map(|&place| interpolate(&logarithms, place).exp()).collect()
}

impl SigmaSchedule {
    /// `count` falling sigmas, at most 1,000,000; that of the result is not among them.
    ///
    /// `ends` are the least and the greatest sigma (tables of numbers have their own), `training` the rising sigmas of
    /// training, `rho` the power of the rules that have one (Karras 7, polyexponential 1). Rules over the sigmas of training
    /// give NaN where there are none.
    pub fn sigmas(
        self,
        count: usize,
        ends: (f64, f64),
        training: &[f64],
        rho: Option<f64>,
    ) -> Vec<f64> {
        let (least, most) = ends;
        let evenly = |count: usize, places: usize| -> Vec<f64> {
            let logs = log_sigmas_of(training);
            let [first, last] = [most, least].map(|sigma| timestep_of_sigma(sigma, &logs));
            let timesteps = linspace(first, last, places);
            timesteps[..count].iter().map(|&timestep| interpolate(training, timestep)).collect()
        };
        match self {
            Self::Karras => karras_sigmas(least, most, count, rho.unwrap_or(7.0)),
            Self::Exponential => exponential_sigmas(least, most, count),
            Self::Polyexponential => polyexponential_sigmas(least, most, count, rho.unwrap_or(1.0)),
            Self::Beta => beta_sigmas(least, most, count, 0.6),
            Self::KlOptimal => kl_optimal_sigmas(least, most, count),
            Self::Normal => evenly(count, count),
            Self::SgmUniform => evenly(count, count + 1),
            Self::Simple => {
                let (stride, last) =
                    (training.len() as f64 / count as f64, training.len() as f64 - 1.0);
                let place = |step: usize| last - (step as f64 * stride).floor();
                (0..count).map(|step| interpolate(training, place(step))).collect()
            }
            Self::DdimUniform => {
                let stride = (training.len() / count.max(1)).max(1);
                let place = |step: usize| (1 + step * stride) as f64;
                (0..count).rev().map(|step| interpolate(training, place(step))).collect()
            }
            Self::AlignYourSteps => from_table(&align_your_steps::SIGMAS, count),
            Self::AlignYourStepsXl => from_table(&align_your_steps::SIGMAS_XL, count),
            Self::AlignYourStepsVideo => from_table(&align_your_steps::SIGMAS_VIDEO, count),
        }
    }

    /// The name in web interfaces.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Karras => "Karras",
            Self::Exponential => "Exponential",
            Self::Beta => "Beta",
            Self::Polyexponential => "Polyexponential",
            Self::Simple => "Simple",
            Self::Normal => "Normal",
            Self::SgmUniform => "SGM Uniform",
            Self::DdimUniform => "DDIM Uniform",
            Self::AlignYourSteps => "Align Your Steps",
            Self::AlignYourStepsXl => "Align Your Steps XL",
            Self::AlignYourStepsVideo => "Align Your Steps Video",
            Self::KlOptimal => "KL Optimal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} {expected}");
        }
    }

    /// Sigmas of training that are easy to reason about: the sigma of timestep t is 1.01^t.
    fn training() -> Vec<f64> {
        (0..1000).map(|timestep| 1.01f64.powi(timestep)).collect()
    }

    // Reference values: diffusers 0.42, DPMSolverMultistepScheduler with use_karras_sigmas over 10 steps.
    #[test]
    fn karras() {
        let expected =
            [14.6146, 9.1029, 5.4784, 3.1686, 1.7494, 0.9141, 0.4469, 0.2014, 0.0819, 0.0292];
        for (found, expected) in
            karras_sigmas(0.02916716, 14.61464, 10, 7.0).into_iter().zip(expected)
        {
            assert!((found - expected).abs() < 6e-5, "expected {expected}, found {found}");
        }
    }

    #[test]
    fn every_curve_falls_between_its_ends() {
        for schedule in SigmaSchedule::ALL {
            for count in [1, 2, 3, 10, 11, 30, 1000] {
                let sigmas = schedule.sigmas(count, (1.0, 20000.0), &training(), None);
                assert_eq!(sigmas.len(), count, "{schedule}");
                assert!(sigmas.windows(2).all(|pair| pair[1] <= pair[0]), "{schedule} {sigmas:?}");
                assert!(sigmas.iter().all(|sigma| sigma.is_finite() && *sigma > 0.0));
            }
        }
    }

    #[test]
    fn closed_forms() {
        let at = |schedule: SigmaSchedule, count, rho| {
            schedule.sigmas(count, (0.1, 10.0), &training(), rho)
        };
        near(&at(SigmaSchedule::Exponential, 3, None), &[10.0, 1.0, 0.1], 1e-14);
        near(&at(SigmaSchedule::Polyexponential, 3, None), &[10.0, 1.0, 0.1], 1e-14);
        // the square of a half is a quarter of the way up in logarithms
        let quarter = 0.1 * 10f64.powf(0.5);
        near(&at(SigmaSchedule::Polyexponential, 3, Some(2.0)), &[10.0, quarter, 0.1], 1e-14);
        // rho 1 is a straight line
        near(&at(SigmaSchedule::Karras, 3, Some(1.0)), &[10.0, 5.05, 0.1], 1e-14);
        // a symmetric distribution has its median in the middle
        near(&at(SigmaSchedule::Beta, 3, None), &[10.0, 5.05, 0.1], 1e-12);
        // atan 10 and atan 0.1 add up to a right angle, so half way is atan 1
        near(&at(SigmaSchedule::KlOptimal, 3, None), &[10.0, 1.0, 0.1], 1e-13);
    }

    #[test]
    fn curves_over_the_steps_of_training() {
        let power = |timesteps: &[i32]| -> Vec<f64> {
            timesteps.iter().map(|&timestep| 1.01f64.powi(timestep)).collect()
        };
        let ends = (1.0, 1.01f64.powi(999));
        let at = |schedule: SigmaSchedule, count| schedule.sigmas(count, ends, &training(), None);
        near(&at(SigmaSchedule::Simple, 4), &power(&[999, 749, 499, 249]), 1e-12);
        near(&at(SigmaSchedule::DdimUniform, 4), &power(&[751, 501, 251, 1]), 1e-12);
        near(&at(SigmaSchedule::Normal, 4), &power(&[999, 666, 333, 0]), 1e-5);
        near(&at(SigmaSchedule::SgmUniform, 3), &power(&[999, 666, 333]), 1e-5);
    }

    #[test]
    fn no_steps_and_no_training_are_no_panic() {
        for schedule in SigmaSchedule::ALL {
            assert!(schedule.sigmas(0, (0.1, 10.0), &training(), None).is_empty());
            assert_eq!(schedule.sigmas(3, (0.1, 10.0), &[], None).len(), 3);
            assert_eq!(schedule.sigmas(3, (0.1, 10.0), &[1.0], None).len(), 3);
        }
    }

    #[test]
    fn tables_are_read_as_their_authors_read_them() {
        let at = |count| SigmaSchedule::AlignYourSteps.sigmas(count, (0.0, 1.0), &[1.0], None);
        near(&at(10), &align_your_steps::SIGMAS[..10], 1e-14);
        near(&at(5), &[14.615, 3.861, 1.886, 0.963, 0.399], 1e-14);
        // twice as many steps: every second is of the table, those between are geometric means
        near(&at(20)[..3], &[14.615, (14.615f64 * 6.475).sqrt(), 6.475], 1e-14);
    }
}
