package resolvers

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

// modules are the parts that the Console knows by name, sorted, each with a kind that is there when the part is.
var modules = []struct {
	name string
	kind schema.GroupKind
}{
	{"apigateway", schema.GroupKind{Group: "gateway.kyma-project.io", Kind: "APIRule"}},
	{"application", schema.GroupKind{Group: "applicationconnector.kyma-project.io", Kind: "Application"}},
	{"eventing", schema.GroupKind{Group: "eventing.knative.dev", Kind: "Trigger"}},
	{"rafter", schema.GroupKind{Group: "rafter.kyma-project.io", Kind: "ClusterAssetGroup"}},
	{"serverless", schema.GroupKind{Group: "serverless.kyma-project.io", Kind: "Function"}},
	{"servicecatalog", schema.GroupKind{Group: "servicecatalog.k8s.io", Kind: "ServiceInstance"}},
	{"servicecatalogaddons", schema.GroupKind{Group: "servicecatalog.kyma-project.io", Kind: "ServiceBindingUsage"}},
	{"ui", schema.GroupKind{Group: "ui.kyma-project.io", Kind: "MicroFrontend"}},
}

func (r queryResolver) BackendModules(ctx context.Context) ([]graph.BackendModule, error) {
	if err := signedIn(ctx); err != nil {
		return nil, err
	}
	found := []graph.BackendModule{}
	for _, m := range modules {
		switch ok, err := r.Cluster.Serves(m.kind); {
		case err != nil:
			return nil, err
		case ok:
			found = append(found, graph.BackendModule{Name: m.name})
		}
	}
	return found, nil
}
