//! Every kernel, specialised as the presets and fixtures need it for every class of adapter, must be valid WGSL, translate to
//! SPIR-V, MSL and HLSL, and agree with the host on its bindings and parameters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};

use naga::{
    AddressSpace, Arena, Block, Expression, Handle, Module, Statement, StorageAccess, TypeInner,
    back::{hlsl, msl, spv},
    valid::{Capabilities, FunctionInfo, ModuleInfo, ValidationFlags, Validator},
};
use webmamba::{
    Preprocess, Weights,
    low_level::{
        gpu::shader,
        graph::{Graph, Layout},
        models::{Architecture, BuildOptions, MambaVision, Mila, preset, preset_names},
        ops::{ArgMax, Resize, TopK},
        passes, plan,
        program::{AdapterClass, Caps, Dispatch, Gpu, Kernel},
    },
};

fn architectures() -> Vec<(String, Architecture, [usize; 2])> {
    let mut all: Vec<(String, Architecture, [usize; 2])> = preset_names()
        .into_iter()
        .map(|name| {
            let preset = preset(&name).unwrap();
            (name, preset.architecture, preset.preprocess.size)
        })
        .collect();
    let micro = MambaVision {
        dim: 16,
        in_dim: 16,
        depths: [1, 1, 4, 2],
        num_heads: [2, 2, 4, 4],
        window_size: [8, 8, 4, 2],
        mlp_ratio: 4.0,
        layer_scale: true,
        layer_scale_conv: true,
        d_state: 8,
        d_conv: 3,
        expand: 1,
        qkv_bias: true,
    };
    // Sequences of 4096 tokens need the scan in three dispatches.
    let long = MambaVision { window_size: [8, 8, 64, 32], d_state: 16, ..micro.clone() };
    all.push(("micro".into(), Architecture::new(micro, 10), [96, 80]));
    all.push(("long".into(), Architecture::new(long, 10), [1024, 1024]));
    let micro = Mila { embed_dim: 16, depths: [1, 1, 2, 1], num_heads: [1, 2, 4, 4], mlp_ratio: 4.0, qkv_bias: true };
    all.push(("mila".into(), Architecture::new(micro, 10), [64, 64]));
    all
}

/// One dispatch for each specialised kernel, from the graphs as they are written and as they are optimised.
fn kernels() -> HashMap<Kernel, Dispatch> {
    let mut kernels = HashMap::new();
    for (name, architecture, size) in architectures() {
        let top_k = (!architecture.head().is_dense()).then_some(TopK::plain(5));
        // Windows of 25,600 tokens want larger bindings than every device has.
        let batch = if top_k.is_some() { 2 } else { 1 };
        let options = BuildOptions { batch, size, top_k, class_activation: true };
        let mut graph: Graph = architecture.build(&name, &Weights::zeros(&name), &options).unwrap();
        if let Some(logits) = graph.outputs().iter().find(|o| o.name == "logits").filter(|_| architecture.head().is_dense()) {
            let logits = logits.value;
            let map = graph.op("class_map", ArgMax { through: size, size: [600, 801] }, vec![logits]).unwrap();
            let nearest = graph.op("nearest", Resize { size, nearest: true }, vec![logits]).unwrap();
            graph.output("class_map", map, Layout::Plain);
            graph.output("nearest", nearest, Layout::Plain);
        }
        for graph in [passes::optimise(&graph).unwrap(), graph] {
            let software = Caps::webgpu_default(AdapterClass::Software);
            let subgroups = [4, 8].map(|lanes| Caps { subgroup: Some(lanes), ..software });
            let classes = [software, subgroups[0], subgroups[1], Caps::webgpu_default(AdapterClass::Hardware)];
            for (caps, half) in classes.iter().flat_map(|caps| [(caps, false), (caps, true)]) {
                let caps = Caps { max_storage_binding: 1 << 30, half, ..*caps };
                let program = plan::lower::<Gpu>(&graph, &caps).unwrap();
                kernels.extend(program.dispatches().iter().map(|d| (d.kernel.clone(), d.clone())));
            }
        }
    }
    for preprocess in [Preprocess::imagenet([64, 64]), Preprocess::dense(64).for_image(640, 427)] {
        let frame = plan::frame(&preprocess, [640, 427], 640).unwrap();
        kernels.extend(frame.dispatches.into_iter().map(|d| (d.kernel.clone(), d)));
    }
    kernels
}

