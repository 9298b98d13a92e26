package jetstream

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/pkg/apis"

	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
)

// reasonStoreFailed is the reason of the condition StreamReady when the stream or its consumers could not be made.
const reasonStoreFailed = "StoreFailed"

// setStatus writes into ch what has come of applying its spec: err for the channel, failed for single subscribers.
// Knative's Subscription controller reads the subscribers' part.
func setStatus(ch *kymamessagingv1.JetStreamChannel, failed map[types.UID]error, err error) {
	ch.InitializeConditions()
	ch.Status.ObservedGeneration = ch.Generation
	if err != nil {
		ch.MarkStreamNotReady(reasonStoreFailed, "%v", err)
		ch.SetAddress(nil)
	} else {
		ch.MarkStreamReady()
		ch.SetAddress(apis.HTTP(Host(ch.Name, ch.Namespace)))
	}
	ch.Status.Subscribers = subscriberStatuses(ch.Spec.Subscribers, failed, err)
	ch.Status.DeliveryStatus = eventingduckv1.DeliveryStatus{}
	if d := ch.Spec.Delivery; d != nil && d.DeadLetterSink != nil && d.DeadLetterSink.URI != nil {
		ch.Status.DeliveryStatus = eventingduckv1.DeliveryStatus{
			DeadLetterSinkURI:      d.DeadLetterSink.URI,
			DeadLetterSinkCACerts:  d.DeadLetterSink.CACerts,
			DeadLetterSinkAudience: d.DeadLetterSink.Audience,
		}
	}
}

func subscriberStatuses(subscribers []eventingduckv1.SubscriberSpec, failed map[types.UID]error, err error) []eventingduckv1.SubscriberStatus {
	var statuses []eventingduckv1.SubscriberStatus
	for _, spec := range subscribers {
		status := eventingduckv1.SubscriberStatus{UID: spec.UID, ObservedGeneration: spec.Generation, Ready: corev1.ConditionTrue}
		if e := cmp.Or(failed[spec.UID], err); e != nil {
			status.Ready, status.Message = corev1.ConditionFalse, e.Error()
		}
		statuses = append(statuses, status)
	}
	return statuses
}
