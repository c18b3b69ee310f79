//! Damaged and hostile files: every one is an error that says what is wrong, none is a crash.

use std::{fs, io::Cursor, time::Instant};

use super::{
    common::{
        manifest::fixture,
        pth_writer::{Pickle, write_archive},
    },
    f32, f32_file, load, refusal, safetensors,
};
use webmamba::{Error, Tensor, Weights};
use zip::CompressionMethod::{Deflated, Stored};

fn header(text: &str, data: usize) -> String {
    refusal(load(safetensors(text, data)))
}

#[test]
fn files_that_are_nothing_of_the_kind() {
    assert!(refusal(load(Vec::new())).contains("empty"));
    assert!(refusal(load(b"abc".to_vec())).contains("neither"));
    assert!(refusal(load(b"version https://git-lfs.example/spec/v1\noid sha256:0\n".to_vec())).contains("LFS"));
    assert!(refusal(load(b"\n<!DOCTYPE html><html>".to_vec())).contains("web page"));
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(refusal(load(tar)).contains("tar archive"));
    assert!(refusal(load(b"\x80\x02}q\x00.".to_vec())).contains("not one of torch.save"));
    assert!(refusal(load(safetensors("{}", 0))).contains("no tensors"));
}

#[test]
fn safetensors_headers_that_lie() {
    let one = |shape: &str, offsets: &str| format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
    load(safetensors(&one("[2]", "[0,8]"), 8)).unwrap();
    assert!(header(&one("[2]", "[0,8]"), 7).contains("truncated"));
    assert!(header(&one("[2]", "[0,8]"), 9).contains("longer or shorter"));
    assert!(header(&one("[3]", "[0,8]"), 8).contains("does not match its shape"));
    assert!(header(&one("[2]", "[8,0]"), 8).contains("overlap"));
    assert!(header(&one("[2]", "[4,12]"), 12).contains("overlap"));
    assert!(header(&one("[2]", "[-8,0]"), 8).contains("damaged"));
    assert!(header(&one("[2]", "[0,18446744073709551615]"), 8).contains("truncated"));
    for shape in ["[1152921504606846976,1152921504606846976]", "[1152921504606846976,4,4]", "[18446744073709551615,2]"] {
        assert!(header(&one(shape, "[0,8]"), 8).contains("too large"), "{shape}");
    }
    assert!(header(&one("[1152921504606846976]", "[0,4611686018427387904]"), 8).contains("truncated"));
    assert!(header(&one("[1.5]", "[0,8]"), 8).contains("usize") || header(&one("[-1]", "[0,8]"), 8).contains("invalid"));
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{a}}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{b}}}}}"#
        )
    };
    load(safetensors(&two("[8,16]", "[0,8]"), 16)).unwrap();
    assert!(header(&two("[0,8]", "[0,8]"), 8).contains("overlap"));
    assert!(header(&two("[0,8]", "[4,12]"), 12).contains("overlap"));
    assert!(header(&two("[0,8]", "[0,8]").replace("\"b\"", "\"a\""), 8).contains("`a` occurs twice"));
    assert!(header(&two("[0,8]", "[8,16]").replace("\"b\"", r#""\u0061""#), 16).contains("`a` occurs twice"));
    assert!(header(r#"{"__metadata__":{},"__metadata__":{}}"#, 0).contains("occurs twice"));
    assert!(header(r#"{"w":{"dtype":"F33","shape":[],"data_offsets":[0,0]}}"#, 0).contains("F33"));
    assert!(header(r#"{"w":3}"#, 0).contains("damaged"));
    assert!(header("{\"a", 0).contains("damaged"));
    assert!(header(&format!("{{\"w\":{}", "[".repeat(100_000)), 0).contains("damaged"));
    assert!(refusal(load(safetensors("{\"\u{e9}", 0)[..11].to_vec())).contains("header should have"));
}

#[test]
fn safetensors_header_lengths_that_lie() {
    for length in [3u64, 1000, 1 << 40, 1 << 60, u64::MAX, u64::MAX - 7] {
        let mut file = f32_file(&[("w", &[2], &[1.0, 2.0])]);
        file[..8].copy_from_slice(&length.to_le_bytes());
        let reason = refusal(load(file));
        assert!(if length > 3 { reason.contains("header should have") } else { reason.contains("damaged") }, "{reason}");
    }
}

/// A pickle around what `write` makes of it, in an archive with one storage of six F32 numbers.
fn pickled(write: impl FnOnce(&mut Pickle)) -> Result<Weights, Error> {
    let mut pickle = Pickle(vec![0x80, 2]);
    write(&mut pickle);
    pickle.op(b'.');
    raw(&pickle.0)
}

fn raw(pickle: &[u8]) -> Result<Weights, Error> {
    load(archive(pickle))
}

fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    write_archive(&mut file, pickle, &storage(), Stored);
    file.into_inner()
}

fn storage() -> [(String, Tensor); 1] {
    [(String::new(), f32(&[6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))]
}

/// A state dictionary of one view of the storage, which may be described wrongly.
fn view(class: &str, key: &str, numel: i64, offset: i64, sizes: &[i64], strides: &[i64]) -> Result<Weights, Error> {
    pickled(|p| {
        p.op(b'}');
        p.text("w");
        p.view(class, key, numel, offset, sizes, strides);
        p.op(b's');
    })
}

#[test]
fn views_of_storages() {
    let values = |offset, sizes: &[i64], strides: &[i64]| {
        view("FloatStorage", "0", 6, offset, sizes, strides).unwrap().stored("w").unwrap().to_f32().into_owned()
    };
    assert_eq!(values(1, &[2, 2], &[2, 1]), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(values(0, &[3, 2], &[1, 3]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(values(5, &[1, 2, 1], &[i64::MAX, 0, i64::MAX]), [5.0, 5.0]);
    assert_eq!(values(5, &[], &[]), [5.0]);
    assert!(values(9, &[0, 3], &[1, 1]).is_empty());

    let reason =
        |numel, offset, sizes: &[i64], strides: &[i64]| refusal(view("FloatStorage", "0", numel, offset, sizes, strides));
    assert!(reason(6, 1, &[6], &[1]).contains("beyond the 6 elements"));
    assert!(reason(6, 6, &[], &[]).contains("beyond"));
    assert!(reason(6, 0, &[2, 2], &[5, 1]).contains("beyond"));
    assert!(reason(6, i64::MAX, &[2], &[i64::MAX]).contains("beyond"));
    assert!(reason(6, 0, &[1 << 60, 1 << 60], &[1, 1]).contains("beyond"));
    assert!(reason(6, 0, &[1 << 60, 1 << 60], &[0, 0]).contains("too large"));
    assert!(reason(6, 0, &[1 << 40], &[0]).contains("out of all proportion"));
    assert!(reason(6, 0, &[1 << 62], &[0]).contains("too large"));
    assert!(reason(6, -1, &[1], &[1]).contains("proper numbers"));
    assert!(reason(6, 0, &[-1], &[1]).contains("proper numbers"));
    assert!(reason(6, 0, &[1, 1], &[1]).contains("proper numbers"));
    assert!(reason(7, 0, &[6], &[1]).contains("has 24 bytes instead of 28"));
    assert!(reason(i64::MAX, 0, &[6], &[1]).contains("too large"));
    let class = |class, key| refusal(view(class, key, 6, 0, &[6], &[1]));
    assert!(class("FloatStorage", "1").contains("lacks its storage `1`"));
    assert!(class("FloatStorage", "../data.pkl").contains("lacks its storage"));
    assert!(class("HalfStorage", "0").contains("has 24 bytes instead of 12"));
    assert!(class("EvilStorage", "0").contains("`torch.EvilStorage` is not known"));
}

#[test]
fn many_copies_of_one_storage_run_out_of_budget() {
    // Ten thousand transposed copies of a megabyte: some 400 kB that ask for 10 GB.
    let mut pickle = Pickle(vec![0x80, 2, b'}', b'(']);
    for n in 0..10_000 {
        pickle.text(&n.to_string());
        pickle.view("FloatStorage", "0", 1 << 18, 0, &[512, 512], &[1, 512]);
    }
    pickle.0.extend(b"u.");
    let mut file = Cursor::new(Vec::new());
    write_archive(&mut file, &pickle.0, &[(String::new(), f32(&[1 << 18], &vec![0.0; 1 << 18]))], Stored);
    assert!(refusal(load(file.into_inner())).contains("out of all proportion"));
}

#[test]
fn states_that_are_anything_but_tensors() {
    let state = |write: fn(&mut Pickle)| {
        refusal(pickled(|p| {
            p.op(b'}');
            p.text("state_dict");
            write(p);
            p.op(b's');
        }))
    };
    assert!(state(|p| p.op(b'N')).contains("`state_dict` is None"));
    assert!(state(|p| p.op(b']')).contains("`state_dict` is an empty list"));
    assert!(state(|p| p.text("x")).contains("`state_dict` is a string"));
    assert!(state(|p| p.op(b'}')).contains("is an empty dictionary"));
    assert!(state(|p| p.global("os", "system")).contains("the name `os.system`"));
    let entry = |write: fn(&mut Pickle)| {
        refusal(pickled(|p| {
            p.0.extend(b"}");
            p.text("model");
            p.0.extend(b"}");
            p.text("w");
            write(p);
            p.0.extend(b"ss");
        }))
    };
    assert!(entry(|p| p.int(3)).contains("whose `w` is a number"));
    assert!(entry(|p| p.op(b'}')).contains("a dictionary"));
    assert!(entry(|p| p.op(b')')).contains("a tuple"));
    assert!(entry(|p| p.op(0x88)).contains("a boolean"));
    assert!(entry(|p| p.0.extend(b"NQ")).contains("a storage without a tensor"));
    assert!(
        entry(|p| {
            p.global("os", "system");
            p.text("true");
            p.0.extend(b"\x85R");
        })
        .contains("an object of `os.system`")
    );
    assert!(
        entry(|p| {
            p.global("torch._utils", "_rebuild_tensor_v2");
            p.0.extend(b")R");
        })
        .contains("not a tensor")
    );
    assert!(
        entry(|p| {
            p.global("torch._utils", "_rebuild_tensor_v2");
            p.0.extend(b"(NNNNt");
            p.op(b'R');
        })
        .contains("its storage is None")
    );
    // A parameter around a parameter around itself.
    assert!(
        entry(|p| {
            for _ in 0..20 {
                p.global("torch._utils", "_rebuild_parameter");
            }
            p.view("FloatStorage", "0", 6, 0, &[6], &[1]);
            p.0.extend(b"\x85R".repeat(20));
        })
        .contains("wrapped too often")
    );
    assert!(refusal(raw(b"\x80\x02N.")).contains("None"));
    assert!(refusal(raw(b"\x80\x02}.")).contains("a dictionary, which is empty"));
    assert!(
        refusal(pickled(|p| {
            p.0.extend(b"}(");
            for _ in 0..2 {
                p.text("w");
                p.view("FloatStorage", "0", 6, 0, &[6], &[1]);
            }
            p.op(b'u');
        }))
        .contains("`w` occurs twice")
    );
    // A number names a tensor as well as a word does.
    let numbered = pickled(|p| {
        p.0.extend(b"}(");
        p.int(3);
        p.view("FloatStorage", "0", 6, 0, &[6], &[1]);
        p.op(b'u');
    });
    assert_eq!(numbered.unwrap().keys().collect::<Vec<_>>(), ["3"]);
}

#[test]
fn hostile_pickles() {
    let bad = |pickle: &[u8]| refusal(raw(pickle));
    assert!(bad(b"").contains("ends too early"));
    assert!(bad(b"\x80\x02").contains("ends too early"));
    assert!(bad(b".").contains("stack is empty"));
    assert!(bad(b"0").contains("no mark"));
    assert!(bad(b"N(0.").contains("None"));
    for op in [b't', b'l', b'd', b'e', b'u', b'1', b'o', 0x90, 0x91] {
        assert!(bad(&[op]).contains("no mark"), "{op:#x}");
    }
    for op in [b'2', b'a', b's', b'R', b'b', b'Q', 0x81, 0x85, 0x86, 0x87, 0x92, 0x93, 0x94, b'q'] {
        assert!(bad(&[op, 0]).contains("stack is empty"), "{op:#x}");
        // What lies below a mark is out of reach.
        assert!(bad(&[b'N', b'N', b'N', b'(', op, 0]).contains("stack is empty"), "{op:#x}");
    }
    assert!(bad(b"h\x07.").contains("memo 7 was never set"));
    assert!(bad(b"j\xff\xff\xff\xff.").contains("memo 4294967295"));
    assert!(bad(b"g12\n.").contains("memo 12"));
    assert!(bad(b"g-1\n.").contains("memo number"));
    assert!(bad(b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff.").contains("None"));
    assert!(bad(b"N(tr").contains("ends too early"));
    assert!(bad(b"X\xff\xff\xff\xff").contains("ends too early"));
    assert!(bad(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff").contains("ends too early"));
    assert!(bad(b"\x8b\xff\xff\xff\xff").contains("ends too early"));
    assert!(bad(b"cos\nsystem").contains("within a line"));
    assert!(bad(b"c\xff\nx\n").contains("UTF-8"));
    assert!(bad(b"\x82\x01.").contains("extension"));
    assert!(bad(b"\x97.").contains("buffers"));
    assert!(bad(b"\xff").contains("0xff is not an instruction"));
    assert!(bad(b"}(Nu.").contains("no value"));
    assert!(bad(b"(Nd.").contains("no value"));
    assert!(bad(b"NNa.").contains("added to None"));
    assert!(bad(b"NN\x93.").contains("not a string"));
    assert!(bad(b"(o.").contains("no class"));
    assert!(bad(b"Ix\n.").contains("not a number"));
    assert!(bad(b"ccollections\nOrderedDict\n]N\x61\x85R.").contains("pairs"));
    // Calls are described, never made; what is set on their results is ignored.
    assert!(bad(b"cos\nsystem\n(Vtouch x\ntR}(NNub.").contains("an object of `os.system`"));
    assert!(bad(b"(Vtouch x\nios\nsystem\n.").contains("an object of `os.system`"));
    assert!(bad(b"cbuiltins\nset\n)\x81]a.").contains("an object of `builtins.set`"));
    assert!(bad("(V\u{1b}[2J\nic\u{1b}]0;x\ny\n.".as_bytes()).contains("\\u{1b}]0;x"));
}

#[test]
fn deep_nesting_and_cycles_are_harmless() {
    const DEPTH: usize = 1_000_000;
    let mut nested = b"]".repeat(DEPTH);
    nested.extend(b"a".repeat(DEPTH - 1));
    nested.push(b'.');
    assert!(refusal(raw(&nested)).contains("out of all proportion"));
    let mut tuples = b")".to_vec();
    tuples.extend(b"\x85".repeat(DEPTH));
    tuples.push(b'.');
    assert!(refusal(raw(&tuples)).contains("out of all proportion"));
    let mut calls = b"N".to_vec();
    calls.extend(b"Q".repeat(DEPTH));
    calls.push(b'.');
    assert!(refusal(raw(&calls)).contains("storage without"));
    assert!(refusal(raw(b"]q\x00h\x00a.")).contains("a list"));
    assert!(refusal(raw(b"}q\x00X\x05\x00\x00\x00modelh\x00s.")).contains("`model` is a dictionary"));
    // Marks and copies of the top cost nothing in the file; both are bounded.
    let start = Instant::now();
    assert!(refusal(raw(&b"(".repeat(5_000_000))).contains("more than"));
    let mut copies = b"N".to_vec();
    copies.extend(b"2".repeat(5_000_000));
    assert!(refusal(raw(&copies)).contains("more than"));
    assert!(refusal(raw(&b"N0".repeat(5_000_000))).contains("more than"));
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn zip_archives_that_lie() {
    let mut pickle = Pickle(vec![0x80, 2, b'}']);
    pickle.text("w");
    pickle.view("FloatStorage", "0", 6, 0, &[6], &[1]);
    pickle.0.extend(b"s.");
    let good = archive(&pickle.0);
    assert_eq!(load(good.clone()).unwrap().len(), 1);
    // Sizes in the central directory: packed at 20, unpacked at 24 of every record.
    let records: Vec<usize> = (0..good.len() - 4).filter(|&i| good[i..].starts_with(b"PK\x01\x02")).collect();
    assert_eq!(records.len(), 4);
    for at in [20, 24] {
        for size in [0u32, 1, 25, 1 << 20, u32::MAX - 1] {
            let mut file = good.clone();
            file[records[2] + at..records[2] + at + 4].copy_from_slice(&size.to_le_bytes());
            let reason = refusal(load(file));
            assert!(reason.contains("wrong") || reason.contains("damaged"), "{reason}");
        }
    }
    let mut file = good.clone();
    file[records[2] + 42..records[2] + 46].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    assert!(refusal(load(file)).contains("damaged"));
    // Inflated, an entry may not be larger than it says, nor than any honest file.
    let mut file = Cursor::new(Vec::new());
    write_archive(&mut file, &pickle.0, &storage(), Deflated);
    let mut file = file.into_inner();
    let record = (0..file.len()).filter(|&i| file[i..].starts_with(b"PK\x01\x02")).nth(2).unwrap();
    for size in [8u32, 20, 28] {
        file[record + 24..record + 28].copy_from_slice(&size.to_le_bytes());
        let reason = refusal(load(file.clone()));
        assert!(reason.contains("wrong") || reason.contains("damaged"), "{reason}");
    }
    file[record + 24..record + 28].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    assert!(refusal(load(file)).contains("out of all proportion"));
    let mut other = zip::ZipWriter::new(Cursor::new(Vec::new()));
    other.start_file("readme.txt", zip::write::SimpleFileOptions::default().compression_method(Stored)).unwrap();
    assert!(refusal(load(other.finish().unwrap().into_inner())).contains("no `data.pkl`"));
}

#[test]
fn streams_that_lie() {
    let good = fs::read(fixture("pth/views_legacy.pth")).unwrap();
    load(good.clone()).unwrap();
    let find = |bytes: &[u8]| (0..good.len()).find(|&i| good[i..].starts_with(bytes)).unwrap();
    let with = |at: usize, byte: u8| {
        let mut file = good.clone();
        file[at] = byte;
        refusal(load(file))
    };
    assert!(with(5, 0).contains("not one of torch.save"));
    assert!(with(find(b"M\xe9\x03") + 1, 0).contains("version"));
    let order = find(b"little_endian") + b"little_endian".len();
    let flag = order + good[order..].iter().position(|&b| b == 0x88).unwrap();
    assert!(with(flag, 0x89).contains("big-endian"));
    // The first storage's number of elements stands after the last pickle, whose list ends with `e.`.
    let sizes = good.windows(2).rposition(|pair| pair == b"e.").unwrap() + 2;
    assert!(with(sizes, 99).contains("wrong"));
    assert!(refusal(load(good[..good.len() - 1].to_vec())).contains("ends within its storage"));
}
