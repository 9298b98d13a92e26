package connector

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// attributePrefix begins the HTTP headers that carry attributes in binary mode, as net/http writes them.
const attributePrefix = "Ce-"

// errNoVersion is returned for a request that is no CloudEvent of any version.
var errNoVersion = errors.New("no CloudEvents version")

// errVersion is returned for a CloudEvent of another version than 1.0. The words are the original adapter's.
var errVersion = errors.New("unsupported cloudevents version")

// parseEvents reads the events of a request from its headers and body: one in binary or structured mode, any number in
// batched mode. All are valid, or none is returned. Errors other than errNoVersion are for the sender to read.
func parseEvents(header http.Header, body []byte) ([]*event.Event, error) {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		mediaType = ""
	}
	switch {
	case mediaType == event.ApplicationCloudEventsJSON:
		e, err := parseStructured(body)
		if err != nil {
			return nil, err
		}
		return []*event.Event{e}, nil
	case mediaType == event.ApplicationCloudEventsBatchJSON:
		return parseBatch(body)
	case strings.HasPrefix(mediaType, "application/cloudevents"):
		return nil, fmt.Errorf("unsupported cloudevents format %q", mediaType)
	}
	e, err := parseBinary(header, body)
	if err != nil {
		return nil, err
	}
	return []*event.Event{e}, nil
}

// parseBinary reads an event whose attributes are headers and whose data is the body.
func parseBinary(header http.Header, body []byte) (*event.Event, error) {
	switch version := header.Get(attributePrefix + "Specversion"); version {
	case event.CloudEventsVersionV1:
	case "":
		return nil, errNoVersion
	default:
		return nil, errVersion
	}
	e := event.New(event.CloudEventsVersionV1)
	// In order, so that of several mistakes the same is always the one reported.
	for _, key := range slices.Sorted(maps.Keys(header)) {
		name, ok := strings.CutPrefix(key, attributePrefix)
		if !ok || len(header[key]) == 0 {
			continue
		}
		if err := setAttribute(&e, strings.ToLower(name), header[key][0]); err != nil {
			return nil, err
		}
	}
	if contentType := header.Get("Content-Type"); contentType != "" {
		e.SetDataContentType(contentType)
	}
	if len(body) > 0 {
		e.DataEncoded = body
	}
	return &e, validate(&e)
}

// parseBatch reads a JSON array of events.
func parseBatch(body []byte) ([]*event.Event, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, fmt.Errorf("the body is not a batch of CloudEvents in JSON: %w", err)
	}
	events := make([]*event.Event, 0, len(items))
	for i, item := range items {
		e, err := parseStructured(item)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// parseStructured reads an event in CloudEvents' JSON format.
func parseStructured(doc []byte) (*event.Event, error) {
	members, err := uniqueMembers(doc)
	if err != nil {
		return nil, fmt.Errorf("the body is not a CloudEvent in JSON: %w", err)
	}
	version, err := stringMember(members, "specversion")
	switch {
	case err != nil:
		return nil, err
	case version == "":
		return nil, errors.New("specversion: MUST be a non-empty string")
	case version != event.CloudEventsVersionV1:
		return nil, errVersion
	}
	e := event.New(event.CloudEventsVersionV1)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		switch name {
		case "data", "data_base64", "specversion":
			continue
		case "datacontenttype":
			contentType, err := stringMember(members, name)
			if err != nil {
				return nil, err
			}
			if contentType != "" {
				e.SetDataContentType(contentType)
			}
			continue
		}
		value, err := attributeValue(members[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if value == nil {
			continue
		}
		if err := setAttribute(&e, name, value); err != nil {
			return nil, err
		}
	}
	if err := setData(&e, members); err != nil {
		return nil, err
	}
	return &e, validate(&e)
}

// uniqueMembers splits a JSON object into its members, their names in lower case as attributes' names are. A name twice is
// an error: two readers along the event's way might take different ones.
func uniqueMembers(doc []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(doc))
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	if token != json.Delim('{') {
		return nil, errors.New("it is not an object")
	}
	members := map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		key, _ := name.(string) // The decoder takes nothing else for a name.
		key = strings.ToLower(key)
		if _, ok := members[key]; ok {
			return nil, fmt.Errorf("%q is there twice", key)
		}
		members[key] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is more after the object")
	}
	return members, nil
}

