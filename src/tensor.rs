//! Host tensors: a shape, an element type and shared bytes, row-major.

use std::{
    borrow::Cow,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use half::{bf16, f16};

use crate::error::{Error, Result};

/// Element types that checkpoints hold, and those that operators make: [`DType::F32`], but for class maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an F32.
    BF16,
    /// Signed 64-bit integers (counters such as `num_batches_tracked`).
    I64,
    /// Bytes: the classes of pixels.
    U8,
}

impl DType {
    /// Bytes an element takes.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I64 => 8,
            Self::U8 => 1,
        }
    }

    /// The lower-case name: `f32`, `f16`, `bf16`, `i64`, `u8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::I64 => "i64",
            Self::U8 => "u8",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Extents of a row-major tensor, outermost first. Empty for a scalar.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements, or `None` where the product does not fit a `usize`.
    pub fn checked_len(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
    }

    /// Number of elements; `usize::MAX` where the product overflows.
    pub fn len(&self) -> usize {
        self.checked_len().unwrap_or(usize::MAX)
    }

    /// True when some extent is zero.
    pub fn is_empty(&self) -> bool {
        self.0.contains(&0)
    }

    /// Extent of the innermost axis (channels); 1 for a scalar.
    pub fn last(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// Elements divided by the innermost extent: how many rows of channels there are.
    pub fn rows(&self) -> usize {
        self.0.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The same shape with another innermost extent.
    pub fn with_last(&self, last: usize) -> Self {
        let mut dims = self.0.clone();
        match dims.last_mut() {
            Some(d) => *d = last,
            None => dims.push(last),
        }
        Self(dims)
    }
}

impl<T: Into<Vec<usize>>> From<T> for Shape {
    fn from(dims: T) -> Self {
        Self(dims.into())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What is known of a tensor before its values are: element type and shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorDesc {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Shape,
}

impl TensorDesc {
    /// An F32 tensor of this shape.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self { dtype: DType::F32, shape: shape.into() }
    }
}

impl fmt::Display for TensorDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// Memory that [`Bytes`] can be a view of.
pub trait ByteOwner: Send + Sync {
    /// All bytes; always the same ones, once they are [`ByteOwner::ready`].
    fn bytes(&self) -> &[u8];
    /// False while these bytes are still on their way, as those of a download are.
    fn ready(&self) -> bool {
        true
    }

    /// What the bytes are derived from, where that says all about them: equal texts mean equal bytes. None for memory of its own.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Hints that this range is not needed for now. Only memory that the system can fetch again, such as a mapped file, is let go.
    fn release(&self, _range: Range<usize>) {}
}

/// Owned memory, which stays as long as it is owned.
struct Owned<T>(T);

impl<T: AsRef<[u8]> + Send + Sync> ByteOwner for Owned<T> {
    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// A range of shared, immutable bytes: owned memory or a mapped file.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn ByteOwner>,
    /// The owner's number, which no other owner of this process has or had.
    number: u64,
    range: Range<usize>,
}

impl Bytes {
    /// All bytes of `owner`.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::of(Owned(owner))
    }

    /// All bytes of an owner that can let go of memory.
    pub fn of(owner: impl ByteOwner + 'static) -> Self {
        let len = owner.bytes().len();
        Self::pending(owner, len)
    }

    /// The `len` bytes that `owner` will have; whoever reads them before they are [`Bytes::ready`] finds none.
    pub fn pending(owner: impl ByteOwner + 'static, len: usize) -> Self {
        static OWNERS: AtomicU64 = AtomicU64::new(0);
        Self { owner: Arc::new(owner), number: OWNERS.fetch_add(1, Ordering::Relaxed), range: 0..len }
    }

    /// What these bytes are: equal texts mean the same memory, or the same way of making it from the same memory.
    pub fn identity(&self) -> String {
        let Range { start, end } = self.range;
        self.owner
            .identity()
            .map_or_else(|| format!("#{}[{start}..{end}]", self.number), |text| format!("{text}[{start}..{end}]"))
    }

    /// False while the bytes are still on their way.
    pub fn ready(&self) -> bool {
        self.owner.ready()
    }

    /// How many there are, also before they are ready.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Hints that the bytes are not needed for now; see [`ByteOwner::release`].
    pub fn release(&self) {
        self.owner.release(self.range.clone());
    }

    /// A part of these bytes, sharing their owner; `None` when `range` reaches past the end or is reversed.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Self { owner: self.owner.clone(), number: self.number, range: start..start + range.len() })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.owner.bytes().get(self.range.clone()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.range.len())
    }
}

/// Owned f32 memory seen as bytes.
struct FloatBytes(Vec<f32>);

impl AsRef<[u8]> for FloatBytes {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// An immutable host tensor, little-endian and row-major. Cloning shares the bytes.
#[derive(Clone)]
pub struct Tensor {
    desc: TensorDesc,
    bytes: Bytes,
}

impl Tensor {
    /// A tensor over existing bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the number of bytes is not that of the description.
    pub fn new(desc: TensorDesc, bytes: Bytes) -> Result<Self> {
        let want = desc.shape.checked_len().and_then(|n| n.checked_mul(desc.dtype.size()));
        if want != Some(bytes.len()) {
            return Err(Error::InvalidArgument(format!("a tensor {desc} cannot have {} bytes", bytes.len())));
        }
        Ok(Self { desc, bytes })
    }

    /// An F32 tensor that owns its values.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the number of values is not that of the shape.
    pub fn from_f32(shape: impl Into<Shape>, values: Vec<f32>) -> Result<Self> {
        Self::new(TensorDesc::f32(shape), Bytes::new(FloatBytes(values)))
    }

    /// False while the values are still on their way.
    pub fn ready(&self) -> bool {
        self.bytes.ready()
    }

    /// What the tensor is, for whoever keeps something made of it: equal texts mean equal values.
    pub fn identity(&self) -> String {
        format!("{}{}", self.desc, self.bytes.identity())
    }

    /// Element type and shape.
    pub fn desc(&self) -> &TensorDesc {
        &self.desc
    }

    /// Extents.
    pub fn shape(&self) -> &Shape {
        &self.desc.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.desc.dtype
    }

    /// The raw little-endian bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Hints that the values are not needed for now; see [`ByteOwner::release`].
    pub fn release(&self) {
        self.bytes.release();
    }

    /// The values as f32: borrowed where they are F32 and aligned, converted otherwise (I64 rounds to nearest).
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        let bytes = self.bytes();
        match self.desc.dtype {
            DType::F32 => match bytemuck::try_cast_slice(bytes) {
                Ok(values) => Cow::Borrowed(values),
                Err(_) => Cow::Owned(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
            },
            DType::F16 => Cow::Owned(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
            DType::BF16 => Cow::Owned(bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
            DType::I64 => Cow::Owned(
                bytes
                    .chunks_exact(8)
                    .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                    .collect(),
            ),
            DType::U8 => Cow::Owned(bytes.iter().map(|b| f32::from(*b)).collect()),
        }
    }

    /// The same values under another shape with as many elements.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        Self::new(TensorDesc { dtype: self.desc.dtype, shape: shape.into() }, self.bytes.clone())
    }

    /// The same tensor in F32, sharing the bytes where they are F32 and aligned already.
    ///
    /// # Errors
    /// None in practice: the number of values is that of the shape.
    pub fn into_f32(self) -> Result<Self> {
        match self.to_f32() {
            Cow::Borrowed(_) => Ok(self),
            Cow::Owned(values) => Self::from_f32(self.desc.shape, values),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({})", self.desc)
    }
}
