package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

const (
	adapterPortName   = "http-cloudevent"
	adapterPort       = int64(80)
	adapterTargetPort = int64(8080)

	dashboardLabel = "kyma-project.io/dashboard"
	dashboard      = "event-mesh"
)

// Adapter runs the receive adapters of HTTPSources: what answers at http://<name>.<namespace> and hands every event to
// the sink.
type Adapter interface {
	// Deploy makes the adapter of source send to sink, the URL of the source's Channel, and reports whether it takes
	// events yet; message says why not. It is called at every pass and must be cheap when nothing changed.
	//
	// An empty sink means that there is nowhere to send: the adapter must not take events any more. Of an HTTPSource
	// that is gone only the name and the namespace are set, and the sink is empty.
	Deploy(ctx context.Context, source *sourcesv1.HTTPSource, sink string) (ready bool, message string, err error)
}

// httpSourceReconciler gives every HTTPSource its Channel, its Service and its adapter.
type httpSourceReconciler struct {
	writer
	adapter Adapter
}

func (r *httpSourceReconciler) setup(mgr ctrl.Manager) error {
	return newController(mgr, "httpsource").
		For(&sourcesv1.HTTPSource{}).
		Owns(&messagingv1.Channel{}).
		Owns(&corev1.Service{}).
		Complete(quiet(r))
}

// Reconcile makes one pass over one HTTPSource.
func (r *httpSourceReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var o sourceObserved
	var err error
	if o.source, err = find[sourcesv1.HTTPSource](ctx, r, req.Namespace, req.Name); err != nil {
		return reconcile.Result{}, err
	}
	if o.source == nil || terminating(o.source) {
		// Channel and Service follow by their owner references, the adapter of this process does not.
		gone := &sourcesv1.HTTPSource{ObjectMeta: metav1.ObjectMeta{Namespace: req.Namespace, Name: req.Name}}
		if _, _, err := r.adapter.Deploy(ctx, gone, ""); err != nil {
			return reconcile.Result{}, fmt.Errorf("withdrawing the adapter of %s: %w", req, err)
		}
		return reconcile.Result{}, nil
	}
	if o.channel, err = find[messagingv1.Channel](ctx, r, req.Namespace, req.Name); err != nil {
		return reconcile.Result{}, err
	}
	if o.service, err = find[corev1.Service](ctx, r, req.Namespace, req.Name); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.act(ctx, o, decideSource(o))
}

// sourceObserved is all that bears on one HTTPSource. What is missing is nil.
type sourceObserved struct {
	source  *sourcesv1.HTTPSource
	channel *messagingv1.Channel
	service *corev1.Service
}

// sourcePlan is what to do about one HTTPSource.
type sourcePlan struct {
	channel *manifest // to apply
	service *manifest // to apply
	sink    string    // "" while there is none
	foreign []string  // objects with the source's name that belong to somebody else
}

func decideSource(o sourceObserved) sourcePlan {
	var p sourcePlan
	switch channel := channelManifest(o.source); {
	case o.channel == nil:
		p.channel = channel
	case terminating(o.channel), orphaned(o.channel, o.source, "HTTPSource"): // comes again when it is gone
	case controlledByOther(o.channel, o.source):
		p.foreign = append(p.foreign, "Channel")
	default:
		if !channel.holds(o.channel) {
			p.channel = channel
		}
		if address := o.channel.Status.Address; address != nil && !address.URL.IsEmpty() {
			p.sink = address.URL.String()
		}
	}
	if p.sink == "" {
		return p // nothing could reach the Channel through a Service
	}
	switch service := serviceManifest(o.source); {
	case o.service == nil:
		p.service = service
	case terminating(o.service), orphaned(o.service, o.source, "HTTPSource"):
	case controlledByOther(o.service, o.source):
		p.foreign = append(p.foreign, "Service")
	case !service.holds(o.service):
		p.service = service
	}
	return p
}

// channelManifest is the Channel that an HTTPSource wants. Its kind of storage is left to Knative's default.
func channelManifest(source *sourcesv1.HTTPSource) *manifest {
	return &manifest{
		kind:      messagingv1.SchemeGroupVersion.WithKind("Channel"),
		namespace: source.Namespace,
		name:      source.Name,
		labels: map[string]string{
			ManagedByLabel:                 ManagedBy,
			eventmesh.ApplicationNameLabel: source.Name,
		},
		owner: controllerRef(source, sourcesv1.GroupVersion.WithKind("HTTPSource")),
	}
}

