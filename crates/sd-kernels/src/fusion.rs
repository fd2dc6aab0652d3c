//! The default bodies, in plain operations that Burn may fuse. The project's own backends are not wrapped in `Fusion`
//! (ARCHITECTURE.md, decision 3); this is for those of others.

use burn_fusion::{Fusion, FusionBackend};

use crate::DiffusionBackend;

impl<B: FusionBackend> DiffusionBackend for Fusion<B> {}
