//! Whole trajectories against diffusers (or against formulas written out in f64, for samplers that it lacks), in f32 tensors
//! and in f64 on the host.
//!
//! The reference values are written by `scripts/golden/schedulers.py`.

#![allow(clippy::unwrap_used)]

mod common;

use common::trajectories::check;

macro_rules! trajectories {
    ($($name:ident)+) => {$(
        #[test]
        fn $name() {
            let table = check(stringify!($name));
            println!("{}: {} cases, at most {:.1e} off", table.class, table.cases, table.worst);
        }
    )+};
}

trajectories! {
    ddim ddim_inverse ddpm pndm ipndm lms euler euler_ancestral heun dpm2 dpm2_ancestral dpm_multistep dpm_singlestep
    dpm_sde deis unipc sa_solver lcm tcd edm_euler edm_dpm flow_euler flow_heun flow_lcm
    lms_begin restart dpm_2s_ancestral dpm_3m_sde euler_cfg dpm_2m_cfg
}
