#!/bin/sh
# Install torch, and what its CUDA build wants beside it, each by a hash of the locks.
# Usage: sh torch-install.sh FOLDER
#   FOLDER: with torch.lock and torch-cuda.lock
#
# Which build it is, CPU or CUDA, is decided by where the machine's pip looks; that it is torch's own, by the hash.
set -eu
locks=$1
sh /run/build/pip-install.sh --no-deps --require-hashes -r "$locks/torch.lock"
if /opt/venv/bin/python -c '
import importlib.metadata, sys
needs = importlib.metadata.requires("torch") or ()
sys.exit(not any(need.startswith(("cuda-", "nvidia-", "triton")) for need in needs))'; then
    sh /run/build/pip-install.sh --no-deps --require-hashes -r "$locks/torch-cuda.lock"
fi
