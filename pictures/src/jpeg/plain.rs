//! The decoder for whatever the vector code does not take: any damage and any sampling, Huffman codes, 8 bits.

use image::{DynamicImage, metadata::Orientation};
use libjpeg_turbo_rs::{
    common::{quant_table::QuantTable, tables as standard},
    decode::toggles::{apply_block_smoothing_coeffs, smoothing_prerequisites_ok_for_component, smoothing_useful_for_component},
};

use super::{
    Decode, Decoded, MAX_SCANS, Repairs,
    bits::{Bits, RST0, RST7, next_marker},
    frame::{Fields, Frame, Scan, Tables, segment},
    huffman::{Band, Table, first_ac, natural, refine_ac, sequential},
    idct::idct,
    upsample::{Colours, to_rgb, upsample},
};

/// What a file has told so far.
struct File<'a> {
    data: &'a [u8],
    at: usize,
    /// A marker that was met already, 0 for none.
    marker: u8,
    frame: Option<Frame>,
    tables: Tables,
    /// By plane and coefficient: the lowest bit that is known of it, -1 for none.
    known: [[i8; 64]; 4],
    jfif: bool,
    /// The colours that Adobe's segment names.
    transform: Option<u8>,
    exif: Option<&'a [u8]>,
    scans: usize,
    repairs: Repairs,
}

pub(super) fn decode(data: &[u8]) -> Decode<Decoded> {
    let mut file = File {
        data,
        at: 2,
        marker: 0,
        frame: None,
        tables: Tables::new(),
        known: [[-1; 64]; 4],
        jfif: false,
        transform: None,
        exif: None,
        scans: 0,
        repairs: Repairs::default(),
    };
    while !file.segment()? {}
    file.picture()
}

