package inventory

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The tables in DESIGN.md, which users read, have every field of the views.
func TestEveryFieldIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, views, _ := strings.Cut(string(doc), "\n## Views\n")
	n := 0
	for _, typ := range []reflect.Type{reflect.TypeFor[Machine](), reflect.TypeFor[Family](), reflect.TypeFor[Indicator](), reflect.TypeFor[Address](), reflect.TypeFor[IndicatorCount](), reflect.TypeFor[HourCount]()} {
		for f := range typ.Fields() {
			name := f.Tag.Get("json")
			if name == "" || name == "-" {
				continue
			}
			n++
			if !strings.Contains(views, "`"+name+"`") && !strings.Contains(views, "`"+name+"[]`") {
				t.Errorf("%s of %s is not documented", name, typ.Name())
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d fields found", n)
	}
}
