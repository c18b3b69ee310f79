//! The one text step between `shaders/*.wgsl` and a compiler: constants first, then the file with its imports spliced in.

use std::fmt::Write as _;

use crate::{
    error::{Error, Result},
    platform,
    program::Kernel,
};

macro_rules! shaders {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every shader and shared part.
        const SHADERS: &[(&str, &str)] = &[$(($name, {
            const FILE: &[u8] = include_str!(concat!("../../shaders/", $name, ".wgsl")).as_bytes();
            const BARE: &[u8] = &bare::<{ bare::<0>(FILE).1 }>(FILE).0;
            match str::from_utf8(BARE) {
                Ok(text) => text,
                Err(_) => panic!("a shader is not UTF-8"),
            }
        })),*];
    };
}

/// The first `N` bytes of a WGSL text without comments and indentation, and how many bytes the whole has. Compilers need neither,
/// and browsers download every byte. Lines keep their numbers.
const fn bare<const N: usize>(text: &[u8]) -> ([u8; N], usize) {
    let (mut kept, mut length) = ([0; N], 0);
    let (mut at, mut indent, mut comment) = (0, true, false);
    while at < text.len() {
        let byte = text[at];
        comment = byte != b'\n' && (comment || byte == b'/' && at + 1 < text.len() && text[at + 1] == b'/');
        if byte == b'\n' {
            indent = true;
        } else if byte != b' ' {
            indent = false;
        }
        if !comment && !indent || byte == b'\n' {
            if length < N {
                kept[length] = byte;
            }
            length += 1;
        }
        at += 1;
    }
    (kept, length)
}

shaders! {
    "arg_max", "attention", "avg_pool", "batch_norm", "class_activation", "depthwise_conv2d", "embed_tokens", "gemm_direct", "gemm_split", "gemm_subgroup", "gemm_tiled", "layer_norm",
    "linear_attention", "linear_attention_kv", "linear_attention_reduce", "merge_patches", "pointwise", "resize", "resize_bilinear", "resize_columns", "resize_rows", "rope",
    "selective_scan", "selective_scan_carry", "selective_scan_reduce", "take_token", "top_k", "window",
    "shared/activation", "shared/bilinear", "shared/epilogue", "shared/gemm", "shared/index", "shared/linear_attention", "shared/padding",
    "shared/resize", "shared/rope", "shared/scan", "shared/softplus", "shared/weights",
}

/// Names of all kernels, without the shared parts.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHADERS.iter().map(|(name, _)| *name).filter(|name| !name.starts_with("shared/"))
}

/// The WGSL text of a kernel.
///
/// # Errors
/// [`Error::Gpu`] when a file imports something that does not exist: a defect of a shader.
pub fn assemble(kernel: &Kernel) -> Result<String> {
    let mut text = String::new();
    if kernel.constant("SUBGROUP").is_some() {
        text.push_str(platform::ENABLE_SUBGROUPS);
    }
    for (name, value) in &kernel.constants {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    splice(kernel.shader, &mut text, &mut Vec::new())?;
    Ok(text)
}

/// Appends a file, replacing each `#import name` by that file; a part is spliced in once, however often it is asked for.
fn splice(name: &str, text: &mut String, done: &mut Vec<String>) -> Result<()> {
    if done.iter().any(|d| d == name) {
        return Ok(());
    }
    done.push(name.to_owned());
    let Some((_, source)) = SHADERS.iter().find(|(n, _)| *n == name) else {
        return Err(Error::Gpu { reason: format!("there is no shader `{name}`") });
    };
    for line in source.lines() {
        match line.strip_prefix("#import ") {
            Some(part) => splice(part.trim(), text, done)?,
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shader_file_is_listed_and_every_listed_part_is_imported() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
        for (folder, prefix) in [(folder.to_owned(), ""), (format!("{folder}/shared"), "shared/")] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let file = entry.file_name().to_string_lossy().into_owned();
                if let Some(stem) = file.strip_suffix(".wgsl") {
                    let name = format!("{prefix}{stem}");
                    assert!(SHADERS.iter().any(|(n, _)| *n == name), "{name} is not listed");
                }
            }
        }
        for (name, _) in SHADERS.iter().filter(|(name, _)| name.starts_with("shared/")) {
            let import = format!("#import {name}");
            assert!(SHADERS.iter().any(|(_, text)| text.lines().any(|l| l == import)), "{name} is imported by nobody");
        }
    }

    #[test]
    fn comments_and_indentation_are_left_out_and_lines_keep_their_numbers() {
        const FILE: &[u8] = b"// about\nfn f() {\n    a = b / c; // why\n\n}\n";
        let (bytes, length) = bare::<64>(FILE);
        assert_eq!(str::from_utf8(&bytes[..length]), Ok("\nfn f() {\na = b / c; \n\n}\n"));
        assert!(SHADERS.iter().all(|(_, text)| !text.contains("//") && !text.contains("\n ")));
    }

    #[test]
    fn constants_come_first_and_parts_once() -> Result<()> {
        let text = assemble(&Kernel::new("linear_attention").with("HEAD_DIM", 32).with("ROPE", 1))?;
        assert!(text.starts_with("const HEAD_DIM: u32 = 32u;\nconst ROPE: u32 = 1u;\n"));
        assert_eq!(text.matches("fn rotate_pair").count(), 1);
        assert!(!text.contains("#import"));
        assert!(assemble(&Kernel::new("nothing")).is_err());
        Ok(())
    }
}