impl File<'_> {
    /// Reads the next segment; true at the end of the picture.
    fn segment(&mut self) -> Decode<bool> {
        let marker = match std::mem::take(&mut self.marker) {
            0 => match next_marker(self.data, &mut self.at) {
                Ok(marker) => marker,
                // All is there but the end marker.
                Err(_) if self.whole() && !self.repairs.damaged => return Ok(true),
                Err(reason) => return Err(reason),
            },
            marker => marker,
        };
        if matches!(marker, RST0..=RST7 | 0x01) {
            return Ok(false);
        }
        match marker {
            0xd9 => return Ok(true),
            0xd8 => return Err("there is a second picture inside it".into()),
            0xc0..=0xfe if !matches!(marker, 0xf0..=0xfd | 0xc8) => {}
            _ => return Err(format!("there is an unknown marker (ff {marker:02x}) in it")),
        }
        let contents = match segment(self.data, &mut self.at) {
            // A stray marker may name a length that leads past the end: all that matters has been read.
            Err(_) if self.whole() && matches!(marker, 0xe0..=0xef | 0xfe) => return Ok(true),
            contents => contents?,
        };
        match marker {
            0xc0..=0xc2 if self.frame.is_some() => return Err("there are two frames in it".into()),
            0xc0..=0xc2 => self.frame = Some(Frame::new(Fields(contents), marker == 0xc2)?),
            0xc4 => self.tables.huffman(Fields(contents))?,
            0xdb => self.tables.quantisation(Fields(contents))?,
            0xdd => self.tables.restarts(Fields(contents))?,
            0xda => self.scan(contents)?,
            0xc9 | 0xca => return Err("its arithmetic-coded data are damaged".into()),
            0xc3 | 0xc5..=0xcf => return Err("it is coded in a way that is not decoded (lossless or hierarchical)".into()),
            0xe0 => self.jfif |= contents.len() >= 12 && contents.starts_with(b"JFIF\0"),
            0xe1 if contents.starts_with(b"Exif\0\0") => self.exif = self.exif.or(Some(&contents[6..])),
            0xee if contents.starts_with(b"Adobe") => self.transform = contents.get(11).copied().or(self.transform),
            _ => {}
        }
        Ok(false)
    }

    /// True when one scan has brought the whole picture.
    fn whole(&self) -> bool {
        self.scans == 1 && self.frame.as_ref().is_some_and(|f| !f.progressive && f.components.iter().all(|c| c.quant.is_some()))
    }

    fn scan(&mut self, contents: &[u8]) -> Decode<()> {
        if self.whole() {
            return Err("there are more data behind its last scan".into());
        }
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(format!("it has more than {MAX_SCANS} scans"));
        }
        let frame = self.frame.as_mut().ok_or("a scan stands before the frame")?;
        let scan = frame.scan(Fields(contents), &self.tables)?;
        if frame.progressive {
            scan.check(&mut self.known, &mut self.repairs)?;
        }
        let mut bits = Bits::new(self.data, self.at);
        decode_scan(frame, &scan, &self.tables, &mut bits)?;
        let (at, marker, repairs) = bits.end();
        (self.at, self.marker) = (at, marker);
        self.repairs.add(repairs);
        Ok(())
    }

    fn colours(&self, frame: &Frame) -> Colours {
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        match (ids.len(), self.transform) {
            (1, _) => Colours::Grey,
            (3, _) if self.jfif => Colours::YCbCr,
            (3, Some(0)) => Colours::Rgb,
            (3, None) if ids == *b"RGB" => Colours::Rgb,
            (3, _) => Colours::YCbCr,
            (_, None | Some(0)) => Colours::Cmyk,
            _ => Colours::Ycck,
        }
    }

    /// Fills in coefficients whose scans are missing, as far as those of the blocks around tell.
    fn smooth(&mut self) {
        let Some(frame) = self.frame.as_mut().filter(|frame| frame.progressive) else { return };
        let tables: Vec<_> = frame.components.iter().map(|c| zigzag(&c.quant.unwrap_or([0; 64]))).collect();
        let known: Vec<[i32; 10]> = self.known.iter().map(|bits| std::array::from_fn(|k| bits[k].into())).collect();
        let mut planes = known.iter().zip(&tables);
        if planes.all(|(known, table)| smoothing_prerequisites_ok_for_component(known, table))
            && known[..tables.len()].iter().any(smoothing_useful_for_component)
        {
            for ((component, known), table) in frame.components.iter_mut().zip(&known).zip(&tables) {
                let (blocks, _) = component.coefficients.as_chunks_mut();
                let ([across, rows], v) = (component.blocks, component.v);
                apply_block_smoothing_coeffs(blocks, component.stride, across, rows, v, known, table);
            }
        }
    }

    fn picture(mut self) -> Decode<Decoded> {
        self.smooth();
        let frame = self.frame.as_ref().filter(|_| self.scans > 0).ok_or("there is no picture in it")?;
        let mut planes = Vec::new();
        for component in &frame.components {
            let quant = component.quant.as_ref().ok_or("one of its colour planes is missing")?;
            let stride = component.stride * 8;
            let mut samples = vec![0; component.coefficients.len()];
            for (i, block) in component.coefficients.as_chunks::<64>().0.iter().enumerate() {
                let (y, x) = (i / component.stride, i % component.stride);
                idct(block, quant, &mut samples[y * 8 * stride + x * 8..], stride);
            }
            planes.push(upsample(frame, component, &samples)?);
        }
        let pixels = to_rgb(self.colours(frame), &planes);
        let pixels = image::RgbImage::from_raw(frame.width as u32, frame.height as u32, pixels);
        let pixels = DynamicImage::ImageRgb8(pixels.ok_or("the decoder returned too few pixels")?);
        let orientation = self.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
        Ok(Decoded { pixels, orientation, note: self.repairs.note() })
    }
}

/// A quantisation table as the crate has it.
fn zigzag(table: &[u16; 64]) -> QuantTable {
    QuantTable::from_zigzag(&std::array::from_fn(|k| table[natural(k)]))
}

/// Which tables and places a plane of a scan has.
struct Plane {
    index: usize,
    /// Blocks a unit, across and down.
    factors: [usize; 2],
    dc: Option<Table>,
    ac: Option<Table>,
}

