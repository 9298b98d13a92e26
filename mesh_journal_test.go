package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// journal is an HTTP server whose paths are subscribers. It writes down, in one order for all of them, what arrives and
// how it is answered.
type journal struct {
	url    string
	closed chan struct{} // when the test has ended

	mu      sync.Mutex
	entries []entry
	broken  map[string]func(*http.Request) int // by subscriber
}

// entry is an event that arrived at a subscriber, or its answer.
type entry struct {
	subscriber, event string
	answer            int // 0 for an arrival
	header            http.Header
	body              string
}

func (s *scenario) newJournal() *journal {
	j := &journal{closed: make(chan struct{}), broken: map[string]func(*http.Request) int{}}
	server := httptest.NewServer(j)
	s.test.Cleanup(func() {
		close(j.closed)
		server.Close() // waits for those that hang
	})
	j.url = server.URL + "/"
	return j
}

// ServeHTTP answers 200 for every subscriber that is not broken.
func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e := entry{subscriber: r.URL.Path[1:], event: r.Header.Get("ce-id"), header: r.Header, body: string(body)}
	j.mu.Lock()
	j.entries = append(j.entries, e)
	answer := j.broken[e.subscriber]
	j.mu.Unlock()
	e.answer = http.StatusOK
	if answer != nil {
		e.answer = answer(r)
	}
	j.mu.Lock()
	j.entries = append(j.entries, e)
	j.mu.Unlock()
	w.WriteHeader(e.answer)
}

// breaks lets a subscriber answer otherwise, until it is mended with nil.
func (j *journal) breaks(subscriber string, answer func(*http.Request) int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken[subscriber] = answer
}

// of lists the entries of a subscriber that have this answer, 0 for the arrivals, and where in the journal they are.
func (j *journal) of(subscriber string, answer int) (found []entry, at []int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, e := range j.entries {
		if e.subscriber == subscriber && e.answer == answer {
			found, at = append(found, e), append(at, i)
		}
	}
	return found, at
}

// got waits until a subscriber has taken all these events.
func (s *scenario) got(j *journal, subscriber string, events ...string) {
	s.t.Helper()
	s.eventually(func() error {
		taken, _ := j.of(subscriber, http.StatusOK)
		for _, id := range events {
			if !slices.ContainsFunc(taken, func(e entry) bool { return e.event == id }) {
				return fmt.Errorf("subscriber %s has not taken event %s; it took %d of %d", subscriber, id, len(taken), len(events))
			}
		}
		return nil
	})
}

// called waits until an event has arrived at a subscriber, whatever the answer.
func (s *scenario) called(j *journal, subscriber string) {
	s.t.Helper()
	s.eventually(func() error {
		if arrived, _ := j.of(subscriber, 0); len(arrived) == 0 {
			return fmt.Errorf("subscriber %s has not been called", subscriber)
		}
		return nil
	})
}

// logged waits until a Function has written a line.
func (s *scenario) logged(namespace, function, line string) {
	s.t.Helper()
	s.eventually(func() error {
		var answer struct{ FunctionLogs []eventmesh.LogLine }
		err := s.query(s.t.Context(), `query($ns: String!, $name: String!) { functionLogs(namespace: $ns, name: $name) { message } }`,
			map[string]any{"ns": namespace, "name": function}, &answer)
		if err == nil && !slices.ContainsFunc(answer.FunctionLogs, func(l eventmesh.LogLine) bool { return l.Message == line }) {
			err = fmt.Errorf("function %s has not logged %q but %v", function, line, answer.FunctionLogs)
		}
		return err
	})
}

// flows sends events until a subscriber has taken one. Those before it may be lost: a Channel that was deleted comes
// back without its subscribers, and forgets what it takes until they are back too.
func (s *scenario) flows(app string, j *journal, subscriber string) {
	s.t.Helper()
	var sent []string
	s.eventually(func() error {
		sent = append(sent, s.sendMany(app, 1)...)
		taken, _ := j.of(subscriber, http.StatusOK)
		if !slices.ContainsFunc(taken, func(e entry) bool { return slices.Contains(sent, e.event) }) {
			return fmt.Errorf("subscriber %s has taken none of %d events", subscriber, len(sent))
		}
		return nil
	})
}

// once fails unless every event that arrived at a subscriber did so once, and was one of these.
func (s *scenario) once(j *journal, subscriber string, events ...string) {
	s.t.Helper()
	arrived, _ := j.of(subscriber, 0)
	count := map[string]int{}
	for _, e := range arrived {
		count[e.event]++
	}
	for _, id := range events {
		if count[id] != 1 {
			s.t.Errorf("event %s arrived %d times at %s", id, count[id], subscriber)
		}
		delete(count, id)
	}
	if len(count) > 0 {
		s.t.Errorf("other events arrived at %s: %v", subscriber, count)
	}
}