// serviceManifest is the Service by which the adapter of an HTTPSource is reached.
func serviceManifest(source *sourcesv1.HTTPSource) *manifest {
	return &manifest{
		kind:      corev1.SchemeGroupVersion.WithKind("Service"),
		namespace: source.Namespace,
		name:      source.Name,
		labels: map[string]string{
			ManagedByLabel:                 ManagedBy,
			eventmesh.ApplicationNameLabel: source.Name,
			dashboardLabel:                 dashboard,
		},
		owner: controllerRef(source, sourcesv1.GroupVersion.WithKind("HTTPSource")),
		spec: map[string]any{
			"selector": map[string]any{eventmesh.ApplicationNameLabel: source.Name},
			"ports": []any{map[string]any{
				"name": adapterPortName, "protocol": string(corev1.ProtocolTCP),
				"port": adapterPort, "targetPort": adapterTargetPort,
			}},
		},
	}
}

// sourceOutcome is what came of carrying out a plan.
type sourceOutcome struct {
	sink           string
	adapterReady   bool
	adapterMessage string
	serviceExists  bool
	serviceMessage string
}

func (r *httpSourceReconciler) act(ctx context.Context, o sourceObserved, p sourcePlan) error {
	errs := make([]error, 0, 4)
	for _, kind := range p.foreign {
		r.event(o.source, corev1.EventTypeWarning, eventFailedCreate,
			"Creation failed for %s %q: one of this name belongs to another object", kind, o.source.Name)
	}
	if p.channel != nil {
		errs = append(errs, r.apply(ctx, o.source, p.channel, o.channel != nil))
	}
	out := sourceOutcome{sink: p.sink, serviceExists: o.service != nil && !terminating(o.service)}
	var err error
	out.adapterReady, out.adapterMessage, err = r.adapter.Deploy(ctx, o.source, p.sink)
	if err != nil {
		errs = append(errs, fmt.Errorf("deploying the adapter of HTTPSource %s: %w", o.source.Name, err))
		out.adapterReady, out.adapterMessage = false, err.Error()
	}
	if p.service != nil {
		err := r.apply(ctx, o.source, p.service, o.service != nil)
		errs = append(errs, err)
		if err != nil {
			out.serviceExists, out.serviceMessage = false, err.Error()
		} else {
			out.serviceExists = true
		}
	}
	source := o.source.DeepCopy()
	source.Status = sourceStatus(o.source, out)
	return join(append(errs, r.patchStatus(ctx, o.source, source))...)
}

// sourceStatus is what to report of an HTTPSource. Without a sink the conditions behind it are left as they are, as in
// Kyma: nothing could be found out about them.
func sourceStatus(source *sourcesv1.HTTPSource, out sourceOutcome) sourcesv1.HTTPSourceStatus {
	status := *source.Status.DeepCopy()
	status.ObservedGeneration = source.Generation
	status.SinkURI = out.sink

	sink := failed(sourcesv1.ReasonSinkNotFound, sourcesv1.MessageSinkNotFound)
	deployed, ok := stateOf(status.Conditions, sourcesv1.ConditionDeployed)
	if !ok {
		deployed = unknown(sourcesv1.ReasonServiceNotReady, sourcesv1.MessageServiceNotReady)
	}
	service, ok := stateOf(status.Conditions, sourcesv1.ConditionServiceCreated)
	if !ok {
		service = unknown(sourcesv1.ReasonServiceNotCreated, sourcesv1.MessageServiceNotCreated)
	}
	if out.sink != "" {
		sink = ready()
		deployed = ready()
		if !out.adapterReady {
			deployed = failed(sourcesv1.ReasonServiceNotReady,
				withDetail(sourcesv1.MessageServiceNotReady, out.adapterMessage))
		}
		service = ready()
		if !out.serviceExists {
			service = unknown(sourcesv1.ReasonServiceNotCreated,
				withDetail(sourcesv1.MessageServiceNotCreated, out.serviceMessage))
		}
	}
	for _, c := range []struct {
		kind string
		state
	}{
		{sourcesv1.ConditionSinkProvided, sink},
		{sourcesv1.ConditionDeployed, deployed},
		{sourcesv1.ConditionServiceCreated, service},
		{sourcesv1.ConditionReady, all(sink, deployed, service)},
	} {
		c.set(&status.Conditions, c.kind, source.Generation)
	}
	return status
}

// withDetail adds what is known beyond the message.
func withDetail(message, detail string) string {
	if detail == "" {
		return message
	}
	return message + ": " + detail
}
