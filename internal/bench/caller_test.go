//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// caller is the smallest phone that can ask: it sends an INVITE, takes the
// 302 and acknowledges it.
type caller struct {
	conn *net.UDPConn
	name string
	seq  int
	buf  [4096]byte
}

func newCaller(tb testing.TB, name string, adapter netip.AddrPort) *caller {
	tb.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(adapter))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &caller{conn: conn, name: name}
}

const offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"

// invite dials and returns how long the 302 took to come. Any other final
// answer is an error.
func (c *caller) invite(to string) (time.Duration, error) {
	c.seq++
	local, remote := c.conn.LocalAddr(), c.conn.RemoteAddr()
	head := fmt.Sprintf("Via: SIP/2.0/UDP %[1]s;branch=z9hG4bK%[2]s%[3]d\r\nFrom: <sip:%[2]s@%[4]s>;tag=%[3]d\r\nTo: <sip:%[5]s@%[4]s>%%s\r\nCall-ID: %[3]d-%[1]s\r\nCSeq: 1 %%s\r\nMax-Forwards: 70\r\n",
		local, c.name, c.seq, remote, to)
	msg := fmt.Sprintf("INVITE sip:%s@%s SIP/2.0\r\n"+head+"Contact: <sip:%s@%s>\r\nUser-Agent: baresip v1.0.0\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
		to, remote, "", "INVITE", c.name, local, len(offer), offer)
	start := time.Now()
	if _, err := c.conn.Write([]byte(msg)); err != nil {
		return 0, err
	}
	for {
		if err := c.conn.SetReadDeadline(start.Add(10 * time.Second)); err != nil {
			return 0, err
		}
		n, err := c.conn.Read(c.buf[:])
		if err != nil {
			return 0, fmt.Errorf("%s calls %s: %w", c.name, to, err)
		}
		answer := c.buf[:n]
		if !bytes.Contains(answer, fmt.Appendf(nil, "Call-ID: %d-", c.seq)) || bytes.HasPrefix(answer, []byte("SIP/2.0 1")) {
			continue
		}
		took := time.Since(start)
		if !bytes.HasPrefix(answer, []byte("SIP/2.0 302 ")) {
			return took, fmt.Errorf("%s calls %s: %s", c.name, to, answer)
		}
		ack := fmt.Sprintf("ACK sip:%s@%s SIP/2.0\r\n"+head+"Content-Length: 0\r\n\r\n", to, remote, toTag(answer), "ACK")
		_, err = c.conn.Write([]byte(ack))
		return took, err
	}
}

func toTag(answer []byte) string {
	_, rest, _ := bytes.Cut(answer, []byte("\nTo: "))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	if i := bytes.LastIndex(line, []byte(";tag=")); i >= 0 {
		return string(line[i:])
	}
	return ""
}

// report gives p50 and p99 of the samples in milliseconds.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(ms(percentile(took, 0.50)), "p50-ms")
	b.ReportMetric(ms(percentile(took, 0.99)), "p99-ms")
	b.ReportMetric(0, "ns/op") // the mean says nothing here
}

// percentile is the nearest-rank percentile of sorted samples.
func percentile(sorted []time.Duration, p float64) time.Duration {
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

// median sorts the samples.
func median(samples []time.Duration) time.Duration {
	slices.Sort(samples)
	return percentile(samples, 0.50)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
