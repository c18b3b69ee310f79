//! The headers of a file: what there is to decode, and with which tables.

use super::{Repairs, huffman::Table, huffman::natural};
use crate::{Decode, MAX_BYTES, TRUNCATED, check_size};

/// Blocks that a unit of an interleaved scan may have.
const MAX_BLOCKS: usize = 10;

/// One colour plane.
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors: horizontal and vertical.
    pub(super) h: usize,
    pub(super) v: usize,
    table: usize,
    /// The factors of its coefficients, taken over when its first scan begins.
    pub(super) quant: Option<[u16; 64]>,
    /// Size in blocks, and in samples, without what only fills up the last unit.
    pub(super) blocks: [usize; 2],
    pub(super) samples: [usize; 2],
    /// Blocks in a row of `coefficients`.
    pub(super) stride: usize,
    /// 64 a block, row by row.
    pub(super) coefficients: Vec<i16>,
}

/// The picture: its size and planes.
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// Largest sampling factors.
    pub(super) max: [usize; 2],
}

/// A scan: which planes, with which tables, and which part of their coefficients.
pub(super) struct Scan {
    /// Plane and the numbers of its DC and AC table.
    pub(super) planes: Vec<(usize, usize, usize)>,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) high: u32,
    pub(super) low: u32,
}

/// All tables that headers bring.
pub(super) struct Tables {
    quant: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    pub(super) restart_interval: usize,
}

/// The fields of one segment; running out of them is damage.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    fn byte(&mut self) -> Decode<u8> {
        let (&byte, rest) = self.0.split_first().ok_or("one of its segments is too short")?;
        self.0 = rest;
        Ok(byte)
    }

    fn word(&mut self) -> Decode<u16> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn end(&self) -> Decode<()> {
        if self.0.is_empty() { Ok(()) } else { Err("one of its segments is too long".into()) }
    }
}

/// The contents of the segment at `at`, which moves behind it.
pub(super) fn segment<'a>(data: &'a [u8], at: &mut usize) -> Decode<&'a [u8]> {
    let length = data.get(*at..*at + 2).ok_or(TRUNCATED)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
    let contents = data.get(*at + 2..*at + length).ok_or(TRUNCATED)?;
    *at += length;
    Ok(contents)
}

