package eventmesh

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAsyncAPI(t *testing.T) {
	tests := []struct {
		name    string
		doc     string
		want    []EventType
		wantErr string
	}{
		{
			name: "JSON, slashes and dots, only what can be subscribed to, ordered",
			doc: `{"asyncapi":"2.0.0","channels":{
				"order.shipped.v1":{"subscribe":{"message":{"description":"Shipped","payload":{"type":"object"}}}},
				"order/created/v2":{"subscribe":{"message":{"summary":"Created","description":"Longer","payload":{"type":"string"}}}},
				"order/created/v1":{"subscribe":{}},
				"order/cancel/v1":{"publish":{"message":{"payload":{}}}},
				"ping":{"subscribe":{"message":{}}}}}`,
			want: []EventType{
				{Type: "order.created", Version: "v1", Schema: map[string]any{}},
				{Type: "order.created", Version: "v2", Description: "Created", Schema: map[string]any{"type": "string"}},
				{Type: "order.shipped", Version: "v1", Description: "Shipped", Schema: map[string]any{"type": "object"}},
				{Type: "ping", Schema: map[string]any{}},
			},
		},
		{
			name: "YAML with references in every place",
			doc: `
asyncapi: 2.6.0
channels:
  order.created.v1:
    subscribe:
      message: {$ref: '#/components/messages/Created'}
components:
  messages:
    Created: {$ref: '#/components/messages/order~1created'}
    order/created:
      summary: An order was created
      payload: {$ref: '#/components/schemas/Order'}
  schemas:
    Order:
      type: object
      properties:
        id: {$ref: '#/components/schemas/ID'}
        next: {$ref: 'https://example.com/next.json'}
        lost: {$ref: '#/components/schemas/Lost'}
    ID: {type: string}
`,
			want: []EventType{{
				Type: "order.created", Version: "v1", Description: "An order was created",
				Schema: map[string]any{"type": "object", "properties": map[string]any{
					"id":   map[string]any{"type": "string"},
					"next": map[string]any{"$ref": "https://example.com/next.json"},
					"lost": map[string]any{"$ref": "#/components/schemas/Lost"},
				}},
			}},
		},
		{
			name: "alternatives",
			doc: `{"asyncapi":"2.1.0","channels":{
				"a.v1":{"subscribe":{"message":{"oneOf":[{"payload":{"type":"string"}},{"summary":"Second","payload":{"type":"number"}}]}}},
				"b.v1":{"subscribe":{"message":{"oneOf":[{"payload":{"type":"string"}}]}}}}}`,
			want: []EventType{
				{Type: "a", Version: "v1", Description: "Second", Schema: map[string]any{
					"oneOf": []any{map[string]any{"type": "string"}, map[string]any{"type": "number"}},
				}},
				{Type: "b", Version: "v1", Schema: map[string]any{"type": "string"}},
			},
		},
		{
			name: "parts of an odd shape count as absent",
			doc: `{"asyncapi":"2.0.0","channels":{
				"a.v1":{"subscribe":{"message":7}},
				"b.v1":{"subscribe":{"message":{"summary":[1],"payload":true}}},
				"c.v1":{"subscribe":null}, "d.v1":5, "":{"subscribe":{}}}}`,
			want: []EventType{
				{Schema: map[string]any{}},
				{Type: "a", Version: "v1", Schema: map[string]any{}},
				{Type: "b", Version: "v1", Schema: map[string]any{}},
			},
		},
		{
			name: "the same event by two keys is one",
			doc:  `{"asyncapi":"2.0.0","channels":{"a/b/v1":{"subscribe":{}},"a.b.v1":{"subscribe":{}}}}`,
			want: []EventType{{Type: "a.b", Version: "v1", Schema: map[string]any{}}},
		},
		{
			name: "references in a circle stay",
			doc: `{"asyncapi":"2.0.0","channels":{"a.v1":{"subscribe":{"message":{"payload":{"$ref":"#/components/x"}}}}},
				"components":{"x":{"$ref":"#/components/y"},"y":{"$ref":"#/components/x"}}}`,
			want: []EventType{{Type: "a", Version: "v1", Schema: map[string]any{"$ref": "#/components/x"}}},
		},
		{name: "no channels", doc: `asyncapi: 2.0.0`, want: []EventType{}},
		{name: "a number for a version, as YAML reads it", doc: `{asyncapi: 2.6, channels: {}}`, want: []EventType{}},
		{name: "version 1", doc: `{"asyncapi":"1.0.0","topics":{}}`, wantErr: `not supported version "1.0.0" of AsyncAPI: want 2.x`},
		{name: "version 3", doc: `{"asyncapi":"3.0.0"}`, wantErr: `not supported version "3.0.0"`},
		{name: "no version", doc: `{}`, wantErr: `not supported version ""`},
		{name: "channels is a list", doc: `{"asyncapi":"2.0.0","channels":[]}`, wantErr: "channels is not an object"},
		{name: "empty", doc: ``, wantErr: "it is empty"},
		{name: "not an object", doc: `[1]`, wantErr: "not an AsyncAPI document"},
		{name: "not YAML", doc: "{", wantErr: "not an AsyncAPI document"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAsyncAPI([]byte(tt.doc))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("event types (-want +got):\n%s", diff)
			}
		})
	}
}

