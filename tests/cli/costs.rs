//! `webmamba info --costs` and `webmamba bench --roofline`, and that docs/PERFORMANCE.md says what they say.

use serde_json::Value;

use super::webmamba;

const PERFORMANCE: &str = include_str!("../../docs/PERFORMANCE.md");

/// The operators of a report, the line of all of them apart.
fn operators(costs: &Value) -> (Vec<Value>, Value) {
    let mut lines = costs["ops"].as_array().unwrap().clone();
    let all = lines.pop().unwrap();
    assert_eq!(all["op"], "all");
    (lines, all)
}

#[test]
fn tables_of_the_documentation_are_what_the_command_prints() {
    let mut tables = 0;
    for block in PERFORMANCE.split("```\n$ webmamba ").skip(1) {
        let (command, table) = block.split_once('\n').unwrap();
        let arguments: Vec<&str> = command.split(' ').collect();
        let printed = webmamba(&arguments).expect(0).stdout;
        let (_, printed) = printed.split_once("\n\n").unwrap();
        assert_eq!(table.split_once("\n```").unwrap().0, printed.trim_end(), "{command}");
        tables += 1;
    }
    assert_eq!(tables, 6);
}

#[test]
fn times_on_paper_are_what_the_command_computes() {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let devices = cells(PERFORMANCE.lines().find(|line| line.starts_with("| a device with |")).unwrap());
    let mut rows = 0;
    for row in PERFORMANCE.lines().filter(|line| line.starts_with("| `")).map(cells) {
        for (device, expected) in devices.iter().zip(&row).skip(1) {
            let at = device.replace(" GB/s, ", ",").replace(" GFLOP/s", "");
            let facts = webmamba(&["info", row[0].trim_matches('`'), "--at", &at, "--json"]).expect(0).json().remove(0);
            let (_, all) = operators(&facts["costs"]);
            assert_eq!(&format!("{:.1}", all["ideal_ms"].as_f64().unwrap()), expected, "{row:?} {device}");
        }
        rows += 1;
    }
    assert_eq!(rows, 6);
}

#[test]
fn costs_of_all_operators_are_those_of_the_model() {
    let facts = webmamba(&["info", "mamba_vision_nano", "--costs", "--json"]).expect(0).json().remove(0);
    let (lines, all) = operators(&facts["costs"]);
    for key in ["count", "macs", "weights_bytes", "activation_bytes"] {
        assert_eq!(lines.iter().map(|line| line[key].as_u64().unwrap()).sum::<u64>(), all[key].as_u64().unwrap(), "{key}");
    }
    assert_eq!((&all["macs"], &all["weights_bytes"]), (&facts["macs"], &facts["weights_bytes"]));
    assert!(all.get("ideal_ms").is_none() && all.get("ms").is_none(), "{all}");
}

#[test]
fn rates_that_are_none_are_refused() {
    for at in ["60", "0,1", "60,", "60,-1", "fast,slow", "inf,1"] {
        webmamba(&["info", "mamba_vision_t", "--at", at]).expect(2).says(&["GB/s and GFLOP/s", "60,2000"]);
    }
}

#[test]
fn a_roofline_has_the_ideal_beside_the_measured_time() {
    let arguments = ["bench", "--roofline", "--device", "cpu", "--iters", "1", "--json"];
    let report = webmamba(&arguments).expect(0).json().remove(0);
    let roofline = &report["roofline"];
    let [bytes, operations] = ["gb_per_s", "gflops"].map(|key| roofline[key].as_f64().unwrap());
    assert!(bytes > 0.0 && operations == report["gemm_gflops"].as_f64().unwrap(), "{roofline}");
    let (lines, all) = operators(roofline);
    assert!(report.get("profile").is_none() && lines.len() > 5);
    let of = |line: &Value, key: &str| line[key].as_f64().unwrap();
    for line in lines.iter().chain([&all]) {
        // Not below what the sums alone would take, nor above both together.
        let parts =
            [(of(line, "weights_bytes") + of(line, "activation_bytes")) / bytes / 1e6, 2.0 * of(line, "macs") / operations / 1e6];
        let ideal = of(line, "ideal_ms");
        assert!(ideal >= parts[0].max(parts[1]) * 0.99 - 0.01 && ideal <= (parts[0] + parts[1]) * 1.01 + 0.01, "{line}");
        assert!((0.0..=1.0).contains(&of(line, "memory_share")) && of(line, "ms") >= 0.0, "{line}");
        assert!(
            of(line, "ms") < 0.1 || (of(line, "of_ideal") - ideal / of(line, "ms")).abs() < 0.02 * of(line, "of_ideal"),
            "{line}"
        );
    }
    for key in ["ideal_ms", "ms"] {
        let sum: f64 = lines.iter().map(|line| of(line, key)).sum();
        assert!((sum - of(&all, key)).abs() < 0.02, "{key}: {sum}, {all}");
    }
}
