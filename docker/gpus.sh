#!/bin/sh
# Prints a compose file with one worker for each GPU of this machine. The argument is the number of GPUs.
#   sh docker/gpus.sh 4 > docker-compose.gpus.yml
#   docker compose -f docker-compose.yml -f docker-compose.gpus.yml up -d
# Each GPU has its own service, because copies of one service would all get the same GPU.
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
    networks:
      inside:
        aliases: [worker-gpu] # the name by which Prometheus finds workers
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
