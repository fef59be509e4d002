package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// alerts is what counts of a file of rules.
type alerts struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// dashboard is what counts of a dashboard.
type dashboard struct {
	Panels []struct {
		ID          int
		Type, Title string
		Targets     []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Query string }
	}
}

// What alerts and the dashboard ask for is what /metrics of a server has, with values of
// labels that occur: nothing is looked for that never comes.
func TestMonitoring(t *testing.T) {
	var a alerts
	if err := yaml.UnmarshalWithOptions(readText(t, "../../configs/monitoring/alerts.yaml"), &a, yaml.DisallowUnknownField()); err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(readText(t, "../../configs/monitoring/grafana.json"), &d); err != nil {
		t.Fatal(err)
	}
	exprs := map[string]string{}
	for _, g := range a.Groups {
		for _, r := range g.Rules {
			exprs["alert "+r.Alert] = r.Expr
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("alert %s: expected a severity, a summary and a description", r.Alert)
			}
		}
	}
	if len(exprs) < 10 {
		t.Errorf("%d alerts", len(exprs))
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: expected a number of its own and a title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			exprs["panel "+p.Title+": "+target.Expr] = target.Expr
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
	}
	for _, v := range d.Templating.List {
		exprs["variable "+v.Name] = v.Query
	}

	p := startMonitored(t)
	scraped := p.metrics()
	names := map[string][]string{}
	for sample := range scraped {
		name, labels, _ := strings.Cut(sample, "{")
		names[name] = append(names[name], labels)
	}
	reference := regexp.MustCompile(`\b((?:sinkhole|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	selector := regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	for where, expr := range exprs {
		for _, m := range reference.FindAllStringSubmatch(expr, -1) {
			samples, known := names[m[1]]
			if !known {
				t.Errorf("%s: /metrics has no %s", where, m[1])
				continue
			}
			for _, s := range selector.FindAllStringSubmatch(m[2], -1) {
				label, value := s[1], s[3]
				if label == "instance" || label == "job" { // Prometheus's own
					continue
				}
				is := regexp.MustCompile(`(?:^|,)` + label + `="(?:` + value + `)"`)
				if !slices.ContainsFunc(samples, is.MatchString) {
					t.Errorf("%s: no sample of %s has %s %q", where, m[1], label, value)
				}
			}
		}
	}
}

// startMonitored runs a server that has met what makes metrics appear: queries, a list from
// the network and an upstream.
func startMonitored(t *testing.T) *process {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/list.txt", []byte("lumma.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(web.Close)
	p := startProcess(t, dir, "hits: {journal: {path: data/hits}}\nlist_store: data/lists\nlists: [{name: file, source: list.txt}, {name: web, source: \""+web.URL+"/list.txt\"}]")
	for _, name := range []string{"lumma.example", "www.clean.example", "www.fail.example"} {
		if _, err := askOnce("udp", p.dns, name, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := eventually(func() error {
		if p.metric("sinkhole_list_state", `list="web",state="ok"`) != 1 {
			return errors.New("the list from the network is not in force")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

func readText(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Prometheus takes the alerts.
func TestAlertsAreRules(t *testing.T) {
	promtool := tool(t, "promtool")
	if out, err := exec.Command(promtool, "check", "rules", "../../configs/monitoring/alerts.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
