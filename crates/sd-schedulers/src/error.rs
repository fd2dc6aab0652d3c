//! What can go wrong, by stage: reading a configuration, planning a run, running it.

use crate::names::UnknownName;

/// A scheduler configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not JSON.
    #[error("scheduler config is not valid JSON: {0}")]
    Json(String),
    /// The JSON is not an object.
    #[error("scheduler config: expected a JSON object, found {found}")]
    NotAnObject {
        /// The JSON type found.
        found: &'static str,
    },
    /// A key that has no default is absent.
    #[error("scheduler config lacks the key `{key}`")]
    MissingKey {
        /// The absent key.
        key: &'static str,
    },
    /// A value has the wrong JSON type.
    #[error("scheduler config key `{key}`: expected {expected}, found {found}")]
    WrongType {
        /// The key.
        key: String,
        /// The type that the key takes.
        expected: &'static str,
        /// The value found, shortened.
        found: String,
    },
    /// A value has the right type and no meaning.
    #[error("scheduler config key `{key}`: expected {expected}, found {found}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The range that the key takes.
        expected: String,
        /// The value found.
        found: String,
    },
    /// A value names something unknown.
    #[error("scheduler config key `{key}`: {source}")]
    UnknownValue {
        /// The key.
        key: String,
        /// The name and those that are known.
        #[source]
        source: UnknownName,
    },
    /// `_class_name` is no scheduler of this crate.
    #[error(transparent)]
    UnknownClass(#[from] UnknownName),
    /// The scheduler class exists but cannot do what a key asks for.
    #[error("{class} does not support `{key}` = {value}")]
    Unsupported {
        /// The scheduler class.
        class: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// More than one rule for the sigmas is switched on.
    #[error(
        "only one of `use_karras_sigmas`, `use_exponential_sigmas` and `use_beta_sigmas` can be true"
    )]
    SeveralSigmaRules,
}

