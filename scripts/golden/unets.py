"""Reference values of U-Nets: those of the tiny repositories level by level, and small ones of every other kind."""

import shutil

import torch
from diffusers import UNet2DConditionModel

from common import FIXTURES, check_sane, drop_private_paths, randn, relative_error, save_json, save_tensors, summary
from models import CROSS, CROSS_UP, PLAIN, PLAIN_UP, build_unet

MAX_F32_ERROR = 2e-6

SMALL = dict(
    sample_size=8,
    block_out_channels=(4, 8),
    layers_per_block=1,
    norm_num_groups=2,
    attention_head_dim=2,
    cross_attention_dim=6,
    down_block_types=(PLAIN, CROSS),
    up_block_types=(CROSS_UP, PLAIN_UP),
)
LINEAR = dict(use_linear_projection=True)
# Without attention: small files for what concerns the time embedding and the ResNet blocks only.
PLAIN_ONLY = dict(
    block_out_channels=(4,),
    down_block_types=(PLAIN,),
    up_block_types=(PLAIN_UP,),
    mid_block_type="UNetMidBlock2D",
)

# One level with attention.
ONE_LEVEL = dict(block_out_channels=(4,), down_block_types=(CROSS,), up_block_types=(CROSS_UP,))

# name: (configuration, further inputs as values or as shapes of random ones)
KINDS = {
    "sdxl": (
        dict(
            **LINEAR,
            attention_head_dim=[2, 4],
            transformer_layers_per_block=[1, 2],
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 + 6 * 8,
        ),
        {"text_embeds": (2, 6), "time_ids": [[64, 48, 0, 16, 1024, 768], [1536.0, 1024, 8, 0, 512, 512]]},
    ),
    "refiner": (
        dict(
            **LINEAR,
            block_out_channels=(4, 4),
            down_block_types=(CROSS, PLAIN),
            up_block_types=(PLAIN_UP, CROSS_UP),
            attention_head_dim=[1, 4],
            transformer_layers_per_block=2,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 + 5 * 8,
        ),
        {"text_embeds": (2, 6), "time_ids": [[64, 48, 0, 16, 6.0], [64, 48, 0, 16, 2.5]]},
    ),
    "upscaler": (
        dict(
            **LINEAR,
            in_channels=7,
            block_out_channels=(4, 4),
            down_block_types=(CROSS, CROSS),
            up_block_types=(CROSS_UP, CROSS_UP),
            only_cross_attention=[True, False],
            num_class_embeds=20,
        ),
        {"class_labels": torch.tensor([3, 17])},
    ),
    "only-cross-attention": (dict(**ONE_LEVEL, only_cross_attention=True), {}),
    "inpaint": (
        dict(
            in_channels=9,
            block_out_channels=(4, 4),
            layers_per_block=[2, 1],
            down_block_types=(PLAIN, PLAIN),
            up_block_types=(PLAIN_UP, PLAIN_UP),
        ),
        {},
    ),
    "class-timestep": (dict(**PLAIN_ONLY, class_embed_type="timestep"), {"class_labels": torch.tensor([3.0, 710.5])}),
    "class-identity": (dict(**PLAIN_ONLY, class_embed_type="identity"), {"class_labels": (2, 16)}),
    "class-projection": (
        dict(**PLAIN_ONLY, class_embed_type="projection", projection_class_embeddings_input_dim=10),
        {"class_labels": (2, 10)},
    ),
    "class-simple-projection": (
        dict(**PLAIN_ONLY, class_embed_type="simple_projection", projection_class_embeddings_input_dim=10),
        {"class_labels": (2, 10)},
    ),
    "scale-shift": (dict(**PLAIN_ONLY, resnet_time_scale_shift="scale_shift"), {}),
    "mid-plain": (dict(**ONE_LEVEL, mid_block_type="UNetMidBlock2D"), {}),
    "mid-none": (dict(**ONE_LEVEL, mid_block_type=None), {}),
    "reverse-transformer-layers": (
        dict(
            layers_per_block=2,
            block_out_channels=(4, 4),
            down_block_types=(CROSS, PLAIN),
            up_block_types=(PLAIN_UP, CROSS_UP),
            transformer_layers_per_block=[[1, 2], [2, 1]],
            reverse_transformer_layers_per_block=[[2, 2, 2], [1, 1, 2]],
        ),
        {},
    ),
    "guidance-embedding": (dict(**PLAIN_ONLY, time_cond_proj_dim=6), {"timestep_cond": (2, 6)}),
    "unusual-numbers": (
        dict(
            **PLAIN_ONLY,
            flip_sin_to_cos=False,
            freq_shift=1,
            norm_eps=1e-2,
            mid_block_scale_factor=1.5,
            center_input_sample=True,
        ),
        {},
    ),
}


def call(unet: UNet2DConditionModel, inputs: dict) -> torch.Tensor:
    """The forward, from inputs named as in the reference files."""
    residuals = [inputs[key] for key in sorted(inputs) if key.startswith("down_residuals.")]
    added = {key: inputs[key] for key in ("text_embeds", "time_ids") if key in inputs}
    timestep = inputs["timestep"]
    return unet(
        inputs["sample"],
        timestep if len(timestep) > 1 else timestep[0],
        inputs["context"],
        class_labels=inputs.get("class_labels"),
        timestep_cond=inputs.get("timestep_cond"),
        added_cond_kwargs=added or None,
        down_block_additional_residuals=tuple(residuals) or None,
        mid_block_additional_residual=inputs.get("mid_residual"),
    ).sample


