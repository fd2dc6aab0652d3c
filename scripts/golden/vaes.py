"""Reference values of autoencoders."""

import json
import shutil

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from common import FIXTURES, check_sane, drop_private_paths, randn, relative_error, save_json, save_tensors, summary
from models import build_vae

MAX_F32_ERROR = 3e-6
LEGACY = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def image(name: str, batch: int, height: int, width: int) -> torch.Tensor:
    """Smooth colours plus noise, within -1 to 1."""
    y = torch.linspace(0, 3, height)[:, None]
    x = torch.linspace(0, 2, width)[None, :]
    waves = torch.stack([torch.sin(2 * x + phase) * torch.cos(y + phase) for phase in (0.0, 1.0, 2.0)])
    return (0.7 * waves[None] + 0.2 * randn(name, batch, 3, height, width)).clamp(-1, 1)


def both_ways(name: str, vae: AutoencoderKL, pixels: torch.Tensor, latents: torch.Tensor) -> tuple[dict, dict]:
    """Moments, mode and sample of an encoding; a decoding."""
    posterior = vae.encode(pixels).latent_dist
    noise = randn(f"{name}/noise", *posterior.mean.shape)
    sample = posterior.mean + posterior.std * noise
    decoded = vae.decode(latents).sample
    tensors = {
        "input.image": pixels,
        "input.noise": noise,
        "input.latents": latents,
        "output.moments": posterior.parameters,
        "output.mode": posterior.mode(),
        "output.std": posterior.std,
        "output.sample": sample,
        "output.decoded": decoded,
    }
    errors = {}
    wide = vae.double()
    exact = {
        "output.moments": wide.encode(pixels.double()).latent_dist.parameters,
        "output.decoded": wide.decode(latents.double()).sample,
    }
    vae.float()
    for key, value in exact.items():
        check_sane(f"{name}/{key}", tensors[key], low=0.2)
        errors[key] = relative_error(tensors[key], value)
        if errors[key] > MAX_F32_ERROR:
            raise AssertionError(f"{name}: {key} in f32 is {errors[key]} from f64")
    report = {"f32_error": errors, "moments": summary(posterior.parameters), "decoded": summary(decoded)}
    report["scaling_factor"] = vae.config.scaling_factor
    report["shift_factor"] = vae.config.shift_factor
    return tensors, report


def write_repository_vae() -> None:
    """`vae.safetensors`: tiny-sd1's, an image that is not square, and an encoding of odd size."""
    vae = AutoencoderKL.from_pretrained(FIXTURES / "tiny-sd1" / "vae", local_files_only=True).eval()
    latents = 4 * randn("vae/latents", 2, 4, 3, 2)
    tensors, report = both_ways("vae", vae, image("vae/image", 2, 24, 32), latents)
    odd = image("vae/odd", 1, 27, 21)
    tensors["odd/input.image"] = odd
    tensors["odd/output.moments"] = vae.encode(odd).latent_dist.parameters
    save_tensors("vae.safetensors", tensors)
    save_json("vae.json", {"model": "tiny-sd1/vae", **report})


def write_tiled() -> None:
    """`vae_tiled.safetensors`: latents larger than a tile, decoded by tiles, by tiny-sd1's VAE with small ones."""
    vae = AutoencoderKL.from_pretrained(FIXTURES / "tiny-sd1" / "vae", local_files_only=True, sample_size=64).eval()
    vae.enable_tiling()
    latents = 4 * randn("vae/tiled", 1, 4, 9, 13)
    image = vae.decode(latents).sample
    check_sane("vae/tiled", image, low=0.2)
    save_tensors("vae_tiled.safetensors", {"input.latents": latents, "output.decoded": image})


def write_sd3() -> None:
    """`vaes/sd3`: 16 latent channels, no quant convolutions, a shift."""
    config = dict(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        force_upcast=True,
        sample_size=16,
    )
    write_kind("sd3", build_vae("vaes/sd3", **config), latent_channels=16)


def write_no_mid_attention() -> None:
    """`vaes/no-mid-attention`: `mid_block_add_attention` false, one level only."""
    config = dict(block_out_channels=(4,), layers_per_block=1, norm_num_groups=2, mid_block_add_attention=False)
    write_kind("no-mid-attention", build_vae("vaes/no-mid-attention", **config), latent_channels=4)


def write_kind(name: str, vae: AutoencoderKL, latent_channels: int) -> None:
    """`vaes/NAME`: a small autoencoder with its reference values."""
    folder = FIXTURES / "vaes" / name
    shutil.rmtree(folder, ignore_errors=True)
    vae.save_pretrained(folder)
    latents = randn(f"{name}/latents", 1, latent_channels, 5, 6)
    tensors, report = both_ways(name, vae, image(f"{name}/image", 1, 12, 10), latents)
    save_tensors(f"vaes/{name}/golden.safetensors", tensors)
    save_json(f"vaes/{name}/golden.json", report)
    drop_private_paths(folder)


def write_legacy() -> None:
    """`vaes/legacy-attention`: the weights of `vaes/sd3` under the attention key names of old files."""
    source, name = FIXTURES / "vaes" / "sd3", "legacy-attention"
    folder = FIXTURES / "vaes" / name
    shutil.rmtree(folder, ignore_errors=True)
    weights = load_file(source / "diffusion_pytorch_model.safetensors")
    renamed = {}
    for key, value in weights.items():
        for new, old in LEGACY.items():
            key = key.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
        renamed[key] = value
    save_tensors(f"vaes/{name}/diffusion_pytorch_model.safetensors", renamed)
    save_json(f"vaes/{name}/config.json", json.loads((source / "config.json").read_text(encoding="utf-8")))
    # diffusers itself has to read it as the same model.
    loaded = AutoencoderKL.from_pretrained(folder, local_files_only=True).state_dict()
    if any(not torch.equal(loaded[key], value) for key, value in weights.items()):
        raise AssertionError("diffusers does not read the legacy names as the same weights")


def write() -> None:
    """Everything of this module."""
    write_repository_vae()
    write_tiled()
    write_sd3()
    write_no_mid_attention()
    write_legacy()
