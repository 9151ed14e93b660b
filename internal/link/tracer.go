package link

import (
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

// dropCounter counts the packets that quic-go drops because they belong to no
// connection.
type dropCounter struct{ refused func(string) }

// RecordEvent implements qlogwriter.Recorder.
func (d dropCounter) RecordEvent(e qlogwriter.Event) {
	if _, ok := e.(qlog.PacketDropped); ok {
		d.refused(ReasonQUICDropped)
	}
}

// Close implements qlogwriter.Recorder.
func (dropCounter) Close() error { return nil }
