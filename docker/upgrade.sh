#!/bin/sh
# Replaces the containers of ours by ones of the images and settings that .env and docker-compose.yml name now. No request fails.
#   COMPOSE_PROFILES=cpu sh docker/upgrade.sh
# The keeper first, then the workers, whose jobs wait or go elsewhere, then the web tier: new copies beside the old ones,
# which end when the proxy knows the new ones.
set -eu
cd -P -- "$(dirname -- "$0")/.."
proxy_asks_again=6 # seconds; `valid=` in nginx/http.conf

for service in $(docker compose ps --services | grep -E '^(keeper|worker.*)$'); do
    docker compose up --detach --no-deps --wait "$service"
done

old=$(docker compose ps --quiet api)
count=$(echo "$old" | wc -w)
docker compose up --detach --no-deps --no-recreate --wait --scale "api=$((2 * count))" api
sleep $proxy_asks_again
for container in $old; do
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
done
