// Package scalars says how the API's scalars look on the wire. It is a package of its own, small as it is, because the
// generated package graph imports it and package resolvers imports graph: in resolvers it would be an import cycle, and
// graph holds nothing that is not generated.
//
// Each scalar has a Marshal function (Go value to JSON) and an Unmarshal function (JSON value or GraphQL literal to Go
// value), found by gqlgen by name. Unmarshal functions return errors that are shown to the client as they are.
package scalars

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// MarshalJSON writes a JSON object; nil is {}. (Where the field may be null, nil never gets here.)
func MarshalJSON(v map[string]any) graphql.Marshaler {
	if v == nil {
		v = map[string]any{}
	}
	return encoded(v)
}

// UnmarshalJSON takes a JSON object, or a string that holds one: the Console sends its larger objects as strings.
func UnmarshalJSON(v any) (map[string]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		fillLists(v)
		return v, nil
	case string:
		var object map[string]any
		decoder := json.NewDecoder(bytes.NewReader([]byte(v)))
		decoder.UseNumber() // as in an object, so that large ones stay exact
		if err := decoder.Decode(&object); err != nil || object == nil {
			return nil, invalid("JSON: the string does not hold a JSON object")
		}
		if _, err := decoder.Token(); err != io.EOF {
			return nil, invalid("JSON: something follows the JSON object in the string")
		}
		return object, nil
	default:
		return nil, invalid("JSON: want an object or a string that holds one, got %s", kind(v))
	}
}

// fillLists makes the empty lists in v lists again. The parser hands over the literal [] as a nil list, which would be
// written as null.
func fillLists(v any) any {
	switch v := v.(type) {
	case []any:
		if v == nil {
			return []any{}
		}
		for i := range v {
			v[i] = fillLists(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = fillLists(v[key])
		}
	}
	return v
}

// MarshalLabels writes a JSON object of strings; nil is {}.
func MarshalLabels(v map[string]string) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		// Not with encoding/json: a list has one such object for each item, and most of its time would go there.
		write := func(s string) { _, _ = io.WriteString(w, s) }
		write("{")
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				write(",")
			}
			graphql.MarshalString(key).MarshalGQL(w)
			write(":")
			graphql.MarshalString(v[key]).MarshalGQL(w)
		}
		write("}")
	})
}

// UnmarshalLabels takes an object of strings; null is nil.
func UnmarshalLabels(v any) (map[string]string, error) {
	if v == nil {
		return nil, nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("Labels: want an object of strings, got %s", kind(v))
	}
	labels := make(map[string]string, len(object))
	for key, value := range object {
		if labels[key], ok = value.(string); !ok {
			return nil, invalid("Labels: the value of %q must be a string, got %s", key, kind(value))
		}
	}
	return labels, nil
}

// MarshalTimestamp writes Unix seconds, 0 for no time.
func MarshalTimestamp(t metav1.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.MarshalInt64(0)
	}
	return graphql.MarshalInt64(t.Unix())
}

// UnmarshalTimestamp takes Unix seconds.
func UnmarshalTimestamp(v any) (metav1.Time, error) {
	seconds, err := integer(v)
	if err != nil {
		return metav1.Time{}, invalid("Timestamp: %v", err)
	}
	return metav1.NewTime(time.Unix(seconds, 0)), nil
}

// MarshalApplicationMappingService writes {"id": "..."}.
func MarshalApplicationMappingService(v appv1.ApplicationMappingService) graphql.Marshaler {
	return encoded(map[string]string{"id": v.ID})
}

// UnmarshalApplicationMappingService takes {"id": "..."}.
func UnmarshalApplicationMappingService(v any) (appv1.ApplicationMappingService, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return appv1.ApplicationMappingService{}, invalid("ApplicationMappingService: want an object with an id, got %s", kind(v))
	}
	id, ok := object["id"].(string)
	if !ok || id == "" {
		return appv1.ApplicationMappingService{}, invalid("ApplicationMappingService: id must be a string that is not empty")
	}
	return appv1.ApplicationMappingService{ID: id}, nil
}

// MarshalPort writes a JSON integer.
func MarshalPort(v uint32) graphql.Marshaler {
	return graphql.MarshalUint32(v)
}

// UnmarshalPort takes an integer from 0 to 65535.
func UnmarshalPort(v any) (uint32, error) {
	port, err := integer(v)
	if err != nil {
		return 0, invalid("Port: %v", err)
	}
	if port < 0 || port > math.MaxUint16 {
		return 0, invalid("Port: %d is not between 0 and %d", port, math.MaxUint16)
	}
	return uint32(port), nil
}

// MarshalUID writes a JSON string.
func MarshalUID(v types.UID) graphql.Marshaler {
	return graphql.MarshalString(string(v))
}

// UnmarshalUID takes a string that is not empty.
func UnmarshalUID(v any) (types.UID, error) {
	s, ok := v.(string)
	if !ok || s == "" {
		return "", invalid("UID: want a string that is not empty, got %s", kind(v))
	}
	return types.UID(s), nil
}

// MarshalURI writes a JSON string.
func MarshalURI(v string) graphql.Marshaler {
	return graphql.MarshalString(v)
}

// UnmarshalURI takes a string. Whether it is a URI is for the field that uses it to say.
func UnmarshalURI(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", invalid("URI: want a string, got %s", kind(v))
	}
	return s, nil
}

// invalid is an error of the kind that Kubernetes gives bad requests, so that clients get the code INVALID.
func invalid(format string, args ...any) error {
	return apierrors.NewBadRequest(fmt.Sprintf(format, args...))
}

// encoded marshals once, when the field is resolved, so that a value that cannot be encoded (there is none among
// decoded JSON) panics into the field's recovery rather than into half-written output.
func encoded(v any) graphql.Marshaler {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("scalar: %w", err))
	}
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(body) })
}

// integer takes the forms in which gqlgen and gqlparser hand over a JSON number or a GraphQL integer.
func integer(v any) (int64, error) {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return 0, fmt.Errorf("want a whole number, got %s", v)
		}
		return n, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case int64:
		return v, nil
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return 0, fmt.Errorf("want a whole number, got %s", strconv.FormatFloat(v, 'g', -1, 64))
		}
		return int64(v), nil
	default:
		return 0, fmt.Errorf("want a whole number, got %s", kind(v))
	}
}

// kind names the JSON kind of a decoded value, for messages.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	default:
		return "a number"
	}
}
