//! The state dictionary inside of an unpickled `torch.save`, and the tensors that its calls would build.

use std::collections::HashSet;

use super::{
    element::{Element, Entry},
    pickle::{Heap, Id, Value, quote},
};
use crate::tensor::{Bytes, Shape};

/// The keys under which training code keeps the parameters, in the order in which the official loaders look.
const STATE_KEYS: [&str; 2] = ["state_dict", "model"];

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

/// The entries of the state dictionary under `root`. `load` gives the bytes of a storage, exactly as many as it has.
pub(super) fn entries<'a>(
    heap: &Heap<'a>,
    root: Id,
    budget: &mut Budget,
    mut load: impl FnMut(Storage<'a>, &mut Budget) -> Result<Bytes, String>,
) -> Result<Vec<(String, Entry)>, String> {
    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    for &(key, value) in find(heap, root)? {
        let Some(key) = heap.str(key) else {
            return Err(format!("a key of the state dictionary is {} instead of a string", heap.describe(key)));
        };
        if !seen.insert(key) {
            return Err(format!("the key {} occurs twice", quote(key)));
        }
        let entry = tensor(heap, value, budget, &mut load).map_err(|reason| format!("{}: {reason}", quote(key)))?;
        entries.push((key.to_owned(), entry));
    }
    Ok(entries)
}

fn find<'h>(heap: &'h Heap<'_>, root: Id) -> Result<&'h [(Id, Id)], String> {
    let Value::Dict(top) = heap.get(root) else {
        return Err(format!("it holds {}, not a dictionary of tensors; save `model.state_dict()`", heap.describe(root)));
    };
    for name in STATE_KEYS {
        let Some(&(_, value)) = top.iter().rev().find(|(key, _)| heap.str(*key) == Some(name)) else { continue };
        return match heap.get(value) {
            Value::Dict(state) if state.is_empty() => Err(format!("the dictionary under `{name}` is empty")),
            Value::Dict(state) => Ok(state),
            _ => Err(format!(
                "under `{name}` it holds {}, not a dictionary of tensors; save `model.state_dict()`",
                heap.describe(value)
            )),
        };
    }
    if top.iter().any(|(_, value)| is_tensor(heap, *value)) {
        return Ok(top);
    }
    let keys: Vec<_> = top.iter().take(20).map(|(key, _)| heap.str(*key).map_or_else(|| heap.describe(*key), quote)).collect();
    let dots = if top.len() > keys.len() { ", .." } else { "" };
    Err(match keys.len() {
        0 => "it holds an empty dictionary".into(),
        _ => format!("it has no state dictionary under `state_dict` or `model`; its keys are {}{dots}", keys.join(", ")),
    })
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
        Value::Call { function, arguments } => Some((*function, *arguments)),
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
