package portmap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pmpPort is fixed in the library, so each run of these tests has loopback
// addresses of its own.
const pmpPort = 5351

// loopback is the n-th loopback address of this process.
func loopback(n byte) netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, 80 + byte(pid>>16&31), byte(pid >> 8), byte(pid)&^15 | n})
}

// router plays a router on a loopback address. Its fields say in what it
// differs from an honest one.
type router struct {
	t       testing.TB
	at      netip.Addr
	outside string // its address outside
	// location and control replace its own addresses; %s is its HTTP address.
	location, control string
	page              http.HandlerFunc // replaces the description
	slow              bool             // it is given up soon
	pmpPort           uint16           // says that another port of the host was mapped; 0 = the right one
	answerFrom        net.PacketConn   // who answers the search; nil = itself

	search, pmp net.PacketConn
	http        net.Listener
	hits        atomic.Int64 // requests by HTTP
	sent        atomic.Int64 // bytes of bodies
	searched    atomic.Int64

	mu     sync.Mutex
	mapped map[uint16]string // port outside → where to
	life   uint32
}

func listenUDP(t testing.TB, at netip.AddrPort) net.PacketConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// start has it answer until the test ends; withPMP says whether it speaks NAT-PMP.
func (r *router) start(withPMP bool) *router {
	r.mapped = map[uint16]string{}
	r.search = listenUDP(r.t, netip.AddrPortFrom(r.at, 0))
	if r.answerFrom == nil {
		r.answerFrom = r.search
	}
	var err error
	if r.http, err = net.Listen("tcp4", netip.AddrPortFrom(r.at, 0).String()); err != nil {
		r.t.Fatal(err)
	}
	var work sync.WaitGroup
	server := &http.Server{Handler: http.HandlerFunc(r.serve)}
	work.Go(func() { _ = server.Serve(r.http) })
	work.Go(r.answerSearches)
	if withPMP {
		r.pmp = listenUDP(r.t, netip.AddrPortFrom(r.at, pmpPort))
		work.Go(r.answerPMP)
	}
	r.t.Cleanup(func() {
		_ = server.Close()
		r.search.Close()
		if r.pmp != nil {
			r.pmp.Close()
		}
		work.Wait()
	})
	return r
}

func (r *router) base() string { return "http://" + r.http.Addr().String() }

func (r *router) route() Route { return Route{Gateway: r.at, Local: loopback(1)} }

func (r *router) searchPort() uint16 {
	return r.search.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func (r *router) answerSearches() {
	buf := make([]byte, 2048)
	for {
		n, from, err := r.search.ReadFrom(buf)
		if err != nil {
			return
		}
		if !strings.HasPrefix(string(buf[:n]), "M-SEARCH * HTTP/1.1\r\n") {
			continue
		}
		r.searched.Add(1)
		location := r.base() + "/root.xml"
		if r.location != "" {
			location = r.location
		}
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nST: %s\r\nUSN: uuid:1::%s\r\nLOCATION: %s\r\nEXT:\r\n\r\n", searchTarget, searchTarget, location)
		_, _ = r.answerFrom.WriteTo([]byte(answer), from)
	}
}

func (r *router) answerPMP() {
	buf := make([]byte, 64)
	for {
		n, from, err := r.pmp.ReadFrom(buf)
		if err != nil {
			return
		}
		answer := make([]byte, 16)
		answer[1] = buf[1] | 0x80
		switch {
		case n == 2:
			outside := netip.MustParseAddr(r.outside).As4()
			copy(answer[8:], outside[:])
			answer = answer[:12]
		case n == 12:
			internal, external := binary.BigEndian.Uint16(buf[4:]), binary.BigEndian.Uint16(buf[6:])
			r.note(external, fmt.Sprintf("%v:%d", from.(*net.UDPAddr).IP, internal), binary.BigEndian.Uint32(buf[8:]))
			if r.pmpPort != 0 {
				internal = r.pmpPort
			}
			binary.BigEndian.PutUint16(answer[8:], internal)
			binary.BigEndian.PutUint16(answer[10:], external)
			copy(answer[12:], buf[8:12])
		}
		_, _ = r.pmp.WriteTo(answer, from)
	}
}

// note keeps a mapping; one without a lifetime removes all.
func (r *router) note(external uint16, to string, life uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if life == 0 {
		clear(r.mapped)
		return
	}
	r.mapped[external], r.life = to, life
}

func (r *router) mappings() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mapped)
}

