#!/usr/bin/env bash
# From an application's event to a function, as a CI script would do it: everything is made with GraphQL, and one event
# goes the whole way. It can be run again: what exists already is used as it is.
#
# Needs curl and jq. Settings, with their defaults:
#   KYMA_CONSOLE  http://127.0.0.1:3000   the console
#   CONNECTOR     http://127.0.0.1:3001   the Application Connector
#   TOKEN                                 a bearer token; the embedded console on loopback needs none
#   NAMESPACE     orders                  where the function runs
#   APPLICATION   shop                    the application that sends the event
set -euo pipefail

console=${KYMA_CONSOLE:-http://127.0.0.1:3000}
connector=${CONNECTOR:-http://127.0.0.1:3001}
namespace=${NAMESPACE:-orders}
application=${APPLICATION:-shop}
service=orders
function=order-created
deadline=$((SECONDS + 55))

fail() {
  echo "order-created: $*" >&2
  exit 1
}

for tool in curl jq; do
  command -v "$tool" > /dev/null || fail "$tool is missing; install it (Debian: apt install $tool)"
done

# graphql DOCUMENT [NAME=JSON ...] prints the data of the answer, or fails with its errors.
graphql() {
  local document=$1 variables='{}' answer errors
  shift
  for variable in "$@"; do
    variables=$(jq -c --arg name "${variable%%=*}" --argjson value "${variable#*=}" '.[$name] = $value' <<< "$variables")
  done
  answer=$(jq -n --arg query "$document" --argjson variables "$variables" '{query: $query, variables: $variables}' |
    curl -sS --max-time 20 -H 'Content-Type: application/json' ${TOKEN:+-H "Authorization: Bearer $TOKEN"} \
      --data-binary @- "$console/graphql") || fail "no answer from $console/graphql: is kyma-console running?"
  errors=$(jq -r '[.errors[]? | "\(.message) [\(.extensions.code // "no code")]"] | join("; ")' <<< "$answer") ||
    fail "not a GraphQL answer: $answer"
  [ -z "$errors" ] || { echo "$errors" >&2; return 1; }
  jq -c .data <<< "$answer"
}

# json VALUE prints a string as JSON.
json() { jq -n --arg value "$1" '$value'; }

# step TEXT says what is done next.
step() { echo "• $*"; }

# until_true WHAT COMMAND... runs the command until it succeeds.
until_true() {
  local what=$1
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "gave up waiting for $what"
    sleep 0.2
  done
}

app=$(json "$application") ns=$(json "$namespace")

step "application $application"
exists=$(graphql 'query($name: String!) { application(name: $name) { name services { id displayName } } }' name="$app") || fail "cannot query applications"
if [ "$(jq .application <<< "$exists")" = null ]; then
  graphql 'mutation($name: String!) { createApplication(name: $name, description: "A web shop", labels: {}) { name } }' name="$app" > /dev/null ||
    fail "cannot create the application"
fi

step "its event service \"$service\", with an AsyncAPI document"
id=$(jq -r --arg name "$service" '[.application.services[]? | select(.displayName == $name) | .id][0] // ""' <<< "$exists")
if [ -z "$id" ]; then
  details=$(jq -n --arg name "$service" '{
    name: $name, provider: "Example", description: "Orders of the web shop", events: {spec: {
      asyncapi: "2.0.0", info: {title: "Orders", version: "1"}, channels: {
        "order.created.v1": {subscribe: {message: {summary: "An order was placed",
          payload: {type: "object", properties: {orderId: {type: "string"}, total: {type: "number"}}}}}},
        "order.shipped.v1": {subscribe: {message: {summary: "An order left the warehouse",
          payload: {type: "object", properties: {orderId: {type: "string"}}}}}}}}}}')
  id=$(graphql 'mutation($app: String!, $service: ApplicationServiceInput!) {
    registerApplicationService(application: $app, service: $service) { id } }' app="$app" service="$details" |
    jq -r .registerApplicationService.id) || fail "cannot register the service"
fi

step "namespace $namespace, with the application enabled in it"
if [ "$(graphql 'query($name: String!) { namespace(name: $name) { name } }' name="$ns" | jq .namespace)" = null ]; then
  graphql 'mutation($name: String!) { createNamespace(name: $name, labels: {}) { name } }' name="$ns" > /dev/null || fail "cannot create the namespace"
fi
enabled=$(graphql 'query($name: String!) { application(name: $name) { enabledInNamespaces } }' name="$app")
if ! jq -e --argjson ns "$ns" '.application.enabledInNamespaces | index($ns)' <<< "$enabled" > /dev/null; then
  graphql 'mutation($app: String!, $ns: String!) { enableApplication(application: $app, namespace: $ns, allServices: true) { application } }' \
    app="$app" ns="$ns" > /dev/null || fail "cannot enable the application"
fi

step "service class of \"$service\""
class_is_there() {
  class=$(graphql 'query($ns: String!, $name: String!) { serviceClass(namespace: $ns, name: $name) { externalName instances { name } plans { externalName } } }' \
    ns="$ns" name="$(json "$id")") || fail "cannot query the service class"
  jq -e '(.serviceClass.plans | length) > 0' <<< "$class" > /dev/null 2>&1
}
until_true "the service class: is the application's HTTP source there?" class_is_there

step "service instance: provisions the events in $namespace"
if jq -e '.serviceClass.instances == []' <<< "$class" > /dev/null; then
  params=$(jq -c --arg name "$application-$service" '{name: $name, labels: [],
    classRef: {externalName: .serviceClass.externalName, clusterWide: false},
    planRef: {externalName: .serviceClass.plans[0].externalName, clusterWide: false}}' <<< "$class")
  graphql 'mutation($ns: String!, $params: ServiceInstanceCreateInput!) { createServiceInstance(namespace: $ns, params: $params) { name } }' \
    ns="$ns" params="$params" > /dev/null || fail "cannot create the service instance"
fi

step "function $function"
source='module.exports = { main: function (event, context) {
  console.log("order " + event.data.orderId + " of " + event["ce-source"] + ": " + event.data.total);
  return { handled: event.data.orderId };
} };'
if [ "$(graphql 'query($ns: String!, $name: String!) { function(namespace: $ns, name: $name) { name } }' ns="$ns" name="$(json "$function")" | jq .function)" = null ]; then
  params=$(jq -n --arg source "$source" '{source: $source, labels: {}, dependencies: "", env: [], replicas: {},
    resources: {limits: {}, requests: {}}, buildResources: {limits: {}, requests: {}}}')
  graphql 'mutation($ns: String!, $name: String!, $params: FunctionMutationInput!) { createFunction(namespace: $ns, name: $name, params: $params) { name } }' \
    ns="$ns" name="$(json "$function")" params="$params" > /dev/null || fail "cannot create the function"
