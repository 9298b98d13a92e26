package functions

import (
	"testing"
)

// BenchmarkCall is one event through a loaded function, without HTTP.
func BenchmarkCall(b *testing.B) {
	r := newRuntime(Options{})
	defer r.Close()
	if err := r.load(b.Context(), config{namespace: testNamespace, name: testName, source: asyncMain("return event.data.order")}); err != nil {
		b.Fatal(err)
	}
	f := r.running(key{testNamespace, testName})
	in := &input{attributes: map[string]string{"id": "1", "type": "t"}, data: []byte(`{"order":7}`), mediaType: "application/json"}
	for b.Loop() {
		if _, err := f.call(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad is what creating, or rebuilding, a function takes.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		r := newRuntime(Options{})
		if err := r.load(b.Context(), config{namespace: testNamespace, name: testName, source: main("return 1")}); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
