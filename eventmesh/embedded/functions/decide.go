package functions

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

const (
	// managedBy is the value of the label managed-by on Services, as in Kyma.
	managedBy = "function-controller"
	// servicePort is where a function answers.
	servicePort = 80
	// maxStatusSource bounds the source that the status repeats, in bytes, so that source and status together stay
	// below what the API server stores of one object.
	maxStatusSource = 256 << 10
	// cluster ends the messages about what only a cluster can do.
	cluster = "needs a cluster: the embedded mesh runs JavaScript from spec.source, without modules"
)

// observed is what a pass finds.
type observed struct {
	function *functionsv1.Function
	service  *corev1.Service // of the Function's name; nil if there is none
	env      map[string]string
	envError string // what is wrong with spec.env, "" if nothing is
}

// decision is what a pass is to do.
type decision struct {
	// run is what is to run; nil: nothing is.
	run *config
	// service is to be written; nil if it is right already, or not ours.
	service *corev1.Service
	// configuration, build and running are what is known before anything is done.
	configuration, build, running state
}

// state is one condition, but for its type and times.
type state struct {
	status  metav1.ConditionStatus
	reason  string
	message string
}

func failed(reason, format string, args ...any) state {
	return state{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

func unknown(reason, message string) state { return state{metav1.ConditionUnknown, reason, message} }

func ok(reason, message string) state { return state{metav1.ConditionTrue, reason, message} }

func (s state) ok() bool { return s.status == metav1.ConditionTrue }

// decide says what is to be done about a Function. The Service is written even if the function cannot run, so that what
// refers to it need not be made in a certain order, and stays as it is while somebody mends the source.
func decide(o observed) decision {
	f := o.function
	d := decision{
		configuration: configuration(f, o.envError),
		running:       ok(functionsv1.ReasonDeploymentReady, "The function answers at http://"+eventmesh.ServiceHost(f.Name, f.Namespace)),
	}
	d.build = build(f, d.configuration)
	switch want := serviceFor(f); {
	case o.service == nil:
		d.service = want
	case !metav1.IsControlledBy(o.service, f):
		d.running = foreign(f, o.service)
	case o.service.DeletionTimestamp != nil:
		d.running = unknown(functionsv1.ReasonDeploymentWaiting, "Waits until the function's old Service is deleted")
	default:
		if merged := merge(o.service, want); !equality.Semantic.DeepEqual(merged, o.service) {
			d.service = merged
		}
	}
	if d.build.ok() && d.running.ok() {
		d.run = &config{
			namespace: f.Namespace, name: f.Name, source: f.Spec.Source, runtime: runtimeOf(f), env: o.env,
			memory: f.Spec.Resources.Limits.Memory().Value(),
		}
	}
	return d
}

// configuration judges what a Function brings along.
func configuration(f *functionsv1.Function, envError string) state {
	switch {
	case f.Spec.Type == functionsv1.TypeGit:
		return failed(functionsv1.ReasonSourceUpdateFailed, "A function from a Git repository %s", cluster)
	case envError != "":
		return failed(functionsv1.ReasonConfigMapError, "%s", envError)
	}
	if _, err := dependencies(f.Spec.Deps); err != nil && isNode(f) {
		return failed(functionsv1.ReasonConfigMapError, "spec.deps is not a package.json: %v", err)
	}
	return ok(functionsv1.ReasonSourceUpdated, "The source is taken over")
}

// build judges the source, as far as that goes without running it.
func build(f *functionsv1.Function, configuration state) state {
	if !configuration.ok() {
		return unknown(functionsv1.ReasonJobCreated, "Waits for the configuration")
	}
	if !isNode(f) {
		return failed(functionsv1.ReasonJobFailed, "The runtime %s %s", runtimeOf(f), cluster)
	}
	if names, err := dependencies(f.Spec.Deps); err == nil && len(names) > 0 {
		return failed(functionsv1.ReasonJobFailed, "A function that depends on %s %s", strings.Join(names, ", "), cluster)
	}
	if _, err := compile(f.Spec.Source); err != nil {
		return failed(functionsv1.ReasonJobFailed, "%v", err)
	}
	return ok(functionsv1.ReasonJobFinished, "The source compiles")
}

// foreign says why a Service of the Function's name is not the Function's.
func foreign(f *functionsv1.Function, s *corev1.Service) state {
	owner := metav1.GetControllerOf(s)
	if owner != nil && owner.Kind == "Function" && owner.Name == f.Name && strings.HasPrefix(owner.APIVersion, functionsv1.GroupVersion.Group+"/") {
		return unknown(functionsv1.ReasonDeploymentWaiting, "Waits until the Service of an earlier function of this name is deleted")
	}
	return failed(functionsv1.ReasonServiceFailed, "There is a Service %q that does not belong to this function; delete it, or give the function another name", s.Name)
}

// conclude is the status after a decision was carried out; loadErr and serviceErr are how its two parts failed.
func conclude(f *functionsv1.Function, d decision, loadErr, serviceErr error) functionsv1.FunctionStatus {
	var wrong *sourceError
	switch {
	case loadErr == nil:
	case errors.As(loadErr, &wrong):
		d.build = failed(functionsv1.ReasonJobFailed, "%s", wrong.Error())
	default:
		d.running = failed(functionsv1.ReasonDeploymentFailed, "The function did not start: %s", rootMessage(loadErr))
	}
	switch {
	case serviceErr != nil:
		d.running = failed(functionsv1.ReasonServiceFailed, "The Service could not be written: %v", serviceErr)
	case d.running.ok() && !d.configuration.ok():
		d.running = failed(functionsv1.ReasonDeploymentFailed, "The function is not configured")
	case d.running.ok() && !d.build.ok():
		d.running = failed(functionsv1.ReasonDeploymentFailed, "The function does not build")
	}
	status := *f.Status.DeepCopy()
	status.ObservedGeneration = f.Generation
	status.Source, status.Runtime = "", ""
	if d.running.ok() {
		status.Runtime = runtimeOf(f)
		if len(f.Spec.Source) <= maxStatusSource {
			status.Source = f.Spec.Source
		}
	}
	for kind, s := range map[string]state{
		functionsv1.ConditionConfigurationReady: d.configuration,
		functionsv1.ConditionBuildReady:         d.build,
		functionsv1.ConditionRunning:            d.running,
	} {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: s.status, ObservedGeneration: f.Generation, Reason: s.reason, Message: s.message,
		})
	}
	slices.SortStableFunc(status.Conditions, func(a, b metav1.Condition) int { return order(a.Type) - order(b.Type) })
	return status
}

