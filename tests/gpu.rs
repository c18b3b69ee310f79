//! The GPU device as a user meets it: choice of adapter, limits, loss, and frames that allocate nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{collections::HashSet, sync::Arc};

use common::devices;
use pollster::block_on;
use webmamba::{
    Device, DeviceKind, Error, Model, Preprocess, Tensor, Weights,
    low_level::{
        classify::{ClassifierOptions, ClassifierPreparation},
        gpu::{AdapterSummary, Frame, GpuDevice, GpuExecutor, Pixels},
        graph::{Graph, Layout},
        image::CropMode,
        models::{BuildOptions, preset},
        ops::{Act, Activation, Linear, LinearAttention, TopK},
        passes, plan,
        program::{AdapterClass, Caps, Gpu},
        session::Session,
    },
};

fn micro_session(device: &Device, batch: usize) -> (Session, Tensor) {
    let manifest = common::manifest::Manifest::load("mambavision_micro");
    let mut config = manifest.config.clone();
    config["model_type"] = "mambavision".into();
    let weights = Weights::from_tensors("micro", manifest.weights());
    let model = Model::new(weights, Some(&config.to_string()), &Default::default()).unwrap();
    let graph = model.graph(&model.options(batch)).unwrap();
    let values = (0..batch * 64 * 64 * 3).map(|i| (i % 255) as f32 / 64.0 - 2.0).collect();
    (block_on(Session::new(&graph, device)).unwrap(), Tensor::from_f32([batch, 64, 64, 3], values).unwrap())
}

#[test]
fn a_steady_frame_allocates_nothing() {
    for gpu in [devices::lavapipe(), devices::swiftshader()] {
        let (mut session, input) = micro_session(&Device::Gpu(gpu), 1);
        let first = block_on(session.run(&input)).unwrap();
        let before = session.allocations().unwrap();
        assert!(before.buffers > 3 && before.bind_groups > 50 && before.pipelines > 10, "{before:?}");
        for _ in 0..100 {
            let again = block_on(session.run(&input)).unwrap();
            assert!(first.iter().zip(&again).all(|(a, b)| a.to_f32() == b.to_f32()), "the same input gives the same output");
        }
        assert_eq!(session.allocations().unwrap(), before);
    }
}

#[test]
fn batches_and_devices_agree_image_by_image() {
    let (mut cpu, input) = micro_session(&Device::Cpu, 2);
    let (mut gpu, _) = micro_session(&Device::Gpu(devices::lavapipe()), 2);
    let (a, b) = (block_on(cpu.run(&input)).unwrap(), block_on(gpu.run(&input)).unwrap());
    assert_eq!(cpu.output_names().collect::<Vec<_>>(), gpu.output_names().collect::<Vec<_>>());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.shape(), b.shape());
        assert!(common::manifest::rel_err(&b.to_f32(), &a.to_f32()) < 1e-4);
    }
}

#[test]
fn profiles_name_every_dispatch() {
    for gpu in [devices::lavapipe(), devices::swiftshader()] {
        let (mut session, input) = micro_session(&Device::Gpu(gpu), 1);
        let plain = block_on(session.run(&input)).unwrap();
        let (outputs, timings) = block_on(session.profile(&input)).unwrap();
        assert_eq!(timings.len(), session.stats().dispatches);
        assert!(timings.iter().any(|t| t.kernel == "selective_scan" && t.node.contains("mixer")));
        assert!(timings.iter().any(|t| !t.time.is_zero()));
        assert!(plain.iter().zip(&outputs).all(|(a, b)| a.to_f32() == b.to_f32()));
    }
}

#[test]
fn a_lost_device_is_an_error_and_a_new_one_works() {
    let gpu = devices::lavapipe();
    let (mut session, input) = micro_session(&Device::Gpu(gpu.clone()), 1);
    block_on(session.run(&input)).unwrap();
    gpu.destroy();
    for _ in 0..2 {
        let error = block_on(session.run(&input)).unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }
    let (mut session, input) = micro_session(&Device::Gpu(devices::lavapipe()), 1);
    block_on(session.run(&input)).unwrap();
}

/// A buffer that no driver makes, outside of any session.
fn provoke(device: &wgpu::Device) {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE;
    let _ = device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false });
}

