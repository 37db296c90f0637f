#!/bin/sh
# Builds images, labels them with version and revision, and prints their sizes.
#   sh docker/images.sh "api worker-cpu" [OPTIONS OF docker build]
# Each image gets the tags VERSION and latest. DARKROOM_REGISTRY, such as registry.example/team/, is put before its name.
set -eu
cd -P -- "$(dirname -- "$0")/.."
images=${1:?which of api, worker-cpu and worker-cuda}
shift

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' darkroom/version.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

for image in $images; do
    name=${DARKROOM_REGISTRY:-}darkroom-$image
    docker build --file docker/Dockerfile --target "$image" --tag "$name:$version" --tag "$name:latest" \
        --label org.opencontainers.image.version="$version" \
        --label org.opencontainers.image.revision="$revision" \
        --label org.opencontainers.image.created="$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
        "$@" .
    size=$(docker image inspect --format '{{.Size}}' "$name:$version")
    echo "$name:$version $((size / 1000000)) MB"
done
