//! Every layer kind against diffusers: largest error at most 1e-4 of the largest value.

use burn::tensor::DType;
use sd_kernels::{Activation, AttentionMask, Epilogue, Padding, ops};
use sd_nn::{
    AttentionConfig, Conv2dConfig, Downsample2DConfig, EmbeddingConfig, FeedForwardConfig,
    GroupNormConfig, LayerNormConfig, LinearConfig, ResnetBlock2DConfig, Sinusoidal,
    TimeScaleShift, TimestepEmbeddingConfig, Transformer2DConfig, Upsample2DConfig,
};

use crate::case::{B, Case};

/// Makes a test of each case by a function of the case.
macro_rules! cases {
    ($check:ident: $($name:ident)*) => {$(
        #[test]
        fn $name() {
            $check(Case(stringify!($name)));
        }
    )*};
}

cases!(sinusoidal: timestep_sd timestep_plain timestep_flip_shift timestep_wide time_ids);

fn sinusoidal(case: Case) {
    let features = Sinusoidal {
        width: case.count("embedding_dim"),
        flip_sin_to_cos: case.value("flip_sin_to_cos").as_bool().unwrap(),
        freq_shift: case.float("downscale_freq_shift"),
    };
    let rows = |values: Vec<f64>| features.tensor::<B>(&values, DType::F32, &Default::default());
    if case.0 != "time_ids" {
        let values = case.tensor::<1>("input").into_data().iter().collect();
        return case.check(rows(values));
    }
    // Each number by itself, then side by side.
    let ids = case.tensor::<2>("input");
    let [batch, count] = ids.dims();
    let output = rows(ids.into_data().iter().collect());
    case.check(output.reshape([batch, count * features.width]));
}

cases!(timestep_embedding: timestep_mlp timestep_mlp_condition);

fn timestep_embedding(case: Case) {
    let condition = (case.0 == "timestep_mlp_condition").then(|| case.tensor::<2>("condition"));
    let config = TimestepEmbeddingConfig {
        condition: condition.as_ref().map(|condition| condition.dims()[1]),
        ..TimestepEmbeddingConfig::new(8, 16)
    };
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check(layer.forward(case.tensor("input"), condition, Epilogue::new()));
}

#[test]
fn linear() {
    let case = Case("linear");
    let layer = case.load(LinearConfig::new(6, 10).init::<B>(&Default::default()));
    case.check(layer.forward(case.tensor::<3>("input")));
}

#[test]
fn linear_no_bias() {
    let case = Case("linear_no_bias");
    let config = LinearConfig::new(6, 10).without_bias();
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check(layer.forward(case.tensor::<3>("input")));
}

cases!(conv: conv_3x3 conv_3x3_stride2 conv_3x3_no_padding conv_1x1 conv_3x3_stride2_asymmetric);

fn conv(case: Case) {
    let side = |index: usize| case.value("padding")[index].as_u64().unwrap() as usize;
    let padding = Padding { left: side(0), right: side(1), top: side(2), bottom: side(3) };
    let config = Conv2dConfig::new(6, 8, case.count("kernel"));
    let config = config.stride(case.count("stride")).padding(padding);
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check_image(layer.forward(case.image("input")));
}

cases!(group_norms: group_norm group_norm_one_group group_norm_large_eps);

fn group_norms(case: Case) {
    let config =
        GroupNormConfig { groups: case.count("groups"), channels: 8, eps: case.float("eps") };
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check_image(layer.forward(case.image("input")));
}

cases!(layer_norms: layer_norm layer_norm_large_eps);

fn layer_norms(case: Case) {
    let config = LayerNormConfig { channels: 12, eps: case.float("eps") };
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check(layer.forward(case.tensor::<3>("input")));
}

#[test]
fn embedding() {
    let case = Case("embedding");
    let config = EmbeddingConfig { entries: 9, width: 6 };
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check(layer.forward(case.integers("input")));
}

cases!(activation: silu gelu gelu_tanh quick_gelu);

fn activation(case: Case) {
    let kind: Activation = case.0.parse().unwrap();
    let input = case.tensor::<1>("input").unsqueeze::<2>();
    let output = ops::epilogue(input, Epilogue::new().activation(kind));
    case.check(output.squeeze_dim::<1>(0));
}

#[test]
fn geglu() {
    let case = Case("geglu");
    let layer = LinearConfig::new(6, 20).init::<B>(&Default::default());
    let layer = case.load_from(layer, "proj.");
    let epilogue = Epilogue::new().gated(Activation::Gelu);
    case.check(layer.forward_with(case.tensor::<3>("input"), epilogue));
}

