package eventmesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

const (
	// fieldOwner owns, for server-side apply, what registration writes.
	fieldOwner = client.FieldOwner("kyma-console-registry")
	// managedByLabel, set to fieldOwner, marks the ConfigMaps that registration wrote itself.
	managedByLabel = "app.kubernetes.io/managed-by"
	// orphanAge is how old a document without a service must be before it counts as left behind. A registration writes
	// the document first, so that a younger one may be about to get its service.
	orphanAge = time.Minute
	// settleTime is how long a write waits for the cache that its client reads from to show it.
	settleTime = 2 * time.Second
)

// RegisterService adds the service d to the application and returns its new id, a UUID.
//
// The service's documents are written first, to a ConfigMap of the IntegrationNamespace that the Application owns, and
// then the service, in one patch that a concurrent registration cannot undo or be undone by. A crash between the two
// leaves a document that nobody refers to, and that the next registration for the application removes.
//
// Errors are of the Kubernetes API: Invalid says what is wrong with d, NotFound that there is no such application,
// AlreadyExists that d.Identifier is taken, and by which id.
func RegisterService(ctx context.Context, c client.Client, application string, d ServiceDetails) (id string, err error) {
	app, err := checkedApplication(ctx, c, application, "", d)
	if err != nil {
		return "", err
	}
	if err := removeOrphans(ctx, c, app); err != nil {
		return "", err
	}
	id = uuid.NewString()
	if err := applyDocuments(ctx, c, app, id, d.documents()); err != nil {
		return "", err
	}
	if err := addService(ctx, c, application, d.service(application, id)); err != nil {
		// The caller may have given up, which is no reason to leave the document behind.
		ctx := context.WithoutCancel(ctx)
		return "", errors.Join(err, deleteDocuments(ctx, c, application, id))
	}
	settle(ctx, c, application, func(app *appv1.Application) bool { return app.Service(id) != nil })
	return id, nil
}

// CheckRegistration returns what RegisterService would make of d, under an id that is made up, or its error. The API server is
// asked for each write as it would be, but nothing is written.
func CheckRegistration(ctx context.Context, c client.Client, application string, d ServiceDetails) (*appv1.Service, error) {
	c = client.NewDryRunClient(c)
	app, err := checkedApplication(ctx, c, application, "", d)
	if err != nil {
		return nil, err
	}
	service := d.service(application, uuid.NewString())
	// The namespace of the documents may have yet to come, and was not made now.
	err = applyDocuments(ctx, c, app, service.ID, d.documents())
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	return &service, addService(ctx, c, application, service)
}

// addService adds a service to the application, whose identifier must be free.
func addService(ctx context.Context, c client.Client, application string, service appv1.Service) error {
	return patchServices(ctx, c, application, func(app *appv1.Application) ([]jsonPatch, error) {
		if err := identifierFree(app, service.Identifier, service.ID); err != nil {
			return nil, err
		}
		return []jsonPatch{{Op: "add", Path: "/spec/services/-", Value: service}}, nil
	})
}

// UpdateService replaces the service id of the application by d. Its identifier stays: d.Identifier is empty or the same.
// Errors are those of RegisterService; NotFound also when the application has no such service.
func UpdateService(ctx context.Context, c client.Client, application, id string, d ServiceDetails) error {
	app, err := checkedApplication(ctx, c, application, id, d)
	if err != nil {
		return err
	}
	documents := d.documents()
	// A document appears before the service that it describes and disappears after it.
	if len(documents) > 0 {
		if err := applyDocuments(ctx, c, app, id, documents); err != nil {
			return err
		}
	}
	var want appv1.Service
	err = patchServices(ctx, c, application, func(app *appv1.Application) ([]jsonPatch, error) {
		i := slices.IndexFunc(app.Spec.Services, func(s appv1.Service) bool { return s.ID == id })
		if i < 0 {
			return nil, serviceNotFound(id)
		}
		want = d.service(application, id)
		want.Identifier = app.Spec.Services[i].Identifier
		// What registration does not know of, another writer's tags for instance, stays.
		want.Tags = app.Spec.Services[i].Tags
		want.AuthCreateParameterSchema = app.Spec.Services[i].AuthCreateParameterSchema
		return []jsonPatch{{Op: "replace", Path: fmt.Sprintf("/spec/services/%d", i), Value: want}}, nil
	})
	if err != nil {
		return err
	}
	if len(documents) == 0 {
		if err := deleteDocuments(ctx, c, application, id); err != nil {
			return err
		}
	}
	settle(ctx, c, application, func(app *appv1.Application) bool {
		s := app.Service(id)
		return s == nil || equality.Semantic.DeepEqual(*s, want)
	})
	return nil
}

