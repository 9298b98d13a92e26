#!/usr/bin/env bash
# Starts the program on an empty directory and free ports, and runs the examples against it as a user would: the script
# twice, and the files for kubectl when kubectl is there.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
pid=
stop() {
  [ -z "$pid" ] || { kill "$pid" 2> /dev/null && wait "$pid" || true; }
  rm -rf "$dir"
}
trap stop EXIT

go build -o "$dir/kyma-console" .
"$dir/kyma-console" --data-dir "$dir/data" --listen 127.0.0.1:0 --connector-listen 127.0.0.1:0 --broker-listen 127.0.0.1:0 > "$dir/out" 2>&1 &
pid=$!
for _ in $(seq 600); do
  grep -q 'kyma-console is ready' "$dir/out" && grep -q '^  Log' "$dir/out" && break
  kill -0 "$pid" 2> /dev/null || { cat "$dir/out"; exit 1; }
  sleep 0.1
done
cat "$dir/out"
KYMA_CONSOLE=$(sed -n 's|^  GraphQL *\(.*\)/graphql$|\1|p' "$dir/out")
CONNECTOR=$(sed -n 's|^  Connector *\(.*\)/<application>/events$|\1|p' "$dir/out")
export KYMA_CONSOLE CONNECTOR

examples/order-created.sh
examples/order-created.sh

command -v kubectl > /dev/null || { echo 'kubectl is not there: its examples are left out'; exit 0; }
export KUBECONFIG=$dir/data/kubeconfig
kubectl apply -f examples/kubectl
kubectl wait -n reading --for=condition=Ready --timeout=60s serviceinstance/bookshop-orders trigger/note-created trigger/note-shipped
kubectl wait -n reading --for=condition=Running --timeout=60s function/note-order
curl -sSf -o /dev/null "$CONNECTOR/bookshop/events" -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: x' \
  -H 'ce-type: order.created' -H 'ce-eventtypeversion: v1' -H 'Content-Type: application/json' -d '{"orderId": "1"}'
kubectl get applications,httpsources,channels,subscriptions,brokers.eventing.knative.dev,triggers,servicebrokers,serviceclasses,serviceinstances,eventactivations,functions -A