fi

step "trigger: order.created v1 of $application to $function"
triggers=$(graphql 'query($ns: String!, $service: String) { triggers(namespace: $ns, serviceName: $service) { name } }' ns="$ns" service="$(json "$function")")
if jq -e '.triggers == []' <<< "$triggers" > /dev/null; then
  trigger=$(jq -n --arg name "$function" --arg app "$application" --arg ns "$namespace" '{name: $name, broker: "default",
    filterAttributes: {type: "order.created", eventtypeversion: "v1", source: $app},
    subscriber: {ref: {apiVersion: "v1", kind: "Service", name: $name, namespace: $ns}}}')
  graphql 'mutation($ns: String!, $trigger: TriggerCreateInput!) { createTrigger(namespace: $ns, trigger: $trigger) { name } }' \
    ns="$ns" trigger="$trigger" > /dev/null || fail "cannot create the trigger"
fi

step "the whole path to be ready"
path_is_ready() {
  path=$(graphql 'query($ns: String, $app: String) { meshStatus(namespace: $ns, application: $app) { ready rootCause } }' ns="$ns" app="$app") ||
    fail "cannot query the mesh's status"
  cause=$(jq -r '.meshStatus[0].rootCause // "no such path"' <<< "$path")
  jq -e '.meshStatus[0].ready' <<< "$path" > /dev/null
}
until path_is_ready; do
  [ $SECONDS -lt $deadline ] || fail "the path is not ready: $cause"
  sleep 0.2
done

order="$(date +%s)-$RANDOM"
step "event: order $order"
code=$(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' "$connector/$application/events" \
  -H "ce-specversion: 1.0" -H "ce-id: $order" -H "ce-source: shop.example.com" -H "ce-type: order.created" \
  -H "ce-eventtypeversion: v1" -H 'Content-Type: application/json' -d "{\"orderId\": \"$order\", \"total\": 42.5}") ||
  fail "no answer from $connector"
[ "$code" = 200 ] || fail "the Application Connector answered $code"

log_has_order() {
  line=$(graphql 'query($ns: String!, $name: String!) { functionLogs(namespace: $ns, name: $name) { message } }' ns="$ns" name="$(json "$function")" |
    jq -r --arg order "$order" '[.functionLogs[].message | select(contains($order))][0] // ""') || fail "cannot read the function's log"
  [ -n "$line" ]
}
until_true "order $order in the log of $function" log_has_order
echo
echo "The function got it: $line"
