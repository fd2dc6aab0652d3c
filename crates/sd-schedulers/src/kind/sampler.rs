//! The samplers by name: one row each.

/// What is known of a sampler by its name.
pub(super) struct Row {
    /// Short names of this crate, the first for display.
    pub(super) names: &'static [&'static str],
    /// The name in web interfaces and in their picture files.
    pub(super) title: &'static str,
    /// The function in k-diffusion (or those who follow it), without `sample_`.
    pub(super) k_diffusion: Option<&'static str>,
    /// The class in diffusers, or this crate's own.
    pub(super) class: &'static str,
    /// Values of keys by which the sampler differs from others of its class, in JSON.
    pub(super) keys: &'static [(&'static str, &'static str)],
}

macro_rules! samplers {
    ($(
        $(#[$doc:meta])*
        $variant:ident: [$($name:literal),+], $title:literal, $k:expr, $class:literal $(, $key:literal = $value:literal)*;
    )+) => {
        /// A sampler, whatever sigmas it runs over.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Sampler {
            $($(#[$doc])* $variant,)+
        }

        impl Sampler {
            /// Every sampler.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub(super) const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        names: &[$($name),+],
                        title: $title,
                        k_diffusion: $k,
                        class: $class,
                        keys: &[$(($key, $value)),*],
                    },)+
                }
            }
        }

        /// Each sampler over the sigmas that its configuration has by default.
        #[allow(non_upper_case_globals)] // they read as the variants of an enum, which they were
        impl super::SchedulerKind {
            $($(#[$doc])* pub const $variant: Self = Self::new(Sampler::$variant);)+
        }
    };
}

