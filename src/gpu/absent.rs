//! The names of the GPU device in builds without the feature `gpu`. There is no value of these types, so nothing of this ever runs but
//! [`GpuDevice::open`].

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    gpu::{AdapterSummary, Allocations, DispatchTiming, Frame, RunTimes},
    image::Preprocess,
    packed::PackedWeight,
    plan::Plan,
    program::{Caps, Precision, Program, Tuning},
    tensor::Tensor,
};

/// A texture on a device.
#[derive(Debug)]
pub enum Texture {}

/// A GPU.
#[derive(Debug)]
pub enum GpuDevice {}

impl GpuDevice {
    /// Refuses.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], always.
    pub async fn open(_wanted: Option<&str>) -> Result<Self> {
        let wanted = "can be used by this build, which was made without the feature `gpu`".to_owned();
        Err(Error::NoAdapter { wanted, available: Vec::new() })
    }

    /// What the adapter says of itself.
    pub fn summary(&self) -> &AdapterSummary {
        match *self {}
    }

    /// What it can do.
    pub fn caps(&self) -> &Caps {
        match *self {}
    }

    /// Nothing, as there is no device.
    ///
    /// # Errors
    /// None.
    pub fn set_precision(&mut self, _: Precision) -> Result<()> {
        match *self {}
    }

    /// Which kernels are preferred on it.
    pub fn tuning(&self) -> &Tuning {
        match *self {}
    }
}

/// A program on a GPU.
#[derive(Debug)]
pub enum GpuExecutor {}

impl GpuExecutor {
    /// Nothing, as there is no device.
    ///
    /// # Errors
    /// None.
    pub async fn with_plan(
        gpu: Arc<GpuDevice>,
        _program: Program,
        _weights: Arc<WeightStore>,
        _plan: Plan,
        _progress: impl FnMut(usize, usize),
    ) -> Result<Self> {
        match *gpu {}
    }

    /// What it runs.
    pub fn program(&self) -> &Program {
        match *self {}
    }

    /// Bytes of activations.
    pub fn activation_bytes(&self) -> u64 {
        match *self {}
    }

    /// What was created.
    pub fn allocations(&self) -> Allocations {
        match *self {}
    }

    /// The results.
    ///
    /// # Errors
    /// None.
    pub async fn run(&mut self, _inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        match *self {}
    }

    /// The results for an image.
    ///
    /// # Errors
    /// None.
    pub async fn run_frame(
        &mut self,
        _frame: &Frame<'_>,
        _preprocess: &Preprocess,
        _wanted: &[usize],
    ) -> Result<(Vec<Tensor>, RunTimes)> {
        match *self {}
    }

    /// Takes an image.
    ///
    /// # Errors
    /// None.
    pub async fn place_frame(&mut self, _frame: &Frame<'_>, _preprocess: &Preprocess, _place: usize) -> Result<()> {
        match *self {}
    }

    /// The results for the images that were taken.
    ///
    /// # Errors
    /// None.
    pub async fn run_placed(&mut self, _wanted: &[usize]) -> Result<(Vec<Tensor>, RunTimes)> {
        match *self {}
    }

    /// The results, and how long each step took.
    ///
    /// # Errors
    /// None.
    pub async fn profile(&mut self, _inputs: &[&Tensor]) -> Result<(Vec<Tensor>, Vec<DispatchTiming>)> {
        match *self {}
    }
}

/// Weights on a device: none.
#[derive(Debug, Default)]
pub struct WeightStore(());

impl WeightStore {
    /// Nothing, as there is no device.
    ///
    /// # Errors
    /// None.
    pub(crate) async fn upload(&self, gpu: &GpuDevice, _weights: &mut [PackedWeight]) -> Result<()> {
        match *gpu {}
    }

    /// Nothing, as there is no device.
    ///
    /// # Errors
    /// None.
    pub(crate) async fn warm(&self, gpu: &GpuDevice, _program: &mut Program, _progress: impl FnMut(usize, usize)) -> Result<()> {
        match *gpu {}
    }

    /// False.
    pub fn holds(&self, _key: &str) -> bool {
        false
    }
}
