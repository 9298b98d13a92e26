package jetstream

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
)

// consumerPlan is what has to change for a channel to serve its subscribers.
type consumerPlan struct {
	start  []eventingduckv1.SubscriberSpec // make sure of the consumer and start a worker
	change []eventingduckv1.SubscriberSpec // the worker has another target
	stop   []types.UID                     // stop the worker, keep the consumer
	remove []types.UID                     // stop the worker, delete the consumer with its events
}

// plan compares the subscribers of a channel with the consumers in its store and the workers that run. keep has
// subscribers that are not wanted now, but whose events may be wanted again.
func plan(wanted []eventingduckv1.SubscriberSpec, keep, stored []types.UID, running map[types.UID]eventingduckv1.SubscriberSpec) consumerPlan {
	var p consumerPlan
	want := map[types.UID]bool{}
	for _, spec := range wanted {
		if want[spec.UID] {
			continue // twice in the list: the first counts
		}
		want[spec.UID] = true
		current, runs := running[spec.UID]
		switch {
		case !runs || !slices.Contains(stored, spec.UID):
			p.start = append(p.start, spec)
		case !equality.Semantic.DeepEqual(current, spec):
			p.change = append(p.change, spec)
		}
	}
	for _, uid := range stored {
		if !want[uid] && !slices.Contains(keep, uid) {
			p.remove = append(p.remove, uid)
		}
	}
	for uid := range running {
		if !want[uid] && !slices.Contains(p.remove, uid) {
			p.stop = append(p.stop, uid)
		}
	}
	slices.Sort(p.stop)
	return p
}

// subscriptions are the Subscriptions that the API server has, by UID. The value says whether it is being deleted.
type subscriptions map[types.UID]bool

// lives reports whether a Subscription exists and is to go on existing.
func (s subscriptions) lives(uid types.UID) bool {
	deleting, exists := s[uid]
	return exists && !deleting
}

// stale reports whether any subscriber in the list has no Subscription any more.
func (s subscriptions) stale(subscribers []eventingduckv1.SubscriberSpec) bool {
	return slices.ContainsFunc(subscribers, func(spec eventingduckv1.SubscriberSpec) bool {
		_, exists := s[spec.UID]
		return !exists
	})
}

// prune returns the subscribers that have a Subscription. One that is being deleted is left to Knative.
func (s subscriptions) prune(subscribers []eventingduckv1.SubscriberSpec) []eventingduckv1.SubscriberSpec {
	return slices.DeleteFunc(slices.Clone(subscribers), func(spec eventingduckv1.SubscriberSpec) bool {
		_, exists := s[spec.UID]
		return !exists
	})
}

// missing returns the consumers in the store whose subscriber is not in the list.
func missing(stored []types.UID, subscribers []eventingduckv1.SubscriberSpec) []types.UID {
	return slices.DeleteFunc(slices.Clone(stored), func(uid types.UID) bool {
		return slices.ContainsFunc(subscribers, func(spec eventingduckv1.SubscriberSpec) bool { return spec.UID == uid })
	})
}
