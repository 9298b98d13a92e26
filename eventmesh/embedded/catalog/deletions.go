package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// checkedDeletions keeps the controller from deleting a class or plan that its broker offers again. The controller
// decides on a deletion by its cache, asks the API server for instances, and then deletes by name. When a service is
// disabled and enabled again, the new list of the broker may be taken in between: the class or plan is lost until the
// next list, a day later, while its broker is Ready.
//
// So the object is read first, and deleted as it was read. When it is offered, and its broker is not going, the answer
// is a conflict, after which the controller looks again.
type checkedDeletions struct{ http.RoundTripper }

// offered is what matters of a class, plan or broker.
type offered struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		ServiceBrokerName        string `json:"serviceBrokerName"`
		ClusterServiceBrokerName string `json:"clusterServiceBrokerName"`
	} `json:"spec"`
	Status struct {
		RemovedFromBrokerCatalog bool `json:"removedFromBrokerCatalog"`
	} `json:"status"`
}

// RoundTrip implements [http.RoundTripper].
func (t checkedDeletions) RoundTrip(req *http.Request) (*http.Response, error) {
	collection, name := path.Split(req.URL.Path)
	scope, resource := path.Split(strings.TrimSuffix(collection, "/"))
	if req.Method != http.MethodDelete || !strings.HasPrefix(scope, "/apis/"+scv1.GroupName+"/") {
		return t.RoundTripper.RoundTrip(req)
	}
	switch resource {
	case "serviceclasses", "serviceplans", "clusterserviceclasses", "clusterserviceplans":
	default:
		return t.RoundTripper.RoundTrip(req)
	}
	o, err := t.read(req, req.URL.Path)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return t.RoundTripper.RoundTrip(req) // not there: the API server says so
	}
	if !o.Status.RemovedFromBrokerCatalog {
		at := scope + "servicebrokers/" + o.Spec.ServiceBrokerName
		if o.Spec.ClusterServiceBrokerName != "" {
			at = scope + "clusterservicebrokers/" + o.Spec.ClusterServiceBrokerName
		}
		broker, err := t.read(req, at)
		if err != nil {
			return nil, err
		}
		if broker != nil && broker.Metadata.DeletionTimestamp == nil {
			drain(req)
			return conflict(req, resource, name), nil
		}
	}
	return t.RoundTripper.RoundTrip(precise(req, o))
}

// read gets an object as it is now, nil if it does not exist, with the headers of req.
func (t checkedDeletions) read(req *http.Request, at string) (*offered, error) {
	get := req.Clone(req.Context())
	get.Method, get.Body, get.GetBody, get.ContentLength = http.MethodGet, nil, nil, 0
	get.Header.Del("Content-Type")
	get.URL.Path, get.URL.RawPath, get.URL.RawQuery = at, "", ""
	res, err := t.RoundTripper.RoundTrip(get)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", res.Status)
	}
	o := &offered{}
	if err == nil {
		err = json.Unmarshal(body, o)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s before it is deleted: %w", at, err)
	}
	return o, nil
}

// precise is the deletion req of no other than the version o. The controller never asks for anything special.
func precise(req *http.Request, o *offered) *http.Request {
	drain(req)
	options := metav1.DeleteOptions{
		TypeMeta:      metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"},
		Preconditions: &metav1.Preconditions{UID: &o.Metadata.UID, ResourceVersion: &o.Metadata.ResourceVersion},
	}
	body, err := json.Marshal(options)
	if err != nil {
		panic(err) // a plain struct
	}
	req = req.Clone(req.Context())
	req.Header.Set("Content-Type", "application/json")
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body = io.NopCloser(bytes.NewReader(body))
	return req
}

// conflict is the answer of an API server to a deletion of something that has changed.
func conflict(req *http.Request, resource, name string) *http.Response {
	err := apierrors.NewConflict(schema.GroupResource{Group: scv1.GroupName, Resource: resource}, name,
		fmt.Errorf("its broker offers it"))
	err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	body, encoding := json.Marshal(err.ErrStatus)
	if encoding != nil {
		panic(encoding) // a plain struct
	}
	return &http.Response{
		Status: "409 Conflict", StatusCode: http.StatusConflict, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}
}

// drain closes the body of a request that is not sent, as a round tripper must.
func drain(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing was written to it
	}
}
