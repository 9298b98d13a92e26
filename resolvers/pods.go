package resolvers

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

// pods are the Pods of a namespace, in no order.
func (r *Resolver) pods(ctx context.Context, namespace string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return list.Items, nil
}

func (r namespaceResolver) Pods(ctx context.Context, n *corev1.Namespace) ([]corev1.Pod, error) {
	pods, err := r.pods(ctx, n.Name)
	return byName(pods), err
}

func (r namespaceResolver) PodsCount(ctx context.Context, n *corev1.Namespace) (int, error) {
	pods, err := r.pods(ctx, n.Name)
	return len(pods), err
}

func (r namespaceResolver) HealthyPodsCount(ctx context.Context, n *corev1.Namespace) (int, error) {
	pods, err := r.pods(ctx, n.Name)
	healthy := 0
	for i := range pods {
		if phase := pods[i].Status.Phase; phase == corev1.PodRunning || phase == corev1.PodSucceeded {
			healthy++
		}
	}
	return healthy, err
}

type podResolver struct{ *Resolver }

// Pod returns the resolver of Pods.
func (r *Resolver) Pod() graph.PodResolver { return podResolver{r} }

func (podResolver) NodeName(_ context.Context, p *corev1.Pod) (string, error) {
	return p.Spec.NodeName, nil
}

func (podResolver) RestartCount(_ context.Context, p *corev1.Pod) (int, error) {
	count := 0
	for i := range p.Status.ContainerStatuses {
		count += int(p.Status.ContainerStatuses[i].RestartCount)
	}
	return count, nil
}

func (podResolver) Labels(_ context.Context, p *corev1.Pod) (map[string]string, error) {
	return notNil(p.Labels), nil
}

func (podResolver) Status(_ context.Context, p *corev1.Pod) (graph.PodStatusType, error) {
	switch p.Status.Phase {
	case corev1.PodPending:
		return graph.PodStatusTypePending, nil
	case corev1.PodRunning:
		return graph.PodStatusTypeRunning, nil
	case corev1.PodSucceeded:
		return graph.PodStatusTypeSucceeded, nil
	case corev1.PodFailed:
		return graph.PodStatusTypeFailed, nil
	default:
		return graph.PodStatusTypeUnknown, nil
	}
}

func (podResolver) ContainerStates(_ context.Context, p *corev1.Pod) ([]graph.ContainerState, error) {
	states := []graph.ContainerState{}
	for i := range p.Status.ContainerStatuses {
		states = append(states, stateOf(&p.Status.ContainerStatuses[i].State))
	}
	return states, nil
}

// stateOf is a container's state. One that says nothing is that of a container that waits to be started.
func stateOf(s *corev1.ContainerState) graph.ContainerState {
	switch {
	case s.Running != nil:
		return graph.ContainerState{State: graph.ContainerStateTypeRunning}
	case s.Terminated != nil:
		reason := fmt.Sprintf("ExitCode:%d", s.Terminated.ExitCode)
		if s.Terminated.Signal != 0 {
			reason = fmt.Sprintf("Signal:%d", s.Terminated.Signal)
		}
		return graph.ContainerState{
			State: graph.ContainerStateTypeTerminated, Reason: cmp.Or(s.Terminated.Reason, reason), Message: s.Terminated.Message,
		}
	case s.Waiting != nil:
		return graph.ContainerState{State: graph.ContainerStateTypeWaiting, Reason: s.Waiting.Reason, Message: s.Waiting.Message}
	default:
		return graph.ContainerState{State: graph.ContainerStateTypeWaiting}
	}
}

func (r podResolver) JSON(_ context.Context, p *corev1.Pod) (map[string]any, error) {
	return r.jsonOf(p)
}
