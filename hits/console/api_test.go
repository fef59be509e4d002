package console

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"sinkhole/hits"
	"sinkhole/hits/inventory"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// openapi.yaml has the operations of the code with their parameters and roles, and no others.
func TestOpenAPIHasTheOperations(t *testing.T) {
	doc := document(t)
	documented := map[string]bool{"GET /openapi.yaml": true}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented[method+" "+path] = true
		}
	}
	for _, o := range (&site{Site: new(Site)}).operations() {
		name := o.method + " " + o.path
		if !documented[name] {
			t.Errorf("%s is not documented", name)
			continue
		}
		delete(documented, name)
		op := doc.Paths.Value(o.path).GetOperation(o.method)
		var params []string
		for _, p := range op.Parameters {
			if p.Value.In == "query" {
				params = append(params, p.Value.Name)
			} else if !strings.Contains(o.path, "{"+p.Value.Name+"}") {
				t.Errorf("%s: no %s in the path", name, p.Value.Name)
			}
		}
		slices.Sort(params)
		taken := slices.Sorted(slices.Values(o.params))
		if !slices.Equal(params, taken) {
			t.Errorf("%s: documented parameters %q, taken %q", name, params, taken)
		}
		if !strings.Contains(op.Description, "role "+o.least.String()+" ") {
			t.Errorf("%s: for %s, documented is %q", name, o.least, op.Description)
		}
	}
	delete(documented, "GET /openapi.yaml")
	if len(documented) > 0 {
		t.Errorf("documented, and not there: %v", documented)
	}
}

// The schemas have the fields of the types, and no others, each of the type's kind.
func TestOpenAPIHasTheFields(t *testing.T) {
	doc := document(t)
	seen := map[string]bool{"Event": true}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || seen[typ.Name()] {
			return
		}
		seen[typ.Name()] = true
		schema := doc.Components.Schemas[typ.Name()]
		if schema == nil {
			t.Errorf("%s is not documented", typ.Name())
			return
		}
		fields := map[string]reflect.Type{}
		gather(typ, fields)
		for name, field := range fields {
			p := schema.Value.Properties[name]
			if p == nil {
				t.Errorf("%s.%s is not documented", typ.Name(), name)
			} else if want := kindOf(field); !p.Value.Type.Is(want) {
				t.Errorf("%s.%s is documented as %v, and is %s", typ.Name(), name, p.Value.Type, want)
			}
			visit(field)
		}
		for name := range schema.Value.Properties {
			if fields[name] == nil {
				t.Errorf("%s.%s is documented, and not there", typ.Name(), name)
			}
		}
	}
	for _, v := range []any{
		Overview{}, Machines{}, MachineDetail{}, Families{}, Indicators{}, IndicatorDetail{}, Verdict{}, AllLists{}, AllAllowed{}, Events{}, Me{}, Approval{}, NewAllowed{}, Problem{},
	} {
		visit(reflect.TypeOf(v))
	}
	for name := range doc.Components.Schemas {
		if !seen[name] {
			t.Errorf("the schema %s is of no type", name)
		}
	}
}

func gather(typ reflect.Type, fields map[string]reflect.Type) {
	for f := range typ.Fields() {
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Pointer:
			gather(f.Type.Elem(), fields)
		case f.Anonymous:
			gather(f.Type, fields)
		case f.IsExported() && f.Tag.Get("json") != "-":
			fields[f.Tag.Get("json")] = f.Type
		}
	}
}