#[test]
fn every_specialised_kernel_is_valid_everywhere() {
    let kernels = kernels();
    let used: HashSet<&str> = kernels.keys().map(|k| k.shader).collect();
    for name in shader::names() {
        assert!(used.contains(name), "no model uses the shader `{name}`");
    }
    println!("{} specialised kernels of {} shaders", kernels.len(), used.len());
    write_for_browsers(&kernels);
    for (kernel, dispatch) in &kernels {
        let (module, info) = parse(&shader::assemble(kernel).unwrap(), &format!("{kernel:?}"));
        spv::write_vec(&module, &info, &spv::Options::default(), None).unwrap_or_else(|e| panic!("{kernel:?} SPIR-V: {e}"));
        msl::write_string(&module, &info, &msl::Options::default(), &msl::PipelineOptions::default())
            .unwrap_or_else(|e| panic!("{kernel:?} MSL: {e}"));
        let (options, pipeline, mut text) = (hlsl::Options::default(), hlsl::PipelineOptions::default(), String::new());
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{kernel:?} HLSL: {e}"));
        check_bindings(&module, dispatch);
        check_workgroup(&module, dispatch);
    }
}

fn parse(source: &str, what: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source).unwrap_or_else(|error| panic!("{what}\n{}", error.emit_to_string(source)));
    // WebGPU has `unpack2x16float` everywhere; only some OpenGL does not, for which it is a capability here.
    let capabilities = Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    let info = validator.validate(&module).unwrap_or_else(|error| panic!("{what}\n{}", error.emit_to_string(source)));
    (module, info)
}

/// WGSL lets a store to a component touch the whole vector: two invocations that write parts of one race, as has been seen on
/// Metal and D3D.
#[test]
fn no_kernel_stores_a_component_of_a_shared_vector() {
    for kernel in kernels().keys() {
        let (module, info) = parse(&shader::assemble(kernel).unwrap(), &format!("{kernel:?}"));
        assert_eq!(component_stores(&module, &info), Vec::<String>::new(), "{kernel:?}");
    }
}

#[test]
fn stores_of_components_are_found_wherever_they_stand() {
    let store = |memory: &str, statement: &str| {
        let source = format!(
            "{memory}\nfn inner(i: u32) {{ for (var k = 0u; k < i; k++) {{ if (k > 2u) {{ {statement} }} }} }}\n\
             @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {{ inner(i); }}"
        );
        let (module, info) = parse(&source, statement);
        component_stores(&module, &info).len()
    };
    let tile = "var<workgroup> tile: array<vec4f, 64>;";
    assert_eq!(store(tile, "tile[i].y = 1.0;"), 1);
    assert_eq!(store(tile, "tile[i / 4u][i % 4u] = 1.0;"), 1);
    assert_eq!(store("var<workgroup> tile: array<mat2x2f, 64>;", "tile[i][1] = vec2f(1.0);"), 1);
    assert_eq!(store("@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;", "y[i].x = 1.0;"), 1);
    assert_eq!(store(tile, "tile[i] = vec4f(1.0);"), 0);
    assert_eq!(store("var<workgroup> tile: array<f32, 64>;", "tile[i] = 1.0;"), 0);
    assert_eq!(store("var<private> own: vec4f;", "own[i % 4u] = 1.0;"), 0);
}

/// Stores through an access into a vector or matrix of workgroup or storage memory, by the function they stand in.
fn component_stores(module: &Module, info: &ModuleInfo) -> Vec<String> {
    let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let entries = module.entry_points.iter().enumerate().map(|(i, entry)| (&entry.function, info.get_entry_point(i)));
    let mut found = Vec::new();
    for (function, info) in functions.chain(entries) {
        let mut pointers = Vec::new();
        stored(&function.body, &mut pointers);
        let shared = |pointer: &Handle<Expression>| into_shared_vector(module, &function.expressions, info, *pointer);
        let name = function.name.as_deref().unwrap_or("main");
        found.extend(pointers.iter().filter(|pointer| shared(pointer)).map(|_| name.to_owned()));
    }
    found
}

