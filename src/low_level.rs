//! The parts that models are made and run of, in the order in which data pass them. Nothing here is needed to classify images; what
//! is here may change from one minor version to the next.
//!
//! 1. [`image`] decodes and preprocesses pictures, exactly as timm does.
//! 2. [`weights`] reads checkpoints as people have them; [`hub`] finds those of the Hugging Face hub.
//! 3. [`models`] turn weights into a [`graph`] of [`ops`].
//! 4. [`passes`] rewrite graphs: fold batch norms, fuse what follows a product into it.
//! 5. [`plan`] lowers a graph to a [`program`] for a kind of device, with its weights as [`packed`] describes them, and assigns
//!    memory; [`gpu`] and [`cpu`] run it.
//! 6. [`session`] hides the difference, [`classify`] turns images into labels, [`segment`] into class maps, [`explain`] shows what a
//!    model looked at.

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub mod $name { pub use crate::$name::*; })*
    };
}

parts! {
    /// Pictures: decoding, geometry, and timm's evaluation transform.
    image,
    /// From checkpoint files to tensors under their own keys.
    weights,
    /// Models of the Hugging Face hub by their names.
    hub,
    /// Names of classes.
    labels,
    /// Host tensors: shapes, element types, shared bytes.
    tensor,
    /// Families, presets and configurations: from keys and shapes to a graph.
    models,
    /// Models with weights of 8 or 4 bits.
    quantise,
    /// Graphs of operators in single-assignment form, and the builder that models use.
    graph,
    /// Operators: parameters, shapes, evaluation by definition, and how each device runs them.
    ops,
    /// Rewrites of graphs.
    passes,
    /// Weights as devices store them.
    packed,
    /// What a device is told, as data.
    program,
    /// From a graph to a program, and memory by lifetimes.
    plan,
    /// The executor for WebGPU.
    gpu,
    /// The executor for processor cores.
    cpu,
    /// A graph through the evaluations by definition, for tests.
    oracle,
    /// A graph on a device.
    session,
    /// Images to labels, with all that the package for browsers asks for.
    classify,
    /// Images to class maps.
    segment,
    /// What a model looked at.
    explain,
}
