package resolvers

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// TestAnswers counts how often a query is executed that reads Applications.
func TestAnswers(t *testing.T) {
	a := newAnswers(16 * 1000)
	executed := 0
	document, data, read := "{x}", "{}", true
	ask := func(name string, kind ast.Operation) {
		ctx := request.WithUser(t.Context(), &user.DefaultInfo{Name: name, Groups: []string{user.SystemPrivilegedGroup}})
		ctx = graphql.WithOperationContext(ctx, &graphql.OperationContext{RawQuery: document, Operation: &ast.OperationDefinition{Operation: kind}})
		response := a.intercept(ctx, func(inner context.Context) graphql.ResponseHandler {
			executed++
			if read {
				var list appv1.ApplicationList
				if err := shared.cluster.Client(inner).List(inner, &list); err != nil {
					t.Fatal(err)
				}
			} else {
				k8s.Uncacheable(inner)
			}
			return graphql.OneShot(&graphql.Response{Data: json.RawMessage(data)})
		})(ctx)
		if string(response.Data) != data {
			t.Fatalf("answered %s, want %s", response.Data, data)
		}
	}
	want := func(n int, what string) {
		t.Helper()
		if executed != n {
			t.Errorf("%s: executed %d times, want %d", what, executed, n)
		}
		executed = 0
	}
	ask("ann", ast.Query)
	ask("ann", ast.Query)
	want(1, "the same again")
	ask("ben", ast.Query)
	want(1, "another user")
	ask("ann", ast.Mutation)
	ask("ann", ast.Mutation)
	want(2, "mutations")

	admin := request.WithUser(t.Context(), &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	app := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: "answers"}}
	if err := shared.cluster.Client(admin).Create(admin, app); err != nil {
		t.Fatal(err)
	}
	ask("ann", ast.Query)
	ask("ann", ast.Query)
	want(1, "after a change")
	read = false
	ask("uma", ast.Query)
	ask("uma", ast.Query)
	want(2, "an answer that cannot be repeated")

	read, data = true, `{"long":"`+string(make([]byte, 1000))+`"}`
	ask("lou", ast.Query)
	ask("lou", ast.Query)
	want(2, "a long answer")
	document, data = strings.Repeat("{x}", 400), "{}"
	ask("lea", ast.Query)
	ask("lea", ast.Query)
	want(2, "a long document")
	document = "{x}"
	data = `{"long":"` + string(make([]byte, 800)) + `"}`
	for i := range 100 {
		ask(string(rune('a'+i)), ast.Query)
	}
	kept := 0
	for _, key := range a.known.Keys() {
		v, _ := a.known.Peek(key)
		kept += v.size(key)
	}
	if a.bytes != kept || a.bytes > a.limit || a.known.Len() > 100 {
		t.Errorf("%d bytes of %d answers are remembered", a.bytes, a.known.Len())
	}
}