#[test]
fn errors_of_others_reach_no_session() {
    let gpu = devices::lavapipe();
    let device = Device::Gpu(gpu.clone());
    let (mut one, input) = micro_session(&device, 1);
    let (mut two, _) = micro_session(&device, 1);
    let wanted = block_on(one.run(&input)).unwrap()[0].to_f32().into_owned();
    provoke(gpu.device());
    assert_eq!(block_on(one.run(&input)).unwrap()[0].to_f32(), wanted);
    // In another thread, while a run is under way.
    let other = gpu.device().clone();
    gpu.queue().on_submitted_work_done(move || std::thread::spawn(move || provoke(&other)).join().unwrap());
    for _ in 0..2 {
        assert_eq!(block_on(one.run(&input)).unwrap()[0].to_f32(), wanted);
        assert_eq!(block_on(two.run(&input)).unwrap()[0].to_f32(), wanted);
    }
    assert!(matches!(gpu.stray_error(), Some(Error::Gpu { .. })));
    assert!(gpu.stray_error().is_none());
}

#[test]
fn a_refused_run_is_an_error_of_its_session_and_of_no_later_run() {
    let gpu = devices::lavapipe();
    let device = Device::Gpu(gpu.clone());
    let (mut one, input) = micro_session(&device, 1);
    let (mut two, _) = micro_session(&device, 1);
    let wanted = block_on(two.run(&input)).unwrap()[0].to_f32().into_owned();
    // Textures that cannot be copied from.
    let texture = gpu.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: 8, height: 8, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    });
    let frame = |pixels| Frame { width: 8, height: 8, pixels };
    let preprocess = Preprocess::imagenet([64, 64]);
    for _ in 0..2 {
        let failed = block_on(one.run_frame(&frame(Pixels::Texture(&texture)), &preprocess, &["logits"]));
        assert!(matches!(failed, Err(Error::Gpu { .. })), "{failed:?}");
        assert_eq!(block_on(two.run(&input)).unwrap()[0].to_f32(), wanted);
        block_on(one.run_frame(&frame(Pixels::Host(&[7; 256])), &preprocess, &["logits"])).unwrap();
        assert_eq!(block_on(one.run(&input)).unwrap()[0].to_f32(), wanted);
    }
    assert!(gpu.stray_error().is_none());
}

#[test]
fn adapters_are_found_by_name_and_software_ones_only_so() {
    let gpu = devices::swiftshader();
    assert!(gpu.summary().is_software() && gpu.summary().line().contains("SwiftShader"));
    match block_on(GpuDevice::open(Some("no such adapter"))) {
        Err(Error::NoAdapter { wanted, available }) => {
            assert!(wanted.contains("no such adapter"));
            assert!(available.iter().any(|a| a.contains("llvmpipe")) && available.iter().any(|a| a.contains("SwiftShader")));
        }
        other => panic!("{other:?}"),
    }
    let (device, reason) = block_on(Device::open(DeviceKind::Auto, None)).unwrap();
    match devices::hardware() {
        Some(_) => assert_eq!(device.name(), "gpu"),
        None => assert!(device.name() == "cpu" && reason.contains("only software adapters"), "{reason}"),
    }
}

#[test]
fn the_wrong_input_is_refused() {
    for device in [Device::Cpu, Device::Gpu(devices::lavapipe())] {
        let (mut session, _) = micro_session(&device, 1);
        let wrong = Tensor::from_f32([1, 32, 64, 3], vec![0.0; 32 * 64 * 3]).unwrap();
        let error = block_on(session.run(&wrong)).unwrap_err();
        assert!(error.to_string().contains("[1, 64, 64, 3]"), "{error}");
    }
}

#[test]
fn a_batch_beyond_a_binding_names_the_limit() {
    let preset = preset("mamba_vision_t").unwrap();
    let options = BuildOptions { batch: 256, size: [224, 224], top_k: None, class_activation: false };
    let graph = preset.architecture.build("t", &Weights::zeros("t"), &options).unwrap();
    let gpu = devices::lavapipe();
    match block_on(Session::new(&graph, &Device::Gpu(gpu))) {
        Err(Error::AdapterLimit { adapter, limit, needed, available }) => {
            assert!(adapter.contains("llvmpipe") && limit == "maxStorageBufferBindingSize" && needed > available);
        }
        other => panic!("{:?}", other.map(|s| s.stats())),
    }
}

