package apis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/kyma-eventmesh/kyma-console/k8s/apis"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// TestCRDs holds what people and other controllers see of each definition: changing it breaks scripts.
func TestCRDs(t *testing.T) {
	type facts struct {
		Scope      string
		ShortNames []string
		Categories []string
		Labels     map[string]string
		Columns    []string
		Status     bool
	}
	want := map[string]facts{
		"applications.applicationconnector.kyma-project.io": {
			Scope: "Cluster", ShortNames: []string{"app"}, Status: true,
		},
		"applicationmappings.applicationconnector.kyma-project.io": {
			Scope: "Namespaced", ShortNames: []string{"am"},
		},
		"eventactivations.applicationconnector.kyma-project.io": {
			Scope: "Namespaced", ShortNames: []string{"ea"}, Columns: []string{"Ready", "Reason", "Age"}, Status: true,
		},
		"httpsources.sources.kyma-project.io": {
			Scope:      "Namespaced",
			Categories: []string{"all", "knative", "eventing", "sources", "kyma-eventing"},
			Labels:     map[string]string{"eventing.knative.dev/source": "true", "kyma-project.io/crd-install": "true"},
			Columns:    []string{"Ready", "Reason"},
			Status:     true,
		},
		"functions.serverless.kyma-project.io": {
			Scope: "Namespaced", Columns: []string{"Configured", "Built", "Running", "Runtime", "Version", "Age"}, Status: true,
		},
		"jetstreamchannels.messaging.kyma-project.io": {
			Scope:      "Namespaced",
			ShortNames: []string{"jsch"},
			Categories: []string{"all", "knative", "messaging", "channel"},
			Labels:     map[string]string{"messaging.knative.dev/subscribable": "true", "duck.knative.dev/addressable": "true"},
			Columns:    []string{"Ready", "Reason", "URL", "Age"},
			Status:     true,
		},
	}

	got := map[string]facts{}
	var names []string
	for _, crd := range crds(t) {
		names = append(names, crd.Name)
		version := crd.Spec.Versions[0]
		f := facts{
			Scope: string(crd.Spec.Scope), ShortNames: crd.Spec.Names.ShortNames, Categories: crd.Spec.Names.Categories, Labels: crd.Labels,
			Status: version.Subresources != nil && version.Subresources.Status != nil,
		}
		for _, c := range version.AdditionalPrinterColumns {
			f.Columns = append(f.Columns, c.Name)
		}
		got[crd.Name] = f
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("definitions (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in the order of names: %v", names)
	}
}

// TestCRDsValid runs what the API server checks when a definition is created: structural schema, CEL rules and their
// cost, list types, printer columns.
func TestCRDsValid(t *testing.T) {
	for _, crd := range crds(t) {
		t.Run(crd.Spec.Names.Kind, func(t *testing.T) {
			apiextensionsv1.SetDefaults_CustomResourceDefinition(crd)
			apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
			// The API server sets this on creation; validation asks for it.
			crd.Status.StoredVersions = []string{crd.Spec.Versions[0].Name}
			var internal apiextensions.CustomResourceDefinition
			if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, &internal, nil); err != nil {
				t.Fatal(err)
			}
			for _, err := range crdvalidation.ValidateCustomResourceDefinition(t.Context(), &internal) {
				t.Error(err)
			}
			if crd.Spec.PreserveUnknownFields {
				t.Error("keeps unknown fields")
			}
		})
	}
}

// TestCRDsFresh: a caller may change what it got.
func TestCRDsFresh(t *testing.T) {
	crds(t)[0].Labels = map[string]string{"changed": "true"}
	if got := crds(t)[0].Labels["changed"]; got != "" {
		t.Error("the change of one caller reached another")
	}
}

func TestAddToScheme(t *testing.T) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appv1.AddToScheme, sourcesv1.AddToScheme, functionsv1.AddToScheme, kymamessagingv1.AddToScheme,
	} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, crd := range crds(t) {
		gv := appv1.GroupVersion
		gv.Group, gv.Version = crd.Spec.Group, crd.Spec.Versions[0].Name
		for _, kind := range []string{crd.Spec.Names.Kind, crd.Spec.Names.ListKind} {
			if !s.Recognizes(gv.WithKind(kind)) {
				t.Errorf("%s is not in the scheme", gv.WithKind(kind))
			}
		}
	}
}