func (r *router) serve(w http.ResponseWriter, req *http.Request) {
	r.hits.Add(1)
	if req.Method == http.MethodGet {
		if r.page != nil {
			r.page(w, req)
			return
		}
		control := "/ctl"
		if r.control != "" {
			control = r.control
		}
		fmt.Fprintf(w, `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>%s</controlURL></service></serviceList></device></root>`, control)
		return
	}
	body, _ := io.ReadAll(io.LimitReader(req.Body, 1<<16))
	_, action, _ := strings.Cut(strings.Trim(req.Header.Get("SOAPACTION"), `"`), "#")
	field := func(name string) string {
		_, rest, _ := strings.Cut(string(body), "<"+name+">")
		value, _, _ := strings.Cut(rest, "<")
		return value
	}
	result := ""
	var port uint16
	_, _ = fmt.Sscan(field("NewExternalPort"), &port)
	switch action {
	case "AddPortMapping":
		r.note(port, field("NewInternalClient")+":"+field("NewInternalPort"), 1)
	case "DeletePortMapping":
		r.note(port, "", 0)
	case "GetExternalIPAddress":
		result = "<NewExternalIPAddress>" + r.outside + "</NewExternalIPAddress>"
	}
	fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:%sResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">%s</u:%sResponse></s:Body></s:Envelope>`, action, result, action)
}

// counter counts reasons.
type counter struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counter) count(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[reason]++
}

func (c *counter) get(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[reason]
}

// String implements fmt.Stringer.
func (c *counter) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.of)
}

// open asks a router by UPnP.
func (r *router) open(c *counter, at Route) (grant, error) {
	u := &upnp{port: r.searchPort(), search: 1100 * time.Millisecond, patience: fetchTime, refused: c.count}
	if r.slow {
		u.patience = 200 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), roundTime)
	defer cancel()
	return u.open(ctx, at, 5871, 5871, lifetime)
}

// Both protocols map, renew and take back at an honest router.
func TestMapsAtARouter(t *testing.T) {
	for _, pmp := range []bool{true, false} {
		r := (&router{t: t, at: loopback(2), outside: "44.1.2.3"}).start(pmp)
		var c counter
		m := New(Config{Port: 5871, Route: func() (Route, error) { return r.route(), nil }, Refused: c.count})
		m.protocols[1].(*upnp).port = r.searchPort()
		ctx, cancel := context.WithCancel(t.Context())
		changed := make(chan struct{}, 1)
		m.cfg.Changed = func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		ended := make(chan struct{})
		go func() { defer close(ended); m.Run(ctx) }()
		<-changed
		s := m.State()
		want := "upnp"
		if pmp {
			want = "nat-pmp"
		}
		if s.Protocol != want || s.External != netip.MustParseAddrPort("44.1.2.3:5871") || s.Private || s.Expires.IsZero() {
			t.Errorf("%s: %+v", want, s)
		}
		if !pmp && (len(s.Tried) != 1 || s.Tried[0].Protocol != "nat-pmp" || !strings.Contains(s.Tried[0].Err, "does not speak it")) {
			t.Errorf("tried before: %+v", s.Tried)
		}
		if r.mappings() != 1 {
			t.Errorf("%s: %d mappings at the router", want, r.mappings())
		}
		cancel()
		<-ended
		if n := r.mappings(); n != 0 || m.State().Protocol != "" {
			t.Errorf("%s: %d mappings are left, %+v", want, n, m.State())
		}
		if pmp {
			r.pmp.Close()
		}
	}
}

