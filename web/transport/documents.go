package transport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// The extensions of a request that name a document. The parameter documentId of a request over HTTP becomes the first of
// them; on other transports it can be sent so.
const (
	documentIDExtension     = "documentId"
	persistedQueryExtension = "persistedQuery"
)

const (
	// remembered is how many automatically persisted documents are kept.
	remembered = 1000
	// maxRemembered is the longest of them, in bytes: 64 MiB in all are enough for anybody's documents. A longer one is
	// executed, but has to be sent each time.
	maxRemembered = 64 << 10
)

const sha256Prefix = "sha256:"

// Stored are documents by their identifiers. Each has at least the one of the appendix of GraphQL over HTTP, sha256: and
// the hash of its text, besides the one that the manifest gives it.
type Stored map[string]string

// add stores a document under its hash and, if it has one, its own id.
func (s Stored) add(id, document string) error {
	hashed := sha256Prefix + hashOf(document)
	if strings.HasPrefix(id, sha256Prefix) && id != hashed {
		return fmt.Errorf("document %s has the id %s", id, hashed)
	}
	if other, ok := s[id]; ok && other != document {
		return fmt.Errorf("two documents have the id %s", id)
	}
	s[hashed] = document
	if id != "" {
		s[id] = document
	}
	return nil
}

// LoadDocuments reads stored documents: a directory of *.graphql files, or a manifest in JSON, which is an object of
// documents by id (as Relay and GraphQL Code Generator write it) or Apollo's persisted query manifest. Each document must
// be valid in the schema, so that one that is not comes to light at the start.
func LoadDocuments(path string, schema *ast.Schema) (Stored, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	load := loadManifest
	if info.IsDir() {
		load = loadDirectory
	}
	stored := Stored{}
	if err := load(path, stored); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for id, document := range stored {
		if _, errs := gqlparser.LoadQueryWithRules(schema, document, rules.NewDefaultRules()); len(errs) > 0 {
			return nil, fmt.Errorf("%s: document %s: %w", path, id, errs)
		}
	}
	return stored, nil
}

func loadDirectory(path string, into Stored) error {
	files, err := filepath.Glob(filepath.Join(path, "*.graphql"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := into.add("", string(text)); err != nil {
			return err
		}
	}
	return nil
}

func loadManifest(path string, into Stored) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var apollo struct {
		Format     string
		Operations []struct{ ID, Body string }
	}
	if json.Unmarshal(text, &apollo) == nil && apollo.Format == "apollo-persisted-query-manifest" {
		for _, op := range apollo.Operations {
			if err := into.add(op.ID, op.Body); err != nil {
				return err
			}
		}
		return nil
	}
	var byID map[string]string
	if err := json.Unmarshal(text, &byID); err != nil {
		return fmt.Errorf("this is no manifest of documents: %w", err)
	}
	for id, document := range byID {
		if err := into.add(id, document); err != nil {
			return err
		}
	}
	return nil
}

// Documents is a gqlgen extension that finds the document of a request that does not carry it, on any transport. It knows
// the stored ones, by documentId or by the hash in Apollo's persistedQuery, and those that clients have sent with their
// hash before (automatic persisted queries), of which it forgets the least recently used.
type Documents struct {
	stored  Stored
	allowed map[string]bool // the texts of the stored ones; nil allows all
	seen    graphql.Cache[string]
}

var _ graphql.OperationParameterMutator = (*Documents)(nil)

// NewDocuments returns the extension. With only, every document that is not stored is refused; nil has none stored.
func NewDocuments(stored Stored, only bool) *Documents {
	d := &Documents{stored: stored, seen: lru.New[string](remembered)}
	if only {
		d.allowed = map[string]bool{}
		for _, document := range stored {
			d.allowed[document] = true
		}
	}
	return d
}

// ExtensionName names the extension for gqlgen.
func (*Documents) ExtensionName() string { return "Documents" }

// Validate has nothing to check.
func (*Documents) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters puts the document in its place.
func (d *Documents) MutateOperationParameters(ctx context.Context, params *graphql.RawParams) *gqlerror.Error {
	if id := params.Extensions[documentIDExtension]; id != nil && params.Query == "" {
		text, _ := id.(string)
		document, ok := d.stored[text]
		if !ok {
			return coded(codeNotStored, fmt.Sprintf("there is no stored document %v", id))
		}
		params.Query = document
	} else if persisted := params.Extensions[persistedQueryExtension]; persisted != nil {
		if err := d.persisted(ctx, persisted, params); err != nil {
			return err
		}
	}
	if d.allowed != nil && !d.allowed[params.Query] {
		return coded(codeNotStored, "this server executes only stored documents, and this is none")
	}
	return nil
}

// persisted speaks Apollo's protocol: a client sends the hash alone first and, when that is not known, the document with it.
func (d *Documents) persisted(ctx context.Context, extension any, params *graphql.RawParams) *gqlerror.Error {
	fields, ok := extension.(map[string]any)
	hash, isText := fields["sha256Hash"].(string)
	if !ok || !isText || fmt.Sprint(fields["version"]) != "1" {
		return coded(codeBadRequest, `the extension persistedQuery must be {"version": 1, "sha256Hash": "..."}`)
	}
	if params.Query == "" {
		for _, find := range []func() (string, bool){
			func() (string, bool) { text, ok := d.stored[sha256Prefix+hash]; return text, ok },
			func() (string, bool) { text, ok := d.stored[hash]; return text, ok },
			func() (string, bool) { return d.seen.Get(ctx, hash) },
		} {
			if params.Query, ok = find(); ok {
				return nil
			}
		}
		return coded(codeNotPersisted, "PersistedQueryNotFound")
	}
	if hashOf(params.Query) != hash {
		return coded(codeBadRequest, "the hash of the extension persistedQuery is not that of the query")
	}
	if d.allowed == nil && len(params.Query) <= maxRemembered {
		d.seen.Add(ctx, hash, params.Query)
	}
	return nil
}

func hashOf(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}