// UnregisterService removes the service id from the application, and then its documents. When there is no such service
// the error is NotFound, after documents that an interrupted call left behind are removed.
func UnregisterService(ctx context.Context, c client.Client, application, id string) error {
	if err := unregister(ctx, c, application, id); err != nil {
		return err
	}
	settle(ctx, c, application, func(app *appv1.Application) bool { return app.Service(id) == nil })
	return nil
}

// CheckUnregistration returns the error that UnregisterService would. The API server is asked for each write as it would be,
// but nothing is written.
func CheckUnregistration(ctx context.Context, c client.Client, application, id string) error {
	return unregister(ctx, client.NewDryRunClient(c), application, id)
}

func unregister(ctx context.Context, c client.Client, application, id string) error {
	err := patchServices(ctx, c, application, func(app *appv1.Application) ([]jsonPatch, error) {
		i := slices.IndexFunc(app.Spec.Services, func(s appv1.Service) bool { return s.ID == id })
		if i < 0 {
			return nil, serviceNotFound(id)
		}
		return []jsonPatch{{Op: "remove", Path: fmt.Sprintf("/spec/services/%d", i)}}, nil
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return errors.Join(err, deleteDocuments(ctx, c, application, id))
}

// GetService returns the service id of the application as it was registered. The error is NotFound when there is no such
// application or service.
func GetService(ctx context.Context, r client.Reader, application, id string) (ServiceDetails, error) {
	app, err := getApplication(ctx, r, application)
	if err != nil {
		return ServiceDetails{}, err
	}
	s := app.Service(id)
	if s == nil {
		return ServiceDetails{}, serviceNotFound(id)
	}
	documents := map[string]string{}
	configMaps, err := documentsOf(ctx, r, id)
	if err != nil {
		return ServiceDetails{}, err
	}
	for _, cm := range configMaps {
		maps.Copy(documents, cm.Data)
	}
	return serviceDetails(s, documents), nil
}

// ListServices returns the services that the application offers, in the order of their registration. The error is
// NotFound when there is no such application.
func ListServices(ctx context.Context, r client.Reader, application string) ([]appv1.Service, error) {
	app, err := getApplication(ctx, r, application)
	if err != nil {
		return nil, err
	}
	return app.Spec.Services, nil
}

// EventTypes returns the event types that the AsyncAPI document of the service describes, nil when it has none.
func EventTypes(ctx context.Context, r client.Reader, serviceID string) ([]EventType, error) {
	configMaps, err := documentsOf(ctx, r, serviceID)
	if err != nil {
		return nil, err
	}
	for _, cm := range configMaps {
		for _, key := range []string{asyncAPIJSONKey, asyncAPIYAMLKey} {
			if content, ok := cm.Data[key]; ok {
				events, err := ParseAsyncAPI([]byte(content))
				if err != nil {
					return nil, fmt.Errorf("service %s: %w", serviceID, err)
				}
				return events, nil
			}
		}
	}
	return nil, nil
}

// checkedApplication returns the application if d may be registered there: as a new service when id is empty.
func checkedApplication(ctx context.Context, c client.Client, application, id string, d ServiceDetails) (*appv1.Application, error) {
	errs := d.validate()
	app, err := getApplication(ctx, c, application)
	if err != nil {
		return nil, err
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(appv1.GroupVersion.WithKind("Service").GroupKind(), d.Name, errs)
	}
	if id == "" {
		return app, identifierFree(app, d.Identifier, "")
	}
	s := app.Service(id)
	switch {
	case s == nil:
		return nil, serviceNotFound(id)
	case d.Identifier != "" && d.Identifier != s.Identifier:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("The identifier of service %s is %q and cannot be changed", id, s.Identifier))
	}
	return app, nil
}

// identifierFree says that no other service than id of app has that identifier.
func identifierFree(app *appv1.Application, identifier, id string) error {
	for _, s := range app.Spec.Services {
		if identifier != "" && s.Identifier == identifier && s.ID != id {
			err := apierrors.NewAlreadyExists(appv1.GroupVersion.WithResource("services").GroupResource(), identifier)
			return withMessage(err, "Service with Identifier %s already exists: its id is %s", identifier, s.ID)
		}
	}
	return nil
}

func getApplication(ctx context.Context, r client.Reader, name string) (*appv1.Application, error) {
	notFound := apierrors.NewNotFound(appv1.GroupVersion.WithResource("applications").GroupResource(), name)
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, withMessage(notFound, "Application %q does not exist", name)
	}
	var app appv1.Application
	if err := r.Get(ctx, client.ObjectKey{Name: name}, &app); apierrors.IsNotFound(err) {
		return nil, withMessage(notFound, "Application %q does not exist", name)
	} else if err != nil {
		return nil, fmt.Errorf("reading Application %s: %w", name, err)
	}
	return &app, nil
}

