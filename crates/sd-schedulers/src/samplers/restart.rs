//! Restart: "Restart Sampling for Improving Generative Processes", <https://arxiv.org/abs/2306.14878>, algorithm 1 over Heun
//! steps: near the end, noise is put back and its removal repeated, which contracts the errors of earlier steps.

use super::{
    Configured, DIFFUSION, Method,
    heun::heun_step,
    sigma_ladder::{Rung, Rungs, SigmaLadder},
};
use crate::{
    SchedulerConfig,
    combination::Value::Noise,
    config::{Fields, out_of_range},
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
    schedule::karras_sigmas,
};

/// `RestartScheduler`, a class of this crate (diffusers has none): its keys for the model, the spacing and the sigmas are those
/// of `EulerDiscreteScheduler`, and `restart_list`, four numbers for each restart: the sigma from which it goes back, the
/// sigma that it goes back to, the steps of one round, the number of rounds; a list that the steps have no place for is an
/// error. Without it web interfaces' choice: from 20 steps on one round of 9 steps from 0.1 to 2, from 36 on two of a quarter
/// of all steps.
pub type Restart = Configured<RestartMethod>;

/// The method of [`Restart`].
#[derive(Debug, Clone)]
pub struct RestartMethod {
    ladder: SigmaLadder,
    restarts: Option<Vec<Round>>,
}

/// A restart: `times` rounds of `steps` steps from `high` to `low`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Round {
    low: f64,
    high: f64,
    steps: usize,
    times: usize,
}

fn read_restarts(fields: Fields<'_>) -> Result<Option<Vec<Round>>, ConfigError> {
    let Some(numbers) = fields.optional_numbers("restart_list")? else { return Ok(None) };
    let round = |four: &[f64]| match *four {
        [low, high, steps, times]
            if 0.0 < low
                && low < high
                && high.is_finite()
                && (1.0..1e4).contains(&steps)
                && (1.0..1e4).contains(&times) =>
        {
            Some(Round { low, high, steps: steps as usize, times: times as usize })
        }
        _ => None,
    };
    numbers.chunks(4).map(round).collect::<Option<Vec<_>>>().map(Some).ok_or_else(|| {
        let expected = "groups of four numbers (low sigma, high sigma, steps, rounds)";
        out_of_range("restart_list", expected.to_string(), format!("{numbers:?}"))
    })
}

impl RestartMethod {
    fn rounds(&self, steps: usize) -> Vec<Round> {
        let default = |steps, times| vec![Round { low: 0.1, high: 2.0, steps, times }];
        match (&self.restarts, steps) {
            (Some(rounds), _) => rounds.clone(),
            (None, 36..) => default(steps / 4, 2),
            (None, 20..) => default(9, 1),
            _ => Vec::new(),
        }
    }

    /// The steps in order, those of restarts among them.
    fn steps(&self, request: &PlanRequest) -> Result<(Rungs, Vec<(f64, f64)>), PlanError> {
        let rounds = self.rounds(request.steps);
        let extra: usize = rounds.iter().map(|round| round.steps * round.times).sum();
        // Too few steps for the restarts, or sigmas that the restarts lie outside of: none are made, unless they were asked for.
        if let Some(count) = request.steps.checked_sub(extra).filter(|&count| count > 1) {
            let rungs = self.ladder.rungs(&PlanRequest::new(count))?;
            let steps = with_rounds(&rungs.sigmas, &rounds);
            if steps.len() == request.steps {
                return Ok((rungs, steps));
            }
        }
        if self.restarts.is_some() && !rounds.is_empty() {
            return Err(PlanError::Restarts { steps: request.steps, rounds: extra });
        }
        let rungs = self.ladder.rungs(request)?;
        let steps = with_rounds(&rungs.sigmas, &[]);
        Ok((rungs, steps))
    }
}

/// Steps between neighbours, each restart after the step that comes nearest to its low sigma.
fn with_rounds(sigmas: &[f64], rounds: &[Round]) -> Vec<(f64, f64)> {
    let nearest = |target: f64| {
        let distance = |index: &usize| (sigmas[*index] - target).abs();
        (0..sigmas.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or_default()
    };
    let places: Vec<_> =
        rounds.iter().map(|round| (nearest(round.low), nearest(round.high), round)).collect();
    let mut steps = Vec::new();
    for (index, pair) in sigmas.windows(2).enumerate() {
        steps.push((pair[0], pair[1]));
        for &(low, high, round) in places.iter().filter(|(low, ..)| *low == index + 1) {
            let (low, high) = (sigmas[low], sigmas[high]);
            if high > low {
                // The ends to the last bit, or rounding would make a restart of its own.
                let mut again = karras_sigmas(low, high, round.steps + 1, 7.0);
                (again[0], again[round.steps]) = (high, low);
                for _ in 0..round.times {
                    steps.extend(again.windows(2).map(|pair| (pair[0], pair[1])));
                }
            }
        }
    }
    steps
}

impl Method for RestartMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        let ladder = SigmaLadder::read_with_switches(fields, DIFFUSION)?;
        Ok(Self { ladder, restarts: read_restarts(fields)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.refuse_custom("RestartScheduler")?;
        let (rungs, steps) = self.steps(request)?;
        let mut stages = Vec::new();
        // The rounds visit sigmas that the ladder does not.
        let timestep_at = |sigma: f64| {
            // They fall.
            let place = rungs.sigmas.partition_point(|&own| own > sigma);
            let is_own = rungs.sigmas.get(place) == Some(&sigma);
            let own = rungs.timesteps.get(place).copied().filter(|_| is_own);
            own.unwrap_or_else(|| self.ladder.timestep_of(sigma))
        };
        for (index, &(from, to)) in steps.iter().enumerate().skip(request.begin) {
            let rung = Rung { timestep: timestep_at(from), from, to };
            let mut step = heun_step(rung, timestep_at(to), |timestep, sigma| {
                self.ladder.stage(timestep, sigma)
            });
            // back up to where a round begins
            let next = steps.get(index + 1).map_or(to, |next| next.0);
            if let Some(last) = step.last_mut().filter(|_| next > to) {
                let noise = (next * next - to * to).sqrt();
                last.update.next = last.update.next.clone() + noise * Noise;
            }
            stages.extend(step);
        }
        self.ladder.plan(request, &rungs, stages)
    }
}
