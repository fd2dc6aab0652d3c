use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default)]
struct Config {
    in_channels: usize,
    attention_head_dim: OneOrMany<usize>,
    transformer_layers_per_block: OneOrMany<OneOrMany<usize>>,
    down_block_types: Vec<String>,
    #[serde(deserialize_with = "null_as_false")]
    use_quant_conv: bool,
    mid_block_type: Option<String>,
    norm_eps: f64,
    sample_size: Option<Size2>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            in_channels: 4,
            attention_head_dim: OneOrMany::One(8),
            transformer_layers_per_block: OneOrMany::One(OneOrMany::One(1)),
            down_block_types: vec!["DownBlock2D".into()],
            use_quant_conv: true,
            mid_block_type: Some("UNetMidBlock2DCrossAttn".into()),
            norm_eps: 1e-5,
            sample_size: None,
        }
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    ConfigFile::from_text("unet/config.json", text)?.parse()
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn missing_keys_are_defaults_and_unknown_keys_are_ignored() {
    let config = parse(
        r#"{"_class_name": "X", "_diffusers_version": 3, "decay": 0.9999, "in_channels": 9}"#,
    )
    .unwrap();
    assert_eq!(config, Config { in_channels: 9, ..Default::default() });
    let file =
        ConfigFile::from_text("config.json", r#"{"_class_name": "UNet2DConditionModel"}"#).unwrap();
    assert_eq!(file.class_name(), Some("UNet2DConditionModel"));
}

#[test]
fn null_is_none_and_false_but_no_number() {
    let config = parse(r#"{"use_quant_conv": null, "mid_block_type": null}"#).unwrap();
    assert_eq!(
        config,
        Config { use_quant_conv: false, mid_block_type: None, ..Default::default() }
    );
    assert_eq!(
        error(r#"{"in_channels": null}"#),
        "unet/config.json: `in_channels` is null, expected usize"
    );
}

#[test]
fn one_or_many_takes_numbers_lists_and_lists_of_lists() {
    let config =
        parse(r#"{"attention_head_dim": [5, 10], "transformer_layers_per_block": [1, [2, 3]]}"#)
            .unwrap();
    assert_eq!(config.attention_head_dim, OneOrMany::Many(vec![5, 10]));
    let nested = OneOrMany::Many(vec![OneOrMany::One(1), OneOrMany::Many(vec![2, 3])]);
    assert_eq!(config.transformer_layers_per_block, nested);
    assert_eq!(config.attention_head_dim.expand(2).unwrap(), [5, 10]);
    assert_eq!(OneOrMany::One(8).expand(3).unwrap(), [8, 8, 8]);
    let wrong = config.attention_head_dim.expand(4).unwrap_err();
    assert_eq!(wrong.to_string(), "expected one value or 4, found 2");
    assert_eq!(serde_json::to_string(&nested).unwrap(), "[1,[2,3]]");
}

#[test]
fn sizes_are_one_number_or_two() {
    let size = |text: &str| {
        parse(&format!(r#"{{"sample_size": {text}}}"#)).map(|config| config.sample_size)
    };
    assert_eq!(size("64").unwrap(), Some(Size2::square(64)));
    assert_eq!(size("[64, 96]").unwrap(), Some(Size2 { height: 64, width: 96 }));
    assert_eq!(size("null").unwrap(), None);
    assert!(
        size("[1, 2, 3]")
            .unwrap_err()
            .to_string()
            .contains("expected one size or [height, width], found [1, 2, 3]")
    );
}

#[test]
fn a_wrong_type_names_file_key_expectation_and_finding() {
    for (text, expected) in [
        (r#"{"in_channels": "four"}"#, "`in_channels` is string \"four\", expected usize"),
        (r#"{"in_channels": 4.5}"#, "`in_channels` is floating point `4.5`, expected usize"),
        (r#"{"norm_eps": []}"#, "`norm_eps` is sequence, expected f64"),
        (r#"{"attention_head_dim": "8"}"#, "`attention_head_dim` is string \"8\", expected usize"),
        (
            r#"{"attention_head_dim": {}}"#,
            "`attention_head_dim` is map, expected a value or a list",
        ),
        (
            r#"{"down_block_types": ["A", 3]}"#,
            "`down_block_types[1]` is integer `3`, expected a string",
        ),
        (r#"{"use_quant_conv": 1}"#, "`use_quant_conv` is integer `1`, expected a boolean"),
    ] {
        assert_eq!(error(text), format!("unet/config.json: {expected}"));
    }
    assert!(
        error(r#"{"in_channels": -4}"#)
            .starts_with("unet/config.json: `in_channels`: invalid value: integer `-4`")
    );
}

#[test]
fn malformed_json_has_a_line_and_a_column() {
    assert_eq!(
        error("{\n  \"in_channels\": 4,\n}"),
        "unet/config.json, line 3, column 1: malformed JSON: trailing comma"
    );
    assert!(error("").contains("line 1, column 0: malformed JSON: EOF"));
    assert!(error("{} {}").contains("malformed JSON: trailing characters"));
    assert!(error("<html>").contains("malformed JSON: expected value"));
    assert!(error("[1]").contains("is sequence, expected a map"));
    assert!(error(&"[".repeat(100_000)).starts_with("unet/config.json"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = ConfigFile::open(directory.path().join("config.json")).unwrap_err();
    assert!(matches!(missing, ConfigError::NotFound { .. }), "{missing}");
    let not_a_file = ConfigFile::open(directory.path()).unwrap_err();
    assert!(matches!(not_a_file, ConfigError::Io { .. }), "{not_a_file}");
    let path = directory.path().join("config.json");
    std::fs::write(&path, b"{\"in_channels\": \xff}").unwrap();
    assert!(matches!(ConfigFile::open(&path), Err(ConfigError::Malformed { .. })));
    std::fs::write(&path, b"\xef\xbb\xbf{\"in_channels\": 5}").unwrap();
    assert_eq!(ConfigFile::open(&path).unwrap().parse::<Config>().unwrap().in_channels, 5);
}

#[test]
fn the_last_of_repeated_keys_counts() {
    assert_eq!(parse(r#"{"in_channels": 4, "in_channels": 9}"#).unwrap().in_channels, 9);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_value_panics(value in "(null|true|-1|1e400|\"x\"|\\[\\]|\\{\\}|\\[1,\\[2\\]\\]|18446744073709551616)", key in 0usize..8) {
        let keys = ["in_channels", "attention_head_dim", "transformer_layers_per_block", "down_block_types",
            "use_quant_conv", "mid_block_type", "norm_eps", "sample_size"];
        let _ = parse(&format!("{{\"{}\": {value}}}", keys[key]));
    }
}
