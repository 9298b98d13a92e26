package catalog

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:generate go run gen.go

//go:embed crds/*.yaml
var crdFiles embed.FS

// CRDs are Service Catalog's eight definitions (group servicecatalog.k8s.io, version v1beta1), sorted by file name.
// They keep every field that they are given: what is valid is decided by the admission plugin. An error means that
// the files this program was built with are broken. The caller owns the result.
func CRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(crdFiles, "crds/*.yaml")
	if err != nil {
		return nil, err
	}
	crds := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(files))
	for _, file := range files {
		data, err := crdFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, crd); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", file, err)
		}
		crds = append(crds, crd)
	}
	return crds, nil
}
