// Package demo makes a small web shop, so that a newcomer sees a living mesh: an Application "shop" that offers the
// events order.created and order.shipped, a namespace "demo" that has provisioned them, a Function that notes them, and
// a Trigger for each. It then sends an event every few seconds, as the shop would.
//
// It is a package of its own, though small, because it is the one part that plays a user and an application: it only
// uses what they use, the Kubernetes API and the Application Connector.
package demo

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// Names of what the demo makes.
const (
	Application = "shop"
	Namespace   = "demo"
	function    = "note-order"
	service     = "orders" // as the shop registers it; Service Catalog knows it by its id
)

//go:embed asyncapi.json
var asyncAPI json.RawMessage

//go:embed note-order.js
var source string

// Options are what the demo needs.
type Options struct {
	// Client makes the objects. It must be able to read its own writes after a while; a cached client will do.
	Client client.Client
	// Connector is the URL of the Application Connector, without a final slash.
	Connector string
	// Interval is the time between two events. Default 5 s.
	Interval time.Duration
	// Log receives what goes wrong.
	Log *slog.Logger
}

// Run makes what is missing of the demo and then sends events until ctx ends. What exists already stays as it is, so
// that the demo can be changed while it runs.
func Run(ctx context.Context, o Options) error {
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for seeded, n := false, 0; ; {
		// Some objects need others that controllers make, so the whole is tried again until all are there.
		if !seeded {
			err := o.seed(ctx)
			if seeded = err == nil; seeded {
				tick.Reset(o.Interval)
			} else if !errors.Is(err, errNotYet) && ctx.Err() == nil {
				o.Log.Warn("making the demo, will try again", "error", err)
			}
		} else if err := o.send(ctx, n); err == nil {
			n++
		} else if ctx.Err() == nil {
			o.Log.Warn("sending a demo event, will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// errNotYet says that something is on its way.
var errNotYet = errors.New("not yet there")

// seed makes what is missing.
func (o Options) seed(ctx context.Context) error {
	app := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: Application}, Spec: appv1.ApplicationSpec{
		Description: "A web shop, made by --demo", Services: []appv1.Service{},
	}}
	if err := o.ensure(ctx, app); err != nil {
		return err
	}
	id, err := o.offer(ctx)
	if err != nil {
		return err
	}
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}},
		&appv1.ApplicationMapping{ObjectMeta: named(Application)},
		&functionsv1.Function{ObjectMeta: named(function), Spec: functionsv1.FunctionSpec{Source: source}},
		newTrigger("order.created"),
		newTrigger("order.shipped"),
	}
	for _, object := range objects {
		if err := o.ensure(ctx, object); err != nil {
			return err
		}
	}
	class := &scv1.ServiceClass{}
	if err := o.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: id}, class); apierrors.IsNotFound(err) {
		return errNotYet
	} else if err != nil {
		return fmt.Errorf("looking for the service class: %w", err)
	}
	return o.ensure(ctx, &scv1.ServiceInstance{ObjectMeta: named("shop-orders"), Spec: scv1.ServiceInstanceSpec{
		PlanReference: scv1.PlanReference{ServiceClassExternalName: class.Spec.ExternalName, ServicePlanExternalName: "default"},
	}})
}

// ensure creates object unless one of its name exists.
func (o Options) ensure(ctx context.Context, object client.Object) error {
	if err := o.Client.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making %T %s: %w", object, object.GetName(), err)
	}
	return nil
}

// offer registers the shop's events unless they are, and returns the id of the service.
func (o Options) offer(ctx context.Context) (id string, err error) {
	services, err := eventmesh.ListServices(ctx, o.Client, Application)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("listing the shop's services: %w", err)
	}
	for _, s := range services {
		if s.Identifier == service {
			return s.ID, nil
		}
	}
	id, err = eventmesh.RegisterService(ctx, o.Client, Application, eventmesh.ServiceDetails{
		Provider: "Example", Name: service, Identifier: service, Description: "Orders of the web shop",
		Events: &eventmesh.ServiceEvents{Spec: asyncAPI},
	})
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return "", errNotYet // the cache is behind what was written
	}
	if err != nil {
		return "", fmt.Errorf("registering the shop's events: %w", err)
	}
	return id, nil
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: Namespace}
}

// newTrigger brings the shop's events of eventType to the function.
func newTrigger(eventType string) *eventingv1.Trigger {
	return &eventingv1.Trigger{ObjectMeta: named("note-" + eventType[len("order."):]), Spec: eventingv1.TriggerSpec{
		Broker: eventmesh.DefaultBroker,
		Filter: &eventingv1.TriggerFilter{Attributes: eventingv1.TriggerFilterAttributes{
			"type": eventType, "eventtypeversion": "v1", "source": Application,
		}},
		Subscriber: duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: function, Namespace: Namespace}},
	}}
}

// send sends the n-th event as the shop would: an order is created, then shipped.
func (o Options) send(ctx context.Context, n int) error {
	eventType, order := "order.created", n/2+1
	if n%2 == 1 {
		eventType = "order.shipped"
	}
	data, err := json.Marshal(map[string]any{"orderId": fmt.Sprint(order), "total": 10 + order%90})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.Connector+"/"+Application+"/events", bytes.NewReader(data))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": fmt.Sprintf("demo-%d-%d", time.Now().UnixNano(), n), "ce-source": Application,
		"ce-type": eventType, "ce-eventtypeversion": "v1", "Content-Type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("the connector answered %s: %s", res.Status, answer)
	}
	return nil
}
