package knative

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/env"
)

//go:generate go run gen.go

//go:embed crds config webhooks
var manifests embed.FS

const (
	fieldOwner = client.FieldOwner("kyma-console")
	// documentationAddress is of TEST-NET-1: an EndpointSlice may not name loopback, and nothing dials this.
	documentationAddress = "192.0.2.1"
)

// CRDs returns the definitions of Knative Eventing's kinds that are used here. The conversion webhook of EventType gets
// its port in Run.
func CRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	var crds []*apiextensionsv1.CustomResourceDefinition
	err := decode("crds", func(data []byte) error {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		crds = append(crds, crd)
		return yaml.Unmarshal(data, crd)
	})
	return crds, err
}

// decode calls f with each file of folder.
func decode(folder string, f func([]byte) error) error {
	files, err := fs.ReadDir(manifests, folder)
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := manifests.ReadFile(folder + "/" + file.Name())
		if err != nil {
			return err
		}
		if err := f(data); err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
	}
	return nil
}

// install writes Knative's configuration, the registrations of its webhook on port, and the stand-ins for its pods. It
// repairs what it finds different, and may run on every start.
func install(ctx context.Context, config *rest.Config, port int, channel metav1.TypeMeta) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: env.SystemNamespace}}
	if err := apply(ctx, c, ns); err != nil {
		return err
	}
	objects, err := configuration(channel)
	if err != nil {
		return err
	}
	hooks, err := registrations(port)
	if err != nil {
		return err
	}
	objects = append(append(objects, hooks...), standIns()...)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, object := range objects {
		g.Go(func() error { return apply(gctx, c, object) })
	}
	g.Go(func() error { return setConversionPort(gctx, c, port) })
	g.Go(func() error { return ensureSecret(gctx, c) })
	if err := g.Wait(); err != nil {
		return err
	}
	return markAvailable(ctx, c)
}

// apply writes object by server-side apply, owning the fields it has.
func apply(ctx context.Context, c client.Client, object client.Object) error {
	gvk, err := c.GroupVersionKindFor(object)
	if err != nil {
		return err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	unstructured.RemoveNestedField(content, "status") // not ours to write
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("%s %s: %w", gvk.Kind, object.GetName(), err)
	}
	return nil
}

// configuration is Knative's config maps, with our choices: the durable channel is the default, namespaces with the
// injection label get a Broker, and no delivery is limited unless somebody says so. The last is what a 2xx promises:
// with Knative's own default of ten retries an accepted event would be dropped when its function is down for minutes.
func configuration(channel metav1.TypeMeta) ([]client.Object, error) {
	template, err := yaml.Marshal(channel)
	if err != nil {
		return nil, err
	}
	channels, err := yaml.Marshal(map[string]any{"clusterDefault": channel})
	if err != nil {
		return nil, err
	}
	data := map[string]map[string]string{
		"config-br-default-channel": {"channel-template-spec": string(template)},
		"default-ch-webhook":        {"default-ch-config": string(channels)},
		"config-br-defaults": {"default-br-config": "clusterDefault:\n  brokerClass: MTChannelBasedBroker\n  apiVersion: v1\n" +
			"  kind: ConfigMap\n  name: config-br-default-channel\n  namespace: " + env.SystemNamespace + "\n"},
		"config-sugar": {"namespace-selector": fmt.Sprintf("matchExpressions:\n- {key: %s, operator: In, values: [%s]}\n",
			eventmesh.BrokerInjectionLabel, eventmesh.BrokerInjectionEnabled)},
	}
	var objects []client.Object
	err = decode("config", func(raw []byte) error {
		cm := &corev1.ConfigMap{}
		if err := yaml.Unmarshal(raw, cm); err != nil {
			return err
		}
		if ours, ok := data[cm.Name]; ok {
			cm.Data = ours
		}
		objects = append(objects, cm)
		return nil
	})
	return objects, err
}

// registrations are those of the webhook's admission, which Knative's controllers complete with rules and certificate.
func registrations(port int) ([]client.Object, error) {
	var objects []client.Object
	err := decode("webhooks", func(raw []byte) error {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(raw, &kind); err != nil {
			return err
		}
		switch kind.Kind {
		case "MutatingWebhookConfiguration":
			c := &admissionv1.MutatingWebhookConfiguration{}
			if err := yaml.Unmarshal(raw, c); err != nil {
				return err
			}
			for i := range c.Webhooks {
				c.Webhooks[i].ClientConfig.Service.Port = ptr.To(int32(port))
			}
			objects = append(objects, c)
		case "ValidatingWebhookConfiguration":
			c := &admissionv1.ValidatingWebhookConfiguration{}
			if err := yaml.Unmarshal(raw, c); err != nil {
				return err
			}
			for i := range c.Webhooks {
				c.Webhooks[i].ClientConfig.Service.Port = ptr.To(int32(port))
			}
			objects = append(objects, c)
		default:
			return fmt.Errorf("unexpected kind %s", kind.Kind)
		}
		return nil
	})
	return objects, err
}

// setConversionPort tells the API server where EventType is converted in this process.
func setConversionPort(ctx context.Context, c client.Client, port int) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"conversion": map[string]any{"webhook": map[string]any{
		"clientConfig": map[string]any{"service": map[string]any{"port": port}},
	}}}})
	if err != nil {
		return err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "eventtypes.eventing.knative.dev"}}
	return c.Patch(ctx, crd, client.RawPatch("application/merge-patch+json", patch))
}

// ensureSecret makes the Secret that Knative's certificates controller fills. It is never written again: the API server
// trusts the certificate in it.
func ensureSecret(ctx context.Context, c client.Client) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: webhookSecret, Namespace: env.SystemNamespace}}
	if err := c.Create(ctx, secret); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// standIns are the objects by which Knative's controllers find what would be pods.
func standIns() []client.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: env.SystemNamespace}
	}
	objects := []client.Object{
		// The API server finds the webhook through this: an external name keeps the port of the registration.
		&corev1.Service{ObjectMeta: meta(webhookName), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"}},
		&appsv1.Deployment{ObjectMeta: meta("imc-dispatcher"), Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(0)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "imc-dispatcher"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "imc-dispatcher"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "dispatcher", Image: "in-process"}}},
			},
		}},
	}
	for _, name := range []string{"imc-dispatcher", "broker-ingress", "broker-filter"} {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: meta(name), AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{
				Addresses: []string{documentationAddress}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			}},
			Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(80))}},
		}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
		objects = append(objects, slice, &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone,
			Ports:     []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(80)}},
		}})
	}
	return objects
}

// markAvailable says of the in-memory channel's dispatcher, which is this process, that it is available.
func markAvailable(ctx context.Context, c client.Client) error {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "imc-dispatcher", Namespace: env.SystemNamespace}}
	if err := c.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
		return err
	}
	before := d.DeepCopy()
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "InProcess"}}
	return c.Status().Patch(ctx, d, client.MergeFrom(before))
}
