"""Whole models in one file, under the names of LDM (1.x, 2.x) and SGM (XL).

The names are made here by inverting diffusers' conversion, and proven by it: `convert_ldm_unet_checkpoint`,
`convert_ldm_vae_checkpoint`, `convert_open_clip_checkpoint` and `convert_ldm_clip_checkpoint` of the pinned diffusers have
to give back the very tensors, each under its name.

`keys.jsonl.gz`: one model of full size a line (on torch's meta device, so names and shapes only): its configurations as
the hub's repositories have them, and `[file name, part, name in diffusers, shape in the file]` for every tensor, where
`part` says what of the file's tensor it is: `whole`, `rows N` (the Nth third), `transposed`, `squeezed`.
`tiny-sd1.*`, `tiny-sd2.*`: the tiny repositories as single files, in f16. `tiny-xl.safetensors`: a tiny model as XL is built, and
in `tiny-xl/` the same under diffusers' names.
"""

import gzip
import json

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as ldm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from common import FIXTURES, randomise, save_tensors

FOLDER = FIXTURES / "single"
CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
Rows = list[tuple[str, str, str]]


def unet_name(key: str, layers: int, crossed: list[bool]) -> str:
    """The LDM name of a U-Net's tensor; `crossed` says which up blocks have attention."""
    fixed = {
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "class_embedding": "label_emb",
    }
    stem, end = key.rsplit(".", 1)
    if stem in fixed:
        return f"{fixed[stem]}.{end}"
    parts = key.split(".")
    if parts[0] == "mid_block":
        number = 1 if parts[1] == "attentions" else 2 * int(parts[2])
        block, kind, rest = f"middle_block.{number}", parts[1], ".".join(parts[3:])
    else:
        level, kind, layer, rest = int(parts[1]), parts[2], int(parts[3]), ".".join(parts[4:])
        side = "input_blocks" if parts[0] == "down_blocks" else "output_blocks"
        at = level * (layers + 1) + (1 if side == "input_blocks" else 0)
        if kind == "downsamplers":
            return f"{side}.{at + layers}.0.op.{end}"
        if kind == "upsamplers":
            return f"{side}.{at + layers}.{2 if crossed[level] else 1}.conv.{end}"
        block = f"{side}.{at + layer}.{1 if kind == 'attentions' else 0}"
    if kind == "resnets":
        inner, end = rest.rsplit(".", 1)
        rest = f"{RESNET[inner]}.{end}"
    return f"{block}.{rest}"


def unet_rows(model: UNet2DConditionModel) -> Rows:
    """`(file name, part, diffusers name)` of every tensor."""
    config = model.config
    crossed = ["Cross" in kind for kind in config.up_block_types]
    prefix = "model.diffusion_model."
    return [(prefix + unet_name(key, config.layers_per_block, crossed), "whole", key) for key in model.state_dict()]


def vae_name(key: str, levels: int) -> tuple[str, str]:
    """The LDM name of an autoencoder's tensor, and its part."""
    parts = key.split(".")
    if "attentions" in parts:
        inner, end = ".".join(parts[4:]).rsplit(".", 1)
        part = "squeezed" if end == "weight" and inner != "group_norm" else "whole"
        return f"{parts[0]}.mid.attn_1.{VAE_ATTENTION[inner]}.{end}", part
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if parts[1:2] == ["mid_block"]:
        return key.replace(f"mid_block.resnets.{parts[3]}", f"mid.block_{int(parts[3]) + 1}"), "whole"
    if parts[1:2] == ["down_blocks"]:
        return key.replace("down_blocks", "down").replace("resnets", "block").replace("downsamplers.0", "downsample"), "whole"
    if parts[1:2] == ["up_blocks"]:
        key = key.replace(f"up_blocks.{parts[2]}", f"up.{levels - 1 - int(parts[2])}")
        return key.replace("resnets", "block").replace("upsamplers.0", "upsample"), "whole"
    return key, "whole"


def vae_rows(model: AutoencoderKL) -> Rows:
    """As `unet_rows`."""
    levels = len(model.config.down_block_types)
    rows = [(*vae_name(key, levels), key) for key in model.state_dict()]
    return [(f"first_stage_model.{name}", part, key) for name, part, key in rows]


