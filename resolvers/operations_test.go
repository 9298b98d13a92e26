package resolvers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// literals are the arguments with which generated operations are sent: by Field.argument or Input.field where it
// matters which, else by the argument's name alone. NS stands for the namespace of the operation. Objects called matrix
// are there (testdata/matrix), those called matrix-new are not. Arguments that are not listed are left out, and built
// from the fields of their type when they must be given.
var literals = map[string]string{
	"application":         `"matrix"`,
	"broker":              `"matrix"`,
	"clusterWide":         `false`,
	"description":         `"of a test"`,
	"dryRun":              `true`,
	"excludedLabels":      `["no=where"]`,
	"externalName":        `"matrix"`,
	"filterAttributes":    `{type: "order.created"}`,
	"first":               `10`,
	"functionName":        `"matrix"`,
	"id":                  `"matrix"`,
	"labels":              `{team: "matrix"}`,
	"name":                `"matrix"`,
	"namespace":           `"NS"`,
	"provider":            `"ACME"`,
	"resourceKind":        `"function"`,
	"resourceName":        `"matrix"`,
	"serviceBindingName":  `"matrix"`,
	"serviceInstanceName": `"matrix"`,
	"serviceName":         `"matrix"`,
	"triggerName":         `"matrix"`,
	"triggerNames":        `["matrix"]`,

	"namespace.name":       `"NS"`,
	"updateNamespace.name": `"NS"`,
	"deleteNamespace.name": `"NS"`,

	"createApplication.name":                  `"matrix-new"`,
	"createNamespace.name":                    `"matrix-new"`,
	"createFunction.name":                     `"matrix-new"`,
	"createServiceBinding.serviceBindingName": `"matrix-new"`,
	"enableApplication.application":           `"matrix-new"`,
	"ServiceInstanceCreateInput.name":         `"matrix-new"`,
	"ServiceInstanceCreateInput.labels":       `["matrix"]`,
	"SubscriberInput.ref":                     `{apiVersion: "v1", kind: "Service", name: "matrix", namespace: "NS"}`,
	"TriggerCreateInput.name":                 `"matrix-new"`,
	"TriggerCreateInput.broker":               `"default"`,

	"ConnectApplicationInput.function":   `"matrix"`,
	"ConnectApplicationInput.broker":     `"matrix"`,
	"ApplicationServiceInput.events":     `{spec: {asyncapi: "2.0.0", channels: {}}}`,
	"FunctionMutationInput.source":       `"module.exports = {main() {}}"`,
	"FunctionMutationInput.dependencies": `""`,
	"FunctionMutationInput.env":          `[]`,

	"updateService.service":   `{apiVersion: "v1", kind: "Service", metadata: {name: "matrix", namespace: "NS", labels: {team: "matrix"}}, spec: {ports: [{port: 80}]}}`,
	"createResource.resource": `{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "matrix-new", namespace: "NS"}, data: {a: "b"}}`,
}

// rootField is one field of a root type, ready to be sent.
type rootField struct {
	kind  ast.Operation
	field *ast.FieldDefinition
	// narrow has an argument wherever there is a literal for one; otherwise only those that must be given.
	narrow bool
	// document selects what the field returns, deepest first: one that goes less deep is for when the limits of a
	// client are reached.
	document [selectionDepth]string
}

// selectionDepth is how many levels of fields a generated operation selects below its root field.
const selectionDepth = 3

func (op rootField) String() string {
	if op.narrow {
		return op.field.Name + " with all arguments"
	}
	return op.field.Name
}

// inNamespace reports whether the operation is about one namespace.
func (op rootField) inNamespace() bool {
	for _, a := range op.field.Arguments {
		if lit := literals[op.field.Name+"."+a.Name]; lit == `"NS"` || a.Name == "namespace" {
			return op.narrow || a.Type.NonNull
		}
	}
	return false
}

// dry reports whether the operation is a mutation that only checks.
func (op rootField) dry() bool { return op.field.Arguments.ForName("dryRun") != nil }

