//! Sessions whose weights may still be on their way.

use std::sync::Arc;

use super::{Device, Executor, Session};
use crate::{
    cpu::{self, CpuExecutor},
    error::{Error, Result},
    gpu::{GpuDevice, GpuExecutor, WeightStore},
    graph::{Graph, Kind, Node},
    packed::PackedWeight,
    passes, plan,
    program::Program,
};

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
            Some((gpu, program)) => self.weights.upload(gpu, &mut program.weights).await,
            None => Ok(()),
        }
    }

    /// Bytes of weights on the device, and of all weights.
    pub fn uploaded(&self) -> (u64, u64) {
        let Some((_, program)) = &self.gpu else { return (0, 0) };
        let bytes = program.weights.iter().filter(|w| self.weights.holds(w.key())).map(PackedWeight::bytes).sum();
        (bytes, program.weight_bytes())
    }

    /// The session, when all weights have arrived. `progress` hears how many kernels of how many are ready.
    ///
    /// # Errors
    /// Those of [`GpuExecutor::new`]; [`Error::InvalidArgument`] when weights are still missing.
    pub async fn finish(self, progress: impl FnMut(usize, usize)) -> Result<Session> {
        let missing = |node: &Node| matches!(&node.kind, Kind::Constant(tensor) if !tensor.ready());
        if let Some(node) = self.graph.nodes().iter().find(|node| missing(node)) {
            return Err(Error::InvalidArgument(format!("the weight `{}` has not arrived", node.name)));
        }
        let outputs = self.graph.outputs().iter().map(|o| (o.name.clone(), o.layout)).collect();
        let macs = self.graph.macs();
        let executor = match self.gpu {
            None => Executor::Cpu(Box::new(CpuExecutor::with_caps(&self.graph, cpu::caps())?)),
            Some((gpu, program)) => {
                // From here on the program has everything; constants of the graph would only keep memory.
                drop(self.graph);
                let plan = plan::plan(&program);
                Executor::Gpu(Box::new(GpuExecutor::with_plan(gpu, program, self.weights, plan, progress).await?))
            }
        };
        Ok(Session { executor, outputs, macs })
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
