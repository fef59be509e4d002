package blocklist

import "sinkhole/blocklist/format"

// domains writes the names that are blocked: "name", or "*.name" where only what
// is below it is. Exceptions follow as comments, since the form has none.
func (x *exporter) domains() error {
	if err := x.printf("# names that are blocked; \"*.\" where only those below are\n"); err != nil {
		return err
	}
	if err := x.printf("%s", x.marks("#", format.QName)); err != nil {
		return err
	}
	return x.eachName(func(name []byte) error {
		at, below := x.at(name), x.below(name)
		text := "%s\n"
		switch {
		case at.blocks() && !below.blocks():
			x.leaveOut("that the names below are not blocked")
		case !at.blocks() && below.blocks():
			text = "*.%s\n"
		case at.blocks():
		case at.decision == Enforce:
			x.leaveOut("answers of a list's own, and tcp-only")
			return nil
		case x.above(name).blocks():
			x.leaveOut("names that are excepted below one that is blocked")
			return x.printf("# except %s\n", format.Text(name))
		default:
			return nil
		}
		x.done.Entries++
		return x.printf(text, format.Text(name))
	})
}
