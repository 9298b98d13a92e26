package jetstream

import (
	"fmt"
	"net/http"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/kncloudevents"
)

// BenchmarkChannel measures an event's whole way: POST, store, delivery to each subscriber, over loopback HTTP. One
// operation is one event accepted, and delivered to all.
func BenchmarkChannel(b *testing.B) {
	for _, subscribers := range []int{0, 1, 4} {
		for _, senders := range []int{1, 32} {
			b.Run(fmt.Sprintf("subscribers=%d/senders=%d", subscribers, senders), func(b *testing.B) {
				benchmarkChannel(b, subscribers, senders)
			})
		}
	}
}

func benchmarkChannel(b *testing.B, subscribers, senders int) {
	// What the wiring does for the process (with more).
	kncloudevents.ConfigureConnectionArgs(&kncloudevents.ConnectionArgs{MaxIdleConns: 1000, MaxIdleConnsPerHost: 100})
	m := startMesh(b, Options{Dir: b.TempDir()})
	var specs []eventingduckv1.SubscriberSpec
	var all []*subscriber
	for i := range subscribers {
		s := newSubscriber(b, nil)
		all = append(all, s)
		specs = append(specs, s.spec(types.UID(fmt.Sprint(i)), nil))
	}
	m.subscribe(specs...)
	b.ResetTimer()
	next := make(chan int)
	done := make(chan error)
	for range senders {
		go func() {
			var err error
			for i := range next {
				var status int
				if status, err = post(b.Context(), m.http.URL, fmt.Sprint(i)); err == nil && status != http.StatusAccepted {
					err = fmt.Errorf("status %d", status)
				}
				if err != nil {
					b.Error(err)
				}
			}
			done <- err
		}()
	}
	go func() {
		defer close(next)
		for i := range b.N {
			next <- i
		}
	}()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for _, s := range all {
			for range b.N {
				<-s.got
			}
		}
	}()
	for range senders {
		<-done
	}
	<-finished
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
