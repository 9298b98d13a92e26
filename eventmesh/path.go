package eventmesh

import (
	"cmp"
	"maps"
	"slices"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// Snapshot holds the objects that were observed at about the same time. Only objects of the namespaces and applications
// asked for need to be there; objects that do not matter are passed over. Where a stage has several objects, they are
// shown, and the first fault is looked for, in the order of the slice.
type Snapshot struct {
	Applications  []appv1.Application
	Mappings      []appv1.ApplicationMapping
	Activations   []appv1.EventActivation
	Instances     []scv1.ServiceInstance
	Sources       []sourcesv1.HTTPSource
	Channels      []messagingv1.Channel
	Subscriptions []messagingv1.Subscription
	Brokers       []eventingv1.Broker
	Triggers      []eventingv1.Trigger
	Functions     []functionsv1.Function
	Services      []corev1.Service
}

// Path is the way of events from an Application to the functions of a namespace.
type Path struct {
	Application string
	Namespace   string
	// Ready means that events arrive: every stage is ready, which takes at least one Trigger.
	Ready bool
	// RootCause is one sentence about the first stage that is not ready, "" when the path is.
	RootCause string
	// Stages are in the order in which an event passes them.
	Stages []Stage
}

// StageName names a stage of a path.
type StageName string

// The stages of a path, in the order in which an event passes them.
const (
	StageSource       StageName = "SOURCE"
	StageChannel      StageName = "CHANNEL"
	StageSubscription StageName = "SUBSCRIPTION"
	StageBroker       StageName = "BROKER"
	StageTriggers     StageName = "TRIGGERS"
	StageLambdas      StageName = "LAMBDAS"
)

// Stage is one stage of a path.
type Stage struct {
	Name  StageName
	Ready bool
	// Reason says in one word, for programs, why the stage is not ready: one of the Reason constants or what the
	// object's own controller says.
	Reason string
	// Message says why the stage is not ready, and what to do where that is known, in a sentence for a person.
	Message string
	Objects []StageObject
}

// StageObject is an object of a stage.
type StageObject struct {
	Kind      string
	Namespace string
	Name      string
	Ready     bool
}

// Reasons for a stage not to be ready, beside those of the objects' controllers.
const (
	ReasonApplicationNotFound  = "ApplicationNotFound"
	ReasonInstallationSkipped  = "InstallationSkipped"
	ReasonSourceNotFound       = "SourceNotFound"
	ReasonChannelNotFound      = "ChannelNotFound"
	ReasonNotEnabled           = "NotEnabled"
	ReasonNoEventService       = "NoEventService"
	ReasonNotProvisioned       = "NotProvisioned"
	ReasonInstanceFailed       = "InstanceFailed"
	ReasonInstanceNotReady     = "InstanceNotReady"
	ReasonSubscriptionNotFound = "SubscriptionNotFound"
	ReasonBrokerNotFound       = "BrokerNotFound"
	ReasonNoTriggers           = "NoTriggers"
	ReasonSubscriberNotFound   = "SubscriberNotFound"
	ReasonNoFunctions          = "NoFunctions" // of a stage that is ready: the subscribers are something else
	ReasonFunctionFailed       = "FunctionFailed"
	ReasonFunctionNotReady     = "FunctionNotReady"
	ReasonNotReconciled        = "NotReconciled"
	ReasonBeingDeleted         = "BeingDeleted"
)

// pair is what a path leads from and to.
type pair struct{ namespace, application string }

// Paths tells the state of each path from application into namespace ("" for any), sorted by namespace and application.
// There is a path for each pair that an ApplicationMapping, EventActivation or Subscription of s connects. When both are
// given, there is exactly that path, even when nothing of it exists.
func Paths(s Snapshot, application, namespace string) []Path {
	pairs := map[pair]bool{}
	add := func(p pair) {
		if (application == "" || application == p.application) && (namespace == "" || namespace == p.namespace) {
			pairs[p] = true
		}
	}
	for _, m := range s.Mappings {
		add(pair{m.Namespace, m.Name})
	}
	for _, a := range s.Activations {
		add(pair{a.Namespace, a.Spec.SourceID})
	}
	for _, sub := range s.Subscriptions {
		if p, ok := pairOfSubscription(&sub); ok {
			add(p)
		}
	}
	if application != "" && namespace != "" {
		add(pair{namespace, application})
	}
	sorted := slices.SortedFunc(maps.Keys(pairs), func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.application, b.application))
	})
	paths := make([]Path, 0, len(sorted))
	for _, p := range sorted {
		paths = append(paths, pathOf(&s, p))
	}
	return paths
}

// pairOfSubscription tells which path a Subscription belongs to, by its labels.
func pairOfSubscription(sub *messagingv1.Subscription) (p pair, ok bool) {
	p = pair{sub.Labels[BrokerNamespaceLabel], sub.Labels[ApplicationNameLabel]}
	return p, sub.Namespace == IntegrationNamespace && p.namespace != "" && p.application != ""
}

// pathOf goes along one path.
func pathOf(s *Snapshot, p pair) Path {
	w := walk{Snapshot: s, pair: p, triggers: triggersFor(s.Triggers, p)}
	path := Path{Application: p.application, Namespace: p.namespace, Ready: true, Stages: []Stage{
		w.source(), w.channel(), w.subscription(), w.broker(), w.triggerStage(), w.lambdas(),
	}}
	for _, stage := range path.Stages {
		if !stage.Ready {
			path.Ready, path.RootCause = false, stage.Message
			break
		}
	}
	return path
}
