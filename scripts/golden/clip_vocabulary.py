"""Vocabulary files of CLIP's byte-pair encoding: the real one, and a small one learned from a few words."""

import gzip
import hashlib
import json
from collections import Counter
from importlib import metadata
from pathlib import Path

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
REAL_SIZE = 49408
REAL_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"

SMALL_CORPUS = """a the of in on with and at by an photo photograph painting drawing sketch portrait picture
lighthouse light house dusk dawn night day sun sunset moon star stars sky cloud clouds storm sea ocean wave waves
river lake mountain mountains forest tree trees flower flowers garden field grass snow rain fire water stone
cat cats dog dogs horse horses bird birds fish squirrel eating burger astronaut riding robot dragon castle city
street people person man woman child face hands red green blue yellow black white golden silver dark bright
beautiful detailed highly blurry ugly low high quality best masterpiece style oil watercolor digital art artist
small large big old new ancient modern under over near far standing sitting running flying looking wearing hat
lighting lighted houses dusky darkest brightest painted photos riders squirrels""".split()


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins of the bytes, in the order in which CLIP numbers them."""
    kept = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    moved = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + index) for index in range(len(moved))]


def learn_merges(words: list[str], count: int) -> list[tuple[str, str]]:
    """Plain byte-pair encoding: joins the most frequent pair, ties in alphabetical order."""
    spelled = Counter(tuple(word[:-1]) + (word[-1] + "</w>",) for word in words)
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, times in spelled.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = Counter({join(word, best): times for word, times in spelled.items()})
    return merges


def join(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """A spelling with every occurrence of the pair joined."""
    joined, index = [], 0
    while index < len(word):
        if word[index : index + 2] == pair:
            joined.append(word[index] + word[index + 1])
            index += 2
        else:
            joined.append(word[index])
            index += 1
    return tuple(joined)


def real_merges() -> list[tuple[str, str]]:
    """CLIP's 48894 merges, from the vocabulary file that open_clip carries (read, not imported)."""
    files = metadata.files("open_clip_torch") or []
    path = next(file for file in files if file.name == "bpe_simple_vocab_16e6.txt.gz").locate()
    packed = Path(path).read_bytes()
    if hashlib.sha256(packed).hexdigest() != REAL_SHA256:
        raise AssertionError("the vocabulary file is not the one that OpenAI published")
    lines = gzip.decompress(packed).decode("utf-8").split("\n")
    return [tuple(line.split()) for line in lines[1 : REAL_SIZE - 512 - 2 + 1]]


def vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Tokens numbered as CLIP does: bytes, bytes that end a word, merges, the two specials."""
    alphabet = byte_alphabet()
    tokens = alphabet + [symbol + "</w>" for symbol in alphabet]
    tokens += [left + right for left, right in merges] + [BOS, EOS]
    numbered = {token: index for index, token in enumerate(tokens)}
    if len(numbered) != len(tokens):
        raise AssertionError("a token occurs twice")
    return numbered


def write_vocabulary(folder: Path, merges: list[tuple[str, str]]) -> dict[str, int]:
    """Writes `vocab.json` and `merges.txt` as the hub's CLIP repositories hold them."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab = vocabulary(merges)
    text = json.dumps(vocab, ensure_ascii=False, separators=(",", ":"))
    (folder / "vocab.json").write_text(text + "\n", encoding="utf-8")
    lines = ["#version: 0.2"] + [f"{left} {right}" for left, right in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return vocab


def token_entry(content: str) -> dict:
    """A special token as older tokenizer files spell it out."""
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": content, **flags}


def write_token_files(folder: Path, pad: str, config_pad: str) -> None:
    """`tokenizer_config.json` and `special_tokens_map.json`; SD 2.x names different padding in the two."""
    config = {
        "add_prefix_space": False,
        "bos_token": token_entry(BOS),
        "do_lower_case": True,
        "eos_token": token_entry(EOS),
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": config_pad,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": token_entry(EOS),
    }
    plain = {key: value for key, value in token_entry(EOS).items() if key != "__type"}
    special = {"bos_token": {**plain, "content": BOS}, "eos_token": plain, "pad_token": pad, "unk_token": plain}
    for name, value in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
