#!/bin/sh
# Builds the images where docker or buildah is there, and prints their sizes; else says why not.
# `images/build.sh REGISTRY TAG`, as in `images/build.sh ghcr.io/sagamesh 0.1.0`; BUILDER=docker or buildah chooses.
set -eu
registry=${1:-sagamesh} tag=${2:-dev}
cd "$(dirname "$0")/.."

if [ -z "${BUILDER:-}" ]; then
    if docker info >/dev/null 2>&1; then
        BUILDER=docker
    elif command -v buildah >/dev/null; then
        BUILDER=buildah
    else
        echo 'no images are built: neither a docker daemon answers nor is buildah installed' >&2
        exit 1
    fi
fi

case $BUILDER in
docker) build='docker build' ;;
buildah) build='buildah build --layers' ;; # else it would build the stages that images share once for each
*)
    echo "BUILDER is docker or buildah, not $BUILDER" >&2
    exit 2
    ;;
esac

for image in operator injector sidecar examples; do
    name=$registry/sagamesh-$image:$tag
    $build --quiet --target "$image" --tag "$name" --file images/Dockerfile . >/dev/null
    echo "$name: $("$BUILDER" images --format '{{.Size}}' "$name")"
done