func serviceNotFound(id string) error {
	err := apierrors.NewNotFound(appv1.GroupVersion.WithResource("services").GroupResource(), id)
	return withMessage(err, "Service with ID %s does not exist", id)
}

// withMessage is err, of the same kind, in words for the one who registers.
func withMessage(err *apierrors.StatusError, format string, args ...any) error {
	err.ErrStatus.Message = fmt.Sprintf(format, args...)
	return err
}

// jsonPatch is one operation of RFC 6902.
type jsonPatch struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patchServices changes the services of the application by the operations that change finds for its latest state. They
// are applied to that state or not at all; it is asked again when another write came between. Fields that this program
// does not know are left alone, as they would not be by an update of the whole object.
func patchServices(ctx context.Context, c client.Client, name string, change func(*appv1.Application) ([]jsonPatch, error)) error {
	// Of many at once only one wins each round: some six seconds are enough for dozens.
	backoff := wait.Backoff{Duration: 5 * time.Millisecond, Factor: 1.1, Jitter: 0.5, Steps: 50}
	return retry.RetryOnConflict(backoff, func() error {
		app, err := getApplication(ctx, c, name)
		if err != nil {
			return err
		}
		operations, err := change(app)
		if err != nil {
			return err
		}
		patch, err := lockedPatch(app, operations)
		if err != nil {
			return err
		}
		err = c.Patch(ctx, &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}}, patch, fieldOwner)
		if err != nil {
			return fmt.Errorf("changing the services of Application %s: %w", name, err)
		}
		return nil
	})
}

// lockedPatch is a patch of operations that conflicts unless the server's app is this one.
func lockedPatch(app *appv1.Application, operations []jsonPatch) (client.Patch, error) {
	if len(app.Spec.Services) == 0 && len(operations) == 1 && operations[0].Op == "add" {
		// There may be no list to add to, nor a spec, which a JSON patch cannot say.
		data, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": app.ResourceVersion},
			"spec":     map[string]any{"services": []any{operations[0].Value}},
		})
		return client.RawPatch(types.MergePatchType, data), err
	}
	lock := jsonPatch{Op: "replace", Path: "/metadata/resourceVersion", Value: app.ResourceVersion}
	data, err := json.Marshal(append([]jsonPatch{lock}, operations...))
	return client.RawPatch(types.JSONPatchType, data), err
}

