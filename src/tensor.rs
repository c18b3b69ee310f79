//! Host tensors: a shape, an element type and shared bytes, row-major.

mod quantised;

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

pub use quantised::GROUP;

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
    /// Whole numbers of 8 bits, each times the scale of its group: see [`Tensor::quantised`].
    Q8,
    /// The same of 4 bits.
    Q4,
}

impl DType {
    /// Bytes an element takes; of [`DType::Q4`], two of them.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I64 => 8,
            Self::U8 | Self::Q8 | Self::Q4 => 1,
        }
    }

    /// Bytes that so many elements take, without the scales of quantised ones; `None` where they do not fit a `usize`.
    pub(crate) fn bytes(self, elements: usize) -> Option<usize> {
        if self == Self::Q4 { Some(elements.div_ceil(2)) } else { elements.checked_mul(self.size()) }
    }

    /// True where values are whole numbers times scales.
    pub const fn is_quantised(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }

    /// The lower-case name: `f32`, `f16`, `bf16`, `i64`, `u8`, `q8`, `q4`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
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
    /// Of quantised values.
    scales: Option<Arc<Tensor>>,
}

impl Tensor {
    /// A tensor over existing bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the number of bytes is not that of the description, or its values would need scales.
    pub fn new(desc: TensorDesc, bytes: Bytes) -> Result<Self> {
        match desc.dtype.is_quantised() {
            true => Err(Error::InvalidArgument(format!("a tensor {desc} needs scales"))),
            false => Self::with_scales(desc, bytes, None),
        }
    }

    fn with_scales(desc: TensorDesc, bytes: Bytes, scales: Option<Arc<Tensor>>) -> Result<Self> {
        if desc.shape.checked_len().and_then(|n| desc.dtype.bytes(n)) != Some(bytes.len()) {
            return Err(Error::InvalidArgument(format!("a tensor {desc} cannot have {} bytes", bytes.len())));
        }
        Ok(Self { desc, bytes, scales })
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
        self.bytes.ready() && self.scales.as_ref().is_none_or(|scales| scales.ready())
    }

    /// What the tensor is, for whoever keeps something made of it: equal texts mean equal values.
    pub fn identity(&self) -> String {
        let own = format!("{}{}", self.desc, self.bytes.identity());
        self.scales.as_ref().map_or(own.clone(), |scales| format!("{own} * {}", scales.identity()))
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
        self.scales.iter().for_each(|scales| scales.release());
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
            DType::Q8 | DType::Q4 => Cow::Owned(self.levels().map_or_else(Vec::new, |levels| levels.values())),
        }
    }

    /// The same values under another shape with as many elements.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        Self::with_scales(TensorDesc { dtype: self.desc.dtype, shape: shape.into() }, self.bytes.clone(), self.scales.clone())
    }

    /// A part along the outermost axis, sharing the bytes: `count` rows from `first` on.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the tensor does not have those rows.
    pub fn rows(&self, first: usize, count: usize) -> Result<Self> {
        let none = || Error::InvalidArgument(format!("{count} rows from {first} on are no part of a tensor {}", self.desc));
        let mut dims = self.shape().dims().to_vec();
        let rows = dims.first_mut().filter(|rows| first.checked_add(count).is_some_and(|end| end <= **rows)).ok_or_else(none)?;
        let row = self.bytes.len() / (*rows).max(1);
        *rows = count;
        let bytes = self.bytes.slice(first * row..(first + count) * row).ok_or_else(none)?;
        let scales = self.scales.as_ref().map(|scales| scales.rows(first, count).map(Arc::new)).transpose()?;
        Self::with_scales(TensorDesc { dtype: self.desc.dtype, shape: dims.into() }, bytes, scales)
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
