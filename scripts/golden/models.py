"""The tiny models: the architecture of the real ones, a few channels wide, random weights."""

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from common import randomise

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"

# Keys that the configuration files of SD 1.5 hold; the others take the class defaults.
SD1_UNET_KEYS = """_class_name _diffusers_version act_fn attention_head_dim block_out_channels center_input_sample
cross_attention_dim down_block_types downsample_padding flip_sin_to_cos freq_shift in_channels layers_per_block
mid_block_scale_factor norm_eps norm_num_groups out_channels sample_size up_block_types""".split()
SD1_VAE_KEYS = """_class_name _diffusers_version act_fn block_out_channels down_block_types in_channels
latent_channels layers_per_block norm_num_groups out_channels sample_size up_block_types""".split()


def build_unet(seed: str, out_scale: float = 2.0, **config) -> UNet2DConditionModel:
    """A U-Net with random weights; `out_scale` brings the output near unit size."""
    return randomise(UNet2DConditionModel(**config), seed, {"conv_out.weight": out_scale})


def sd1_unet() -> UNet2DConditionModel:
    """As SD 1.5: heads as one number, 1x1 convolutions around the transformers."""
    return build_unet(
        "sd1-unet",
        sample_size=8,
        block_out_channels=(4, 8, 8),
        down_block_types=(CROSS, CROSS, PLAIN),
        up_block_types=(PLAIN_UP, CROSS_UP, CROSS_UP),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=16,
    )


def sd2_unet() -> UNet2DConditionModel:
    """As SD 2.1-768: heads as a list, linear projections, `upcast_attention`."""
    return build_unet(
        "sd2-unet",
        sample_size=8,
        block_out_channels=(4, 8, 8),
        down_block_types=(CROSS, CROSS, PLAIN),
        up_block_types=(PLAIN_UP, CROSS_UP, CROSS_UP),
        layers_per_block=2,
        norm_num_groups=2,
        attention_head_dim=[2, 4, 4],
        cross_attention_dim=12,
        use_linear_projection=True,
        upcast_attention=True,
        only_cross_attention=False,
        dual_cross_attention=False,
    )


def build_vae(seed: str, decoder_scale: float = 0.5, **config) -> AutoencoderKL:
    """A VAE with random weights whose decoded images stay within -1 to 1 for the most part."""
    scales = {"decoder.conv_out.weight": decoder_scale}
    return randomise(AutoencoderKL(**config), seed, scales)


def tiny_vae(seed: str, **changes) -> AutoencoderKL:
    """The VAE of SD 1.x and 2.x: four levels, so that one latent is 8 by 8 pixels."""
    config = dict(
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=64,
    )
    return build_vae(seed, **(config | changes))


def text_config(vocabulary: dict[str, int], **changes) -> CLIPTextConfig:
    """CLIP's text model, 16 wide, with the ids of a vocabulary whose last two tokens are the specials."""
    values = dict(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        projection_dim=16,
        bos_token_id=len(vocabulary) - 2,
        eos_token_id=len(vocabulary) - 1,
        pad_token_id=1,
    )
    return CLIPTextConfig(**{**values, **changes})


def text_model(seed: str, config: CLIPTextConfig) -> CLIPTextModel:
    """A CLIP text encoder with random weights."""
    return randomise(CLIPTextModel(config), seed)


def text_model_with_projection(seed: str, config: CLIPTextConfig) -> CLIPTextModelWithProjection:
    """The same with `text_projection`, as SDXL's second encoder."""
    return randomise(CLIPTextModelWithProjection(config), seed)
