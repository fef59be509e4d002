package main

import (
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sinkhole/blocklist"
	"sinkhole/configs"
)

func newCheck(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Read configuration and every list, and start nothing",
		Long: "Reads configuration and every list, and starts nothing. Each fault is printed with\n" +
			"file:line:column, what was found and what was expected; then the exit code is 1.\n" +
			"Entries that are left out on purpose, or that the guard refuses or holds, are no faults. Lists that\n" +
			"come over the network are not fetched: the copies that the server keeps are read.",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(*file)
			if err != nil {
				return err
			}
			return check(c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func check(c *configs.Config, out, messages io.Writer) error {
	if err := checkBeside(c); err != nil {
		return err
	}
	lists, err := readLists(c)
	if err != nil {
		return err
	}
	for _, w := range deafSinkholes(c) {
		say(messages, "%s (warning)\n", w)
	}
	for _, w := range clientWarnings(c) {
		say(messages, "%s (warning)\n", w)
	}
	for _, w := range lists.GroupWarnings() {
		line, column := c.Position("groups")
		say(messages, "%s:%d:%d: %s (warning)\n", c.File(), line, column, w)
	}
	faults := checkNames(c, messages)
	if len(c.Lists) == 0 {
		say(messages, "no list is configured: nothing is blocked (warning)\n")
	}
	for _, s := range lists.Status() {
		if lists.unfetched(s.Name) {
			say(messages, "%slist %s was never fetched: sinkhole serve fetches it (warning)\n", place(c, s.Name), s.Name)
			continue
		}
		faults += checkList(&s, place(c, s.Name), out, messages)
		if text := lists.copyText(s.Name); text != "" {
			say(out, "list %s: %s\n", s.Name, text)
		}
		approvals, err := lists.Approvals(s.Name)
		if err != nil {
			say(messages, "list %s: %s: until then nothing that was approved acts\n", s.Name, err)
			faults++
		}
		for _, a := range approvals {
			say(out, "list %s: approved by %s at %s: %s\n", s.Name, a.User, a.Time.UTC().Format(time.RFC3339), a.What())
		}
	}
	if faults > 0 {
		return &exitError{code: exitFault, err: fmt.Errorf("%s", plural(faults, "fault", "faults"))}
	}
	p := lists.Policy()
	_, err = fmt.Fprintf(out, "no faults; %s indicators in %s\n", humanize.Comma(int64(p.Indicators())), plural(len(lists.Status()), "list", "lists"))
	return err
}

// place is where a list's source stands in the configuration, as a prefix of a
// message.
func place(c *configs.Config, list string) string {
	for section, all := range map[string][]configs.List{"lists": c.Lists, "allow": c.Allow} {
		for i, l := range all {
			if l.Name == list {
				line, column := c.Position(fmt.Sprintf("%s[%d].source", section, i))
				return fmt.Sprintf("%s:%d:%d: ", c.File(), line, column)
			}
		}
	}
	return ""
}

// checkList prints what stands against one list, and counts it.
func checkList(s *blocklist.Status, place string, out, messages io.Writer) (faults int) {
	malformed := 0
	for i := range s.Faults {
		kind := "left out"
		if !s.Faults[i].Refused {
			kind = "malformed"
			malformed++
		}
		say(messages, "%s (%s)\n", &s.Faults[i], kind)
	}
	for i := range s.GuardRefused {
		say(messages, "%s (refused: %s)\n", &s.GuardRefused[i], s.GuardRefused[i].Kind)
	}
	for i := range s.GuardHeld {
		say(messages, "%s (held: %s)\n", &s.GuardHeld[i], s.GuardHeld[i].Kind)
	}
	for _, w := range s.Warnings {
		say(messages, "%s (warning)\n", w)
	}
	if more := s.Malformed - malformed; more > 0 && s.Error == "" {
		say(messages, "list %s: %s more\n", s.Name, plural(more, "malformed line", "malformed lines"))
	}
	if s.Error != "" {
		say(messages, "%slist %s cannot be used: %s\n", place, s.Name, oneLine(s.Error))
		return malformed + 1
	}
	if s.HeldReason != "" {
		say(messages, "%slist %s would be held: it %s (warning)\n", place, s.Name, s.HeldReason)
	}
	say(out, "list %s: %s, %s malformed, %s left out, %s refused, %s held\n", s.Name, plural(s.Entries, "entry", "entries"),
		count(s.Malformed), count(s.LeftOut()), count(s.Kept), count(s.Held))
	return s.Malformed
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}
