#!/bin/sh
# Replaces our containers by new ones with the present images and settings of .env and docker-compose.yml. No request fails.
#   sh docker/upgrade.sh          with COMPOSE_PROFILES=cpu in the environment or in .env
# First the keeper is replaced, then the workers, whose jobs wait or move to other workers. The web tier is last: new copies
# start beside the old ones, which stop when the proxy knows the new ones. The number of copies stays the same.
set -eu
cd -P -- "$(dirname -- "$0")/.."
proxy_asks_again=6 # seconds; more than `valid=` in nginx/http.conf

old=$(docker compose ps --quiet api)
[ -n "$old" ] || {
    echo "No web tier runs here: docker compose up --detach" >&2
    exit 1
}

copies() { docker compose ps --quiet "$1" | wc -l; }
start() { docker compose up --detach --no-build --no-deps --wait "$@"; }

for service in $(docker compose ps --services | grep -E '^(keeper|worker.*)$'); do
    start --scale "$service=$(copies "$service")" "$service"
done

start --no-recreate --scale "api=$(($(copies api) * 2))" api
sleep $proxy_asks_again
for container in $old; do
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
done
