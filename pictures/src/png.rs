//! PNG with the small damage that libpng in Pillow takes no offence at: checksums of the image data, and what lies behind them.

const SIGNATURE: usize = 8;
/// Length, type and checksum around the data of a chunk.
const AROUND: usize = 12;

/// The file with right checksums for its image data, and ended behind them; `None` where that is how it is already, or there
/// are no whole image data.
pub(super) fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.get(..SIGNATURE)?.to_vec();
    let mut rest = &bytes[SIGNATURE..];
    let mut data = false;
    while let Some((length, kind)) = rest.split_first_chunk::<4>().and_then(|(length, rest)| Some((length, rest.get(..4)?))) {
        let length = u32::from_be_bytes(*length) as usize;
        if kind == b"IEND" || data && kind != b"IDAT" {
            break;
        }
        let whole = rest.get(..length.saturating_add(AROUND));
        if kind == b"IDAT" {
            // The file may end inside the chunk, and yet behind the last pixel.
            let body = &rest[4..rest.len().min(length.saturating_add(8))];
            data = true;
            out.extend_from_slice(&(body.len() as u32 - 4).to_be_bytes());
            out.extend_from_slice(body);
            out.extend_from_slice(&checksum(body).to_be_bytes());
        } else {
            out.extend_from_slice(whole?);
        }
        rest = rest.get(length.saturating_add(AROUND)..).unwrap_or_default();
    }
    let end = [&0u32.to_be_bytes()[..], b"IEND", &checksum(b"IEND").to_be_bytes()].concat();
    out.extend_from_slice(&end);
    (data && out != bytes).then_some(out)
}

/// True when a palette ends inside of a colour, which the decoder of the `png` crate takes for granted not to happen.
pub(super) fn has_broken_palette(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    while let Some((length, kind)) = rest.split_first_chunk::<4>().and_then(|(length, rest)| Some((length, rest.get(..4)?))) {
        let length = u32::from_be_bytes(*length) as usize;
        if kind == b"PLTE" && !length.is_multiple_of(3) {
            return true;
        }
        rest = rest.get(length.saturating_add(AROUND)..).unwrap_or_default();
    }
    false
}

/// CRC-32 as in the PNG standard.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
