package eventmesh

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// readyMesh is a path from the Application shop to the Function lambda in the namespace prod in which all is well.
func readyMesh() Snapshot {
	channel := messagingv1.Channel{ObjectMeta: meta1(IntegrationNamespace, "shop", ApplicationNameLabel, "shop")}
	channel.Status.Conditions = knativeReady()
	subscription := messagingv1.Subscription{ObjectMeta: meta1(IntegrationNamespace, "brokersub-1", ApplicationNameLabel, "shop", BrokerNamespaceLabel, "prod")}
	subscription.Status.Conditions = knativeReady()
	broker := eventingv1.Broker{ObjectMeta: meta1("prod", "default")}
	broker.Status.Conditions = knativeReady()
	function := *functionWith(metav1.ConditionTrue, metav1.ConditionTrue, metav1.ConditionTrue)
	function.ObjectMeta = meta1("prod", "lambda")
	return Snapshot{
		Applications: []appv1.Application{{ObjectMeta: meta1("", "shop"), Spec: appv1.ApplicationSpec{Services: []appv1.Service{
			{ID: "sid", Name: "orders", Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}}},
			{ID: "api", Name: "prices", Entries: []appv1.Entry{{Type: appv1.EntryTypeAPI}}},
		}}}},
		Mappings:      []appv1.ApplicationMapping{{ObjectMeta: meta1("prod", "shop")}},
		Activations:   []appv1.EventActivation{{ObjectMeta: meta1("prod", "sid"), Spec: appv1.EventActivationSpec{SourceID: "shop"}}},
		Sources:       []sourcesv1.HTTPSource{{ObjectMeta: meta1(IntegrationNamespace, "shop"), Status: sourcesv1.HTTPSourceStatus{Conditions: ourConditions(sourcesv1.ConditionReady, true, "")}}},
		Channels:      []messagingv1.Channel{channel},
		Subscriptions: []messagingv1.Subscription{subscription},
		Brokers:       []eventingv1.Broker{broker},
		Triggers:      []eventingv1.Trigger{trigger("on-order", "shop", "http://lambda.prod.svc.cluster.local:80/")},
		Functions:     []functionsv1.Function{function},
		Services:      []corev1.Service{{ObjectMeta: meta1("prod", "lambda")}},
	}
}

func meta1(namespace, name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name}
	for i := 0; i < len(labels); i += 2 {
		metav1.SetMetaDataLabel(&m, labels[i], labels[i+1])
	}
	return m
}

// trigger is a ready Trigger in prod that filters on source, unless that is "", and calls uri.
func trigger(name, source, uri string) eventingv1.Trigger {
	t := eventingv1.Trigger{ObjectMeta: meta1("prod", name), Spec: eventingv1.TriggerSpec{Broker: "default"}}
	if source != "" {
		t.Spec.Filter = &eventingv1.TriggerFilter{Attributes: eventingv1.TriggerFilterAttributes{"source": source}}
	}
	t.Spec.Subscriber.URI, _ = apis.ParseURL(uri)
	t.Status.Conditions = knativeReady()
	return t
}

func knativeReady() duckv1.Conditions {
	return duckv1.Conditions{{Type: apis.ConditionReady, Status: corev1.ConditionTrue}}
}

func knativeNot(reason, message string) duckv1.Conditions {
	return duckv1.Conditions{{Type: apis.ConditionReady, Status: corev1.ConditionFalse, Reason: reason, Message: message}}
}

func ourConditions(ready string, yes bool, message string) []metav1.Condition {
	c := metav1.Condition{Type: ready, Status: metav1.ConditionTrue, Reason: "Ready", Message: message}
	if !yes {
		c.Status, c.Reason = metav1.ConditionFalse, "NotReady"
	}
	return []metav1.Condition{c}
}

