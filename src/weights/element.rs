//! Element types as files name them, and how they become one of the crate's four.

use crate::{
    error::Result,
    tensor::{Bytes, DType, Shape, Tensor, TensorDesc},
};

/// One key of a checkpoint.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// A tensor of one of the crate's element types.
    Tensor(Tensor),
    /// A tensor that is known by name only: no layer can read its element type.
    Unreadable {
        /// The element type as the file calls it.
        element: String,
        /// Extents.
        shape: Shape,
    },
}

impl Entry {
    pub(crate) fn shape(&self) -> &Shape {
        match self {
            Self::Tensor(tensor) => tensor.shape(),
            Self::Unreadable { shape, .. } => shape,
        }
    }
}

/// An element type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    BF16,
    F64,
    I64,
    I32,
    I16,
    I8,
    U32,
    U16,
    U8,
    Bool,
    /// [`Self::I8`] and [`Self::U8`] with scales.
    Q8,
    Q4,
    /// A type that is only skipped: its name, and how many bytes it takes.
    Other(&'static str, usize),
}

impl Element {
    /// Bytes an element takes in the file.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool | Self::Q8 | Self::Q4 => 1,
            Self::Other(_, size) => size,
        }
    }

    /// The crate's type that has the very same bytes, for which nothing is copied.
    pub(super) fn same(self) -> Option<DType> {
        match self {
            Self::F32 => Some(DType::F32),
            Self::F16 => Some(DType::F16),
            Self::BF16 => Some(DType::BF16),
            Self::I64 => Some(DType::I64),
            Self::Q8 => Some(DType::Q8),
            Self::Q4 => Some(DType::Q4),
            _ => None,
        }
    }

    /// The storage classes of `torch`, by their Python names.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::BF16,
            "DoubleStorage" => Self::F64,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" | "UntypedStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            "ComplexFloatStorage" => Self::Other("complex64", 8),
            "ComplexDoubleStorage" => Self::Other("complex128", 16),
            "QUInt8Storage" => Self::Other("quint8", 1),
            "QInt8Storage" => Self::Other("qint8", 1),
            "QInt32Storage" => Self::Other("qint32", 4),
            "QUInt4x2Storage" => Self::Other("quint4x2", 1),
            "QUInt2x4Storage" => Self::Other("quint2x4", 1),
            _ => return None,
        })
    }

    /// The `torch.dtype`s that name themselves instead of having a storage class.
    pub(super) fn of_torch(dtype: &str) -> Option<Self> {
        Some(match dtype {
            "float32" => Self::F32,
            "float16" => Self::F16,
            "bfloat16" => Self::BF16,
            "float64" => Self::F64,
            "int64" => Self::I64,
            "int32" => Self::I32,
            "int16" => Self::I16,
            "int8" => Self::I8,
            "uint32" => Self::U32,
            "uint16" => Self::U16,
            "uint8" => Self::U8,
            "bool" => Self::Bool,
            "uint64" => Self::Other("uint64", 8),
            "float8_e4m3fn" => Self::Other("float8_e4m3fn", 1),
            "float8_e5m2" => Self::Other("float8_e5m2", 1),
            "float8_e4m3fnuz" => Self::Other("float8_e4m3fnuz", 1),
            "float8_e5m2fnuz" => Self::Other("float8_e5m2fnuz", 1),
            "float8_e8m0fnu" => Self::Other("float8_e8m0fnu", 1),
            _ => return None,
        })
    }

    /// The entry for `bytes`, which hold a row-major tensor of `shape`: shared where the type is one of the crate's, otherwise
    /// widened (floating point to F32, integers to I64).
    pub(super) fn entry(self, shape: Shape, bytes: Bytes) -> Result<Entry> {
        let of = |dtype, bytes| Tensor::new(TensorDesc { dtype, shape: shape.clone() }, bytes).map(Entry::Tensor);
        if let Some(dtype) = self.same() {
            return of(dtype, bytes);
        }
        let raw = bytes.as_slice();
        let wide = match self {
            Self::F64 => return Tensor::from_f32(shape, each(raw, |b| f64::from_le_bytes(b) as f32)).map(Entry::Tensor),
            Self::I32 => each(raw, |b| i64::from(i32::from_le_bytes(b))),
            Self::I16 => each(raw, |b| i64::from(i16::from_le_bytes(b))),
            Self::I8 => each(raw, |b| i64::from(i8::from_le_bytes(b))),
            Self::U32 => each(raw, |b| i64::from(u32::from_le_bytes(b))),
            Self::U16 => each(raw, |b| i64::from(u16::from_le_bytes(b))),
            Self::U8 | Self::Bool => each(raw, |b| i64::from(u8::from_le_bytes(b))),
            _ => return Ok(Entry::Unreadable { element: self.name().into(), shape }),
        };
        of(DType::I64, Bytes::new(wide.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Other(name, _) => name,
            _ => "number",
        }
    }
}

/// `f` of each `N` bytes.
fn each<const N: usize, T>(raw: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|b| f(*b)).collect()
}
