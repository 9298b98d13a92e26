//go:build ignore

// Command gen refreshes crds/ from the Service Catalog module that go.mod names: its custom resource definitions,
// converted from apiextensions.k8s.io/v1beta1, which no API server serves any more, to v1.
//
// Run it with go generate in this directory. The same module gives the same files.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// module holds the definitions, in the folder source.
const (
	module = "github.com/kubernetes-sigs/service-catalog"
	source = "charts/catalog/templates/crds"
)

// notice heads every file: what Apache-2.0, section 4, asks for. The files of the chart carry no notice of their own;
// the licence is that of their repository.
const notice = `# Copyright The Kubernetes Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
#
# Modified: converted to apiextensions.k8s.io/v1 by ../gen.go; do not edit.
# From %s
`

// protected is what the API server wants to see on definitions in a *.k8s.io group.
const protected = "unapproved, served by a kubernetes-sigs project outside of the Kubernetes API review"

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal("gen: ", err)
	}
}

func run() error {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Path}}@{{.Version}}", module).Output()
	if err != nil {
		return fmt.Errorf("finding %s: %w", module, err)
	}
	dir, version, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !ok || dir == "" {
		return fmt.Errorf("%s is not in the module cache: go mod download it", module)
	}
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(source), "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no definitions in %s of %s", source, dir)
	}
	if err := removeOld(); err != nil {
		return err
	}
	for _, file := range files {
		name := filepath.Base(file)
		if err := convertFile(file, filepath.Join("crds", name), version+"/"+source+"/"+name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// removeOld deletes what an earlier run wrote, so that a definition dropped upstream goes here too.
func removeOld() error {
	old, err := filepath.Glob("crds/*.yaml")
	for _, file := range old {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

func convertFile(from, to, origin string) error {
	in, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.UnmarshalStrict(in, &crd); err != nil {
		return err
	}
	if err := convert(crd); err != nil {
		return err
	}
	body, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, notice, origin)
	out.Write(body)
	return os.WriteFile(to, out.Bytes(), 0o644)
}

// convert moves what v1beta1 has beside the versions into the one version, and adds what v1 demands: a schema (here
// one that keeps every field, as the originals have none) and the approval annotation.
func convert(crd map[string]any) error {
	if v := crd["apiVersion"]; v != "apiextensions.k8s.io/v1beta1" {
		return fmt.Errorf("apiVersion is %v, this converts v1beta1 only", v)
	}
	metadata, ok := crd["metadata"].(map[string]any)
	spec, ok2 := crd["spec"].(map[string]any)
	if !ok || !ok2 {
		return errors.New("no metadata or spec")
	}
	columns, _ := spec["additionalPrinterColumns"].([]any)
	for _, c := range columns {
		column := c.(map[string]any)
		column["jsonPath"] = column["JSONPath"]
		delete(column, "JSONPath")
	}
	version := map[string]any{
		"name":                     spec["version"],
		"served":                   true,
		"storage":                  true,
		"subresources":             spec["subresources"],
		"additionalPrinterColumns": columns,
		"schema": map[string]any{"openAPIV3Schema": map[string]any{
			"type":                                 "object",
			"x-kubernetes-preserve-unknown-fields": true,
		}},
	}
	for _, field := range []string{"version", "subresources", "additionalPrinterColumns"} {
		delete(spec, field)
	}
	for field := range spec {
		if field != "group" && field != "scope" && field != "names" {
			return fmt.Errorf("spec.%s is not known here", field)
		}
	}
	spec["versions"] = []any{version}
	metadata["annotations"] = map[string]any{"api-approved.kubernetes.io": protected}
	crd["apiVersion"] = "apiextensions.k8s.io/v1"
	return nil
}
