"""Reference values of training: gradients of whole tiny models by autograd, and steps of AdamW."""

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

from common import FIXTURES, randn, save_tensors

MODEL = FIXTURES / "tiny-sd1"
MAX_F32_ERROR = 1e-5


def gradients(module: torch.nn.Module, forward, direction: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of the projection of an output to one number, by parameter, convolutions as `[out, kh, kw, in]`."""
    with torch.enable_grad():
        module.zero_grad()
        (forward() * direction).sum().backward()
    named = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    return {name: grad.permute(0, 2, 3, 1) if grad.ndim == 4 else grad for name, grad in named.items()}


def write_model(name: str, module: torch.nn.Module, inputs: dict[str, torch.Tensor], forward, prefix: str = "") -> None:
    """Inputs, direction and gradients of a model; f32 is held to be close to f64."""
    module.requires_grad_(True)
    with torch.no_grad():
        direction = randn(f"training/{name}/direction", *forward(module, inputs).shape)
    found = gradients(module, lambda: forward(module, inputs), direction)
    wide = {key: value.double() if value.is_floating_point() else value for key, value in inputs.items()}
    exact = gradients(module.double(), lambda: forward(module, wide), direction.double())
    norm = torch.cat([grad.flatten() for grad in exact.values()]).norm()
    for path, grad in found.items():
        distance = (grad.double() - exact[path]).norm() / norm
        if distance > MAX_F32_ERROR:
            raise AssertionError(f"{name} {path}: f32 is {distance} from f64")
    tensors = {f"input.{key}": value for key, value in inputs.items()} | {"direction": direction}
    tensors |= {f"grad.{prefix if not path.startswith(prefix) else ''}{path}": grad for path, grad in found.items()}
    save_tensors(f"training/{name}.safetensors", tensors)


def write_models() -> None:
    """The three models of the tiny repository."""
    unet_inputs = {
        "sample": randn("training/unet/sample", 2, 4, 8, 6),
        "timestep": torch.tensor([3, 700]),
        "context": randn("training/unet/context", 2, 5, 16),
    }
    unet = UNet2DConditionModel.from_pretrained(MODEL / "unet", local_files_only=True)
    unet_inputs["context"] = randn("training/unet/context", 2, 5, unet.config.cross_attention_dim)
    write_model(
        "unet", unet, unet_inputs, lambda model, given: model(given["sample"], given["timestep"], given["context"]).sample
    )
    vae = AutoencoderKL.from_pretrained(MODEL / "vae", local_files_only=True)
    image = {"image": randn("training/vae/image", 1, 3, 32, 24)}
    write_model(
        "vae", vae, image, lambda model, given: model.decode(model.encode(given["image"]).latent_dist.mode()).sample
    )
    text = CLIPTextModel.from_pretrained(MODEL / "text_encoder", local_files_only=True)
    ids = torch.tensor([[text.config.bos_token_id, 5, 9, 5, text.config.eos_token_id]] * 2)
    ids[1, 2] = 77
    write_model("text", text, {"ids": ids}, lambda model, given: model(given["ids"]).last_hidden_state, "text_model.")


def write_optimizer() -> None:
    """AdamW with torch's defaults behind `clip_grad_norm_`, step by step."""
    tensors = {"start": randn("training/adamw/start", 7), "gradients": 3 * randn("training/adamw/gradients", 6, 7)}
    parameter = torch.nn.Parameter(tensors["start"].clone())
    optimizer = torch.optim.AdamW([parameter], lr=1e-2)
    values, norms = [], []
    for gradient in tensors["gradients"]:
        parameter.grad = gradient.clone()
        norms.append(torch.nn.utils.clip_grad_norm_([parameter], 5.0))
        optimizer.step()
        values.append(parameter.detach().clone())
    save_tensors("training/adamw.safetensors", tensors | {"values": torch.stack(values), "norms": torch.stack(norms)})


def write() -> None:
    """All of it."""
    write_models()
    write_optimizer()