func kindOf(typ reflect.Type) string {
	if typ == reflect.TypeFor[time.Time]() || typ == reflect.TypeFor[inventory.Time]() {
		return "string"
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ.Kind() {
	case reflect.Slice:
		return "array"
	case reflect.Struct:
		return "object"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	}
	return "integer"
}

// Requests and answers, of those that can be done and of those that cannot, are as documented.
func TestAnswersAreAsDocumented(t *testing.T) {
	r := newRig(t, nil)
	doc := document(t)
	doc.Servers = openapi3.Servers{{URL: fmt.Sprintf("http://%s/api/v1", r.server.Addr())}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	answered := map[string]bool{}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/overview", "", 200}, {"GET", "/overview?since=7d", "", 200},
		{"GET", "/machines?q=c1&sort=hits&order=asc&since=2026-02-01&limit=2&offset=1&evidence=queried&new_since=2d", "", 200},
		{"GET", "/machines?since=all&client=192.0.2.0/24&family=RedLine&list=police", "", 200},
		{"GET", "/machines/192.0.2.3", "", 200}, {"GET", "/machines/00-00-5E-00-53-23?since=all", "", 200},
		{"GET", "/machines/forwarder%20192.0.2.20", "", 200}, {"GET", "/machines/192.0.2.200", "", 404},
		{"GET", "/families", "", 200}, {"GET", "/indicators?q=c1", "", 200}, {"GET", "/indicators/c1.example", "", 200}, {"GET", "/indicators/none.example", "", 200},
		{"GET", "/verdict?name=c0.example&client=192.0.2.1", "", 200}, {"GET", "/verdict?name=http://x/", "", 400}, {"GET", "/verdict", "", 400},
		{"GET", "/lists", "", 200}, {"GET", "/lists/police", "", 200}, {"GET", "/lists/none", "", 404},
		{"POST", "/lists/police/refresh", "", 200}, {"POST", "/lists/feed/refresh", "", 422}, {"POST", "/lists/none/refresh", "", 404},
		{"POST", "/lists/feed/approve", `{"version":"sha256:0123456789abcdef0123456789abcdef"}`, 200}, {"POST", "/lists/police/approve", `{"entries":["big.example"]}`, 200},
		{"POST", "/lists/police/approve", `{}`, 400},
		{"GET", "/allow", "", 200}, {"POST", "/allow", `{"entry":"good.example","comment":"ours"}`, 200}, {"POST", "/allow", `{"entry":"com"}`, 422},
		{"POST", "/allow", `{"entry":"192.0.2.0/24"}`, 200}, {"DELETE", "/allow/192.0.2.0%2F24", "", 200},
		{"GET", "/events?limit=3&unexpected=true&port=40111", "", 200}, {"GET", "/events?dataset=audit", "", 200}, {"GET", "/events?dataset=landing", "", 200}, {"GET", "/events?dataset=journal", "", 200},
		{"GET", "/export?format=csv&client=192.0.2.3", "", 200}, {"GET", "/export?format=json", "", 200}, {"GET", "/export?format=jsonl", "", 200},
		{"GET", "/export?format=stix", "", 200}, {"GET", "/export?format=shadowserver", "", 200}, {"GET", "/export?format=misp", "", 200},
		{"GET", "/me", "", 200}, {"GET", "/openapi.yaml", "", 200},
	} {
		url := doc.Servers[0].URL + c.path
		q, err := http.NewRequestWithContext(t.Context(), c.method, url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		route, params, err := router.FindRoute(q)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		answered[c.method+" "+route.Path] = true
		input := &openapi3filter.RequestValidationInput{Request: q, PathParams: params, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil && c.status == 200 {
			t.Errorf("%s %s: not as documented: %v", c.method, c.path, err)
		}
		q.Body = io.NopCloser(strings.NewReader(c.body))
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || a.StatusCode != c.status {
			t.Errorf("%s %s: %d %s %v, want %d", c.method, c.path, a.StatusCode, body, err, c.status)
		}
		kind := a.Header.Get("Content-Type")
		if route.Operation.Responses.Status(200).Value.Content.Get(strings.Split(kind, ";")[0]) == nil {
			t.Errorf("%s %s: answered as %s, which is not documented", c.method, c.path, kind)
		}
		if kind != "application/json" || strings.HasPrefix(c.path, "/export") {
			continue
		}
		err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: input, Status: a.StatusCode, Header: a.Header, Body: io.NopCloser(bytes.NewReader(body)),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			t.Errorf("%s %s: %s: %v", c.method, c.path, body, err)
		}
	}
	for _, o := range r.server.operations() {
		if name := o.method + " " + o.path; !answered[name] && name != "GET /events/stream" {
			t.Errorf("%s was not asked", name)
		}
	}
}

// operations are those that any site has.
func (*Server) operations() []operation { return (&site{Site: new(Site)}).operations() }

func get2[T any](t *testing.T, r *rig, path string) (v T) {
	t.Helper()
	status, body := r.answer("GET", "/api/v1"+path, "")
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 {
		t.Fatalf("%s: %d %s: %v", path, status, body, err)
	}
	return v
}

// The machines are those that the journal has: counted, sorted, found, paged, joined with what
// they did.
func TestMachinesOfTheAPI(t *testing.T) {
	r := newRig(t, nil)
	o := get2[Overview](t, r, "/overview")
	if o.Machines != (MachineCounts{All: 6, Queried: 5, Sent: 1, New: 6, Forwarders: 1}) {
		t.Errorf("%+v", o.Machines)
	}
	if len(o.Trends) != 3 || len(o.Families) != 3 || o.Latest[0].Address != "192.0.2.3" || o.Latest[0].Evidence != "sent" {
		t.Errorf("%d trends, %d families, first %+v", len(o.Trends), len(o.Families), o.Latest[0])
	}
	all := get2[Machines](t, r, "/machines?sort=machine")
	var ids []string
	for _, m := range all.Machines {
		ids = append(ids, m.ID)
	}
	if want := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "00-00-5E-00-53-23", "forwarder 192.0.2.20"}; !slices.Equal(ids, want) {
		t.Errorf("%q, want %q", ids, want)
	}
	var paged []string
	for at := 0; at < all.Total; at += 3 {
		for _, m := range get2[Machines](t, r, fmt.Sprintf("/machines?sort=machine&limit=3&offset=%d", at)).Machines {
			paged = append(paged, m.ID)
		}
	}
	if !slices.Equal(paged, ids) {
		t.Errorf("in pages %q, want %q", paged, ids)
	}
	for query, want := range map[string]int{"q=PC-": 1, "q=00-00-5e": 1, "q=lumma": 5, "q=nothing": 0, "evidence=sent": 1, "client=192.0.2.3": 1, "family=redline": 7 - 1, "new_since=2026-01-01": 7} {
		if got := get2[Machines](t, r, "/machines?"+query); got.Total != want || len(got.Machines) != want {
			t.Errorf("%s: %d of %d, want %d", query, len(got.Machines), got.Total, want)
		}
	}
	for id, datasets := range map[string]map[string]int{
		"192.0.2.3": {hits.DatasetHit: 8, hits.DatasetLanding: 1}, "00-00-5E-00-53-23": {hits.DatasetHit: 1}, "forwarder%20192.0.2.20": {hits.DatasetHit: 1},
	} {
		var d struct {
			Events []hits.Record
			More   bool
		}
		status, body := r.answer("GET", "/api/v1/machines/"+id, "")
		if err := json.Unmarshal([]byte(body), &d); err != nil || status != 200 || d.More {
			t.Fatalf("%s: %d %s %v", id, status, body, err)
		}
		found := map[string]int{}
		for _, e := range d.Events {
			found[e.Event.Dataset]++
		}
		if !reflect.DeepEqual(found, datasets) {
			t.Errorf("%s: %v, want %v", id, found, datasets)
		}
	}
	who := get2[IndicatorDetail](t, r, "/indicators/C1.example.")
	if len(who.Indicators) != 1 || who.Total != 6 || who.Indicators[0].Machines != 6 {
		t.Errorf("%+v", who)
	}
}

// Pages of events go back to the first, each event once.
func TestPagesOfEvents(t *testing.T) {
	r := newRig(t, nil)
	type page struct {
		Events []hits.Record
		Before uint64
	}
	var seen []uint64
	for query := "/events?limit=7&since=all"; ; {
		p := get2[page](t, r, query)
		for _, e := range slices.Backward(p.Events) {
			seen = append(seen, e.Event.Sequence)
		}
		if p.Before == 0 {
			break
		}
		query = fmt.Sprintf("/events?limit=7&since=all&before=%d", p.Before)
	}
	if len(seen) != 43 || !slices.IsSortedFunc(seen, func(a, b uint64) int { return int(int64(b) - int64(a)) }) {
		t.Errorf("%d events: %v", len(seen), seen)
	}
}

// The stream has what happened and what happens, and goes on where it broke off.
func TestStream(t *testing.T) {
	r := newRig(t, nil)
	next := func(b *bufio.Scanner) (id string, e hits.Record) {
		for b.Scan() {
			if text, found := strings.CutPrefix(b.Text(), "id: "); found {
				id = text
			}
			if text, found := strings.CutPrefix(b.Text(), "data: "); found {
				if err := json.Unmarshal([]byte(text), &e); err != nil {
					t.Fatal(err)
				}
				return id, e
			}
		}
		t.Fatalf("the stream ended: %v", b.Err())
		return "", e
	}
	a := r.request("GET", "/api/v1/events/stream?client=192.0.2.66", "")
	if kind := a.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatal(kind)
	}
	tail := bufio.NewScanner(a.Body)
	r.record(time.Now(), "192.0.2.66", 1, nil)
	r.record(time.Now(), "192.0.2.67", 1, nil)
	r.record(time.Now(), "192.0.2.66", 2, nil)
	first, e := next(tail)
	if e.Threat.Indicator.Name != "c1.example" {
		t.Errorf("first %+v", e)
	}
	if _, e = next(tail); e.Threat.Indicator.Name != "c2.example" {
		t.Errorf("then %+v", e)
	}
	again := r.request("GET", "/api/v1/events/stream?client=192.0.2.66", "", "Last-Event-ID", first)
	if _, e = next(bufio.NewScanner(again.Body)); e.Threat.Indicator.Name != "c2.example" {
		t.Errorf("after %s %+v", first, e)
	}
	eventually(t, "both are counted", func() bool { return r.server.Stats().Streams == 2 })
	a.Body.Close()
	again.Body.Close()
	eventually(t, "both are over", func() bool { return r.server.Stats().Streams == 0 })
	for range maxStreams {
		r.request("GET", "/api/v1/events/stream", "")
	}
	if status, _ := r.answer("GET", "/api/v1/events/stream", ""); status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", status)
	}
	if s := r.server.Stats(); s.Overload != 1 {
		t.Errorf("%+v", s)
	}
}

