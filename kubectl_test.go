package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// kubectlObjects are the objects in the files that are meant for kubectl, in the order in which kubectl applies them.
func kubectlObjects(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	files, err := filepath.Glob("examples/kubectl/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("files: %v, error %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			o := &unstructured.Unstructured{}
			err := documents.Decode(&o.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(o.Object) > 0 {
				objects = append(objects, o)
			}
		}
	}
	return objects
}

// kubectlTable is what "kubectl get" shows: the API server's own rendering, one map from column to cell for each object.
func kubectlTable(t *testing.T, path string) (columns []string, rows []map[string]string) {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(shared.config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shared.config.Host+"/apis/"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := httpClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var table metav1.Table
	if err := json.NewDecoder(response.Body).Decode(&table); err != nil || table.Kind != "Table" {
		t.Fatalf("%s: %s %s, error %v", path, response.Status, table.Kind, err)
	}
	for _, column := range table.ColumnDefinitions {
		if column.Priority == 0 { // others are for -o wide
			columns = append(columns, column.Name)
		}
	}
	for _, row := range table.Rows {
		cells := map[string]string{}
		for i, column := range table.ColumnDefinitions {
			if cell := row.Cells[i]; column.Priority == 0 && cell != nil && column.Name != "Age" && column.Name != "Created At" {
				cells[column.Name] = fmt.Sprint(cell)
			}
		}
		rows = append(rows, cells)
	}
	return columns, rows
}

// TestKubectl applies the example files as kubectl does, and wants them to work and to show what Kyma's users are used to.
func TestKubectl(t *testing.T) {
	objects := kubectlObjects(t)
	for _, o := range objects {
		t.Cleanup(func() {
			if err := shared.kube.Delete(context.WithoutCancel(t.Context()), o); client.IgnoreNotFound(err) != nil {
				t.Errorf("deleting %s %s: %v", o.GetKind(), o.GetName(), err)
			}
		})
		if err := shared.kube.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner("kubectl")); err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	const id = "4c9a1b7e-8c1f-4c57-9d5e-0a8f6f3f6d11"
	integration, reading := "/namespaces/"+eventmesh.IntegrationNamespace+"/", "/namespaces/reading/"
	ready := func(more ...string) map[string]string {
		cells := map[string]string{"Ready": "True"}
		for pair := range slices.Chunk(more, 2) {
			cells[pair[0]] = pair[1]
		}
		return cells
	}
	for _, tt := range []struct {
		path    string // group and version, namespace, plural
		columns string
		name    string // of the object; "" when it is the only one
		want    map[string]string
	}{
		{"applicationconnector.kyma-project.io/v1alpha1/applications", "Age Name", "bookshop", map[string]string{}},
		{"applicationconnector.kyma-project.io/v1alpha1" + reading + "applicationmappings", "Age Name", "bookshop", map[string]string{}},
		{"sources.kyma-project.io/v1alpha1" + integration + "httpsources", "Name Ready Reason", "bookshop", ready("Reason", "Ready")},
		{
			"messaging.knative.dev/v1" + integration + "channels", "Age Name Ready Reason URL", "bookshop",
			ready("URL", "http://bookshop-kn-jetstream.kyma-integration.svc.cluster.local"),
		},
		{
			"messaging.kyma-project.io/v1alpha1" + integration + "jetstreamchannels", "Age Name Ready Reason URL", "bookshop",
			ready("URL", "http://bookshop-kn-jetstream.kyma-integration.svc.cluster.local"),
		},
		{"messaging.knative.dev/v1" + integration + "subscriptions?labelSelector=application-name=bookshop", "Age Name Ready Reason", "", ready()},
		{
			"servicecatalog.k8s.io/v1beta1" + reading + "servicebrokers", "Age Name Status URL", "application-broker",
			map[string]string{"Status": "Ready", "URL": "http://127.0.0.1:PORT/reading"},
		},
		{
			"servicecatalog.k8s.io/v1beta1" + reading + "serviceclasses", "Age Broker External-Name Name", id,
			map[string]string{"External-Name": "bookshop-orders", "Broker": "application-broker"},
		},
		{
			"servicecatalog.k8s.io/v1beta1" + reading + "serviceplans", "Age Broker Class External-Name Name", id + "-plan",
			map[string]string{"External-Name": "default", "Broker": "application-broker", "Class": id},
		},
		{
			"servicecatalog.k8s.io/v1beta1" + reading + "serviceinstances", "Age Class Name Plan Status", "bookshop-orders",
			map[string]string{"Class": "ServiceClass/bookshop-orders", "Plan": "default", "Status": "Ready"},
		},
		{"applicationconnector.kyma-project.io/v1alpha1" + reading + "eventactivations", "Age Name Ready Reason", id, ready("Reason", "Ready")},
		{
			"eventing.knative.dev/v1" + reading + "brokers", "Age Name Ready Reason URL", "default",
			ready("URL", "http://broker-ingress.knative-eventing.svc.cluster.local/reading/default"),
		},
		{
			"eventing.knative.dev/v1" + reading + "triggers", "Age Broker Name Ready Reason Subscriber_URI", "note-created",
			ready("Broker", "default", "Subscriber_URI", "http://note-order.reading.svc.cluster.local"),
		},
		{
			"eventing.knative.dev/v1" + reading + "triggers", "Age Broker Name Ready Reason Subscriber_URI", "note-shipped",
			ready("Broker", "default", "Subscriber_URI", "http://note-order.reading.svc.cluster.local:80/"),
		},
		{
			"serverless.kyma-project.io/v1alpha1" + reading + "functions", "Age Built Configured Name Running Runtime Version", "note-order",
			map[string]string{"Configured": "True", "Built": "True", "Running": "True", "Version": "1"},
		},
	} {
		t.Run(tt.path, func(t *testing.T) { kubectlShows(t, tt.path, tt.columns, tt.name, tt.want) })
	}
	kubectlEvents(t)
}

// kubectlShows waits until an object has the cells of want.
func kubectlShows(t *testing.T, path, wantColumns, name string, want map[string]string) {
	t.Helper()
	eventually(t, func() error {
		columns, rows := kubectlTable(t, path)
		slices.Sort(columns)
		if diff := cmp.Diff(wantColumns, strings.Join(columns, " ")); diff != "" {
			t.Fatalf("columns (-want +got):\n%s", diff)
		}
		i := slices.IndexFunc(rows, func(row map[string]string) bool { return name == "" || row["Name"] == name })
		if i < 0 || name == "" && len(rows) != 1 {
			return fmt.Errorf("%q is not among %v", name, rows)
		}
		got := maps.Clone(rows[i])
		delete(got, "Name")
		if url := got["URL"]; strings.HasPrefix(url, "http://127.0.0.1:") {
			got["URL"] = "http://127.0.0.1:PORT" + url[strings.LastIndex(url, "/"):]
		}
		return differs(want, got)
	})
}

// kubectlEvents sends an event for each of the Triggers and wants them in the function's log.
func kubectlEvents(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"order.created", "order.shipped"} {
		header := binaryEvent("Ce-Id", kind, "Ce-Type", kind, "Ce-Eventtypeversion", "v1", "Content-Type", jsonType)
		wantAnswer(t, http.MethodPost, shared.connector+"/bookshop/events", header, `{"orderId":"1"}`, httpAnswer{Status: 200})
	}
	want := []string{"order.created from bookshop {\"orderId\":\"1\"}", "order.shipped from bookshop {\"orderId\":\"1\"}"}
	eventually(t, func() error {
		var answer struct{ FunctionLogs []eventmesh.LogLine }
		if err := shared.query(t.Context(), `{ functionLogs(namespace: "reading", name: "note-order") { message } }`, nil, &answer); err != nil {
			return err
		}
		got := []string{}
		for _, line := range answer.FunctionLogs {
			got = append(got, line.Message)
		}
		slices.Sort(got) // the two took different ways
		return differs(want, got)
	})
}
