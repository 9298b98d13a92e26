package jetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// hostSuffix marks the Services of JetStreamChannels, as "-kn-channel" marks those of Knative's own channels.
const hostSuffix = "-kn-jetstream"

// maxStreamName leaves room below the 255 bytes of a NATS name and of a file name.
const maxStreamName = 200

// Keys of a stream's and a consumer's metadata, by which they are recognised after a restart.
const (
	metadataNamespace  = "kyma-project.io/channel-namespace"
	metadataName       = "kyma-project.io/channel-name"
	metadataUID        = "kyma-project.io/channel-uid"
	metadataSubscriber = "kyma-project.io/subscriber-uid"
)

// Host is the DNS name at which the JetStreamChannel name in namespace takes events.
func Host(name, namespace string) string {
	return eventmesh.ServiceHost(name+hostSuffix, namespace)
}

// parseHost is the inverse of Host. ok is false for every other host.
func parseHost(host string) (channel types.NamespacedName, ok bool) {
	service, namespace, ok := eventmesh.ParseServiceHost(strings.ToLower(host))
	if !ok {
		return types.NamespacedName{}, false
	}
	name, ok := strings.CutSuffix(service, hostSuffix)
	if !ok || name == "" {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, true
}

// streamName is the name of a channel's stream: <namespace>_<name>. The underscore occurs in no Kubernetes name, so
// two channels never share a stream. A dot, which NATS doesn't take, becomes "=". A name that is too long for a file
// ends in a hash, after a second underscore.
func streamName(channel types.NamespacedName) string {
	name := channel.Namespace + "_" + strings.ReplaceAll(channel.Name, ".", "=")
	if len(name) <= maxStreamName {
		return name
	}
	return name[:maxStreamName-33] + "_" + shortHash(name)
}

// subjectOf is the only subject of a stream.
func subjectOf(stream string) string { return "channel." + stream }

// consumerName is the name of a subscriber's durable consumer: its UID, or a hash of one that is no name to NATS.
func consumerName(subscriber types.UID) string {
	plain := subscriber != "" && len(subscriber) <= maxStreamName &&
		strings.Trim(string(subscriber), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
	if plain {
		return string(subscriber)
	}
	return "_" + shortHash(string(subscriber))
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
