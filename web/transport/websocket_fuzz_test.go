package transport_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// FuzzFrames sends a message of any kind, before and after the greeting, in both sub-protocols. Whatever it is, the
// connection goes on or is closed with a code that the protocol has.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		initMessage, subscribeMessage, `{"type":"ping","payload":{"x":1}}`, `{"type":"pong"}`, `{"id":"1","type":"complete"}`,
		`{"id":"1","type":"start","payload":{"query":"{name}","variables":{"x":[1,2]},"operationName":"N"}}`, `{"id":"1","type":"stop"}`,
		`{"type":"connection_init","payload":{"Authorization":"Bearer x"}}`, `{"id":"","type":"subscribe","payload":null}`,
		`{"id":"1","type":"subscribe","payload":{"query":"query($x:String){name}","variables":"x","extensions":{"persistedQuery":{}}}}`,
		`{"type":"connection_terminate"}`, `[`, `{}`, "\xff\xfe", `{"type":"subscribe","id":"1","payload":{"query":"{name`,
	} {
		f.Add([]byte(seed), true, true)
		f.Add([]byte(seed), true, false)
		f.Add([]byte(seed), false, true)
	}
	codes := []int{
		websocket.CloseNormalClosure, websocket.CloseInvalidFramePayloadData, websocket.CloseMessageTooBig,
		4400, 4401, 4403, 4406, 4408, 4409, 4429, 4500,
	}
	f.Fuzz(func(t *testing.T, message []byte, legacy, greet bool) {
		srv := serve(t, &transport.Websocket{MaxMessage: 1 << 16}, &transport.SSE{}, nil)
		protocol := transport.TransportWS
		if legacy {
			protocol = transport.LegacyWS
		}
		c := srv.dial(t, protocol)
		if greet {
			c.send(initMessage)
		}
		for _, m := range []string{string(message), string(message), `{"type":"ping"}`, `{"type":"connection_terminate"}`} {
			if c.conn.WriteMessage(websocket.TextMessage, []byte(m)) != nil {
				break // closed already
			}
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		for {
			_, _, err := c.conn.ReadMessage()
			var closed *websocket.CloseError
			switch {
			case err == nil:
				continue
			case !errors.As(err, &closed):
				t.Fatalf("%v, want a close frame", err)
			case !slices.Contains(codes, closed.Code):
				t.Fatalf("closed with %d %q", closed.Code, closed.Text)
			}
			return
		}
	})
}