impl Frame {
    /// From the contents of a frame header.
    pub(super) fn new(mut fields: Fields<'_>, progressive: bool) -> Decode<Self> {
        let bits = fields.byte()?;
        let (height, width) = (fields.word()?, fields.word()?);
        let count = fields.byte()?;
        check_size(width.into(), height.into())?;
        if bits != 8 {
            return Err(format!("its samples have {bits} bits; 8 are decoded"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(format!("it has {count} colour planes; 1, 3 and 4 are decoded"));
        }
        let mut components = Vec::new();
        for _ in 0..count {
            let (id, factors, table) = (fields.byte()?, fields.byte()?, fields.byte()?);
            let [h, v] = [factors >> 4, factors & 15].map(usize::from);
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
                return Err(format!("a colour plane has the sampling factors {h}x{v}; 1 to 4 are possible"));
            }
            let table = usize::from(table);
            let (blocks, samples, coefficients) = ([0; 2], [0; 2], Vec::new());
            components.push(Component { id, h, v, table, quant: None, blocks, samples, stride: 0, coefficients });
        }
        fields.end()?;
        let [width, height] = [width, height].map(usize::from);
        let most = |factor: fn(&Component) -> usize| components.iter().map(factor).max().unwrap_or(1);
        let max = [most(|c| c.h), most(|c| c.v)];
        let mut frame = Self { width, height, progressive, components, max };
        frame.allocate()?;
        Ok(frame)
    }

    /// Units of an interleaved scan, across and down.
    pub(super) fn units(&self) -> [usize; 2] {
        [self.width.div_ceil(8 * self.max[0]), self.height.div_ceil(8 * self.max[1])]
    }

    fn allocate(&mut self) -> Decode<()> {
        let (units, size, max) = (self.units(), [self.width, self.height], self.max);
        let samples = |c: &Component| units[0] * c.h * units[1] * c.v * 64;
        // Coefficients of two bytes, samples, samples at full size, and the picture.
        let bytes = self.components.iter().map(|c| samples(c) as u64 * 3).sum::<u64>()
            + (size[0] * size[1]) as u64 * (self.components.len() as u64 + 3);
        if bytes > MAX_BYTES {
            return Err(format!("it takes {} MiB to decode; at most {} are used", bytes >> 20, MAX_BYTES >> 20));
        }
        for component in &mut self.components {
            let factors = [component.h, component.v];
            component.samples = std::array::from_fn(|i| (size[i] * factors[i]).div_ceil(max[i]));
            component.blocks = component.samples.map(|n| n.div_ceil(8));
            component.stride = units[0] * component.h;
            component.coefficients = vec![0; samples(component)];
        }
        Ok(())
    }

    /// From the contents of a scan header; the tables of its planes are taken over.
    pub(super) fn scan(&mut self, mut fields: Fields<'_>, tables: &Tables) -> Decode<Scan> {
        let count = fields.byte()?;
        if !(1..=4).contains(&count) {
            return Err(format!("a scan has {count} colour planes"));
        }
        let mut planes: Vec<(usize, usize, usize)> = Vec::new();
        for _ in 0..count {
            let (id, numbers) = (fields.byte()?, fields.byte()?);
            let plane = (0..self.components.len())
                .find(|&i| self.components[i].id == id && planes.iter().all(|known| known.0 != i))
                .ok_or_else(|| format!("a scan has colour plane {id}, which its header does not name"))?;
            planes.push((plane, usize::from(numbers >> 4), usize::from(numbers & 15)));
        }
        let (first, last, bits) = (usize::from(fields.byte()?), usize::from(fields.byte()?), fields.byte()?);
        fields.end()?;
        let blocks: usize = planes.iter().map(|&(i, ..)| self.components[i].h * self.components[i].v).sum();
        if planes.len() > 1 && blocks > MAX_BLOCKS {
            return Err(format!("a scan has {blocks} blocks a unit; {MAX_BLOCKS} are possible"));
        }
        for &(i, ..) in &planes {
            let component = &mut self.components[i];
            if component.quant.is_none() {
                let table = tables.quant.get(component.table).copied().flatten();
                component.quant = Some(table.ok_or("a quantisation table is missing")?);
            }
        }
        Ok(Scan { planes, first, last, high: (bits >> 4).into(), low: (bits & 15).into() })
    }
}

impl Tables {
    pub(super) fn new() -> Self {
        Self { quant: [None; 4], dc: [const { None }; 4], ac: [const { None }; 4], restart_interval: 0 }
    }

    pub(super) fn quantisation(&mut self, mut fields: Fields<'_>) -> Decode<()> {
        while !fields.0.is_empty() {
            let head = fields.byte()?;
            let mut table = [0; 64];
            for k in 0..64 {
                table[natural(k)] = if head >> 4 == 0 { fields.byte()?.into() } else { fields.word()? };
            }
            let place = self.quant.get_mut(usize::from(head & 15)).ok_or("a quantisation table has a wrong number")?;
            *place = Some(table);
        }
        Ok(())
    }

    pub(super) fn huffman(&mut self, mut fields: Fields<'_>) -> Decode<()> {
        while !fields.0.is_empty() {
            let head = fields.byte()?;
            let counts = fields.0.get(..16).ok_or("a Huffman table is too short")?;
            let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let symbols = fields.0.get(16..16 + total).ok_or("a Huffman table is too short")?;
            fields.0 = &fields.0[16 + total..];
            let table = Table::new(counts, symbols);
            let kind = if head & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            *kind.get_mut(usize::from(head & !0x10)).ok_or("a Huffman table has a wrong number")? =
                Some(table.ok_or("a Huffman table is damaged")?);
        }
        Ok(())
    }

    pub(super) fn restarts(&mut self, mut fields: Fields<'_>) -> Decode<()> {
        self.restart_interval = fields.word()?.into();
        fields.end()
    }
}

impl Scan {
    /// A progressive scan must make sense by itself; where it does not follow from those before, that is damage.
    pub(super) fn check(&self, known: &mut [[i8; 64]], repairs: &mut Repairs) -> Decode<()> {
        let &Self { first, last, high, low, .. } = self;
        let sensible = if first == 0 { last == 0 } else { first <= last && last < 64 && self.planes.len() == 1 };
        if !sensible || high != 0 && low + 1 != high || low > 13 {
            return Err(format!("a progressive scan has coefficients {first} to {last}, bits {high} and {low}, which cannot be"));
        }
        for &(plane, ..) in &self.planes {
            for bits in &mut known[plane][first..=last] {
                repairs.damaged |= i32::from((*bits).max(0)) != high as i32;
                *bits = low as i8;
            }
        }
        Ok(())
    }
}
