package console

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

//go:embed openapi.yaml
var openAPI []byte

const apiRoot = "/api/v1"

// operation is one of the API: who may ask, for what, and what answers.
type operation struct {
	method, path string
	least        Role
	params       []string
	answer       func(*http.Request, *query) (any, error)
	send         func(http.ResponseWriter, *http.Request, *query) error // in place of answer
}

// operations are all of the API.
func (s *site) operations() []operation {
	get := func(path string, params []string, answer func(*http.Request, *query) (any, error)) operation {
		return operation{method: http.MethodGet, path: path, least: Viewer, params: params, answer: answer}
	}
	return []operation{
		get("/overview", overviewParams(), of(s.overview)),
		get("/machines", machineParams(), of(s.machines)),
		get("/machines/{id}", detailParams(), of(s.machine)),
		get("/families", filterParams(), of(s.families)),
		get("/indicators", indicatorParams(), of(s.indicators)),
		get("/indicators/{name}", slices.Concat(filterParams(), pageParams()), of(s.indicator)),
		get("/verdict", []string{"name", "type", "client"}, of(s.verdict)),
		get("/lists", nil, of(s.lists)),
		get("/lists/{name}", nil, of(s.list)),
		{method: http.MethodPost, path: "/lists/{name}/refresh", least: Responder, answer: of(s.refresh)},
		{method: http.MethodPost, path: "/lists/{name}/approve", least: Admin, answer: of(s.approve)},
		get("/allow", nil, of(s.allowed)),
		{method: http.MethodPost, path: "/allow", least: Responder, answer: of(s.allow)},
		{method: http.MethodDelete, path: "/allow/{entry}", least: Responder, answer: of(s.disallow)},
		get("/events", journalParams(), of(s.journal)),
		{method: http.MethodGet, path: "/events/stream", least: Viewer, params: streamParams(), send: s.stream},
		{method: http.MethodGet, path: "/export", least: Responder, params: exportParams(), send: s.export},
		get("/me", nil, of(s.me)),
	}
}

// of is an answer of some type as one of any.
func of[T any](answer func(*http.Request, *query) (T, error)) func(*http.Request, *query) (any, error) {
	return func(r *http.Request, q *query) (any, error) { return answer(r, q) }
}

func (s *site) addAPI(mux *http.ServeMux) {
	for _, o := range s.operations() {
		mux.Handle(o.method+" "+apiRoot+o.path, s.gate.admit(o.least, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := newQuery(r, o.params)
			if q.err != nil {
				refuse(w, r, q.err)
				return
			}
			if o.send != nil {
				if r.Method != o.method { // HEAD
					refuse(w, r, &fault{http.StatusMethodNotAllowed, "found " + r.Method + ", expected " + o.method})
					return
				}
				if err := o.send(w, r, q); err != nil {
					refuse(w, r, err)
				}
				return
			}
			v, err := o.answer(r, q)
			if err != nil {
				refuse(w, r, err)
				return
			}
			answerJSON(w, http.StatusOK, v)
		})))
	}
	mux.Handle("GET "+apiRoot+"/openapi.yaml", s.gate.admit(Viewer, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openAPI)
	})))
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, &fault{http.StatusNotFound, "found " + r.Method + " " + quoted(r.URL.Path) + ", expected an operation of " + apiRoot + "/openapi.yaml"})
	})
}

// Me is who asks.
type Me struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

func (s *site) me(r *http.Request, _ *query) (Me, error) {
	v := visitorOf(r)
	return Me{v.Name, v.Role.String()}, nil
}

func (s *site) verdict(_ *http.Request, q *query) (*Verdict, error) {
	if q.text("name") == "" {
		return nil, badRequest("name: found nothing, expected a domain name or an address")
	}
	v, err := s.Judge(q.text("name"), q.text("type"), q.text("client"))
	if err != nil {
		return nil, badRequest(err.Error())
	}
	return v, nil
}

// AllLists is the lists.
type AllLists struct {
	Lists []List `json:"lists"`
}

func (s *site) lists(*http.Request, *query) (AllLists, error) { return AllLists{s.Lists()}, nil }

func (s *site) list(r *http.Request, _ *query) (List, error) { return s.named(r.PathValue("name")) }

func (s *site) named(name string) (List, error) {
	all := s.Lists()
	if i := slices.IndexFunc(all, func(l List) bool { return l.Name == name }); i >= 0 {
		return all[i], nil
	}
	return List{}, &fault{http.StatusNotFound, "no list is named " + quoted(name)}
}

func (s *site) refresh(r *http.Request, _ *query) (List, error) {
	l, err := s.named(r.PathValue("name"))
	if err != nil {
		return l, err
	}
	l, err = s.Refresh(r.Context(), l.Name)
	s.audit(r, "refresh", r.PathValue("name"), "", err)
	return l, err
}

// Approval is what is let in of a list: entries, or the held content of a version.
type Approval struct {
	Version string   `json:"version"`
	Entries []string `json:"entries"`
}

func (s *site) approve(r *http.Request, _ *query) (List, error) {
	l, err := s.named(r.PathValue("name"))
	if err != nil {
		return l, err
	}
	var a Approval
	if err := readBody(r, &a, func() { a.Version, a.Entries = r.PostForm.Get("version"), r.PostForm["entry"] }); err != nil {
		return l, err
	}
	if (a.Version == "") == (len(a.Entries) == 0) {
		return l, badRequest("found both or neither of version and entries, expected one of them")
	}
	err = s.Approve(visitorOf(r).Name, l.Name, a.Version, a.Entries)
	s.audit(r, "approve", strings.TrimSpace(l.Name+" "+a.Version+strings.Join(a.Entries, " ")), "", err)
	if err != nil {
		return l, err
	}
	return s.named(l.Name)
}

// AllAllowed is what the file of what is never blocked has.
type AllAllowed struct {
	Entries []Allowed `json:"entries"`
}

func (s *site) allowed(*http.Request, *query) (a AllAllowed, err error) {
	a.Entries, err = s.Allowed()
	return a, err
}

// NewAllowed is an entry that is never to be blocked from now on.
type NewAllowed struct {
	Entry   string `json:"entry"`
	Comment string `json:"comment"`
}

func (s *site) allow(r *http.Request, q *query) (a AllAllowed, err error) {
	var n NewAllowed
	if err := readBody(r, &n, func() { n.Entry, n.Comment = r.PostForm.Get("entry"), r.PostForm.Get("comment") }); err != nil {
		return a, err
	}
	entry, err := s.Allow(r.Context(), visitorOf(r).Name, n.Entry, n.Comment)
	if entry == "" {
		entry = n.Entry
	}
	s.audit(r, "allow", entry, n.Comment, err)
	if err != nil {
		return a, err
	}
	return s.allowed(r, q)
}

func (s *site) disallow(r *http.Request, q *query) (a AllAllowed, err error) {
	err = s.Disallow(r.Context(), r.PathValue("entry"))
	s.audit(r, "disallow", r.PathValue("entry"), "", err)
	if err != nil {
		return a, err
	}
	return s.allowed(r, q)
}

// readBody reads a JSON object, or takes a form.
func readBody(r *http.Request, into any, fromForm func()) error {
	if !strings.HasPrefix(r.Header.Get(contentType), "application/json") {
		if err := r.ParseForm(); err != nil {
			return err
		}
		fromForm()
		return nil
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return badRequest("the body cannot be read: " + err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("found more after the object, expected one JSON object")
	}
	return nil
}
