package transport

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMailbox(t *testing.T) {
	type put struct {
		key  string
		kind LabelKind
		text string
	}
	for _, tt := range []struct {
		name string
		puts []put
		want []string
	}{
		{"nothing", nil, nil},
		{"without keys all are kept", []put{{"", Updated, "1"}, {"", Updated, "2"}}, []string{"1", "2"}},
		{"the latest state", []put{{"a", Updated, "1"}, {"b", Updated, "2"}, {"a", Updated, "3"}}, []string{"3", "2"}},
		{"an addition that has not been read stays one", []put{{"a", Added, "1"}, {"a", Updated, "2"}, {"a", Updated, "3"}}, []string{"1", "3"}},
		{"a deletion takes what was before", []put{{"a", Added, "1"}, {"a", Updated, "2"}, {"a", Deleted, "3"}}, []string{"3"}},
		{"a deletion is not lost", []put{{"a", Deleted, "1"}, {"a", Added, "2"}, {"a", Updated, "3"}}, []string{"1", "2", "3"}},
		{"two deletions are one", []put{{"a", Deleted, "1"}, {"a", Added, "2"}, {"a", Deleted, "3"}}, []string{"3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b mailbox
			for _, p := range tt.puts {
				if !b.put(message{payload: []byte(p.text), label: Label{Key: p.key, Kind: p.kind}}) {
					t.Fatal("full")
				}
			}
			var got []string
			for _, payload := range b.take() {
				got = append(got, string(payload))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if again := b.take(); len(again) > 0 {
				t.Errorf("taken twice: %s", again)
			}
		})
	}
	var b mailbox
	for i := range maxWaiting {
		if !b.put(message{label: Label{Key: strconv.Itoa(i)}}) {
			t.Fatalf("full after %d", i)
		}
	}
	if !b.put(message{label: Label{Key: "0"}}) {
		t.Error("a known object does not fit")
	}
	if b.put(message{label: Label{Key: "one more"}}) || b.put(message{}) {
		t.Error("more than maxWaiting wait")
	}
}
