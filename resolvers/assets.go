package resolvers

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

// clusterAssetGroup is the documentation for every namespace of the class or plan of this name. It is nil when there is
// none, and where Rafter is not installed.
func (r *Resolver) clusterAssetGroup(ctx context.Context, name string) (*rafterv1.ClusterAssetGroup, error) {
	return ifInstalled(orNull(get[rafterv1.ClusterAssetGroup](ctx, r.Cluster.Client(ctx), "", name)))
}

// assetGroup is the documentation of the class or plan of this name in its namespace, nil like that of clusterAssetGroup.
func (r *Resolver) assetGroup(ctx context.Context, namespace, name string) (*rafterv1.AssetGroup, error) {
	return ifInstalled(orNull(get[rafterv1.AssetGroup](ctx, r.Cluster.Client(ctx), namespace, name)))
}

// groupOf is the index of assets by their group.
func groupOf(o client.Object) []string {
	return []string{o.GetLabels()[rafterv1.AssetGroupLabel]}
}

// clusterAssetsOf are the ClusterAssets of a group, sorted by name. Rafter must be installed.
func (r *Resolver) clusterAssetsOf(ctx context.Context, group string) ([]rafterv1.ClusterAsset, error) {
	if err := r.Cluster.Index(ctx, &rafterv1.ClusterAsset{}, indexAssetGroup, groupOf); err != nil {
		return nil, err
	}
	var list rafterv1.ClusterAssetList
	err := r.Cluster.Client(ctx).List(ctx, &list, client.MatchingFields{indexAssetGroup: group})
	return byName(list.Items), err
}

// ofTypes keeps the assets that are of one of types; none means all.
func ofTypes[T any, P object[T]](assets []T, types []string) []T {
	return slices.DeleteFunc(assets, func(a T) bool {
		return len(types) > 0 && !slices.Contains(types, P(&a).GetLabels()[rafterv1.TypeLabel])
	})
}

// groupFields answers the fields that groups of both scopes have alike.
type groupFields[T any, P object[T]] struct {
	spec func(*T) *rafterv1.AssetGroupSpec
}

func (groupFields[T, P]) GroupName(_ context.Context, g *T) (string, error) {
	return P(g).GetLabels()[rafterv1.GroupNameLabel], nil
}

func (f groupFields[T, P]) DisplayName(_ context.Context, g *T) (string, error) {
	return f.spec(g).DisplayName, nil
}

func (f groupFields[T, P]) Description(_ context.Context, g *T) (string, error) {
	return f.spec(g).Description, nil
}

type assetGroupResolver struct {
	*Resolver
	groupFields[rafterv1.AssetGroup, *rafterv1.AssetGroup]
}

// AssetGroup returns the resolver of AssetGroups.
func (r *Resolver) AssetGroup() graph.AssetGroupResolver {
	out := assetGroupResolver{Resolver: r}
	out.spec = func(g *rafterv1.AssetGroup) *rafterv1.AssetGroupSpec { return &g.Spec }
	return out
}

func (r assetGroupResolver) Assets(ctx context.Context, g *rafterv1.AssetGroup, types []string) ([]rafterv1.Asset, error) {
	if err := r.Cluster.Index(ctx, &rafterv1.Asset{}, indexAssetGroup, groupOf); err != nil {
		return nil, err
	}
	var list rafterv1.AssetList
	err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(g.Namespace), client.MatchingFields{indexAssetGroup: g.Name})
	return ofTypes(byName(list.Items), types), err
}

type clusterAssetGroupResolver struct {
	*Resolver
	groupFields[rafterv1.ClusterAssetGroup, *rafterv1.ClusterAssetGroup]
}

// ClusterAssetGroup returns the resolver of ClusterAssetGroups.
func (r *Resolver) ClusterAssetGroup() graph.ClusterAssetGroupResolver {
	out := clusterAssetGroupResolver{Resolver: r}
	out.spec = func(g *rafterv1.ClusterAssetGroup) *rafterv1.AssetGroupSpec { return &g.Spec }
	return out
}

func (r clusterAssetGroupResolver) Assets(ctx context.Context, g *rafterv1.ClusterAssetGroup, types []string) ([]rafterv1.ClusterAsset, error) {
	assets, err := r.clusterAssetsOf(ctx, g.Name)
	return ofTypes(assets, types), err
}

