#!/bin/bash
# One Dask worker for each GPU that is visible on this host, until the scheduler ends. On a host without GPUs: one.
#   workers.sh tls://HEAD:8786
set -euo pipefail
scheduler=$1
if [ -z "${CUDA_VISIBLE_DEVICES:-}" ] && command -v nvidia-smi > /dev/null; then
    CUDA_VISIBLE_DEVICES=$(nvidia-smi --query-gpu=index --format=csv,noheader | paste -sd,)
fi
IFS=, read -ra devices <<< "${CUDA_VISIBLE_DEVICES:-none}"
trap 'kill $(jobs -p) 2> /dev/null; wait' TERM INT
for device in "${devices[@]}"; do
    [ "$device" = none ] && device=
    # --death-timeout: a worker whose scheduler was killed must not hold its GPU for ever.
    CUDA_VISIBLE_DEVICES=$device dask worker "$scheduler" --nworkers 1 --nthreads 1 --resources GPU=1 \
        --memory-limit 0 --no-dashboard --death-timeout 120 --local-directory "${TMPDIR:-/tmp}" &
done
wait
