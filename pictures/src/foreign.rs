//! Formats that are not decoded, told by their first bytes, so that a file is named for what it is.

/// What a file is, as the object of "it is", and what would help; `None` for contents that are not known.
pub(super) fn describe(bytes: &[u8]) -> Option<String> {
    let convert = |what: &str| Some(format!("it is {what}, which is not decoded; convert it to JPEG or PNG"));
    let head = String::from_utf8_lossy(bytes.get(..512).unwrap_or(bytes));
    let text = head.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', rest @ ..] => convert(media(rest)),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => convert("a JPEG XL picture"),
        [0xff, 0x4f, 0xff, 0x51, ..] | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => convert("a JPEG 2000 picture"),
        [b'8', b'B', b'P', b'S', ..] => convert("a Photoshop document"),
        [b'%', b'P', b'D', b'F', ..] => convert("a PDF document"),
        [b'%', b'!', b'P', b'S', ..] | [0xc5, 0xd0, 0xd3, 0xc6, ..] => convert("a PostScript document"),
        [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..]
        | [b'F', b'O', b'V', b'b', ..]
        | [b'I', b'I', b'R', b'O' | b'S', ..]
        | [b'M', b'M', b'O', b'R', ..]
        | [b'I', b'I', b'U', 0, ..] => convert("a camera's raw file"),
        [0, 0, 1 | 2, 0, count, 0, ..] if *count > 0 => convert("an icon or cursor of Windows"),
        [0x76, 0x2f, 0x31, 0x01, ..] => convert("an OpenEXR picture"),
        [b'D', b'D', b'S', b' ', ..] => convert("a DirectDraw texture"),
        [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..] => convert("a portable pixmap"),
        [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => convert("a BigTIFF picture"),
        [b'q', b'o', b'i', b'f', ..] => convert("a QOI picture"),
        [b'P', b'K', 3, 4, ..] => Some("it is a ZIP archive; unpack it".into()),
        [0x1f, 0x8b, ..] => Some("it is compressed with gzip; unpack it".into()),
        _ if text.starts_with("#?radiance") || text.starts_with("#?rgbe") => convert("a Radiance picture"),
        _ if text.starts_with("<svg") || text.starts_with("<?xml") && text.contains("<svg") => convert("an SVG drawing"),
        _ if text.starts_with("<!doctype") || text.starts_with("<html") => {
            Some("it is a web page, not a picture: the download went wrong".into())
        }
        _ if text.starts_with("version https://git-lfs") => {
            Some("it is a Git LFS pointer, not the picture itself; fetch it with `git lfs pull`".into())
        }
        _ => None,
    }
}

/// What a file of ISO's container is, by its brand and those that it is compatible with.
fn media(brands: &[u8]) -> &'static str {
    let brands: Vec<_> = brands.as_chunks::<4>().0.iter().take(8).collect();
    let any = |known: &[&[u8; 4]]| brands.iter().any(|brand| known.contains(brand));
    if any(&[b"crx "]) {
        "a camera's raw file"
    } else if any(&[b"avif", b"avis"]) {
        "an AVIF picture"
    } else if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        "a HEIC picture"
    } else {
        "a film"
    }
}
