package controllers

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

const (
	reasonReady         = "Ready"
	reasonNotReconciled = "NotReconciled"
	conditionReady      = "Ready"
)

// state says how far one part is: what a condition says, but its type and times.
type state struct {
	status  metav1.ConditionStatus
	reason  string
	message string
}

// ready is the state of a part that lacks nothing.
func ready() state { return state{metav1.ConditionTrue, reasonReady, ""} }

// failed is the state of a part that is not ready, for a known reason.
func failed(reason, message string) state { return state{metav1.ConditionFalse, reason, message} }

// unknown is the state of a part of which nobody can say yet whether it will be ready.
func unknown(reason, message string) state { return state{metav1.ConditionUnknown, reason, message} }

func (s state) ok() bool { return s.status == metav1.ConditionTrue }

// all sums parts up, given in the order in which they depend on each other: false if one is false, else unknown if one
// is. Reason and message are those of the first part that is not ready, as the later ones often only wait for it.
func all(parts ...state) state {
	sum := ready()
	for _, p := range parts {
		switch {
		case p.ok():
		case sum.ok():
			sum = p
		case p.status == metav1.ConditionFalse:
			sum.status = metav1.ConditionFalse
		}
	}
	return sum
}

// set writes s as the condition kind.
func (s state) set(conditions *[]metav1.Condition, kind string, generation int64) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type:               kind,
		Status:             s.status,
		ObservedGeneration: generation,
		Reason:             s.reason,
		Message:            s.message,
	})
}

// stateOf reads a condition back; ok is false when it was never set.
func stateOf(conditions []metav1.Condition, kind string) (s state, ok bool) {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil {
		return state{}, false
	}
	return state{c.Status, c.Reason, c.Message}, true
}

// of puts the name of the object before the message of a state that is not ready, so that it can be understood where it
// is repeated. reason stands in for an empty reason.
func (s state) of(object, reason string) state {
	if s.ok() {
		return s
	}
	if s.reason == "" {
		s.reason = reason
	}
	s.message = strings.TrimSuffix(object+": "+s.message, ": ")
	return s
}

// knativeState reads the condition Ready of a Knative object.
func knativeState(status *duckv1.Status, generation int64) state {
	c := status.GetCondition(apis.ConditionReady)
	switch {
	case c == nil || status.ObservedGeneration < generation:
		return unknown(reasonNotReconciled, "Knative has not looked at it yet")
	case c.IsTrue():
		return ready()
	case c.IsFalse():
		return failed(conditionReason(c.Reason), c.Message)
	default:
		return unknown(conditionReason(c.Reason), c.Message)
	}
}

// conditionReason makes one CamelCase word, as the API server wants it, of a reason. Some of Knative's are phrases, such
// as "Unable to get the Subscriber's URI".
func conditionReason(reason string) string {
	var b strings.Builder
	upper := false
	for _, r := range reason {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		switch {
		case !letter && b.Len() == 0: // must begin with a letter
		case letter && upper:
			b.WriteString(strings.ToUpper(string(r)))
			upper = false
		case letter, '0' <= r && r <= '9', r == '_':
			b.WriteRune(r)
			upper = false
		default:
			upper = r != '\'' && r != '’'
		}
	}
	return b.String()
}
