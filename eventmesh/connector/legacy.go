package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"
)

// maxLegacyBody is the largest body of a legacy event, in bytes: the original's.
const maxLegacyBody = 64 << 10

// legacyEvent is an event in Kyma's older format.
type legacyEvent struct {
	Type    string          `json:"event-type"`
	Version string          `json:"event-type-version"`
	ID      string          `json:"event-id"`
	Time    string          `json:"event-time"`
	Data    json.RawMessage `json:"data"`
}

// legacyAnswer says that an event was taken. Status and Reason are the older Event Bus's; the mesh leaves them empty.
type legacyAnswer struct {
	ID     string `json:"event-id"`
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// legacyError says why an event was not taken.
type legacyError struct {
	Status   int            `json:"status"`
	Type     string         `json:"type"`
	Message  string         `json:"message,omitempty"`
	MoreInfo string         `json:"moreInfo,omitempty"`
	Details  []legacyDetail `json:"details,omitempty"`
}

// legacyDetail is what is wrong with one field.
type legacyDetail struct {
	Field   string `json:"field"`
	Type    string `json:"type"`
	Message string `json:"message"`
}

func badPayload(moreInfo string) *legacyError {
	return &legacyError{Status: http.StatusBadRequest, Type: "bad_payload_syntax", Message: "Bad payload syntax", MoreInfo: moreInfo}
}

func missingField(name string) *legacyError {
	return fieldError(name, "missing_field", "Missing field")
}

func invalidField(name string) *legacyError {
	return fieldError(name, "invalid_field", "Invalid field")
}

func fieldError(name, kind, message string) *legacyError {
	return &legacyError{
		Status: http.StatusBadRequest, Type: "validation_violation", Message: message,
		Details: []legacyDetail{{Field: name, Type: kind, Message: message}},
	}
}

// The original's patterns. That for the version is not anchored: one letter or digit anywhere is enough.
var (
	legacyVersion = regexp.MustCompile(`[a-zA-Z0-9]+`)
	legacyID      = regexp.MustCompile(`^[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}$`)
)

// parseLegacy reads a legacy event from a body of length bytes, -1 when unknown. The first rule that the event breaks is
// the one reported. body fails with *http.MaxBytesError beyond the limit.
func parseLegacy(body io.Reader, length int64) (*event.Event, *legacyError) {
	if body == nil || length == 0 {
		return nil, badPayload("Bad payload syntax")
	}
	var in legacyEvent
	decoder := json.NewDecoder(body)
	err := decoder.Decode(&in)
	if err == nil {
		// The limit is for the whole body, and there is nothing to say after the event.
		if _, err = decoder.Token(); err == io.EOF {
			err = nil
		} else if err == nil {
			err = errors.New("invalid data after top-level value")
		}
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &legacyError{
			Status: http.StatusRequestEntityTooLarge, Type: "request_body_too_large",
			Message: "Request body too large", MoreInfo: tooLarge.Error(),
		}
	}
	if err != nil {
		return nil, badPayload(err.Error())
	}
	return in.convert()
}

// convert checks the fields and makes the event that the mesh carries.
func (in *legacyEvent) convert() (*event.Event, *legacyError) {
	in.Data = bytes.TrimSpace(in.Data)
	eventTime, timeErr := time.Parse(time.RFC3339, in.Time)
	switch {
	case in.Type == "":
		return nil, missingField("event-type")
	case in.Version == "":
		return nil, missingField("event-type-version")
	case !legacyVersion.MatchString(in.Version):
		return nil, invalidField("event-type-version")
	case in.Time == "":
		return nil, missingField("event-time")
	case timeErr != nil:
		return nil, invalidField("event-time")
	case in.ID != "" && !legacyID.MatchString(in.ID):
		return nil, invalidField("event-id")
	case len(in.Data) == 0 || string(in.Data) == "null" || string(in.Data) == `""`:
		return nil, missingField("data")
	// The original fails later, with a 500, on these two: no header can carry them.
	case strings.TrimSpace(in.Type) == "" || hasControl(in.Type):
		return nil, invalidField("event-type")
	case hasControl(in.Version):
		return nil, invalidField("event-type-version")
	}
	if in.ID == "" {
		in.ID = uuid.NewString()
	}
	e := event.New(event.CloudEventsVersionV1)
	e.SetID(in.ID)
	e.SetType(in.Type)
	e.SetTime(eventTime)
	e.SetDataContentType(event.ApplicationJSON)
	e.SetExtension("eventtypeversion", in.Version)
	e.DataEncoded = in.Data
	return &e, nil
}

// hasControl reports whether s has a character that no HTTP header can carry.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// serveLegacy takes one event in the older format.
func (c *Connector) serveLegacy(w http.ResponseWriter, r *http.Request) {
	source, err := c.source(r)
	if err != nil {
		writeError(w, r, c.log, err)
		return
	}
	e, problem := parseLegacy(http.MaxBytesReader(w, r.Body, maxLegacyBody), r.ContentLength)
	if problem != nil {
		writeJSON(w, problem.Status, contentTypeJSON, problem)
		return
	}
	e.SetExtension("sourceid", source.Name)
	request, err := c.adapter.request(r.Context(), source, e, traceHeader(r.Header))
	if err != nil {
		writeError(w, r, c.log, fmt.Errorf("legacy event: %w", err)) // convert lets no such event through.
		return
	}
	if _, err := c.adapter.send(request); err != nil {
		c.adapter.logFailure(request, err)
		writeJSON(w, http.StatusInternalServerError, contentTypeJSON, legacyError{
			Status: http.StatusInternalServerError, Type: "internal_server", Message: "internal_server",
			// The adapter stood between the original and the sink, and this is what it answered.
			MoreInfo: "error sending cloudevent: 502 Bad Gateway",
		})
		return
	}
	writeJSON(w, http.StatusOK, contentTypeJSON, legacyAnswer{ID: e.ID()})
}
