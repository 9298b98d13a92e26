package resolvers

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"
)

const (
	// writeTimeout is how long a websocket's client may take to accept one message before it is cut off.
	writeTimeout = 10 * time.Second
	// closeGrace is how long gqlgen may take to close a websocket that is at its end.
	closeGrace = time.Second
)

// gorilla lets gqlgen's websocket transport run on gorilla/websocket.
type gorilla struct{ upgrader *websocket.Upgrader }

// Accept upgrades the request. Of the sub-protocols that the client offers the first that gqlgen knows is chosen; a
// token that the Console puts behind it is not sent back.
func (g gorilla) Accept(w http.ResponseWriter, r *http.Request, options transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	upgrader := *g.upgrader
	upgrader.Subprotocols = options.Subprotocols
	conn, err := upgrader.Upgrade(w, r, options.ResponseHeader)
	if err != nil {
		return nil, err
	}
	// gqlgen leaves the connection open when it does not understand connection_init. When all is well it has closed the
	// connection by then, or is about to.
	context.AfterFunc(r.Context(), func() { time.AfterFunc(closeGrace, func() { _ = conn.Close() }) })
	return gorillaConn{conn}, nil
}

// gorillaConn is a connection as gqlgen wants it. gqlgen never writes from two goroutines at once.
type gorillaConn struct{ *websocket.Conn }

// NextReader waits for the next message. A client that went away properly is ErrWebsocketClosed.
func (c gorillaConn) NextReader() (int, io.Reader, error) {
	messageType, reader, err := c.Conn.NextReader()
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
		err = transport.ErrWebsocketClosed
	}
	return messageType, reader, err
}

// WriteJSON sends a message. A client that does not take it in time is cut off, which ends everything it asked for.
func (c gorillaConn) WriteJSON(v any) error {
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	err := c.Conn.WriteJSON(v)
	if err != nil {
		_ = c.Close()
	}
	return err
}

// WriteClose sends a close frame.
func (c gorillaConn) WriteClose(code int, message string) error {
	frame := websocket.FormatCloseMessage(code, message)
	return c.WriteControl(websocket.CloseMessage, frame, time.Now().Add(writeTimeout))
}
