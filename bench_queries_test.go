package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	benchConnections = 16
	benchRuns        = 3
	benchTime        = 3 * time.Second // of one run
)

// load is what one run of requests gave.
type load struct {
	perSecond float64
	p99       time.Duration
}

// BenchmarkAPI compares queries with the API server's own answer for the same objects, in the same run: requests for each
// second and the slowest hundredth, by 16 connections. It writes docs/benchmarks.md.
func BenchmarkAPI(b *testing.B) {
	e := startEstate(b)
	k8sAPI, console := e.restClient(b), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConnections}}
	const apps, triggers = "/apis/applicationconnector.kyma-project.io/v1alpha1/applications", "/apis/eventing.knative.dev/v1/namespaces/team-007/triggers"
	rows := []struct {
		name, query, rest string
		wanted            float64
	}{
		{"500 applications: name, description, labels, status", `{ applications { name description labels status } }`, apps, 12},
		{"200 namespaces: name, labels, status", `{ namespaces { name labels status } }`, "/api/v1/namespaces", 6},
		{"200 namespaces with podsCount, healthyPodsCount, applicationsCount", `{ namespaces { name labels status podsCount healthyPodsCount applicationsCount } }`, "/api/v1/namespaces", 4},
		{"10 triggers of a namespace", `{ triggers(namespace: "team-007") { name spec { broker filter port path subscriber { ref { name } } } status { status reason } } }`, triggers, 4},
		{"one application with its services", `{ application(name: "application-042") { name description labels status services { id displayName longDescription entries { type } } } }`, apps + "/application-042", 5},
	}
	var table strings.Builder
	table.WriteString("| query | ratio | wanted | without remembered answers | requests/s | REST requests/s | p99 | REST p99 |\n|---|---|---|---|---|---|---|---|\n")
	for range b.N {
		for _, row := range rows {
			body, err := json.Marshal(map[string]string{"query": row.query})
			if err != nil {
				b.Fatal(err)
			}
			graphql, plain := benchPost(console, e.console+"/graphql", body), benchPost(console, e.plain+"/graphql", body)
			list := benchGet(k8sAPI, e.config.Host+row.rest)
			for _, try := range []func() error{graphql, plain, list} { // warm, and wrong answers found out
				if err := try(); err != nil {
					b.Fatal(err)
				}
			}
			var g, p, r []load
			for range benchRuns {
				g, p, r = append(g, benchLoad(b, graphql)), append(p, benchLoad(b, plain)), append(r, benchLoad(b, list))
			}
			own, uncached, theirs := medianLoad(g), medianLoad(p), medianLoad(r)
			fmt.Fprintf(&table, "| %s | **%.1f×** | ≥ %.0f× | %.1f× | %.0f | %.0f | %s | %s |\n", row.name, own.perSecond/theirs.perSecond, row.wanted,
				uncached.perSecond/theirs.perSecond, own.perSecond, theirs.perSecond, own.p99.Round(10*time.Microsecond), theirs.p99.Round(10*time.Microsecond))
			b.ReportMetric(own.perSecond/theirs.perSecond, strings.Fields(row.name)[0]+strings.Fields(row.name)[1]+"-x-of-REST")
		}
	}
	fmt.Print(table.String())
	writeBenchmarks(b, "queries", table.String())
}

func benchPost(c *http.Client, url string, body []byte) func() error {
	return func() error {
		res, err := c.Post(url, "application/json", bytes.NewReader(body))
		return benchDrain(res, err, `"errors"`)
	}
}

func benchGet(c *http.Client, url string) func() error {
	return func() error {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Accept", "application/json")
		res, err := c.Do(req)
		return benchDrain(res, err, "")
	}
}

// benchDrain reads an answer, which must be a good one that does not begin with what is not wanted.
func benchDrain(res *http.Response, err error, unwanted string) error {
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var head [64]byte
	n, err := io.ReadFull(res.Body, head[:])
	if err != nil && n == 0 {
		return err
	}
	if res.StatusCode != http.StatusOK || (unwanted != "" && bytes.Contains(head[:n], []byte(unwanted))) {
		return fmt.Errorf("%s: %s", res.Status, head[:n])
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// benchLoad has all connections ask as fast as they can.
func benchLoad(b *testing.B, ask func() error) load {
	b.Helper()
	times := make([][]time.Duration, benchConnections)
	var g errgroup.Group
	start := time.Now()
	for i := range times {
		g.Go(func() error {
			for time.Since(start) < benchTime {
				asked := time.Now()
				if err := ask(); err != nil {
					return err
				}
				times[i] = append(times[i], time.Since(asked))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	all := slices.Sorted(slices.Values(slices.Concat(times...)))
	return load{perSecond: float64(len(all)) / took.Seconds(), p99: all[len(all)*99/100]}
}

// medianLoad takes the median of each figure.
func medianLoad(runs []load) load {
	var rates []float64
	var p99s []time.Duration
	for _, r := range runs {
		rates, p99s = append(rates, r.perSecond), append(p99s, r.p99)
	}
	slices.Sort(rates)
	slices.Sort(p99s)
	return load{rates[len(rates)/2], p99s[len(p99s)/2]}
}

// writeBenchmarks replaces the part of docs/benchmarks.md between the marks of that name.
func writeBenchmarks(b *testing.B, name, text string) {
	b.Helper()
	const file = "docs/benchmarks.md"
	raw, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(raw), "<!-- "+name+" -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- /"+name+" -->\n")
	if !ok1 || !ok2 {
		b.Fatalf("%s has no marks for %s", file, name)
	}
	marked := before + "<!-- " + name + " -->\n" + text + "<!-- /" + name + " -->\n" + after
	if err := os.WriteFile(file, []byte(marked), 0o644); err != nil {
		b.Fatal(err)
	}
}
