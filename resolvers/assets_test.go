package resolvers

import (
	"testing"

	"github.com/kyma-eventmesh/kyma-console/graph"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

func TestPhase(t *testing.T) {
	for in, want := range map[rafterv1.Phase]graph.AssetPhaseType{
		"":        graph.AssetPhaseTypePending,
		"Pending": graph.AssetPhaseTypePending,
		"Ready":   graph.AssetPhaseTypeReady,
		"Failed":  graph.AssetPhaseTypeFailed,
		"Odd":     graph.AssetPhaseTypeFailed,
	} {
		if got := phase(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestFileURL(t *testing.T) {
	for _, tt := range []struct{ base, name, want string }{
		{"https://s.example/bucket/a", "docs/a.md", "https://s.example/bucket/a/docs/a.md"},
		{"https://s.example/bucket/a/", "/a.md", "https://s.example/bucket/a/a.md"},
		{"https://s.example/bucket/a", "what? 100%.md", "https://s.example/bucket/a/what%3F%20100%25.md"},
	} {
		if got := fileURL(tt.base, tt.name); got != tt.want {
			t.Errorf("%q, %q: got %s, want %s", tt.base, tt.name, got, tt.want)
		}
	}
}
