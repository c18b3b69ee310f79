//! Label files.

use webmamba::{error::Error, labels::Labels};

fn all(labels: &Labels) -> Vec<&str> {
    (0..labels.len()).filter_map(|i| labels.get(i)).collect()
}

#[test]
fn imagenet() {
    let labels = Labels::imagenet1k();
    assert_eq!(labels.len(), 1000);
    for (index, name) in
        [(0, "tench"), (281, "tabby"), (504, "coffee mug"), (657, "missile"), (967, "espresso"), (999, "toilet tissue")]
    {
        assert_eq!(labels.get(index), Some(name));
    }
    assert_eq!(labels.get(1000), None);
    assert!(all(&labels).iter().all(|l| !l.is_empty() && l.trim() == *l));
}

#[test]
fn text_and_json_say_the_same() {
    for text in [
        "cat\ndog\nred fox\n",
        "\u{feff}cat\r\ndog\r\nred fox\r\n\r\n",
        "cat\ndog\nred fox",
        r#" ["cat", "dog", "red fox"]"#,
        r#"{"2": "red fox", "0": "cat", "1": "dog"}"#,
        r#"{"model_type": "x", "id2label": {"0": "cat", "1": "dog", "2": "red fox"}}"#,
    ] {
        let labels = Labels::parse("labels", text).unwrap();
        assert_eq!(all(&labels), ["cat", "dog", "red fox"], "{text}");
        assert!(!labels.is_empty());
    }
}

#[test]
fn errors_name_the_source_and_the_place() {
    for (text, place) in [
        ("", "no labels"),
        ("\n \n", "no labels"),
        ("[]", "no labels"),
        ("{}", "no labels"),
        ("cat\n\ndog", "line 2"),
        ("[\"cat\", 5]", "class 1"),
        ("[\"cat\"", "JSON"),
        (r#"{"0": "cat", "2": "dog"}"#, "index 2"),
        (r#"{"0": "cat", "00": "dog"}"#, "twice"),
        (r#"{"0": "cat", "99999999999999999999": "dog"}"#, "99999999999999999999"),
        (r#"{"cat": "0"}"#, "`cat`"),
        (r#"{"id2label": ["cat"]}"#, "id2label"),
        (r#"{"0": null}"#, "class 0"),
    ] {
        let error = Labels::parse("names.txt", text).unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, Error::Config { .. }) && message.contains("names.txt") && message.contains(place),
            "{text}: {message}"
        );
    }
}
