"""Files of `torch.save` in both forms, and what they hold as safetensors.

`weights.ckpt` (zip) and `weights-legacy.ckpt` hold the same checkpoint in the way of a trainer: weights under
`state_dict`, and beside them counters, callbacks, settings and NumPy scalars of classes that need not be installed.
`hostile/` holds files that would call a function when Python loads them. Two runs write the same bytes but for the legacy
files, whose storages are named by their addresses.
"""

import builtins
import collections
import os
import sys
import types

import numpy
import torch

from common import FIXTURES, randn, save_tensors

FOLDER = FIXTURES / "torch"


def foreign_class(module: str, name: str) -> type:
    """A class under the name of one that trainers have."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        path = ".".join(parts[:depth])
        sys.modules.setdefault(path, types.ModuleType(path))
    made = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


def weights() -> dict[str, torch.Tensor]:
    """Every element type, and every way in which a tensor can lie in its storage."""
    base = randn("torch-files/base", 6, 4)
    cube = randn("torch-files/cube", 3, 4, 5)
    return {
        "plain.f32": randn("torch-files/f32", 3, 5),
        "plain.f16": randn("torch-files/f16", 7).half(),
        "plain.bf16": randn("torch-files/bf16", 2, 3).bfloat16(),
        "plain.f64": randn("torch-files/f64", 4).double(),
        "plain.i64": torch.tensor([[1, -2], [3, 2**40]]),
        "plain.i32": torch.tensor([5, -6], dtype=torch.int32),
        "plain.u8": torch.tensor([0, 255], dtype=torch.uint8),
        "plain.bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(0.25),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(randn("torch-files/parameter", 2, 2), requires_grad=False),
        "shared.whole": base,
        "shared.rows": base[2:4],
        "shared.column": base[:, 1],
        "transposed": base.t(),
        "permuted": cube.permute(2, 0, 1),
        "every_second": cube[:, ::2],
        "expanded": randn("torch-files/expanded", 3, 1).expand(3, 4),
        "half_transposed": randn("torch-files/half", 4, 3).half().t(),
    }


def checkpoint(tensors: dict[str, torch.Tensor]) -> dict:
    """As PyTorch Lightning writes it."""
    callback = foreign_class("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    settings = foreign_class("omegaconf.dictconfig", "DictConfig")()
    settings.content = {"base_learning_rate": 1e-4}
    state = collections.OrderedDict(tensors)
    state._metadata = collections.OrderedDict(version=1)
    return {
        "epoch": 3,
        "global_step": 875000,
        "pytorch-lightning_version": "1.4.2",
        "callbacks": {callback: {"best": numpy.float64(0.5), "current": torch.tensor(1.0)}},
        "hyper_parameters": settings,
        "seen": collections.defaultdict(int, {"a": 1}),
        "shape": torch.Size([1, 2]),
        "loops": [{"done": {1, 2}, "array": numpy.arange(3)}],
        "state_dict": state,
    }


class Call:
    """What pickles into a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def write_hostile() -> None:
    """Nothing here runs when it is written, nor when it is read by anything but Python's own pickle."""
    folder = FOLDER / "hostile"
    folder.mkdir(parents=True, exist_ok=True)
    weight = torch.zeros(2)
    for name, call in {
        "system": Call(os.system, "echo never"),
        "eval": Call(builtins.eval, "print('never')"),
        "getattr": Call(builtins.getattr, weight, "data"),
    }.items():
        torch.save({"state_dict": {"weight": weight, "payload": call}}, folder / f"{name}.ckpt")
        torch.save({"weight": call}, folder / f"{name}-legacy.ckpt", _use_new_zipfile_serialization=False)
    # Beside the weights: no less a call.
    torch.save({"state_dict": {"weight": weight}, "epoch": Call(os.system, "echo never")}, folder / "beside.ckpt")
    # Harmless beside the weights, but nobody knows what is in it among them.
    scalar = {"state_dict": {"weight": weight, "inner": {"number": numpy.float64(0.5)}}}
    torch.save(scalar, folder / "not-a-tensor.ckpt")


def write() -> None:
    """Writes `tests/fixtures/torch`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    tensors = weights()
    save_tensors("torch/weights.safetensors", tensors)
    whole = checkpoint(tensors)
    torch.save(whole, FOLDER / "weights.ckpt")
    torch.save(whole, FOLDER / "weights-legacy.ckpt", _use_new_zipfile_serialization=False)
    # As training saves the bare weights; as stringently minimal as a file of diffusers.
    bare = {name: tensors[name] for name in ("plain.f32", "plain.f16", "transposed")}
    torch.save(bare, FOLDER / "bare.bin")
    torch.save({"model": {"module": bare}}, FOLDER / "nested.pth")
    torch.save({"bits": torch.tensor([1, 65535], dtype=torch.uint16)}, FOLDER / "untyped.pt")
    embedding = {
        "string_to_token": {"*": torch.tensor(265)},
        "string_to_param": torch.nn.ParameterDict({"*": tensors["plain.f32"]}).requires_grad_(False),
        "name": "style",
    }
    torch.save(embedding, FOLDER / "embedding.pt")
    write_hostile()


if __name__ == "__main__":
    write()
