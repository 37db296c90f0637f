#!/bin/sh
# Prints a compose file with one worker for each of so many GPUs of this machine.
#   sh docker/gpus.sh 4 > docker-compose.gpus.yml
#   docker compose -f docker-compose.yml -f docker-compose.gpus.yml up -d
# Copies of one service would all get the same GPU, so each GPU has a service of its own.
set -eu
count=${1:?how many GPUs}

echo "services:"
gpu=0
while [ "$gpu" -lt "$count" ]; do
    cat <<END
  worker-gpu-$gpu:
    extends:
      file: docker-compose.yml
      service: worker-gpu
    profiles: !reset []
    deploy:
      resources:
        reservations:
          devices: !override
            - driver: nvidia
              device_ids: ["$gpu"]
              capabilities: [gpu]
END
    gpu=$((gpu + 1))
done
