package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kyma-eventmesh/kyma-console"

// ours says which of our packages a package may import. A pattern ending in /** stands for the package and all below it.
// The order is that of the house: main, then what serves, then what knows, then the kinds.
var ours = []struct {
	pkg     string
	imports []string
}{
	{"", []string{"/**"}},
	{"/web", []string{"/web/transport"}},
	{"/web/**", nil},
	{"/resolvers/scalars", []string{"/k8s/apis/**"}},
	{"/resolvers", []string{"/web/transport", "/resolvers/scalars", "/graph", "/eventmesh", "/k8s", "/k8s/apis/**"}},
	{"/graph", []string{"/resolvers/scalars", "/eventmesh", "/k8s", "/k8s/apis/**"}},
	{"/eventmesh/embedded/env", nil},
	{"/eventmesh/embedded", []string{"/eventmesh/embedded/**", "/eventmesh", "/k8s", "/k8s/apis/**"}},
	{"/eventmesh/embedded/knative", []string{"/eventmesh/embedded/env", "/eventmesh", "/k8s/apis/**"}},
	{"/eventmesh", []string{"/k8s/apis/**"}},
	{"/eventmesh/**", []string{"/eventmesh", "/k8s", "/k8s/apis/**"}},
	{"/k8s/embedded", nil},
	{"/k8s", []string{"/k8s/apis/**"}},
	{"/k8s/apis/**", []string{"/k8s/apis/**"}},
}

// heavy says which packages alone may import modules that a cluster's image does without.
var heavy = []struct {
	module string
	only   string
}{
	{"k8s.io/kubernetes", "/k8s/embedded"},
	{"go.etcd.io/etcd", "/k8s/embedded"},
	{"knative.dev/eventing/pkg/reconciler", "/eventmesh/embedded/**"},
	{"knative.dev/eventing/pkg/broker", "/eventmesh/embedded/**"},
	{"github.com/kubernetes-sigs/service-catalog/pkg/controller", "/eventmesh/embedded/**"},
	{"github.com/nats-io", "/eventmesh/embedded/**"},
	{"github.com/dop251/goja", "/eventmesh/embedded/**"},
}

type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string
}

// TestImports holds the direction of imports: a package that needs another one upstream is in the wrong room.
func TestImports(t *testing.T) {
	for _, p := range goList(t) {
		if p.Doc == "" && !strings.HasSuffix(p.ImportPath, "/graph") {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed := allowedFor(name)
		for _, imported := range p.Imports {
			if local, ok := strings.CutPrefix(imported, module); ok && !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, local) }) {
				t.Errorf("%s imports %s; it may import %v", p.ImportPath, imported, allowed)
			}
			for _, h := range heavy {
				if strings.HasPrefix(imported, h.module) && !matches(h.only, name) {
					t.Errorf("%s imports %s; only %s may", p.ImportPath, imported, h.only)
				}
			}
		}
	}
}

func allowedFor(name string) []string {
	for _, row := range ours {
		if row.pkg == name {
			return row.imports
		}
	}
	for _, row := range ours {
		if matches(row.pkg, name) {
			return row.imports
		}
	}
	return nil
}

func matches(pattern, name string) bool {
	if root, ok := strings.CutSuffix(pattern, "/**"); ok {
		return name == root || strings.HasPrefix(name, root+"/")
	}
	return pattern == name
}

func goList(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// TestClusterBuild holds what a build for clusters does without: the API server and the mesh in this process.
func TestClusterBuild(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "cluster", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for imported := range strings.Lines(string(out)) {
		for _, h := range heavy {
			if strings.HasPrefix(imported, h.module) {
				t.Errorf("a build with the tag cluster carries %s", strings.TrimSpace(imported))
			}
		}
	}
}
