package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// The benchmarks measure what docs/benchmarks.md reports. They check nothing but that the program works: a machine that
// is busy is no defect of the program.

// median reports the median of samples, in milliseconds, as unit.
func median(b *testing.B, samples []time.Duration, unit string) {
	b.Helper()
	slices.Sort(samples)
	b.ReportMetric(float64(samples[len(samples)/2].Microseconds())/1000, unit)
}

// BenchmarkProvision measures the way of a user: from createServiceInstance to Ready, from createTrigger to Ready, and
// from there to the first event in the function. Each round has an application and a namespace of its own.
func BenchmarkProvision(b *testing.B) {
	var instances, triggers, events []time.Duration
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("bench-%d-%d", time.Now().UnixNano()%1e9, i)
		benchSeed(b, name)

		start := time.Now()
		shared.mustQuery(b, `mutation($ns: String!, $name: String!) { createServiceInstance(namespace: $ns, params: {name: $name, labels: [],
			classRef: {externalName: $name, clusterWide: false}, planRef: {externalName: "default", clusterWide: false}}) { name } }`,
			map[string]any{"ns": name, "name": name}, nil)
		benchReady(b, &scv1.ServiceInstanceList{}, name, func(o *scv1.ServiceInstance) bool {
			return slices.ContainsFunc(o.Status.Conditions, func(c scv1.ServiceInstanceCondition) bool {
				return c.Type == scv1.ServiceInstanceConditionReady && c.Status == scv1.ConditionTrue
			})
		})
		instances = append(instances, time.Since(start))

		start = time.Now()
		shared.mustQuery(b, `mutation($ns: String!, $name: String!, $filter: JSON) { createTrigger(namespace: $ns, trigger: {name: $name, broker: "default",
			filterAttributes: $filter, subscriber: {ref: {apiVersion: "v1", kind: "Service", name: $name, namespace: $ns}}}) { name } }`,
			map[string]any{"ns": name, "name": name, "filter": map[string]any{"source": name}}, nil)
		benchReady(b, &eventingv1.TriggerList{}, name, func(o *eventingv1.Trigger) bool { return o.Status.IsReady() })
		triggers = append(triggers, time.Since(start))

		start = time.Now()
		benchSend(b, name)
		benchLogged(b, name)
		events = append(events, time.Since(start))
	}
	median(b, instances, "instance-ms")
	median(b, triggers, "trigger-ms")
	median(b, events, "event-ms")
}

// benchSeed makes an application with an event service, a namespace in which it is enabled and a function, all of name,
// and waits for the service class and the function.
func benchSeed(b *testing.B, name string) {
	b.Helper()
	meta := metav1.ObjectMeta{Name: name, Namespace: name}
	for _, o := range []client.Object{
		&appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appv1.ApplicationSpec{Services: []appv1.Service{{
			ID: name, Name: name, DisplayName: name, Description: name, Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
		}}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&appv1.ApplicationMapping{ObjectMeta: meta},
		&functionsv1.Function{ObjectMeta: meta, Spec: functionsv1.FunctionSpec{
			Source: `module.exports = { main: function (event) { console.log(event["ce-id"]); } };`,
		}},
	} {
		if err := shared.kube.Create(b.Context(), o); err != nil {
			b.Fatal(err)
		}
	}
	benchReady(b, &scv1.ServiceClassList{}, name, func(*scv1.ServiceClass) bool { return true })
	benchReady(b, &functionsv1.FunctionList{}, name, func(o *functionsv1.Function) bool {
		return slices.ContainsFunc(o.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type == functionsv1.ConditionRunning && c.Status == metav1.ConditionTrue
		})
	})
	eventually(b, func() error {
		var answer struct {
			ServiceClass *struct{ Plans []struct{ Name string } }
		}
		err := shared.query(b.Context(), `query($ns: String!) { serviceClass(namespace: $ns, name: $ns) { plans { name } } }`, map[string]any{"ns": name}, &answer)
		if err == nil && (answer.ServiceClass == nil || len(answer.ServiceClass.Plans) == 0) {
			err = errors.New("no plan yet")
		}
		return err
	})
}

// benchReady watches the objects of list's kind in namespace until one holds.
func benchReady[T client.Object](b *testing.B, list client.ObjectList, namespace string, holds func(T) bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	w, err := shared.kube.Watch(ctx, list, client.InNamespace(namespace))
	if err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if o, ok := e.Object.(T); ok && holds(o) {
			return
		}
	}
	b.Fatalf("no %T in %s got ready", *new(T), namespace)
}

// benchSend sends an event of application whose id is the application's name.
func benchSend(b *testing.B, application string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, shared.connector+"/"+application+"/events", strings.NewReader("{}"))
	if err != nil {
		b.Fatal(err)
	}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": application, "ce-source": "x", "ce-type": "order.created", "Content-Type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s", res.Status, answer)
	}
}

// benchLogged waits until the function of name has logged the event.
func benchLogged(b *testing.B, name string) {
	b.Helper()
	for {
		var answer struct{ FunctionLogs []eventmesh.LogLine }
		shared.mustQuery(b, `query($ns: String!) { functionLogs(namespace: $ns, name: $ns) { message } }`, map[string]any{"ns": name}, &answer)
		if len(answer.FunctionLogs) > 0 {
			return
		}
	}
}

// BenchmarkStart measures the program as a user starts it, built without the race detector: the time until it is ready on
// an empty directory and on one that it knows, its memory then, and what it uses of a core while nothing happens.
func BenchmarkStart(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "kyma-console")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	var fresh, again []time.Duration
	var memory, idle float64
	for i := 0; b.Loop(); i++ {
		dir := filepath.Join(b.TempDir(), strconv.Itoa(i))
		fresh = append(fresh, benchRun(b, binary, dir, nil))
		again = append(again, benchRun(b, binary, dir, func(pid int) {
			memory = max(memory, benchMemory(b, pid))
			if i == 0 {
				idle = benchIdle(b, pid, 20*time.Second)
			}
		}))
	}
	median(b, fresh, "fresh-ms")
	median(b, again, "restart-ms")
	b.ReportMetric(memory, "max-ready-MB")
	b.ReportMetric(idle, "idle-%-of-a-core")
}

// benchRun starts the program on dir, calls f when it is ready, stops it, and returns how long it took to be ready.
func benchRun(b *testing.B, binary, dir string, f func(pid int)) time.Duration {
	b.Helper()
	out := &output{}
	ready := out.contains("  Log ")
	cmd := exec.CommandContext(b.Context(), binary, freePorts(dir)...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	<-ready
	took := time.Since(start)
	if f != nil {
		f(cmd.Process.Pid)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

// benchMemory is the resident memory of a process in MB.
func benchMemory(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}

// benchIdle is what a process uses of a core during d, in percent.
func benchIdle(b *testing.B, pid int, d time.Duration) float64 {
	b.Helper()
	ticks := func() float64 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Skip(err)
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		user, err1 := strconv.ParseFloat(fields[11], 64)
		system, err2 := strconv.ParseFloat(fields[12], 64)
		if err := errors.Join(err1, err2); err != nil {
			b.Fatal(err)
		}
		return user + system
	}
	before := ticks()
	<-time.After(d) // what is measured is time passing
	const ticksPerSecond = 100
	return (ticks() - before) / ticksPerSecond / d.Seconds() * 100
}
