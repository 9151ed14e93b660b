package sipbridge

import (
	"bytes"
	"errors"
	"runtime"
	"strconv"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// invite handles an INVITE: a new call is looked up and redirected or carried;
// one to a target that was handed out is carried.
func (w *worker) invite(from *origin) {
	if len(w.req.To.Tag()) > 0 {
		if !w.engine(from) {
			w.noDialog(from)
		}
		return
	}
	x := w.b.exchanges
	key := x.key(w, from.flow.Remote, w.msg.Method)
	if v, p := x.lookup(w, key, w.b.now()); v != isNew {
		w.known(from, v, p)
		return
	}
	caller, ok := w.caller(from)
	if !ok {
		return
	}
	// A phone of RFC 2543 may name none.
	if n := w.msg.Count(message.Contact); n > 1 || n == 0 && hasCookie(w.req.Hop.Branch) {
		w.fault(&message.Fault{Code: 400, Reason: "Bad Request", Detail: "an INVITE needs one Contact"}, from)
		return
	}
	d, r := w.destination(caller)
	if r == nil && d.target == "" && d.name != w.b.cfg.EchoUser {
		r = w.paced(caller, d)
	}
	if r != nil {
		w.refuse(from, r)
		return
	}
	p := w.enter(from, key)
	if p == nil {
		return
	}
	switch {
	case d.target != "":
		w.claim(p, d.target, caller)
	case d.name == w.b.cfg.EchoUser:
		w.b.giveEcho(p, bytes.Clone(w.msg.Raw))
	default:
		w.call(p, d, caller)
	}
}

// caller finds out who calls or writes: the user part of From, an account of
// this adapter, with its password where the request comes from outside. It
// answers by itself, and reports false, if there is something to refuse.
func (w *worker) caller(from *origin) (identity.AOR, bool) {
	u := &w.req.FromURI
	if !u.IsSIP() || len(u.User) == 0 || !w.b.hosts.meansUs(u) {
		w.b.refused(RefusedAccount)
		w.refuse(from, Forbidden("the phone's own address must be an account of "+w.b.cfg.Overlay+" at this adapter"))
		return identity.AOR{}, false
	}
	return w.account(from, u.Name())
}

// maxKeyParam bounds the key in a dialled address, in bytes; what is cut is none.
const maxKeyParam = 64

// destination is what a Request-URI leads to.
type destination struct {
	name, host string // somebody's name
	target     string // or the key of a target that was handed out
}

// destination reads the Request-URI. bob@127.0.0.1, bob@localhost, bob@ any of
// our own addresses and bob@ the overlay are one name; a Route to ourselves,
// as an outbound proxy setting makes it, changes nothing.
func (w *worker) destination(caller identity.AOR) (destination, *Refusal) {
	if r := w.routes(); r != nil {
		return destination{}, r
	}
	u := &w.req.URI
	if !w.b.hosts.isUs(u) {
		key := directKey(u, caller)
		if w.b.targets.has(key) {
			return destination{target: key}, nil
		}
		w.b.refused(RefusedForeignHost)
		return destination{}, NoSuchName("this adapter does not call other hosts; " + w.b.hosts.accepted())
	}
	if len(u.User) == 0 {
		w.b.refused(RefusedMalformed)
		return destination{}, AddressIncomplete("no name was dialled; " + w.b.hosts.accepted())
	}
	name := u.Name()
	if w.b.targets.isToken(u.User) {
		name = w.b.targets.person(name)
		if key := tokenKey(u.User); w.b.targets.has(key) {
			return destination{name: name, host: string(u.Host), target: key}, nil
		}
		// Out of the phone's list of calls: whoever it led to is dialled again.
	}
	switch {
	case name == "":
		w.b.refused(RefusedMalformed)
		return destination{}, Malformed("the dialled name is wrongly escaped")
	case name != message.Clean(name, len(name)): // an escaped line end, for one
		w.b.refused(RefusedMalformed)
		return destination{}, NoSuchName("a name has no control characters")
	}
	if key, ok := u.Param("key"); ok { // the address says which key is right: bob*KEY is another way to write it
		name += "*" + message.Clean(string(key), maxKeyParam)
	}
	return destination{name: name, host: string(u.Host)}, nil
}

// routes refuses a Route to somewhere else: this adapter relays for nobody.
func (w *worker) routes() *Refusal {
	if !w.msg.Has(message.Route) {
		return nil
	}
	err := w.msg.Addresses(message.Route, func(a message.Address) error {
		u, err := message.ParseURI(a.URI)
		if err != nil {
			return err
		}
		if !w.b.hosts.isUs(&u) {
			return errForeignRoute
		}
		return nil
	})
	switch {
	case errors.Is(err, errForeignRoute):
		w.b.refused(RefusedForeignHost)
		return Forbidden("this adapter does not relay to other hosts")
	case err != nil:
		w.b.refused(RefusedMalformed)
		return Malformed(err.Error())
	}
	return nil
}

var errForeignRoute = errors.New("a Route to somebody else")

// claim carries a call to a target that was handed out.
func (w *worker) claim(p *pending, key string, caller identity.AOR) {
	attempt := string(w.msg.Get(message.CallID)) + " " + string(w.req.From.Tag())
	tg, r := w.b.targets.claim(key, caller, attempt, w.req.CSeq, w.b.now())
	if r != nil {
		w.b.refused(RefusedTarget)
		w.b.finish(p, r, nil)
		return
	}
	w.b.give(p, carry.Call{
		From: p.from.flow, Invite: bytes.Clone(w.msg.Raw),
		Caller: caller, Callee: tg.callee, CallID: tg.callID, Path: tg.path, Open: tg.open,
	})
}

// outgoing is a call on its way through the hub.
type outgoing struct {
	call     Call
	invite   []byte // whole, if it may be carried
	redirect bool
}

// call asks the hub, in the background.
func (w *worker) call(p *pending, d destination, caller identity.AOR) {
	redirect := w.b.cfg.redirects(w.msg.Get(message.UserAgent))
	o := outgoing{redirect: redirect, call: Call{
		Caller: caller, Target: d.name, TargetHost: d.host,
		CallID: w.b.sharedID(w.msg.Get(message.CallID)), Paths: w.b.cfg.paths(redirect),
	}}
	if !redirect {
		o.invite = bytes.Clone(w.msg.Raw)
	}
	if !w.b.background(func() { w.b.place(p, o) }) {
		w.b.refused(RefusedOverload)
		w.b.finish(p, Overloaded("too many calls are being looked up", 2*time.Second), nil)
		return
	}
	runtime.Gosched() // a burst of calls must not wait until the last has been read
}

// place resolves a call and answers the INVITE, or gives it to the engine.
func (b *Bridge) place(p *pending, o outgoing) {
	a, err := b.cfg.Directory.Call(p.ctx, o.call)
	switch {
	case err != nil:
		b.fail(p, err)
	case o.redirect:
		b.redirect(p, o.call, a)
	case len(a.Open) == 0:
		b.fail(p, Unreachable("the other side does not carry calls"))
	default:
		b.give(p, carry.Call{
			From: p.from.flow, Invite: o.invite, Caller: o.call.Caller, Callee: a.Callee, CallID: o.call.CallID, Path: a.carriedPath(), Open: a.Open,
		})
	}
}

// give hands an INVITE over to the engine.
func (b *Bridge) give(p *pending, c carry.Call) {
	if len(c.Open) == 0 {
		b.fail(p, Unreachable("the other side does not carry calls"))
		return
	}
	b.giveTo(p, func() error { return b.engine.Carry(c) })
}

func (b *Bridge) giveEcho(p *pending, invite []byte) {
	b.giveTo(p, func() error { return b.engine.Echo(p.from.flow, invite) })
}

// giveTo lets the engine take p over, unless it was cancelled. A CANCEL that
// comes meanwhile waits for p.mu and then goes to the engine.
func (b *Bridge) giveTo(p *pending, take func() error) {
	p.mu.Lock()
	if p.answered {
		p.mu.Unlock()
		return
	}
	err := take()
	p.answered = err == nil
	p.mu.Unlock()
	if err != nil {
		b.fail(p, err)
		return
	}
	b.exchanges.handOver(p, b.now())
	b.stats.carried.Add(1)
}

// redirect answers 302 with the one live contact, or with a token at our own
// address for a call that will be carried.
func (b *Bridge) redirect(p *pending, c Call, a *Answer) {
	tg := &target{caller: c.Caller, callee: a.Callee, callID: c.CallID, path: a.carriedPath(), open: a.Open}
	now := b.now()
	tg.expires = now + targetFor
	if !a.Expires.IsZero() {
		tg.expires = min(tg.expires, now+max(a.Expires.Sub(b.cfg.Now()), time.Second))
	}
	contact, ok := b.contact(p, tg, a)
	if !ok {
		b.refused(RefusedContact)
		b.fail(p, Unreachable("the other side's adapter named no usable contact"))
		return
	}
	if len(tg.open) > 0 {
		b.targets.add(tg, now)
	}
	fields := append(make([]byte, 0, len(contact)+32), "Contact: <"...)
	fields = append(append(fields, contact...), ">;expires="...)
	fields = strconv.AppendInt(fields, int64((tg.expires-now)/time.Second), 10)
	fields = append(fields, "\r\n"...)
	if b.finish(p, &Refusal{Code: 302, Reason: "Moved Temporarily"}, fields) {
		b.stats.redirects.Add(1)
	}
}

// contact returns the URI for a 302 and sets the target's key. What another
// adapter says is not trusted to be a URI, nor to lead elsewhere than to us.
func (b *Bridge) contact(p *pending, tg *target, a *Answer) (string, bool) {
	if a.Path != PathDirect {
		if len(a.Open) == 0 {
			return "", false
		}
		user := b.targets.token(a.Callee.User())
		tg.key = tokenKey([]byte(user))
		return "sip:" + user + "@" + p.from.flow.Local.String() + transportParam(p.from.flow.Transport), true
	}
	u, err := message.ParseURI([]byte(a.Contact))
	if err != nil || !u.IsSIP() || len(u.Headers) > 0 || b.hosts.isUs(&u) || len(a.Contact) > 512 {
		return "", false
	}
	tg.key = directKey(&u, tg.caller)
	return a.Contact, true
}

func transportParam(t string) string {
	if t == "udp" {
		return ""
	}
	return ";transport=" + t
}