// TestSchemas gives objects to what the API server does with them on creation: it prunes unknown fields, then checks
// schema, list types and rules.
func TestSchemas(t *testing.T) {
	const service = `{id: ac031e8c-9aa4-4cb7-8999-0d358726ffaa, name: orders, displayName: Orders, description: Orders of the shop, providerDisplayName: Shop, entries: [{type: Events}]}`
	tests := map[string]struct {
		kind   string
		object string
		// want is a part of the error, "" when the object is to be taken as it is.
		want string
	}{
		"application":                     {kind: "Application", object: `{metadata: {name: shop}, spec: {services: [` + service + `]}}`},
		"application without spec":        {kind: "Application", object: `{metadata: {name: shop}}`},
		"application, longest name":       {kind: "Application", object: `{metadata: {name: ` + strings.Repeat("a", appv1.MaxNameLength) + `}}`},
		"application, name too long":      {kind: "Application", object: `{metadata: {name: ` + strings.Repeat("a", appv1.MaxNameLength+1) + `}}`, want: "at most 50"},
		"application, name with dot":      {kind: "Application", object: `{metadata: {name: shop.eu}}`, want: "start with a letter"},
		"application, name of digits":     {kind: "Application", object: `{metadata: {name: 1shop}}`, want: "start with a letter"},
		"application, service twice":      {kind: "Application", object: `{metadata: {name: shop}, spec: {services: [` + service + `, ` + service + `]}}`, want: "Duplicate value"},
		"application, service incomplete": {kind: "Application", object: `{metadata: {name: shop}, spec: {services: [{id: a}]}}`, want: "spec.services[0].entries: Required"},
		"application, entry unknown":      {kind: "Application", object: `{metadata: {name: shop}, spec: {services: [` + strings.Replace(service, "Events", "Event", 1) + `]}}`, want: "spec.services[0].entries[0].type: Unsupported value"},
		"application, service id":         {kind: "Application", object: `{metadata: {name: shop}, spec: {services: [` + strings.Replace(service, "ac031e8c", "AC031E8C", 1) + `]}}`, want: "spec.services[0].id"},
		"application, service id long":    {kind: "Application", object: `{metadata: {name: shop}, spec: {services: [` + strings.Replace(service, "ac031e8c", strings.Repeat("a", 31), 1) + `]}}`, want: "may not be more than 58"},
		"application, access label":       {kind: "Application", object: `{metadata: {name: shop}, spec: {accessLabel: "-shop"}}`, want: "spec.accessLabel"},
		"application, credentials":        {kind: "Application", object: `{metadata: {name: shop}, spec: {services: [` + strings.Replace(service, "type: Events", "type: API, credentials: {type: Basic}", 1) + `]}}`, want: "credentials.secretName: Required"},
		"application, compass":            {kind: "Application", object: `{metadata: {name: shop}, spec: {compassMetadata: {applicationId: a}}}`, want: "compassMetadata.authentication: Required"},
		"mapping of all":                  {kind: "ApplicationMapping", object: `{metadata: {name: shop}, spec: {}}`},
		"mapping of none":                 {kind: "ApplicationMapping", object: `{metadata: {name: shop}, spec: {services: []}}`},
		"mapping of one":                  {kind: "ApplicationMapping", object: `{metadata: {name: shop}, spec: {services: [{id: a}]}}`},
		"mapping of null":                 {kind: "ApplicationMapping", object: `{metadata: {name: shop}, spec: {services: null}}`, want: "spec.services: Invalid value"},
		"activation":                      {kind: "EventActivation", object: `{metadata: {name: a}, spec: {displayName: Orders, sourceId: shop}}`},
		"activation without source":       {kind: "EventActivation", object: `{metadata: {name: a}, spec: {displayName: Orders}}`, want: "spec.sourceId: Required"},
		"activation, bad source":          {kind: "EventActivation", object: `{metadata: {name: a}, spec: {sourceId: shop_1}}`, want: "spec.sourceId"},
		"source":                          {kind: "HTTPSource", object: `{metadata: {name: shop}, spec: {source: shop}, status: {SinkURI: "http://shop-kn-channel.kyma-integration.svc.cluster.local"}}`},
		"source of nothing":               {kind: "HTTPSource", object: `{metadata: {name: shop}, spec: {}}`, want: "spec.source: Required"},
		"function":                        {kind: "Function", object: `{metadata: {name: print}, spec: {source: "module.exports = {}", runtime: nodejs12, minReplicas: 1, maxReplicas: 2, env: [{name: A, value: b}], resources: {limits: {cpu: 100m, memory: 64Mi}}}}`},
		"function without source":         {kind: "Function", object: `{metadata: {name: print}, spec: {}}`, want: "spec.source: Required"},
		"function, runtime":               {kind: "Function", object: `{metadata: {name: print}, spec: {source: a, runtime: cobol}}`, want: "spec.runtime: Unsupported value"},
		"function, replicas":              {kind: "Function", object: `{metadata: {name: print}, spec: {source: a, minReplicas: 3, maxReplicas: 2}}`, want: "minReplicas must not be greater"},
		"function, variable twice":        {kind: "Function", object: `{metadata: {name: print}, spec: {source: a, env: [{name: A}, {name: A}]}}`, want: "Duplicate value"},
		"channel":                         {kind: "JetStreamChannel", object: `{metadata: {name: shop}, spec: {delivery: {retry: 3, backoffPolicy: exponential, backoffDelay: PT0.2S, timeout: PT10S, deadLetterSink: {uri: "http://a.b"}}, subscribers: [{uid: a, generation: 1, name: s, subscriberUri: "http://a.b", replyUri: "http://c.d", delivery: {retry: 1, deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: a, namespace: b}}}}]}, status: {observedGeneration: 1, address: {name: http, url: "http://a.b"}, deadLetterSinkUri: "http://a.b", subscribers: [{uid: a, observedGeneration: 1, ready: "True"}], conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`},
		"channel, name too long":          {kind: "JetStreamChannel", object: `{metadata: {name: ` + strings.Repeat("a", 51) + `}}`, want: "at most 50"},
	}
	schemas := map[string]*schema{}
	for _, crd := range crds(t) {
		schemas[crd.Spec.Names.Kind] = newSchema(t, crd)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			object := decode(t, []byte(tt.object))
			object["apiVersion"], object["kind"] = schemas[tt.kind].apiVersion, tt.kind
			before := runtime.DeepCopyJSON(object)
			pruning.Prune(object, schemas[tt.kind].structural, true)
			err := schemas[tt.kind].validate(t, object)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			case tt.want == "":
				if diff := cmp.Diff(before, object); diff != "" {
					t.Errorf("pruned (-sent +stored):\n%s", diff)
				}
			}
		})
	}
}

