//! What adapters there are and which one to take.

use wgpu::{Adapter, Backends, DeviceType, Instance, InstanceDescriptor, InstanceFlags};

use crate::{
    error::{Error, Result},
    gpu::AdapterSummary,
    program::{AdapterClass, Caps},
};

impl AdapterSummary {
    /// What an adapter says of itself.
    pub fn of(adapter: &Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => "discrete",
            DeviceType::IntegratedGpu => "integrated",
            DeviceType::VirtualGpu => "virtual",
            DeviceType::Cpu => "software",
            DeviceType::Other => "other",
        };
        let named = [
            ("f16", wgpu::Features::SHADER_F16),
            ("subgroups", wgpu::Features::SUBGROUP),
            ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
        ];
        Self {
            name: info.name,
            backend: info.backend.to_string(),
            kind: kind.into(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            features: named.iter().filter(|(_, f)| features.contains(*f)).map(|(name, _)| (*name).to_owned()).collect(),
            max_storage_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_workgroup_storage: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            subgroup: (features.contains(wgpu::Features::SUBGROUP) && info.subgroup_min_size == info.subgroup_max_size)
                .then_some(info.subgroup_max_size),
        }
    }

    fn matches(&self, wanted: &str) -> bool {
        self.line().to_ascii_lowercase().contains(&wanted.to_ascii_lowercase())
    }

    /// What lowering needs to know of a device of this adapter: no more than it was opened with.
    pub(super) fn caps(&self, device: &wgpu::Device) -> Caps {
        let limits = device.limits();
        // In browsers, features pass wgpu by: there the summary has been told what the device has.
        let has_subgroups = cfg!(target_arch = "wasm32") || device.features().contains(wgpu::Features::SUBGROUP);
        Caps {
            class: if self.is_software() { AdapterClass::Software } else { AdapterClass::Hardware },
            max_storage_binding: limits.max_storage_buffer_binding_size.min(self.max_storage_binding),
            max_workgroup_storage: limits.max_compute_workgroup_storage_size.min(self.max_workgroup_storage),
            max_invocations: limits.max_compute_invocations_per_workgroup.min(self.max_invocations),
            subgroup: self.subgroup.filter(|_| has_subgroups),
            half: false,
        }
    }
}

pub(super) fn instance() -> Instance {
    // Validation layers are a developer's tool that costs time in debug builds; wgpu's own validation stays on.
    Instance::new(InstanceDescriptor { flags: InstanceFlags::empty(), ..InstanceDescriptor::new_without_display_handle() })
}

async fn all(instance: &Instance) -> Vec<(Adapter, AdapterSummary)> {
    let adapters = instance.enumerate_adapters(Backends::all()).await;
    adapters
        .into_iter()
        .map(|adapter| {
            let summary = AdapterSummary::of(&adapter);
            (adapter, summary)
        })
        .collect()
}

/// All adapters, the best first.
pub async fn adapters() -> Vec<AdapterSummary> {
    let mut found: Vec<AdapterSummary> = all(&instance()).await.into_iter().map(|(_, summary)| summary).collect();
    found.sort_by_key(rank);
    found
}

/// Discrete before integrated before anything else; software last.
fn rank(summary: &AdapterSummary) -> usize {
    ["discrete", "integrated", "virtual", "other", "software"].iter().position(|k| *k == summary.kind).unwrap_or(3)
}

/// The best adapter whose line contains `wanted`; without a wish, the best hardware adapter.
///
/// # Errors
/// [`Error::NoAdapter`], which lists what there is.
pub(super) async fn choose(instance: &Instance, wanted: Option<&str>) -> Result<(Adapter, AdapterSummary)> {
    let mut found = all(instance).await;
    found.sort_by_key(|(_, summary)| rank(summary));
    let available = found.iter().map(|(_, summary)| summary.line()).collect();
    let fits = |summary: &AdapterSummary| match wanted {
        Some(wanted) => summary.matches(wanted),
        None => !summary.is_software(),
    };
    found.into_iter().find(|(_, summary)| fits(summary)).ok_or_else(|| {
        let wanted = match wanted {
            Some(wanted) => format!("matches `{wanted}`"),
            None => "is hardware (software adapters are only used when named with `--adapter`)".to_owned(),
        };
        Error::NoAdapter { wanted, available }
    })
}
