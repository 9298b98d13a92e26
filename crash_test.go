package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// crashSeed is the environment variable that repeats the random moments of an earlier run.
const crashSeed = "CRASH_SEED"

// The program is killed at random moments while one tenant is provisioned and another is removed. Each start has to
// finish both, and then there must be exactly what there should be; it is also the stage of the next kill.
func TestCrashWhileProvisioning(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	random := crashRandom(t)
	dir, sink := crashDir(t), newCrashSink(t)
	c := startConsole(t, dir)

	tenants := []*tenant{newTenant(0, sink)}
	began := time.Now()
	c.finish(t, tenants[0].provision)
	took := time.Since(began)
	t.Logf("a provisioning run takes %v when nothing disturbs it", took)

	// Spread over the run: a random moment in each of as many parts, in random order.
	for n, part := range random.Perm(kills) {
		moment := time.Duration((float64(part) + random.Float64()) * float64(took) / float64(kills))
		last, next := tenants[n], newTenant(n+1, sink)
		tenants = append(tenants, next)
		c.killDuring(t, moment, next.provision, last.remove)
		t.Logf("kill %d after %v: provisioning at %q, removal at %q", n+1, moment, next.provision, last.remove)
		if n%7 == 3 { // and while it recovers
			c = launchConsole(t, dir)
			c.killAfter(t, time.Duration(random.Int64N(int64(4*time.Second))))
		}
		c = startConsole(t, dir)
		c.finish(t, next.provision, last.remove)
		next.works(t, c, fmt.Sprintf("after-%d", n+1))
		c.onlyHas(t, tenants[:n+1], next)
	}

	// Kubernetes removes a namespace some seconds after it was told to, and starts anew after a crash.
	c.finish(t, tenants[kills].remove)
	c.killAfter(t, 5*time.Second+time.Duration(random.Int64N(int64(4*time.Second))))
	c = startConsole(t, dir)
	c.onlyHas(t, nil)
}

// crashRandom is a source of random numbers that can be had again.
func crashRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv(crashSeed); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("%s: %v", crashSeed, err)
		}
	}
	t.Logf("repeat with %s=%d", crashSeed, seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// crashDir is a data directory whose log is shown when the test fails.
func crashDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			_ = os.WriteFile(fmt.Sprintf("/tmp/wC.fail.%s", t.Name()), log, 0o600)
			t.Logf("end of the program's log:\n%s", tail(log, 8000))
		}
	})
	return dir
}

// consoleBinary builds the program as users have it, without the race detector, once for all tests.
var consoleBinary = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(scratch, "kyma-console")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

// console is the program in a process of its own, so that it can be killed.
type console struct {
	*program // nil until it is ready
	dir      string
	out      *output
	process  *os.Process
	done     chan error // gets how the process ended
	killed   atomic.Bool
}

// launchConsole starts the program on dir.
func launchConsole(t *testing.T, dir string) *console {
	t.Helper()
	binary, err := consoleBinary()
	if err != nil {
		t.Fatal(err)
	}
	c := &console{dir: dir, out: &output{}, done: make(chan error, 1)}
	cmd := exec.Command(binary, freePorts(dir)...)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.process = cmd.Process
	go func() { c.done <- cmd.Wait() }()
	t.Cleanup(func() { _ = c.process.Kill() })
	return c
}

// startConsole starts the program on dir and waits until it is ready.
func startConsole(t *testing.T, dir string) *console {
	t.Helper()
	c := launchConsole(t, dir)
	p, err := newProgram(dir, c.out, c.done)
	if err != nil {
		t.Fatal(err)
	}
	c.program = p
	return c
}

// kill ends the process as a power cut would, in the middle of whatever it does.
func (c *console) kill(t *testing.T) {
	t.Helper()
	c.killed.Store(true)
	if err := c.process.Kill(); err != nil {
		t.Fatalf("killing the program: %v\n%s", err, c.out)
	}
	if err := <-c.done; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the program ended by itself: %v\n%s", err, c.out)
	}
}

