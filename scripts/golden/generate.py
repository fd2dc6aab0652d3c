"""Writes all fixtures under `tests/fixtures`, or the parts named on the command line, and their list.

    python scripts/golden/generate.py [PART ...]
"""

import importlib
import sys
import time

import versions

# In this order: later parts read what earlier ones wrote.
PARTS = [
    *("repositories", "layers", "texts", "vaes", "unets", "tokens", "pipelines", "schedulers", "noise", "training"),
    *("torch_files", "gguf_files", "single_files", "xl_repositories", "xl", "kinds", "demo"),
]


def main(chosen: list[str]) -> int:
    """Runs the parts; the exit status."""
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        print(f"unknown part {', '.join(unknown)}: expected some of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    try:
        versions.check()
    except versions.WrongVersion as error:
        print(f"wrong versions (see requirements.txt): {error}", file=sys.stderr)
        return 2
    common = importlib.import_module("common")
    common.prepare_torch()
    for library in ("diffusers", "transformers"):
        importlib.import_module(f"{library}.utils.logging").disable_progress_bar()
    for part in PARTS:
        if chosen and part not in chosen:
            continue
        started = time.perf_counter()
        importlib.import_module(part).write()
        print(f"{part}: {time.perf_counter() - started:.1f} s")
    size = importlib.import_module("listing").write()
    print(f"{size} bytes in {common.FIXTURES}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
