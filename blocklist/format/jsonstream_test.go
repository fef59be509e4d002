package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func newJSON(r io.Reader) *jsonStream { return &jsonStream{in: newLines(r)} }

// value reads what stands here into the types that encoding/json gives, with
// numbers as json.Number and the last of equal names.
func (j *jsonStream) value() any {
	switch c := j.peek(); c {
	case '{':
		object := make(map[string]any)
		for name := range j.members {
			key := validText(name)
			object[key] = j.value()
		}
		return object
	case '[':
		array := []any{}
		for range j.elements {
			array = append(array, j.value())
		}
		return array
	case '"':
		return validText(j.scalar())
	default:
		switch word := string(j.scalar()); word {
		case "":
			return nil
		case "true", "false":
			return word == "true"
		default:
			return json.Number(word)
		}
	}
}

// validText replaces each octet that is no UTF-8 as encoding/json does.
func validText(text []byte) string { return string([]rune(string(text))) }

func readDocuments(r io.Reader) (documents []any, j *jsonStream, err error) {
	j = newJSON(r)
	for j.more() {
		documents = append(documents, j.value())
	}
	return documents, j, j.finish()
}

// FuzzJSONStream compares with encoding/json the documents of a stream, read in
// one piece and octet by octet, kept and read over.
func FuzzJSONStream(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, ` [1, -0.5e+3, 0, "a", true, false, null] `, `{"a":{"b":[{}]},"a":1}`, `["\u00e9\ud83d\ude00\ud83dx\"\\\/\b\f\n\r\t"]`,
		"[\"\xff\"]", "{\"a\":1}\n{\"b\":2}", `[01]`, `[1.]`, `[-]`, `[1e]`, `[tru]`, `{"a"}`, `{"a":}`, `[1,]`, `{,}`, `[1 2]`, `{"a":1,}`, `["`, `["\u12"]`, `["\x"]`,
		"[\"\n\"]", `[+1]`, `["a" "b"]`, `]`, `{"a" 1}`, `[.5]`, `[nul]`, `[NaN]`, "[1]\n\n ", "\xef\xbb\xbf[]", `[1E400]`, "{}\n", "{}\n\n[\n]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.IndexByte(text, 0) >= 0 || bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > maxDepth || len(text) > 10_000 {
			return
		}
		want, wantErr := oracleDocuments(text)
		got, j, err := readDocuments(bytes.NewReader(text))
		if (err == nil) != (wantErr == nil) {
			if err != nil && hasLongNumber(text) {
				return
			}
			t.Fatalf("error %v; encoding/json's %v", err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("read %#v; encoding/json %#v", got, want)
		}
		if lines := bytes.Count(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) + 1; err == nil && len(text) > 0 && j.in.read != lines {
			t.Fatalf("%d lines of %d", j.in.read, lines)
		}
		checkPlace(t, text, err)
		slow, _, slowErr := readDocuments(iotest.OneByteReader(bytes.NewReader(text)))
		if fmt.Sprint(slowErr) != fmt.Sprint(err) || err == nil && !reflect.DeepEqual(slow, got) {
			t.Fatalf("octet by octet %#v, %v; at once %#v, %v", slow, slowErr, got, err)
		}
		over := newJSON(bytes.NewReader(text))
		for over.more() {
			over.skip()
		}
		if skipErr := over.finish(); fmt.Sprint(skipErr) != fmt.Sprint(err) || over.in.read != j.in.read {
			t.Fatalf("read over: %v, %d lines; read: %v, %d lines", skipErr, over.in.read, err, j.in.read)
		}
	})
}

func oracleDocuments(text []byte) (documents []any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for {
		var document any
		if err := decoder.Decode(&document); err == io.EOF {
			return documents, nil
		} else if err != nil {
			return nil, err
		}
		switch document.(type) {
		case map[string]any, []any:
		default:
			return nil, errors.New("a scalar by itself")
		}
		documents = append(documents, document)
	}
}

// hasLongNumber says whether a run of octets may be longer than maxNumber.
func hasLongNumber(text []byte) bool {
	return slices.ContainsFunc(bytes.FieldsFunc(text, func(r rune) bool { return r > 'z' || !isWordByte(byte(r)) }),
		func(word []byte) bool { return len(word) > maxNumber })
}

