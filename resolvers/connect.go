package resolvers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

const (
	// catalogTime is the default of Resolver.CatalogTime: the catalog shows what is enabled within seconds, unless it backs
	// off from a broker that did not answer.
	catalogTime = 30 * time.Second
	// catalogInterval is how often the catalog is looked at meanwhile. That is a look into the caches.
	catalogInterval = 100 * time.Millisecond
	// connectTries is how often connectApplication looks again when somebody else made an object before it could, or the
	// caches did not show what is there; each time after a pause of settle.
	connectTries = 50
)

// stillWaiting is the error of something that has not happened in the time that a request may take.
type stillWaiting string

func (w stillWaiting) Error() string { return string(w) }

// ConnectApplication observes, plans and acts, like a reconciler that is run by hand: it needs no memory of an earlier run.
func (r mutationResolver) ConnectApplication(ctx context.Context, in graph.ConnectApplicationInput, dryRun *bool) (*graph.ConnectApplicationOutput, error) {
	c := connecting{Resolver: r.Resolver, in: &in, dryRun: deref(dryRun), made: map[objectKey]graph.ConnectOutcome{}}
	for try := 1; ; try++ {
		steps, err := c.plan(ctx)
		if err != nil {
			return nil, err
		}
		steps, err = c.carryOut(ctx, steps)
		outrun := apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err)
		switch {
		case err == nil:
			return c.output(steps), nil
		case !outrun || try == connectTries || !pause(ctx, settle):
			return nil, err
		}
	}
}

// connecting is one run of connectApplication.
type connecting struct {
	*Resolver
	in     *graph.ConnectApplicationInput
	dryRun bool
	made   map[objectKey]graph.ConnectOutcome // what this run wrote, which the caches may not show yet
}

type objectKey struct{ kind, name string }

func (s *step) key() objectKey { return objectKey{s.kind, s.object.GetName()} }

// plan observes as the user and decides.
func (c *connecting) plan(ctx context.Context) ([]step, error) {
	s, err := c.observe(ctx)
	if err != nil {
		return nil, err
	}
	return planConnection(ctx, c.in, s)
}

func (c *connecting) observe(ctx context.Context) (*scene, error) {
	reader, namespace := c.Cluster.Client(ctx), c.in.Namespace
	var s scene
	var err error
	if s.app, err = get[appv1.Application](ctx, reader, "", c.in.Application); err != nil {
		return nil, err
	}
	if s.function, err = get[functionsv1.Function](ctx, reader, namespace, c.in.Function); err != nil {
		return nil, err
	}
	if name := cmp.Or(deref(c.in.Broker), eventmesh.DefaultBroker); name != eventmesh.DefaultBroker { // which provisioning brings
		if _, err := get[eventingv1.Broker](ctx, reader, namespace, name); err != nil {
			return nil, err
		}
	}
	if s.mapping, err = orNull(get[appv1.ApplicationMapping](ctx, reader, namespace, c.in.Application)); err != nil {
		return nil, err
	}
	if err := c.observeCatalog(ctx, reader, &s); err != nil {
		return nil, err
	}
	if s.triggers, err = c.triggers(ctx, namespace); err != nil {
		return nil, err
	}
	if c.in.EventTypes == nil {
		s.documented, err = c.documented(ctx, s.app)
	}
	return &s, err
}

func (c *connecting) observeCatalog(ctx context.Context, reader client.Reader, s *scene) error {
	var (
		classes   scv1.ServiceClassList
		plans     scv1.ServicePlanList
		instances scv1.ServiceInstanceList
	)
	for _, list := range []client.ObjectList{&classes, &plans, &instances} {
		if err := reader.List(ctx, list, client.InNamespace(c.in.Namespace)); err != nil {
			return err
		}
	}
	s.classes, s.plans, s.instances = byName(classes.Items), byName(plans.Items), byName(instances.Items)
	return nil
}

// documented are the event types of the selected services.
func (c *connecting) documented(ctx context.Context, app *appv1.Application) ([]graph.EventType, error) {
	services, err := selectServices(c.in.Services, app)
	if err != nil {
		return nil, err
	}
	var activations []appv1.EventActivation
	for _, s := range services {
		activations = append(activations, *activationOf(app, s))
	}
	return c.eventTypes(ctx, activations)
}

