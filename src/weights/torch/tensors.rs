//! The dictionaries inside of an unpickled `torch.save`, and the tensors that its calls would build.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
};

use super::pickle::{Heap, Id, Value};
use crate::{
    error::quote,
    tensor::{Bytes, Shape},
    weights::{
        contents::Contents,
        element::{Element, Entry},
    },
};

/// Calls that may stand around the one which builds a tensor (a parameter, a subclass).
const MAX_WRAPPERS: usize = 8;

/// Data outside of the pickle that tensors are views of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) element: Element,
    /// Number of elements.
    pub(super) len: usize,
}

impl Storage<'_> {
    /// How many bytes it takes, where that fits memory at all.
    pub(super) fn bytes(&self) -> Result<usize, String> {
        self.len.checked_mul(self.element.size()).ok_or_else(|| format!("storage {} is too large", quote(self.key)))
    }
}

/// A bound on what a file may make us allocate beyond itself. Without it a few bytes could ask for any amount: inflated
/// entries, one element that is broadcast, a storage that is copied for each of many tensors.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn of_file(bytes: usize) -> Self {
        Self(bytes.saturating_mul(8).saturating_add(1 << 20))
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.0 = self.0.checked_sub(bytes).ok_or("unpacked, it is out of all proportion to the size of the file")?;
        Ok(())
    }
}

/// The storage that a persistent id names: `("storage", class, key, location, number of elements)`.
pub(super) fn storage<'a>(heap: &Heap<'a>, id: Id) -> Result<Storage<'a>, String> {
    let parts = match heap.get(id) {
        Value::Persistent(id) => heap.items(*id),
        _ => return Err(format!("its storage is {}", heap.describe(id))),
    };
    let parse = |parts: &[Id]| {
        let &[tag, class, key, _location, len, ..] = parts else { return None };
        Some((heap.str(tag)?, heap.global(class)?, heap.str(key)?, heap.size(len)?))
    };
    let Some(("storage", (module, class), key, len)) = parts.and_then(parse) else {
        return Err("its storage is not described as torch describes storages".into());
    };
    match Element::of_storage(class) {
        Some(element) if module == "torch" || module.starts_with("torch.") => Ok(Storage { key, element, len }),
        _ => Err(format!("the storage class {} is not known", quote(&format!("{module}.{class}")))),
    }
}

/// Attributes of modules, of which the keys of a state dictionary show no trace.
const TRANSPARENT: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Everything below `root`: the tensors of all dictionaries, lists and modules, under their keys joined by dots. What an
/// optimizer keeps is left alone. `load` gives the bytes of a storage, exactly as many as it has.
///
/// # Errors
/// What is wrong with a tensor; what there is instead when there are none.
pub(super) fn contents<'a>(
    heap: &Heap<'a>,
    root: Id,
    budget: &mut Budget,
    mut load: impl FnMut(Storage<'a>, &mut Budget) -> Result<Bytes, String>,
) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let mut keys = HashSet::new();
    // Each is visited once, so that neither cycles nor much sharing lead to more work than the file has values.
    let mut seen = HashSet::from([root]);
    let mut queue = VecDeque::from([(root, String::new())]);
    while let Some((id, path)) = queue.pop_front() {
        let (first, mut others) = (contents.entries.len(), Vec::new());
        for (key, value) in children(heap, id) {
            if is_tensor(heap, value) {
                let key = format!("{path}{key}");
                budget.spend(key.len())?;
                if !keys.insert(key.clone()) {
                    return Err(format!("the key {} occurs twice", quote(&key)));
                }
                let entry = tensor(heap, value, budget, &mut load).map_err(|reason| format!("{}: {reason}", quote(&key)))?;
                contents.entries.push((key, entry));
            } else if children(heap, value).next().is_none() {
                others.push((key, value));
            } else if !key.is_optimizer() && seen.insert(value) {
                let below = if key.is_transparent() { path.clone() } else { format!("{path}{key}.") };
                budget.spend(below.len())?;
                queue.push_back((value, below));
            }
        }
        if path.is_empty() {
            contents.about.top = children(heap, id).map(|(key, _)| key.to_string()).take(MAX_TOP).collect();
        }
        if contents.entries.len() > first {
            for (key, _) in others {
                let key = format!("{path}{key}");
                budget.spend(key.len())?;
                contents.about.beside.push(key);
            }
            if !contents.about.states.contains(&path) {
                contents.about.states.push(path);
            }
        }
    }
    if contents.entries.is_empty() { Err(without_tensors(heap, root)) } else { Ok(contents) }
}

