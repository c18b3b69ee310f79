//! Cameras' raw files are TIFF files whose first picture is a thumbnail or bare sensor data.

/// Why they are refused.
pub(super) const RAW: &str = "it is a camera's raw file, which is not decoded; convert it to JPEG or PNG";

const SUBFILE_TYPE: u16 = 254;
const PHOTOMETRIC: u16 = 262;
const COLOUR_FILTER_ARRAY: u16 = 32803;
const DNG_VERSION: u16 = 50706;

/// True for raw files, as far as the first directory tells.
pub(super) fn is_raw(bytes: &[u8]) -> bool {
    let big = bytes.first() == Some(&b'M');
    let word = |at: usize| {
        let pair = *bytes.get(at..)?.first_chunk()?;
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let long = |at: usize| {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let Some(directory) = long(4).map(|at| at as usize) else { return false };
    let entries = word(directory).unwrap_or(0);
    bytes.get(8..10) == Some(b"CR")
        || (0..usize::from(entries)).any(|i| {
            let at = directory.saturating_add(2 + 12 * i);
            match word(at) {
                Some(DNG_VERSION) => true,
                // A LONG, of which the lowest bit says that there is a larger picture elsewhere.
                Some(SUBFILE_TYPE) => long(at + 8).is_some_and(|kind| kind & 1 == 1),
                Some(PHOTOMETRIC) => word(at + 8) == Some(COLOUR_FILTER_ARRAY),
                _ => false,
            }
        })
}
