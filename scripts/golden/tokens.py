"""CLIP's own vocabulary, and the ids that transformers' tokenizer gives for awkward texts."""

import shutil

from transformers import CLIPTokenizer

import clip_vocabulary as bpe
from common import FIXTURES, save_json

LENGTH = 77
LONG_REPEAT = 3

TEXTS = [
    "",
    " ",
    "\t\n\r\v\f",
    "a photograph of an astronaut riding a horse",
    "A Photograph OF An ASTRONAUT",
    "  leading, trailing   and    repeated spaces  ",
    "tabs\tand\nnew\r\nlines",
    "no\u00a0break\u2003em\u3000ideographic\u200bzero\ufeffwidth",
    "Crème brûlée, naïve façade, Ångström, Łódź, İstanbul, straße, ŒUVRE",
    "Cre\u0300me bru\u0302le\u0301e, A\u030angstro\u0308m",
    "e\u0301\u0302\u0303 stacked \u0301alone z\u0351\u0352\u0353algo",
    "ﬁne ligatures ﬀ ﬃ, ½ ² ① Ⅷ ™ ℃ Å",
    "ΑΒΓ αβγ ΣΊΣΥΦΟΣ Σ",
    "Привет мир, ЁЖИК и ёжик",
    "שלום עולם, مرحبا بالعالم, नमस्ते दुनिया, สวัสดีชาวโลก",
    "日本語のテキスト、東京タワー。夜の灯台",
    "中文提示词：一只猫坐在桌子上",
    "한국어 텍스트 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "😀 emoji 🏳️‍🌈 👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️",
    "it's we've I'm you'll he'd they're don't CAN'T IT'S o'clock 'quoted' ''s",
    "it’s curly “quotes” – dashes — and … dots",
    "1girl, 4k, 8K UHD, 35mm f/1.8, 2023-01-31, 3.14159, 1,000,000",
    "(masterpiece:1.2), [low|high], {a}, <lora:x:0.5>, \\(escaped\\)",
    "!!! ??? ... ,,, !?!? $$$ ### @@@ %^&*()_+-=[]{}|;:'\",.<>/?`~",
    "hello! world!! a!b !",
    "snake_case camelCase kebab-case http://example.org/a?b=c&d=e#f",
    "&amp; &lt;b&gt; &quot;html&quot; &#39;entities&#39; &amp;amp;",
    "<|startoftext|> and <|endoftext|> inside",
    "a<|endoftext|>b<|startoftext|>c",
    "< |startoftext| > <startoftext> |endoftext|",
    "<|endoftext|>",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "asdfghjkl qwertyuiop zxcvbnm xyzzy",
    "control \u0000 \u0001 \u007f \u0085 characters",
    "private \ue000 unassigned \U000e0fff replacement \ufffd noncharacter \uffff",
    "𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝒶𝓃𝒹 ｆｕｌｌｗｉｄｔｈ Ｔｅｘｔ",
    "٣٤٥ ৪৫ Ⅳ 五 digits of other scripts",
    "a, b,c ,d , e",
    "lighthouse at dusk, oil on canvas, by a painter of the sea, dramatic clouds, golden hour, highly detailed, "
    "sharp focus, trending, masterpiece, best quality, volumetric light, waves, storm, cliffs, seagulls, foam, "
    "rocks, horizon, reflections, 8k, wide angle, cinematic composition, warm palette, texture, brush strokes, "
    "and a small boat far away in the distance under the rising moon, with lanterns",
]
# Texts so long that they are written as a unit and how often it occurs.
REPEATED = [("lighthouse ", 10000), ("a ", 75), ("a ", 76), ("日本", 200), ("\u0301", 300), ("😀", 100), ("! ", 80)]
# Whether these count as special tokens depends on the `normalized` flags in the tokenizer's files.
MIXED_CASE = ["<|STARTOFTEXT|> x", "<|EndOfText|> x"]

ABOUT = {
    "text": "the input is `text` repeated `repeat` times",
    "count": "number of ids without truncation, BOS and EOS included",
    "ids": "without truncation and padding, BOS and EOS included; null for repeated texts",
    "file_dependent": "specials in other letter case: transformers takes them for special tokens if the flag "
    "`normalized` says so, and loses that flag for <|endoftext|> where the padding token repeats it as a plain string",
    "padded": f"truncated and padded to {LENGTH} with <|endoftext|> (49407), as CLIP L/14 of SD 1.x",
    "padded_bang": f"the same with `!` (0) as padding token, as SD 2.x; null where `padded` differs in nothing but the "
    "padding ids (49407 after the first 49407, there 0)",
}


def expected_bang(padded: list[int]) -> list[int]:
    """The padded ids with the padding after EOS exchanged."""
    end = padded.index(bpe.REAL_SIZE - 1)
    return padded[: end + 1] + [0] * (LENGTH - end - 1)


def entry(text: str, repeat: int, tokenizer: CLIPTokenizer, bang: CLIPTokenizer) -> dict:
    """All that is expected of one text."""
    whole = text * repeat
    ids = tokenizer(whole).input_ids
    options = dict(padding="max_length", max_length=LENGTH, truncation=True)
    padded = tokenizer(whole, **options).input_ids
    padded_bang = bang(whole, **options).input_ids
    return {
        "text": text,
        "repeat": repeat,
        "count": len(ids),
        "ids": ids if repeat == 1 else None,
        "padded": padded,
        "padded_bang": None if padded_bang == expected_bang(padded) else padded_bang,
    }


def write() -> None:
    """`clip-tokenizer/` and `tokenizer_clip.json`."""
    folder = FIXTURES / "clip-tokenizer"
    shutil.rmtree(folder, ignore_errors=True)
    vocab = bpe.write_vocabulary(folder, bpe.real_merges())
    if len(vocab) != bpe.REAL_SIZE:
        raise AssertionError(f"{len(vocab)} tokens")
    loaded = []
    for pad in ("!", bpe.EOS):
        bpe.write_token_files(folder, pad=pad, config_pad=bpe.EOS)
        loaded.append(CLIPTokenizer.from_pretrained(folder, local_files_only=True))
    bang, tokenizer = loaded
    cases = [(text, 1) for text in TEXTS] + REPEATED
    entries = [entry(text, repeat, tokenizer, bang) for text, repeat in cases]
    mixed = [entry(text, 1, tokenizer, bang) for text in MIXED_CASE]
    content = {"tokenizer": "clip-tokenizer", "about": ABOUT, "cases": entries, "file_dependent": mixed}
    save_json("tokenizer_clip.json", content, indent=None)