func TestJSONStreamFails(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"cut within an object", "{\n\"a\": 1", "line 2: the JSON document ends too early"},
		{"cut within a string", "[\"a", "line 1: the JSON document ends too early"},
		{"cut within an escape", `["a\`, "line 1: the JSON document ends too early"},
		{"cut within a word", "[tru", "line 1: the JSON document ends too early"},
		{"cut behind a name", "{\"a\"", "the JSON document ends too early"},
		{"no comma", "[1\n\n2]", "line 3: found '2', expected a comma or ]"},
		{"no colon", `{"a" 1}`, "line 1: found '1' behind the name of a member, expected a colon"},
		{"no name", `{1: 2}`, "found '1' in an object, expected the name of a member in quotes"},
		{"a comma at the end", `{"a": 1,}`, "found '}' in an object"},
		{"no value", `{"a": }`, "found '}', expected a JSON value"},
		{"a word of JavaScript", `[undefined]`, `found "undefined", expected a JSON value`},
		{"a string over two lines", "[\"a\nb\"]", `the control character '\n' in a string`},
		{"an unknown escape", `["\x41"]`, `the escape \x in a string, expected one of`},
		{"a broken escape", `["\u12g4"]`, `a broken escape in a string`},
		{"text behind the document", "{}\nbad.example", "line 2: found 'b', expected a JSON document"},
		{"text beyond ASCII", "é", "found 'é', expected a JSON document"},
		{"deep arrays", strings.Repeat("[", 100_000), "nested more than 64 deep"},
		{"deep objects", strings.Repeat("{\"a\":\n", 100_000), "line 65: a JSON document nested more than 64 deep"},
		{"a long number", "[" + strings.Repeat("1", 1000) + "]", "expected a JSON value"},
		{"NUL", "[\n\x00]", "line 2: binary content"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := readDocuments(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v; want one that says %q", err, tt.want)
			}
		})
	}
}

func TestJSONStreamReaderFails(t *testing.T) {
	cause := errors.New("connection lost")
	_, _, err := readDocuments(io.MultiReader(strings.NewReader(`{"a": "`), iotest.ErrReader(cause)))
	if !errors.Is(err, cause) {
		t.Errorf("error %v, want that of the reader", err)
	}
}

// TestJSONStreamCutsLongText holds that a string of any length costs maxText
// and does not end the document.
func TestJSONStreamCutsLongText(t *testing.T) {
	long := strings.Repeat("é", maxText)
	documents, _, err := readDocuments(strings.NewReader(`["` + long + `", {"` + long + `": 1}, "b"]`))
	if err != nil {
		t.Fatal(err)
	}
	array := documents[0].([]any)
	names := slices.Collect(maps.Keys(array[1].(map[string]any)))
	if len(array[0].(string)) != maxText || len(names) != 1 || len(names[0]) != maxText || array[2] != "b" {
		t.Errorf("strings of %d and %d octets, then %v; want %d, %[4]d and b", len(array[0].(string)), len(names[0]), array[2], maxText)
	}
}

// TestJSONStreamReadsOver holds that a value nobody asks for is read over, and
// so is what is left when the loop ends early.
func TestJSONStreamReadsOver(t *testing.T) {
	j := newJSON(strings.NewReader(`{"skipped": {"a": [1, {"b": 2}]}, "array": [1, 2, 3], "wrong": {"a": 1}, "last": "x", "more": [[]]} {"next": 1}`))
	var seen []string
	for j.more() {
		for name := range j.members {
			seen = append(seen, string(name))
			switch string(name) {
			case "array":
				for range j.elements {
					seen = append(seen, string(j.scalar()))
					break
				}
			case "wrong":
				if j.scalar() != nil {
					t.Error("an object was read as a scalar")
				}
			}
			if seen[len(seen)-1] == "last" {
				break
			}
		}
	}
	if want := []string{"skipped", "array", "1", "wrong", "last", "next"}; j.finish() != nil || !slices.Equal(seen, want) {
		t.Errorf("read %q, %v; want %q", seen, j.err, want)
	}
}
