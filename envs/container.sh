#!/bin/sh
# Step of Dockerfile and apptainer.def, in a folder that has Makefile and requirements.lock: what the
# system has to have, then .venv as `make setup` makes it everywhere.
# $1: cpu, with the torch build of torch's own index that has no CUDA; or cuda, which needs an NVIDIA
# driver on the machine that runs the container and nothing of CUDA in its base.
set -eu
case "$1" in
cpu) index=https://download.pytorch.org/whl/cpu ;;
cuda) index= ;;
*) echo "error: $1: is neither cpu nor cuda" >&2 && exit 1 ;;
esac
apt-get update -qq
# gcc compiles pesq; Snakemake reads modules by address with git.
apt-get install -y -qq --no-install-recommends ca-certificates gcc git libc6-dev make \
    python3 python3-dev python3-venv
rm -rf /var/lib/apt/lists/*
make setup PYTHON=python3 TORCH_INDEX="$index"
rm -rf "$HOME/.cache/pip"
