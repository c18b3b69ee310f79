//! What a processor can do.

/// Instruction sets that the kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain code, four values at a time as far as the compiler can.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL).
    Avx512,
    /// 64-bit Arm.
    Neon,
    /// WebAssembly with 128-bit vectors; with relaxed ones where the module was built for them.
    WasmSimd,
}

impl Isa {
    /// Values in a vector.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 => 8,
            Self::Scalar | Self::Neon | Self::WasmSimd => 4,
        }
    }

    /// Vectors across a panel of a product's right-hand matrix.
    pub const fn panel_vectors(self) -> usize {
        match self {
            Self::Avx512 | Self::Avx2 | Self::WasmSimd | Self::Scalar => 2,
            Self::Neon => 4,
        }
    }

    /// Values across such a panel.
    pub const fn panel_width(self) -> usize {
        self.lanes() * self.panel_vectors()
    }

    /// Whether plain products read a weight as checkpoints have it, `[N, K]`, with vectors along K. With vectors of four values that is
    /// as fast as panels, and costs neither time at load nor a second copy of the weights, which matters most in browsers.
    pub const fn reads_rows(self) -> bool {
        matches!(self, Self::Scalar | Self::WasmSimd)
    }

    /// Most rows of a register tile: as many as leave room for a panel's vectors and one factor.
    pub const fn tile_rows(self) -> usize {
        match self {
            Self::Avx512 => 14,
            Self::Avx2 | Self::Neon | Self::Scalar | Self::WasmSimd => 6,
        }
    }
}

/// What lowering needs to know of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Instruction set.
    pub isa: Isa,
    /// Threads that share a step.
    pub threads: usize,
}
