//! What a device reaches at best, given or measured: bytes of a copy and operations of a plain matrix product, each a second.

use std::time::Duration;

use webmamba::{
    Device, Error, Result,
    low_level::{
        cpu,
        gpu::AdapterSummary,
        graph::{Graph, Layout},
        ops::Linear,
        passes,
        plan::{self, Cost, Rates},
        program::Cpu,
        session::Session,
    },
};

use crate::{
    bench::{noise, timed},
    bench_scan::copy_time,
};

/// A copy of 64 MiB into as many: more than most caches hold.
const COPIED: [usize; 3] = [1, 16_384, 1024];

/// Of so many billion bytes and operations a second; a multiply-add is two operations.
fn of(gb_per_s: f64, gflops: f64) -> Rates {
    Rates { bytes: gb_per_s * 1e9, macs: gflops * 0.5e9 }
}

/// Reads `60,2000`: GB/s and GFLOP/s.
pub(crate) fn parse(text: &str) -> std::result::Result<Rates, String> {
    let positive = |text: &str| text.trim().parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    let pair = text.split_once(',').and_then(|(bytes, flops)| Some(of(positive(bytes)?, positive(flops)?)));
    pair.ok_or_else(|| "expected GB/s and GFLOP/s with a comma, such as 60,2000".to_owned())
}

/// Those of a copy, and of a product of so many GFLOP/s.
pub(crate) async fn measure(device: &Device, gflops: f64) -> Result<Rates> {
    let time = copy_time(device, COPIED).await?;
    let bytes = 2 * 4 * COPIED.iter().product::<usize>();
    Ok(of(bytes as f64 / time.as_secs_f64() / 1e9, gflops))
}

/// Billions of operations a second of the best plain product: of one size, or of all sizes that a roofline takes.
pub(crate) async fn best_product(device: &Device, roofline: bool) -> Result<f64> {
    let mut best = 0f64;
    for sizes in product_sizes(device, roofline) {
        best = best.max(product(device, *sizes).await?);
    }
    Ok(best)
}

/// What the operators of a graph cost in the program that the device runs.
pub(crate) fn costs(graph: &Graph, device: &Device) -> Result<Vec<Cost>> {
    let graph = passes::optimise(graph)?;
    Ok(match device {
        Device::Cpu => plan::costs(&graph, &plan::lower::<Cpu>(&graph, &cpu::caps())?),
        Device::Gpu(gpu) => plan::costs(&graph, &plan::lower_tuned(&graph, gpu.caps(), gpu.tuning())?),
    })
}

fn is_software(device: &Device) -> bool {
    device.adapter().is_some_and(AdapterSummary::is_software)
}

/// Rows, reduced axis and columns of the products: large enough to be busy, small enough not to run into a software adapter's time
/// limit. The roofline takes the best of all.
fn product_sizes(device: &Device, roofline: bool) -> &'static [[usize; 3]] {
    match (is_software(device), roofline) {
        (true, _) => &[[196, 320, 1280]],
        (false, false) => &[[784, 640, 2560]],
        (false, true) => &[[784, 640, 2560], [2048, 1024, 4096]],
    }
}

/// The best of three plain products of these sizes, in billions of operations a second: without transfers where the device can tell.
async fn product(device: &Device, [m, k, n]: [usize; 3]) -> Result<f64> {
    let mut graph = Graph::new();
    let x = graph.input("x", [m, k]);
    let weight = graph.constant("weight", noise("weight.gemm", [n, k], 0.1)?);
    let product = graph.op("gemm", Linear::default(), vec![x, weight])?;
    graph.output("product", product, Layout::Plain);
    let input = noise("input.gemm", [m, k], 1.0)?;
    let mut session = Session::new(&graph, device).await?;
    timed(&mut session, &input).await?;
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let time = match session.profile(&input).await {
            Ok((_, timings)) => timings.iter().map(|timing| timing.time).sum(),
            Err(Error::InvalidArgument(_)) => timed(&mut session, &input).await?,
            Err(error) => return Err(error),
        };
        // A clock that stood still tells nothing.
        best = if time.is_zero() { best } else { best.min(time) };
    }
    Ok(2.0 * (m * k * n) as f64 / best.as_secs_f64() / 1e9)
}
