package scalars

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// taken reads a value as a scalar and writes it again; nil stands for a value that is not taken.
func taken[T any](unmarshal func(any) (T, error), marshal func(T) graphql.Marshaler) func(any) ([]byte, error) {
	return func(v any) ([]byte, error) {
		value, err := unmarshal(v)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		marshal(value).MarshalGQL(&out)
		return out.Bytes(), nil
	}
}

var scalars = map[string]func(any) ([]byte, error){
	"JSON":                      taken(UnmarshalJSON, MarshalJSON),
	"Settings":                  taken(UnmarshalJSON, MarshalJSON), // by gqlgen.yml
	"Extension":                 taken(UnmarshalJSON, MarshalJSON), // likewise
	"Labels":                    taken(UnmarshalLabels, MarshalLabels),
	"Timestamp":                 taken(UnmarshalTimestamp, MarshalTimestamp),
	"ApplicationMappingService": taken(UnmarshalApplicationMappingService, MarshalApplicationMappingService),
	"Port":                      taken(UnmarshalPort, MarshalPort),
	"UID":                       taken(UnmarshalUID, MarshalUID),
	"URI":                       taken(UnmarshalURI, MarshalURI),
}

// TestScalarsAreFuzzed wants every scalar of the schema in the table above.
func TestScalarsAreFuzzed(t *testing.T) {
	text, err := os.ReadFile("../../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, def := range schema.Types {
		if def.Kind == ast.Scalar && !def.BuiltIn {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(scalars))); diff != "" {
		t.Errorf("-schema +fuzzed\n%s", diff)
	}
}

// FuzzScalars gives every scalar any JSON value, with numbers as variables have them and as literals do. What is not
// taken is the client's fault, and said so; what is taken is written as JSON that is taken again and means the same.
func FuzzScalars(f *testing.F) {
	for _, seed := range []string{
		`null`, `true`, `0`, `-0`, `80`, `65536`, `-1`, `1.5`, `1e3`, `1e400`, `9223372036854775808`, `""`, `"x"`, `"{}"`, `"{\"a\":[1e400]}"`, `"{} {}"`,
		`"null"`, `[]`, `[[[]]]`, `{}`, `{"a": "b"}`, `{"a": null}`, `{"id": "x"}`, `{"id": 1}`, `{"id": ""}`, `{"a": {"b": [null, [], {}]}}`, `{"\u0000": "\ud800<"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, take := range scalars {
			for _, numbers := range []bool{true, false} {
				value, ok := decode(text, numbers)
				if !ok {
					return
				}
				checkScalar(t, name, take, value)
			}
		}
	})
}

func decode(text string, numbers bool) (v any, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	if numbers {
		decoder.UseNumber()
	}
	return v, decoder.Decode(&v) == nil
}

func checkScalar(t *testing.T, name string, take func(any) ([]byte, error), value any) {
	t.Helper()
	first, err := take(value)
	if err != nil {
		if !apierrors.IsBadRequest(err) {
			t.Errorf("%s: an error without a code: %v", name, err)
		}
		return
	}
	again, ok := decode(string(first), true)
	if !ok {
		t.Fatalf("%s: wrote %q, which is no JSON", name, first)
	}
	second, err := take(again)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%s: wrote %s, which is read as %s: %v", name, first, second, err)
	}
}
