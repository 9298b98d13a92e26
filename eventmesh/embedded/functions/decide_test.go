package functions

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// functionWith is a good Function, but for what change does to it.
func functionWith(change func(*functionsv1.Function)) *functionsv1.Function {
	f := &functionsv1.Function{
		ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: testName, UID: "f-1", Generation: 3},
		Spec:       functionsv1.FunctionSpec{Source: main("return 1")},
	}
	if change != nil {
		change(f)
	}
	return f
}

// serviceWith is the Service that a good Function has, but for what change does to it.
func serviceWith(change func(*corev1.Service)) *corev1.Service {
	s := serviceFor(functionWith(nil))
	s.ResourceVersion = "7"
	if change != nil {
		change(s)
	}
	return s
}

func TestDecide(t *testing.T) {
	const (
		taken    = "True SourceUpdated: The source is taken over"
		compiles = "True JobFinished: The source compiles"
		running  = "True DeploymentReady: The function answers at http://orders.shop.svc.cluster.local"
		waiting  = "Unknown JobCreated: Waits for the configuration"
		noConfig = "False DeploymentFailed: The function is not configured"
		noBuild  = "False DeploymentFailed: The function does not build"
	)
	tests := []struct {
		name     string
		function func(*functionsv1.Function)
		service  *corev1.Service // nil: there is none
		envError string
		load     error
		write    error
		// run says whether it is loaded, service what is done with the Service.
		run        bool
		wrote      string
		conditions [3]string
	}{
		{name: "new", run: true, wrote: "create", conditions: [3]string{taken, compiles, running}},
		{name: "nothing to do", service: serviceWith(nil), run: true, conditions: [3]string{taken, compiles, running}},
		{
			name: "others may add to the service", run: true, conditions: [3]string{taken, compiles, running},
			service: serviceWith(func(s *corev1.Service) {
				s.Labels["team"] = "a"
				s.Spec.ClusterIP = "10.0.0.1"
				s.Spec.SessionAffinity = "None"
			}),
		},
		{
			name: "the service was changed", run: true, wrote: "update", conditions: [3]string{taken, compiles, running},
			service: serviceWith(func(s *corev1.Service) { s.Spec.Ports[0].Port = 8080 }),
		},
		{
			name: "new labels", run: true, wrote: "update", conditions: [3]string{taken, compiles, running}, service: serviceWith(nil),
			function: func(f *functionsv1.Function) { f.Spec.Labels = map[string]string{"team": "b"} },
		},
		{
			name: "a foreign service", service: serviceWith(func(s *corev1.Service) { s.OwnerReferences = nil }),
			conditions: [3]string{taken, compiles, `False ServiceFailed: There is a Service "orders" that does not belong to this function; delete it, or give the function another name`},
		},
		{
			name: "the predecessor's service", service: serviceWith(func(s *corev1.Service) { s.OwnerReferences[0].UID = "f-0" }),
			conditions: [3]string{taken, compiles, "Unknown DeploymentWaiting: Waits until the Service of an earlier function of this name is deleted"},
		},
		{
			name: "the service is being deleted", service: serviceWith(func(s *corev1.Service) { s.DeletionTimestamp = &metav1.Time{} }),
			conditions: [3]string{taken, compiles, "Unknown DeploymentWaiting: Waits until the function's old Service is deleted"},
		},
		{
			name: "the service cannot be written", write: errors.New("quota"), run: true, wrote: "create",
			conditions: [3]string{taken, compiles, "False ServiceFailed: The Service could not be written: quota"},
		},
		{
			name: "a syntax error", function: func(f *functionsv1.Function) { f.Spec.Source = "exports.main = (" }, wrote: "create",
			conditions: [3]string{taken, "False JobFailed: SyntaxError: Unexpected end of input (line 1, column 17)", noBuild},
		},
		{
			name: "no main", load: fmt.Errorf("loading: %w", &sourceError{Line: 2, Column: 1, Message: "main is not a function"}), run: true, wrote: "create",
			conditions: [3]string{taken, "False JobFailed: main is not a function (line 2, column 1)", noBuild},
		},
		{
			name: "it throws when it is loaded", load: fmt.Errorf("loading function shop/orders: %w", &thrownError{message: "y is not defined"}), run: true, wrote: "create",
			conditions: [3]string{taken, compiles, "False DeploymentFailed: The function did not start: y is not defined"},
		},
		{
			name: "it hangs when it is loaded", load: fmt.Errorf("loading function shop/orders: %w", fmt.Errorf("the call %w: more than 30s", errTimeout)), run: true, wrote: "create",
			conditions: [3]string{taken, compiles, "False DeploymentFailed: The function did not start: the call took too long: more than 30s"},
		},
		{
			name: "from git", function: func(f *functionsv1.Function) { f.Spec.Type, f.Spec.Source = functionsv1.TypeGit, "my-repository" }, wrote: "create",
			conditions: [3]string{"False SourceUpdateFailed: A function from a Git repository " + cluster, waiting, noConfig},
		},
		{
			name: "python", function: func(f *functionsv1.Function) { f.Spec.Runtime, f.Spec.Deps = functionsv1.RuntimePython38, "requests" }, wrote: "create",
			conditions: [3]string{taken, "False JobFailed: The runtime python38 " + cluster, noBuild},
		},
		{
			name: "dependencies", function: func(f *functionsv1.Function) {
				f.Spec.Deps = `{"name": "x", "dependencies": {"lodash": "1", "axios": "*"}}`
			}, wrote: "create",
			conditions: [3]string{taken, "False JobFailed: A function that depends on axios, lodash " + cluster, noBuild},
		},
		{
			name: "no dependencies", function: func(f *functionsv1.Function) {
				f.Spec.Deps = `{"name": "x", "dependencies": {}, "devDependencies": {"jest": "*"}}`
			},
			run: true, wrote: "create", conditions: [3]string{taken, compiles, running},
		},
		{
			name: "dependencies that are no JSON", function: func(f *functionsv1.Function) { f.Spec.Deps = `{` }, wrote: "create",
			conditions: [3]string{"False ConfigMapError: spec.deps is not a package.json: unexpected end of JSON input", waiting, noConfig},
		},
		{
			name: "the environment is not complete", envError: `The environment variable X: there is no Secret "s"`, wrote: "create",
			conditions: [3]string{`False ConfigMapError: The environment variable X: there is no Secret "s"`, waiting, noConfig},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f := functionWith(tc.function)
			d := decide(observed{function: f, service: tc.service, envError: tc.envError})
			if (d.run != nil) != tc.run {
				t.Errorf("run: %v", d.run)
			}
			wrote := ""
			if d.service != nil {
				wrote = "create"
				if d.service.ResourceVersion != "" {
					wrote = "update"
				}
			}
			if wrote != tc.wrote {
				t.Errorf("service: %q, want %q", wrote, tc.wrote)
			}
			status := conclude(f, d, tc.load, tc.write)
			var got [3]string
			for i, c := range status.Conditions {
				got[i] = fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
				if c.ObservedGeneration != f.Generation {
					t.Errorf("%s is of generation %d", c.Type, c.ObservedGeneration)
				}
			}
			if diff := cmp.Diff(tc.conditions, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			source, runtime := "", ""
			if got[2] == running {
				source, runtime = f.Spec.Source, functionsv1.RuntimeNodeJS12
			}
			if status.ObservedGeneration != f.Generation || status.Source != source || status.Runtime != runtime {
				t.Errorf("generation %d, source %q, runtime %q", status.ObservedGeneration, status.Source, status.Runtime)
			}
		})
	}
}

