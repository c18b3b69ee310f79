//! The name of the CPU's executor in builds without the feature `cpu`: none is ever made.

use crate::{
    cpu::StepTiming,
    error::{Error, Result},
    graph::Graph,
    program::{Cpu, Program, cpu::Caps},
    tensor::Tensor,
};

/// A program on processor cores.
#[derive(Debug)]
pub enum CpuExecutor {}

impl CpuExecutor {
    /// Refuses.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], always.
    pub fn with_caps(_graph: &Graph, _caps: Caps) -> Result<Self> {
        let reason = "this build runs models on GPUs only, as it was made without the feature `cpu`";
        Err(Error::InvalidArgument(reason.into()))
    }

    /// What it runs.
    pub fn program(&self) -> &Program<Cpu> {
        match *self {}
    }

    /// Bytes of weights.
    pub fn weight_bytes(&self) -> u64 {
        match *self {}
    }

    /// Bytes of activations.
    pub fn activation_bytes(&self) -> u64 {
        match *self {}
    }

    /// The results.
    ///
    /// # Errors
    /// None.
    pub fn run(&mut self, _inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        match *self {}
    }

    /// The results, and how long each step took.
    ///
    /// # Errors
    /// None.
    pub fn profile(&mut self, _inputs: &[&Tensor]) -> Result<(Vec<Tensor>, Vec<StepTiming>)> {
        match *self {}
    }
}
