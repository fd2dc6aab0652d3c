"""Reference values of CLIP text encoders."""

import shutil

import torch
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

import models
from common import FIXTURES, check_sane, drop_private_paths, relative_error, save_json, save_tensors, summary

PROMPTS = ["a photograph of an astronaut riding a horse", "", "Dusk! " * 40]
MAX_F32_ERROR = 2e-6


def token_ids(folder: str) -> torch.Tensor:
    """The prompts' ids, padded to 77 with the repository's own padding."""
    tokenizer = CLIPTokenizer.from_pretrained(FIXTURES / folder / "tokenizer", local_files_only=True)
    batch = tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return batch.input_ids


def run(model, ids: torch.Tensor) -> tuple[dict, dict]:
    """All hidden states and the pooled vectors of one encoder, named for the reference file."""
    output = model(ids, output_hidden_states=True)
    tensors = {"input.ids": ids, "output.last_hidden_state": output.last_hidden_state}
    for index, state in enumerate(output.hidden_states):
        tensors[f"output.hidden_states.{index}"] = state
    # What `clip_skip=1` of a pipeline gives: the last but one state through the final norm.
    inner = getattr(model, "text_model", model)
    tensors["output.clip_skip_1"] = inner.final_layer_norm(output.hidden_states[-2])
    if hasattr(output, "text_embeds"):
        tensors["output.text_embeds"] = output.text_embeds
    else:
        tensors["output.pooled"] = output.pooler_output
    for key in tensors:
        if key.startswith("output."):
            check_sane(key, tensors[key])
    exact = model.double()(ids).last_hidden_state
    model.float()
    error = relative_error(output.last_hidden_state, exact)
    if error > MAX_F32_ERROR:
        raise AssertionError(f"f32 is {error} from f64")
    return tensors, {"f32_error": error, "last_hidden_state": summary(output.last_hidden_state)}


def write_repository_text(label: str, folder: str) -> None:
    """`text_LABEL.safetensors`."""
    model = CLIPTextModel.from_pretrained(FIXTURES / folder / "text_encoder", local_files_only=True).eval()
    tensors, report = run(model, token_ids(folder))
    save_tensors(f"text_{label}.safetensors", tensors)
    save_json(f"text_{label}.json", {"model": f"{folder}/text_encoder", "prompts": PROMPTS, **report})


def small_config(**changes):
    """The configuration of the models under `texts`: 64 tokens of which the last is EOS."""
    return models.text_config({str(index): index for index in range(64)}, num_hidden_layers=2, **changes)


def small_ids() -> torch.Tensor:
    """Two rows of 16 ids (BOS 62, EOS 63, padding 0): EOS at place 9 with padding after it, and at the end."""
    ids = torch.randint(1, 62, (2, 16), generator=torch.Generator("cpu").manual_seed(7))
    ids[:, 0] = 62
    ids[0, 9] = 63
    ids[0, 10:] = 0
    ids[1, 15] = 63
    return ids


def write_small(name: str, model, keys) -> None:
    """`texts/NAME`: a model under key names changed by `keys`, with its reference values."""
    folder = FIXTURES / "texts" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    weights = {keys(key): value for key, value in load_file(file).items()}
    if name == "prefixed":
        # A buffer that older releases saved along; readers have to pass over it.
        weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_tensors(file, weights)
    drop_private_paths(folder)
    if name == "with-projection-bare":
        return
    tensors, report = run(model, small_ids())
    save_tensors(f"texts/{name}/golden.safetensors", tensors)
    save_json(f"texts/{name}/golden.json", report)


def write_kinds() -> None:
    """With a projection, and the same weights under the key names of other releases.

    Release 5 writes CLIPTextModel without `text_model.` and CLIPTextModelWithProjection with it.
    """
    # The EOS id 2 stands in all shipped configurations of SD and means "the place of the highest id".
    config = small_config(hidden_act="gelu", projection_dim=10, bos_token_id=0, eos_token_id=2)
    projected = models.text_model_with_projection("texts/with-projection", config)
    write_small("with-projection", projected, lambda key: key)
    write_small("with-projection-bare", projected, lambda key: key.removeprefix("text_model."))
    plain = models.text_model("texts/prefixed", small_config())
    if any(key.startswith("text_model.") for key in plain.state_dict()):
        raise AssertionError("this transformers writes the prefix: turn this fixture around")
    write_small("prefixed", plain, lambda key: f"text_model.{key}")


def write() -> None:
    """Everything of this module."""
    write_repository_text("sd1", "tiny-sd1")
    write_repository_text("sd2", "tiny-sd2")
    write_kinds()
