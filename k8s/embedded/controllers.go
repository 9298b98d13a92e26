package embedded

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	cacheddiscovery "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

// discoverySync is how often the garbage collector looks for kinds it does not watch yet.
const discoverySync = 30 * time.Second

// newControllers makes the two controllers of kube-controller-manager without which an API server is not usable:
// owner references need the garbage collector, and a deleted namespace stays Terminating without its controller.
// Those for pods, nodes and volumes have nothing to do here. The returned function runs them until ctx ends.
func newControllers(ctx context.Context, config *rest.Config) (run func(context.Context), err error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	shared := informers.NewSharedInformerFactory(kube, 0)
	metaShared := metadatainformer.NewSharedInformerFactory(meta, 0)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cacheddiscovery.NewMemCacheClient(kube.Discovery()))
	started := make(chan struct{})
	gc, err := garbagecollector.NewGarbageCollector(ctx, kube, meta, mapper, garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(shared, metaShared), started)
	if err != nil {
		return nil, err
	}
	namespaces := namespace.NewNamespaceController(ctx, kube, meta, kube.Discovery().ServerPreferredNamespacedResources,
		shared.Core().V1().Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)

	return func(ctx context.Context) {
		shared.Start(ctx.Done())
		metaShared.Start(ctx.Done())
		close(started)
		var wg sync.WaitGroup
		wg.Go(func() { gc.Run(ctx, 4, discoverySync) })
		wg.Go(func() { gc.Sync(ctx, kube.Discovery(), discoverySync) })
		wg.Go(func() { namespaces.Run(ctx, 4) })
		wg.Wait()
		shared.Shutdown()
		metaShared.Shutdown()
	}, nil
}
