package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// playgroundFiles is GraphiQL as the browser gets it. Third-party files are in dist, compressed; refresh.sh fetches them
// and says which versions they are.
//
//go:embed playground/index.html playground/playground.css playground/playground.js playground/favicon.svg
//go:embed playground/dist playground/examples
var playgroundFiles embed.FS

// playgroundPolicy lets the page load and reach nothing but this server, and run nothing but files of this server; "data:"
// is for the fonts and images within GraphiQL's style sheet. (Its settings dialog would like an inline style to lock the
// page's scroll bar; there is nothing to scroll, and the browser's refusal in the console is harmless.) No other page may frame it: a frame could trick its user
// into running a mutation.
const playgroundPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// playground serves the GraphQL playground: GraphiQL, with examples as its first tabs.
type playground struct {
	index asset
	files map[string]asset // by the name behind /playground/
}

// newPlayground reads the embedded files. They are part of the program, so that one cannot be read is a fault of the build
// and panics; any test of this package would show it.
func newPlayground() *playground {
	p := &playground{files: map[string]asset{}}
	for _, dir := range []string{"playground", "playground/dist"} {
		for _, name := range embeddedNames(dir) {
			a := newAsset(name, embeddedFile(path.Join(dir, name)))
			p.files[a.name] = a
		}
	}
	p.index = p.files["index.html"]
	delete(p.files, "index.html") // its links are relative to /playground
	p.files["examples.json"] = newAsset("examples.json", exampleTabs())
	return p
}

// page serves the page itself.
func (p *playground) page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", playgroundPolicy)
	p.index.ServeHTTP(w, r)
}

// file serves what the page loads.
func (p *playground) file(w http.ResponseWriter, r *http.Request) {
	a, ok := p.files[chi.URLParam(r, "file")]
	if !ok {
		writeError(w, http.StatusNotFound, codeNotFound, "there is nothing at "+r.URL.Path)
		return
	}
	a.ServeHTTP(w, r)
}

// exampleTabs returns the example documents, in the order of their file names, as GraphiQL's defaultTabs.
func exampleTabs() []byte {
	type tab struct {
		Query string `json:"query"`
	}
	var tabs []tab
	for _, name := range embeddedNames("playground/examples") {
		tabs = append(tabs, tab{string(embeddedFile("playground/examples/" + name))})
	}
	text, err := json.Marshal(tabs)
	if err != nil {
		panic(fmt.Sprintf("web: playground: %v", err)) // strings can always be encoded
	}
	return text
}

// embeddedNames returns the names of the files (not folders) in an embedded folder, sorted.
func embeddedNames(dir string) []string {
	entries, err := fs.ReadDir(playgroundFiles, dir)
	if err != nil {
		panic(fmt.Sprintf("web: playground: %v", err))
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// embeddedFile returns the content of an embedded file.
func embeddedFile(name string) []byte {
	content, err := playgroundFiles.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("web: playground: %v", err))
	}
	return content
}

// asset is a file that does not change while the program runs.
type asset struct {
	name        string // without .gz
	contentType string
	etag        string
	content     []byte
	gzipped     bool // content is compressed
}

// newAsset makes an asset of a file's content; a name that ends in .gz says that the content is compressed.
func newAsset(name string, content []byte) asset {
	plain, gzipped := strings.CutSuffix(name, ".gz")
	var contentType string
	switch path.Ext(plain) { // the machine's own table of types may be wrong, and with nosniff that stops the page
	case ".js":
		contentType = "text/javascript; charset=utf-8"
	case ".css":
		contentType = "text/css; charset=utf-8"
	case ".html":
		contentType = "text/html; charset=utf-8"
	case ".json":
		contentType = "application/json"
	case ".svg":
		contentType = "image/svg+xml"
	default: // schema, licences, checksums: to be read
		contentType = "text/plain; charset=utf-8"
	}
	sum := sha256.Sum256(content)
	return asset{plain, contentType, `"` + hex.EncodeToString(sum[:12]) + `"`, content, gzipped}
}

// ServeHTTP sends the file, or 304 if the browser has it: it asks each time, so a new version of the program shows at once.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-cache")
	if a.gzipped {
		h.Add("Vary", "Accept-Encoding")
		if !acceptsGzip(r) {
			a.servePlain(w)
			return
		}
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}

// servePlain sends a compressed file to a client that does not take it so. No browser does that; no care is taken for speed.
func (a asset) servePlain(w http.ResponseWriter) {
	plain, err := gzip.NewReader(bytes.NewReader(a.content))
	if err != nil {
		panic(fmt.Sprintf("web: %s: %v", a.name, err)) // a fault of the build; answered with 500
	}
	_, _ = io.Copy(w, plain) // an error means that the client has gone
}

// acceptsGzip reports whether the client takes gzip: named in Accept-Encoding, and not with quality 0.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			return strings.Trim(q, "0.") != "" || params == ""
		}
	}
	return false
}