def wrapped(key: str) -> str:
    """transformers 5 saves `CLIPTextModel` without its wrapper, files have it."""
    return key if key.startswith(("text_model.", "text_projection.")) else f"text_model.{key}"


def clip_rows(model, prefix: str) -> Rows:
    """As `unet_rows`, for a text encoder under the names of transformers."""
    return [(prefix + wrapped(key), "whole", wrapped(key)) for key in model.state_dict()]


def open_clip_rows(model, prefix: str) -> Rows:
    """As `unet_rows`, for a text encoder under the names of OpenCLIP, with q, k and v in one tensor."""
    fixed = {
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm.weight": "ln_final.weight",
        "text_model.final_layer_norm.bias": "ln_final.bias",
    }
    inner = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    inner["self_attn.out_proj"] = "attn.out_proj"
    rows = []
    for key in map(wrapped, model.state_dict()):
        if key == "text_projection.weight":
            rows.append((prefix + "text_projection", "transposed", key))
        elif key in fixed:
            rows.append((prefix + fixed[key], "whole", key))
        else:
            layer, rest = key.removeprefix("text_model.encoder.layers.").split(".", 1)
            block = f"{prefix}transformer.resblocks.{layer}."
            stem, end = rest.rsplit(".", 1)
            if stem in inner:
                rows.append((f"{block}{inner[stem]}.{end}", "whole", key))
            else:
                third = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].index(stem)
                rows.append((f"{block}attn.in_proj_{end}", f"rows {third}", key))
    return rows