/// What the statements of a block and all blocks within it store through.
fn stored(block: &Block, pointers: &mut Vec<Handle<Expression>>) {
    for statement in block {
        match statement {
            Statement::Store { pointer, .. } => pointers.push(*pointer),
            Statement::Block(inner) => stored(inner, pointers),
            Statement::If { accept, reject, .. } => [accept, reject].into_iter().for_each(|b| stored(b, pointers)),
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| stored(&case.body, pointers)),
            Statement::Loop { body, continuing, .. } => [body, continuing].into_iter().for_each(|b| stored(b, pointers)),
            _ => {}
        }
    }
}

fn into_shared_vector(
    module: &Module,
    expressions: &Arena<Expression>,
    info: &FunctionInfo,
    pointer: Handle<Expression>,
) -> bool {
    let (Expression::Access { base, .. } | Expression::AccessIndex { base, .. }) = expressions[pointer] else { return false };
    let (whole, space) = match *info[base].ty.inner_with(&module.types) {
        TypeInner::Pointer { base, space } => {
            (matches!(module.types[base].inner, TypeInner::Vector { .. } | TypeInner::Matrix { .. }), space)
        }
        TypeInner::ValuePointer { size, space, .. } => (size.is_some(), space),
        _ => return false,
    };
    whole && matches!(space, AddressSpace::WorkGroup | AddressSpace::Storage { .. })
}

/// Leaves all kernels where the browser tests find them: browsers compile them with another compiler, which is stricter.
fn write_for_browsers(kernels: &HashMap<Kernel, Dispatch>) {
    let named = kernels.keys().map(|kernel| {
        let subgroups = kernel.constants.iter().any(|(name, _)| *name == "SUBGROUP");
        let directive = if subgroups { "enable subgroups;\n" } else { "" };
        serde_json::json!({
            "name": format!("{kernel:?}"),
            "subgroups": subgroups,
            "f16": kernel.constant("HALF").is_some(),
            "source": format!("{directive}{}", shader::assemble(kernel).unwrap()),
        })
    });
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels.json");
    std::fs::write(path, serde_json::Value::Array(named.collect()).to_string()).unwrap();
}

/// Reads, then writes, then one uniform block whose members are the host's fields in the host's order.
fn check_bindings(module: &Module, dispatch: &Dispatch) {
    let name = dispatch.kernel.shader;
    let mut bound: Vec<(u32, &naga::GlobalVariable)> = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        if let Some(binding) = &variable.binding {
            assert_eq!(binding.group, 0, "{name}");
            bound.push((binding.binding, variable));
        }
    }
    bound.sort_by_key(|(binding, _)| *binding);
    let (reads, writes) = (dispatch.reads.len(), dispatch.writes.len());
    assert_eq!(bound.len(), reads + writes + 1, "{name} binds another number of buffers than the host");
    assert!(reads + writes <= 8, "{name} needs more storage buffers than WebGPU guarantees");
    for (i, (binding, variable)) in bound.iter().enumerate() {
        assert_eq!(*binding as usize, i, "{name} leaves a binding out");
        match variable.space {
            AddressSpace::Storage { access } => {
                assert!(i < reads + writes, "{name}: binding {i} must be the uniform block");
                assert_eq!(access.contains(StorageAccess::STORE), i >= reads, "{name}: binding {i}");
            }
            AddressSpace::Uniform => {
                assert_eq!(i, reads + writes, "{name}: the uniform block comes last");
                let TypeInner::Struct { members, span } = &module.types[variable.ty].inner else { panic!("{name}: no struct") };
                let fields: Vec<&str> = members.iter().map(|m| m.name.as_deref().unwrap()).collect();
                assert_eq!(fields, dispatch.params.fields, "{name}");
                assert_eq!(*span as usize, dispatch.params.bytes.len(), "{name}");
            }
            other => panic!("{name}: binding {i} is {other:?}"),
        }
    }
}

/// Threads and workgroup memory stay within what WebGPU guarantees.
fn check_workgroup(module: &Module, dispatch: &Dispatch) {
    let entry = &module.entry_points[0];
    assert!(entry.workgroup_size.iter().product::<u32>() <= 256, "{:?}", dispatch.kernel);
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let bytes: u32 = module
        .global_variables
        .iter()
        .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
        .map(|(_, v)| layouter[v.ty].size)
        .sum();
    assert!(bytes <= 16 << 10, "{:?}: {bytes} bytes of workgroup memory", dispatch.kernel);
}
