package jetstream

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"
	knbroker "knative.dev/eventing/pkg/broker"
	"knative.dev/pkg/apis"
)

func TestFailureExtensions(t *testing.T) {
	behind, err := json.Marshal(knbroker.ErrExtensionInfo{ErrDestination: apis.HTTP("function.shop"), ErrResponseBody: []byte("TypeError")})
	if err != nil {
		t.Fatal(err)
	}
	filter := apis.HTTP("broker-filter.knative-eventing.svc.cluster.local")
	filter.Path = "/triggers/shop/t/uid"
	for _, tc := range []struct {
		name string
		f    failure
		dest string
		code int32
		body string
	}{
		{"subscriber", failure{url: apis.HTTP("sub"), status: 503, body: []byte("busy")}, "http://sub", 503, "busy"},
		{"through the broker's filter", failure{url: filter, status: 500, body: behind}, "http://function.shop", 500, "TypeError"},
		{"of the broker's filter itself", failure{url: filter, status: 404, body: []byte("no trigger")}, filter.String(), 404, "no trigger"},
		{"no answer", failure{url: apis.HTTP("sub"), status: 500}, "http://sub", 500, ""},
		{"long answer", failure{url: apis.HTTP("sub"), status: 500, body: []byte(strings.Repeat("x", 5000))}, "http://sub", 500, strings.Repeat("x", 768)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEvent("application/json", []byte(`{}`))
			got, err := binding.ToEvent(t.Context(), binding.ToMessage(e), tc.f.extensions()...)
			if err != nil {
				t.Fatal(err)
			}
			ext := got.Extensions()
			body, err := base64.StdEncoding.DecodeString(ext["knativeerrordata"].(string))
			if err != nil {
				t.Fatal(err)
			}
			dest := ext["knativeerrordest"].(types.URI)
			if diff := cmp.Diff([]any{tc.dest, tc.code, tc.body}, []any{dest.String(), ext["knativeerrorcode"], string(body)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}
