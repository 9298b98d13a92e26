package controllers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// OfferingAnnotation, on a ServiceBroker, is a hash of what the namespace was offered when Service Catalog was last
// asked to list it. Another hash is the reason, and the only one, to ask again.
const OfferingAnnotation = "kyma-console.kyma-project.io/offering"

const (
	// brokerUser is the user that Service Catalog is to the Application Broker.
	brokerUser = "service-catalog"
	// passwordBytes is the length of its password, before encoding.
	passwordBytes = 32

	eventBrokerForeign = "ServiceBrokerNotOwned"
	eventSecretInvalid = "InvalidSecret"
)

// mappingReconciler gives every namespace that has ApplicationMappings the ServiceBroker by which Service Catalog
// offers their services, and keeps it while there are ServiceInstances that could not be deleted without it. All
// mappings of a namespace are looked at together: its requests name the namespace.
//
// Kyma also labels the namespace with the application's accessLabel. That admits calls of its pods to the gateway of an
// API; events need none of it, and the label could only hold one of several applications.
type mappingReconciler struct {
	writer
	live      client.Reader // past the cache, for Secrets: only their metadata is cached
	brokerURL string
}

func (r *mappingReconciler) setup(mgr ctrl.Manager) error {
	toNS := handler.EnqueueRequestsFromMapFunc(toNamespace)
	named := func(name string) builder.WatchesOption {
		return builder.WithPredicates(predicate.NewPredicateFuncs(func(obj client.Object) bool { return obj.GetName() == name }))
	}
	return newController(mgr, "applicationmapping").
		Watches(&appv1.ApplicationMapping{}, toNS).
		Watches(&appv1.Application{}, handler.EnqueueRequestsFromMapFunc(r.ofApplication)).
		Watches(&scv1.ServiceBroker{}, toNS, named(eventmesh.ServiceBrokerName)).
		Watches(&scv1.ServiceInstance{}, toNS, builder.WithPredicates(predicate.Funcs{UpdateFunc: instanceChanged})).
		Watches(&scv1.ServiceClass{}, toNS, onlyDeletions()).
		WatchesMetadata(&corev1.Secret{}, toNS, named(eventmesh.BrokerAuthSecret)).
		Complete(quiet(r))
}

// instanceChanged reports whether an update of a ServiceInstance changes whose it is or asks for its end: most only
// report progress.
func instanceChanged(e event.UpdateEvent) bool {
	before, after := e.ObjectOld.(*scv1.ServiceInstance), e.ObjectNew.(*scv1.ServiceInstance)
	return classOf(before) != classOf(after) || terminating(before) != terminating(after)
}

// ofApplication finds the namespaces that an Application is mapped to.
func (r *mappingReconciler) ofApplication(ctx context.Context, obj client.Object) []reconcile.Request {
	var list appv1.ApplicationMappingList
	if err := r.List(ctx, &list, client.MatchingFields{mappingsByApplication: obj.GetName()}); err != nil {
		return nil // the cache has stopped: the process ends
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, toNamespace(ctx, &list.Items[i])...)
	}
	return requests
}

// Reconcile makes one pass over one namespace.
func (r *mappingReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	o, err := r.observe(ctx, req.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.act(ctx, o, decideBroker(o))
}

// brokerObserved is all that bears on the ServiceBroker of one namespace. What is missing is nil.
type brokerObserved struct {
	namespace *corev1.Namespace
	url       string // where the broker is for this namespace
	mappings  []appv1.ApplicationMapping
	// applications are those of the mappings, by name; without those that do not exist.
	applications map[string]*appv1.Application
	broker       *scv1.ServiceBroker
	secret       *metav1.PartialObjectMetadata
	// instances is how many ServiceInstances are of the broker's classes, orphans how many are of a class that is not
	// known any more and might have been the broker's.
	instances, orphans int
	// stranded is looked for in a namespace that is being deleted, and nothing else is then.
	stranded []scv1.ServiceInstance
}

func (r *mappingReconciler) observe(ctx context.Context, name string) (o brokerObserved, err error) {
	o.url = strings.TrimSuffix(r.brokerURL, "/") + "/" + name
	if o.namespace, err = find[corev1.Namespace](ctx, r, "", name); err != nil || o.namespace == nil {
		return o, err
	}
	if terminating(o.namespace) {
		o.stranded, err = r.stranded(ctx, name)
		return o, err
	}
	var mappings appv1.ApplicationMappingList
	if err = r.List(ctx, &mappings, client.InNamespace(name)); err != nil {
		return o, fmt.Errorf("listing the mappings of %s: %w", name, err)
	}
	o.mappings = mappings.Items
	o.applications = map[string]*appv1.Application{}
	for i := range o.mappings {
		app, err := find[appv1.Application](ctx, r, "", o.mappings[i].Name)
		if err != nil {
			return o, err
		}
		if app != nil {
			o.applications[app.Name] = app
		}
	}
	if o.broker, err = find[scv1.ServiceBroker](ctx, r, name, eventmesh.ServiceBrokerName); err != nil {
		return o, err
	}
	if o.secret, err = r.secret(ctx, name); err != nil {
		return o, err
	}
	return o, r.countInstances(ctx, &o)
}

// secret reads the metadata of the namespace's Secret.
func (r *mappingReconciler) secret(ctx context.Context, namespace string) (*metav1.PartialObjectMetadata, error) {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: eventmesh.BrokerAuthSecret}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading secret %s/%s: %w", namespace, eventmesh.BrokerAuthSecret, err)
	}
	return secret, nil
}

