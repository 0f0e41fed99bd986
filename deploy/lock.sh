#!/usr/bin/env bash
# Locks what the image installs, with hashes: `requirements.txt` for what runs, `build.txt` for what
# builds the wheel. Expects a `.venv` with the `dev` extra. Where they come from is not written down.
set -euo pipefail
cd "$(dirname "$0")/.."

# Of the Python that the image has, and for each kind of machine that it is built on.
python=$(sed -n 's/^FROM python:\([0-9.]*\)-slim$/\1/p' deploy/Dockerfile)

# lock FILE ARGUMENTS…: standard input is read where they name it
lock() {
  .venv/bin/uv pip compile -q --universal --python-version "$python" --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade \
    --output-file "deploy/$1" "${@:2}"
}

lock requirements.txt pyproject.toml --extra all
.venv/bin/python - <<'END' | lock build.txt -
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
END