#[test]
fn feed_forward() {
    let case = Case("feed_forward");
    let layer = case.load(FeedForwardConfig::geglu(6).init::<B>(&Default::default()));
    case.check(layer.forward(case.tensor("input"), None));
}

cases!(resnets: resnet resnet_shortcut resnet_scale_shift resnet_output_scale resnet_vae);

fn resnets(case: Case) {
    let config = ResnetBlock2DConfig {
        input: case.count("in_channels"),
        output: case.count("out_channels"),
        time_embedding: case.value("temb_channels").as_u64().map(|width| width as usize),
        groups: case.count("groups"),
        eps: case.float("eps"),
        activation: case.value("non_linearity").as_str().unwrap().parse().unwrap(),
        time_scale_shift: match case.value("time_embedding_norm").as_str() {
            Some("scale_shift") => TimeScaleShift::ScaleShift,
            _ => TimeScaleShift::Default,
        },
        output_scale_factor: case.value("output_scale_factor").as_f64().unwrap_or(1.0),
    };
    let layer = case.load(config.init::<B>(&Default::default()));
    // diffusers activates the embedding in the block, a model of ours before all blocks.
    let time = config.time_embedding.map(|_| {
        ops::epilogue(case.tensor::<2>("temb"), Epilogue::new().activation(config.activation))
    });
    case.check_image(layer.forward(case.image("input"), time.as_ref()));
}

cases!(down: downsample downsample_odd downsample_vae downsample_vae_odd);

fn down(case: Case) {
    let padding = match case.count("padding") {
        0 => Padding::end(1),
        pixels => Padding::same(pixels),
    };
    let config = Downsample2DConfig { channels: 6, padding };
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check_image(layer.forward(case.image("input")));
}

cases!(up: upsample upsample_to_size);

fn up(case: Case) {
    let size = case
        .value("output_size")
        .as_array()
        .map(|size| [size[0].as_u64().unwrap() as usize, size[1].as_u64().unwrap() as usize]);
    let layer = case.load(Upsample2DConfig { channels: 6 }.init::<B>(&Default::default()));
    case.check_image(layer.forward(case.image("input"), size));
}

cases!(attention: attention_self attention_cross attention_cross_mask);

fn attention(case: Case) {
    let context = (case.0 != "attention_self").then(|| case.tensor::<3>("context"));
    let mask = match case.0 {
        "attention_cross_mask" => {
            AttentionMask::Additive(case.tensor::<3>("mask").unsqueeze_dim(1))
        }
        _ => AttentionMask::None,
    };
    let width = context.as_ref().map_or(12, |context| context.dims()[2]);
    let config = AttentionConfig::new(12, case.count("heads"), 4).context_dim(width);
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check(layer.forward(case.tensor("input"), context, mask, None));
}

#[test]
fn attention_vae() {
    let case = Case("attention_vae");
    let config = AttentionConfig {
        qkv_bias: true,
        group_norm: Some((case.count("groups"), case.float("eps"))),
        ..AttentionConfig::new(8, case.count("heads"), 8)
    };
    let layer = case.load(config.init::<B>(&Default::default()));
    case.check_image(layer.forward_image(case.image("input")));
}

fn transformer_config(case: &Case) -> Transformer2DConfig {
    let flag = |key| case.value(key).as_bool().unwrap_or(false);
    Transformer2DConfig {
        channels: 8,
        heads: case.count("heads"),
        head_dim: 4,
        layers: case.value("layers").as_u64().unwrap_or(1) as usize,
        context_dim: Some(6),
        groups: 2,
        linear_projection: flag("use_linear_projection"),
        only_cross_attention: flag("only_cross_attention"),
    }
}

cases!(block: transformer_block transformer_block_only_cross);

fn block(case: Case) {
    let layer = case.load(transformer_config(&case).init_block::<B>(&Default::default()));
    let context = case.tensor("context");
    case.check(layer.forward(case.tensor("input"), Some(&context), &AttentionMask::None));
}

cases!(transformer: spatial_transformer_conv spatial_transformer_linear);

fn transformer(case: Case) {
    let layer = case.load(transformer_config(&case).init::<B>(&Default::default()));
    let context = case.tensor("context");
    case.check_image(layer.forward(case.image("input"), Some(&context), &AttentionMask::None));
}
