//! Whole models against transformers (`scripts/golden/texts.py`).

use sd_clip::{ClipTextModel, ClipTextOutput, EosToken, TextFeatures};

use crate::{B, golden::Golden, load};

/// Runs a model and compares every hidden state.
fn check(
    model: &str,
    golden: &str,
    eos: EosToken,
) -> (ClipTextModel<B>, Golden, ClipTextOutput<B>) {
    let (model, golden) = (load(model), Golden::open(golden));
    let output = model.forward(&golden.ids("input.ids"), eos).unwrap();
    assert_eq!(output.hidden_states.len(), golden.names("output.hidden_states.").len());
    assert_eq!(output.hidden_states.len(), model.config().num_hidden_layers + 1);
    for (index, state) in output.hidden_states.iter().enumerate() {
        golden.assert_close(&format!("output.hidden_states.{index}"), state.clone());
    }
    golden.assert_close("output.last_hidden_state", output.last_hidden_state.clone());
    let features = |skip| model.features(&output, TextFeatures::LastNormalized, skip).unwrap();
    golden.assert_close("output.last_hidden_state", features(None));
    golden.assert_close("output.last_hidden_state", features(Some(0)));
    golden.assert_close("output.clip_skip_1", features(Some(1)));
    (model, golden, output)
}

#[test]
fn like_stable_diffusion_1() {
    let (_, golden, output) =
        check("tiny-sd1/text_encoder", "text_sd1.safetensors", EosToken::Id(753));
    golden.assert_close("output.pooled", output.pooled);
    assert!(output.text_embeds.is_none());
}

#[test]
fn like_stable_diffusion_2() {
    for eos in [EosToken::FromConfig, EosToken::HighestId, EosToken::Id(753)] {
        let (model, golden, output) = check("tiny-sd2/text_encoder", "text_sd2.safetensors", eos);
        golden.assert_close("output.pooled", output.pooled);
        assert_eq!(model.config().eos_token_id, Some(2));
        assert!(output.text_embeds.is_none());
    }
}

#[test]
fn with_a_projection_and_without_the_prefix() {
    for model in ["texts/with-projection", "texts/with-projection-bare"] {
        let golden = "texts/with-projection/golden.safetensors";
        let (_, golden, output) = check(model, golden, EosToken::default());
        golden.assert_close("output.text_embeds", output.text_embeds.unwrap());
    }
}

#[test]
fn with_the_prefix_and_stray_position_ids() {
    let golden = "texts/prefixed/golden.safetensors";
    let (_, golden, output) = check("texts/prefixed", golden, EosToken::FromConfig);
    golden.assert_close("output.pooled", output.pooled);
}

#[test]
fn the_penultimate_state_is_not_normalized() {
    let golden = "texts/with-projection/golden.safetensors";
    let (model, golden, output) = check("texts/with-projection", golden, EosToken::default());
    let features = |skip| model.features(&output, TextFeatures::Penultimate, skip).unwrap();
    golden.assert_close("output.hidden_states.1", features(None));
    golden.assert_close("output.hidden_states.0", features(Some(1)));
}

#[test]
fn shorter_prompts_are_beginnings_of_longer_ones() {
    let (model, golden) =
        (load("texts/prefixed"), Golden::open("texts/prefixed/golden.safetensors"));
    let ids = &golden.ids("input.ids")[0][..10];
    let output = model.forward(&[ids], EosToken::Id(63)).unwrap();
    let expected = golden.tensor::<3>("output.last_hidden_state").slice([0..1, 0..10]);
    let (expected, found) = (expected.into_data(), output.last_hidden_state.into_data());
    assert!(crate::golden::relative_l2(&expected, &found) < 1e-5);
}
