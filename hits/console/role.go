package console

import (
	"fmt"
	"strings"
)

// Role is what somebody may do; each may do what those before it may.
type Role int

// The roles.
const (
	Viewer    Role = iota + 1 // reads
	Responder                 // exports, fetches lists, allows what is blocked by mistake
	Admin                     // lets in what is held
)

func (r Role) String() string {
	return [...]string{Viewer: "viewer", Responder: "responder", Admin: "admin"}[r]
}

// ParseRole reads the name of a role.
func ParseRole(text string) (Role, error) {
	for r := Viewer; r <= Admin; r++ {
		if r.String() == text {
			return r, nil
		}
	}
	return 0, fmt.Errorf("found %q, expected viewer, responder or admin", text)
}

// User is who uses the console.
type User struct {
	Name string `json:"name"`
	Role Role   `json:"-"`
}

// local is whoever reaches a console on loopback that has no tokens.
func local() *User { return &User{Name: "local", Role: Admin} }

const (
	longestName = 64
	nameOctets  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@"
)

// checkName holds names to what stands in records and lines as it is.
func checkName(name string) error {
	if name == "" || len(name) > longestName || strings.Trim(name, nameOctets) != "" {
		return fmt.Errorf("found the name %q, expected at most %d letters, digits, dots, dashes, underscores and @", name, longestName)
	}
	return nil
}