/// Keys of the outermost dictionary that are remembered.
const MAX_TOP: usize = 100;

/// The place of a value in what holds it.
#[derive(Clone, Copy)]
enum Key<'a> {
    Name(&'a str),
    Index(i64),
}

impl Key<'_> {
    /// Training state that nobody classifies with, several times as large as the model.
    fn is_optimizer(self) -> bool {
        matches!(self, Self::Name(name) if name.to_ascii_lowercase().split('_').any(|part| part.starts_with("optim") || part == "opt"))
    }

    fn is_transparent(self) -> bool {
        matches!(self, Self::Name(name) if TRANSPARENT.contains(&name))
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => index.fmt(f),
        }
    }
}

/// What a dictionary, a list, a tuple or an object holds.
fn children<'h, 'a>(heap: &'h Heap<'a>, id: Id) -> impl Iterator<Item = (Key<'a>, Id)> + use<'h, 'a> {
    // The attributes of an object are a dictionary, or a tuple of one and something else.
    let attributes = heap.attributes(id).map(|state| heap.items(state).and_then(|items| items.first().copied()).unwrap_or(state));
    let (pairs, items): (&[(Id, Id)], &[Id]) = match heap.get(attributes.unwrap_or(id)) {
        Value::Dict(pairs) => (pairs, &[]),
        Value::List(items) | Value::Tuple(items) if attributes.is_none() => (&[], items),
        _ => (&[], &[]),
    };
    let named = pairs.iter().filter_map(|&(key, value)| match *heap.get(key) {
        Value::Str(name) => Some((Key::Name(name), value)),
        Value::Int(index) => Some((Key::Index(index), value)),
        _ => None,
    });
    named.chain(items.iter().enumerate().map(|(index, &value)| (Key::Index(index as i64), value)))
}

/// What a file without tensors holds.
fn without_tensors(heap: &Heap<'_>, root: Id) -> String {
    const SHOWN: usize = 10;
    let all: Vec<_> = children(heap, root).collect();
    if all.is_empty() {
        let empty = matches!(heap.get(root), Value::Dict(_) | Value::List(_) | Value::Tuple(_));
        let empty = if empty { ", which is empty" } else { "" };
        return format!("it holds {}{empty}, not a dictionary of tensors; save `model.state_dict()`", heap.describe(root));
    }
    let shown = all.iter().take(SHOWN);
    let shown: Vec<_> = shown.map(|(key, value)| format!("{} is {}", quote(&key.to_string()), what(heap, *value))).collect();
    let more = if all.len() > SHOWN { format!(" and {} more", all.len() - SHOWN) } else { String::new() };
    format!("there are no tensors in it ({}{more}); save `model.state_dict()`", shown.join(", "))
}

/// As [`Heap::describe`], with what is empty named as such.
fn what(heap: &Heap<'_>, id: Id) -> String {
    match heap.get(id) {
        Value::Dict(pairs) if pairs.is_empty() => "an empty dictionary".into(),
        Value::List(items) | Value::Tuple(items) if items.is_empty() => "an empty list".into(),
        // One level is enough to see what went wrong, and an object may hold itself.
        _ => match children(heap, id).next() {
            Some((key, value)) => format!("{} whose {} is {}", heap.describe(id), quote(&key.to_string()), heap.describe(value)),
            None => heap.describe(id),
        },
    }
}

fn is_tensor(heap: &Heap<'_>, id: Id) -> bool {
    let Value::Call { function, .. } = heap.get(id) else { return false };
    matches!(heap.global(*function), Some(("torch._utils" | "torch._tensor", name)) if name.starts_with("_rebuild"))
}

