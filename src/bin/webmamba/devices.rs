//! `webmamba devices`: what there is to compute on.

use std::{process::ExitCode, thread};

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;
use webmamba::low_level::gpu::{self, AdapterSummary};

use crate::terminal::{Outcome, pairs, plain, print, print_json};

/// List GPU adapters and the CPU
#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(crate) async fn run(self) -> Outcome {
        let adapters = gpu::adapters().await;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let auto = if adapters.iter().any(|adapter| !adapter.is_software()) { "gpu" } else { "cpu" };
        if self.json {
            print_json(&json!({ "adapters": adapters, "cpu": { "threads": threads }, "auto": auto }))?;
            return Ok(ExitCode::SUCCESS);
        }
        for adapter in &adapters {
            print(&describe(adapter))?;
        }
        let cores = if threads == 1 { "1 thread".into() } else { format!("{threads} threads") };
        print(&format!("CPU ({cores})"))?;
        print(&match (adapters.iter().find(|adapter| !adapter.is_software()), adapters.is_empty()) {
            (Some(best), _) => format!("\n`--device auto` takes {}.", plain(&best.name)),
            (None, true) => "\n`--device auto` takes the CPU, as there is no GPU.".into(),
            (None, false) => {
                "\n`--device auto` takes the CPU, as there are only software adapters, which must be named with `--adapter`."
                    .into()
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(adapter: &AdapterSummary) -> String {
    let features = if adapter.features.is_empty() { "none".to_owned() } else { adapter.features.join(", ") };
    let (binding, buffer) = (HumanBytes(adapter.max_storage_binding), HumanBytes(adapter.max_buffer));
    let workgroup = HumanBytes(u64::from(adapter.max_workgroup_storage));
    let rows = [
        ("backend", adapter.backend.clone()),
        ("type", adapter.kind.clone()),
        ("driver", plain(&adapter.driver)),
        ("features", features),
        (
            "limits",
            format!(
                "binding {binding}, buffer {buffer}, workgroup memory {workgroup}, {} threads a workgroup",
                adapter.max_invocations
            ),
        ),
    ];
    format!("{}\n{}", plain(&adapter.name), pairs(&rows))
}
