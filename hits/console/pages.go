package console

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"

	"go.uber.org/zap"
)

//go:embed pages
var files embed.FS

// addPages adds what people look at.
func (s *site) addPages(mux *http.ServeMux) {
	pages := s.pages()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		pages.show(w, r, http.StatusOK, "login", login{To: ownPath(r.URL.Query().Get("to"))})
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := s.gate.login(w, r); err != nil {
			pages.show(w, r, http.StatusUnauthorized, "login", login{ownPath(r.PostFormValue("to")), err.Error()})
		}
	})
	mux.Handle("/", s.gate.admit(Viewer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, &fault{http.StatusNotFound, "there is no such page"})
	})))
	mux.Handle("POST /logout", s.gate.admit(Viewer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.gate.logout(w, r) })))
}

type login struct{ To, Error string }

// pages are the templates.
type pages struct {
	templates *template.Template
	log       *zap.Logger
}

func (s *site) pages() *pages {
	return &pages{template.Must(template.New("").ParseFS(files, "pages/*.html")), s.log}
}

// show renders a page whole before it sends the first octet.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var out bytes.Buffer
	if err := p.templates.ExecuteTemplate(&out, name+".html", data); err != nil {
		p.log.Error("a page cannot be made", zap.String("page", name), zap.Error(err))
		refuse(w, r, &fault{http.StatusInternalServerError, "this page cannot be made: the server's log says why"})
		return
	}
	w.Header().Set(contentType, "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}