// countInstances counts who needs the broker although nothing is mapped, and only then: a mapping is reason enough.
func (r *mappingReconciler) countInstances(ctx context.Context, o *brokerObserved) error {
	if len(o.mappings) > 0 {
		return nil
	}
	var list scv1.ServiceInstanceList
	if err := r.List(ctx, &list, client.InNamespace(o.namespace.Name)); err != nil {
		return fmt.Errorf("listing the instances of %s: %w", o.namespace.Name, err)
	}
	for i := range list.Items {
		name := classOf(&list.Items[i])
		if name == "" {
			continue
		}
		class, err := find[scv1.ServiceClass](ctx, r, o.namespace.Name, name)
		if err != nil {
			return err
		}
		switch {
		case class == nil:
			o.orphans++
		case class.Spec.ServiceBrokerName == eventmesh.ServiceBrokerName:
			o.instances++
		}
	}
	return nil
}

// classOf is the name of the ServiceClass of an instance, "" while it has none: nothing is provisioned then, and its
// deletion needs no broker.
func classOf(instance *scv1.ServiceInstance) string {
	if instance.Spec.ServiceClassRef == nil {
		return ""
	}
	return instance.Spec.ServiceClassRef.Name
}

// brokerPlan is what to do about the ServiceBroker of one namespace.
type brokerPlan struct {
	makeSecret   bool
	deleteSecret bool
	create       *scv1.ServiceBroker
	update       *scv1.ServiceBroker // as it shall be
	deleteBroker bool
	foreign      bool // somebody else's ServiceBroker has the name
	release      []scv1.ServiceInstance
}

func decideBroker(o brokerObserved) brokerPlan {
	if o.namespace == nil {
		return brokerPlan{}
	}
	if terminating(o.namespace) {
		return brokerPlan{release: o.stranded} // all goes with it, and nothing new can be made
	}
	mapped := len(o.mappings) > 0
	switch b := o.broker; {
	case b != nil && b.Labels[eventmesh.NamespacedBrokerLabel] != "true":
		return brokerPlan{foreign: mapped}
	case b != nil && terminating(b):
		return brokerPlan{} // made again, if needed, when it is gone
	case !mapped && o.instances == 0 && (b == nil || o.orphans == 0):
		if b != nil {
			return brokerPlan{deleteBroker: true}
		}
		return brokerPlan{deleteSecret: o.secret != nil && o.secret.Labels[ManagedByLabel] == ManagedBy}
	case o.secret == nil:
		return brokerPlan{makeSecret: true} // its event starts the pass that makes the ServiceBroker
	case b == nil:
		return brokerPlan{create: wantedBroker(o, &scv1.ServiceBroker{})}
	default:
		want := wantedBroker(o, b)
		if equality.Semantic.DeepEqual(b, want) {
			return brokerPlan{}
		}
		return brokerPlan{update: want}
	}
}

// wantedBroker is the ServiceBroker from as it shall be. Service Catalog lists the services of a new one by itself; of
// an old one it is asked to when the offering is another than last time.
func wantedBroker(o brokerObserved, from *scv1.ServiceBroker) *scv1.ServiceBroker {
	b := from.DeepCopy()
	b.Namespace, b.Name = o.namespace.Name, eventmesh.ServiceBrokerName
	setKey(&b.Labels, eventmesh.NamespacedBrokerLabel, "true")
	setKey(&b.Labels, ManagedByLabel, ManagedBy)
	b.Spec.URL = o.url
	b.Spec.RelistBehavior = scv1.ServiceBrokerRelistBehaviorDuration
	b.Spec.AuthInfo = &scv1.ServiceBrokerAuthInfo{Basic: &scv1.BasicAuthConfig{
		SecretRef: &scv1.LocalObjectReference{Name: eventmesh.BrokerAuthSecret},
	}}
	if hash := offering(o); b.Annotations[OfferingAnnotation] != hash {
		setKey(&b.Annotations, OfferingAnnotation, hash)
		if from.Name != "" {
			b.Spec.RelistRequests++
		}
	}
	return b
}

