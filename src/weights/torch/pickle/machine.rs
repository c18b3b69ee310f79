//! The stack machine: protocols 0 to 5, every instruction treated as data.

use std::collections::HashMap;

use super::{Heap, Id, Value, reader::Reader};

/// Entries that the stack may have. Some instructions push without making a value, so this needs a bound of its own.
const MAX_STACK: usize = 1 << 22;

/// Reads the pickle at the start of `bytes`: its values, the one it stands for, and how many bytes it takes.
///
/// # Errors
/// What is wrong, with the offset of the instruction.
pub(in crate::weights::torch) fn load(bytes: &[u8]) -> Result<(Heap<'_>, Id, usize), String> {
    let mut machine = Machine::new(bytes);
    loop {
        let at = machine.input.at();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok((machine.heap, root, machine.input.at())),
            Err(reason) => return Err(format!("the pickle is damaged at byte {at}: {reason}")),
        }
    }
}

struct Machine<'a> {
    input: Reader<'a>,
    heap: Heap<'a>,
    stack: Vec<Id>,
    /// Heights of the stack that `MARK` remembered, ascending.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { input: Reader::new(bytes), heap: Heap::default(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    /// One instruction; `STOP` gives the result.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let op = self.input.u8()?;
        match op {
            b'.' => return self.pop().map(Some),
            b'(' => {
                self.room(self.marks.len())?;
                self.marks.push(self.stack.len());
            }
            // Protocol and frame sizes say nothing that the instructions do not.
            0x80 => drop(self.input.u8()?),
            0x95 => drop(self.input.take(8)?),
            b'0' if self.stack.len() == self.floor() => drop(self.pop_mark()?),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.push_id(self.top()?)?,
            b'p' | b'q' | b'r' | 0x94 => self.put(op)?,
            b'g' | b'h' | b'j' => self.recall(op)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.extend(op)?,
            b'R' | 0x81 | 0x92 | b'b' | b'o' | b'i' => self.object(op)?,
            b't' | b'l' | b'd' | 0x91 | 0x85..=0x87 => self.collect(op)?,
            0x82..=0x84 => return Err("it uses extension codes, which have no meaning outside of their program".into()),
            0x97 | 0x98 => return Err("it refers to buffers that are not part of the file".into()),
            _ => {
                let value = self.scalar(op)?;
                self.push(value)?;
            }
        }
        Ok(None)
    }

    /// Instructions that push a value which depends on nothing but, for two of them, the top of the stack.
    fn scalar(&mut self, op: u8) -> Result<Value<'a>, String> {
        Ok(match op {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(op == 0x88),
            b'J' => Value::Int(self.input.i32()?.into()),
            b'K' => Value::Int(self.input.u8()?.into()),
            b'M' => Value::Int(self.input.u16()?.into()),
            b'I' | b'L' => integer(self.input.line()?)?,
            0x8a => long(self.input.counted(1)?),
            0x8b => long(self.input.counted(4)?),
            b'F' => {
                self.input.line()?;
                Value::Other("a number")
            }
            b'G' => {
                self.input.take(8)?;
                Value::Other("a number")
            }
            b'X' | b'T' => text(self.input.counted(4)?),
            0x8c | b'U' => text(self.input.counted(1)?),
            0x8d => text(self.input.counted(8)?),
            b'V' => Value::Str(self.input.line()?),
            b'S' => Value::Str(self.input.line()?.trim_matches(['\'', '"'])),
            b'B' | b'C' | 0x8e | 0x96 => {
                self.input.counted(match op {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                })?;
                Value::Other("bytes")
            }
            b')' => Value::Tuple(Vec::new()),
            b']' => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            0x8f => Value::Other("a set"),
            b'c' => Value::Global { module: self.input.line()?, name: self.input.line()? },
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.heap.str(module), self.heap.str(name)) {
                    (Some(module), Some(name)) => Value::Global { module, name },
                    _ => return Err("an imported name is not a string".into()),
                }
            }
            b'P' => {
                let text = self.input.line()?;
                Value::Persistent(self.heap.push(Value::Str(text))?)
            }
            b'Q' => Value::Persistent(self.pop()?),
            _ => return Err(format!("{op:#04x} is not an instruction")),
        })
    }

    /// Instructions that make a container of what lies above a mark, or of the topmost values.
    fn collect(&mut self, op: u8) -> Result<(), String> {
        let items = match op {
            0x85..=0x87 => self.pop_n(usize::from(op - 0x84))?,
            _ => self.pop_mark()?,
        };
        let value = match op {
            b'l' => Value::List(items),
            b'd' => Value::Dict(pairs(&items)?),
            0x91 => Value::Other("a set"),
            _ => Value::Tuple(items),
        };
        self.push(value)
    }

    /// Instructions that add to the container below.
    fn extend(&mut self, op: u8) -> Result<(), String> {
        let items = match op {
            b'a' => self.pop_n(1)?,
            b's' => self.pop_n(2)?,
            _ => self.pop_mark()?,
        };
        let target = self.top()?;
        match (self.heap.get_mut(target), op) {
            (Some(Value::List(list)), b'a' | b'e') => list.extend(items),
            (Some(Value::Dict(dict)), b's' | b'u') => dict.extend(pairs(&items)?),
            // Instances of other classes (configurations, sets) swallow what is added to them: nobody looks inside.
            (Some(Value::Call { .. } | Value::Other(_)), _) => {}
            _ => return Err(format!("something is added to {}", self.heap.describe(target))),
        }
        Ok(())
    }

    /// Instructions that would call something.
    fn object(&mut self, op: u8) -> Result<(), String> {
        if op == b'b' {
            // BUILD sets attributes.
            let (attributes, object) = (self.pop()?, self.top()?);
            if let Some(Value::Call { state, .. }) = self.heap.get_mut(object) {
                *state = Some(attributes);
            }
            return Ok(());
        }
        let (function, arguments) = match op {
            b'i' => {
                let global = Value::Global { module: self.input.line()?, name: self.input.line()? };
                (self.heap.push(global)?, self.pop_mark()?)
            }
            b'o' => {
                let mut items = self.pop_mark()?;
                if items.is_empty() {
                    return Err("an object has no class".into());
                }
                (items.remove(0), items)
            }
            _ => {
                if op == 0x92 {
                    self.pop()?;
                }
                let (arguments, function) = (self.pop()?, self.pop()?);
                if let Some(dict) = self.ordered_dict(function, arguments)? {
                    return self.push(dict);
                }
                return self.push(Value::Call { function, arguments, state: None });
            }
        };
        let arguments = self.heap.push(Value::Tuple(arguments))?;
        self.push(Value::Call { function, arguments, state: None })
    }

    /// `OrderedDict()` and `OrderedDict([(key, value), ..])`: the one class whose instances are looked into.
    fn ordered_dict(&self, function: Id, arguments: Id) -> Result<Option<Value<'a>>, String> {
        if self.heap.global(function) != Some(("collections", "OrderedDict")) {
            return Ok(None);
        }
        let pairs = match self.heap.items(arguments) {
            Some([]) => Some(Vec::new()),
            Some(&[list]) => self.heap.items(list).and_then(|items| {
                let pair = |&item: &Id| match self.heap.items(item) {
                    Some(&[key, value]) => Some((key, value)),
                    _ => None,
                };
                items.iter().map(pair).collect()
            }),
            _ => None,
        };
        pairs.map(|pairs| Some(Value::Dict(pairs))).ok_or_else(|| "an OrderedDict is not made of pairs".into())
    }

    fn put(&mut self, op: u8) -> Result<(), String> {
        let key = match op {
            b'p' => memo_key(self.input.line()?)?,
            b'q' => self.input.u8()?.into(),
            b'r' => self.input.u32()?,
            _ => u32::try_from(self.memo.len()).map_err(|_| "the memo is full")?,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, op: u8) -> Result<(), String> {
        let key = match op {
            b'g' => memo_key(self.input.line()?)?,
            b'h' => self.input.u8()?.into(),
            _ => self.input.u32()?,
        };
        let id = *self.memo.get(&key).ok_or_else(|| format!("memo {key} was never set"))?;
        self.push_id(id)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = self.heap.push(value)?;
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), String> {
        self.room(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    fn room(&self, used: usize) -> Result<(), String> {
        if used < MAX_STACK { Ok(()) } else { Err(format!("its stack has more than {MAX_STACK} entries")) }
    }

    /// The lowest height to which the stack may be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.get(self.floor()..).and_then(|above| above.last()).copied().ok_or_else(|| UNDERFLOW.into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Id>, String> {
        match self.stack.len().checked_sub(n) {
            Some(start) if start >= self.floor() => Ok(self.stack.split_off(start)),
            _ => Err(UNDERFLOW.into()),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }
}

const UNDERFLOW: &str = "the stack is empty";

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() { Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()) } else { Err("a key has no value".into()) }
}

fn memo_key(line: &str) -> Result<u32, String> {
    line.trim().parse().map_err(|_| "a memo number is not a number".into())
}

/// A decimal integer, or the old spelling of the booleans.
fn integer(line: &str) -> Result<Value<'_>, String> {
    match line {
        "00" | "01" => Ok(Value::Bool(line == "01")),
        _ => {
            let digits = line.trim().trim_end_matches('L');
            match digits.parse() {
                Ok(n) => Ok(Value::Int(n)),
                Err(_) if digits.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) => Ok(Value::Other("a number")),
                Err(_) => Err("an integer is not a number".into()),
            }
        }
    }
}

/// A little-endian two's complement integer of any length.
fn long(bytes: &[u8]) -> Value<'_> {
    let Some(sign) = bytes.last() else { return Value::Int(0) };
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let mut wide = if *sign >= 0x80 { [0xff; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

/// Strings that are not UTF-8 (Python 2 bytes, lone surrogates) cannot be keys of a checkpoint.
fn text(bytes: &[u8]) -> Value<'_> {
    std::str::from_utf8(bytes).map_or(Value::Other("bytes"), Value::Str)
}
