package main

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// How many changes are made for one figure. Those that are compared with one another need more: their slowest hundredth is
// that of a few changes that met a garbage collection.
const (
	benchChanges  = 20
	benchCompared = 200 // in each turn
)

// crowd is a number of websockets that subscribe to the same.
type crowd struct {
	conns    []*websocket.Conn
	received chan time.Time // one for each event and websocket
	reading  sync.WaitGroup
}

// BenchmarkStreams measures how long a change takes to all who subscribe to it, from the answer to the write until it has
// been received, and what an idle subscriber costs the server. It writes docs/benchmarks.md.
func BenchmarkStreams(b *testing.B) {
	e := startEstate(b)
	var table strings.Builder
	table.WriteString("| subscribers | median | p99 | slowest | wanted |\n|---|---|---|---|---|\n")
	for range b.N {
		few := benchCrowd(b, e, 500)
		var alone, beside delays // in turns, so that what else the machine does is in both
		for range benchRuns {
			alone = append(alone, few.change(b, e, benchCompared)...)
			stalled := benchStalled(b, e)
			beside = append(beside, few.change(b, e, benchCompared)...)
			_ = stalled.Close()
		}
		slices.Sort(alone)
		slices.Sort(beside)
		fmt.Fprintf(&table, "| 500 | %s | p99 ≤ 30 ms |\n", alone)
		fmt.Fprintf(&table, "| 500, and one that never reads | %s | p99 within 10 %% |\n", beside)
		few.leave()

		many := benchCrowd(b, e, 5000)
		fmt.Fprintf(&table, "| 5,000 | %s | all within 1 s |\n", many.change(b, e, benchChanges))
		many.leave()

		before := benchMemory(b, e.pid)
		most := benchCrowd(b, e, 10_000)
		each := (benchMemory(b, e.pid) - before) * 1024 / 10_000
		fmt.Fprintf(&table, "| 10,000 | %s | held |\n\nMemory of the server for each idle subscriber: %.1f KB (resident, of 10,000; wanted ≤ 40 KB).\n", most.change(b, e, benchChanges), each)
		most.leave()
		b.ReportMetric(alone.p99().Seconds()*1000, "p99-of-500-ms")
		b.ReportMetric(each, "KB/subscriber")
	}
	fmt.Print(table.String())
	writeBenchmarks(b, "streams", table.String())
}

// benchCrowd connects n websockets that subscribe, and returns when all have.
func benchCrowd(b *testing.B, e *estate, n int) *crowd {
	b.Helper()
	c := &crowd{conns: make([]*websocket.Conn, n), received: make(chan time.Time, 4*n)}
	var g errgroup.Group
	g.SetLimit(32)
	for i := range n {
		g.Go(func() (err error) {
			c.conns[i], err = benchSubscribe(e)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	for _, conn := range c.conns {
		c.reading.Go(func() { c.read(conn) })
	}
	return c
}

// read notes when each event comes, until the connection ends.
func (c *crowd) read(conn *websocket.Conn) {
	for {
		_, raw, err := conn.ReadMessage()
		at := time.Now()
		switch {
		case err != nil:
			return
		case string(raw) == `{"type":"ping"}`:
			if conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"pong"}`)) != nil {
				return
			}
		default:
			c.received <- at
		}
	}
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.reading.Wait()
}

// benchSubscribe is a websocket whose subscription has begun.
func benchSubscribe(e *estate) (*websocket.Conn, error) {
	dialer := websocket.Dialer{Subprotocols: []string{transportWS}, ReadBufferSize: 1024, WriteBufferSize: 1024, HandshakeTimeout: time.Minute}
	conn, res, err := dialer.Dial("ws"+strings.TrimPrefix(e.console, "http")+"/graphql", nil)
	if err != nil {
		return nil, err
	}
	_ = res.Body.Close()
	for _, m := range []string{
		`{"type":"connection_init"}`,
		`{"type":"subscribe","id":"1","payload":{"query":"subscription { applicationEvent { type application { name description labels status } } }"}}`,
		`{"type":"subscribe","id":"2","payload":{"query":"{ __typename }"}}`, // is answered when the first has begun
	} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			return nil, err
		}
	}
	for {
		var m wsMessage
		if err := conn.ReadJSON(&m); err != nil {
			return nil, err
		}
		if m.Type == "complete" {
			return conn, nil
		}
	}
}

// benchStalled subscribes and never reads: with small buffers, so that the server notices soon.
func benchStalled(b *testing.B, e *estate) *websocket.Conn {
	b.Helper()
	conn, err := benchSubscribe(e)
	if err != nil {
		b.Fatal(err)
	}
	if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(4096); err != nil {
			b.Fatal(err)
		}
	}
	return conn
}

// delays are sorted.
type delays []time.Duration

func (d delays) p99() time.Duration { return d[len(d)*99/100] }

func (d delays) String() string {
	round := func(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
	return fmt.Sprintf("%s | %s | %s", round(d[len(d)/2]), round(d.p99()), round(d[len(d)-1]))
}

// change changes an application, a number of times, and returns how long each change took to each of the crowd.
func (c *crowd) change(b *testing.B, e *estate, times int) delays {
	b.Helper()
	var all delays
	for i := range times {
		app := &appv1.Application{}
		app.Name = "application-042"
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"description": fmt.Sprintf("changed at %d, round %d", time.Now().UnixNano(), i)}})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.kube.Patch(b.Context(), app, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			b.Fatal(err)
		}
		written := time.Now()
		for range c.conns {
			select {
			case at := <-c.received:
				all = append(all, max(0, at.Sub(written)))
			case <-time.After(patience):
				b.Fatal("not all have received the change")
			}
		}
	}
	slices.Sort(all)
	return all
}
