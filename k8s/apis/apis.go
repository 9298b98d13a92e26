// Package apis carries the definitions of this project's own kinds, one package per API group below it, and the
// CustomResourceDefinitions made from them:
//
//   - applicationconnector: Application, ApplicationMapping, EventActivation
//   - sources: HTTPSource
//   - serverless: Function
//   - messaging: JetStreamChannel
//
// The packages beside them are the parts that are read of other programs' kinds, which those programs define:
//
//   - rafter: Asset, AssetGroup, ClusterAsset, ClusterAssetGroup
//   - servicecatalog: ServiceBindingUsage
//   - ui: ClusterMicroFrontend, MicroFrontend
//
// The Go types are the source. After a change of one, "go generate ./k8s/apis/" writes the deep copies and the files in
// crds anew.
package apis

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:generate go tool controller-gen object paths=./...
//go:generate go tool controller-gen crd paths=./... output:crd:dir=crds

//go:embed crds/*.yaml
var files embed.FS

// CRDs returns the definitions of all kinds of this project, in the order of their names. They are the caller's to
// change. The error would be a fault of the files built in.
func CRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	entries, err := files.ReadDir("crds")
	if err != nil {
		return nil, fmt.Errorf("list the built-in CRDs: %w", err)
	}
	crds := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(entries))
	for _, e := range entries {
		data, err := files.ReadFile("crds/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read the built-in CRD %s: %w", e.Name(), err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, crd); err != nil {
			return nil, fmt.Errorf("decode the built-in CRD %s: %w", e.Name(), err)
		}
		crds = append(crds, crd)
	}
	slices.SortFunc(crds, func(a, b *apiextensionsv1.CustomResourceDefinition) int {
		return strings.Compare(a.Name, b.Name)
	})
	return crds, nil
}
