package resolvers

import (
	"context"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

func (r queryResolver) Function(ctx context.Context, name, namespace string) (*functionsv1.Function, error) {
	return orNull(get[functionsv1.Function](ctx, r.Cluster.Client(ctx), namespace, name))
}

func (r queryResolver) Functions(ctx context.Context, namespace string) ([]functionsv1.Function, error) {
	var list functionsv1.FunctionList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

// FunctionLogs is for those who may read the Function.
func (r queryResolver) FunctionLogs(ctx context.Context, name, namespace string) ([]eventmesh.LogLine, error) {
	if _, err := get[functionsv1.Function](ctx, r.Cluster.Client(ctx), namespace, name); err != nil {
		return nil, err
	}
	if r.Resolver.FunctionLogs == nil {
		return nil, moduleDisabled("serverless")
	}
	k8s.Uncacheable(ctx) // a new line is no change of an object
	return r.Resolver.FunctionLogs(namespace, name), nil
}

func (r mutationResolver) CreateFunction(ctx context.Context, name, namespace string, params graph.FunctionMutationInput, dryRun *bool) (*functionsv1.Function, error) {
	spec, err := functionSpec(&params)
	if err != nil {
		return nil, err
	}
	function := &functionsv1.Function{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: params.Labels},
		Spec:       spec,
	}
	if err := r.writer(ctx, dryRun).Create(ctx, function); err != nil {
		return nil, err
	}
	return function, nil
}

func (r mutationResolver) UpdateFunction(ctx context.Context, name, namespace string, params graph.FunctionMutationInput, dryRun *bool) (*functionsv1.Function, error) {
	spec, err := functionSpec(&params)
	if err != nil {
		return nil, err
	}
	function := &functionsv1.Function{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	change := map[string]any{"/metadata/labels": notNil(params.Labels), "/spec": spec}
	if err := replace(ctx, r.writer(ctx, dryRun), function, change); err != nil {
		return nil, err
	}
	return function, nil
}

func (r subscriptionResolver) FunctionEvent(ctx context.Context, namespace string, functionName *string) (<-chan *graph.FunctionEvent, error) {
	return watch(ctx, r.Resolver, &functionsv1.Function{},
		func(f *functionsv1.Function) bool { return functionName == nil || f.Name == *functionName },
		func(e k8sEvent[*functionsv1.Function]) *graph.FunctionEvent {
			return &graph.FunctionEvent{Type: e.Type, Function: e.Object}
		}, client.InNamespace(namespace))
}

// functionSpec is the specification that a client asks for.
func functionSpec(in *graph.FunctionMutationInput) (functionsv1.FunctionSpec, error) {
	spec := functionsv1.FunctionSpec{
		Source:    in.Source,
		Deps:      in.Dependencies,
		Runtime:   deref(in.Runtime),
		Type:      deref(in.SourceType),
		BaseDir:   deref(in.BaseDir),
		Reference: deref(in.Reference),
	}
	for i := range in.Env {
		spec.Env = append(spec.Env, envVar(&in.Env[i]))
	}
	var err error
	if spec.MinReplicas, err = replicas("replicas.min", in.Replicas.Min); err != nil {
		return spec, err
	}
	if spec.MaxReplicas, err = replicas("replicas.max", in.Replicas.Max); err != nil {
		return spec, err
	}
	if spec.Resources, err = requirements("resources", in.Resources); err != nil {
		return spec, err
	}
	spec.BuildResources, err = requirements("buildResources", in.BuildResources)
	return spec, err
}

func envVar(in *graph.FunctionEnvInput) corev1.EnvVar {
	if in.ValueFrom == nil {
		return corev1.EnvVar{Name: in.Name, Value: in.Value}
	}
	object := corev1.LocalObjectReference{Name: in.ValueFrom.Name}
	source := &corev1.EnvVarSource{}
	if in.ValueFrom.Type == graph.FunctionEnvValueFromTypeSecret {
		source.SecretKeyRef = &corev1.SecretKeySelector{LocalObjectReference: object, Key: in.ValueFrom.Key, Optional: in.ValueFrom.Optional}
	} else {
		source.ConfigMapKeyRef = &corev1.ConfigMapKeySelector{LocalObjectReference: object, Key: in.ValueFrom.Key, Optional: in.ValueFrom.Optional}
	}
	return corev1.EnvVar{Name: in.Name, ValueFrom: source}
}

func replicas(field string, n *int) (*int32, error) {
	if n == nil {
		return nil, nil
	}
	if *n < 1 || *n > math.MaxInt32 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s is %d: must be at least 1", field, *n))
	}
	out := int32(*n)
	return &out, nil
}

func requirements(field string, in *graph.FunctionResourcesInput) (out corev1.ResourceRequirements, err error) {
	if out.Limits, err = quantities(field+".limits", in.Limits); err != nil {
		return out, err
	}
	out.Requests, err = quantities(field+".requests", in.Requests)
	return out, err
}

func quantities(field string, in *graph.ResourceValuesInput) (corev1.ResourceList, error) {
	var out corev1.ResourceList
	for _, v := range []struct {
		name  corev1.ResourceName
		value string
	}{{corev1.ResourceMemory, deref(in.Memory)}, {corev1.ResourceCPU, deref(in.CPU)}} {
		if v.value == "" {
			continue
		}
		q, err := resource.ParseQuantity(v.value)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("%s.%s is %q: %v", field, v.name, v.value, err))
		}
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[v.name] = q
	}
	return out, nil
}