// Nothing leaves that is not on record, and what is cut off does not look whole.
func TestExport(t *testing.T) {
	r := newRig(t, nil)
	status, body := r.answer("GET", "/api/v1/export?format=csv&client=192.0.2.3", "")
	if lines := strings.Count(body, "\n"); status != 200 || lines != 10 {
		t.Errorf("%d, %d lines: %s", status, lines, body)
	}
	if got := r.audited(); !slices.Equal(got, []string{"local export csv client=192.0.2.3 success"}) {
		t.Errorf("%q", got)
	}
	r.audits = errors.New("the disk is full")
	if status, body := r.answer("GET", "/api/v1/export", ""); status != http.StatusServiceUnavailable || strings.Contains(body, "192.0.2.") {
		t.Errorf("%d %s", status, body)
	}
}

// Whatever is sent, the answer is one of a fault, and nothing is done.
func TestBadRequests(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/machines?limit=0", "", 400}, {"GET", "/machines?limit=1001", "", 400}, {"GET", "/machines?offset=-1", "", 400}, {"GET", "/machines?sort=x", "", 400},
		{"GET", "/machines?since=yesterday", "", 400}, {"GET", "/machines?since=1h&until=2h", "", 400}, {"GET", "/machines?client=x", "", 400}, {"GET", "/machines?x=1", "", 400},
		{"GET", "/machines?q=a&q=b", "", 400}, {"GET", "/machines?q=%zz", "", 400}, {"GET", "/events?port=70000", "", 400}, {"GET", "/events?mac=x", "", 400}, {"GET", "/events?unexpected=1", "", 400},
		{"GET", "/export?format=exe", "", 400}, {"GET", "/events/stream?client=x", "", 400}, {"GET", "/machines/" + strings.Repeat("%00", 300), "", 404},
		{"POST", "/allow", "", 400}, {"POST", "/allow", "{", 400}, {"POST", "/allow", `{"entry":1}`, 400}, {"POST", "/allow", `{"entry":"a.example","x":1}`, 400}, {"POST", "/allow", `{"entry":"a.example"}{}`, 400},
		{"POST", "/allow", `{"entry":"` + strings.Repeat("a", maxBody) + `"}`, 413},
		{"POST", "/machines", "", 404}, {"GET", "/", "", 404}, {"PUT", "/allow", "", 404},
	} {
		status, body := r.answer(c.method, "/api/v1"+c.path, c.body, "Content-Type", "application/json")
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != c.status || p.Error == "" {
			t.Errorf("%s %.60s: %d %s, want %d", c.method, c.path, status, body, c.status)
		}
	}
	if len(r.done) > 0 {
		t.Errorf("done: %q", r.done)
	}
}
