//! Python pickles as data.
//!
//! A pickle is a program for a stack machine whose instructions may import and call anything. Here nothing is ever imported
//! or called: a name stays a [`Value::Global`], a call stays a [`Value::Call`], and who reads the result interprets the few
//! that stand for tensors. All values live in one [`Heap`] and refer to each other by number, so that neither nesting nor
//! cycles can exhaust the stack, not even when the values are dropped.

mod machine;
mod reader;

pub(super) use machine::load;

use crate::error::quote;

/// A value's place in its [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// What a pickle can describe.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, little-endian two's complement.
    Long(&'a [u8]),
    Str(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Pairs in the order in which they were set; also for `OrderedDict`.
    Dict(Vec<(Id, Id)>),
    /// An imported name.
    Global {
        module: &'a str,
        name: &'a str,
    },
    /// A reference to data outside of the pickle.
    Persistent(Id),
    /// The result of calling `function`, whatever that would be, and what was set on it afterwards.
    Call {
        function: Id,
        arguments: Id,
        state: Option<Id>,
    },
    /// Something that no tensor is made of, in words.
    Other(&'static str),
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    values: Vec<Value<'a>>,
}

/// Values that a pickle may make: far more than any checkpoint needs, and a bound on memory for hostile ones.
const MAX_VALUES: usize = 1 << 22;

impl<'a> Heap<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        // Ids are only made by `push`, and nothing is ever removed.
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    /// All places, in the order in which they were made.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.values.len() as u32).map(Id)
    }

    fn get_mut(&mut self, id: Id) -> Option<&mut Value<'a>> {
        self.values.get_mut(id.0 as usize)
    }

    fn push(&mut self, value: Value<'a>) -> Result<Id, String> {
        if self.values.len() >= MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} values"));
        }
        self.values.push(value);
        Ok(Id((self.values.len() - 1) as u32))
    }

    /// The elements of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The attributes that were set on the object `id`.
    pub(super) fn attributes(&self, id: Id) -> Option<Id> {
        match *self.get(id) {
            Value::Call { state, .. } => state,
            _ => None,
        }
    }

    /// Module and name of an imported name.
    pub(super) fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        match *self.get(id) {
            Value::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    pub(super) fn str(&self, id: Id) -> Option<&'a str> {
        match *self.get(id) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A number that counts something.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match *self.get(id) {
            Value::Int(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }

    /// What a value is, in words for messages.
    pub(super) fn describe(&self, id: Id) -> String {
        match self.get(id) {
            Value::None => "None".into(),
            Value::Bool(_) => "a boolean".into(),
            Value::Int(_) | Value::Long(_) => "a number".into(),
            Value::Str(_) => "a string".into(),
            Value::Tuple(_) => "a tuple".into(),
            Value::List(_) => "a list".into(),
            Value::Dict(_) => "a dictionary".into(),
            Value::Global { module, name } => format!("the name {}", quote(&format!("{module}.{name}"))),
            Value::Persistent(_) => "a storage without a tensor".into(),
            Value::Call { function, .. } => match self.global(*function) {
                Some((module, name)) => format!("an object of {}", quote(&format!("{module}.{name}"))),
                None => "an object".into(),
            },
            Value::Other(what) => (*what).into(),
        }
    }
}