type assetGroupStatusResolver struct{}

// AssetGroupStatus returns the resolver of the status of groups.
func (r *Resolver) AssetGroupStatus() graph.AssetGroupStatusResolver {
	return assetGroupStatusResolver{}
}

func (assetGroupStatusResolver) Phase(_ context.Context, s *rafterv1.AssetGroupStatus) (graph.AssetGroupPhaseType, error) {
	return graph.AssetGroupPhaseType(phase(s.Phase)), nil
}

// assetFields answers the fields that assets of both scopes have alike.
type assetFields[T any, P object[T]] struct {
	spec   func(*T) *rafterv1.AssetSpec
	status func(*T) *rafterv1.AssetStatus
}

func (f assetFields[T, P]) Parameters(_ context.Context, a *T) (map[string]any, error) {
	return objectOf(f.spec(a).Parameters), nil
}

func (assetFields[T, P]) Type(_ context.Context, a *T) (string, error) {
	return P(a).GetLabels()[rafterv1.TypeLabel], nil
}

func (f assetFields[T, P]) DisplayName(_ context.Context, a *T) (*string, error) {
	return optional(f.spec(a).DisplayName), nil
}

func (f assetFields[T, P]) Files(_ context.Context, a *T, filterExtensions []string) ([]graph.File, error) {
	return files(f.status(a).AssetRef, filterExtensions), nil
}

// Asset returns the resolver of Assets.
func (r *Resolver) Asset() graph.AssetResolver {
	return assetFields[rafterv1.Asset, *rafterv1.Asset]{
		spec:   func(a *rafterv1.Asset) *rafterv1.AssetSpec { return &a.Spec },
		status: func(a *rafterv1.Asset) *rafterv1.AssetStatus { return &a.Status },
	}
}

// ClusterAsset returns the resolver of ClusterAssets.
func (r *Resolver) ClusterAsset() graph.ClusterAssetResolver {
	return assetFields[rafterv1.ClusterAsset, *rafterv1.ClusterAsset]{
		spec:   func(a *rafterv1.ClusterAsset) *rafterv1.AssetSpec { return &a.Spec },
		status: func(a *rafterv1.ClusterAsset) *rafterv1.AssetStatus { return &a.Status },
	}
}

type assetStatusResolver struct{}

// AssetStatus returns the resolver of the status of assets.
func (r *Resolver) AssetStatus() graph.AssetStatusResolver { return assetStatusResolver{} }

func (assetStatusResolver) Phase(_ context.Context, s *rafterv1.AssetStatus) (graph.AssetPhaseType, error) {
	return phase(s.Phase), nil
}

// phase is the API's word for a phase. What Rafter has not looked at yet will be looked at.
func phase(p rafterv1.Phase) graph.AssetPhaseType {
	switch p {
	case rafterv1.PhaseReady:
		return graph.AssetPhaseTypeReady
	case rafterv1.PhasePending, "":
		return graph.AssetPhaseTypePending
	default:
		return graph.AssetPhaseTypeFailed
	}
}

// files are the files of an asset whose names end in one of extensions (none means all), sorted by URL.
func files(ref rafterv1.AssetStatusRef, extensions []string) []graph.File {
	files := []graph.File{}
	for _, f := range ref.Files {
		wanted := func(extension string) bool { return strings.HasSuffix(f.Name, "."+strings.TrimPrefix(extension, ".")) }
		if len(extensions) == 0 || slices.ContainsFunc(extensions, wanted) {
			files = append(files, graph.File{URL: fileURL(ref.BaseURL, f.Name), Metadata: objectOf(f.Metadata)})
		}
	}
	slices.SortFunc(files, func(a, b graph.File) int { return cmp.Compare(a.URL, b.URL) })
	return files
}

// objectOf is a JSON object, {} for anything else.
func objectOf(raw *runtime.RawExtension) map[string]any {
	if object := metadataOf(raw); object != nil {
		return object
	}
	return map[string]any{}
}

// fileURL escapes what a file may be called but a path may not.
func fileURL(base, name string) string {
	return strings.TrimSuffix(base, "/") + "/" + (&url.URL{Path: strings.TrimPrefix(name, "/")}).EscapedPath()
}
