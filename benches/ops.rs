//! Time of the heaviest operators, in the kernel variants of both classes. `make bench`, or for one adapter and a part of the
//! names: `cargo bench --bench ops -- [--adapter SUBSTRING] [NAME]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/common/cases.rs"]
#[allow(unreachable_pub)]
mod cases;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cases::{Case, benchmark_cases};
use webmamba::{
    Tensor,
    low_level::{
        cpu::CpuExecutor,
        gpu::{self, GpuDevice, GpuExecutor},
        plan,
        program::{AdapterClass, Caps},
    },
};

/// Best of the runs that fit a second, and at least three: the minimum is the least noisy figure on a shared machine.
fn best(mut run: impl FnMut()) -> Duration {
    run();
    let start = Instant::now();
    let mut best = Duration::MAX;
    let mut runs = 0;
    while runs < 3 || (start.elapsed() < Duration::from_secs(1) && runs < 50) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
        runs += 1;
    }
    best
}

fn on_gpu(device: &Arc<GpuDevice>, case: &Case) -> (Duration, Duration) {
    let (graph, inputs) = case.graph();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let program = plan::lower(&graph, device.caps()).unwrap();
    let start = Instant::now();
    let mut executor = pollster::block_on(GpuExecutor::new(device.clone(), program, Arc::default())).unwrap();
    let prepare = start.elapsed();
    (best(|| drop(pollster::block_on(executor.run(&inputs)).unwrap())), prepare)
}

fn on_cpu(case: &Case) -> Duration {
    let (graph, inputs) = case.graph();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let mut executor = CpuExecutor::new(&graph).unwrap();
    best(|| drop(executor.run(&inputs).unwrap()))
}

fn main() {
    let mut adapters: Vec<String> = pollster::block_on(gpu::adapters()).into_iter().map(|a| a.name).collect();
    let mut filter = String::new();
    // Cargo passes `--bench`.
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--adapter" => {
                let wanted = args.next().unwrap().to_lowercase();
                adapters.retain(|name| name.to_lowercase().contains(&wanted));
            }
            name => filter = name.to_owned(),
        }
    }
    println!("{:<42} {:<34} {:>10} {:>10} {:>10}", "case", "device", "ms", "GFLOP/s", "compile ms");
    for case in benchmark_cases().iter().filter(|case| case.name.contains(&filter)) {
        let gflop = case.graph().0.macs() as f64 * 2e-9;
        let line = |device: &str, time: Duration, prepare: Option<Duration>| {
            let prepare = prepare.map_or_else(String::new, |p| format!("{:.0}", p.as_secs_f64() * 1e3));
            let (ms, rate) = (time.as_secs_f64() * 1e3, gflop / time.as_secs_f64());
            println!("{:<42} {device:<34} {ms:>10.2} {rate:>10.1} {prepare:>10}", case.name);
        };
        line("cpu", on_cpu(case), None);
        for adapter in &adapters {
            let open = || pollster::block_on(GpuDevice::open(Some(adapter))).unwrap();
            let caps = *open().caps();
            let short: String = adapter.chars().take(16).collect();
            for (variant, caps) in [
                ("direct", Caps { class: AdapterClass::Software, subgroup: None, ..caps }),
                ("subgroups", Caps { class: AdapterClass::Software, ..caps }),
                ("tiled", Caps { class: AdapterClass::Hardware, ..caps }),
            ] {
                let mut device = open();
                device.set_caps(caps);
                let (time, prepare) = on_gpu(&Arc::new(device), case);
                line(&format!("{short}, {variant}"), time, Some(prepare));
            }
        }
    }
}
