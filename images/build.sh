#!/bin/sh
# Builds the images where docker or buildah is there, and prints their sizes; else says why not.
# `images/build.sh REGISTRY TAG`, as in `images/build.sh ghcr.io/sagamesh 0.1.0`.
set -eu
registry=${1:-sagamesh} tag=${2:-dev}
cd "$(dirname "$0")/.."

if docker info >/dev/null 2>&1; then
    build() { docker build --quiet --target "$1" --tag "$2" --file images/Dockerfile .; }
    size() { docker images --format '{{.Size}}' "$1"; }
elif command -v buildah >/dev/null; then
    build() { buildah build --quiet --target "$1" --tag "$2" --file images/Dockerfile .; }
    size() { buildah images --format '{{.Size}}' "$1"; }
else
    echo 'no images are built: neither a docker daemon answers nor is buildah installed' >&2
    exit 0
fi

for image in operator injector sidecar; do
    name=$registry/sagamesh-$image:$tag
    build "$image" "$name" >/dev/null
    echo "$name: $(size "$name")"
done
