package embedded

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The server cancels a request when it believes that its connection has ended. It must not believe so while the next
// request follows hard upon the answer to the last, as it does when the store answers many senders at once.
func TestNetworkCancelsNoRequest(t *testing.T) {
	const clients, rounds = 64, 300
	all := meeting{size: clients, over: make(chan struct{})}
	var cancelled atomic.Int64
	n := newNetwork(func(context.Context, string, string) (target, error) {
		return target{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // from its end on the server watches the connection
			all.meet()
			if r.Context().Err() != nil {
				cancelled.Add(1)
			}
			w.WriteHeader(http.StatusAccepted)
		})}, nil
	})
	go func() { _ = n.run(t.Context()) }()
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: clients,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return n.dial(ctx, network, address)
		},
	}}
	defer client.CloseIdleConnections()
	var sending sync.WaitGroup
	for range clients {
		sending.Go(func() {
			for range rounds {
				res, err := client.Post("http://shop.test.svc.cluster.local/", "text/plain", strings.NewReader("event"))
				if err != nil {
					t.Error(err)
					all.meet() // in the place of the request
					continue
				}
				_ = res.Body.Close()
			}
		})
	}
	sending.Wait()
	if n := cancelled.Load(); n > 0 {
		t.Errorf("%d of %d requests were cancelled", n, clients*rounds)
	}
}

// meeting lets go of those who meet when all have come. There can be another one then.
type meeting struct {
	size int

	mu   sync.Mutex
	here int
	over chan struct{}
}

func (m *meeting) meet() {
	m.mu.Lock()
	over := m.over
	if m.here++; m.here == m.size {
		close(m.over)
		m.here, m.over = 0, make(chan struct{})
	}
	m.mu.Unlock()
	<-over
}