def record_levels(unet: UNet2DConditionModel, inputs: dict) -> dict[str, torch.Tensor]:
    """The outputs of every level, and of the time embedding."""
    levels, handles = {}, []

    def keep(name):
        def hook(_module, _inputs, output):
            levels[name] = (output[0] if isinstance(output, tuple) else output).clone()

        return hook

    for name, module in unet.named_modules():
        parent, _, last = name.rpartition(".")
        if name in ("conv_in", "time_embedding", "mid_block") or (parent in ("down_blocks", "up_blocks") and last.isdigit()):
            handles.append(module.register_forward_hook(keep(name)))
    call(unet, inputs)
    for handle in handles:
        handle.remove()
    return levels


def f32_error(unet: UNet2DConditionModel, inputs: dict, output: torch.Tensor) -> float:
    """How far f32 itself is from f64: has to be well under the tolerance of the tests."""
    wide = {key: value.double() if value.is_floating_point() else value for key, value in inputs.items()}
    exact = call(unet.double(), wide)
    unet.float()
    return relative_error(output, exact)


def case(name: str, unet: UNet2DConditionModel, inputs: dict, levels: bool = False) -> tuple[dict, dict]:
    """Tensors and report of one call."""
    output = call(unet, inputs)
    check_sane(name, output)
    error = f32_error(unet, inputs, output)
    if error > MAX_F32_ERROR:
        raise AssertionError(f"{name}: f32 is {error} from f64")
    tensors = {f"input.{key}": value for key, value in inputs.items()} | {"output.sample": output}
    if levels:
        tensors |= {f"level.{key}": value for key, value in record_levels(unet, inputs).items()}
    return tensors, {"output": summary(output), "f32_error": error}


def base_inputs(name: str, channels: int, context: int, timestep: list[float], size=(8, 8), tokens=7, batch=2) -> dict:
    """Sample, timestep (one, or one for each sample) and context."""
    return {
        "sample": randn(f"{name}/sample", batch, channels, *size),
        "timestep": torch.tensor(timestep, dtype=torch.float32),
        "context": randn(f"{name}/context", batch, tokens, context),
    }


def residuals(name: str, unet: UNet2DConditionModel, inputs: dict) -> dict[str, torch.Tensor]:
    """Additions to every skip and to the middle, as a ControlNet gives them."""
    shapes = [record_levels(unet, inputs)["conv_in"].shape]
    hooks = [
        block.register_forward_hook(lambda _m, _i, output: shapes.extend(skip.shape for skip in output[1]))
        for block in unet.down_blocks
    ]
    middle = record_levels(unet, inputs)["mid_block"].shape
    for hook in hooks:
        hook.remove()
    found = {f"down_residuals.{index:02}": 0.5 * randn(f"{name}/{index}", *shape) for index, shape in enumerate(shapes)}
    return found | {"mid_residual": 0.5 * randn(f"{name}/mid", *middle)}


def write_repository_unet(label: str, folder: str, context: int) -> None:
    """`unet_LABEL.safetensors`: the U-Net of a tiny repository in all the ways it is called."""
    unet = UNet2DConditionModel.from_pretrained(FIXTURES / folder / "unet", local_files_only=True).eval()
    plain = base_inputs(f"{label}/plain", 4, context, [981.0], tokens=77)
    calls = {
        "plain": plain,
        "per_sample": base_inputs(f"{label}/per_sample", 4, context, [1.0, 946.4210526]),
        "fractional": base_inputs(f"{label}/fractional", 4, context, [499.5], batch=1, size=(8, 6)),
        "odd_size": base_inputs(f"{label}/odd_size", 4, context, [321.0], size=(13, 11), batch=1),
    }
    calls["residuals"] = calls["fractional"] | residuals(f"{label}/residuals", unet, calls["fractional"])
    calls["residuals_odd"] = calls["odd_size"] | residuals(f"{label}/residuals_odd", unet, calls["odd_size"])
    if label == "sd1":
        calls["fp16_weights"] = {key: value for key, value in plain.items()}
    tensors, reports = {}, {}
    for name, inputs in calls.items():
        if name == "fp16_weights":
            unet = UNet2DConditionModel.from_pretrained(
                FIXTURES / "tiny-sd1-fp16" / "unet", variant="fp16", local_files_only=True
            ).float()
        values, reports[name] = case(f"{label}/{name}", unet, inputs, levels=name in ("plain", "odd_size"))
        repeated = name == "fp16_weights"
        tensors |= {f"{name}/{key}": value for key, value in values.items() if not (repeated and key.startswith("input."))}
    save_tensors(f"unet_{label}.safetensors", tensors)
    save_json(f"unet_{label}.json", {"model": f"{folder}/unet", "cases": reports})


def write_kind(name: str, changes: dict, extra: dict) -> None:
    """`unets/NAME`: a small U-Net with its reference values."""
    folder = FIXTURES / "unets" / name
    shutil.rmtree(folder, ignore_errors=True)
    unet = build_unet(f"unets/{name}", **{**SMALL, **changes})
    unet.save_pretrained(folder)
    inputs = base_inputs(name, unet.config.in_channels, SMALL["cross_attention_dim"], [731.0])
    for key, value in extra.items():
        if isinstance(value, list):
            value = torch.tensor(value, dtype=torch.float32)
        inputs[key] = value if isinstance(value, torch.Tensor) else randn(f"{name}/{key}", *value)
    tensors, report = case(name, unet, inputs)
    save_tensors(f"unets/{name}/golden.safetensors", tensors)
    save_json(f"unets/{name}/golden.json", report)
    drop_private_paths(folder)


def write() -> None:
    """Everything of this module."""
    write_repository_unet("sd1", "tiny-sd1", 16)
    write_repository_unet("sd2", "tiny-sd2", 12)
    for name, (changes, extra) in KINDS.items():
        write_kind(name, changes, extra)