/// What lies between the dispatches of one operator counts too.
#[test]
fn scratch_beyond_a_binding_names_the_limit() {
    let mut graph = Graph::new();
    let (qk, v) = (graph.input("qk", [1, 4, 512]), graph.input("v", [1, 4, 256]));
    let y = graph.op("y", LinearAttention { heads: 1, fused_rope: false, normalised: true }, vec![qk, v, qk]).unwrap();
    graph.output("y", y, Layout::Plain);
    let caps = Caps { max_storage_binding: 64 << 10, ..Caps::webgpu_default(AdapterClass::Hardware) };
    match plan::lower::<Gpu>(&graph, &caps) {
        Err(Error::AdapterLimit { adapter, limit, needed, available }) => {
            assert!(adapter.contains("y.scratch") && limit == "maxStorageBufferBindingSize");
            // A matrix of 256 x 256 and a mean.
            assert_eq!((needed, available), ((256 * 256 + 256) * 4, 64 << 10));
        }
        other => panic!("{other:?}"),
    }
}

/// A buffer that just fits a limit gets no more memory than that.
#[test]
fn slots_stay_within_a_limit_that_their_buffers_meet() {
    let mut graph = Graph::new();
    let x = graph.input("x", [1, 1004]);
    let y = graph.op("y", Activation(Act::Relu), vec![x]).unwrap();
    graph.output("y", y, Layout::Plain);
    let caps = Caps { max_storage_binding: 4016, ..Caps::webgpu_default(AdapterClass::Hardware) };
    assert_eq!(plan::plan(&plan::lower::<Gpu>(&graph, &caps).unwrap()).bytes(), 2 * 4016);
}

#[test]
fn an_image_whose_resize_is_beyond_a_binding_names_the_limit() {
    let (mut session, _) = micro_session(&Device::Gpu(devices::lavapipe()), 1);
    let pixels = vec![0; 600_000 * 4];
    let frame = Frame { width: 1, height: 600_000, pixels: Pixels::Host(&pixels) };
    let preprocess = Preprocess { crop_mode: CropMode::Squash, ..Preprocess::imagenet([64, 64]) };
    match block_on(session.run_frame(&frame, &preprocess, &["logits"])) {
        Err(Error::AdapterLimit { limit, needed, .. }) => {
            assert!(limit == "maxStorageBufferBindingSize" && needed == 600_000 * 64 * 4, "{limit} {needed}");
        }
        other => panic!("{other:?}"),
    }
}

/// Shaders do not check bounds, so memory must be that of the very program.
#[test]
fn a_plan_of_another_program_is_refused() {
    let program = |rows: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", [rows, 64]);
        let y = graph.op("y", Activation(Act::Relu), vec![x]).unwrap();
        graph.output("y", y, Layout::Plain);
        plan::lower::<Gpu>(&graph, &Caps::webgpu_default(AdapterClass::Hardware)).unwrap()
    };
    let gpu = devices::lavapipe();
    for (rows, fits) in [(8, true), (7, false)] {
        let plan = plan::plan(&program(rows));
        let executor = block_on(GpuExecutor::with_plan(gpu.clone(), program(8), Arc::default(), plan, |_, _| {}));
        match executor {
            Ok(_) => assert!(fits),
            Err(error) => assert!(!fits && error.to_string().contains("another program"), "{error}"),
        }
    }
}

#[test]
fn a_program_for_other_subgroups_is_refused() {
    let manifest = common::manifest::Manifest::load("mila_micro");
    let (gpu, other) = (devices::lavapipe(), devices::swiftshader());
    assert!(gpu.caps().subgroup.is_some() && gpu.caps().subgroup != other.caps().subgroup);
    let mut config = manifest.config.clone();
    config["model_type"] = "mila".into();
    let weights = Weights::from_tensors("micro", manifest.weights());
    let model = Model::new(weights, Some(&config.to_string()), &Default::default()).unwrap();
    let program = plan::lower::<Gpu>(&model.graph(&model.options(1)).unwrap(), gpu.caps()).unwrap();
    let refused = block_on(GpuExecutor::new(other, program, Arc::default())).unwrap_err();
    assert!(refused.to_string().contains("subgroups of 8 lanes"), "{refused}");
}

/// What a frame costs to read back: 16 bytes a class, as outputs are padded like all values.
#[test]
fn the_best_classes_take_16_bytes_each() {
    let mut graph = Graph::new();
    let x = graph.input("x", [1, 1000]);
    let y = graph.op("y", TopK::plain(8), vec![x]).unwrap();
    graph.output("y", y, Layout::Plain);
    let program = plan::lower::<Gpu>(&graph, &Caps::webgpu_default(AdapterClass::Hardware)).unwrap();
    assert_eq!(webmamba::low_level::program::device_bytes(&program.outputs()[0].desc), 128);
    for told in [include_str!("../README.md"), include_str!("../pkg/README.md")] {
        assert!(told.split_whitespace().collect::<Vec<_>>().join(" ").contains("classes come back, 16 bytes each"));
    }
}