// A stranger on the network answers the search with an address of its own. It
// gets no request, however fast it is; where it is itself the gateway, it gets
// them, so what it does would work.
func TestStrangerAnswersTheSearch(t *testing.T) {
	stranger := (&router{t: t, at: loopback(3), outside: "44.6.6.6"}).start(false)
	r := (&router{t: t, at: loopback(2), outside: "44.1.2.3", answerFrom: stranger.search, location: stranger.base() + "/root.xml"}).start(false)
	var c counter
	if g, err := r.open(&c, r.route()); !errors.Is(err, ErrNoIGD) {
		t.Errorf("mapped to %v, %v", g, err)
	}
	if stranger.hits.Load() != 0 || r.searched.Load() == 0 || c.get(reasonStranger) == 0 {
		t.Errorf("the stranger got %d requests, answered %d searches, %d were counted", stranger.hits.Load(), r.searched.Load(), c.get(reasonStranger))
	}
	if g, err := stranger.open(&c, stranger.route()); err != nil || g.external.Addr() != netip.MustParseAddr("44.6.6.6") {
		t.Errorf("as the gateway: %v, %v", g, err)
	}
	t.Logf("a stranger's answers to the search: %d of %d refused, requests that it got: 0", c.get(reasonStranger), r.searched.Load())
}

// A gateway that leads elsewhere, or sends more than it may, or too slowly, maps
// nothing and costs little.
func TestGatewayLies(t *testing.T) {
	elsewhere := (&router{t: t, at: loopback(3), outside: "44.6.6.6"}).start(false)
	endless := func(w http.ResponseWriter, r *router) {
		chunk := []byte(strings.Repeat("<a>x</a>", 512))
		_, _ = io.WriteString(w, "<root>")
		for {
			n, err := w.Write(chunk)
			r.sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	tests := []struct {
		name   string
		lie    func(r *router)
		want   error
		reason string
	}{
		{"its description is elsewhere", func(r *router) { r.location = elsewhere.base() + "/root.xml" }, ErrForeign, reasonForeign},
		{"its description is a file", func(r *router) { r.location = "file:///etc/passwd" }, ErrForeign, reasonForeign},
		{"its description is at a name", func(r *router) { r.location = "http://localhost:1/root.xml" }, ErrForeign, reasonForeign},
		{"it redirects", func(r *router) {
			r.page = func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, elsewhere.base()+"/root.xml", http.StatusFound)
			}
		}, ErrForeign, reasonForeign},
		{"its service is elsewhere", func(r *router) { r.control = elsewhere.base() + "/ctl" }, ErrForeign, reasonForeign},
		{"its description never ends", func(r *router) {
			r.page = func(w http.ResponseWriter, _ *http.Request) { endless(w, r) }
		}, ErrTooLarge, reasonTooLarge},
		{"its description never comes", func(r *router) {
			r.slow = true
			r.page = func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.WriteString(w, "<root>")
				w.(http.Flusher).Flush()
				<-req.Context().Done()
			}
		}, context.DeadlineExceeded, ""},
		{"its address outside is none", func(r *router) { r.outside = "no address" }, ErrAnswer, reasonAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &router{t: t, at: loopback(2), outside: "44.1.2.3"}
			tt.lie(r)
			r.start(false)
			var c counter
			g, err := r.open(&c, r.route())
			if !errors.Is(err, tt.want) {
				t.Errorf("mapped to %v, %v", g, err)
			}
			if tt.reason != "" && c.get(tt.reason) == 0 {
				t.Errorf("not counted as %s: %v", tt.reason, &c)
			}
			if r.searched.Load() == 0 || elsewhere.hits.Load() != 0 {
				t.Errorf("%d searches, %d requests elsewhere", r.searched.Load(), elsewhere.hits.Load())
			}
			if n := r.mappings(); n != 0 {
				t.Errorf("%d mappings are left", n)
			}
		})
	}
}

// What a gateway says by NAT-PMP is looked at, too.
func TestGatewayLiesByNATPMP(t *testing.T) {
	for _, tt := range []struct {
		outside string
		port    uint16
		reason  string
	}{
		{"44.1.2.3", 22, reasonAnswer},
		{"0.0.0.0", 0, reasonOutside},
		{"224.0.0.1", 0, reasonOutside},
		{"169.254.1.1", 0, reasonOutside},
	} {
		r := &router{t: t, at: loopback(2), outside: tt.outside, pmpPort: tt.port}
		r.start(true)
		var c counter
		m := New(Config{Port: 5871, Route: func() (Route, error) { return r.route(), nil }, Refused: c.count})
		m.protocols = m.protocols[:1]
		m.round(t.Context())
		if s := m.State(); s.External.IsValid() || len(s.Tried) != 1 || c.get(tt.reason) != 1 {
			t.Errorf("%s, %d: %+v, refused %v", tt.outside, tt.port, s, &c)
		}
		r.pmp.Close()
	}
}