fn decode_scan(frame: &mut Frame, scan: &Scan, tables: &Tables, bits: &mut Bits<'_>) -> Decode<()> {
    let single = scan.planes.len() == 1;
    let (needs_dc, needs_ac) = if frame.progressive { (scan.first == 0 && scan.high == 0, scan.first > 0) } else { (true, true) };
    let mut planes = Vec::new();
    for &(index, dc, ac) in &scan.planes {
        let component = &frame.components[index];
        let factors = if single { [1, 1] } else { [component.h, component.v] };
        let dc = needs_dc.then(|| table(&tables.dc, dc, true, frame.progressive)).transpose()?;
        let ac = needs_ac.then(|| table(&tables.ac, ac, false, frame.progressive)).transpose()?;
        planes.push(Plane { index, factors, dc, ac });
    }
    let [across, down] = if single { frame.components[scan.planes[0].0].blocks } else { frame.units() };
    let band = Band { first: scan.first, last: scan.last, high: scan.high, low: scan.low };
    let (mut last, mut run, mut left) = ([0; 4], 0, tables.restart_interval);
    for y in 0..down {
        for x in 0..across {
            if tables.restart_interval > 0 {
                if left == 0 {
                    bits.restart()?;
                    (last, run, left) = ([0; 4], 0, tables.restart_interval);
                }
                left -= 1;
            } else if bits.insufficient {
                // Nothing can bring new data.
                return Ok(());
            }
            if bits.insufficient {
                continue;
            }
            for plane in &planes {
                let [h, v] = plane.factors;
                for (dy, dx) in (0..v).flat_map(|dy| (0..h).map(move |dx| (dy, dx))) {
                    let component = &mut frame.components[plane.index];
                    let place = ((y * v + dy) * component.stride + x * h + dx) * 64;
                    let block = &mut component.coefficients[place..place + 64];
                    decode_block(frame.progressive, plane, band, bits, &mut last[plane.index], &mut run, block)?;
                }
            }
        }
    }
    Ok(())
}

fn decode_block(
    progressive: bool,
    plane: &Plane,
    band: Band,
    bits: &mut Bits<'_>,
    last: &mut i32,
    run: &mut i32,
    block: &mut [i16],
) -> Decode<()> {
    match (&plane.dc, &plane.ac) {
        (Some(dc), Some(ac)) if !progressive => sequential(bits, dc, ac, last, block),
        (Some(dc), _) => {
            let size = bits.symbol(dc)?;
            *last = last.wrapping_add(bits.signed(size)?);
            block[0] = (*last << band.low) as i16;
            Ok(())
        }
        (None, Some(ac)) if band.high == 0 => first_ac(bits, ac, band, run, block),
        (None, Some(ac)) => refine_ac(bits, ac, band, run, block),
        (None, None) => {
            block[0] |= (bits.get(1)? << band.low) as i16;
            Ok(())
        }
    }
}

/// A table of the file; where a sequential one has none, the one that the standard suggests, which motion JPEG relies on.
fn table(tables: &[Option<Table>; 4], number: usize, dc: bool, progressive: bool) -> Decode<Table> {
    let suggested = || match (number, dc) {
        _ if progressive => None,
        (0, true) => Table::new(&standard::DC_LUMINANCE_BITS[1..], &standard::DC_LUMINANCE_VALUES),
        (1, true) => Table::new(&standard::DC_CHROMINANCE_BITS[1..], &standard::DC_CHROMINANCE_VALUES),
        (0, false) => Table::new(&standard::AC_LUMINANCE_BITS[1..], &standard::AC_LUMINANCE_VALUES),
        (1, false) => Table::new(&standard::AC_CHROMINANCE_BITS[1..], &standard::AC_CHROMINANCE_VALUES),
        _ => None,
    };
    let table = tables.get(number).cloned().flatten().or_else(suggested).ok_or("a Huffman table is missing")?;
    if dc && !table.fits_dc() {
        return Err("a Huffman table is damaged".into());
    }
    Ok(table)
}
