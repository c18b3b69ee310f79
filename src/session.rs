//! A model on a device, ready to run: the same calls for the GPU and the CPU.

mod preparation;

use std::{sync::Arc, time::Duration};

pub use preparation::{Preparation, WeightStore};

use crate::{
    cpu::CpuExecutor,
    error::{Error, Result},
    gpu::{self, AdapterSummary, Frame, GpuDevice, GpuExecutor, Pixels},
    graph::{Graph, Layout, arrange},
    image::{Preprocess, RgbImage},
    platform::Stopwatch,
    program::Precision,
    tensor::Tensor,
};

/// Which device to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A hardware GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// A GPU; software adapters only when named.
    Gpu,
    /// The CPU.
    Cpu,
}

/// Where models run.
#[derive(Debug, Clone)]
pub enum Device {
    /// Processor cores.
    Cpu,
    /// A GPU through WebGPU.
    Gpu(Arc<GpuDevice>),
}

impl Device {
    /// Opens a device; with it comes the reason for the choice, as a sentence for the user.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when a GPU was asked for (by kind or by `adapter`) and none fits; those of [`GpuDevice::open`].
    pub async fn open(kind: DeviceKind, adapter: Option<&str>) -> Result<(Self, String)> {
        match (kind, adapter) {
            (DeviceKind::Cpu, None) => Ok((Self::Cpu, "the CPU, as asked for".into())),
            (DeviceKind::Cpu, Some(adapter)) => {
                Err(Error::InvalidArgument(format!("`--adapter {adapter}` chooses a GPU, but the device asked for is the CPU")))
            }
            (DeviceKind::Gpu, _) | (DeviceKind::Auto, Some(_)) => {
                let gpu = GpuDevice::open(adapter).await?;
                let reason = format!("the GPU {}, as asked for", gpu.summary().line());
                Ok((Self::Gpu(Arc::new(gpu)), reason))
            }
            (DeviceKind::Auto, None) if !cfg!(feature = "gpu") => {
                Ok((Self::Cpu, "the CPU, as this build was made without the feature `gpu`".into()))
            }
            (DeviceKind::Auto, None) => match GpuDevice::open(None).await {
                Ok(gpu) => {
                    let reason = format!("the GPU {}", gpu.summary().line());
                    Ok((Self::Gpu(Arc::new(gpu)), reason))
                }
                Err(Error::NoAdapter { available, .. }) if available.is_empty() => {
                    Ok((Self::Cpu, "the CPU, as there is no GPU".into()))
                }
                Err(Error::NoAdapter { available, .. }) => {
                    Ok((Self::Cpu, format!("the CPU, as there are only software adapters ({})", available.join("; "))))
                }
                Err(error) => Ok((Self::Cpu, format!("the CPU, as no GPU could be opened ({error})"))),
            },
        }
    }

    /// As [`Device::open`], with activations stored in this precision; the CPU has f32 only.
    ///
    /// # Errors
    /// As [`Device::open`]; [`Error::InvalidArgument`] when the device cannot store them so.
    pub async fn open_with(kind: DeviceKind, adapter: Option<&str>, precision: Precision) -> Result<(Self, String)> {
        let (mut device, reason) = Self::open(kind, adapter).await?;
        match &mut device {
            Self::Cpu if precision == Precision::F16 => {
                return Err(Error::InvalidArgument(format!("the precision f16 needs a GPU, but this would run on {reason}")));
            }
            Self::Cpu => {}
            // Nobody else has a device that was just opened.
            Self::Gpu(gpu) => Arc::get_mut(gpu).map_or(Ok(()), |gpu| gpu.set_precision(precision))?,
        }
        Ok((device, reason))
    }

    /// What activations are stored in: `f32` or `f16`.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::Gpu(gpu) if gpu.caps().half => "f16",
            _ => "f32",
        }
    }

    /// `gpu` or `cpu`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(_) => "gpu",
        }
    }

    /// The adapter of a GPU.
    pub fn adapter(&self) -> Option<&AdapterSummary> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => Some(gpu.summary()),
        }
    }
}

/// Sizes of a prepared session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct SessionStats {
    /// Steps a run.
    pub dispatches: usize,
    /// Bytes of weights on the device.
    pub weights_bytes: u64,
    /// Bytes of activations on the device.
    pub activation_bytes: u64,
    /// Multiply-adds a run.
    pub macs: u64,
}