/// What the call `id` would build.
fn tensor<'a>(
    heap: &Heap<'a>,
    id: Id,
    budget: &mut Budget,
    load: &mut impl FnMut(Storage<'a>, &mut Budget) -> Result<Bytes, String>,
) -> Result<Entry, String> {
    let call = |id| match heap.get(id) {
        Value::Call { function, arguments, .. } => Some((*function, *arguments)),
        _ => None,
    };
    let not_a_tensor = || format!("it is {}, not a tensor", heap.describe(id));
    let (mut function, mut arguments) = call(id).ok_or_else(not_a_tensor)?;
    for _ in 0..MAX_WRAPPERS {
        let items = heap.items(arguments).ok_or_else(not_a_tensor)?;
        match (heap.global(function), items) {
            (Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")), &[data, ..]) => {
                (function, arguments) = call(data).ok_or_else(not_a_tensor)?;
            }
            (Some(("torch._tensor", "_rebuild_from_type_v2")), &[inner, _class, inner_arguments, ..]) => {
                (function, arguments) = (inner, inner_arguments);
            }
            (Some(("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2")), &[storage_id, offset, sizes, strides, ..]) => {
                let storage = storage(heap, storage_id)?;
                let view = View::parse(heap, offset, sizes, strides)?;
                return view.read(storage.element, storage, budget, load);
            }
            (Some(("torch._utils", "_rebuild_tensor_v3")), &[storage_id, offset, sizes, strides, _grad, _hooks, dtype, ..]) => {
                let storage = storage(heap, storage_id)?;
                let (_, dtype) = heap.global(dtype).ok_or_else(not_a_tensor)?;
                let element =
                    Element::of_torch(dtype).ok_or_else(|| format!("the element type {} is not known", quote(dtype)))?;
                let view = View::parse(heap, offset, sizes, strides)?;
                return view.read(element, storage, budget, load);
            }
            _ => return Err(not_a_tensor()),
        }
    }
    Err("it is wrapped too often".into())
}

/// Which elements of a storage a tensor has.
struct View {
    offset: usize,
    sizes: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    fn parse(heap: &Heap<'_>, offset: Id, sizes: Id, strides: Id) -> Result<Self, String> {
        let numbers = |id| heap.items(id).and_then(|items| items.iter().map(|&n| heap.size(n)).collect::<Option<Vec<_>>>());
        match (heap.size(offset), numbers(sizes), numbers(strides)) {
            (Some(offset), Some(sizes), Some(strides)) if sizes.len() == strides.len() => Ok(Self { offset, sizes, strides }),
            _ => Err("its offset, sizes and strides are not proper numbers".into()),
        }
    }

    fn read<'a>(
        self,
        element: Element,
        storage: Storage<'a>,
        budget: &mut Budget,
        load: &mut impl FnMut(Storage<'a>, &mut Budget) -> Result<Bytes, String>,
    ) -> Result<Entry, String> {
        let width = element.size();
        let held = storage.bytes()? / width;
        let span = self.span().filter(|&end| end <= held).ok_or_else(|| {
            format!(
                "sizes {:?}, strides {:?} and offset {} reach beyond the {held} elements of its storage",
                self.sizes, self.strides, self.offset
            )
        })?;
        let shape = Shape::from(self.sizes.as_slice());
        let too_large = || format!("its size {shape} is too large");
        let count = shape.checked_len().ok_or_else(too_large)?;
        if element.same().is_none() {
            // Widening copies; nothing is wider than eight bytes.
            budget.spend(count.checked_mul(8).ok_or_else(too_large)?)?;
        }
        let bytes = load(storage, budget)?;
        let part = if count == 0 {
            bytes.slice(0..0)
        } else if self.contiguous() {
            bytes.slice(self.offset * width..span * width)
        } else {
            let total = count.checked_mul(width).ok_or_else(too_large)?;
            budget.spend(total)?;
            Some(Bytes::new(self.gather(bytes.as_slice(), width, total)))
        };
        let part = part.ok_or("its storage is too short")?;
        element.entry(shape, part).map_err(|error| error.to_string())
    }

    /// One more than the last element's place in the storage; `None` where the numbers overflow.
    fn span(&self) -> Option<usize> {
        if self.sizes.contains(&0) {
            return Some(0);
        }
        let reach = |at: usize, (&size, &stride): (&usize, &usize)| at.checked_add((size - 1).checked_mul(stride)?);
        self.sizes.iter().zip(&self.strides).try_fold(self.offset, reach)?.checked_add(1)
    }

    /// True when the elements lie next to each other in row-major order.
    fn contiguous(&self) -> bool {
        let mut expected = 1;
        self.sizes.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }

    /// The elements in row-major order. `span` has been held against the storage: every place is inside of `bytes`.
    fn gather(&self, bytes: &[u8], width: usize, total: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(total);
        let mut index = vec![0; self.sizes.len()];
        let mut at = self.offset;
        while out.len() < total {
            out.extend_from_slice(bytes.get(at * width..(at + 1) * width).unwrap_or_default());
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                // An axis of one element may have any stride: it wraps around and back.
                at = at.wrapping_add(self.strides[axis]);
                if index[axis] < self.sizes[axis] {
                    break;
                }
                at = at.wrapping_sub(self.strides[axis].wrapping_mul(self.sizes[axis]));
                index[axis] = 0;
            }
        }
        out
    }
}
