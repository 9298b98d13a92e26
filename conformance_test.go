package main

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	"github.com/kyma-eventmesh/kyma-console/resolvers"
)

// conformanceDir has the clients that the server is asked with, in JavaScript, because that is what they are written in.
const conformanceDir = "web/conformance"

// TestConformance lets those who have written clients and specifications say whether the server is one.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages of npm")
	}
	installConformance(t)
	environment := append(os.Environ(),
		"CONSOLE_URL="+shared.console,
		"INIT_TIMEOUT_MS="+strconv.FormatInt(resolvers.DefaultLimits().InitTimeout.Milliseconds(), 10),
		"TOKEN_ADMIN="+conformanceAdmin(t),
		"TOKEN_NOBODY="+accessToken(t, "default", "conformance-nobody"),
	)
	for _, script := range []string{"http", "clients", "tokens", "violations"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			runConformance(t, script+".mjs", environment)
		})
	}
}

// installConformance installs the packages that the lock file names, unless they are there.
func installConformance(t *testing.T) {
	t.Helper()
	wanted, err := os.Stat(filepath.Join(conformanceDir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	installed, err := os.Stat(filepath.Join(conformanceDir, "node_modules", ".package-lock.json"))
	if err == nil && !installed.ModTime().Before(wanted.ModTime()) {
		return
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci")
	cmd.Dir = conformanceDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci (make tools installs npm): %v\n%s", err, out)
	}
}

// conformanceAdmin returns the token of a service account that may do everything.
func conformanceAdmin(t *testing.T) string {
	t.Helper()
	const name = "conformance-admin"
	token := accessToken(t, "default", name)
	createAll(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}},
	})
	accessGiven(t, "system:serviceaccount:default:"+name, authorizationv1.ResourceAttributes{Verb: "delete", Group: appv1.GroupVersion.Group, Resource: "applications"})
	return token
}

// runConformance runs a script, whose checks become subtests.
func runConformance(t *testing.T, script string, environment []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Dir, cmd.Env = conformanceDir, environment
	out, err := cmd.CombinedOutput()
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		verdict, name, _ := strings.Cut(lines.Text(), " ")
		if verdict != "PASS" && verdict != "FAIL" {
			continue
		}
		name, reason, _ := strings.Cut(name, " :: ")
		t.Run(strings.TrimSpace(name), func(t *testing.T) {
			if verdict == "FAIL" {
				t.Error(reason)
			}
		})
	}
	if err != nil || testing.Verbose() {
		t.Logf("node %s: %v\n%s", script, err, out)
	}
	if err != nil {
		t.Fail()
	}
}