/// Time of one dispatch or operator.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The operator.
    pub op: &'static str,
    /// The kernel.
    pub kernel: &'static str,
    /// The graph node.
    pub node: String,
    /// How long it took.
    pub time: Duration,
}

#[derive(Debug)]
enum Executor {
    Cpu(Box<CpuExecutor>),
    Gpu(Box<GpuExecutor>),
}

impl Executor {
    async fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>> {
        match self {
            Self::Cpu(executor) => executor.run(&[input]),
            Self::Gpu(executor) => executor.run(&[input]).await,
        }
    }
}

/// A graph prepared for one device, batch and input size.
///
/// Its futures block their thread natively while they compute or wait for the device (see [`GpuDevice`]); in browsers they do so on
/// the CPU only.
#[derive(Debug)]
pub struct Session {
    executor: Executor,
    outputs: Vec<(String, Layout)>,
    macs: u64,
}

/// How long the steps of a frame took.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameTimes {
    /// Resize, crop and normalise; part of `model` on a GPU, where both are one submission.
    pub preprocess: Duration,
    /// The model, until its results are on the device.
    pub model: Duration,
    /// From the device to the host.
    pub readback: Duration,
}

impl Session {
    /// Optimises the graph and prepares it: on a GPU weights are uploaded and pipelines made.
    ///
    /// # Errors
    /// Those of [`GpuExecutor::new`] and [`crate::plan::lower`].
    pub async fn new(graph: &Graph, device: &Device) -> Result<Self> {
        Self::with_weights(graph, device, &Arc::default()).await
    }

