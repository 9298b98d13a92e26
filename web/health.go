package web

import (
	"context"
	"net/http"
	"time"
)

// readyTimeout bounds one readiness question: longer than the check of a healthy system by far, shorter than the timeout
// of those who ask.
const readyTimeout = 2 * time.Second

// healthz says that the process lives and answers. It asks nothing of the system behind it: restarting this process
// would not mend that.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether requests can be served, and if not, why not.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
