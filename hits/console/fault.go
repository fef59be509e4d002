package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// fault is what is told to who asked, with its HTTP status.
type fault struct {
	status int
	text   string
}

func (f *fault) Error() string { return f.text }

func badRequest(text string) error { return &fault{http.StatusBadRequest, text} }

func quoted(s string) string { return strconv.QuoteToASCII(s[:min(len(s), 200)]) }

// Problem is the answer of the API to what cannot be done.
type Problem struct {
	Error string `json:"error"`
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	if f, ok := errors.AsType[*fault](err); ok {
		return f.status
	}
	return http.StatusUnprocessableEntity
}

// refuse tells of an error, as JSON under /api/ and as text elsewhere.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if isAPI(r) {
		answerJSON(w, status, Problem{err.Error()})
		return
	}
	say(w, status, err.Error())
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the other end went away
}
