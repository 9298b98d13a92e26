package resolvers

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// metered is a schema with all that a meter looks at.
var metered = gqlparser.MustLoadSchema(&ast.Source{Input: `
	type Query { one: Item!, list(first: Int): [Item!]!, paged(first: Int, after: String): Connection! }
	type Connection { edges: [Edge!]!, totalCount: Int }
	type Edge { node: Item! }
	type Item { name: String, names: [String!]!, one: Item, list(first: Int): [Item!] }`})

func TestMeter(t *testing.T) {
	bomb := "{...F0} fragment F40 on Query{one{name}}"
	for i := 39; i >= 0; i-- {
		bomb += strings.NewReplacer("N", strconv.Itoa(i), "M", strconv.Itoa(i+1)).Replace(" fragment FN on Query{...FM ...FM}")
	}
	for _, tt := range []struct {
		name, document string
		variables      map[string]any
		want           extent
	}{
		{"leaf", "{one{name}}", nil, extent{depth: 2, cost: 2}},
		{"list of unknown length", "{list{name}}", nil, extent{depth: 2, cost: 11}},
		{"list of scalars", "{one{names}}", nil, extent{depth: 2, cost: 2}},
		{"lists in lists", "{list{name list{name}}}", nil, extent{depth: 3, cost: 1 + 10*(1+1+10)}},
		{"limited list", "{list(first:2){name list{name}}}", nil, extent{depth: 3, cost: 1 + 2*(1+1+10)}},
		{"limited by a variable", "query($n:Int){list(first:$n){name}}", map[string]any{"n": json.Number("3")}, extent{depth: 2, cost: 4}},
		{"limited by the default of a variable", "query($n:Int=4){list(first:$n){name}}", nil, extent{depth: 2, cost: 5}},
		{"null is no limit", "{list(first:null){name}}", nil, extent{depth: 2, cost: 11}},
		{"the Console's 0 is no limit", "{list(first:0){name}}", nil, extent{depth: 2, cost: 11}},
		{"nonsense", "{list(first:-1){name}}", nil, extent{depth: 2, cost: 11}},
		{"connection", "{paged(first:50){totalCount edges{node{name}}}}", nil, extent{depth: 4, cost: 1 + 1 + 1 + 50*2}},
		{"list in a connection", "{paged(first:50){edges{node{list{name}}}}}", nil, extent{depth: 5, cost: 1 + 1 + 50*(1+1+10)}},
		{"connection in a fragment", "{paged(first:2){...F}} fragment F on Connection{edges{node{name}}}", nil, extent{depth: 4, cost: 1 + 1 + 2*2}},
		{
			"a fragment in connections of other lengths", "{paged(first:2){...F} a:paged(first:3){...F}} fragment F on Connection{edges{node{name}}}", nil,
			extent{depth: 4, aliases: 1, cost: 2 + 2 + 2*2 + 3*2},
		},
		{"aliases", "{a:one{b:name} one{...F ...F}} fragment F on Item{c:name}", nil, extent{depth: 2, aliases: 4, cost: 5}},
		{"an alias that is none", "{one:one{name}}", nil, extent{depth: 2, cost: 2}},
		{"inline fragment", "{...{one{...on Item{name}}}}", nil, extent{depth: 2, cost: 2}},
		{"introspection", "{__schema{types{fields{name}}} __typename}", nil, extent{cost: 2, introspects: true}},
		{"name of a type", "{__typename one{__typename}}", nil, extent{depth: 1, cost: 3}},
		{"too long to be true", "{list(first:2147483647){list(first:2147483647){list(first:2147483647){name}}}}", nil, extent{depth: 4, cost: maxCount}},
		{"exponential fragments", bomb, nil, extent{depth: 2, cost: maxCount}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, errs := gqlparser.LoadQueryWithRules(metered, tt.document, rules.NewRules(rules.KnownFragmentNamesRule, rules.FieldsOnCorrectTypeRule))
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			m := meter{variables: tt.variables}
			got := m.set(doc.Operations[0].SelectionSet, assumedLength)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(extent{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestPerUser(t *testing.T) {
	p := newPerUser(2)
	first, ok := p.enter("alice")
	if !ok {
		t.Fatal("the first of two is refused")
	}
	if _, ok := p.enter("alice"); !ok {
		t.Error("the second of two is refused")
	}
	if _, ok := p.enter("alice"); ok {
		t.Error("a third of two is admitted")
	}
	leaveBob, ok := p.enter("bob")
	if !ok {
		t.Error("another user is refused")
	}
	first()
	if _, ok := p.enter("alice"); !ok {
		t.Error("the second of two is refused when another has ended")
	}
	leaveBob()
	if _, ok := p.has["bob"]; ok {
		t.Error("who has nothing is still remembered")
	}
}

// TestAdmit begins one operation more than a user may have, ends one, and begins it again.
func TestAdmit(t *testing.T) {
	p := newPerUser(2)
	begin := func() (code any, end context.CancelFunc) {
		ctx, end := context.WithCancel(t.Context())
		begun := func(context.Context) graphql.ResponseHandler { return graphql.OneShot(&graphql.Response{}) }
		if answer := p.admit(ctx, begun)(ctx); len(answer.Errors) > 0 {
			return answer.Errors[0].Extensions["code"], end
		}
		return nil, end
	}
	_, end := begin()
	_, endOther := begin()
	defer endOther()
	if code, _ := begin(); code != codeRateLimited {
		t.Errorf("third operation of two: code %v, want %s", code, codeRateLimited)
	}
	end()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() { // the end is noticed a moment later
		code, end := begin()
		defer end()
		if code == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("second operation of two, after another has ended: code %v", code)
		}
	}
}

func TestLimitWebsockets(t *testing.T) {
	handler := NewHandler(&Resolver{}, Options{Limits: Limits{Websockets: 1}})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), &user.DefaultInfo{Name: "alice"})))
	}))
	defer srv.Close()
	url := "ws" + strings.TrimPrefix(srv.URL, "http")
	conn := dial(t, srv, "graphql-transport-ws")
	_, response, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err == nil || response == nil || response.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("second websocket of one: %v, %+v", err, response)
	}
	body, err := io.ReadAll(response.Body)
	if want := `{"errors":[{"message":"more than 1 websockets and event streams of one user at once","extensions":{"code":"RATE_LIMITED"}}]}`; err != nil || strings.TrimSpace(string(body)) != want {
		t.Errorf("got %s, %v, want %s", body, err, want)
	}
	if status, _ := post(t, srv, strings.NewReader(`{"query":"{__typename}"}`), "Accept", "text/event-stream"); status != http.StatusTooManyRequests {
		t.Errorf("an event stream beside it: %d", status)
	}
	if status, _ := post(t, srv, strings.NewReader(`{"query":"{__typename}"}`)); status != 200 {
		t.Errorf("a POST beside it: %d", status)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; { // the end is noticed a moment later
		conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a websocket after the other has ended: %v, %+v", err, response)
		}
	}
}
