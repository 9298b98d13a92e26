// Package transport is how GraphQL travels.
package transport

import "errors"

// ErrSignedOut is the cause (context.Cause) with which a stream's context ends when its sign-in no longer holds.
var ErrSignedOut = errors.New("web: sign-in expired or withdrawn")