/// Weights are told apart by what they are, not by their names.
#[test]
fn two_weights_of_one_name_are_two() {
    let mut graph = Graph::new();
    let mut value = graph.input("x", [3, 5]);
    let weight = |scale: f32| Tensor::from_f32([5, 5], (0..25).map(|i| (i % 7) as f32 * scale - 0.5).collect()).unwrap();
    for (i, scale) in [0.2, -0.3].into_iter().enumerate() {
        let weight = graph.constant("w", weight(scale));
        value = graph.op(format!("y{i}"), Linear::default(), vec![value, weight]).unwrap();
    }
    graph.output("y", value, Layout::Plain);
    let input = Tensor::from_f32([3, 5], (0..15).map(|i| (i % 4) as f32 - 1.0).collect()).unwrap();
    let want = webmamba::low_level::oracle::run(&graph, &[&input]).unwrap().remove(0);
    for device in [Device::Cpu, Device::Gpu(devices::lavapipe()), Device::Gpu(devices::swiftshader())] {
        let got = block_on(block_on(Session::new(&graph, &device)).unwrap().run(&input)).unwrap().remove(0);
        assert!(common::manifest::rel_err(&got.to_f32(), &want.to_f32()) < 1e-5, "{}", device.name());
    }
}

/// And a store of weights belongs to one device.
#[test]
fn a_store_of_weights_serves_one_device() {
    let mut graph = Graph::new();
    let x = graph.input("x", [3, 5]);
    let weight = graph.constant("w", Tensor::from_f32([5, 5], vec![0.5; 25]).unwrap());
    let y = graph.op("y", Linear::default(), vec![x, weight]).unwrap();
    graph.output("y", y, Layout::Plain);
    let weights = Arc::default();
    block_on(Session::with_weights(&graph, &Device::Gpu(devices::lavapipe()), &weights)).unwrap();
    let refused = block_on(Session::with_weights(&graph, &Device::Gpu(devices::swiftshader()), &weights));
    let error = refused.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)) && error.to_string().contains("another device"), "{error}");
}

/// Class maps need the head's weight in one piece.
#[test]
fn a_head_beyond_a_binding_has_no_maps() {
    let model = || Model::synthetic("vmamba_t_s1l8", Some([64, 64])).unwrap();
    for (binding, maps) in [(1000 * 768 * 4, true), (1000 * 768 * 4 - 1, false)] {
        let gpu = devices::open("llvmpipe", |caps| Caps { max_storage_binding: binding, ..caps });
        let options = ClassifierOptions { batch: 1, top_k: 5, frames: true };
        let preparation = ClassifierPreparation::new(model(), &Device::Gpu(gpu), options).unwrap();
        let classifier = block_on(preparation.finish(|_, _| {})).unwrap();
        assert_eq!(classifier.has_maps(), maps, "a binding of {binding} bytes");
    }
}

/// A device of an adapter of this kind that the program opened for itself.
fn opened(name: &str, required_limits: wgpu::Limits) -> webmamba::Result<GpuDevice> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name.contains(name)).unwrap();
    let wanted = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = block_on(adapter.request_device(&wanted)).unwrap();
    GpuDevice::of(device, queue, AdapterSummary::of(&adapter))
}

