package transport

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// This file has what a connection writes. Messages and answers wait until the writer takes them; the writer is a goroutine
// that exists only while there is something to write.

// send writes a message before any answer that waits.
func (c *connection) send(f *frame) {
	raw, err := json.Marshal(f)
	if err != nil {
		return // a payload that the client sent and that has been parsed can be written
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(raw)
}

// put is send with the lock held. A client can have as much said to it as it asks for, such as a pong for each ping: one
// that does not read it is cut off before it fills the memory.
func (c *connection) put(raw []byte) {
	if c.ending != nil {
		return
	}
	c.control = append(c.control, raw)
	if c.waiting += int64(len(raw)); c.waiting > 2*c.t.MaxMessage {
		c.control = nil
		c.beginEnd(closeUnread)
	}
	c.wake()
}

// drop forgets what waits of an operation that the client wants no more of. The lock is held.
func (c *connection) drop(op *operation) {
	op.over, op.box, op.last = true, mailbox{}, nil
	if op.queued {
		c.pending = slices.DeleteFunc(c.pending, func(p *operation) bool { return p == op })
	}
}

// end closes the connection after what waits to be written.
func (c *connection) end(how closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginEnd(how)
}

// beginEnd is end with the lock held. However much waits, and however slowly the client takes it, the end comes in time.
func (c *connection) beginEnd(how closing) {
	if c.ending == nil {
		c.ending = &how
		c.endTimer = time.AfterFunc(endTimeout, c.cut)
		c.wake()
	}
}

// cut ends the connection without a word. Called without the lock.
func (c *connection) cut() {
	c.mu.Lock()
	if c.endTimer != nil {
		c.endTimer.Stop()
	}
	c.mu.Unlock()
	_ = c.ws.Close() // closing again does nothing
}

// wake has the writer look. The lock is held.
func (c *connection) wake() {
	if !c.writing {
		c.writing = true
		go c.write()
	}
}

// write writes what waits until there is nothing. A client that does not take it in time is cut off, which ends
// everything that it asked for.
func (c *connection) write() {
	for {
		c.mu.Lock()
		control, pending, ending := c.control, c.pending, c.ending
		c.control, c.waiting, c.pending = nil, 0, nil
		if len(control)+len(pending) == 0 {
			c.writing = ending != nil // nothing is written after the end
			c.mu.Unlock()
			if ending != nil {
				c.writeEnd(*ending)
			}
			return
		}
		batches := make([]batch, len(pending))
		for i, op := range pending {
			batches[i] = op.take()
		}
		c.mu.Unlock()
		if err := c.writeAll(control, batches); err != nil {
			c.cut() // the reader sees it
			return  // writing stays set: nothing more can be written
		}
	}
}

func (c *connection) writeAll(control [][]byte, batches []batch) error {
	for _, raw := range control {
		if err := c.writeParts(raw); err != nil {
			return err
		}
	}
	for _, b := range batches {
		for _, payload := range b.payloads {
			if err := c.writeParts(b.head, payload, []byte{'}'}); err != nil {
				return err
			}
		}
		if b.last != nil {
			if err := c.writeParts(b.last); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeParts writes one message.
func (c *connection) writeParts(parts ...[]byte) error {
	if err := c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	w, err := c.ws.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Close()
}

// writeEnd sends the close frame and gives the client a moment to answer it, so that it reads the code and not a reset.
func (c *connection) writeEnd(how closing) {
	frame := websocket.FormatCloseMessage(how.code, truncated(how.reason))
	_ = c.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(writeTimeout)) // or else it is gone already
	c.mu.Lock()
	c.endSent = true
	gone := c.readerGone
	_ = c.ws.SetReadDeadline(time.Now().Add(closeGrace)) // or else it is gone already
	c.mu.Unlock()
	if gone {
		c.cut()
	}
}

// truncated makes a reason fit into a close frame.
func truncated(reason string) string {
	const most = 123 // bytes, RFC 6455 section 5.5 less two for the code
	if len(reason) <= most {
		return reason
	}
	return strings.ToValidUTF8(reason[:most], "")
}
