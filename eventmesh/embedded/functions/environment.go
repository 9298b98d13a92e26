package functions

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// environment resolves the environment of a Function, as a pod would get it when it starts: literal values, keys of
// ConfigMaps and Secrets, and the Function's own name and namespace. problem says, without any value, what is wrong with
// it. Later changes of a ConfigMap or Secret are not noticed until the Function itself is looked at again.
//
// live reads past the cache: a cache of all Secrets of the cluster is too dear for that.
func environment(ctx context.Context, live client.Reader, f *functionsv1.Function) (env map[string]string, problem string, err error) {
	env = make(map[string]string, len(f.Spec.Env))
	for _, v := range f.Spec.Env {
		value, found, err := variable(ctx, live, f, v)
		switch {
		case err != nil:
			return nil, "", fmt.Errorf("reading environment variable %s: %w", v.Name, err)
		case found.problem != "":
			return nil, fmt.Sprintf("The environment variable %s: %s", v.Name, found.problem), nil
		case !found.absent:
			env[v.Name] = value
		}
	}
	return env, "", nil
}

// lookup says how the search for a value ended when there is none.
type lookup struct {
	absent  bool   // which is allowed
	problem string // for the user
}

// variable resolves one variable.
func variable(ctx context.Context, live client.Reader, f *functionsv1.Function, v corev1.EnvVar) (string, lookup, error) {
	from := v.ValueFrom
	switch {
	case from == nil:
		return v.Value, lookup{}, nil
	case from.ConfigMapKeyRef != nil:
		var m corev1.ConfigMap
		err := live.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: from.ConfigMapKeyRef.Name}, &m)
		value, ok := m.Data[from.ConfigMapKeyRef.Key]
		l, err := missing("ConfigMap", from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional, ok, err)
		return value, l, err
	case from.SecretKeyRef != nil:
		var s corev1.Secret
		err := live.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: from.SecretKeyRef.Name}, &s)
		value, ok := s.Data[from.SecretKeyRef.Key]
		l, err := missing("Secret", from.SecretKeyRef.Name, from.SecretKeyRef.Key, from.SecretKeyRef.Optional, ok, err)
		return string(value), l, err
	case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
		return f.Name, lookup{}, nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
		return f.Namespace, lookup{}, nil
	default:
		return "", lookup{problem: "its value is one of a pod, and the embedded mesh has none"}, nil
	}
}

// missing words the absence of a key.
func missing(kind, name, key string, optional *bool, ok bool, err error) (lookup, error) {
	gone := apierrors.IsNotFound(err)
	switch {
	case err != nil && !gone:
		return lookup{}, err
	case ok:
		return lookup{}, nil
	case optional != nil && *optional:
		return lookup{absent: true}, nil
	case gone:
		return lookup{problem: fmt.Sprintf("there is no %s %q", kind, name)}, nil
	default:
		return lookup{problem: fmt.Sprintf("the %s %q has no key %q", kind, name, key)}, nil
	}
}
