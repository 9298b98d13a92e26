package resolvers

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

const (
	schemaFile = "../schema.graphqls"
	// contractFile is what the Console relies on.
	contractFile = "testdata/contract.graphqls"
	// releasedFile is the schema as it was last committed to: clients may rely on all of it.
	releasedFile = "testdata/released.graphqls"
)

// deviations are the differences from the contract that are meant, each with its reason. With all of them every document
// is answered that the contract allows.
var deviations = map[string]string{
	"Query.triggers(serviceName): is String, not String!":                 "documents of April 2020 do not give it, or give subscriber",
	"Subscription.triggerEvent(serviceName): is String, not String!":      "documents of April 2020 do not give it, or give subscriber",
	"SubscriberInput.ref: is SubscriberRefInput, not SubscriberRefInput!": "documents of April 2020 give uri instead",
}

func loadSchema(t testing.TB, file string) *ast.Schema {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: file, Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestContract holds the schema to everything the Console relies on, null rules included: a promise of more than the
// contract has is a deviation too, and has to be meant.
func TestContract(t *testing.T) {
	meant := map[string]bool{}
	for _, d := range compareSchemas(loadSchema(t, contractFile), loadSchema(t, schemaFile)) {
		if deviations[d.String()] == "" {
			t.Error(d)
		}
		meant[d.String()] = true
	}
	for d := range deviations {
		if !meant[d] {
			t.Errorf("deviations has %q, which is not so", d)
		}
	}
}

// TestReleased finds breaking changes of the schema. -update takes additions into testdata/released.graphqls, and never
// a breaking change: whoever means one copies the schema there by hand, and says why in the same commit.
//
//	go test ./resolvers -run TestReleased -update
func TestReleased(t *testing.T) {
	released, current := loadSchema(t, releasedFile), loadSchema(t, schemaFile)
	for _, d := range compareSchemas(released, current) {
		if d.breaking {
			t.Errorf("breaking: %s", d)
		}
	}
	if t.Failed() {
		return
	}
	if *update {
		release(t)
		return
	}
	var added []string
	for _, d := range compareSchemas(current, released) {
		added = append(added, d.at)
	}
	if len(added) > 0 {
		t.Errorf("not in %s yet, run this test with -update: %s", releasedFile, strings.Join(added, ", "))
	}
}

func release(t *testing.T) {
	t.Helper()
	before, err := os.ReadFile(releasedFile)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, after) {
		return
	}
	if err := os.WriteFile(releasedFile, after, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDescribed wants a description of everything that a client can name.
func TestDescribed(t *testing.T) {
	schema := loadSchema(t, schemaFile)
	described := func(at, description string) {
		if strings.TrimSpace(description) == "" {
			t.Errorf("%s has no description", at)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Types)) {
		def := schema.Types[name]
		if def.BuiltIn {
			continue
		}
		if def != schema.Query && def != schema.Mutation { // whose fields speak for themselves
			described(name, def.Description)
		}
		for _, f := range def.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			described(name+"."+f.Name, f.Description)
			for _, a := range f.Arguments {
				described(name+"."+f.Name+"("+a.Name+")", a.Description)
			}
		}
		for _, v := range def.EnumValues {
			described(name+"."+v.Name, v.Description)
		}
	}
}

// TestMutationsCanRunDry wants dryRun everywhere, so that whoever scripts the API can check before it acts.
func TestMutationsCanRunDry(t *testing.T) {
	for _, f := range loadSchema(t, schemaFile).Mutation.Fields {
		if a := f.Arguments.ForName("dryRun"); a == nil || a.Type.String() != "Boolean" {
			t.Errorf("Mutation.%s has no argument dryRun: Boolean", f.Name)
		}
	}
}