/// The adapter has subgroups and larger limits; this device was opened without.
#[test]
fn a_device_of_the_program_is_used_with_what_it_was_opened_with() {
    let gpu = opened("llvmpipe", wgpu::Limits::default()).unwrap();
    assert_eq!(gpu.caps().subgroup, None);
    assert_eq!(gpu.caps().max_storage_binding, 128 << 20);
    let (mut session, input) = micro_session(&Device::Gpu(Arc::new(gpu)), 1);
    let (mut other, _) = micro_session(&Device::Cpu, 1);
    let (got, want) = (block_on(session.run(&input)).unwrap(), block_on(other.run(&input)).unwrap());
    let worst = got[0].to_f32().iter().zip(&*want[0].to_f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn a_device_below_webgpus_guarantees_is_refused() {
    let error = opened("llvmpipe", wgpu::Limits::downlevel_defaults()).unwrap_err();
    assert!(matches!(&error, Error::AdapterLimit { limit, .. } if limit == "maxStorageBuffersPerShaderStage"), "{error}");
}

/// 740 million parameters: 3 GB of weights, in pages of buffers with 128 MiB bindings.
#[test]
fn the_largest_model_loads_on_lavapipe() {
    let name = "mamba_vision_l3_512_21k";
    let preset = preset(name).unwrap();
    let options = BuildOptions { batch: 1, size: [512, 512], top_k: Some(TopK::plain(5)), class_activation: false };
    let graph =
        preset.architecture.build(name, &preset.architecture.synthetic(name), &options).unwrap().select(&["top_k"]).unwrap();
    let device = Device::Gpu(devices::lavapipe());
    let session = block_on(Session::new(&graph, &device)).unwrap();
    assert!(session.stats().weights_bytes > 2_900_000_000, "{:?}", session.stats());
}

/// Weights that exceed a binding on a smaller adapter are split, and every buffer of every preset then fits WebGPU's 128 MiB.
#[test]
fn every_preset_fits_webgpu_limits_at_batch_one() {
    for name in webmamba::low_level::models::preset_names() {
        let preset = preset(&name).unwrap();
        // Its windows of 25,600 tokens have hidden channels of 150 MiB: it is refused unless asked for.
        if name == "mamba_vision_s_upernet" {
            continue;
        }
        let (top_k, output) =
            if preset.architecture.head().is_dense() { (None, "logits") } else { (Some(TopK::plain(5)), "top_k") };
        let options = BuildOptions { batch: 1, size: preset.preprocess.size, top_k, class_activation: false };
        let graph = preset.architecture.build(&name, &Weights::zeros(&name), &options).unwrap();
        let graph = passes::optimise(&graph.select(&[output]).unwrap()).unwrap();
        for class in [AdapterClass::Software, AdapterClass::Hardware] {
            let program = plan::lower::<Gpu>(&graph, &Caps::webgpu_default(class)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(program.weights().iter().all(|w| w.bytes() <= 128 << 20), "{name}");
        }
    }
}

/// Sessions of other batch sizes find the weights on the device already.
#[test]
fn sessions_share_weights() {
    let gpu = devices::lavapipe();
    let device = Device::Gpu(gpu);
    let weights = Arc::default();
    let preset = preset("mila_t").unwrap();
    let graph = |batch| {
        let options = BuildOptions { batch, size: [64, 64], top_k: None, class_activation: false };
        preset
            .architecture
            .build("mila_t", &preset.architecture.synthetic("mila_t"), &options)
            .unwrap()
            .select(&["logits"])
            .unwrap()
    };
    let mut one = block_on(Session::with_weights(&graph(1), &device, &weights)).unwrap();
    let before = one.allocations().unwrap();
    let mut two = block_on(Session::with_weights(&graph(2), &device, &weights)).unwrap();
    // Slots, parameters, the empty buffer and the readback; no pages of weights.
    let slots = two.allocations().unwrap().buffers - before.buffers;
    assert!(slots < 16, "{slots} buffers");
    let image: Vec<f32> = (0..64 * 64 * 3).map(|i| (i % 97) as f32 / 50.0 - 1.0).collect();
    let a = block_on(one.run(&Tensor::from_f32([1, 64, 64, 3], image.clone()).unwrap())).unwrap();
    let b = block_on(two.run(&Tensor::from_f32([2, 64, 64, 3], [image.clone(), image].concat()).unwrap())).unwrap();
    let (a, b) = (a[0].to_f32(), b[0].to_f32());
    assert!(common::manifest::rel_err(&b[..1000], &a) < 1e-5 && common::manifest::rel_err(&b[1000..], &a) < 1e-5);
}

/// Of each kernel of a model one pipeline, and for the same model once more none.
#[test]
fn each_kernel_is_compiled_once() {
    let preset = preset("mila_t").unwrap();
    let options = BuildOptions { batch: 1, size: [64, 64], top_k: None, class_activation: false };
    let weights = preset.architecture.synthetic("mila_t");
    let graph = preset.architecture.build("mila_t", &weights, &options).unwrap().select(&["logits"]).unwrap();
    for name in ["llvmpipe", "SwiftShader"] {
        // A device of its own, on which nobody else compiles.
        let gpu = Arc::new(block_on(GpuDevice::open(Some(name))).unwrap());
        let program = plan::lower_tuned(&passes::optimise(&graph).unwrap(), gpu.caps(), gpu.tuning()).unwrap();
        let kernels: HashSet<_> = program.dispatches().iter().map(|dispatch| &dispatch.kernel).collect();
        assert!(kernels.len() > 5 && kernels.len() < program.dispatches().len());
        for _ in 0..2 {
            let session = block_on(Session::new(&graph, &Device::Gpu(gpu.clone()))).unwrap();
            assert_eq!(session.allocations().unwrap().pipelines, kernels.len());
        }
    }
}
