package jetstream

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// Values of the label "result" of the counter.
const (
	resultAccepted     = "accepted"      // stored, answered 202
	resultRefused      = "refused"       // could not be stored, answered 503
	resultDelivered    = "delivered"     // to one subscriber
	resultRetried      = "retried"       // failed, given back to the store
	resultDeadLettered = "dead_lettered" // taken by the dead letter sink
	resultDropped      = "dropped"       // given up
)

type metrics struct {
	events *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kyma_channel_events_total",
		Help: "Events of durable channels, by what became of them. Accepted and refused count requests, all else deliveries to a subscriber.",
	}, []string{"namespace", "channel", "result"})}
	if r != nil {
		err := r.Register(m.events)
		if before := (prometheus.AlreadyRegisteredError{}); errors.As(err, &before) { // by an earlier run in this process
			m.events, err = before.ExistingCollector.(*prometheus.CounterVec), nil
		}
		if err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(channel types.NamespacedName, result string) {
	m.events.WithLabelValues(channel.Namespace, channel.Name, result).Inc()
}

// forget removes the counters of a channel that is gone.
func (m *metrics) forget(channel types.NamespacedName) {
	m.events.DeletePartialMatch(prometheus.Labels{"namespace": channel.Namespace, "channel": channel.Name})
}