func TestDecideWhatRuns(t *testing.T) {
	f := functionWith(func(f *functionsv1.Function) {
		f.Spec.Runtime = functionsv1.RuntimeNodeJS10
		f.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
	})
	want := &config{namespace: testNamespace, name: testName, source: f.Spec.Source, runtime: "nodejs10", env: map[string]string{"A": "1"}, memory: 64 << 20}
	got := decide(observed{function: f, env: map[string]string{"A": "1"}}).run
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(config{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConcludeAgain: a second pass over the same changes nothing, and a long source is not repeated.
func TestConcludeAgain(t *testing.T) {
	f := functionWith(nil)
	f.Status = conclude(f, decide(observed{function: f}), nil, nil)
	if diff := cmp.Diff(f.Status, conclude(f, decide(observed{function: f, service: serviceWith(nil)}), nil, nil)); diff != "" {
		t.Errorf("second pass (-first +second):\n%s", diff)
	}
	f.Spec.Source += strings.Repeat(" ", maxStatusSource)
	if status := conclude(f, decide(observed{function: f}), nil, nil); status.Source != "" || status.Runtime == "" {
		t.Errorf("source of %d bytes, runtime %q", len(status.Source), status.Runtime)
	}
}

func TestServiceFor(t *testing.T) {
	f := functionWith(func(f *functionsv1.Function) {
		f.Spec.Labels = map[string]string{"team": "a", functionsv1.LabelUUID: "forged"}
	})
	s := serviceFor(f)
	own := map[string]string{functionsv1.LabelFunctionName: "orders", functionsv1.LabelManagedBy: "function-controller", functionsv1.LabelUUID: "f-1"}
	if diff := cmp.Diff(own, s.Spec.Selector); diff != "" {
		t.Errorf("selector (-want +got):\n%s", diff)
	}
	own["team"] = "a"
	if diff := cmp.Diff(own, s.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if !metav1.IsControlledBy(s, f) || s.Spec.Ports[0].Name != "http" || s.Spec.Ports[0].Port != 80 {
		t.Errorf("got %+v", s)
	}
}

func TestMissing(t *testing.T) {
	notFound := apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "s")
	tests := []struct {
		name     string
		optional *bool
		ok       bool
		err      error
		want     lookup
		wantErr  bool
	}{
		{name: "there", ok: true},
		{name: "no object", err: notFound, want: lookup{problem: `there is no Secret "s"`}},
		{name: "no key", want: lookup{problem: `the Secret "s" has no key "k"`}},
		{name: "no object, optional", err: notFound, optional: ptr.To(true), want: lookup{absent: true}},
		{name: "no key, optional", optional: ptr.To(true), want: lookup{absent: true}},
		{name: "no key, not optional", optional: ptr.To(false), want: lookup{problem: `the Secret "s" has no key "k"`}},
		{name: "not readable", err: errors.New("timeout"), optional: ptr.To(true), wantErr: true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := missing("Secret", "s", "k", tc.optional, tc.ok, tc.err)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
