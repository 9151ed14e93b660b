package sipbridge

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestTextOut(t *testing.T) {
	h := &hub{}
	r := start(t, h, nil)
	for _, network := range []string{"udp", "tcp"} {
		p := r.phone(t, network, "alice")
		msg := p.request("MESSAGE", "bob", "Content-Type: text/plain; charset=utf-8", "Body: Grüße\r\n")
		m := p.ask(msg)
		got, n := last(h, texts)
		if m.Status != 200 || got.From != aor("alice") || got.Target != "bob" || string(got.Body) != "Grüße\r\n" || got.ContentType != "text/plain; charset=utf-8" || !got.To.IsZero() {
			t.Fatalf("%+v\n%s", got, m)
		}
		if again := p.ask(msg); again.String() != m.String() {
			t.Errorf("repeated: %s", again)
		}
		if _, after := last(h, texts); after != n {
			t.Error("a repetition was sent on")
		}
	}
	p := r.phone(t, "udp", "alice")
	if m := p.ask(p.request("MESSAGE", "bob", "Body: "+strings.Repeat("x", MaxText+1))); m.Status != 513 {
		t.Errorf("%s", m)
	}
	if m := p.ask(p.request("MESSAGE", "sip:bob@example.com")); m.Status != 404 {
		t.Errorf("%s", m)
	}
	h.mu.Lock()
	h.message = func(context.Context, Message) error { return NotRegistered("bob is away") }
	h.mu.Unlock()
	if m := p.ask(p.request("MESSAGE", "bob")); m.Status != 480 || !strings.Contains(m.field("Warning"), "bob is away") {
		t.Errorf("%s", m)
	}
}

func deliver(r *rig, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return r.Deliver(ctx, Message{From: aor("alice"), To: aor("bob"), ContentType: "text/plain", Body: []byte("hi")})
}

func TestTextIn(t *testing.T) {
	r := start(t, &hub{}, nil)
	if err := deliver(r, patience); asRefusal(err).Code != 480 {
		t.Errorf("nobody: %v", err)
	}
	a := newAnswering(t, 200)
	r.Restore(aor("bob"), []Binding{a.binding("bob")})
	if err := deliver(r, patience); err != nil {
		t.Fatal(err)
	}
	got := a.requests("MESSAGE")
	if len(got) != 1 {
		t.Fatalf("%q", got)
	}
	head, body, _ := strings.Cut(got[0], "\r\n\r\n")
	for _, line := range []string{
		"MESSAGE sip:bob-0x55@" + a.addr() + ";ob SIP/2.0", "From: <sip:alice@" + r.udp.String() + ">;tag=", "To: <sip:bob@" + r.udp.String() + ">",
		"Via: SIP/2.0/UDP " + r.udp.String() + ";branch=z9hG4bK", "Content-Type: text/plain", "Content-Length: 2", "Max-Forwards: 70",
	} {
		if !strings.Contains(head, line) {
			t.Errorf("no %q in\n%s", line, head)
		}
	}
	if body != "hi" {
		t.Errorf("body %q", body)
	}
	a.say(486)
	if f := asRefusal(deliver(r, patience)); f.Code != 486 || f.Reason != "Said So" {
		t.Errorf("%+v", f)
	}
	a.say(302)
	if f := asRefusal(deliver(r, patience)); f.Code != 480 {
		t.Errorf("%+v", f)
	}
}

// A lost request is sent again, until the sender's time is over.
func TestTextIsRepeated(t *testing.T) {
	r := start(t, &hub{}, nil)
	a := newAnswering(t, 0)
	r.Restore(aor("bob"), []Binding{a.binding("bob")})
	done := make(chan error, 1)
	go func() { done <- deliver(r, patience) }()
	eventually(t, "it is sent again", func() bool { return len(a.requests("MESSAGE")) >= 2 })
	got := a.requests("MESSAGE")
	if got[0] != got[1] {
		t.Errorf("%s\n%s", got[0], got[1])
	}
	a.say(200)
	if err := <-done; err != nil {
		t.Error(err)
	}
	a.say(0)
	if f := asRefusal(deliver(r, 600*time.Millisecond)); f.Code != 408 {
		t.Errorf("%+v", f)
	}
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if len(r.client.txs) != 0 {
		t.Errorf("%d transactions are left", len(r.client.txs))
	}
}

// One phone that takes the text is enough.
func TestTextToSeveralPhones(t *testing.T) {
	r := start(t, &hub{}, nil)
	a, b := newAnswering(t, 486), newAnswering(t, 202)
	r.Restore(aor("bob"), []Binding{a.binding("bob"), b.binding("bob")})
	if err := deliver(r, patience); err != nil {
		t.Error(err)
	}
}

func TestTextFromHostileAdapter(t *testing.T) {
	r := start(t, &hub{}, nil)
	a := newAnswering(t, 200)
	r.Restore(aor("bob"), []Binding{a.binding("bob")})
	for _, contentType := range []string{"text/plain\r\nInjected: yes", "", "text", "text/plain\x00"} {
		if err := r.Deliver(context.Background(), Message{From: aor("alice"), To: aor("bob"), ContentType: contentType, Body: []byte("hi")}); err != nil {
			t.Error(err)
		}
	}
	for _, m := range a.requests("MESSAGE") {
		if strings.Contains(m, "Injected") || !strings.Contains(m, "Content-Type: text/plain\r\n") {
			t.Errorf("%s", m)
		}
	}
}
