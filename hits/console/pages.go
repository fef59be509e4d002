package console

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"go.uber.org/zap"
)

//go:embed pages
var files embed.FS

// page is what every template gets.
type page struct {
	Title, Here string // Here is the place in the menu
	User        *User
	FormToken   string
	Query       *query
	Done        string // what was just done, in words
	Data        any
	Tokens      bool // somebody can leave
}

// May tells whether the visitor has a role, by its name.
func (p *page) May(role string) bool {
	least, err := ParseRole(role)
	return err == nil && p.User != nil && p.User.Role >= least
}

// view is a page: where it is, what it shows.
type view struct {
	path, template, title, here string
	params                      []string
	data                        func(*http.Request, *query) (any, error)
}

func (s *site) screens() []view {
	return []view{
		{"/{$}", "overview", "Overview", "/", overviewParams(), of(s.overviewPage)},
		{"/machines", "machines", "Machines", "/machines", machineParams(), of(s.machinesPage)},
		{"/machines/{id}", "machine", "Machine", "/machines", detailParams(), of(s.machinePage)},
		{"/indicators", "indicators", "Indicators", "/indicators", slices.Concat(indicatorParams(), []string{"name"}), of(s.indicatorsPage)},
		{"/indicators/{name}", "indicator", "Indicator", "/indicators", slices.Concat(filterParams(), pageParams()), of(s.indicatorPage)},
		{"/lists", "lists", "Lists", "/lists", nil, of(s.listsPage)},
		{"/live", "live", "Live", "/live", streamParams(), of(s.livePage)},
	}
}

// deed is a form that changes something, and where it leads.
type deed struct {
	path  string
	least Role
	done  string // its word in done
	do    func(*http.Request, *query) error
}

func (s *site) deeds() []deed {
	return []deed{
		{"/allow", Responder, "allowed", func(r *http.Request, q *query) error { _, err := s.allow(r, q); return err }},
		{"/disallow", Responder, "removed", func(r *http.Request, q *query) error {
			r.SetPathValue("entry", r.PostForm.Get("entry"))
			_, err := s.disallow(r, q)
			return err
		}},
		{"/lists/{name}/refresh", Responder, "refreshed", func(r *http.Request, q *query) error { _, err := s.refresh(r, q); return err }},
		{"/lists/{name}/approve", Admin, "approved", func(r *http.Request, q *query) error { _, err := s.approve(r, q); return err }},
	}
}

// doneWords are what the pages say of what was just done.
func doneWords() map[string]string {
	return map[string]string{
		"allowed": "Allowed: it is in force.", "removed": "Taken out again: it is in force.",
		"refreshed": "The source was asked.", "approved": "Let in: it is in force.",
	}
}

// addPages adds what people look at.
func (s *site) addPages(mux *http.ServeMux) {
	t := s.templates()
	for _, v := range s.screens() {
		mux.Handle("GET "+v.path, s.gate.admit(Viewer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := newQuery(r, slices.Concat(v.params, []string{"done"}))
			p := s.page(r, v.title, v.here, q)
			p.Done = doneWords()[q.text("done")]
			q.values.Del("done")
			err := q.err
			if err == nil {
				p.Data, err = v.data(r, q)
			}
			if err != nil {
				t.fault(w, r, p, err)
				return
			}
			t.show(w, r, http.StatusOK, v.template, p)
		})))
	}
	for _, d := range s.deeds() {
		mux.Handle("POST "+d.path, s.gate.admit(d.least, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := newQuery(r, nil)
			if err := d.do(r, q); err != nil {
				t.fault(w, r, s.page(r, "Not done", "", q), err)
				return
			}
			to, _ := url.Parse(ownPath(r.PostForm.Get("back")))
			values := to.Query()
			values.Set("done", d.done)
			to.RawQuery = values.Encode()
			_ = seeOther(w, r, to.RequestURI())
		})))
	}
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		t.show(w, r, http.StatusOK, "login", &page{Title: "Token", Data: login{To: ownPath(r.URL.Query().Get("to"))}})
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := s.gate.login(w, r); err != nil {
			t.show(w, r, http.StatusUnauthorized, "login", &page{Title: "Token", Data: login{ownPath(r.PostFormValue("to")), err.Error()}})
		}
	})
	mux.Handle("POST /logout", s.gate.admit(Viewer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.gate.logout(w, r) })))
	for name, kind := range map[string]string{"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			text, _ := files.ReadFile(path.Join("pages", name)) // embedded
			w.Header().Set(contentType, kind)
			_, _ = w.Write(text)
		})
	}
	mux.Handle("/", s.gate.admit(Viewer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.fault(w, r, s.page(r, "Not found", "", newQuery(r, nil)), &fault{http.StatusNotFound, "there is no page " + quoted(r.URL.Path)})
	})))
}

type login struct{ To, Error string }

func (s *site) page(r *http.Request, title, here string, q *query) *page {
	v := visitorOf(r)
	return &page{Title: title, Here: here, User: v.User, FormToken: s.gate.formToken(v), Query: q, Tokens: s.gate.tokens != nil}
}

// templates make the pages.
type templates struct {
	set *template.Template
	log *zap.Logger
}

func (s *site) templates() *templates {
	return &templates{template.Must(template.New("").Funcs(templateFuncs()).ParseFS(files, "pages/*.html")), s.log}
}

// show renders a page whole before it sends the first octet.
func (t *templates) show(w http.ResponseWriter, r *http.Request, status int, name string, p *page) {
	var out bytes.Buffer
	if err := t.set.ExecuteTemplate(&out, name+".html", p); err != nil {
		t.log.Error("a page cannot be made", zap.String("page", name), zap.Error(err))
		refuse(w, r, &fault{http.StatusInternalServerError, "this page cannot be made: the server's log says why"})
		return
	}
	w.Header().Set(contentType, "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.Map(undirected, out.Bytes()))
}

// undirected puts U+FFFD in the place of marks of direction, by which a name could look like
// another one (Unicode UAX #9, section 2).
func undirected(r rune) rune {
	switch {
	case r == 0x61c, r == 0x200e, r == 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return 0xfffd
	}
	return r
}

func (t *templates) fault(w http.ResponseWriter, r *http.Request, p *page, err error) {
	p.Data = err.Error()
	t.show(w, r, statusOf(err), "fault", p)
}

// With is the link to this page with other values: names and values in turn.
func (q *query) With(pairs ...string) string {
	values := url.Values{}
	for name, v := range q.values {
		values[name] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if values.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			values.Del(pairs[i])
		}
	}
	return "?" + values.Encode()
}

// Get is a value as it was given.
func (q *query) Get(name string) string { return q.text(name) }

// Or is a value, or another where none was given.
func (q *query) Or(name, otherwise string) string {
	if text := q.text(name); text != "" {
		return text
	}
	return otherwise
}

func pathTo(kind, id string) string {
	return "/" + kind + "/" + strings.ReplaceAll(url.PathEscape(id), "+", "%2B")
}
