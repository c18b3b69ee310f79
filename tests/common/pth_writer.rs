//! Writes state dictionaries the way `torch.save` does, without torch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub)]

use std::{
    fs::File,
    io::{BufWriter, Seek, Write},
    path::Path,
};

use webmamba::{Tensor, low_level::tensor::DType};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Writes `tensors` to the zip archive `path`, each key after `key_prefix`, as an `OrderedDict` under `outer_key` or bare.
pub fn write_pth(path: &Path, outer_key: Option<&str>, key_prefix: &str, tensors: &[(String, Tensor)]) {
    let file = BufWriter::new(File::create(path).unwrap());
    write_archive(file, &state_pickle(outer_key, key_prefix, tensors), tensors, CompressionMethod::Stored);
}

/// A `torch.save` archive with any pickle, and the storages `0..` of `tensors`.
pub fn write_archive(out: impl Write + Seek, pickle: &[u8], tensors: &[(String, Tensor)], method: CompressionMethod) {
    let mut zip = ZipWriter::new(out);
    let options = SimpleFileOptions::default().compression_method(method).with_alignment(64);
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add("data.pkl", pickle);
    add("byteorder", b"little");
    for (index, (_, tensor)) in tensors.iter().enumerate() {
        add(&format!("data/{index}"), tensor.bytes());
    }
    add("version", b"3\n");
    zip.finish().unwrap();
}

/// The pickle of a state dictionary whose tensors are the storages `0..`.
pub fn state_pickle(outer_key: Option<&str>, key_prefix: &str, tensors: &[(String, Tensor)]) -> Vec<u8> {
    let mut p = Pickle(vec![0x80, 2]);
    if let Some(key) = outer_key {
        p.op(b'}');
        p.text(key);
    }
    p.ordered_dict();
    p.op(b'(');
    for (index, (key, tensor)) in tensors.iter().enumerate() {
        p.text(&format!("{key_prefix}{key}"));
        p.tensor(&index.to_string(), tensor);
    }
    p.op(b'u');
    if outer_key.is_some() {
        p.op(b's');
    }
    p.op(b'.');
    p.0
}

/// What a file of `torch.save` may hold.
pub enum Node {
    Tensor(Tensor),
    Dict(Vec<(String, Node)>),
    List(Vec<Node>),
    Int(i64),
    Text(String),
    /// An instance of a class, with the attributes that were set on it.
    Object(&'static str, &'static str, Box<Node>),
}

impl Node {
    pub fn dict<K: Into<String>>(items: impl IntoIterator<Item = (K, Node)>) -> Self {
        Self::Dict(items.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A state dictionary, each key after `prefix`.
    pub fn state(prefix: &str, tensors: &[(String, Tensor)]) -> Self {
        Self::dict(tensors.iter().map(|(key, tensor)| (format!("{prefix}{key}"), Self::Tensor(tensor.clone()))))
    }
}

/// Writes `node` to the zip archive `path`.
pub fn write_tree(path: &Path, node: &Node) {
    let mut pickle = Pickle(vec![0x80, 2]);
    let mut tensors = Vec::new();
    pickle.node(node, &mut tensors);
    pickle.op(b'.');
    write_archive(BufWriter::new(File::create(path).unwrap()), &pickle.0, &tensors, CompressionMethod::Stored);
}

/// Pickle instructions, one method for each thing that state dictionaries consist of.
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn op(&mut self, op: u8) {
        self.0.push(op);
    }

    pub fn text(&mut self, text: &str) {
        self.op(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    pub fn int(&mut self, n: i64) {
        match i32::try_from(n) {
            Ok(n) => {
                self.op(b'J');
                self.0.extend(n.to_le_bytes());
            }
            Err(_) => {
                self.0.extend([0x8a, 8]);
                self.0.extend(n.to_le_bytes());
            }
        }
    }

    pub fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    pub fn ints(&mut self, numbers: &[i64]) {
        self.op(b'(');
        numbers.iter().for_each(|&n| self.int(n));
        self.op(b't');
    }

    pub fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.0.extend(b")R");
    }

    pub fn node(&mut self, node: &Node, tensors: &mut Vec<(String, Tensor)>) {
        match node {
            Node::Tensor(tensor) => {
                self.tensor(&tensors.len().to_string(), tensor);
                tensors.push((String::new(), tensor.clone()));
            }
            Node::Dict(items) => {
                self.0.extend(b"}(");
                for (key, value) in items {
                    self.text(key);
                    self.node(value, tensors);
                }
                self.op(b'u');
            }
            Node::List(items) => {
                self.0.extend(b"](");
                items.iter().for_each(|item| self.node(item, tensors));
                self.op(b'e');
            }
            Node::Int(n) => self.int(*n),
            Node::Text(text) => self.text(text),
            Node::Object(module, name, attributes) => {
                self.global(module, name);
                self.0.extend(b")R");
                self.node(attributes, tensors);
                self.op(b'b');
            }
        }
    }

    /// A view of the storage `key` of `numel` elements.
    pub fn view(&mut self, class: &str, key: &str, numel: i64, offset: i64, sizes: &[i64], strides: &[i64]) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.extend(b"((");
        self.text("storage");
        self.global("torch", class);
        self.text(key);
        self.text("cpu");
        self.int(numel);
        self.0.extend(b"tQ");
        self.int(offset);
        self.ints(sizes);
        self.ints(strides);
        self.op(0x89);
        self.ordered_dict();
        self.0.extend(b"tR");
    }

    /// A whole storage, row-major.
    pub fn tensor(&mut self, key: &str, tensor: &Tensor) {
        let class = match tensor.dtype() {
            DType::F32 => "FloatStorage",
            DType::F16 => "HalfStorage",
            DType::BF16 => "BFloat16Storage",
            DType::I64 => "LongStorage",
            DType::U8 => "ByteStorage",
            DType::Q8 | DType::Q4 => panic!("torch.save has no {}", tensor.dtype()),
        };
        let sizes: Vec<i64> = tensor.shape().dims().iter().map(|&d| d as i64).collect();
        let mut strides = vec![1; sizes.len()];
        for axis in (1..sizes.len()).rev() {
            strides[axis - 1] = strides[axis] * sizes[axis];
        }
        self.view(class, key, tensor.shape().len() as i64, 0, &sizes, &strides);
    }
}