// offering hashes what Service Catalog would be told if it asked. The Secret is not part of it: Service Catalog reads
// that for every call.
func offering(o brokerObserved) string {
	type offer struct {
		Application string
		Exists      bool
		Deleting    bool
		All         bool
		Labels      map[string]string
		Services    []appv1.Service
	}
	offers := make([]offer, 0, len(o.mappings))
	for i := range o.mappings {
		m := &o.mappings[i]
		of := offer{Application: m.Name, All: m.AllServices()}
		if app := o.applications[m.Name]; app != nil {
			of.Exists, of.Deleting, of.Labels = true, terminating(app), app.Spec.Labels
			for _, s := range app.Spec.Services {
				if m.Enables(s.ID) {
					of.Services = append(of.Services, s)
				}
			}
		}
		offers = append(offers, of)
	}
	slices.SortFunc(offers, func(a, b offer) int { return strings.Compare(a.Application, b.Application) })
	h := sha256.New()
	// Plain data, which always encodes.
	_ = json.NewEncoder(h).Encode(offers)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (r *mappingReconciler) act(ctx context.Context, o brokerObserved, p brokerPlan) error {
	switch {
	case len(p.release) > 0:
		errs := make([]error, 0, len(p.release))
		for i := range p.release {
			errs = append(errs, r.removeFinalizer(ctx, p.release[i].DeepCopy(), scv1.FinalizerServiceCatalog))
		}
		return join(errs...)
	case p.foreign:
		for i := range o.mappings {
			r.event(&o.mappings[i], corev1.EventTypeWarning, eventBrokerForeign,
				"ServiceBroker %q has no label %s: it is left alone, and the services are not offered",
				eventmesh.ServiceBrokerName, eventmesh.NamespacedBrokerLabel)
		}
		return nil
	case p.makeSecret:
		return r.createSecret(ctx, o.namespace.Name)
	case p.deleteSecret:
		return r.remove(ctx, o.secret)
	case p.deleteBroker:
		return r.remove(ctx, o.broker)
	case p.create != nil:
		if ok, err := r.checkSecret(ctx, o); err != nil || !ok {
			return err
		}
		if err := r.Create(ctx, p.create, FieldOwner); err != nil && !apierrors.IsAlreadyExists(err) {
			return lasting(fmt.Errorf("creating ServiceBroker %s: %w", client.ObjectKeyFromObject(p.create), err))
		}
		return nil
	case p.update != nil:
		// With the version, as relistRequests is counted up from what was read.
		patch := client.MergeFromWithOptions(o.broker, client.MergeFromWithOptimisticLock{})
		if err := r.Patch(ctx, p.update, patch, FieldOwner); client.IgnoreNotFound(err) != nil {
			return lasting(fmt.Errorf("patching ServiceBroker %s: %w", client.ObjectKeyFromObject(p.update), err))
		}
		return nil
	default:
		return nil
	}
}

// createSecret makes the Secret with a new password. It is never written again: whoever wants another password deletes
// it.
func (r *mappingReconciler) createSecret(ctx context.Context, namespace string) error {
	password := make([]byte, passwordBytes)
	_, _ = rand.Read(password) // never fails
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      eventmesh.BrokerAuthSecret,
			Labels:    map[string]string{ManagedByLabel: ManagedBy},
		},
		Type: corev1.SecretTypeBasicAuth,
		Data: map[string][]byte{
			corev1.BasicAuthUsernameKey: []byte(brokerUser),
			corev1.BasicAuthPasswordKey: []byte(base64.RawURLEncoding.EncodeToString(password)),
		},
	}
	if err := r.Create(ctx, secret, FieldOwner); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating secret %s: %w", client.ObjectKeyFromObject(secret), err)
	}
	return nil
}

// checkSecret makes sure, before Service Catalog is sent to the broker, that the Secret lets it in: somebody may have
// made one of this name for another purpose. Not ok without an error means that the Secret has just gone: its event
// starts the next pass.
func (r *mappingReconciler) checkSecret(ctx context.Context, o brokerObserved) (ok bool, err error) {
	secret, err := find[corev1.Secret](ctx, r.live, o.namespace.Name, eventmesh.BrokerAuthSecret)
	if err != nil || secret == nil {
		return false, err
	}
	if len(secret.Data[corev1.BasicAuthUsernameKey]) > 0 && len(secret.Data[corev1.BasicAuthPasswordKey]) > 0 {
		return true, nil
	}
	for i := range o.mappings {
		r.event(&o.mappings[i], corev1.EventTypeWarning, eventSecretInvalid,
			"Secret %q has no username or no password: delete it, and it is made anew", eventmesh.BrokerAuthSecret)
	}
	return false, reconcile.TerminalError(fmt.Errorf("secret %s/%s has no username or no password",
		o.namespace.Name, eventmesh.BrokerAuthSecret))
}
