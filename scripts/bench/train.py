"""The training loops of the demo model in PyTorch, with diffusers' and transformers' models: pictures per second.

    python scripts/bench/train.py demo/model --device cuda --task diffusion --batch 512 --steps 50

The same architecture from the same configuration files, random weights, random pictures or latents and captions that lie on the
device, AdamW, clipping by the global norm, a moving average of the weights. Compare with the `pictures/s` that `sd train` prints
for the same batch; that has its data to load, too. `--compile` uses torch.compile.
"""

import argparse
import json
import pathlib
import time

import torch
from torch.nn import functional


def load(cls, folder):
    return cls.from_config(json.loads((folder / "config.json").read_text()))


def autoencoder(folder, batch, device):
    from diffusers import AutoencoderKL

    vae = load(AutoencoderKL, folder / "vae").to(device)
    pictures = torch.rand(batch, 3, vae.config.sample_size, vae.config.sample_size, device=device) * 2 - 1

    def edges(difference):
        def at(image):
            return image.diff(dim=3).abs().mean() + image.diff(dim=2).abs().mean()

        scales = [difference, functional.avg_pool2d(difference, 2), functional.avg_pool2d(difference, 4)]
        return sum(at(image) for image in scales) / 3

    def loss():
        posterior = vae.encode(pictures).latent_dist
        decoded = vae.decode(posterior.sample()).sample
        divergence = 0.5 * (posterior.mean**2 + posterior.logvar.exp() - posterior.logvar - 1).mean()
        return (decoded - pictures).abs().mean() + 1e-4 * divergence + edges(decoded - pictures)

    return list(vae.parameters()), loss


def diffusion(folder, batch, device):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet = load(UNet2DConditionModel, folder / "unet").to(device)
    config = CLIPTextConfig(**json.loads((folder / "text_encoder" / "config.json").read_text()))
    text = CLIPTextModel(config).to(device)
    size = unet.config.sample_size
    mean = torch.randn(batch, 4, size, size, device=device)
    ids = torch.randint(config.vocab_size, (batch, config.max_position_embeddings), device=device)
    ids[:, -1] = config.eos_token_id

    def loss():
        noise = torch.randn_like(mean)
        timesteps = torch.randint(1000, (batch,), device=device)
        share = (timesteps / 1000)[:, None, None, None]
        prediction = unet((1 - share).sqrt() * mean + share.sqrt() * noise, timesteps, text(ids)[0]).sample
        return functional.mse_loss(prediction, noise)

    return list(unet.parameters()) + list(text.parameters()), loss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--task", choices=["autoencoder", "diffusion"], default="diffusion")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--no-tf32", action="store_true")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = not arguments.no_tf32
    torch.backends.cudnn.allow_tf32 = not arguments.no_tf32
    torch.backends.cudnn.benchmark = True
    make = {"autoencoder": autoencoder, "diffusion": diffusion}[arguments.task]
    parameters, loss = make(arguments.model, arguments.batch, arguments.device)
    if arguments.compile:
        loss = torch.compile(loss)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    average = [parameter.detach().clone() for parameter in parameters]

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, [parameter.detach() for parameter in parameters], 0.001)

    def wait():
        if arguments.device != "cpu":
            torch.cuda.synchronize()

    for _ in range(min(10, arguments.steps)):
        step()
    wait()
    start = time.perf_counter()
    for _ in range(arguments.steps):
        step()
    wait()
    seconds = time.perf_counter() - start
    count = sum(parameter.numel() for parameter in parameters)
    print(
        f"{arguments.task}, {count / 1e6:.2f} M parameters, batch {arguments.batch}: "
        f"{arguments.batch * arguments.steps / seconds:.0f} pictures/s, {1e3 * seconds / arguments.steps:.1f} ms a step"
    )


main()
