//! `webmamba ablate` and `webmamba bench --ops scan`: what they print, not how fast anything is.

use serde_json::{Value, json};

use super::webmamba;

/// The paper's names of its rows, in its order.
const ROWS: [&str; 12] = [
    "baseline",
    "input_gate",
    "forget_gate",
    "shortcut",
    "no_normalization",
    "single_head",
    "block",
    "ape",
    "lepe",
    "cpe",
    "rope",
    "mila",
];

#[test]
fn ablate_has_a_row_for_each_switch_beside_the_papers() {
    let report = webmamba(&["ablate", "--device", "cpu", "--rounds", "1", "--json"]).expect(0).json().remove(0);
    assert_eq!(
        (&report["device"], &report["adapter"], &report["batch"], &report["rounds"]),
        (&json!("cpu"), &Value::Null, &json!(1), &json!(1))
    );
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>(), ROWS);
    for row in rows {
        // The paper rounds.
        let paper = &row["paper"];
        let off = row["parameters"].as_f64().unwrap() - paper["parameters"].as_f64().unwrap();
        assert!(off.abs() < 1.6e6, "{row}");
        let work = row["macs"].as_f64().unwrap() / paper["flops"].as_f64().unwrap();
        assert!((0.9..1.1).contains(&work), "{row}");
        assert!(row["images_per_s"].as_f64() > Some(0.0) && row["of_baseline"].as_f64() > Some(0.0));
        assert!((0.0..0.9).contains(&row["scan_share"].as_f64().unwrap()), "{row}");
    }
    assert_eq!((&rows[0]["of_baseline"], &rows[0]["paper"]["of_baseline"]), (&json!(1.0), &json!(1.0)));
    assert_eq!((&rows[2]["paper"]["of_baseline"], &rows[2]["paper"]["top1"]), (&json!(0.645), &json!(78.4)));
    // Nobody has published how fast MILA-T is on the same machine.
    assert_eq!((&rows[11]["paper"]["images_per_s"], &rows[11]["paper"]["of_baseline"]), (&Value::Null, &Value::Null));
}

#[test]
fn ablate_prints_the_rows_that_are_asked_for_as_a_table() {
    let text =
        webmamba(&["ablate", "--device", "cpu", "--size", "64", "--rounds", "1", "--only", "rope,forget_gate", "--batch", "2"])
            .expect(0)
            .stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].ends_with("paper") && lines[1].contains("images/s  of baseline") && lines[1].ends_with("top-1"), "{text}");
    assert!(lines[2].starts_with("+ forget gate ") && lines[2].ends_with("29M   4.8G       743       64.5 %  78.4"), "{text}");
    assert!(lines[3].starts_with("+ RoPE ") && lines[3].ends_with("96.6 %  80.0"), "{text}");
}

#[test]
fn ablate_refuses_rows_and_sizes_that_there_are_not() {
    webmamba(&["ablate", "--only", "softmax"]).expect(2).says(&["`softmax`", "forget_gate", "mila"]);
    webmamba(&["ablate", "--rounds", "0"]).expect(2).says(&["--rounds"]);
    webmamba(&["ablate", "--size", "wide"]).expect(2).says(&["--size"]);
    webmamba(&["ablate", "--device", "tpu"]).expect(2).says(&["tpu"]);
}

#[test]
fn scans_are_timed_over_lengths_states_and_ways() {
    let report = webmamba(&["bench", "--ops", "scan", "--device", "cpu", "--json"]).expect(0).json().remove(0);
    assert_eq!((&report["device"], &report["channels"]), (&json!("cpu"), &json!(192)));
    let scans = report["scans"].as_array().unwrap();
    let cases: Vec<[u64; 2]> = scans.iter().map(|scan| ["states", "tokens"].map(|key| scan[key].as_u64().unwrap())).collect();
    let lengths = [49, 196, 784, 1024, 1600, 3136, 6400, 16_384];
    assert_eq!(cases, [1, 16].map(|states| lengths.map(|tokens| [states, tokens])).concat());
    for scan in scans {
        let ways = scan["directions"].as_array().unwrap();
        let said: Vec<[&Value; 2]> = ways.iter().map(|way| [&way["columns"], &way["reversed"]]).collect();
        assert_eq!(json!(said), json!([[false, false], [false, true], [true, false], [true, true]]));
        assert_eq!(scan["dispatches"], 1);
        // u, delta and the result of 192 channels; B and C.
        let bytes = 4 * scan["tokens"].as_u64().unwrap() * (3 * 192 + 2 * scan["states"].as_u64().unwrap());
        assert_eq!(scan["bytes"].as_u64(), Some(bytes));
        for way in ways {
            let rate = bytes as f64 / way["ms"].as_f64().unwrap() / 1e6;
            // Both are rounded to three places.
            assert!((rate / way["gb_per_s"].as_f64().unwrap() - 1.0).abs() < 0.1, "{scan}");
        }
        assert!(scan["copy_ms"].as_f64() > Some(0.0) && scan["copy_gb_per_s"].as_f64() > Some(0.0));
    }
}

#[test]
fn activations_in_f16_take_less_memory_and_want_a_gpu_that_has_it() {
    let bench = |more: &[&str]| webmamba(&[&["bench", "mamba_vision_nano", "--iters", "1", "--json"], more].concat());
    let [whole, auto, half] = ["f32", "auto", "f16"]
        .map(|precision| bench(&["--adapter", "llvmpipe", "--precision", precision]).expect(0).json().remove(0));
    assert_eq!((&whole["dtype"], &auto["dtype"], &half["dtype"]), (&json!("f32"), &json!("f32"), &json!("f16")));
    assert!(half["activation_bytes"].as_u64() < whole["activation_bytes"].as_u64(), "{half} {whole}");
    bench(&["--device", "cpu", "--precision", "f16"]).expect(2).says(&["f16 needs a GPU"]);
    bench(&["--adapter", "SwiftShader", "--precision", "f16"]).expect(2).says(&["SwiftShader", "shader-f16", "f32"]);
    bench(&["--precision", "f8"]).expect(2).says(&["f8"]);
}

#[test]
fn scans_are_timed_without_a_model() {
    let text = webmamba(&["bench", "--ops", "scan", "--device", "cpu"]).expect(0).stdout;
    assert_eq!(text.lines().count(), 2 + 16, "{text}");
    assert!(
        text.starts_with("192 channels; milliseconds, and GB/s") && text.contains("by columns") && text.contains("a copy, GB/s")
    );
    let together =
        |more: &[&str]| webmamba(&[&["bench", "--ops", "scan"], more].concat()).expect(2).says(&["cannot be used with"]);
    together(&["--synthetic", "--arch", "mila_t"]);
    together(&["--size", "64"]);
    together(&["--profile"]);
    webmamba(&["bench", "--ops", "gemm"]).expect(2).says(&["gemm", "scan"]);
}
