//! The one text step between `shaders/*.wgsl` and a compiler: constants first, then the file with its imports spliced in.

use std::fmt::Write as _;

use crate::{
    error::{Error, Result},
    plan::half::HALF,
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
    let half = if cfg!(target_arch = "wasm32") { 0 } else { kernel.constant(HALF).unwrap_or(0) };
    if half != 0 {
        text.push_str("enable f16;\n");
    }
    for (name, value) in &kernel.constants {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    splice(kernel.shader, &mut text, &mut Vec::new())?;
    for binding in (0..u32::BITS).filter(|i| half >> i & 1 == 1) {
        text = halved(&text, binding)
            .ok_or_else(|| Error::Gpu { reason: format!("`{}` has no binding {binding} of floats", kernel.shader) })?;
    }
    Ok(text)
}

/// The text with a binding of `array<vec4f>` or `array<f32>` that holds f16: what is loaded from it is converted to f32, what is stored
/// there from f32. An element is named in one line, and a store is a line of its own. `None` where there is no such binding.
fn halved(text: &str, binding: u32) -> Option<String> {
    let declared = format!("@binding({binding}) var<storage, ");
    let declaration = text.lines().find(|line| line.contains(&declared))?;
    let (name, wide) = declaration.split_once("> ")?.1.split_once(": array<")?;
    let (wide, narrow) = match wide {
        "vec4f>;" => ("vec4f", "vec4<f16>"),
        "f32>;" => ("f32", "f16"),
        _ => return None,
    };
    let element = format!("{name}[");
    let mut halved = String::with_capacity(text.len() + 1024);
    for line in text.lines() {
        if line == declaration {
            halved.push_str(&line.replace(&format!("array<{wide}>"), &format!("array<{narrow}>")));
        } else if let Some((place, value)) = line.split_once(" = ").filter(|(place, _)| place.starts_with(&element)) {
            let value = widened(value.strip_suffix(';')?, &element, wide)?;
            halved.push_str(&format!("{place} = {narrow}({value});"));
        } else {
            halved.push_str(&widened(line, &element, wide)?);
        }
        halved.push('\n');
    }
    Some(halved)
}

/// A line in which every `name[..]` is converted to the type `wide`.
fn widened(line: &str, element: &str, wide: &str) -> Option<String> {
    let mut converted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(element) {
        let part_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let (before, found) = rest.split_at(at);
        converted.push_str(before);
        if converted.ends_with(part_of_a_name) {
            converted.push_str(element);
            rest = &found[element.len()..];
            continue;
        }
        let mut open = 0;
        let end = found.find(|c| {
            open += i32::from(c == '[') - i32::from(c == ']');
            c == ']' && open == 0
        })?;
        converted.push_str(&format!("{wide}({})", &found[..=end]));
        rest = &found[end + 1..];
    }
    converted.push_str(rest);
    Some(converted)
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
    fn bindings_in_f16_convert_what_is_loaded_and_stored() -> Result<()> {
        let text = assemble(&Kernel::new("pointwise").with("MODE", 2).with("ACT", 0).with(HALF, 0b110))?;
        assert!(text.starts_with("enable f16;\n"));
        assert!(text.contains("@binding(0) var<storage, read> a: array<vec4f>;"));
        assert!(text.contains("@binding(1) var<storage, read> b: array<vec4<f16>>;"));
        assert!(text.contains("y[i] = vec4<f16>(a[i] * vec4f(b[i % params.period4]));"), "{text}");
        assert_eq!(
            widened("my[0] + p.y[1] + y[x[2]] + y[3]", "y[", "f32").as_deref(),
            Some("my[0] + p.y[1] + f32(y[x[2]]) + f32(y[3])")
        );
        assert!(assemble(&Kernel::new("pointwise").with(HALF, 0b1000)).is_err());
        Ok(())
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
