//! Token ids and values that a model cannot take, and new embeddings.

use burn::tensor::{DType, Tensor};
use sd_clip::{ClipTextError, EosToken, TextFeatures};

use crate::{B, load};

#[test]
fn ids_have_to_have_an_embedding_and_a_position() {
    let model = load("texts/prefixed");
    let error = |prompts: &[Vec<u32>]| model.forward(prompts, EosToken::default()).unwrap_err();
    assert_eq!(error(&[]), ClipTextError::Empty);
    assert_eq!(error(&[vec![63; 78]]), ClipTextError::TooLong { max: 77, found: 78 });
    let unknown = error(&[vec![62, 1, 63], vec![62, 64, 63]]);
    assert_eq!(unknown.to_string(), "token id 64 at place 1 of prompt 1, expected ids below 64");
    let ragged = error(&[vec![62, 1, 63], vec![62, 63]]);
    assert_eq!(ragged.to_string(), "prompt 1 has 2 token ids, expected 3 as the first has");
    assert_eq!(error(&[vec![62, 1]]), ClipTextError::NoEos { prompt: 0, eos: 63 });
    assert!(model.forward(&[vec![63; 77]], EosToken::default()).is_ok());
}

#[test]
fn a_state_has_to_be_left() {
    let model = load("texts/prefixed");
    let output = model.forward(&[[62, 5, 63]], EosToken::default()).unwrap();
    let features = |features, skip| model.features(&output, features, Some(skip)).map(|_| ());
    assert_eq!(features(TextFeatures::LastNormalized, 2), Ok(()));
    for (kind, max) in [(TextFeatures::LastNormalized, 2), (TextFeatures::Penultimate, 1)] {
        assert_eq!(features(kind, max), Ok(()));
        for found in [max + 1, usize::MAX] {
            assert_eq!(features(kind, found), Err(ClipTextError::ClipSkip { max, found }));
        }
    }
}

#[test]
fn new_tokens_take_part_and_leave_the_others_alone() {
    let mut model = load("texts/prefixed");
    let prompt = |id| [[62, 7, id, 63, 0]];
    let before = model.forward(&prompt(9), EosToken::Id(63)).unwrap();
    let table = model.token_embedding();
    let row = table.clone().narrow(0, 9, 1);
    model.set_token_embedding(Tensor::cat(vec![table, row], 0)).unwrap();
    assert_eq!(model.vocabulary(), 65);
    for id in [9, 64] {
        let after = model.forward(&prompt(id), EosToken::Id(63)).unwrap();
        assert_eq!(after.last_hidden_state.into_data(), before.last_hidden_state.to_data());
        assert_eq!(after.pooled.into_data(), before.pooled.to_data());
    }
    // Transformers' rule for configurations that say 2 would pool at the new token.
    let highest = model.forward(&prompt(64), EosToken::HighestId).unwrap();
    assert_ne!(highest.pooled.into_data(), before.pooled.into_data());
}

#[test]
fn a_table_has_the_models_width() {
    let mut model = load("texts/prefixed");
    for found in [[64, 15], [0, 16]] {
        let table = Tensor::<B, 2>::zeros(found, (&Default::default(), DType::F32));
        let error = model.set_token_embedding(table).unwrap_err();
        assert_eq!(error, ClipTextError::EmbeddingShape { width: 16, found });
    }
}