// stringMember is the string by that name, "" when it is absent or null.
func stringMember(members map[string]json.RawMessage, name string) (string, error) {
	var s string
	if raw, ok := members[name]; ok && json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("%s: MUST be a string", name)
	}
	return s, nil
}

// attributeValue is the value of an attribute as CloudEvents' type system has it: a string, boolean or 32-bit integer;
// nil for null, which means absent.
func attributeValue(raw json.RawMessage) (any, error) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	switch v := value.(type) {
	case nil, string, bool:
		return v, nil
	case json.Number:
		i, err := strconv.ParseInt(v.String(), 10, 32)
		if err != nil {
			return nil, errors.New("a number MUST be an integer of 32 bits")
		}
		return int32(i), nil
	default:
		return nil, errors.New("MUST be a string, a boolean or an integer")
	}
}

// setAttribute sets an attribute or extension of e. A standard attribute that is empty counts as absent.
func setAttribute(e *event.Event, name string, value any) error {
	if name == "data" { // the SDK would take it for the event's data as soon as the event is in the JSON format
		return errors.New("data: MUST NOT be the name of an attribute")
	}
	standard := spec.V1.Attribute(name)
	if standard == nil || standard.Kind() == spec.DataContentType {
		// Among attributes, datacontenttype has no place of its own in either mode; this says so.
		return e.Context.SetExtension(name, value)
	}
	text, ok := value.(string)
	switch {
	case !ok:
		return fmt.Errorf("%s: MUST be a string", name)
	case text == "":
		return nil
	case standard.Kind() == spec.Time:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return fmt.Errorf("cannot convert %q to time.Time: not in RFC3339 format", text)
		}
		return e.Context.SetTime(t)
	}
	return standard.Set(e.Context, text)
}

// setData sets the data of e from the members data or data_base64. JSON data without a content type is marked as JSON,
// as the specification asks of whoever moves an event out of the JSON format, where that is implied.
func setData(e *event.Event, members map[string]json.RawMessage) error {
	data, encoded := members["data"], members["data_base64"]
	hasData := data != nil && !bytes.Equal(data, []byte("null"))
	if encoded != nil && !bytes.Equal(encoded, []byte("null")) {
		if hasData {
			return errors.New("data and data_base64 MUST NOT both be present")
		}
		text, err := stringMember(members, "data_base64")
		if err != nil {
			return err
		}
		if e.DataEncoded, err = base64.StdEncoding.DecodeString(text); err != nil {
			return fmt.Errorf("data_base64: %w", err)
		}
		return nil
	}
	if !hasData {
		return nil
	}
	if e.DataContentType() == "" {
		e.SetDataContentType(event.ApplicationJSON)
	}
	if isJSON(e.DataContentType()) {
		e.DataEncoded = data
		return nil
	}
	text, err := stringMember(members, "data")
	if err != nil {
		return fmt.Errorf("data: MUST be a string as datacontenttype is %q", e.DataContentType())
	}
	e.DataEncoded = []byte(text)
	return nil
}

// isJSON reports whether data of that content type is JSON.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasSuffix(mediaType, "/json") || strings.HasSuffix(mediaType, "+json"))
}

// validate says what is wrong with e, one line for each attribute, in the order of their names.
func validate(e *event.Event) error {
	err := e.Validate()
	var problems event.ValidationError
	if !errors.As(err, &problems) {
		return err
	}
	lines := make([]string, 0, len(problems))
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		lines = append(lines, fmt.Sprintf("%s: %v", name, problems[name]))
	}
	return errors.New(strings.Join(lines, "\n"))
}

// newRequest is a request that posts e to url in binary mode. It fails for an attribute that no header can carry.
// Other than CloudEvents' HTTP binding asks, values are not percent-encoded: nothing on the way (Knative's ingress, filter
// and channels, sdk-go in functions) decodes them, so that a Trigger's filter would no longer match.
func newRequest(ctx context.Context, url string, e *event.Event) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := cehttp.WriteRequest(ctx, binding.ToMessage(e), r); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[key] {
			if hasControl(value) {
				name := strings.ToLower(strings.TrimPrefix(key, attributePrefix))
				return nil, fmt.Errorf("%s: MUST NOT contain control characters", name)
			}
		}
	}
	return r, nil
}
