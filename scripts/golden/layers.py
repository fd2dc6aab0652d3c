"""Reference values of single layers and blocks: `layers.safetensors`, one name space for each case.

CASE/weights/KEY are weights under diffusers' keys, CASE/input and CASE/output the first input and the output;
further inputs have their own names. Scalars stand in `layers.json`.
"""

import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import nn

from common import check_sane, randn, randomise, save_json, save_tensors


class Cases:
    """Collects tensors and parameters of all cases."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.parameters: dict[str, dict] = {}

    def add(self, name: str, tensors: dict[str, torch.Tensor], **parameters) -> None:
        """One case with its tensors as they are."""
        check_sane(name, tensors["output"], low=0.15)
        self.tensors |= {f"{name}/{key}": value for key, value in tensors.items()}
        self.parameters[name] = parameters

    def module(self, name: str, module: nn.Module, call, inputs: dict[str, torch.Tensor], **parameters) -> None:
        """One case from a module with random weights; `call(module, inputs) -> output`."""
        randomise(module, name)
        weights = {f"weights/{key}": value for key, value in module.state_dict().items()}
        self.add(name, {**weights, **inputs, "output": call(module, inputs)}, **parameters)


def image(name: str, *shape: int) -> torch.Tensor:
    """An input that is neither centred nor of unit size, so that norms have work to do."""
    return 1.5 * randn(f"{name}/input", *shape) + 0.3


def apply(module: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The module on its one input."""
    return module(inputs["input"])


def embeddings(cases: Cases) -> None:
    """Sinusoidal embeddings and their MLP."""
    timesteps = torch.tensor([0.0, 1.0, 0.25, 499.5, 946.4210526, 999.0])
    kinds = {
        "timestep_sd": dict(embedding_dim=32, flip_sin_to_cos=True, downscale_freq_shift=0.0),
        "timestep_plain": dict(embedding_dim=20, flip_sin_to_cos=False, downscale_freq_shift=1.0),
        "timestep_flip_shift": dict(embedding_dim=8, flip_sin_to_cos=True, downscale_freq_shift=1.0),
        "timestep_wide": dict(embedding_dim=320, flip_sin_to_cos=True, downscale_freq_shift=0.0),
    }
    for name, values in kinds.items():
        cases.add(name, {"input": timesteps, "output": get_timestep_embedding(timesteps, **values)}, **values)
    # SDXL: every number of the size conditioning is embedded by itself, then they are laid side by side.
    ids = torch.tensor([[1024.0, 768, 0, 32, 512, 640], [512, 512, 16, 8, 1024, 1024]])
    values = dict(embedding_dim=16, flip_sin_to_cos=True, downscale_freq_shift=0.0)
    cases.add("time_ids", {"input": ids, "output": get_timestep_embedding(ids.flatten(), **values).reshape(2, -1)}, **values)
    cases.module("timestep_mlp", TimestepEmbedding(8, 16), apply, {"input": randn("timestep_mlp", 3, 8)})
    cases.module(
        "timestep_mlp_condition",
        TimestepEmbedding(8, 16, cond_proj_dim=6),
        lambda module, inputs: module(inputs["input"], inputs["condition"]),
        {"input": randn("timestep_mlp_condition", 3, 8), "condition": randn("timestep_mlp_condition/c", 3, 6)},
    )


def plain_layers(cases: Cases) -> None:
    """Linear, convolutions, norms."""
    cases.module("linear", nn.Linear(6, 10), apply, {"input": randn("linear/input", 2, 5, 6)})
    cases.module("linear_no_bias", nn.Linear(6, 10, bias=False), apply, {"input": randn("linear_nb/input", 2, 5, 6)})
    for name, kernel, stride, padding in (
        ("conv_3x3", 3, 1, 1),
        ("conv_3x3_stride2", 3, 2, 1),
        ("conv_3x3_no_padding", 3, 1, 0),
        ("conv_1x1", 1, 1, 0),
    ):
        layer = nn.Conv2d(6, 8, kernel, stride, padding)
        numbers = dict(kernel=kernel, stride=stride, padding=[padding] * 4)
        cases.module(name, layer, apply, {"input": image(name, 2, 6, 7, 6)}, **numbers)
    cases.module(
        "conv_3x3_stride2_asymmetric",
        nn.Conv2d(6, 8, 3, 2, 0),
        lambda module, inputs: module(F.pad(inputs["input"], (0, 1, 0, 1))),
        {"input": image("conv_3x3_stride2_asymmetric", 2, 6, 7, 6)},
        kernel=3,
        stride=2,
        padding=[0, 1, 0, 1],
        padding_order="left, right, top, bottom",
    )
    for name, groups, eps in (("group_norm", 4, 1e-5), ("group_norm_one_group", 1, 1e-6), ("group_norm_large_eps", 8, 0.5)):
        layer = nn.GroupNorm(groups, 8, eps=eps)
        cases.module(name, layer, apply, {"input": image(name, 2, 8, 5, 6)}, groups=groups, eps=eps)
    for name, eps in (("layer_norm", 1e-5), ("layer_norm_large_eps", 0.5)):
        cases.module(name, nn.LayerNorm(12, eps=eps), apply, {"input": image(name, 2, 5, 12)}, eps=eps)
    cases.module("embedding", nn.Embedding(9, 6), apply, {"input": torch.tensor([[0, 8, 3], [3, 3, 1]])})