// A document of references to references can describe far more than its own size, or never end.
func TestParseAsyncAPIBoundsGrowth(t *testing.T) {
	var schemas []string
	for i := range 40 {
		ref := fmt.Sprintf(`{"$ref":"#/components/schemas/s%d"}`, i+1)
		schemas = append(schemas, fmt.Sprintf(`"s%d":{"a":%s,"b":%s}`, i, ref, ref))
	}
	recursive := `"tree":{"properties":{"left":{"$ref":"#/components/schemas/tree"},"right":{"$ref":"#/components/schemas/tree"}}}`
	for _, root := range []string{"s0", "tree"} {
		doc := `{"asyncapi":"2.0.0","channels":{"a.v1":{"subscribe":{"message":{"payload":{"$ref":"#/components/schemas/` + root + `"}}}}},
			"components":{"schemas":{` + strings.Join(schemas, ",") + `,` + recursive + `}}}`
		got, err := ParseAsyncAPI([]byte(doc))
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %d event types, error %v", root, len(got), err)
		}
		out, err := json.Marshal(got[0].Schema)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > 100*maxSchemaNodes {
			t.Errorf("%s: schema of %d bytes", root, len(out))
		}
	}
}

// So can one of many channels that share a message of many alternatives.
func TestParseAsyncAPIBoundsAlternatives(t *testing.T) {
	const n = 10_000
	var channels []string
	for i := range n {
		channels = append(channels, fmt.Sprintf(`"e%d.v1":{"subscribe":{"message":{"$ref":"#/m"}}}`, i))
	}
	doc := `{"asyncapi":"2.0.0","channels":{` + strings.Join(channels, ",") + `},"m":{"oneOf":[` + strings.Repeat("{},", n) + `{}]}}`
	got, err := ParseAsyncAPI([]byte(doc))
	if err != nil || len(got) != n {
		t.Fatalf("%d event types, error %v", len(got), err)
	}
	total := 0
	for _, event := range got {
		alternatives, _ := event.Schema["oneOf"].([]any)
		total += len(alternatives)
	}
	if total < n || total > maxSchemaNodes {
		t.Errorf("%d alternatives, want those of the first event types, %d at most", total, maxSchemaNodes)
	}
}

func FuzzParseAsyncAPI(f *testing.F) {
	f.Add([]byte(`{"asyncapi":"2.0.0","channels":{"a/b/v1":{"subscribe":{"message":{"$ref":"#/components/messages/m"}}}},"components":{"messages":{"m":{"payload":{"$ref":"#"}}}}}`))
	f.Add([]byte("asyncapi: 2.0\nchannels: {a: {subscribe: {message: {oneOf: [1, {$ref: '#/channels'}]}}}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte(`{"asyncapi":"2.0.0","channels":{"":{"$ref":"#/channels/"}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		events, err := ParseAsyncAPI(doc)
		if err != nil && events != nil {
			t.Error("event types beside an error")
		}
		for _, e := range events {
			if e.Schema == nil {
				t.Errorf("%q has a nil schema", e.Type)
			}
			if _, err := json.Marshal(e.Schema); err != nil {
				t.Errorf("%q has a schema that is not JSON: %v", e.Type, err)
			}
		}
	})
}
