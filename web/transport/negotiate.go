package transport

import (
	"mime"
	"strconv"
	"strings"
)

// The media types of answers.
const (
	// responseJSON lets the HTTP status say what became of the request.
	responseJSON = "application/graphql-response+json"
	// plainJSON is what older clients know.
	plainJSON = "application/json"
)

// negotiate chooses the media type of the answer by the Accept headers: the one with the highest quality, of equals the
// first. Who accepts anything gets what every client knows. When nothing fits, ok is false, and the type is the one in
// which to say so.
func negotiate(accept []string) (mediaType string, ok bool) {
	if len(accept) == 0 {
		return plainJSON, true
	}
	best := 0.0
	refused := map[string]bool{} // with quality 0, which a wildcard beside it does not undo
	wildcard := 0.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil || !isUTF8(params["charset"]) {
			continue
		}
		quality := qualityOf(params["q"])
		switch name {
		case "*/*", "application/*":
			wildcard = max(wildcard, quality)
		case responseJSON, plainJSON:
			refused[name] = quality == 0
			if quality > best {
				mediaType, best = name, quality
			}
		}
	}
	if wildcard > best {
		for _, name := range []string{plainJSON, responseJSON} {
			if !refused[name] {
				return name, true
			}
		}
	}
	if best == 0 {
		return plainJSON, false
	}
	return mediaType, true
}

// qualityOf reads the parameter q, which is 1 when it is absent and 0 when it is nonsense.
func qualityOf(q string) float64 {
	if q == "" {
		return 1
	}
	quality, err := strconv.ParseFloat(q, 64)
	if err != nil || quality < 0 || quality > 1 {
		return 0
	}
	return quality
}

// isUTF8JSON reports whether a body with that Content-Type is a GraphQL request. No form can send this type, so a page
// that wants to needs permission first (CORS).
func isUTF8JSON(contentType string) bool {
	mediaType, params, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == plainJSON && isUTF8(params["charset"])
}

// isUTF8 reports whether a charset is the one in which JSON is written; none means that one.
func isUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}
