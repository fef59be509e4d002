package feed

// Sum is what all increments of the copy do together: it leads from Base to
// Serial. Only with Increments above 0.
func (z *ZoneCopy) Sum() (Delta, error) {
	var all changes
	sum := Delta{From: z.Base, To: z.Serial}
	for d := range z.All() {
		if err := all.apply(d); err != nil {
			return Delta{}, err
		}
		sum.SOA = d.SOA
	}
	sum.Removed, sum.Added = all.result()
	return sum, nil
}
