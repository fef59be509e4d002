package sink

import (
	"encoding/json"

	"sinkhole/hits"
)

// heads are those of the journal's chain that a receiver shall have.
type heads struct {
	waiting chan hits.Head
	latest  hits.Head // handed over; whether it arrived shows nothing
}

func newHeads() heads { return heads{waiting: make(chan hits.Head, maxHeads)} }

// Head has a head of the journal's chain sent. It does not wait: one that finds no room is left
// out, and the next one stands for it too.
func (h *heads) Head(head hits.Head) {
	select {
	case h.waiting <- head:
	default:
	}
}

// again hands over anew what a connection before this one may have lost.
func (h *heads) again(conn *connection) error {
	if conn.putHead == nil || h.latest.Head == "" {
		return nil
	}
	return h.put(conn, h.latest)
}

// send hands over those that wait.
func (h *heads) send(conn *connection) error {
	for conn.putHead != nil {
		select {
		case head := <-h.waiting:
			h.latest = head
			if err := h.put(conn, head); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (h *heads) put(conn *connection, head hits.Head) error {
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	return conn.putHead(text, head.Time)
}
