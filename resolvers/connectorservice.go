package resolvers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

const (
	// connectorServiceTimeout is how long Kyma's Connector Service may take to answer.
	connectorServiceTimeout = 10 * time.Second
	// maxTokenAnswer is the largest answer of the Connector Service that is read, in bytes. A usual one has some hundred.
	maxTokenAnswer = 64 << 10
)

// ConnectorService reviews the right by itself, for what is asked is no object of the cluster.
func (r queryResolver) ConnectorService(ctx context.Context, application string) (*graph.ConnectorService, error) {
	if err := r.Cluster.Review(ctx, "create", &appv1.Application{}); err != nil {
		return nil, err
	}
	if problems := validation.IsDNS1123Subdomain(application); len(problems) > 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("application %q: %s", application, strings.Join(problems, ", ")))
	}
	if r.Resolver.ConnectorService == "" {
		return nil, fmt.Errorf("%w Name the Connector Service with the server's flag --connector-service", moduleDisabled("connectorservice"))
	}
	k8s.Uncacheable(ctx) // each answer is a new token
	url, err := tokenURL(ctx, r.Resolver.ConnectorService, application)
	if err != nil {
		// Where the service is and what it says is not the client's to know.
		r.log().WarnContext(ctx, "asking the Connector Service for a token", "application", application, "error", err)
		return nil, unavailable("the Connector Service")
	}
	return &graph.ConnectorService{URL: url}, nil
}

// tokenURL has the Connector Service at base make a token for an application, and returns the URL with it.
func tokenURL(ctx context.Context, base, application string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectorServiceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(base, "/")+"/v1/applications/tokens", http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set("Application", application)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s", resp.Status)
	}
	var answer struct {
		URL string `json:"url"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxTokenAnswer)).Decode(&answer); err != nil {
		return "", fmt.Errorf("decoding the answer: %w", err)
	}
	if answer.URL == "" {
		return "", errors.New("the answer has no url")
	}
	return answer.URL, nil
}
