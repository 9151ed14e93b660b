//go:build linux

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rtpEngine is a process of rtpengine, which forwards in user space.
type rtpEngine struct {
	cmd  *exec.Cmd
	conn *net.UDPConn // its ng control port
	n    int
}

// rtpEnginePackage is the Debian package that has it.
const rtpEnginePackage = "rtpengine-daemon"

// startRTPEngine starts one whose streams have the thousand ports from first on.
func startRTPEngine(b *testing.B, first int) *rtpEngine {
	b.Helper()
	path, err := exec.LookPath("rtpengine")
	if err != nil {
		b.Fatalf("the Debian package %s is needed: %v", rtpEnginePackage, err)
	}
	at := netip.AddrPortFrom(here, uint16(freePort(b)))
	e := &rtpEngine{cmd: exec.Command(path, "--config-file=none", "--table=-1", "--interface="+here.String(), "--listen-ng="+at.String(),
		"--port-min="+strconv.Itoa(first), "--port-max="+strconv.Itoa(first+999), "--foreground", "--log-stderr", "--log-level=3")}
	var log bytes.Buffer
	e.cmd.Dir, e.cmd.Stderr = b.TempDir(), &log
	if err := e.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait()
		if b.Failed() {
			b.Logf("rtpengine:\n%s", &log)
		}
	})
	if e.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.conn.Close() })
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err = e.ask(map[string]any{"command": "ping"}, 100*time.Millisecond); err == nil {
			return e
		}
		if time.Now().After(end) {
			b.Fatalf("rtpengine does not answer: %v\n%s", err, &log)
		}
	}
}

// ask sends a command of the ng protocol and returns the answer's strings.
func (e *rtpEngine) ask(command map[string]any, patience time.Duration) (map[string]string, error) {
	e.n++
	cookie := strconv.Itoa(e.n) + " "
	if _, err := e.conn.Write(appendBencoded([]byte(cookie), command)); err != nil {
		<-time.After(patience) // its port is not open yet
		return nil, err
	}
	if err := e.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := e.conn.Read(buf)
		if err != nil {
			<-time.After(patience)
			return nil, err
		}
		if answer, ok := bytes.CutPrefix(buf[:n], []byte(cookie)); ok {
			return bencodedStrings(answer)
		}
	}
}

// describe has it take an offer or an answer, and returns the description for
// the other side.
func (e *rtpEngine) describe(b *testing.B, command map[string]any) []byte {
	b.Helper()
	answer, err := e.ask(command, 5*time.Second)
	if err != nil || answer["result"] != "ok" {
		b.Fatalf("rtpengine answers %v, %v to %v", answer, err, command)
	}
	return []byte(answer["sdp"])
}

// appendBencoded appends strings, bytes, lists of strings and maps of those.
func appendBencoded(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(append(strconv.AppendInt(dst, int64(len(v)), 10), ':'), v...)
	case []byte:
		return appendBencoded(dst, string(v))
	case []string:
		dst = append(dst, 'l')
		for _, item := range v {
			dst = appendBencoded(dst, item)
		}
		return append(dst, 'e')
	case map[string]any:
		dst = append(dst, 'd')
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			dst = appendBencoded(appendBencoded(dst, k), v[k])
		}
		return append(dst, 'e')
	}
	panic(fmt.Sprintf("bencode: %T", v))
}

var errBencode = errors.New("not a flat dictionary of strings")

// bencodedStrings reads a dictionary of strings.
func bencodedStrings(b []byte) (map[string]string, error) {
	var items []string
	if len(b) < 2 || b[0] != 'd' {
		return nil, errBencode
	}
	for b = b[1:]; len(b) > 0 && b[0] != 'e'; {
		size, rest, ok := bytes.Cut(b, []byte(":"))
		n, err := strconv.Atoi(string(size))
		if !ok || err != nil || n < 0 || n > len(rest) {
			return nil, errBencode
		}
		items, b = append(items, string(rest[:n])), rest[n:]
	}
	if len(items)%2 != 0 {
		return nil, errBencode
	}
	out := map[string]string{}
	for pair := range slices.Chunk(items, 2) {
		out[pair[0]] = pair[1]
	}
	return out, nil
}

// engines are two of them, between which media are encrypted as on our link:
// phone, RTP, engine, SRTP, engine, RTP, phone.
type engines struct{ a, b *rtpEngine }

func newEngines(b *testing.B) engines {
	return engines{startRTPEngine(b, 30000), startRTPEngine(b, 32000)}
}

// srtpSuite is the same cipher as that of our links, one pass of AES-128-GCM
// (RFC 7714); the usual AES_CM_128_HMAC_SHA1_80 costs more.
const srtpSuite = "AEAD_AES_128_GCM"

// onlySuite leaves one of the ways to encrypt that an offer names.
func onlySuite(b *testing.B, offer []byte) (out []byte) {
	b.Helper()
	found := false
	for line := range bytes.Lines(offer) {
		if bytes.HasPrefix(line, []byte("a=crypto:")) && !bytes.Contains(line, []byte(srtpSuite+" ")) {
			continue
		}
		found = found || bytes.HasPrefix(line, []byte("a=crypto:"))
		out = append(out, line...)
	}
	if !found {
		b.Fatalf("rtpengine does not offer %s:\n%s", srtpSuite, offer)
	}
	return out
}

// call sets one call's media up and returns its two voices.
func (e engines) call(b *testing.B, n int) []*voice {
	b.Helper()
	pa, addrA := socket(b)
	pb, addrB := socket(b)
	command := func(what string, body []byte, more map[string]any) map[string]any {
		c := map[string]any{"command": what, "call-id": strconv.Itoa(n), "from-tag": "a", "sdp": body, "replace": []string{"origin"}, "ICE": "remove"}
		for k, v := range more {
			c[k] = v
		}
		return c
	}
	toTag := map[string]any{"to-tag": "b"}
	sealed := e.a.describe(b, command("offer", describe(addrA.Port()), map[string]any{"transport-protocol": "RTP/SAVP", "DTLS": "off"}))
	offer := e.b.describe(b, command("offer", onlySuite(b, sealed), map[string]any{"transport-protocol": "RTP/AVP"}))
	sealed = e.b.describe(b, command("answer", describe(addrB.Port()), toTag))
	if !strings.Contains(string(sealed), srtpSuite) {
		b.Fatalf("the two do not agree on %s:\n%s", srtpSuite, sealed)
	}
	answer := e.a.describe(b, command("answer", sealed, toTag))
	return []*voice{{from: pa, at: pb, to: audioAt(b, answer)}, {from: pb, at: pa, to: audioAt(b, offer)}}
}
