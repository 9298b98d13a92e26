package k8s

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestReadsEnd holds that reads are not current for longer than rights are believed.
func TestReadsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := TrackReads(t.Context())
		if !r.Current() {
			t.Error("not current at once")
		}
		<-time.After(reviewTTL - 1)
		if !r.Current() {
			t.Error("not current before its end")
		}
		<-time.After(1)
		if r.Current() {
			t.Error("current for ever")
		}
	})
}

// counting is a mapper that knows one kind and counts how often it is asked.
type counting struct {
	meta.RESTMapper
	asked int
	err   error
}

func (c *counting) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	c.asked++
	if c.err != nil {
		return nil, c.err
	}
	return &meta.RESTMapping{GroupVersionKind: gk.WithVersion(versions[0])}, nil
}

// TestMapper wants answers remembered, also that there is no such kind, but no failure to find out.
func TestMapper(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		asked int
	}{
		{"found", nil, 2},
		{"no such kind", &meta.NoKindMatchError{}, 2},
		{"a failure", errors.New("unreachable"), 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &counting{err: tt.err}
				m := newMapper(inner)
				for range 2 {
					for range 2 {
						if _, err := m.RESTMapping(schema.GroupKind{Kind: "K"}, "v1"); !errors.Is(err, tt.err) {
							t.Errorf("got %v, want %v", err, tt.err)
						}
					}
					<-time.After(mappingTTL + 1)
				}
				if inner.asked != tt.asked {
					t.Errorf("asked %d times, want %d", inner.asked, tt.asked)
				}
			})
		})
	}
}

// TestMapperForgets holds that kinds that somebody has made up are not remembered without end.
func TestMapperForgets(t *testing.T) {
	m := newMapper(&counting{err: &meta.NoKindMatchError{}})
	for i := range 2 * maxMappings {
		if _, err := m.RESTMapping(schema.GroupKind{Kind: fmt.Sprint("K", i)}, "v1"); !meta.IsNoMatchError(err) {
			t.Fatal(err)
		}
	}
	if n := len(m.answers.Keys()); n > maxMappings {
		t.Errorf("%d kinds are remembered", n)
	}
}
