//! Sessions whose weights may still be on their way.

use std::sync::Arc;

use super::{Device, Executor, Session};
use crate::{
    cpu::{self, CpuExecutor},
    error::{Error, Result},
    gpu::{self, GpuDevice, GpuExecutor},
    graph::{Graph, Kind, Node},
    packed::PackedWeight,
    passes, plan,
    program::Program,
};

/// The weights of a model on one device. Sessions for other batch or input sizes share it.
#[derive(Debug, Default)]
pub struct WeightStore {
    gpu: Arc<gpu::WeightStore>,
    cpu: cpu::WeightStore,
}

/// A session in the making: its weights may still be on their way.
#[derive(Debug)]
pub struct Preparation {
    graph: Graph,
    /// The device with the program for it; `None` is the CPU, which takes the graph.
    gpu: Option<(Arc<GpuDevice>, Program)>,
    weights: Arc<WeightStore>,
}

impl Preparation {
    /// Optimises the graph and lowers it for the device. Values of weights are not looked at yet.
    ///
    /// # Errors
    /// Those of [`plan::lower`].
    pub fn new(graph: &Graph, device: &Device, weights: &Arc<WeightStore>) -> Result<Self> {
        let graph = passes::optimise(graph)?;
        let gpu = match device {
            Device::Cpu => None,
            Device::Gpu(gpu) => {
                let program = plan::lower_tuned(&graph, gpu.caps(), gpu.tuning()).map_err(|error| name_adapter(error, gpu))?;
                Some((gpu.clone(), program))
            }
        };
        Ok(Self { graph, gpu, weights: weights.clone() })
    }

    /// Brings the weights that have arrived since to the device.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`].
    pub async fn upload(&mut self) -> Result<()> {
        match &mut self.gpu {
            Some((gpu, program)) => self.weights.gpu.upload(gpu, &mut program.weights).await,
            None => Ok(()),
        }
    }

    /// Bytes of weights on the device, and of all weights.
    pub fn uploaded(&self) -> (u64, u64) {
        let Some((_, program)) = &self.gpu else { return (0, 0) };
        let bytes = program.weights.iter().filter(|w| self.weights.gpu.holds(w.key())).map(PackedWeight::bytes).sum();
        (bytes, program.weight_bytes())
    }

    /// The session, when all weights have arrived. `progress` hears how many kernels of how many are ready.
    ///
    /// # Errors
    /// Those of [`GpuExecutor::new`]; [`Error::InvalidArgument`] when weights are still missing.
    pub async fn finish(self, progress: impl FnMut(usize, usize)) -> Result<Session> {
        self.arrived()?;
        let outputs = self.graph.outputs().iter().map(|o| (o.name.clone(), o.layout)).collect();
        let macs = self.graph.macs();
        let executor = match self.gpu {
            None => Executor::Cpu(Box::new(CpuExecutor::with_weights(&self.graph, cpu::caps(), &self.weights.cpu)?)),
            Some((gpu, program)) => {
                // From here on the program has everything; constants of the graph would only keep memory.
                drop(self.graph);
                let plan = plan::plan(&program);
                Executor::Gpu(Box::new(GpuExecutor::with_plan(gpu, program, self.weights.gpu.clone(), plan, progress).await?))
            }
        };
        Ok(Session { executor, outputs, macs })
    }

    /// What sessions for other sizes of input need as well, when all weights have arrived: weights as the device reads them, and
    /// kernels, of which `progress` hears how many of how many are ready.
    ///
    /// # Errors
    /// As [`Preparation::finish`].
    pub async fn warm(self, progress: impl FnMut(usize, usize)) -> Result<()> {
        self.arrived()?;
        match self.gpu {
            None => self.weights.cpu.warm(&self.graph, &cpu::caps()),
            Some((gpu, mut program)) => self.weights.gpu.warm(&gpu, &mut program, progress).await,
        }
    }

    /// Names a weight that is still missing.
    fn arrived(&self) -> Result<()> {
        let missing = |node: &&Node| matches!(&node.kind, Kind::Constant(tensor) if !tensor.ready());
        match self.graph.nodes().iter().find(missing) {
            Some(node) => Err(Error::InvalidArgument(format!("the weight `{}` has not arrived", node.name))),
            None => Ok(()),
        }
    }
}

/// Lowering knows limits, but not whose they are.
fn name_adapter(error: Error, gpu: &GpuDevice) -> Error {
    match error {
        Error::AdapterLimit { adapter, limit, needed, available } => {
            let adapter = format!("{} {adapter}", gpu.summary().name);
            Error::AdapterLimit { adapter, limit, needed, available }
        }
        other => other,
    }
}
