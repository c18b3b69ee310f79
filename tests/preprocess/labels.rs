//! Label files, and the colours of classes.

use std::collections::HashSet;

use webmamba::{Error, Labels, low_level::labels::palette};

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
        // As Keras has it.
        r#"{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"], "2": ["n02119022", "red fox"]}"#,
        r#"[["n02123045", "cat"], ["n02084071", "dog"], ["n02119022", "red fox"]]"#,
        // As torchvision has it.
        r#"{"dog": 1, "cat": 0, "red fox": 2}"#,
        r#"{"class_to_idx": {"dog": 1, "cat": 0, "red fox": 2}}"#,
        r#"{"classes": ["cat", "dog", "red fox"], "num_params": 5}"#,
        r#"{"categories": [" cat", "dog ", "red fox"]}"#,
        r#"{"label2id": {"dog": 1, "cat": 0, "red fox": 2}}"#,
        r#"{"label2id": {"dog": "1", "cat": "0", "red fox": "2"}}"#,
        r#"{"id2label": ["cat", "dog", "red fox"]}"#,
        r#"{"label_names": ["cat", "dog", "red fox"], "num_classes": 3}"#,
        // As Python prints it.
        "{0: 'cat',\n 1: \"dog\",\n 2: 'red fox'}",
        // Numbered lines, from 0 or 1, in any order, and ids in front.
        "0 cat\n1 dog\n2 red fox\n",
        "1: cat\n2: dog\n3: red fox\n",
        "2,red fox\n0,cat\n1,\"dog\"\n",
        "0\tcat\r\n1\tdog\r\n2\tred fox\r\n",
        "n02123045 cat\nn02084071 dog\nn02119022 red fox\n",
    ] {
        let labels = Labels::parse("labels", text).unwrap();
        assert_eq!(all(&labels), ["cat", "dog", "red fox"], "{text}");
        assert!(!labels.is_empty());
    }
}

/// Numbers that are no indices are part of the names.
#[test]
fn names_may_begin_with_numbers() {
    for text in [
        "1 dollar\n5 dollars\n10 dollars",
        "0\n1\n2",
        "7up\n8ball\n9th",
        "n02123045\nn02084071\nn02119022",
        "0 cat\n0 dog\n1 fox",
    ] {
        let labels = Labels::parse("labels", text).unwrap();
        assert_eq!(all(&labels), text.lines().collect::<Vec<_>>());
    }
}

#[test]
fn wordnet_ids_are_in_the_order_of_the_classes() {
    for (id, name) in [
        ("n01440764", "tench"),
        ("n02123045", "tabby"),
        ("n07930864", "cup"),
        ("n02963159", "cardigan"),
        ("n02113186", "Cardigan"),
        ("n15075141", "toilet tissue"),
    ] {
        let class = Labels::imagenet1k_class(id).unwrap();
        assert_eq!(Labels::imagenet1k().get(class), Some(name), "{id}");
    }
    assert_eq!(Labels::imagenet1k_class("n00000000"), None);
}

#[test]
fn errors_name_the_source_and_the_place() {
    for (text, place) in [
        ("", "no labels"),
        ("\n \n", "no labels"),
        ("[]", "no labels"),
        ("{}", "no labels"),
        ("cat\n\ndog", "line 2"),
        ("[\"cat\", null]", "class 1"),
        ("[\"cat\"", "JSON"),
        (r#"{"0": "cat", "2": "dog"}"#, "index 2"),
        (r#"{"0": "cat", "00": "dog"}"#, "twice"),
        (r#"{"0": "cat", "99999999999999999999": "dog"}"#, "99999999999999999999"),
        (r#"{"cat": "x"}"#, "`cat`"),
        (r#"{"id2label": "cat"}"#, "id2label"),
        (r#"{"0": null}"#, "class 0"),
        (r#"{"cat": 0, "dog": 2}"#, "index 2"),
        (r#"{"cat": 0, "dog": -1}"#, "-1"),
        (r#"{"cat": 0, "dog": 0}"#, "twice"),
        (r#"{"0": ["cat", "dog"]}"#, "class 0"),
        ("{0: 'cat', 2: 'dog'}", "index 2"),
    ] {
        let error = Labels::parse("names.txt", text).unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, Error::Config { .. }) && message.contains("names.txt") && message.contains(place),
            "{text}: {message}"
        );
    }
}

/// Those of ADE20K's authors where there are as many classes; of other numbers all apart.
#[test]
fn every_class_has_a_colour_of_its_own() {
    let ade20k = palette(150);
    assert_eq!((ade20k.len(), ade20k[0], ade20k[2], ade20k[149]), (150, [120, 120, 120], [6, 230, 230], [92, 0, 255]));
    for classes in [0, 1, 6, 21, 255] {
        let colours: HashSet<[u8; 3]> = palette(classes).into_iter().collect();
        assert_eq!(colours.len(), classes);
    }
}
