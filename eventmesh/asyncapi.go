package eventmesh

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// EventType is one event that an application says it sends, as its AsyncAPI document describes it.
type EventType struct {
	// Type is the CloudEvents type, such as order.created.
	Type string
	// Version is the value of the eventtypeversion extension, such as v1; "" when the document gives none.
	Version string
	// Description is the summary of the event's message, or its description when it has no summary.
	Description string
	// Schema is the JSON Schema of the event's data, with local references resolved. It is empty, never nil, when the
	// document does not say.
	Schema map[string]any
}

const (
	// maxReferences is how many references in a row are followed before they count as a circle.
	maxReferences = 16
	// maxSchemaNodes bounds what one document's schemas may grow to when their references are replaced by what they
	// refer to: a small document of references to references can describe gigabytes.
	maxSchemaNodes = 20_000
	// maxSchemaDepth bounds recursive schemas, which would never end.
	maxSchemaDepth = 64
)

// ParseAsyncAPI lists the event types that an AsyncAPI 2.x document, JSON or YAML, offers to subscribers, ordered by
// type and version. A channel that has a subscribe operation is an event type: its key, order/created/v1 or
// order.created.v1, is the type order.created and the version v1. The last segment is always the version, and a key of
// one segment has none: that is how the Kyma Console reads it.
//
// References within the document are followed; others, and those that run in circles, stay in the schema as they are.
// Parts of an unexpected shape count as absent: an error means that the document as a whole is not AsyncAPI 2.x.
func ParseAsyncAPI(doc []byte) ([]EventType, error) {
	root, err := decodeObject(doc)
	if err != nil {
		return nil, fmt.Errorf("not an AsyncAPI document: %w", err)
	}
	if version := asyncAPIVersion(root); !isAsyncAPI2(version) {
		return nil, fmt.Errorf("not supported version %q of AsyncAPI: want 2.x", version)
	}
	channels, ok := root["channels"].(map[string]any)
	if !ok && root["channels"] != nil {
		return nil, errors.New("not an AsyncAPI document: channels is not an object")
	}

	d := asyncAPI{root: root, nodes: maxSchemaNodes}
	events := make([]EventType, 0, len(channels))
	for _, key := range slices.Sorted(maps.Keys(channels)) {
		operation, ok := d.object(channels[key])["subscribe"]
		if !ok || operation == nil {
			continue
		}
		event := d.event(d.object(operation)["message"])
		event.Type, event.Version = splitChannel(key)
		events = append(events, event)
	}
	slices.SortStableFunc(events, func(a, b EventType) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Version, b.Version))
	})
	// order/created/v1 and order.created.v1 are the same event.
	return slices.CompactFunc(events, func(a, b EventType) bool { return a.Type == b.Type && a.Version == b.Version }), nil
}

// decodeObject reads an object in JSON or YAML.
func decodeObject(doc []byte) (map[string]any, error) {
	var object map[string]any
	// YAML is nearly, but not quite, a superset of JSON, and slower to read.
	if err := json.Unmarshal(doc, &object); err != nil {
		object = nil
		if err := yaml.Unmarshal(doc, &object); err != nil {
			return nil, err
		}
	}
	if object == nil {
		return nil, errors.New("it is empty")
	}
	return object, nil
}

// asyncAPIVersion is the version that a document claims, "" when it claims none. YAML turns an unquoted 2.0 into a
// number, so numbers count.
func asyncAPIVersion(root map[string]any) string {
	switch v := root["asyncapi"].(type) {
	case string:
		return v
	case float64:
		return fmt.Sprint(v)
	default:
		return ""
	}
}

func isAsyncAPI2(version string) bool { return version == "2" || strings.HasPrefix(version, "2.") }

// splitChannel splits a channel's key into the event's type and version.
func splitChannel(key string) (eventType, version string) {
	key = strings.Trim(strings.ReplaceAll(key, "/", "."), ".")
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return key, ""
	}
	return key[:i], key[i+1:]
}

// asyncAPI is a document being read.
type asyncAPI struct {
	root map[string]any
	// nodes is how many more nodes may be added by replacing references.
	nodes int
}

// event reads what a message says of its event: everything but type and version. A message with alternatives (oneOf)
// has the description of the first that gives one, and the schema oneOf their schemas.
func (d *asyncAPI) event(message any) EventType {
	m := d.object(message)
	event := EventType{Description: description(m), Schema: map[string]any{}}
	alternatives, _ := m["oneOf"].([]any)
	if len(alternatives) == 0 {
		event.Schema = d.payload(m)
		return event
	}
	var schemas []any
	for _, alternative := range alternatives {
		if d.nodes <= 0 {
			break // many channels may refer to one message of many alternatives
		}
		m := d.object(alternative)
		event.Description = cmp.Or(event.Description, description(m))
		schemas = append(schemas, d.payload(m))
	}
	if len(schemas) == 1 {
		event.Schema, _ = schemas[0].(map[string]any)
	} else if len(schemas) > 1 {
		event.Schema["oneOf"] = schemas
	}
	return event
}

// description is what a message says of itself, "" when it says nothing.
func description(message map[string]any) string {
	return cmp.Or(text(message["summary"]), text(message["description"]))
}

// payload is the schema of a message's data, empty when it has none. It takes at least one of the document's nodes.
func (d *asyncAPI) payload(message map[string]any) map[string]any {
	if schema, ok := d.expand(message["payload"], 0).(map[string]any); ok && schema != nil {
		return schema
	}
	return map[string]any{}
}

// object is v as an object with references followed, nil when it is none.
func (d *asyncAPI) object(v any) map[string]any {
	m, _ := d.follow(v).(map[string]any)
	return m
}

// follow returns what v refers to, through references to references, and v itself when it is no reference within this
// document or leads nowhere.
func (d *asyncAPI) follow(v any) any {
	target := v
	for range maxReferences {
		m, ok := target.(map[string]any)
		if !ok {
			return target
		}
		ref, ok := m["$ref"].(string)
		if !ok {
			return target
		}
		if target, ok = d.lookup(ref); !ok {
			return v
		}
	}
	return v
}

// lookup finds what a local reference such as #/components/schemas/Order (RFC 6901) points to.
func (d *asyncAPI) lookup(ref string) (any, bool) {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, false
	}
	var v any = d.root
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for segment := range strings.SplitSeq(path, "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[unescape.Replace(segment)]; !ok {
			return nil, false
		}
	}
	return v, true
}

// expand is a copy of the schema v with local references replaced by what they refer to, as long as the document's
// budget allows.
func (d *asyncAPI) expand(v any, depth int) any {
	d.nodes--
	if d.nodes < 0 || depth > maxSchemaDepth {
		return v
	}
	switch v := d.follow(v).(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out[key] = d.expand(v[key], depth+1)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = d.expand(v[i], depth+1)
		}
		return out
	default:
		return v
	}
}

// text is v as a trimmed string, "" when it is none.
func text(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}