func TestPathsReady(t *testing.T) {
	object := func(kind, namespace, name string) []StageObject { return []StageObject{{kind, namespace, name, true}} }
	want := []Path{{Application: "shop", Namespace: "prod", Ready: true, Stages: []Stage{
		{Name: StageSource, Ready: true, Objects: object("HTTPSource", IntegrationNamespace, "shop")},
		{Name: StageChannel, Ready: true, Objects: object("Channel", IntegrationNamespace, "shop")},
		{Name: StageSubscription, Ready: true, Objects: object("Subscription", IntegrationNamespace, "brokersub-1")},
		{Name: StageBroker, Ready: true, Objects: object("Broker", "prod", "default")},
		{Name: StageTriggers, Ready: true, Objects: object("Trigger", "prod", "on-order")},
		{Name: StageLambdas, Ready: true, Objects: object("Function", "prod", "lambda")},
	}}}
	if diff := cmp.Diff(want, Paths(readyMesh(), "", "")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestPathsRootCause breaks one thing at a time.
func TestPathsRootCause(t *testing.T) {
	now := metav1.NewTime(time.Unix(1, 0))
	unprovisioned := func(s *Snapshot) { s.Activations, s.Subscriptions, s.Brokers = nil, nil, nil }
	for _, tt := range []struct {
		name   string
		damage func(*Snapshot)
		stage  StageName // the first that is not ready; "" for none
		reason string
		cause  string
	}{
		{
			"no Application", func(s *Snapshot) { *s = Snapshot{} }, StageSource, ReasonApplicationNotFound,
			`There is no Application "shop": create it with createApplication.`,
		},
		{
			"installation skipped", func(s *Snapshot) { s.Sources, s.Applications[0].Spec.SkipInstallation = nil, true }, StageSource, ReasonInstallationSkipped,
			`Application "shop" has no HTTPSource because its spec.skipInstallation is true.`,
		},
		{
			"no source yet", func(s *Snapshot) { s.Sources = nil }, StageSource, ReasonSourceNotFound,
			`Application "shop" has no HTTPSource yet; its controller makes it.`,
		},
		{
			"source not looked at", func(s *Snapshot) { s.Sources[0].Status.Conditions = nil }, StageSource, ReasonNotReconciled,
			`HTTPSource "shop" in namespace "kyma-integration" is not ready: its controller has not looked at it yet.`,
		},
		{"source not ready", func(s *Snapshot) {
			s.Sources[0].Status.Conditions = ourConditions(sourcesv1.ConditionReady, false, "The sink does not exist.")
		}, StageSource, "NotReady", `HTTPSource "shop" in namespace "kyma-integration" is not ready: The sink does not exist.`},
		{
			"no channel", func(s *Snapshot) { s.Channels = nil }, StageChannel, ReasonChannelNotFound,
			`Application "shop" has no Channel in namespace "kyma-integration" yet; the controller of its HTTPSource makes it.`,
		},
		{
			"another application's channel", func(s *Snapshot) { s.Channels[0].Labels[ApplicationNameLabel] = "other" }, StageChannel, ReasonChannelNotFound,
			`Application "shop" has no Channel in namespace "kyma-integration" yet; the controller of its HTTPSource makes it.`,
		},
		{
			"channel going", func(s *Snapshot) { s.Channels[0].DeletionTimestamp = &now }, StageChannel, ReasonBeingDeleted,
			`Channel "shop" in namespace "kyma-integration" is not ready: it is being deleted.`,
		},
		{
			"not enabled", func(s *Snapshot) { unprovisioned(s); s.Mappings = nil }, StageSubscription, ReasonNotEnabled,
			`Application "shop" is not enabled in namespace "prod": enable it with enableApplication.`,
		},
		{"nothing to provision", func(s *Snapshot) {
			unprovisioned(s)
			s.Applications[0].Spec.Services = s.Applications[0].Spec.Services[1:]
		}, StageSubscription, ReasonNoEventService, `Application "shop" offers no event service: register one with registerApplicationService.`},
		{"no event service enabled", func(s *Snapshot) {
			unprovisioned(s)
			s.Mappings[0].Spec.Services = []appv1.ApplicationMappingService{{ID: "api"}}
		}, StageSubscription, ReasonNotEnabled, `None of the event services of Application "shop" is enabled in namespace "prod": enable one ("orders").`},
		{
			"not provisioned", unprovisioned, StageSubscription, ReasonNotProvisioned,
			`No event service of Application "shop" is provisioned in namespace "prod": create an instance of "orders" with createServiceInstance.`,
		},
		{"being provisioned", func(s *Snapshot) {
			unprovisioned(s)
			s.Instances = []scv1.ServiceInstance{instance("i", "Provisioning", "The instance is being provisioned")}
		}, StageSubscription, ReasonInstanceNotReady, `ServiceInstance "i" in namespace "prod" is not ready: The instance is being provisioned.`},
		{"provisioning failed", func(s *Snapshot) {
			unprovisioned(s)
			s.Instances = []scv1.ServiceInstance{instance("i", "Provisioning", "wait"), instance("j", "ErrorCallingProvision", "no such service")}
		}, StageSubscription, ReasonInstanceFailed, `ServiceInstance "j" in namespace "prod" failed: no such service.`},
		{
			"provisioned but no subscription", func(s *Snapshot) {
				s.Subscriptions = nil
				s.Activations[0].Status.Conditions = ourConditions(appv1.ConditionReady, false, "waits for the Channel")
			}, StageSubscription, ReasonSubscriptionNotFound,
			`The Subscription of Application "shop" to namespace "prod" is missing; EventActivation "sid" says: waits for the Channel.`,
		},
		{"subscription not ready", func(s *Snapshot) {
			s.Subscriptions[0].Status.Conditions = knativeNot("ChannelNotReady", "")
		}, StageSubscription, "ChannelNotReady", `Subscription "brokersub-1" in namespace "kyma-integration" is not ready: ChannelNotReady.`},
		{
			"no broker", func(s *Snapshot) { s.Brokers = nil }, StageBroker, ReasonBrokerNotFound,
			`Namespace "prod" has no Broker "default": Knative makes it when the namespace is labelled knative-eventing-injection=enabled, which provisioning an event service does.`,
		},
		{
			"broker not ready", func(s *Snapshot) { s.Brokers[0].Status.Conditions = knativeNot("IngressFailure", "no ingress") }, StageBroker, "IngressFailure",
			`Broker "default" in namespace "prod" is not ready: no ingress.`,
		},
		{
			"no trigger", func(s *Snapshot) { s.Triggers = nil }, StageTriggers, ReasonNoTriggers,
			`No Trigger in namespace "prod" takes events of Application "shop": create one with createTrigger.`,
		},
		{
			"a trigger for another application", func(s *Snapshot) { s.Triggers[0].Spec.Filter.Attributes["source"] = "other" }, StageTriggers, ReasonNoTriggers,
			`No Trigger in namespace "prod" takes events of Application "shop": create one with createTrigger.`,
		},
		{
			"a trigger of another broker", func(s *Snapshot) { s.Triggers[0].Spec.Broker = "other" }, StageTriggers, ReasonNoTriggers,
			`No Trigger in namespace "prod" takes events of Application "shop": create one with createTrigger.`,
		},
		{"a trigger for all applications", func(s *Snapshot) { s.Triggers[0].Spec.Filter = nil }, "", "", ""},
		{"a trigger with a filter that overrides", func(s *Snapshot) {
			s.Triggers[0].Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{All: []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"source": "other"}}}}}
		}, StageTriggers, ReasonNoTriggers, `No Trigger in namespace "prod" takes events of Application "shop": create one with createTrigger.`},
		{
			"trigger not ready", func(s *Snapshot) { s.Triggers[0].Status.Conditions = knativeNot("NotSubscribed", "no subscription") }, StageTriggers, "NotSubscribed",
			`Trigger "on-order" in namespace "prod" is not ready: no subscription.`,
		},
		{
			"subscriber does not exist", func(s *Snapshot) { s.Services, s.Functions = nil, nil }, StageTriggers, ReasonSubscriberNotFound,
			`Trigger "on-order" in namespace "prod" is not ready: its subscriber, the Service "lambda" in namespace "prod", does not exist.`,
		},
		{"subscriber outside", func(s *Snapshot) {
			s.Triggers[0] = trigger("on-order", "shop", "https://example.com/hook")
		}, "", "", ""},
		{
			"one of several triggers", func(s *Snapshot) {
				s.Triggers = append(s.Triggers, trigger("second", "", "http://gone.prod.svc.cluster.local"))
			}, StageTriggers, ReasonSubscriberNotFound,
			`Trigger "second" in namespace "prod" is not ready: its subscriber, the Service "gone" in namespace "prod", does not exist.`,
		},
		{"function with a syntax error", func(s *Snapshot) {
			f := functionWith(metav1.ConditionTrue, metav1.ConditionFalse, "")
			s.Functions[0].Status, s.Services = f.Status, nil
			s.Functions[0].Status.Conditions[1].Message = "Line 1:9 Unexpected token"
		}, StageLambdas, ReasonFunctionFailed, `Function "lambda" in namespace "prod" is not ready: Line 1:9 Unexpected token.`},
		{"function being started", func(s *Snapshot) {
			s.Functions[0].Status = functionWith(metav1.ConditionTrue, metav1.ConditionTrue, metav1.ConditionUnknown).Status
		}, StageLambdas, ReasonFunctionNotReady, `Function "lambda" in namespace "prod" is not ready: it is deploying.`},
		{"function called by reference", func(s *Snapshot) {
			s.Triggers[0].Spec.Subscriber = duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "lambda"}}
			s.Functions[0].Status = functionsv1.FunctionStatus{}
		}, StageLambdas, ReasonFunctionNotReady, `Function "lambda" in namespace "prod" is not ready: it is initializing.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := readyMesh()
			tt.damage(&s)
			paths := Paths(s, "shop", "prod")
			if len(paths) != 1 {
				t.Fatalf("got %d paths, want 1", len(paths))
			}
			first := find(paths[0].Stages, func(st *Stage) bool { return !st.Ready })
			if first == nil {
				first = &Stage{}
			}
			got := []any{paths[0].Ready, first.Name, first.Reason, paths[0].RootCause}
			want := []any{tt.stage == "", tt.stage, tt.reason, tt.cause}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// instance is an instance of the event service of shop that is not ready.
func instance(name, reason, message string) scv1.ServiceInstance {
	i := scv1.ServiceInstance{ObjectMeta: meta1("prod", name)}
	i.Spec.ServiceClassExternalName = "orders"
	i.Status.Conditions = []scv1.ServiceInstanceCondition{{Type: scv1.ServiceInstanceConditionReady, Status: scv1.ConditionFalse, Reason: reason, Message: message}}
	return i
}

func TestPathsWhich(t *testing.T) {
	mesh := Snapshot{
		Mappings: []appv1.ApplicationMapping{
			{ObjectMeta: meta1("b", "shop")}, {ObjectMeta: meta1("a", "shop")}, {ObjectMeta: meta1("a", "bank")},
		},
		Activations: []appv1.EventActivation{
			{ObjectMeta: meta1("a", "sid"), Spec: appv1.EventActivationSpec{SourceID: "shop"}},
			{ObjectMeta: meta1("c", "sid"), Spec: appv1.EventActivationSpec{SourceID: "shop"}},
		},
		Subscriptions: []messagingv1.Subscription{
			{ObjectMeta: meta1(IntegrationNamespace, "s", ApplicationNameLabel, "shop", BrokerNamespaceLabel, "d")},
			{ObjectMeta: meta1(IntegrationNamespace, "somebody's")},
			{ObjectMeta: meta1("elsewhere", "s", ApplicationNameLabel, "shop", BrokerNamespaceLabel, "e")},
		},
	}
	for _, tt := range []struct {
		application, namespace string
		want                   []string
	}{
		{"", "", []string{"a/bank", "a/shop", "b/shop", "c/shop", "d/shop"}},
		{"shop", "", []string{"a/shop", "b/shop", "c/shop", "d/shop"}},
		{"", "a", []string{"a/bank", "a/shop"}},
		{"shop", "a", []string{"a/shop"}},
		{"nobody", "nowhere", []string{"nowhere/nobody"}},
		{"nobody", "", nil},
	} {
		t.Run(tt.application+" to "+tt.namespace, func(t *testing.T) {
			var got []string
			for _, p := range Paths(mesh, tt.application, tt.namespace) {
				got = append(got, p.Namespace+"/"+p.Application)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
