package resolvers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Limits bound what clients may ask for. The zero value of each field means its default.
type Limits struct {
	// Body is the largest request or websocket message, in bytes. Default 1 MiB: Functions carry their source.
	Body int64
	// Tokens is how many tokens a document may have. Default 15000.
	Tokens int
	// Depth is how many levels of fields a document may nest, introspection aside. Default 15.
	Depth int
	// Cost is how many fields an answer may have, as far as the document tells: see meter. Default 50000.
	Cost int
	// Aliases is how many fields a document may rename, fragments expanded. Default 100.
	Aliases int
	// Batch is how many requests one POST may carry. Default 10.
	Batch int
	// Operations is how many operations a user may have running at once, on all connections together. Default 1000: each
	// page of the Console has a handful of GraphQL subscriptions. Those that share one execution count as one, so that a
	// single websocket may have no more than this either.
	Operations int
	// Websockets is how many websockets and event streams a user may have open, counted together. Default 250.
	Websockets int
	// InitTimeout is how long a websocket may take to send connection_init. Default 10 s.
	InitTimeout time.Duration
	// Alive is how often a websocket is sent a sign of life. A graphql-transport-ws client that does not answer one
	// before the next but one is due is cut off. Default 10 s, as the Console expects it.
	Alive time.Duration
	// Answers is how many bytes of answers are remembered to be repeated while they hold. Default 64 MiB, negative none.
	Answers int
}

// DefaultLimits are the defaults of all limits.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

func (l Limits) withDefaults() Limits {
	l.Body = cmp.Or(l.Body, 1<<20)
	l.Tokens = cmp.Or(l.Tokens, 15000)
	l.Depth = cmp.Or(l.Depth, 15)
	l.Cost = cmp.Or(l.Cost, 50000)
	l.Aliases = cmp.Or(l.Aliases, 100)
	l.Batch = cmp.Or(l.Batch, 10)
	l.Operations = cmp.Or(l.Operations, 1000)
	l.Websockets = cmp.Or(l.Websockets, 250)
	l.InitTimeout = cmp.Or(l.InitTimeout, 10*time.Second)
	l.Alive = cmp.Or(l.Alive, 10*time.Second)
	l.Answers = cmp.Or(l.Answers, 64<<20)
	return l
}

// documentLimits is a gqlgen extension that refuses documents that ask for too much, before anything is executed.
type documentLimits struct {
	Limits
	noIntrospection bool
}

// costExtension is the extension of a request that asks for the cost of its document, and that of the answer with it.
const costExtension = "cost"

// ExtensionName names the extension for gqlgen.
func (documentLimits) ExtensionName() string { return "DocumentLimits" }

// Validate has nothing to check.
func (documentLimits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses the operation when it is too large.
func (l documentLimits) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	m := meter{variables: op.Variables}
	size := m.set(op.Operation.SelectionSet, assumedLength)
	op.Stats.SetExtension(costExtension, size.cost)
	switch {
	case l.noIntrospection && size.introspects:
		return refused(codeIntrospectionDisabled, "this server does not show its schema")
	case size.depth > l.Depth:
		return refused(codeDepthLimit, "operation has depth %d, which exceeds the limit of %d", size.depth, l.Depth)
	case size.aliases > l.Aliases:
		return refused(codeAliasLimit, "operation has %d aliases, which exceeds the limit of %d", size.aliases, l.Aliases)
	case size.cost > l.Cost:
		return refused(codeCostLimit, "operation has cost %d, which exceeds the limit of %d", size.cost, l.Cost)
	}
	return nil
}

// InterceptResponse tells the cost of the document to those who ask.
func (l documentLimits) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if graphql.HasOperationContext(ctx) {
		op := graphql.GetOperationContext(ctx)
		if cost, ok := op.Stats.GetExtension(costExtension).(int); ok && op.Extensions[costExtension] == true {
			graphql.RegisterExtension(ctx, costExtension, map[string]int{"requested": cost, "limit": l.Cost})
		}
	}
	return next(ctx)
}

func refused(code, format string, args ...any) *gqlerror.Error {
	return &gqlerror.Error{Message: fmt.Sprintf(format, args...), Extensions: map[string]any{"code": code}}
}

// assumedLength is how many items a list is taken to have when the document does not limit them.
const assumedLength = 10

// maxCount is where counts stop, so that no document makes them overflow.
const maxCount = math.MaxInt32

// extent is how large a selection is.
type extent struct {
	depth, aliases, cost int
	introspects          bool
}

// meter measures selections. A field costs 1, and one with a selection what that costs besides; a field that is a list
// costs it once for each item. How many those are is said by its argument first, or by that of the field around it, which
// is so for connections; else it is assumed. The types come from the schema, so that a new field is counted without
// anybody's doing. Introspection is deep by nature and answered from memory: it counts as one level without lists.
//
// Each fragment is measured once, however often it is spread: documents can spread fragments in fragments and grow
// exponentially. The document has been validated, so that they do not run in circles.
type meter struct {
	variables map[string]any
	fragments map[fragmentOf]extent // nil until there is one
}

// fragmentOf is a fragment, spread where lists have that length.
type fragmentOf struct {
	name   string
	length int
}

// set measures a selection, whose lists have that length unless they say otherwise.
func (m *meter) set(set ast.SelectionSet, length int) (sum extent) {
	for _, selection := range set {
		var one extent
		switch s := selection.(type) {
		case *ast.Field:
			one = m.field(s, length)
		case *ast.InlineFragment:
			one = m.set(s.SelectionSet, length)
		case *ast.FragmentSpread:
			one = m.fragment(s, length)
		}
		sum.depth = max(sum.depth, one.depth)
		sum.aliases = min(maxCount, sum.aliases+one.aliases)
		sum.cost = min(maxCount, sum.cost+one.cost)
		sum.introspects = sum.introspects || one.introspects
	}
	return sum
}

func (m *meter) fragment(s *ast.FragmentSpread, length int) extent {
	key := fragmentOf{s.Name, length}
	size, ok := m.fragments[key]
	if !ok {
		size = m.set(s.Definition.SelectionSet, length)
		if m.fragments == nil {
			m.fragments = map[fragmentOf]extent{}
		}
		m.fragments[key] = size
	}
	return size
}

func (m *meter) field(f *ast.Field, length int) extent {
	given, sliced := m.first(f)
	isList := f.Definition.Type.Elem != nil
	inner := assumedLength
	switch {
	case isList && sliced:
		length = given
	case sliced: // a connection: the lists in it are meant
		inner = given
	}
	size := m.set(f.SelectionSet, inner)
	if f.Alias != f.Name {
		size.aliases++
	}
	if strings.HasPrefix(f.Name, "__") {
		return extent{aliases: size.aliases, cost: 1, introspects: f.Name != "__typename"}
	}
	if isList {
		size.cost = min(maxCount, size.cost*length)
	}
	size.cost++
	size.depth++
	return size
}

// first is the value of the field's argument first. The Console's 0 means all, and so does null.
func (m *meter) first(f *ast.Field) (value int, ok bool) {
	argument := f.Arguments.ForName("first")
	if argument == nil {
		return 0, false
	}
	given, err := argument.Value.Value(m.variables)
	if err != nil {
		return 0, false // not a number: the field will say so
	}
	switch n := given.(type) {
	case int64:
		value = int(min(n, maxCount))
	case json.Number:
		n64, err := n.Int64()
		if err != nil {
			return 0, false
		}
		value = int(min(n64, maxCount))
	case int:
		value = min(n, maxCount)
	}
	return value, value > 0
}
