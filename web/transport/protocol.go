package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
)

// frame is a message of either sub-protocol.
type frame struct {
	ID      *string         `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Types of messages. Where the sub-protocols differ, the legacy name has the prefix legacy.
const (
	typeInit      = "connection_init"
	typeAck       = "connection_ack"
	typePing      = "ping"
	typePong      = "pong"
	typeSubscribe = "subscribe"
	typeNext      = "next"
	typeError     = "error"
	typeComplete  = "complete"

	legacyAlive     = "ka"
	legacyStart     = "start"
	legacyData      = "data"
	legacyStop      = "stop"
	legacyTerminate = "connection_terminate"
	legacyInitError = "connection_error"
)

// fromClient are the types that a client may send.
var (
	fromClient       = []string{typeInit, typePing, typePong, typeSubscribe, typeComplete}
	fromLegacyClient = []string{typeInit, legacyStart, legacyStop, legacyTerminate}
	fromServer       = []string{typeAck, typeNext, typeError} // and not from a client, but in the same document
)

// unexpected is a message of a type that is specified, but for the other side to send.
type unexpected string

func (u unexpected) Error() string { return "Unexpected message of type " + string(u) + " received" }

// parse reads a message and checks its shape, so that whoever handles it need not. The error is for the client.
func parse(raw []byte, legacy bool) (*frame, error) {
	var f frame
	if err := decode(raw, &f); err != nil {
		return nil, errors.New("the message is not a JSON object with a type")
	}
	if bytes.Equal(f.Payload, []byte("null")) {
		f.Payload = nil // as good as none
	}
	known := fromClient
	if legacy {
		known = fromLegacyClient
	}
	if !legacy && slices.Contains(fromServer, f.Type) {
		return nil, unexpected(f.Type)
	}
	if !slices.Contains(known, f.Type) {
		return nil, fmt.Errorf("unexpected message of type %q", f.Type)
	}
	hasID := f.ID != nil && *f.ID != ""
	switch f.Type {
	case typeSubscribe, legacyStart, typeComplete, legacyStop:
		if !hasID {
			return nil, fmt.Errorf("a message of type %q needs an id", f.Type)
		}
	}
	if (f.Type == typeSubscribe || f.Type == legacyStart) && len(f.Payload) == 0 {
		return nil, fmt.Errorf("a message of type %q needs a payload", f.Type)
	}
	if !isObject(f.Payload) && !legacy && f.Type != typeComplete {
		return nil, fmt.Errorf("the payload of a message of type %q must be an object", f.Type)
	}
	return &f, nil
}

// isObject reports whether raw is a JSON object, or nothing. raw is valid JSON.
func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) == 0 || raw[0] == '{'
}

// request reads the payload of a subscribe or start message. The error is for the client.
func (f *frame) request() (*graphql.RawParams, error) {
	var p parameters
	if err := ofJSON(f.Payload, &p); err != nil {
		return nil, err
	}
	return p.raw()
}

// decode reads exactly one JSON value. Numbers keep their digits: 64 bits do not fit into a float.
func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// token finds a bearer token in the payload of connection_init, where clients put what browsers cannot send as a header:
// {"Authorization": "Bearer ..."}, the name in any case; the prefix may be missing. What is there but is no string is no
// token that anybody could have: ok is then false.
func (f *frame) token() (token string, ok bool) {
	var fields struct{ Authorization *string }
	if len(f.Payload) == 0 || !isObject(f.Payload) {
		return "", true
	}
	if decode(f.Payload, &fields) != nil {
		return "", false
	}
	if fields.Authorization == nil {
		return "", true
	}
	const prefix = "bearer "
	token = *fields.Authorization
	if len(token) > len(prefix) && strings.EqualFold(token[:len(prefix)], prefix) {
		token = token[len(prefix):]
	}
	return token, true
}