// settle waits until the client's cache shows a write, so that a caller who asks next is not told the past. The write is
// done in any case, which is why giving up is no error.
func settle(ctx context.Context, r client.Reader, application string, shows func(*appv1.Application) bool) {
	_ = wait.PollUntilContextTimeout(ctx, 2*time.Millisecond, settleTime, true, func(ctx context.Context) (bool, error) {
		app, err := getApplication(ctx, r, application)
		return err != nil || shows(app), nil
	})
}

// documentName is the name of the ConfigMap with the documents of the service id.
func documentName(id string) string { return "application-service-" + id }

// applyDocuments writes the documents of the service id.
func applyDocuments(ctx context.Context, c client.Client, app *appv1.Application, id string, documents map[string]string) error {
	configMap := corev1ac.ConfigMap(documentName(id), IntegrationNamespace).
		WithLabels(map[string]string{
			ServiceIDLabel:       id,
			ApplicationNameLabel: app.Name,
			managedByLabel:       string(fieldOwner),
		}).
		WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(appv1.GroupVersion.String()).WithKind("Application").WithName(app.Name).WithUID(app.UID)).
		WithData(documents)
	err := c.Apply(ctx, configMap, fieldOwner, client.ForceOwnership)
	if apierrors.IsNotFound(err) {
		// The namespace comes with the first Application; this may be just before.
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: IntegrationNamespace}}
		if err := c.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating the namespace of the documents: %w", err)
		}
		err = c.Apply(ctx, configMap, fieldOwner, client.ForceOwnership)
	}
	if err != nil {
		return fmt.Errorf("writing the documents of service %s: %w", id, err)
	}
	return nil
}

// deleteDocuments removes the documents of the service id of the application. It asks the server by label, as a cache
// may not know yet what was just written.
func deleteDocuments(ctx context.Context, c client.Client, application, id string) error {
	if len(validation.IsValidLabelValue(id)) > 0 || id == "" {
		return nil // No document can be labelled so.
	}
	err := c.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace(IntegrationNamespace),
		client.MatchingLabels{ServiceIDLabel: id, ApplicationNameLabel: application})
	if err != nil {
		return fmt.Errorf("removing the documents of service %s: %w", id, err)
	}
	return nil
}

// removeOrphans removes documents that an interrupted registration for app left behind.
func removeOrphans(ctx context.Context, c client.Client, app *appv1.Application) error {
	var list corev1.ConfigMapList
	err := c.List(ctx, &list, client.InNamespace(IntegrationNamespace),
		client.MatchingLabels{ApplicationNameLabel: app.Name, managedByLabel: string(fieldOwner)})
	if err != nil {
		return fmt.Errorf("listing documents: %w", err)
	}
	for i := range list.Items {
		cm := &list.Items[i]
		if app.Service(cm.Labels[ServiceIDLabel]) != nil || time.Since(cm.CreationTimestamp.Time) < orphanAge {
			continue
		}
		err := c.Delete(ctx, cm, client.Preconditions{UID: &cm.UID, ResourceVersion: &cm.ResourceVersion})
		if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("removing the document %s that nothing refers to: %w", cm.Name, err)
		}
	}
	return nil
}

// documentsOf returns the ConfigMaps with documents of the service id, in the order of their names.
func documentsOf(ctx context.Context, r client.Reader, id string) ([]corev1.ConfigMap, error) {
	if len(validation.IsValidLabelValue(id)) > 0 || id == "" {
		return nil, nil // No document can be labelled so.
	}
	var list corev1.ConfigMapList
	if err := r.List(ctx, &list, client.InNamespace(IntegrationNamespace), client.MatchingLabels{ServiceIDLabel: id}); err != nil {
		return nil, fmt.Errorf("listing the documents of service %s: %w", id, err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.ConfigMap) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}