// killAfter kills the program a while later.
func (c *console) killAfter(t *testing.T, d time.Duration) {
	t.Helper()
	c.killDuring(t, d)
	t.Logf("killed again after %v", d)
}

// killDuring starts the tasks and kills the program a while later.
func (c *console) killDuring(t *testing.T, after time.Duration, tasks ...*crashTask) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for _, task := range tasks {
		clients.Go(func() {
			if err := task.run(ctx, c.program); err != nil && !c.killed.Load() {
				t.Errorf("before the program was killed: %v", err)
			}
		})
	}
	<-time.After(after)
	c.kill(t)
	cancel()
	clients.Wait()
}

// finish carries out what is left of the tasks, all at once.
func (c *console) finish(t *testing.T, tasks ...*crashTask) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var clients sync.WaitGroup
	for _, task := range tasks {
		clients.Go(func() {
			if err := task.run(ctx, c.program); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// crashTask is what a client has to do. When it has no answer for a step, because the program was killed, it takes that
// step again; it does not repeat what has been answered.
type crashTask struct {
	name     string
	steps    []crashStep
	answered atomic.Int32
}

type crashStep struct {
	name string
	do   func(context.Context, *program) error
}

func (k *crashTask) run(ctx context.Context, p *program) error {
	for int(k.answered.Load()) < len(k.steps) {
		step := k.steps[k.answered.Load()]
		if err := step.do(ctx, p); err != nil {
			return fmt.Errorf("%s, %s: %w", k.name, step.name, err)
		}
		k.answered.Add(1)
	}
	return nil
}

// String is the step that comes next.
func (k *crashTask) String() string {
	if n := int(k.answered.Load()); n < len(k.steps) {
		return k.steps[n].name
	}
	return "done"
}

// crashPoll waits until holds is nil.
func crashPoll(ctx context.Context, holds func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// onlyHas checks that there is everything that the tenants need, once, and nothing else but what is left of those that
// are leaving.
func (c *console) onlyHas(t *testing.T, leaving []*tenant, tenants ...*tenant) {
	t.Helper()
	var want []string
	for _, tenant := range tenants {
		want = append(want, tenant.inventory()...)
	}
	slices.Sort(want)
	left := func(line string) bool {
		return slices.ContainsFunc(leaving, func(l *tenant) bool { return strings.Contains(line, l.name) })
	}
	eventually(t, func() error {
		got, err := c.inventory(t.Context())
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, slices.DeleteFunc(got, left), cmpopts.EquateEmpty()); diff != "" {
			return errors.New("the cluster has not what it should have (-want +got):\n" + diff)
		}
		return nil
	})
}

// inventory describes each object that belongs to a tenant or to the mesh between tenants, by what it is for. What a
// line says of names is what identifies the object; names that were generated are left out.
func (c *console) inventory(ctx context.Context) ([]string, error) {
	var all inventory
	for _, list := range []client.ObjectList{
		// Read first what refers to others: what is found without its other half has lost it.
		&kymamessagingv1.JetStreamChannelList{}, &messagingv1.SubscriptionList{}, &messagingv1.ChannelList{},
		&sourcesv1.HTTPSourceList{}, &appv1.EventActivationList{}, &scv1.ServiceInstanceList{},
		&scv1.ServiceBrokerList{}, &scv1.ServiceClassList{}, &scv1.ServicePlanList{},
		&eventingv1.TriggerList{}, &eventingv1.BrokerList{}, &functionsv1.FunctionList{},
		&corev1.ServiceList{}, &corev1.SecretList{}, &corev1.ConfigMapList{},
		&appv1.ApplicationMappingList{}, &appv1.ApplicationList{}, &corev1.NamespaceList{},
	} {
		if err := c.kube.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
		err := apimeta.EachListItem(list, func(o runtime.Object) error {
			all.objects = append(all.objects, o.(client.Object))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	lines := all.lines()
	stored, err := storedChannels(c.dir)
	return slices.Sorted(slices.Values(append(lines, stored...))), err
}

// storedChannels describes the streams in the store of events, of which the API does not tell.
func storedChannels(dir string) ([]string, error) {
	streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "jetstream", "*", "streams", "*"))
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, stream := range streams {
		consumers, err := filepath.Glob(filepath.Join(stream, "obs", "*"))
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("stream %s: %d consumers", filepath.Base(stream), len(consumers)))
	}
	return lines, nil
}

// inventory is what there is, in all namespaces.
type inventory struct{ objects []client.Object }

func (all inventory) lines() []string {
	var lines []string
	for _, o := range all.objects {
		if line := all.line(o); line != "" {
			if o.GetDeletionTimestamp() != nil {
				line += ", terminating"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// line describes o, "" when it is none of the tenants' business.
func (all inventory) line(o client.Object) string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1alpha1.")
	kind = strings.TrimPrefix(strings.TrimPrefix(kind, "*v1beta1."), "*v1.")
	line := kind + " " + types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	switch o := o.(type) {
	case *kymamessagingv1.JetStreamChannel:
		return line + ": " + all.subscribers(o)
	case *messagingv1.Subscription:
		if controller := metav1.GetControllerOf(o); controller != nil {
			return fmt.Sprintf("Subscription of %s %s/%s", controller.Kind, o.Namespace, controller.Name)
		}
		return fmt.Sprintf("Subscription from %s/%s to %s", o.Namespace, o.Spec.Channel.Name, o.Labels[eventmesh.BrokerNamespaceLabel])
	case *appv1.EventActivation:
		return fmt.Sprintf("EventActivation %s from %s for %s", o.Namespace, o.Spec.SourceID, all.instance(o))
	case *scv1.ServiceClass:
		return "ServiceClass " + o.Namespace
	case *scv1.ServicePlan:
		return "ServicePlan " + o.Namespace + " " + o.Spec.ExternalName
	case *corev1.Namespace:
		if !strings.HasPrefix(o.Name, tenantPrefix) {
			return ""
		}
	case *corev1.ConfigMap:
		// One registration that was cut short may leave a second document; it goes with its Application at the latest.
		if o.Labels[eventmesh.ServiceIDLabel] == "" || all.application(o.Labels[eventmesh.ApplicationNameLabel]) {
			return ""
		}
	case *corev1.Service, *corev1.Secret:
		if !strings.HasPrefix(o.GetNamespace(), tenantPrefix) && o.GetNamespace() != eventmesh.IntegrationNamespace {
			return ""
		}
	}
	return line
}

// subscribers compares the subscribers of a channel with the Subscriptions to it.
func (all inventory) subscribers(channel *kymamessagingv1.JetStreamChannel) string {
	var have, want []types.UID
	for _, s := range channel.Spec.Subscribers {
		have = append(have, s.UID)
	}
	for _, o := range all.objects {
		if s, ok := o.(*messagingv1.Subscription); ok && s.Namespace == channel.Namespace && s.Spec.Channel.Name == channel.Name {
			want = append(want, s.UID)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return fmt.Sprintf("subscribers %v, but Subscriptions %v", have, want)
	}
	return fmt.Sprintf("%d subscribers", len(have))
}

// instance is the ServiceInstance for which there is an activation.
func (all inventory) instance(a *appv1.EventActivation) string {
	for _, o := range all.objects {
		if i, ok := o.(*scv1.ServiceInstance); ok && i.Namespace == a.Namespace && i.Spec.ExternalID == a.Labels[eventmesh.InstanceIDLabel] {
			return "ServiceInstance " + i.Name
		}
	}
	return "no ServiceInstance: " + a.Labels[eventmesh.InstanceIDLabel]
}

func (all inventory) application(name string) bool {
	return slices.ContainsFunc(all.objects, func(o client.Object) bool {
		_, ok := o.(*appv1.Application)
		return ok && o.GetName() == name
	})
}
