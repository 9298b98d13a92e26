package k8s

import (
	"encoding/json"
	"fmt"

	"k8s.io/apiserver/pkg/authentication/user"
)

// identified is a user whose identity has been worked out, as it is once for each request: every review needs it.
type identified struct {
	user.Info
	id string
}

// identify works out the identity of u.
func identify(u user.Info) (user.Info, error) {
	id, err := identity(u)
	if err != nil {
		return nil, err
	}
	return identified{u, id}, nil
}

// identity is everything about u that rights may depend on.
func identity(u user.Info) (string, error) {
	if known, ok := u.(identified); ok {
		return known.id, nil
	}
	id, err := json.Marshal(user.DefaultInfo{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()})
	if err != nil {
		return "", fmt.Errorf("identifying user: %w", err)
	}
	return string(id), nil
}