def assemble(rows: Rows, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The file's tensors from those of diffusers."""
    tensors = {wrapped(key) if "layers." in key or "embeddings." in key or "final_layer" in key else key: value
               for key, value in tensors.items()}
    parts: dict[str, list] = {}
    for name, part, key in rows:
        parts.setdefault(name, []).append((part, tensors[key]))
    made = {}
    for name, found in parts.items():
        part, value = found[0]
        if part.startswith("rows"):
            value = torch.cat([value for _, value in sorted(found, key=lambda item: item[0])])
        elif part == "transposed":
            value = value.T.contiguous()
        elif part == "squeezed":
            value = value[:, :, None, None]
        made[name] = value
    return made


def check(converted: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """diffusers gives back the very names, shapes and (where there are any) values."""
    expected = {wrapped(key) if "layers." in key or "embeddings." in key or "final_layer" in key else key: value
                for key, value in expected.items()}
    if converted.keys() != expected.keys():
        raise AssertionError(sorted(converted.keys() ^ expected.keys())[:8])
    for key, value in expected.items():
        same = value.is_meta or torch.equal(converted[key], value)
        if converted[key].shape != value.shape or not same:
            raise AssertionError(key)


def convert(models: dict, names: dict[str, Rows]) -> dict[str, torch.Tensor]:
    """The file of these models, proven by diffusers' own conversion."""
    file = {}
    for component, rows in names.items():
        file |= assemble(rows, models[component].state_dict())
    for component, rows in names.items():
        model = models[component]
        prefix = rows[0][0].split("text_model.")[0].split("token_embedding")[0].split("positional_embedding")[0]
        if component == "unet":
            converted = ldm.convert_ldm_unet_checkpoint(dict(file), model.config)
        elif component == "vae":
            converted = ldm.convert_ldm_vae_checkpoint(dict(file), model.config)
        elif any("resblocks" in name for name, _, _ in rows):
            converted = ldm.convert_open_clip_checkpoint(model, dict(file), prefix=prefix)
        else:
            converted = ldm.convert_ldm_clip_checkpoint(dict(file))
        check(converted, model.state_dict())
    return file


def full_models() -> dict[str, tuple[dict, dict[str, Rows]]]:
    """The families at their full size, without values, by the configurations of the hub's repositories."""
    sd_vae = dict(block_out_channels=[128, 256, 512, 512], layers_per_block=2, latent_channels=4, norm_num_groups=32,
                  down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, sample_size=512)
    text = dict(vocab_size=49408, max_position_embeddings=77, layer_norm_eps=1e-5, bos_token_id=0, eos_token_id=2, pad_token_id=1)
    clip_l = CLIPTextConfig(**text, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                            hidden_act="quick_gelu", projection_dim=768)
    clip_h = CLIPTextConfig(**text, hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16,
                            hidden_act="gelu", projection_dim=512)
    clip_g = CLIPTextConfig(**text, hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                            hidden_act="gelu", projection_dim=1280)
    sd = dict(sample_size=64, block_out_channels=[320, 640, 1280, 1280], down_block_types=[CROSS] * 3 + [PLAIN],
              up_block_types=[PLAIN_UP] + [CROSS_UP] * 3, layers_per_block=2, cross_attention_dim=768, attention_head_dim=8)
    sd2 = {**sd, "sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
           "use_linear_projection": True, "upcast_attention": True}
    upscaler = dict(sample_size=128, in_channels=7, block_out_channels=[256, 512, 512, 1024],
                    down_block_types=[PLAIN] + [CROSS] * 3, up_block_types=[CROSS_UP] * 3 + [PLAIN_UP], layers_per_block=2,
                    cross_attention_dim=1024, attention_head_dim=8, use_linear_projection=True, num_class_embeds=1000,
                    only_cross_attention=[True, True, True, False])
    xl = dict(sample_size=128, block_out_channels=[320, 640, 1280], down_block_types=[PLAIN, CROSS, CROSS],
              up_block_types=[CROSS_UP, CROSS_UP, PLAIN_UP], layers_per_block=2, cross_attention_dim=2048,
              attention_head_dim=[5, 10, 20], transformer_layers_per_block=[1, 2, 10], use_linear_projection=True,
              addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)
    refiner = dict(sample_size=128, block_out_channels=[384, 768, 1536, 1536], down_block_types=[PLAIN, CROSS, CROSS, PLAIN],
                   up_block_types=[PLAIN_UP, CROSS_UP, CROSS_UP, PLAIN_UP], layers_per_block=2, cross_attention_dim=1280,
                   attention_head_dim=[6, 12, 24, 24], transformer_layers_per_block=4, use_linear_projection=True,
                   addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2560)
    xl_vae = {**sd_vae, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
    upscaler_vae = {**sd_vae, "block_out_channels": [128, 256, 512], "down_block_types": ["DownEncoderBlock2D"] * 3,
                    "up_block_types": ["UpDecoderBlock2D"] * 3, "sample_size": 256, "scaling_factor": 0.08333}
    families = {
        "sd15": (sd, sd_vae, {"text_encoder": (CLIPTextModel, clip_l, "cond_stage_model.transformer.")}),
        "sd21": (sd2, {**sd_vae, "sample_size": 768}, {"text_encoder": (CLIPTextModel, clip_h, "cond_stage_model.model.")}),
        "x4-upscaler": (upscaler, upscaler_vae, {"text_encoder": (CLIPTextModel, clip_h, "cond_stage_model.model.")}),
        "xl-base": (xl, xl_vae, {
            "text_encoder": (CLIPTextModel, clip_l, "conditioner.embedders.0.transformer."),
            "text_encoder_2": (CLIPTextModelWithProjection, clip_g, "conditioner.embedders.1.model."),
        }),
        "xl-refiner": (refiner, xl_vae, {
            "text_encoder_2": (CLIPTextModelWithProjection, clip_g, "conditioner.embedders.0.model."),
        }),
    }
    made = {}
    for family, (unet, vae, texts) in families.items():
        with torch.device("meta"):
            models = {"unet": UNet2DConditionModel(**unet), "vae": AutoencoderKL(**vae)}
            models |= {name: build(config) for name, (build, config, _) in texts.items()}
        configs = {"unet": unet, "vae": vae, **{name: text_values(config) for name, (_, config, _) in texts.items()}}
        made[family] = (configs, models, rows_of(models, {name: prefix for name, (_, _, prefix) in texts.items()}))
    return made


def text_values(config: CLIPTextConfig) -> dict:
    """What of a text encoder's configuration follows from its shapes and its family."""
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "projection_dim",
            "vocab_size", "max_position_embeddings")
    return {key: getattr(config, key) for key in keys}


def rows_of(models: dict, prefixes: dict[str, str]) -> dict[str, Rows]:
    """The rows of all components of a model."""
    rows = {"unet": unet_rows(models["unet"]), "vae": vae_rows(models["vae"])}
    for name, prefix in prefixes.items():
        make = open_clip_rows if prefix.endswith(".model.") else clip_rows
        rows[name] = make(models[name], prefix)
    return rows


def write_keys() -> None:
    """Writes `keys.jsonl.gz`."""
    lines = []
    for family, (configs, models, rows) in full_models().items():
        file = convert(models, rows)
        listed = {name: [[file_name, part, key, list(file[file_name].shape)] for file_name, part, key in found]
                  for name, found in rows.items()}
        lines.append(json.dumps({"family": family, "configs": configs, "rows": listed}, separators=(",", ":")))
    (FOLDER / "keys.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def repository(name: str) -> dict:
    """The models of a tiny repository."""
    root = FIXTURES / name
    return {
        "unet": UNet2DConditionModel.from_pretrained(root / "unet"),
        "vae": AutoencoderKL.from_pretrained(root / "vae"),
        "text_encoder": CLIPTextModel.from_pretrained(root / "text_encoder"),
    }


def tiny_xl() -> dict:
    """A model as XL is built: two text encoders, no attention in the first level, several layers in the others."""
    unet = randomise(UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 8), down_block_types=(PLAIN, CROSS), up_block_types=(CROSS_UP, PLAIN_UP),
        layers_per_block=1, cross_attention_dim=24, norm_num_groups=2, attention_head_dim=(1, 2),
        transformer_layers_per_block=(1, 2), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=64,
    ), "single-xl-unet")
    vae = randomise(AutoencoderKL(
        block_out_channels=(2, 4), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1, latent_channels=4, norm_num_groups=2,
    ), "single-xl-vae")
    text = dict(vocab_size=40, max_position_embeddings=8, num_hidden_layers=2, num_attention_heads=2)
    first = CLIPTextConfig(**text, hidden_size=8, intermediate_size=16, projection_dim=8)
    second = CLIPTextConfig(**text, hidden_size=16, intermediate_size=32, projection_dim=16)
    return {
        "unet": unet, "vae": vae,
        "text_encoder": randomise(CLIPTextModel(first), "single-xl-text"),
        "text_encoder_2": randomise(CLIPTextModelWithProjection(second), "single-xl-text-2"),
    }


def with_buffers(file: dict) -> dict:
    """What real files hold besides: the schedule."""
    file = {**file, "betas": torch.linspace(0.1, 0.2, 4), "alphas_cumprod": torch.linspace(0.9, 0.1, 4)}
    return {key: value.detach().contiguous() for key, value in file.items()}


def write() -> None:
    """Writes `tests/fixtures/single`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_keys()
    models = repository("tiny-sd1")
    rows = rows_of(models, {"text_encoder": "cond_stage_model.transformer."})
    file = {name: value.half() for name, value in with_buffers(convert(models, rows)).items()}
    file["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77).expand(1, -1)
    torch.save({"global_step": 470000, "state_dict": file}, FOLDER / "tiny-sd1.ckpt", _use_new_zipfile_serialization=False)

    models = repository("tiny-sd2")
    rows = rows_of(models, {"text_encoder": "cond_stage_model.model."})
    file = with_buffers(convert(models, rows))
    file["cond_stage_model.model.logit_scale"] = torch.tensor(4.6)
    save_tensors("single/tiny-sd2.safetensors", {name: value.half() for name, value in file.items()})

    models = {name: model.half() for name, model in tiny_xl().items()}
    rows = rows_of(models, {"text_encoder": "conditioner.embedders.0.transformer.",
                            "text_encoder_2": "conditioner.embedders.1.model."})
    file = with_buffers(convert(models, rows))
    file["conditioner.embedders.1.model.logit_scale"] = torch.tensor(4.6)
    save_tensors("single/tiny-xl.safetensors", file)
    for name, model in models.items():
        tensors = model.state_dict()
        if name.startswith("text"):
            tensors = {wrapped(key): value for key, value in tensors.items()}
        save_tensors(f"single/tiny-xl/{name}.safetensors", tensors)


if __name__ == "__main__":
    write()
