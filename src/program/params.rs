//! Uniform blocks: host structs whose field names can be held against the shader's.

/// A host struct that mirrors a shader's `struct Params` field by field (all members are 4 bytes).
pub trait Params: bytemuck::Pod {
    /// Field names in order.
    const FIELDS: &'static [&'static str];

    /// The block that a dispatch carries.
    fn block(&self) -> ParamBlock {
        ParamBlock { bytes: bytemuck::bytes_of(self).to_vec(), fields: Self::FIELDS }
    }
}

/// The bytes of a uniform block and the names of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamBlock {
    /// Little-endian, four bytes a field.
    pub bytes: Vec<u8>,
    /// Field names as in the shader's `struct Params`.
    pub fields: &'static [&'static str],
}

/// Declares a `#[repr(C)]` struct of `u32` / `f32` fields that implements [`Params`].
macro_rules! params {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        struct $name { $($field: $ty),* }
        impl $crate::program::Params for $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}
pub(crate) use params;