// carryOut has the API server check every step before it writes the first. It returns the steps as they are at the end.
func (c *connecting) carryOut(ctx context.Context, steps []step) ([]step, error) {
	writer := c.Cluster.Client(ctx)
	if err := c.check(ctx, client.NewDryRunClient(writer), steps); err != nil || c.dryRun {
		return steps, err
	}
	if waiting(steps) != nil {
		if err := c.write(ctx, writer, steps[:1]); err != nil { // the ApplicationMapping
			return nil, err
		}
		var err error
		if steps, err = c.awaitCatalog(ctx); err != nil {
			return nil, err
		}
	}
	return steps, c.write(ctx, writer, steps)
}

// check has the API server try every step. Of those that need not, or cannot yet, be made it wants only the right to make
// them, which the server looks at first: what somebody is answered who has no rights must not depend on what others made.
func (c *connecting) check(ctx context.Context, dry client.Client, steps []step) error {
	for i := range steps {
		s := &steps[i]
		if s.waits || s.outcome == graph.ConnectOutcomeUnchanged {
			object := s.object.DeepCopyObject().(client.Object)
			object.SetResourceVersion("")
			if err := dry.Create(ctx, object); k8s.Denied(err) {
				return err
			}
			continue
		}
		if _, done := c.made[s.key()]; done {
			continue
		}
		if err := s.write(ctx, dry); err != nil {
			return err
		}
	}
	return nil
}

// write makes what is to be, but for what was made before, and notes it.
func (c *connecting) write(ctx context.Context, writer client.Client, steps []step) error {
	for i := range steps {
		s := &steps[i]
		if _, done := c.made[s.key()]; done || s.waits || s.outcome == graph.ConnectOutcomeUnchanged {
			continue
		}
		if err := s.write(ctx, writer); err != nil {
			return err
		}
		c.made[s.key()] = s.outcome
	}
	return nil
}

// write creates or updates a copy of the object: a check must leave no traces in what is then written.
func (s *step) write(ctx context.Context, writer client.Client) error {
	object := s.object.DeepCopyObject().(client.Object)
	var err error
	if s.outcome == graph.ConnectOutcomeUpdated {
		err = writer.Update(ctx, object)
	} else {
		err = writer.Create(ctx, object)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", s.kind, s.object.GetName(), err)
	}
	return nil
}

// waiting are the names of the instances that cannot be made yet.
func waiting(steps []step) []string {
	var names []string
	for i := range steps {
		if steps[i].waits {
			names = append(names, steps[i].object.GetName())
		}
	}
	return names
}

// awaitCatalog plans again until the catalog shows the classes of all services.
func (c *connecting) awaitCatalog(ctx context.Context) ([]step, error) {
	limit := cmp.Or(c.CatalogTime, catalogTime)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	tick := time.NewTicker(catalogInterval)
	defer tick.Stop()
	for {
		steps, err := c.plan(ctx)
		names := waiting(steps)
		if err != nil || names == nil {
			return steps, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, stillWaiting(fmt.Sprintf("Application %q is enabled in namespace %q, but after %s the catalog does not show %s: run connectApplication again to go on",
				c.in.Application, c.in.Namespace, limit, strings.Join(names, ", ")))
		case <-tick.C:
		}
	}
}

// output reports the steps; what this run made is not what the last look took it for.
func (c *connecting) output(steps []step) *graph.ConnectApplicationOutput {
	out := &graph.ConnectApplicationOutput{Application: c.in.Application, Namespace: c.in.Namespace}
	for i := range steps {
		s := &steps[i]
		out.Objects = append(out.Objects, graph.ConnectedObject{
			Kind: s.kind, Namespace: c.in.Namespace, Name: s.object.GetName(), Outcome: cmp.Or(c.made[s.key()], s.outcome),
		})
	}
	return out
}

type connectApplicationOutputResolver struct{ *Resolver }

// ConnectApplicationOutput returns the resolver of what connectApplication did.
func (r *Resolver) ConnectApplicationOutput() graph.ConnectApplicationOutputResolver {
	return connectApplicationOutputResolver{r}
}

func (r connectApplicationOutputResolver) Path(ctx context.Context, o *graph.ConnectApplicationOutput) (*eventmesh.Path, error) {
	paths, err := r.paths(ctx, o.Namespace, o.Application)
	if err != nil {
		return nil, err
	}
	if len(paths) != 1 {
		return nil, errors.New("there is not one path from an application to a namespace")
	}
	return &paths[0], nil
}
