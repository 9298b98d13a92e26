//go:build ignore

// Command gen copies the YAML of Knative Eventing that the program ships from the module cache, unchanged but for a
// header that says where it is from. Run it with go generate after changing the version in go.mod.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// files maps the folder here to the files in the module's config folder.
var files = map[string][]string{
	"crds": {
		"core/resources/broker.yaml", "core/resources/channel.yaml", "core/resources/eventpolicy.yaml",
		"core/resources/eventtype.yaml", "core/resources/subscription.yaml", "core/resources/trigger.yaml",
		"channels/in-memory-channel/resources/in-memory-channel.yaml",
	},
	"config": {
		"core/configmaps/default-broker-channel.yaml", "core/configmaps/default-broker.yaml",
		"core/configmaps/default-channel.yaml", "core/configmaps/features.yaml", "core/configmaps/sugar.yaml",
		"channels/in-memory-channel/configmaps/event-dispatcher.yaml",
	},
	"webhooks": {
		"core/webhooks/config-validation.yaml", "core/webhooks/defaulting.yaml", "core/webhooks/resource-validation.yaml",
	},
}

func main() {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "knative.dev/eventing").Output()
	if err != nil {
		log.Fatal(err)
	}
	version, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	for folder, sources := range files {
		if err := os.RemoveAll(folder); err != nil {
			log.Fatal(err)
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			log.Fatal(err)
		}
		for _, source := range sources {
			data, err := os.ReadFile(filepath.Join(dir, "config", source))
			if err != nil {
				log.Fatal(err)
			}
			if !bytes.Contains(data, []byte("Licensed under the Apache License, Version 2.0")) {
				log.Fatalf("%s: no licence header", source)
			}
			header := fmt.Sprintf("# Copied by gen.go from knative.dev/eventing %s, config/%s. Do not edit.\n", version, source)
			if err := os.WriteFile(filepath.Join(folder, filepath.Base(source)), append([]byte(header), data...), 0o644); err != nil {
				log.Fatal(err)
			}
		}
	}
}
