package hits

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every field that a record can have is in DESIGN.md, whose table users read.
func TestEveryFieldIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || typ == reflect.TypeFor[netip.Addr]() {
			return
		}
		for f := range typ.Fields() {
			key := f.Tag.Get("json")
			if key == "-" {
				continue
			}
			n++
			if !strings.Contains(string(doc), key+"`") && !strings.Contains(string(doc), key+".") && !strings.Contains(string(doc), key+"[") {
				t.Errorf("%s of %s is not documented", key, typ.Name())
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Record]())
	if n < 80 {
		t.Errorf("only %d fields found", n)
	}
}