// operationsOf makes operations of all root fields of a kind, about one namespace. It fails the test for a field of
// which it cannot make one: a new field must not be left out.
func operationsOf(t testing.TB, schema *ast.Schema, kind ast.Operation, namespace string) []rootField {
	t.Helper()
	root := map[ast.Operation]*ast.Definition{ast.Query: schema.Query, ast.Mutation: schema.Mutation, ast.Subscription: schema.Subscription}[kind]
	b := builder{schema: schema, namespace: namespace}
	var ops []rootField
	for _, f := range root.Fields {
		if strings.HasPrefix(f.Name, "__") {
			continue
		}
		for _, narrow := range []bool{false, true} {
			op, err := b.operation(kind, f, narrow)
			if err != nil {
				t.Errorf("%s: %v", f.Name, err)
				break
			}
			if last := len(ops) - 1; narrow && ops[last].document == op.document {
				ops[last].narrow = true // there is nothing to leave out
				break
			}
			ops = append(ops, op)
		}
	}
	return ops
}

// builder writes operations.
type builder struct {
	schema    *ast.Schema
	namespace string
}

func (b builder) operation(kind ast.Operation, f *ast.FieldDefinition, narrow bool) (rootField, error) {
	op := rootField{kind: kind, field: f, narrow: narrow}
	args, err := b.arguments(f, narrow)
	if err != nil {
		return op, err
	}
	for i := range op.document {
		selection, err := b.selection(b.schema.Types[f.Type.Name()], selectionDepth-i)
		if err != nil {
			return op, err
		}
		op.document[i] = fmt.Sprintf("%s { %s%s%s }", kind, f.Name, args, selection)
		if _, err := gqlparser.LoadQueryWithRules(b.schema, op.document[i], rules.NewDefaultRules()); err != nil {
			return op, fmt.Errorf("%s: %w", op.document[i], err)
		}
	}
	return op, nil
}

func (b builder) arguments(f *ast.FieldDefinition, narrow bool) (string, error) {
	var args []string
	for _, a := range f.Arguments {
		if !narrow && !a.Type.NonNull && a.Name != "dryRun" {
			continue
		}
		literal, err := b.literal(f.Name, a.Name, a.Type, a.DefaultValue != nil)
		if err != nil {
			return "", err
		}
		if literal != "" {
			args = append(args, a.Name+": "+literal)
		}
	}
	if len(args) == 0 {
		return "", nil
	}
	return "(" + strings.Join(args, ", ") + ")", nil
}

// literal is what to give for an argument or a field of an input; "" leaves it out.
func (b builder) literal(owner, name string, typ *ast.Type, hasDefault bool) (string, error) {
	for _, key := range []string{owner + "." + name, name} {
		if literal, ok := literals[key]; ok {
			return strings.ReplaceAll(literal, "NS", b.namespace), nil
		}
	}
	if !typ.NonNull || hasDefault {
		return "", nil
	}
	if typ.Elem != nil {
		elem := *typ.Elem
		elem.NonNull = true
		literal, err := b.literal(owner, name, &elem, false)
		return "[" + literal + "]", err
	}
	switch def := b.schema.Types[typ.NamedType]; {
	case def.Kind == ast.Enum:
		return def.EnumValues[0].Name, nil
	case def.Kind == ast.InputObject:
		return b.object(def)
	case def.Name == "Boolean":
		return "false", nil
	}
	return "", fmt.Errorf("there is no literal for %s.%s, which is %s", owner, name, typ)
}

func (b builder) object(def *ast.Definition) (string, error) {
	var fields []string
	for _, f := range def.Fields {
		literal, err := b.literal(def.Name, f.Name, f.Type, f.DefaultValue != nil)
		if err != nil {
			return "", err
		}
		if literal != "" {
			fields = append(fields, f.Name+": "+literal)
		}
	}
	return "{" + strings.Join(fields, ", ") + "}", nil
}

// selection selects all fields of a type: values, and so many levels of objects.
func (b builder) selection(def *ast.Definition, levels int) (string, error) {
	if def.IsLeafType() {
		return "", nil
	}
	fields := []string{"__typename"}
	for _, f := range def.Fields {
		typ := b.schema.Types[f.Type.Name()]
		if strings.HasPrefix(f.Name, "__") || !typ.IsLeafType() && levels == 1 {
			continue
		}
		args, err := b.arguments(&ast.FieldDefinition{Name: def.Name + "." + f.Name, Arguments: f.Arguments}, false)
		if err != nil {
			return "", err
		}
		selection, err := b.selection(typ, levels-1)
		if err != nil {
			return "", err
		}
		fields = append(fields, f.Name+args+selection)
	}
	for _, member := range b.schema.GetPossibleTypes(def) {
		if member == def {
			continue
		}
		selection, err := b.selection(member, levels)
		if err != nil {
			return "", err
		}
		fields = append(fields, "... on "+member.Name+selection)
	}
	return " { " + strings.Join(fields, " ") + " }", nil
}
