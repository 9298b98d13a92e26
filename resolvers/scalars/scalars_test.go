package scalars

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func TestMarshal(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   graphql.Marshaler
		want string
	}{
		{"JSON", MarshalJSON(map[string]any{"a": []any{1, "<b>"}}), `{"a":[1,"\u003cb\u003e"]}`},
		{"JSON nil", MarshalJSON(nil), `{}`},
		{"Labels", MarshalLabels(map[string]string{"b": "2", "a": "1"}), `{"a":"1","b":"2"}`},
		{"Labels with all kinds of letters", MarshalLabels(map[string]string{"a\"\\": "\n\u2028ä<"}), "{\"a\\\"\\\\\":\"\\n\u2028ä<\"}"},
		{"Labels nil", MarshalLabels(nil), `{}`},
		{"Timestamp", MarshalTimestamp(metav1.NewTime(time.Unix(1600000000, 999))), `1600000000`},
		{"Timestamp of no time", MarshalTimestamp(metav1.Time{}), `0`},
		{"ApplicationMappingService", MarshalApplicationMappingService(appv1.ApplicationMappingService{ID: `"`}), `{"id":"\""}`},
		{"Port", MarshalPort(8080), `8080`},
		{"UID", MarshalUID("u-1"), `"u-1"`},
		{"URI", MarshalURI("http://x/?a=b"), `"http://x/?a=b"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			tt.in.MarshalGQL(&b)
			if b.String() != tt.want {
				t.Errorf("got %s, want %s", b.String(), tt.want)
			}
		})
	}
}

func TestUnmarshal(t *testing.T) {
	type unmarshal func(any) (any, error)
	wrap := func(name string) unmarshal {
		return map[string]unmarshal{
			"JSON":      func(v any) (any, error) { return UnmarshalJSON(v) },
			"Labels":    func(v any) (any, error) { return UnmarshalLabels(v) },
			"Timestamp": func(v any) (any, error) { got, err := UnmarshalTimestamp(v); return got.Unix(), err },
			"Service":   func(v any) (any, error) { got, err := UnmarshalApplicationMappingService(v); return got.ID, err },
			"Port":      func(v any) (any, error) { return UnmarshalPort(v) },
			"UID":       func(v any) (any, error) { got, err := UnmarshalUID(v); return string(got), err },
			"URI":       func(v any) (any, error) { return UnmarshalURI(v) },
		}[name]
	}
	for _, tt := range []struct {
		scalar string
		in     any
		want   any
		err    string // "" for none
	}{
		{"JSON", map[string]any{"a": 1}, map[string]any{"a": 1}, ""},
		{"JSON", map[string]any{"a": []any{[]any(nil), 1}}, map[string]any{"a": []any{[]any{}, 1}}, ""}, // the literal [[], 1]
		{"JSON", `{"a":"b"}`, map[string]any{"a": "b"}, ""},
		{"JSON", `{"a":9007199254740993}`, map[string]any{"a": json.Number("9007199254740993")}, ""},
		{"JSON", ` {} `, map[string]any{}, ""},
		{"JSON", `[1]`, nil, "JSON: the string does not hold a JSON object"},
		{"JSON", `null`, nil, "JSON: the string does not hold a JSON object"},
		{"JSON", `{} {}`, nil, "JSON: something follows the JSON object in the string"},
		{"JSON", `{`, nil, "JSON: the string does not hold a JSON object"},
		{"JSON", []any{}, nil, "JSON: want an object or a string that holds one, got a list"},
		{"JSON", true, nil, "JSON: want an object or a string that holds one, got a boolean"},
		{"Labels", map[string]any{"a": "b"}, map[string]string{"a": "b"}, ""},
		{"Labels", nil, map[string]string(nil), ""},
		{"Labels", map[string]any{"a": 1}, nil, `Labels: the value of "a" must be a string, got a number`},
		{"Labels", "a", nil, "Labels: want an object of strings, got a string"},
		{"Timestamp", json.Number("1600000000"), int64(1600000000), ""},
		{"Timestamp", "now", nil, "Timestamp: want a whole number, got a string"},
		{"Service", map[string]any{"id": "x", "other": 1}, "x", ""},
		{"Service", map[string]any{"id": 1}, nil, "ApplicationMappingService: id must be a string that is not empty"},
		{"Service", "x", nil, "ApplicationMappingService: want an object with an id, got a string"},
		{"Port", int64(80), uint32(80), ""},
		{"Port", 65535, uint32(65535), ""},
		{"Port", json.Number("8080"), uint32(8080), ""},
		{"Port", float64(8080), uint32(8080), ""},
		{"Port", 80.5, nil, "Port: want a whole number, got 80.5"},
		{"Port", -1, nil, "Port: -1 is not between 0 and 65535"},
		{"Port", json.Number("65536"), nil, "Port: 65536 is not between 0 and 65535"},
		{"Port", json.Number("1e3"), nil, "Port: want a whole number, got 1e3"},
		{"UID", "u", "u", ""},
		{"UID", "", nil, "UID: want a string that is not empty, got a string"},
		{"URI", "/x", "/x", ""},
		{"URI", 1, nil, "URI: want a string, got a number"},
	} {
		t.Run(tt.scalar, func(t *testing.T) {
			got, err := wrap(tt.scalar)(tt.in)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err || !apierrors.IsBadRequest(err) {
					t.Errorf("error: got %v, want the bad request %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
