package phone

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

const baresipLog = `baresip is ready.
UDP 10.0.0.2:5062 -> 10.0.0.3:5062
INVITE sip:bob-0x55@10.0.0.3:5062 SIP/2.0
CSeq: 7 INVITE
Content-Length: 3

v=0
UDP 10.0.0.3:5062 -> 10.0.0.2:5062
SIP/2.0 480 Temporarily Unavailable
CSeq: 7 INVITE
warning: 399 overlay "bob has no phone on"
Content-Length: 0

`

const linphoneLog = `belle-sip-message-channel [0x56]: message sent to [UDP://10.0.0.1:5070], size: [1061] bytes
MESSAGE sip:bob@lan.example SIP/2.0
CSeq: 20 MESSAGE
Content-Length: 2

hi
belle-sip-message-channel [0x56]: received [302] new bytes from [UDP://10.0.0.1:5070]:
SIP/2.0 200
CSeq: 20 MESSAGE

`

func TestTraceOfBothPhones(t *testing.T) {
	got := parseTrace(strings.Split(baresipLog, "\n"), "10.0.0.2:5062", "127.0.0.1:5062")
	if len(got) != 2 {
		t.Fatalf("%d messages: %+v", len(got), got)
	}
	if m := got[0]; !m.Sent || m.Method != "INVITE" || m.URI != "sip:bob-0x55@10.0.0.3:5062" || m.Content != "v=0" {
		t.Errorf("request: %+v", m)
	}
	if m := got[1]; m.Sent || m.Method != "INVITE" || m.Status != 480 || m.Reason != "Temporarily Unavailable" {
		t.Errorf("response: %+v", m)
	}
	if w := got[1].Header("Warning"); w != `399 overlay "bob has no phone on"` {
		t.Errorf("Warning is %q", w)
	}

	got = parseTrace(strings.Split(linphoneLog, "\n"))
	if len(got) != 2 || !got[0].Sent || got[0].Content != "hi" || got[1].Sent || got[1].Status != 200 || got[1].Method != "MESSAGE" {
		t.Errorf("linphonec: %+v", got)
	}
}

func TestTraceIgnoresWhatIsCutOff(t *testing.T) {
	lines := strings.Split(baresipLog, "\n")
	for n := range lines {
		for _, m := range parseTrace(lines[:n]) {
			if m.Status == 0 && m.Method == "" {
				t.Errorf("%d lines: message without method or status", n)
			}
		}
	}
}

func TestNetstrings(t *testing.T) {
	framed := appendNetstring(appendNetstring(nil, []byte(`{"a":1}`)), nil)
	if string(framed) != `7:{"a":1},0:,` {
		t.Errorf("framed as %q", framed)
	}
	r := bufio.NewReader(bytes.NewReader(framed))
	one, err1 := readNetstring(r)
	two, err2 := readNetstring(r)
	if err := errors.Join(err1, err2); err != nil || string(one) != `{"a":1}` || len(two) != 0 {
		t.Errorf("read back as %q, %q, %v", one, two, err)
	}
	if _, err := readNetstring(r); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	for _, bad := range []string{"3:abcd", "-1:,", "x:,", "9999999999:", ":"} {
		if _, err := readNetstring(bufio.NewReader(strings.NewReader(bad))); !errors.Is(err, errNetstring) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := readNetstring(bufio.NewReader(strings.NewReader("5:abc"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
}
