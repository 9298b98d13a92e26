package functions

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

const (
	// maxLine bounds a line of a log, in bytes; what is longer ends in "…".
	maxLine = 4 << 10
	// maxLinesPerCall bounds what one call can write, so that it cannot push everybody else's lines out of the log.
	maxLinesPerCall = 200
)

// logs is the log of one function: the last lines, oldest first. It outlives the function's sources, and is safe for
// concurrent use.
type logs struct {
	mu    sync.Mutex
	lines []eventmesh.LogLine // a ring once it is full
	next  int                 // where the ring goes on
	limit int
}

func newLogs(limit int) *logs { return &logs{limit: limit} }

// add appends a line.
func (l *logs) add(line eventmesh.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < l.limit {
		l.lines = append(l.lines, line)
		return
	}
	l.lines[l.next] = line
	l.next = (l.next + 1) % l.limit
}

// all returns a copy of the lines, oldest first.
func (l *logs) all() []eventmesh.LogLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]eventmesh.LogLine, 0, len(l.lines))
	out = append(out, l.lines[l.next:]...)
	return append(out, l.lines[:l.next]...)
}

// callLog is what one call writes to its function's log. Only the call itself uses it.
type callLog struct {
	logs    *logs
	eventID string
	written int
}

// print adds the lines of a text.
func (c *callLog) print(text string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		switch c.written++; {
		case c.written < maxLinesPerCall:
			c.add(line)
		case c.written == maxLinesPerCall:
			c.add("… this call wrote more lines; they are not kept")
		default:
			return
		}
	}
}

func (c *callLog) add(line string) {
	c.logs.add(eventmesh.LogLine{Time: time.Now(), Message: shorten(line, maxLine), EventID: c.eventID})
}

// shorten cuts s to at most limit bytes, between characters, and says so.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return strings.ToValidUTF8(s, "�")
	}
	const more = "…"
	cut := limit - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "�") + more
}
