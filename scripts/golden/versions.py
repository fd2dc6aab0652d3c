"""The versions that the reference values were made with.

Numbers and file layouts change between releases (transformers 5 renamed CLIP's keys, diffusers changed
the last sigma of DPM++), so the generators refuse any other version instead of writing other values.
"""

from importlib import metadata

PINNED = {
    "torch": "2.15.0",
    "diffusers": "0.42.1",
    "transformers": "5.23.0",
    "tokenizers": "0.23.3",
    "safetensors": "0.8.0",
    "accelerate": "1.15.0",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "torchsde": "0.2.6",
    "huggingface_hub": "2.4.0",
    "gguf": "0.19.0",
    "torchsde": "0.2.6",
    # Only its vocabulary file is read (installed without its dependencies, never imported).
    "open_clip_torch": "3.3.0",
}


class WrongVersion(RuntimeError):
    """An installed package is missing or not the pinned one."""


def installed(name: str) -> str | None:
    """The public version of a package (without a local part such as `+cpu`), or None."""
    try:
        return metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def check(*names: str) -> None:
    """Raises `WrongVersion` unless the named packages (all of them by default) are the pinned ones."""
    wrong = [
        f"{name}: expected {PINNED[name]}, found {installed(name)}"
        for name in names or PINNED
        if installed(name) != PINNED[name]
    ]
    if wrong:
        raise WrongVersion("; ".join(wrong))
