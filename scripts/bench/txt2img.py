"""Compares `sd txt2img` with diffusers on the CPU: whole processes, in turns, on the same model.

    python scripts/bench/random_sd15.py target/sd15
    cargo build --release -p sd-cli
    python scripts/bench/txt2img.py target/sd15 --size 256 --steps 4 --rounds 3

Prints the median of each stage with minimum and maximum, peak anonymous memory (RssAnon: mapped files do not count), and the
ratio of ours to diffusers.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).parents[2]
LAP = re.compile(r"(loaded|encoded|first step|other steps|decoded) in ([0-9.]+) s")


def anonymous_mebibytes(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+)", status)
    return int(found.group(1)) / 1024 if found else 0


def measure(command, steps):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak = 0

    def watch():
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, anonymous_mebibytes(process.pid))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.communicate()[0]
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{output}")
    laps = {stage: float(seconds) for stage, seconds in LAP.findall(output)}
    laps["step"] = laps.pop("other steps") / (steps - 1)
    laps["peak MiB"] = peak
    return laps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sd", default=str(ROOT / "target/release/sd"))
    arguments = parser.parse_args()

    size, steps = str(arguments.size), str(arguments.steps)
    scripts = pathlib.Path(__file__).parent
    commands = {
        "ours": [arguments.sd, "txt2img", "--verbose", "--model", arguments.model, "--prompt", "a lighthouse at dusk"]
        + ["--negative-prompt", "blurry", "--width", size, "--height", size, "--steps", steps]
        + ["--scheduler", "ddim", "--device", "cpu", "--out", str(ROOT / "target/bench.png")],
        "diffusers": [sys.executable, str(scripts / "diffusers_txt2img.py"), arguments.model, "--size", size]
        + ["--steps", steps],
    }
    runs = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            runs[name].append(measure(command, arguments.steps))
    print(f"{'':<12}{'ours':>24}{'diffusers':>24}{'ratio':>8}")
    for stage in runs["ours"][0]:
        values = {name: sorted(lap[stage] for lap in laps) for name, laps in runs.items()}
        cells = [f"{statistics.median(v):.3f} ({v[0]:.3f}–{v[-1]:.3f})" for v in values.values()]
        ratio = statistics.median(values["ours"]) / statistics.median(values["diffusers"])
        print(f"{stage:<12}{cells[0]:>24}{cells[1]:>24}{ratio:>8.2f}")


if __name__ == "__main__":
    main()
