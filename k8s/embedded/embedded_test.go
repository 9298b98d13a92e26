package embedded

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestControlPlane walks through the life of a data directory: a first start, what is reachable, a second process,
// and a restart that keeps everything.
func TestControlPlane(t *testing.T) {
	// Too long for a unix socket, and with what means something else in a URL or in a list.
	dir := filepath.Join(t.TempDir(), "data, 100% mine #"+strings.Repeat("x", 100))
	plane := start(t, dir)
	kubeconfig, err := clientcmd.BuildConfigFromFlags("", plane.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	admin := kubernetes.NewForConfigOrDie(kubeconfig)

	t.Run("kubectl's user may do everything", func(t *testing.T) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
		if _, err := admin.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("without credentials there is no answer", func(t *testing.T) {
		anonymous := kubernetes.NewForConfigOrDie(rest.AnonymousClientConfig(kubeconfig))
		if _, err := anonymous.Discovery().ServerVersion(); !apierrors.IsUnauthorized(err) {
			t.Errorf("version without credentials: got %v, want Unauthorized", err)
		}
	})
	t.Run("files are the owner's alone", func(t *testing.T) {
		for _, file := range []string{"kubeconfig", "lock", "pki"} {
			checkPrivate(t, filepath.Join(dir, file))
		}
	})
	t.Run("etcd's clients do not print to the terminal", func(t *testing.T) {
		if etcdClientLogger == nil {
			t.Error("their logger has not been found: k8s.io/apiserver gave it another name")
		}
	})
	t.Run("owner references are followed", func(t *testing.T) {
		collectGarbage(t, admin)
	})
	t.Run("a deleted namespace goes", func(t *testing.T) {
		deleteNamespace(t, admin)
	})
	t.Run("a second process is refused", func(t *testing.T) {
		_, err := Acquire(dir)
		if err == nil || !strings.Contains(err.Error(), "in use by process") {
			t.Errorf("second lock: got %v, want the holder named", err)
		}
	})

	if err := plane.Stop(); err != nil {
		t.Fatal(err)
	}
	plane = start(t, dir)
	again, err := clientcmd.BuildConfigFromFlags("", plane.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if again.Host != kubeconfig.Host {
		t.Errorf("address after restart: got %s, want %s as before", again.Host, kubeconfig.Host)
	}
	if _, err := kubernetes.NewForConfigOrDie(again).CoreV1().Namespaces().Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("namespace after restart: %v", err)
	}
}

func start(t *testing.T, dir string) *ControlPlane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	plane, err := Start(ctx, Options{DataDir: dir, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	return plane
}

func checkPrivate(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, want none for group and others", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func collectGarbage(t *testing.T, c kubernetes.Interface) {
	maps := c.CoreV1().ConfigMaps("kept")
	owner, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	child := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "child", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID,
	}}}}
	if _, err := maps.Create(t.Context(), child, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(t.Context(), owner.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitGone(t, func(ctx context.Context) error {
		_, err := maps.Get(ctx, child.Name, metav1.GetOptions{})
		return err
	})
}

func deleteNamespace(t *testing.T, c kubernetes.Interface) {
	namespaces := c.CoreV1().Namespaces()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "deleted"}}
	if _, err := namespaces.Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := namespaces.Delete(t.Context(), ns.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitGone(t, func(ctx context.Context) error {
		_, err := namespaces.Get(ctx, ns.Name, metav1.GetOptions{})
		return err
	})
}

// waitGone returns when get says NotFound.
func waitGone(t *testing.T, get func(context.Context) error) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) { return apierrors.IsNotFound(get(ctx)), nil })
	if err != nil {
		t.Errorf("still there: %v", err)
	}
}