def activations(cases: Cases) -> None:
    """The activations on a range that shows their tails, and the feed-forward layers."""
    points = torch.cat([torch.linspace(-12, 12, 49), torch.tensor([1e-6, -1e-6, 60.0, -60.0])])
    functions = {
        "silu": F.silu,
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    }
    for name, function in functions.items():
        cases.tensors |= {f"{name}/input": points, f"{name}/output": function(points)}
        cases.parameters[name] = {}
    cases.module("geglu", GEGLU(6, 10), apply, {"input": randn("geglu/input", 2, 5, 6)})
    layer = FeedForward(6, activation_fn="geglu")
    cases.module("feed_forward", layer, apply, {"input": randn("feed_forward/input", 2, 5, 6)})


def resnets(cases: Cases) -> None:
    """ResNet blocks with and without time embedding and shortcut."""
    common = dict(groups=2, eps=1e-5, non_linearity="silu")
    kinds = {
        "resnet": dict(in_channels=8, out_channels=8, temb_channels=12, **common),
        "resnet_shortcut": dict(in_channels=6, out_channels=8, temb_channels=12, **common),
        "resnet_scale_shift": dict(in_channels=6, out_channels=8, temb_channels=12, time_embedding_norm="scale_shift", **common),
        "resnet_output_scale": dict(in_channels=6, out_channels=8, temb_channels=12, output_scale_factor=1.5, **common),
        "resnet_vae": dict(in_channels=6, out_channels=8, temb_channels=None, **{**common, "eps": 1e-6}),
    }
    for name, values in kinds.items():
        inputs = {"input": image(name, 2, values["in_channels"], 5, 6)}
        if values["temb_channels"]:
            inputs["temb"] = randn(f"{name}/temb", 2, values["temb_channels"])
        call = lambda module, inputs: module(inputs["input"], inputs.get("temb"))
        cases.module(name, ResnetBlock2D(**values), call, inputs, **values)


def sampling(cases: Cases) -> None:
    """Down and up, with even and odd sizes."""
    for name, padding in (("downsample", 1), ("downsample_vae", 0)):
        for suffix, height, width in (("", 6, 8), ("_odd", 7, 5)):
            layer = Downsample2D(6, use_conv=True, padding=padding, name="op")
            inputs = {"input": image(name + suffix, 2, 6, height, width)}
            # In a model the convolution's keys are `conv.weight` and `conv.bias`.
            randomise(layer, name + suffix)
            weights = {"weights/conv.weight": layer.conv.weight, "weights/conv.bias": layer.conv.bias}
            cases.add(name + suffix, {**weights, **inputs, "output": layer(inputs["input"])}, padding=padding)
    for name, size in (("upsample", None), ("upsample_to_size", [7, 9])):
        layer = Upsample2D(6, use_conv=True)
        call = lambda module, inputs: module(inputs["input"], output_size=size)
        cases.module(name, layer, call, {"input": image(name, 2, 6, 4, 5)}, output_size=size)


def attentions(cases: Cases) -> None:
    """Attention in the forms that U-Net and VAE use."""
    unet = dict(query_dim=12, heads=3, dim_head=4, bias=False)

    def call(module, inputs):
        return module(inputs["input"], encoder_hidden_states=inputs.get("context"), attention_mask=inputs.get("mask"))

    tokens = randn("attention/input", 2, 10, 12)
    context = randn("attention/context", 2, 7, 9)
    cases.module("attention_self", Attention(**unet), call, {"input": tokens}, heads=3)
    cross = dict(**unet, cross_attention_dim=9)
    cases.module("attention_cross", Attention(**cross), call, {"input": tokens, "context": context}, heads=3)
    # Additive, one value for each key, the same for all queries and heads.
    mask = torch.zeros(2, 1, 7)
    mask[0, 0, 5:] = -10000.0
    mask[1, 0, 2] = 0.7
    masked = {"input": tokens, "context": context, "mask": mask}
    cases.module("attention_cross_mask", Attention(**cross), call, masked, heads=3)
    values = dict(heads=1, dim_head=8, rescale_output_factor=1, eps=1e-6, norm_num_groups=2, residual_connection=True, bias=True)
    layer = Attention(8, upcast_softmax=True, _from_deprecated_attn_block=True, **values)
    cases.module("attention_vae", layer, apply, {"input": image("attention_vae", 2, 8, 5, 6)}, heads=1, groups=2, eps=1e-6)


def transformers(cases: Cases) -> None:
    """Transformer blocks, and the spatial transformer around them."""
    def call_block(module, inputs):
        return module(inputs["input"], encoder_hidden_states=inputs["context"])

    for name, only_cross in (("transformer_block", False), ("transformer_block_only_cross", True)):
        block = BasicTransformerBlock(
            8, 2, 4, cross_attention_dim=6, activation_fn="geglu", only_cross_attention=only_cross
        )
        inputs = {"input": randn(f"{name}/input", 2, 10, 8), "context": randn(f"{name}/context", 2, 7, 6)}
        cases.module(name, block, call_block, inputs, heads=2, only_cross_attention=only_cross)

    def call_spatial(module, inputs):
        return module(inputs["input"], encoder_hidden_states=inputs["context"]).sample

    for name, linear in (("spatial_transformer_conv", False), ("spatial_transformer_linear", True)):
        module = Transformer2DModel(
            num_attention_heads=2,
            attention_head_dim=4,
            in_channels=8,
            num_layers=2,
            norm_num_groups=2,
            cross_attention_dim=6,
            use_linear_projection=linear,
        )
        inputs = {"input": image(name, 2, 8, 3, 4), "context": randn(f"{name}/context", 2, 7, 6)}
        parameters = dict(heads=2, layers=2, groups=2, eps=1e-6, use_linear_projection=linear)
        cases.module(name, module, call_spatial, inputs, **parameters)


def write() -> None:
    """Everything of this module."""
    cases = Cases()
    for part in (embeddings, plain_layers, activations, resnets, sampling, attentions, transformers):
        part(cases)
    save_tensors("layers.safetensors", cases.tensors)
    save_json("layers.json", cases.parameters)