// TestMappingServer takes the three kinds of mapping from Go through the server's pruning and checks, and back to Go:
// nil and empty must not become the other.
func TestMappingServer(t *testing.T) {
	crds := crds(t)
	i := slices.IndexFunc(crds, func(c *apiextensionsv1.CustomResourceDefinition) bool {
		return c.Spec.Names.Kind == "ApplicationMapping"
	})
	s := newSchema(t, crds[i])

	services := crds[i].Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["services"]
	if services.XListType == nil || *services.XListType != "atomic" || services.Nullable || services.Default != nil {
		t.Errorf("services must be atomic (server-side apply), not nullable and without default: %+v", services)
	}

	for name, want := range map[string][]appv1.ApplicationMappingService{"all": nil, "none": {}, "one": {{ID: "a"}}} {
		t.Run(name, func(t *testing.T) {
			in := &appv1.ApplicationMapping{Spec: appv1.ApplicationMappingSpec{Services: want}}
			in.APIVersion, in.Kind, in.Name = appv1.GroupVersion.String(), "ApplicationMapping", "shop"
			data, err := yaml.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			object := decode(t, data)
			pruning.Prune(object, s.structural, true)
			if err := s.validate(t, object); err != nil {
				t.Fatal(err)
			}
			out := &appv1.ApplicationMapping{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(in, out); diff != "" {
				t.Errorf("(-sent +read):\n%s", diff)
			}
		})
	}
}

// schema checks objects of one kind as the API server does.
type schema struct {
	apiVersion string
	structural *structuralschema.Structural
	openAPI    validation.SchemaValidator
	rules      *cel.Validator
}

func newSchema(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition) *schema {
	t.Helper()
	version := crd.Spec.Versions[0]
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(version.Schema, &internal, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	openAPI, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	return &schema{
		apiVersion: fmt.Sprintf("%s/%s", crd.Spec.Group, version.Name),
		structural: structural,
		openAPI:    openAPI,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}
}

func (s *schema) validate(t *testing.T, object map[string]any) error {
	errs := validation.ValidateCustomResource(nil, object, s.openAPI)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if len(errs) == 0 && s.rules != nil { // as the server: rules see only objects of the right shape
		broken, _ := s.rules.Validate(t.Context(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	return errs.ToAggregate()
}

// decode reads YAML as the API server does, whole numbers as such.
func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func crds(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	crds, err := apis.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	return crds
}