type functionResolver struct{}

// Function returns the resolver of Functions.
func (r *Resolver) Function() graph.FunctionResolver { return functionResolver{} }

func (functionResolver) UID(_ context.Context, f *functionsv1.Function) (string, error) {
	return string(f.UID), nil
}

func (functionResolver) Labels(_ context.Context, f *functionsv1.Function) (map[string]string, error) {
	return notNil(f.Labels), nil
}

func (functionResolver) Source(_ context.Context, f *functionsv1.Function) (string, error) {
	return f.Spec.Source, nil
}

func (functionResolver) Dependencies(_ context.Context, f *functionsv1.Function) (string, error) {
	return f.Spec.Deps, nil
}

func (functionResolver) Env(_ context.Context, f *functionsv1.Function) ([]corev1.EnvVar, error) {
	return f.Spec.Env, nil
}

func (functionResolver) Replicas(_ context.Context, f *functionsv1.Function) (*graph.FunctionReplicas, error) {
	return &graph.FunctionReplicas{Min: intOf(f.Spec.MinReplicas), Max: intOf(f.Spec.MaxReplicas)}, nil
}

func intOf(n *int32) *int {
	if n == nil {
		return nil
	}
	out := int(*n)
	return &out
}

func (functionResolver) Resources(_ context.Context, f *functionsv1.Function) (*graph.FunctionResources, error) {
	return resources(f.Spec.Resources), nil
}

func (functionResolver) BuildResources(_ context.Context, f *functionsv1.Function) (*graph.FunctionResources, error) {
	return resources(f.Spec.BuildResources), nil
}

func resources(r corev1.ResourceRequirements) *graph.FunctionResources {
	values := func(list corev1.ResourceList) *graph.ResourceValues {
		value := func(name corev1.ResourceName) *string {
			if q, ok := list[name]; ok {
				return optional(q.String())
			}
			return nil
		}
		return &graph.ResourceValues{Memory: value(corev1.ResourceMemory), CPU: value(corev1.ResourceCPU)}
	}
	return &graph.FunctionResources{Limits: values(r.Limits), Requests: values(r.Requests)}
}

func (functionResolver) Runtime(_ context.Context, f *functionsv1.Function) (*string, error) {
	return optional(f.Spec.Runtime), nil
}

func (functionResolver) SourceType(_ context.Context, f *functionsv1.Function) (*string, error) {
	return optional(f.Spec.Type), nil
}

func (functionResolver) BaseDir(_ context.Context, f *functionsv1.Function) (*string, error) {
	return optional(f.Spec.BaseDir), nil
}

func (functionResolver) Reference(_ context.Context, f *functionsv1.Function) (*string, error) {
	return optional(f.Spec.Reference), nil
}

func (functionResolver) Status(_ context.Context, f *functionsv1.Function) (*eventmesh.FunctionStatus, error) {
	status := eventmesh.StatusOfFunction(f)
	return &status, nil
}

type functionEnvResolver struct{}

// FunctionEnv returns the resolver of environment variables.
func (r *Resolver) FunctionEnv() graph.FunctionEnvResolver { return functionEnvResolver{} }

func (functionEnvResolver) ValueFrom(_ context.Context, e *corev1.EnvVar) (*graph.FunctionEnvValueFrom, error) {
	switch source := e.ValueFrom; {
	case source == nil:
		return nil, nil
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		return &graph.FunctionEnvValueFrom{Type: graph.FunctionEnvValueFromTypeSecret, Name: ref.Name, Key: ref.Key, Optional: ref.Optional}, nil
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		return &graph.FunctionEnvValueFrom{Type: graph.FunctionEnvValueFromTypeConfigMap, Name: ref.Name, Key: ref.Key, Optional: ref.Optional}, nil
	default:
		return nil, nil // from the pod itself, which the API has no words for
	}
}

type functionLogLineResolver struct{}

// FunctionLogLine returns the resolver of lines that Functions wrote.
func (r *Resolver) FunctionLogLine() graph.FunctionLogLineResolver { return functionLogLineResolver{} }

func (functionLogLineResolver) Time(_ context.Context, l *eventmesh.LogLine) (string, error) {
	return l.Time.UTC().Format(time.RFC3339Nano), nil
}

func (functionLogLineResolver) EventID(_ context.Context, l *eventmesh.LogLine) (*string, error) {
	return optional(l.EventID), nil
}
