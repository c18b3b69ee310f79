//! The names of the CPU's executor and its weights in builds without the feature `cpu`: no executor is ever made.

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
    pub fn with_weights(_graph: &Graph, _caps: Caps, _store: &WeightStore) -> Result<Self> {
        Err(refused())
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

/// Weights on processor cores: none.
#[derive(Debug, Default)]
pub struct WeightStore(());

impl WeightStore {
    /// Refuses.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], always.
    pub(crate) fn warm(&self, _graph: &Graph, _caps: &Caps) -> Result<()> {
        Err(refused())
    }
}

fn refused() -> Error {
    let reason = "this build runs models on GPUs only, as it was made without the feature `cpu`";
    Error::InvalidArgument(reason.into())
}
