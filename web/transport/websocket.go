package transport

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
)

// The sub-protocols of GraphQL over websockets.
const (
	// TransportWS is today's: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
	TransportWS = "graphql-transport-ws"
	// LegacyWS is that of subscriptions-transport-ws, which the Kyma Console speaks. Its name is the other's package's:
	// https://github.com/apollographql/subscriptions-transport-ws/blob/master/PROTOCOL.md
	LegacyWS = "graphql-ws"
)

// writeTimeout is how long a client may take to accept one message before it is cut off.
const writeTimeout = 10 * time.Second

// endTimeout is how long what waits may take to be written once a stream is being ended: less than a stop of the server
// leaves for it, so that a client that does not read cannot hold that up.
const endTimeout = 3 * time.Second

// closeGrace is how long a client may take to answer a close frame.
const closeGrace = time.Second

// Websocket is a gqlgen transport for websockets of both sub-protocols, for every kind of operation. Origins are not
// checked here. Its fields are set before use.
type Websocket struct {
	// Fanout shares subscriptions; required.
	Fanout *Fanout
	// MaxMessage is the largest message that a client may send, in bytes. Default 1 MiB.
	MaxMessage int64
	// MaxOperations is how many operations may run at once on a connection. Default 100.
	MaxOperations int
	// InitTimeout is how long a client may take to send connection_init. Default 10 s.
	InitTimeout time.Duration
	// Alive is how often a client is sent a sign of life. A graphql-transport-ws client that has been silent for
	// three of them is cut off, for it has not answered. Default 10 s, as the Console expects it.
	Alive time.Duration
	// Admit is asked when a client has signed in by its first message, with the context that carries the user. If ok is
	// false the connection is closed with 1013, else leave is called at its end. Nil admits all. Who is known before is
	// admitted before the upgrade.
	Admit func(ctx context.Context) (leave func(), ok bool)

	once     sync.Once
	upgrader websocket.Upgrader
}

var _ graphql.Transport = (*Websocket)(nil)

// Supports reports whether the request asks for a websocket. An offer of another protocol is none, and may be passed over.
func (t *Websocket) Supports(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// Do serves a websocket until it ends.
func (t *Websocket) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	t.once.Do(t.prepare)
	ws, err := t.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	c := newConnection(t, ws, exec, r)
	if ws.Subprotocol() == "" {
		c.end(closeSubprotocol)
	}
	c.serve()
}

func (t *Websocket) prepare() {
	t.MaxMessage = cmp.Or(t.MaxMessage, 1<<20)
	t.MaxOperations = cmp.Or(t.MaxOperations, 100)
	t.InitTimeout = cmp.Or(t.InitTimeout, 10*time.Second)
	t.Alive = cmp.Or(t.Alive, 10*time.Second)
	t.upgrader = websocket.Upgrader{
		CheckOrigin:      func(*http.Request) bool { return true },
		HandshakeTimeout: 10 * time.Second,
		Subprotocols:     []string{TransportWS, LegacyWS},
		ReadBufferSize:   1024,
		WriteBufferSize:  4096,
		WriteBufferPool:  &sync.Pool{}, // an idle connection holds no buffer
		Error:            refuseUpgrade,
	}
}

// refuseUpgrade answers a request that is no proper websocket handshake.
func refuseUpgrade(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	w.Header().Set("Sec-Websocket-Version", "13")
	refuse(w, plainJSON, refusal{status, codeBadRequest, reason.Error()})
}

// closing is how a connection is ended.
type closing struct {
	code   int
	reason string
}

// The ends of a connection, with the codes and texts of graphql-ws, which clients decide by.
var (
	closeNormal      = closing{websocket.CloseNormalClosure, ""}
	closeGoingAway   = closing{websocket.CloseGoingAway, "the server is stopping, connect again"}
	closeSubprotocol = closing{4406, "Subprotocol not acceptable"}
	closeInitTimeout = closing{4408, "Connection initialisation timeout"}
	closeInitTwice   = closing{4429, "Too many initialisation requests"}
	closeUnknown     = closing{4401, "Unauthorized"}
	closeForbidden   = closing{4403, "Forbidden"}
	closeSignedOut   = closing{4401, "the sign-in has expired or was withdrawn"}
	closeTooMany     = closing{websocket.CloseTryAgainLater, "too many websockets and event streams of one user at once"}
	closeUnread      = closing{websocket.ClosePolicyViolation, "too much waits to be read"}
	closeSilent      = closing{websocket.ClosePolicyViolation, "no answer to a sign of life"}
)

// closeBad is the end of a connection whose client does not keep to the protocol.
func closeBad(reason string) closing { return closing{4400, reason} }

// closeUnexpected is the end of a connection whose client sends what only a server may. The code is that of graphql-ws.
func closeUnexpected(why unexpected) closing { return closing{4500, why.Error()} }

func closeDuplicate(id string) closing {
	return closing{4409, "Subscriber for " + id + " already exists"}
}
