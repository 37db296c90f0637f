#!/bin/sh
# Prints a .env for production: .env.example with a new secret wherever one is needed.
#   sh docker/env.sh > .env
set -eu
cd -P -- "$(dirname -- "$0")/.."

secret() { head -c 32 /dev/urandom | base64 | tr -d '+/=\n'; }

sed \
    -e "s/^DARKROOM_MODE=.*/DARKROOM_MODE=production/" \
    -e "s/^AUTH=.*/AUTH=on/" \
    -e "s/^# ADMIN_KEY=.*/ADMIN_KEY=$(secret)/" \
    -e "s/^BACKUP_KEY=.*/BACKUP_KEY=$(secret)/" \
    -e "s/^S3_SECRET_ACCESS_KEY=.*/S3_SECRET_ACCESS_KEY=$(secret)/" \
    -e "s/^VALKEY_PASSWORD=.*/VALKEY_PASSWORD=$(secret)/" \
    -e "s/^GRAFANA_PASSWORD=.*/GRAFANA_PASSWORD=$(secret)/" \
    .env.example
