#!/usr/bin/env bash
# Trains the demo model from nothing: about an hour on two H200 (on one GPU without `devices` in the run files).
# The result is demo/runs/diffusion-2/model. A run that was interrupted goes on with `sd train RUN.toml --device cuda --resume`.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run --release -p sd-world --example demo_data -- demo/data 150000
mkdir -p demo/model/tokenizer
cp -r demo/data/tokenizer/. demo/model/tokenizer

# In this order: each takes over what the one before has published.
for run in autoencoder diffusion autoencoder-2 diffusion-2; do
    cargo run --release -p sd-cli --features cuda,collective -- train "demo/$run.toml" --device cuda
done
