package resolvers

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// difference is one point in which a schema differs from an older one. What only the newer one has is no difference,
// unless it must be given.
type difference struct {
	at   string // Type, Type.field or Type.field(argument)
	what string
	// breaking is a difference by which a document that was good may be refused, or its answer surprise its author.
	breaking bool
}

func (d difference) String() string { return d.at + ": " + d.what }

// compareSchemas lists the differences of now from old, judged as the GraphQL specification judges documents.
func compareSchemas(old, now *ast.Schema) []difference {
	var c comparison
	for _, root := range []struct {
		name     string
		old, now *ast.Definition
	}{{"query", old.Query, now.Query}, {"mutation", old.Mutation, now.Mutation}, {"subscription", old.Subscription, now.Subscription}} {
		if root.old != nil && (root.now == nil || root.now.Name != root.old.Name) {
			c.add("schema", true, "%s is no longer %s", root.name, root.old.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old.Types)) {
		if was := old.Types[name]; !was.BuiltIn {
			c.definition(was, now.Types[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old.Directives)) {
		is, ok := now.Directives[name]
		if !ok {
			c.add("@"+name, true, "missing")
			continue
		}
		c.arguments("@"+name, old.Directives[name].Arguments, is.Arguments)
	}
	return c
}

type comparison []difference

func (c *comparison) add(at string, breaking bool, format string, args ...any) {
	*c = append(*c, difference{at, fmt.Sprintf(format, args...), breaking})
}

func (c *comparison) definition(was, is *ast.Definition) {
	switch {
	case is == nil:
		c.add(was.Name, true, "missing")
		return
	case is.Kind != was.Kind:
		c.add(was.Name, true, "is %s, not %s", is.Kind, was.Kind)
		return
	case is.Kind == ast.InputObject:
		c.inputFields(was, is)
	default:
		c.fields(was, is)
	}
	for _, v := range was.EnumValues {
		if is.EnumValues.ForName(v.Name) == nil {
			c.add(was.Name+"."+v.Name, true, "missing")
		}
	}
	for _, member := range slices.Concat(was.Types, was.Interfaces) {
		if !slices.Contains(is.Types, member) && !slices.Contains(is.Interfaces, member) {
			c.add(was.Name, true, "has nothing to do with %s", member)
		}
	}
}

func (c *comparison) fields(was, is *ast.Definition) {
	for _, f := range was.Fields {
		at := was.Name + "." + f.Name
		g := is.Fields.ForName(f.Name)
		if g == nil {
			c.add(at, true, "missing, should be %s", f.Type)
			continue
		}
		if g.Type.String() != f.Type.String() {
			c.add(at, !suitsReaders(f.Type, g.Type), "is %s, not %s", g.Type, f.Type)
		}
		c.arguments(at, f.Arguments, g.Arguments)
	}
}

func (c *comparison) arguments(at string, was, is ast.ArgumentDefinitionList) {
	for _, a := range was {
		c.input(at+"("+a.Name+")", a.Type, a.DefaultValue, is.ForName(a.Name))
	}
	for _, a := range is {
		if was.ForName(a.Name) == nil && a.Type.NonNull && a.DefaultValue == nil {
			c.add(at+"("+a.Name+")", true, "is new and must be given")
		}
	}
}

func (c *comparison) inputFields(was, is *ast.Definition) {
	argument := func(f *ast.FieldDefinition) *ast.ArgumentDefinition {
		if f == nil {
			return nil
		}
		return &ast.ArgumentDefinition{Name: f.Name, Type: f.Type, DefaultValue: f.DefaultValue}
	}
	for _, f := range was.Fields {
		c.input(was.Name+"."+f.Name, f.Type, f.DefaultValue, argument(is.Fields.ForName(f.Name)))
	}
	for _, f := range is.Fields {
		if was.Fields.ForName(f.Name) == nil && f.Type.NonNull && f.DefaultValue == nil {
			c.add(was.Name+"."+f.Name, true, "is new and must be given")
		}
	}
}

// input compares what clients give: an argument, or a field of an input.
func (c *comparison) input(at string, was *ast.Type, wasDefault *ast.Value, is *ast.ArgumentDefinition) {
	if is == nil {
		c.add(at, true, "missing, should be %s", was)
		return
	}
	if is.Type.String() != was.String() {
		c.add(at, !suitsWriters(was, is.Type), "is %s, not %s", is.Type, was)
	}
	if before, after := valueText(wasDefault), valueText(is.DefaultValue); before != after && (before != "" || !was.NonNull) {
		c.add(at, true, "has the default %q, not %q", after, before)
	}
}

func valueText(v *ast.Value) string {
	if v == nil {
		return ""
	}
	return v.String()
}

// suitsReaders reports whether a client that expects was can read is: it promises at least as much.
func suitsReaders(was, is *ast.Type) bool {
	if was.NonNull && !is.NonNull || (was.Elem == nil) != (is.Elem == nil) {
		return false
	}
	if was.Elem != nil {
		return suitsReaders(was.Elem, is.Elem)
	}
	return was.NamedType == is.NamedType
}

// suitsWriters reports whether what a client gives for was is taken for is: it demands no more.
func suitsWriters(was, is *ast.Type) bool { return suitsReaders(is, was) }

func TestCompareSchemas(t *testing.T) {
	const base = `schema {query: Q} type Q {f(a: Int, b: Int!, c: Int = 1): [S] g: S! e: E u: U} type S {x: ID} enum E {A B} union U = S input I {i: Int j: Int!} directive @d(i: I) on FIELD`
	for _, tt := range []struct {
		name, old, now string
		want           []string
	}{
		{name: "the same", old: base, now: base},
		{
			name: "additions", old: base,
			now: `schema {query: Q} type Q {f(a: Int, b: Int!, c: Int = 1, d: Int, z: Int! = 2): [S] g: S! e: E u: U h: S} type S {x: ID y: ID} type T {x: ID} enum E {A B C} union U = S | T input I {i: Int j: Int! k: Int l: Int! = 3} directive @d(i: I) on FIELD`,
		},
		{
			name: "easier for clients", old: `schema {query: Q} type Q {f(a: Int!, b: [Int!]!): [S] g: S} type S {x: ID} input I {i: Int!} directive @d(i: I) on FIELD`,
			now:  `schema {query: Q} type Q {f(a: Int, b: [Int]!): [S!]! g: S!} type S {x: ID} input I {i: Int} directive @d(i: I) on FIELD`,
			want: []string{"I.i: is Int, not Int!", "Q.f: is [S!]!, not [S]", "Q.f(a): is Int, not Int!", "Q.f(b): is [Int]!, not [Int!]!", "Q.g: is S!, not S"},
		},
		{
			name: "removals", old: base,
			now: `schema {query: Q} type Q {f(a: Int, b: Int!): [S] e: E u: U} type S {x: ID} type T {x: ID} enum E {A} union U = T input I {j: Int!}`,
			want: []string{
				"! E.B: missing", "! I.i: missing, should be Int", "! Q.f(c): missing, should be Int", "! Q.g: missing, should be S!",
				"! U: has nothing to do with S", "! @d: missing",
			},
		},
		{
			name: "harder for clients", old: base,
			now: `schema {query: Q} type Q {f(a: Int!, b: Int!, c: Int = 2, d: Int!): S g: S e: E u: U} type S {x: String} type E {x: ID} union U = S input I {i: Int! j: Int! k: Int!} directive @d(i: I!) on FIELD`,
			want: []string{
				"! E: is OBJECT, not ENUM", "! I.i: is Int!, not Int", "! I.k: is new and must be given", "! Q.f: is S, not [S]", "! Q.f(a): is Int!, not Int",
				`! Q.f(c): has the default "2", not "1"`, "! Q.f(d): is new and must be given", "! Q.g: is S, not S!", "! S.x: is String, not ID", "! @d(i): is I!, not I",
			},
		},
		{
			name: "a type and a root are gone", old: `type Q {f: ID} type M {f: ID} schema {query: Q mutation: M}`, now: `type Q {f: ID} schema {query: Q}`,
			want: []string{"! schema: mutation is no longer M", "! M: missing"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			schema := func(text string) *ast.Schema {
				return gqlparser.MustLoadSchema(&ast.Source{Name: tt.name, Input: text})
			}
			var got []string
			for _, d := range compareSchemas(schema(tt.old), schema(tt.now)) {
				mark := ""
				if d.breaking {
					mark = "! "
				}
				got = append(got, mark+d.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