samplers! {
    /// DDIM.
    Ddim: ["ddim"], "DDIM", None, "DDIMScheduler";
    /// DDIM from image to noise.
    DdimInverse: ["ddim-inverse"], "DDIM Inverse", None, "DDIMInverseScheduler";
    /// DDPM.
    Ddpm: ["ddpm"], "DDPM", Some("ddpm"), "DDPMScheduler";
    /// PNDM (PLMS).
    Pndm: ["pndm", "plms"], "PLMS", None, "PNDMScheduler";
    /// IPNDM.
    Ipndm: ["ipndm"], "IPNDM", Some("ipndm"), "IPNDMScheduler";
    /// Linear multistep.
    Lms: ["lms"], "LMS", Some("lms"), "LMSDiscreteScheduler";
    /// Euler.
    Euler: ["euler"], "Euler", Some("euler"), "EulerDiscreteScheduler";
    /// Euler ancestral.
    EulerAncestral: ["euler-a"], "Euler a", Some("euler_ancestral"), "EulerAncestralDiscreteScheduler";
    /// Heun.
    Heun: ["heun"], "Heun", Some("heun"), "HeunDiscreteScheduler";
    /// DPM2.
    Dpm2: ["dpm2"], "DPM2", Some("dpm_2"), "KDPM2DiscreteScheduler";
    /// DPM2 ancestral.
    Dpm2Ancestral: ["dpm2-a"], "DPM2 a", Some("dpm_2_ancestral"), "KDPM2AncestralDiscreteScheduler";
    /// DPM-Solver, multistep of order 2.
    DpmSolver2M: ["dpm-solver-2m"], "DPM-Solver 2M", None, "DPMSolverMultistepScheduler",
        "algorithm_type" = "\"dpmsolver\"", "final_sigmas_type" = "\"sigma_min\"";
    /// DPM-Solver, multistep of order 3.
    DpmSolver3M: ["dpm-solver-3m"], "DPM-Solver 3M", None, "DPMSolverMultistepScheduler",
        "algorithm_type" = "\"dpmsolver\"", "solver_order" = "3", "final_sigmas_type" = "\"sigma_min\"";
    /// DPM-Solver, singlestep of order 2.
    DpmSolver2S: ["dpm-solver-2s"], "DPM-Solver 2S", None, "DPMSolverSinglestepScheduler",
        "algorithm_type" = "\"dpmsolver\"", "final_sigmas_type" = "\"sigma_min\"";
    /// DPM-Solver, singlestep of order 3.
    DpmSolver3S: ["dpm-solver-3s"], "DPM-Solver 3S", None, "DPMSolverSinglestepScheduler",
        "algorithm_type" = "\"dpmsolver\"", "solver_order" = "3", "final_sigmas_type" = "\"sigma_min\"";
    /// DPM-Solver++ 2S.
    DpmPlusPlus2S: ["dpm++2s"], "DPM++ 2S", None, "DPMSolverSinglestepScheduler";
    /// DPM-Solver++ 3S.
    DpmPlusPlus3S: ["dpm++3s"], "DPM++ 3S", None, "DPMSolverSinglestepScheduler", "solver_order" = "3";
    /// DPM-Solver++ 2S ancestral.
    DpmPlusPlus2SAncestral: ["dpm++2s-a"], "DPM++ 2S a", Some("dpmpp_2s_ancestral"), "DPMPP2SAncestralScheduler";
    /// DPM-Solver++ 2M.
    DpmPlusPlus2M: ["dpm++2m"], "DPM++ 2M", Some("dpmpp_2m"), "DPMSolverMultistepScheduler";
    /// DPM-Solver++ 3M.
    DpmPlusPlus3M: ["dpm++3m"], "DPM++ 3M", None, "DPMSolverMultistepScheduler", "solver_order" = "3";
    /// DPM-Solver++ SDE.
    DpmPlusPlusSde: ["dpm++sde"], "DPM++ SDE", Some("dpmpp_sde"), "DPMSolverSDEScheduler";
    /// DPM-Solver++ 2M SDE.
    DpmPlusPlus2MSde: ["dpm++2m-sde"], "DPM++ 2M SDE", Some("dpmpp_2m_sde"), "DPMSolverMultistepScheduler",
        "algorithm_type" = "\"sde-dpmsolver++\"";
    /// DPM-Solver++ 2M SDE with Heun's form of the correction.
    DpmPlusPlus2MSdeHeun: ["dpm++2m-sde-heun"], "DPM++ 2M SDE Heun", Some("dpmpp_2m_sde_heun"),
        "DPMSolverMultistepScheduler", "algorithm_type" = "\"sde-dpmsolver++\"", "solver_type" = "\"heun\"";
    /// DPM-Solver++ 3M SDE.
    DpmPlusPlus3MSde: ["dpm++3m-sde"], "DPM++ 3M SDE", Some("dpmpp_3m_sde"), "DPMPP3MSDEScheduler";
    /// DEIS.
    Deis: ["deis"], "DEIS", Some("deis"), "DEISMultistepScheduler";
    /// UniPC with the form bh2.
    UniPc: ["unipc", "unipc-bh2"], "UniPC", Some("uni_pc"), "UniPCMultistepScheduler";
    /// UniPC with the form bh1.
    UniPcBh1: ["unipc-bh1"], "UniPC bh1", None, "UniPCMultistepScheduler", "solver_type" = "\"bh1\"";
    /// SA-Solver.
    SaSolver: ["sa-solver"], "SA-Solver", Some("sa_solver"), "SASolverScheduler";
    /// Restart.
    Restart: ["restart"], "Restart", Some("restart"), "RestartScheduler";
    /// Euler with CFG++.
    EulerCfgPlusPlus: ["euler-cfg++"], "Euler CFG++", Some("euler_cfg_pp"), "EulerCFGPPScheduler";
    /// DPM-Solver++ 2M with CFG++.
    DpmPlusPlus2MCfgPlusPlus: ["dpm++2m-cfg++"], "DPM++ 2M CFG++", Some("dpmpp_2m_cfg_pp"), "DPMPP2MCFGPPScheduler";
    /// Latent consistency models.
    Lcm: ["lcm"], "LCM", Some("lcm"), "LCMScheduler";
    /// Trajectory consistency distillation.
    Tcd: ["tcd"], "TCD", None, "TCDScheduler";
    /// Euler over a model preconditioned as in EDM.
    EdmEuler: ["edm-euler"], "EDM Euler", None, "EDMEulerScheduler";
    /// DPM-Solver++ 2M over a model preconditioned as in EDM.
    EdmDpmPlusPlus2M: ["edm-dpm++2m"], "EDM DPM++ 2M", None, "EDMDPMSolverMultistepScheduler";
    /// Euler over flow matching.
    FlowEuler: ["flow-euler"], "Flow Euler", None, "FlowMatchEulerDiscreteScheduler";
    /// Heun over flow matching.
    FlowHeun: ["flow-heun"], "Flow Heun", None, "FlowMatchHeunDiscreteScheduler";
    /// LCM over flow matching.
    FlowLcm: ["flow-lcm"], "Flow LCM", None, "FlowMatchLCMScheduler";
}

impl Sampler {
    /// Whether a class reads `use_karras_sigmas` and its siblings.
    pub(super) fn has_switches(self) -> bool {
        !self.is_edm() && !self.has_own_timesteps() && self != Self::EulerAncestral
    }

    /// Whether it goes from timestep to timestep and takes no sigmas.
    fn has_own_timesteps(self) -> bool {
        matches!(
            self,
            Self::Ddim
                | Self::DdimInverse
                | Self::Ddpm
                | Self::Pndm
                | Self::Ipndm
                | Self::Lcm
                | Self::Tcd
                | Self::FlowHeun
        )
    }

    /// Whether the sigmas are the model's own.
    pub(super) fn is_edm(self) -> bool {
        matches!(self, Self::EdmEuler | Self::EdmDpmPlusPlus2M)
    }
}