    /// As [`Session::new`], sharing the weights on the device with other sessions of the same model on the same device.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub async fn with_weights(graph: &Graph, device: &Device, weights: &Arc<WeightStore>) -> Result<Self> {
        Preparation::new(graph, device, weights)?.finish(|_, _| {}).await
    }

    /// Names of the results, in order.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|(name, _)| name.as_str())
    }

    /// Runs the model on images `(B, H, W, 3)`, normalised; the results in the order of [`Session::output_names`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an input of another shape; [`Error::DeviceLost`] and [`Error::Gpu`].
    pub async fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>> {
        let values = self.executor.run(input).await?;
        self.outputs.iter().zip(values).map(arranged).collect()
    }

    /// Runs the model, whose only input is one image, on a frame; the named results in this order. On a GPU the image is resized
    /// and normalised there, in the same submission.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when there is no result of a name, the frame's pixels are not what it says, or a texture meets
    /// the CPU; those of [`Preprocess::plan`] and [`GpuExecutor::run_frame`].
    pub async fn run_frame(
        &mut self,
        frame: &Frame<'_>,
        preprocess: &Preprocess,
        names: &[&str],
    ) -> Result<(Vec<Tensor>, FrameTimes)> {
        let wanted = self.positions(names)?;
        match &mut self.executor {
            Executor::Gpu(executor) => {
                let (outputs, times) = executor.run_frame(frame, preprocess, &wanted).await?;
                of_gpu(&self.outputs, &wanted, outputs, times)
            }
            Executor::Cpu(executor) => {
                let watch = Stopwatch::start();
                let input = preprocess.apply(&host_image(frame)?)?;
                let [h, w] = preprocess.size;
                let input = input.reshape([1, h, w, 3])?;
                let preprocess = watch.elapsed();
                let outputs = executor.run(&[&input])?;
                let model = watch.elapsed() - preprocess;
                let outputs = wanted.iter().map(|i| arranged((&self.outputs[*i], outputs[*i].clone()))).collect::<Result<_>>()?;
                Ok((outputs, FrameTimes { preprocess, model, readback: Duration::ZERO }))
            }
        }
    }

    /// On a GPU, makes a frame the image at this place of the batch that the model takes, for [`Session::run_placed`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] on the CPU; those of [`GpuExecutor::place_frame`].
    pub async fn place_frame(&mut self, frame: &Frame<'_>, preprocess: &Preprocess, place: usize) -> Result<()> {
        match &mut self.executor {
            Executor::Gpu(executor) => executor.place_frame(frame, preprocess, place).await,
            Executor::Cpu(_) => Err(only_gpus()),
        }
    }

    /// Runs the model on the images that have been placed; the named results in this order.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] on the CPU or when there is no result of a name; those of [`GpuExecutor::run_placed`].
    pub async fn run_placed(&mut self, names: &[&str]) -> Result<(Vec<Tensor>, FrameTimes)> {
        let wanted = self.positions(names)?;
        match &mut self.executor {
            Executor::Gpu(executor) => {
                let (outputs, times) = executor.run_placed(&wanted).await?;
                of_gpu(&self.outputs, &wanted, outputs, times)
            }
            Executor::Cpu(_) => Err(only_gpus()),
        }
    }

    /// The positions of results among all of them.
    fn positions(&self, names: &[&str]) -> Result<Vec<usize>> {
        let place = |name: &&str| {
            let found = self.outputs.iter().position(|(output, _)| output == name);
            found.ok_or_else(|| Error::InvalidArgument(format!("the session has no output `{name}`")))
        };
        names.iter().map(place).collect()
    }

    /// As [`Session::run`], with the time of every dispatch or operator.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::InvalidArgument`] when the adapter has no timestamp queries.
    pub async fn profile(&mut self, input: &Tensor) -> Result<(Vec<Tensor>, Vec<Timing>)> {
        match &mut self.executor {
            Executor::Cpu(executor) => {
                let (outputs, timings) = executor.profile(&[input])?;
                let outputs = self.outputs.iter().zip(outputs).map(arranged).collect::<Result<_>>()?;
                let timing = |t: crate::cpu::StepTiming| Timing { op: t.op, kernel: t.kernel, node: t.node, time: t.time };
                Ok((outputs, timings.into_iter().map(timing).collect()))
            }
            Executor::Gpu(executor) => {
                let (outputs, timings) = executor.profile(&[input]).await?;
                let timing =
                    |t: gpu::DispatchTiming| Timing { op: t.label.op, kernel: t.kernel, node: t.label.node, time: t.time };
                let outputs = self.outputs.iter().zip(outputs).map(arranged).collect::<Result<_>>()?;
                Ok((outputs, timings.into_iter().map(timing).collect()))
            }
        }
    }

    /// What was created on the GPU so far; `None` on the CPU.
    pub fn allocations(&self) -> Option<gpu::Allocations> {
        match &self.executor {
            Executor::Cpu(_) => None,
            Executor::Gpu(executor) => Some(executor.allocations()),
        }
    }

    /// Sizes.
    pub fn stats(&self) -> SessionStats {
        match &self.executor {
            Executor::Cpu(executor) => SessionStats {
                dispatches: executor.program().dispatches.len(),
                weights_bytes: executor.weight_bytes(),
                activation_bytes: executor.activation_bytes(),
                macs: self.macs,
            },
            Executor::Gpu(executor) => SessionStats {
                dispatches: executor.program().dispatches.len(),
                weights_bytes: executor.program().weight_bytes(),
                activation_bytes: executor.activation_bytes(),
                macs: self.macs,
            },
        }
    }
}

fn only_gpus() -> Error {
    Error::InvalidArgument("on the CPU images are not placed in a batch one by one".into())
}

/// What came from a GPU: of the results at these positions.
fn of_gpu(
    all: &[(String, Layout)],
    wanted: &[usize],
    outputs: Vec<Tensor>,
    times: gpu::RunTimes,
) -> Result<(Vec<Tensor>, FrameTimes)> {
    let outputs = wanted.iter().map(|i| &all[*i]).zip(outputs).map(arranged).collect::<Result<_>>()?;
    Ok((outputs, FrameTimes { preprocess: Duration::ZERO, model: times.device, readback: times.readback }))
}

fn arranged((output, value): (&(String, Layout), Tensor)) -> Result<Tensor> {
    arrange(&value, output.1)
}

/// The pixels of a frame without their alpha.
pub(crate) fn host_image(frame: &Frame<'_>) -> Result<RgbImage> {
    match frame.pixels {
        Pixels::Host(bytes) => {
            let pixels = bytes.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
            RgbImage::new(frame.width, frame.height, pixels)
        }
        Pixels::Texture(_) => Err(Error::InvalidArgument("the CPU cannot read the pixels of a texture".into())),
    }
}
