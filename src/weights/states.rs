//! Which of the dictionaries of a training checkpoint is the model.

use super::contents::About;
use crate::error::{Error, Result, quote};

/// Words by which averaged weights are known.
const AVERAGES: [&str; 10] = ["ema", "emas", "swa", "averaged", "average", "averaging", "avg", "shadow", "polyak", "modelema"];

/// True when the last key of `path`, or one before it, says that averaged weights lie there.
pub(crate) fn is_average(path: &str) -> bool {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in path.chars() {
        // `ModelEMA` is two words, and so is `model_ema`.
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.iter().any(|word| AVERAGES.contains(&word.as_str()))
}

/// True when `path`, with the dot that ends it, is the one called `key`, or lies below it. A single dot is the outermost one.
pub(crate) fn is_below(path: &str, key: &str) -> bool {
    let key = key.trim_matches('.');
    if key.is_empty() { path.is_empty() } else { path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')) }
}

/// A path for messages.
pub(crate) fn shown(path: &str) -> String {
    quote(if path.is_empty() { "." } else { path.trim_end_matches('.') })
}

/// Which of `paths`, each of which has a model, counts, and what there is to say about that.
///
/// Averaged weights come first, as in timm; then what loaders usually look for.
///
/// # Errors
/// [`Error::Checkpoint`] with all of them, when nothing tells.
pub(crate) fn choose(name: &str, about: Option<&About>, paths: &[&str]) -> Result<(usize, Option<String>)> {
    // mmengine exchanges the two when it saves: its `state_dict` is the average.
    let exchanged = about.is_some_and(|about| about.top.iter().any(|key| key == "message_hub"));
    let rank = |path: &str| match path.split('.').next().unwrap_or_default() {
        _ if is_average(path) => {
            if exchanged {
                0
            } else {
                3
            }
        }
        "state_dict" => 2,
        "model" | "model_state_dict" => 1,
        _ => 0,
    };
    let best = paths.iter().map(|path| rank(path)).max().unwrap_or(0);
    let mut chosen = (0..paths.len()).filter(|&i| rank(paths[i]) == best);
    let list = |paths: &mut dyn Iterator<Item = &&str>| paths.map(|path| shown(path)).collect::<Vec<_>>().join(", ");
    let (Some(first), None) = (chosen.next(), chosen.next()) else {
        let reason =
            format!("it holds several models, name one by `--state KEY` (the option `state`): {}", list(&mut paths.iter()));
        return Err(Error::checkpoint(name, reason));
    };
    if paths.len() == 1 {
        return Ok((first, None));
    }
    let others = list(&mut paths.iter().enumerate().filter(|(i, _)| *i != first).map(|(_, path)| path));
    let averaged = if best == 3 || (exchanged && best == 2) { "averaged weights" } else { "weights" };
    let path = shown(paths[first]);
    Ok((
        first,
        Some(format!("the {averaged} under {path} were taken, not those under {others} (`--state KEY`, the option `state`)")),
    ))
}

#[cfg(test)]
mod tests {
    use super::{About, choose, is_average, is_below};

    #[test]
    fn averages_are_known_by_their_words() {
        for path in [
            "ema.",
            "model_ema.",
            "state_dict_ema.",
            "ema_state_dict.module.",
            "ModelEMA.",
            "callbacks.EMAWeightAveraging.",
            "swa_model.module.",
            "averaged_model.",
            "ema_model.",
            "shadow.",
            "emaModel.",
        ] {
            assert!(is_average(path), "{path}");
        }
        for path in ["", "model.", "state_dict.", "schema.", "cinema.net.", "remaining."] {
            assert!(!is_average(path), "{path}");
        }
    }

    #[test]
    fn averages_come_first_then_the_usual_names() {
        let first = |paths: &[&str]| choose("x", None, paths).map(|(i, note)| (paths[i].to_owned(), note)).ok();
        assert_eq!(first(&["net."]), Some(("net.".into(), None)));
        let (path, note) = first(&["state_dict.", "state_dict_ema."]).unwrap_or_default();
        assert!(path == "state_dict_ema." && note.is_some_and(|n| n.contains("averaged") && n.contains("`state_dict`")));
        assert_eq!(first(&["model.", "state_dict.", "other."]).unwrap_or_default().0, "state_dict.");
        assert_eq!(first(&["student.", "teacher."]), None);
        let mmengine = About { top: vec!["message_hub".into()], ..About::default() };
        let chosen = choose("x", Some(&mmengine), &["ema_state_dict.module.", "state_dict."]);
        assert!(chosen.is_ok_and(|(i, note)| i == 1 && note.is_some_and(|n| n.contains("averaged"))));
        assert!(is_below("ema.module.", "ema") && is_below("ema.module.", "ema.module") && is_below("", "."));
        assert!(!is_below("ema_2.", "ema") && !is_below("a.", "."));
    }
}
