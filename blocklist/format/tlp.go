package format

// tlpLabels are the labels of TLP 2.0 from the laxest to the strictest, behind
// that of an entry without one.
const tlpLabels = 6

func tlpOf(rank int) string {
	return [tlpLabels]string{"", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"}[rank]
}

func tlpRank(label string) int {
	for rank := tlpLabels - 1; rank > 0; rank-- {
		if tlpOf(rank) == label {
			return rank
		}
	}
	return 0
}

// strictest is the label that holds where a source states both.
func strictest(a, b string) string { return tlpOf(max(tlpRank(a), tlpRank(b))) }
