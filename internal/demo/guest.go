package demo

import (
	"fmt"
	"io"
)

// Guest prints how to attach a phone of one's own as the third person.
func (l *LAN) Guest(w io.Writer) error {
	if len(l.adapters) < 3 {
		_, err := fmt.Fprintln(w, "\nThe LAN stays up; Ctrl-C ends it. (With three adapters or more, one is free for your own phone.)")
		return err
	}
	m := l.adapters[2]
	at, err := m.sip()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `
The LAN stays up; Ctrl-C ends it. Attach a phone of your own as %[1]s:

  Linphone   account sip:%[1]s@127.0.0.1, SIP server (registrar) sip:%[2]s;transport=udp
  baresip    in ~/.baresip/accounts:
             <sip:%[1]s@%[2]s>;regint=300

then dial bob, alice, or echo: sip:bob@%[2]s. alice and bob answer by themselves.
`, m.user, at)
	return err
}