// order is the place of a condition among the others.
func order(kind string) int {
	return slices.Index([]string{functionsv1.ConditionConfigurationReady, functionsv1.ConditionBuildReady, functionsv1.ConditionRunning}, kind)
}

// rootMessage is what the function's code did, without the names that its condition is read under anyway.
func rootMessage(err error) string {
	var thrown *thrownError
	if errors.As(err, &thrown) {
		if thrown.at.Line > 0 {
			return fmt.Sprintf("%s (line %d, column %d)", thrown.message, thrown.at.Line, thrown.at.Column)
		}
		return thrown.message
	}
	for next := errors.Unwrap(err); next != nil && strings.HasSuffix(err.Error(), next.Error()); next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// dependencies lists the names in the dependencies of a package.json; none if it is empty.
func dependencies(deps string) ([]string, error) {
	if strings.TrimSpace(deps) == "" {
		return nil, nil
	}
	var manifest struct {
		Dependencies map[string]any `json:"dependencies"`
	}
	if err := json.Unmarshal([]byte(deps), &manifest); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(manifest.Dependencies)), nil
}

func runtimeOf(f *functionsv1.Function) string {
	if f.Spec.Runtime == "" {
		return functionsv1.RuntimeNodeJS12
	}
	return f.Spec.Runtime
}

func isNode(f *functionsv1.Function) bool { return strings.HasPrefix(runtimeOf(f), "nodejs") }

// serviceFor is the Service of a Function. It is headless, as there is no address that anybody would answer at: the
// embedded mesh goes by the name.
func serviceFor(f *functionsv1.Function) *corev1.Service {
	own := map[string]string{
		functionsv1.LabelFunctionName: f.Name,
		functionsv1.LabelManagedBy:    managedBy,
		functionsv1.LabelUUID:         string(f.UID),
	}
	labels := maps.Clone(f.Spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, own)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.Namespace, Name: f.Name, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(f, functionsv1.GroupVersion.WithKind("Function"))},
		},
		Spec: corev1.ServiceSpec{
			Type:      corev1.ServiceTypeClusterIP,
			ClusterIP: corev1.ClusterIPNone,
			Selector:  own,
			Ports:     []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: servicePort, TargetPort: intstr.FromInt32(servicePort)}},
		},
	}
}

// merge is a Service with what its Function wants of it; the rest stays: addresses cannot change, and others may have
// labels of their own on it.
func merge(have, want *corev1.Service) *corev1.Service {
	out := have.DeepCopy()
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	maps.Copy(out.Labels, want.Labels)
	out.Spec.Selector = want.Spec.Selector
	if len(out.Spec.Ports) != 1 || out.Spec.Ports[0].Name != want.Spec.Ports[0].Name || out.Spec.Ports[0].Port != want.Spec.Ports[0].Port {
		out.Spec.Ports = want.Spec.Ports
	}
	return out
}
