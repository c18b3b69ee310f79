//! Label files as people have them.

use std::collections::HashSet;

use serde_json::{Map, Value};

pub(super) type Parsed = Result<Vec<String>, String>;

/// Keys under which a JSON object may have its labels: as a list, or from index to name or name to index.
const LISTS: [&str; 6] = ["labels", "classes", "categories", "class_names", "label_names", "names"];
const MAPS: [&str; 3] = ["id2label", "label2id", "class_to_idx"];

pub(super) fn labels(text: &str) -> Parsed {
    match text.trim_start().as_bytes() {
        [b'{', ..] => match python(text) {
            Some(labels) => placed(labels),
            None => from_json(text),
        },
        [b'[', ..] => from_json(text),
        _ => from_lines(text),
    }
}

fn from_lines(text: &str) -> Parsed {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    if let Some(i) = lines.iter().position(|line| line.is_empty()) {
        // Skipping it would shift every label after it.
        return Err(format!("line {} is empty, but line numbers are class indices", i + 1));
    }
    let lines = numbered(&lines).unwrap_or(lines);
    // WordNet's ids in front of all names, as in ImageNet's lists of synsets.
    let names: Option<Vec<&str>> = lines
        .iter()
        .map(|line| line.split_once([' ', '\t', ',']).filter(|(id, _)| is_wnid(id)))
        .map(|pair| pair.map(|(_, name)| name.trim()))
        .collect();
    Ok(names.unwrap_or(lines).into_iter().map(str::to_owned).collect())
}

/// Lines that all begin with their class index, counted from 0 or 1, in the order of these and without them.
fn numbered<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let pairs: Option<Vec<(usize, &str)>> = lines
        .iter()
        .map(|line| {
            let digits = line.find(|c: char| !c.is_ascii_digit())?;
            let rest = line[digits..].strip_prefix([' ', '\t', ',', ';', ':', '.', ')'])?.trim();
            let rest = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
            (!rest.is_empty()).then_some((line[..digits].parse().ok()?, rest))
        })
        .collect();
    let mut pairs = pairs?;
    pairs.sort_by_key(|pair| pair.0);
    let first = pairs.first()?.0;
    let whole = first <= 1 && pairs.iter().enumerate().all(|(i, pair)| pair.0 == first + i);
    whole.then(|| pairs.into_iter().map(|pair| pair.1).collect())
}

/// True for an id such as `n02123045`.
pub(crate) fn is_wnid(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name[1..].bytes().all(|byte| byte.is_ascii_digit())
}

fn from_json(text: &str) -> Parsed {
    json(&serde_json::from_str(text).map_err(|e| format!("damaged JSON: {e}"))?)
}

/// The labels of a JSON value.
pub(super) fn json(value: &Value) -> Parsed {
    match value {
        Value::Array(items) => list(items),
        Value::Object(object) => {
            for key in MAPS {
                match object.get(key) {
                    Some(Value::Object(inner)) => return map(inner),
                    Some(Value::Array(items)) => return list(items),
                    Some(_) => return Err(format!("`{key}` is neither an object nor a list")),
                    None => {}
                }
            }
            match LISTS.iter().find_map(|key| object.get(*key)?.as_array()) {
                Some(items) => list(items),
                None => map(object),
            }
        }
        _ => Err("neither a JSON array nor a JSON object".into()),
    }
}

fn list(items: &[Value]) -> Parsed {
    items.iter().enumerate().map(|(i, item)| label(&i.to_string(), item)).collect()
}

/// From index to name, or from name to index.
fn map(object: &Map<String, Value>) -> Parsed {
    let is_index = |key: &String| key.trim().parse::<usize>().is_ok();
    let counts = |value: &Value| value.is_number() || value.as_str().is_some_and(|text| text.trim().parse::<usize>().is_ok());
    let turned = !object.is_empty() && object.values().all(counts) && !object.keys().all(is_index);
    let pairs: Result<Vec<(usize, String)>, String> = if turned {
        let index = |name: &str, value: &Value| {
            let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
            let index = number.and_then(|n| usize::try_from(n).ok());
            index.ok_or_else(|| format!("`{name}` has {value}, which is not a class index"))
        };
        object.iter().map(|(name, value)| Ok((index(name, value)?, name.trim().to_owned()))).collect()
    } else {
        let index = |key: &str| key.trim().parse().map_err(|_| format!("key `{key}` is not a class index"));
        object.iter().map(|(key, value)| Ok((index(key)?, label(key, value)?))).collect()
    };
    placed(pairs?)
}

/// Labels in the order of their indices, which must be 0, 1, 2 and so on, each once.
fn placed(mut pairs: Vec<(usize, String)>) -> Parsed {
    let count = pairs.len();
    let mut seen = HashSet::new();
    for (index, _) in &pairs {
        if *index >= count {
            let last = count - 1;
            return Err(format!("class index {index} among {count} labels: indices must run from 0 to {last} without gaps"));
        }
        if !seen.insert(*index) {
            return Err(format!("class index {index} is given twice"));
        }
    }
    pairs.sort_by_key(|pair| pair.0);
    Ok(pairs.into_iter().map(|pair| pair.1).collect())
}

/// A string, a number, or a pair of a WordNet id and a name, as Keras has them.
fn label(key: &str, value: &Value) -> Result<String, String> {
    let name = match value {
        Value::Number(number) => return Ok(number.to_string()),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(id), name] if is_wnid(id) => name.as_str(),
            _ => None,
        },
        value => value.as_str(),
    };
    name.map(|name| name.trim().to_owned()).ok_or_else(|| format!("the label of class {key} is not a string: {value}"))
}

/// A dictionary as Python prints it: `{0: 'tench', 1: "carpenter's kit"}`; `None` for anything else.
fn python(text: &str) -> Option<Vec<(usize, String)>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut pairs = Vec::new();
    while !rest.starts_with('}') {
        let (index, value) = rest.split_once(':')?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (mut name, mut escaped, mut end) = (String::new(), false, None);
        for (i, c) in value.char_indices().skip(1) {
            match c {
                '\\' if !escaped => escaped = true,
                c if c == quote && !escaped => {
                    end = Some(i + 1);
                    break;
                }
                c => {
                    name.push(c);
                    escaped = false;
                }
            }
        }
        pairs.push((index.trim().parse().ok()?, name.trim().to_owned()));
        rest = value[end?..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    rest.strip_prefix('}')?.is_empty().then_some(pairs).filter(|pairs| !pairs.is_empty())
}
