#!/bin/bash
# The one Secret that the manifests refer to, with passwords drawn here: none of them is in a file.
# HF_TOKEN, where it is set, is for gated models.
set -euo pipefail
kubectl create secret generic lamps \
    --from-literal=postgres-password="$(openssl rand -hex 24)" \
    --from-literal=prefect-auth="lamps:$(openssl rand -hex 24)" \
    --from-literal=hf-token="${HF_TOKEN:-}"