/// A run that a scheduler cannot plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No step was asked for.
    #[error("expected at least 1 step, found 0")]
    NoSteps,
    /// More steps than the scheduler can make.
    #[error("expected at most {limit} steps, found {steps}")]
    TooManySteps {
        /// The steps asked for.
        steps: usize,
        /// The most that are possible.
        limit: usize,
    },
    /// Fewer steps than the scheduler needs.
    #[error("expected at least {needed} steps for {reason}, found {steps}")]
    TooFewSteps {
        /// The steps asked for.
        steps: usize,
        /// The fewest that are possible.
        needed: usize,
        /// Why.
        reason: &'static str,
    },
    /// The run would begin after its end.
    #[error("expected a first step below {steps}, found {begin}")]
    BeginOutOfRange {
        /// The step to begin at.
        begin: usize,
        /// The steps of the whole run.
        steps: usize,
    },
    /// `eta` is not finite, negative, or so large that a variance would be negative.
    #[error("expected eta between 0 and 1, found {eta}")]
    Eta {
        /// The eta asked for.
        eta: f64,
    },
    /// A timestep for which the model was not trained (a large `steps_offset` makes such).
    #[error("timestep {timestep} lies outside of the {num_train_timesteps} training steps")]
    TimestepOutOfRange {
        /// The timestep.
        timestep: i64,
        /// The number of training steps.
        num_train_timesteps: usize,
    },
    /// Custom timesteps or sigmas where the sampler places its own.
    #[error("{class} does not take custom {what}")]
    NoCustom {
        /// The scheduler class.
        class: &'static str,
        /// Timesteps or sigmas.
        what: &'static str,
    },
    /// Custom timesteps beside a rule that would replace them.
    #[error("custom {what} cannot be combined with {rule}")]
    CustomAndRule {
        /// Timesteps or sigmas.
        what: &'static str,
        /// The rule of the configuration.
        rule: String,
    },
    /// Custom timesteps or sigmas that are no numbers, or rise.
    #[error(
        "custom {what} have to be finite, not negative and falling: {previous} is followed by {next}"
    )]
    CustomOrder {
        /// Timesteps or sigmas.
        what: &'static str,
        /// A value.
        previous: f64,
        /// The one after it.
        next: f64,
    },
    /// Custom timesteps or sigmas of flow matching above those of pure noise.
    #[error("custom {what} of flow matching are at most {most}, found {value}")]
    CustomBeyond {
        /// Timesteps or sigmas.
        what: &'static str,
        /// The value.
        value: f64,
        /// That of pure noise.
        most: f64,
    },
    /// The sigmas of a curve would rise: `sigma_min` above `sigma_max`, or one of them beyond the other end of training.
    #[error("the least sigma of the schedule, {least}, lies above the greatest, {most}")]
    SigmaEnds {
        /// The end that should be the least.
        least: f64,
        /// The end that should be the greatest.
        most: f64,
    },
    /// A shift by the size of the image that cannot be.
    #[error("a linear time shift needs mu above 0, found {mu}")]
    Mu {
        /// The mu of the request.
        mu: f64,
    },
    /// Restarts of `restart_list` that the run has no place for.
    #[error(
        "`restart_list` does not fit into {steps} steps: its rounds take {rounds}, two others are needed, and their sigmas have to lie apart among those of the run"
    )]
    Restarts {
        /// The steps asked for.
        steps: usize,
        /// Those that the rounds take.
        rounds: usize,
    },
    /// Another number of custom timesteps or sigmas than the steps ask for.
    #[error("expected {expected} custom {what} for this number of steps, found {found}")]
    CustomCount {
        /// Timesteps or sigmas.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// `use_dynamic_shifting` without the shift of the request, or the other way round.
    #[error(
        "dynamic shifting needs both `use_dynamic_shifting` in the configuration and mu in the request"
    )]
    DynamicShift,
    /// A coefficient is infinite or NaN: epsilon prediction at zero signal, or two equal sigmas in a multistep method.
    #[error(
        "the update at timestep {timestep} divides by zero (epsilon prediction cannot start at zero signal, multistep solvers need distinct sigmas)"
    )]
    NotFinite {
        /// The timestep of the evaluation.
        timestep: f64,
    },
    /// A program reads a slot that nothing has been stored in.
    #[error("evaluation {evaluation} reads slot {slot}, in which nothing is stored")]
    EmptySlot {
        /// The evaluation, from 0.
        evaluation: usize,
        /// The slot.
        slot: usize,
    },
    /// A program does not finish as many steps as were asked for, or goes on after the last.
    #[error(
        "the program finishes {found} steps in its {evaluations} evaluations, expected {expected} with the last evaluation finishing one"
    )]
    StepCount {
        /// The steps that the program finishes.
        found: usize,
        /// The steps that were to be made.
        expected: usize,
        /// The number of evaluations.
        evaluations: usize,
    },
}

/// A run that was advanced wrongly.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The run has no evaluation left.
    #[error("the run is finished after {steps} steps")]
    Finished {
        /// The steps made.
        steps: usize,
    },
    /// The model output has another shape than the latents.
    #[error("model output: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The shape of the latents.
        expected: Vec<usize>,
        /// The shape of the output.
        found: Vec<usize>,
    },
    /// The source of interval noise gives another number of values than there are latents.
    #[error("interval noise: expected {expected} values, found {found}")]
    Noise {
        /// The values needed.
        expected: usize,
        /// The values given.
        found: usize,
    },
    /// A solver reads a slot that it never stored anything in.
    #[error("the solver reads slot {slot}, in which nothing is stored")]
    EmptySlot {
        /// The slot.
        slot: usize,
    },
    /// A solver reads a value where it does not exist yet.
    #[error("the solver reads {value} where it is not available")]
    Unavailable {
        /// The value.
        value: &'static str,
    },
    /// Values could not be read back from the device for dynamic thresholding.
    #[error("reading the predicted sample for dynamic thresholding: {0}")]
    Read(String),
}
