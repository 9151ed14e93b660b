//go:build linux

package phone

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/e2e/internal/tone"
)

// baresipConfig is the smallest set of modules that makes calls with a file for a microphone. Sound is recorded by sndfile,
// which needs a player: aubridge is one that needs no device. rtp_stats makes the phone count packets.
var baresipConfig = template.Must(template.New("config").Parse(`poll_method epoll
sip_listen {{or .Listen "0.0.0.0"}}:{{.Port}}{{if .Listen}}
net_interface {{.Listen}}{{end}}
audio_path {{.Dir}}
audio_source aufile,{{.Tone}}
audio_player aubridge,sink
audio_alert aubridge,alert
audio_srate 8000
audio_channels 1
ausrc_srate 8000
auplay_srate 8000
call_local_timeout 60
call_max_calls 4
rtp_ports {{.RTP}}-{{.RTPEnd}}
rtcp_mux no
jitter_buffer_type fixed
jitter_buffer_delay 5-10
rtp_stats yes
{{if .Silence}}rtp_timeout {{.Silence}}
{{end}}module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module sndfile.so
module aubridge.so
module_tmp uuid.so
module_app account.so
module_app contact.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{{.Control}}
snd_path {{.Dir}}
`))

// Baresip is baresip 1.0, controlled by ctrl_tcp.
type Baresip struct {
	cfg  Config
	dir  string
	proc *lab.Proc
	conn net.Conn

	mark    int
	known   map[string]bool // recordings of earlier calls
	answers chan reply
	keys    chan string // of the dial pad, that came from the other side
	mu      sync.Mutex
	token   int
}

type reply struct {
	Type  string `json:"type"` // of an event
	Param string `json:"param"`
	OK    bool   `json:"ok"`
	Data  string `json:"data"`
	Token string `json:"token"`
}

// NewBaresip writes the phone's configuration; nothing runs yet.
func NewBaresip(cfg Config) (*Baresip, error) {
	b := &Baresip{cfg: cfg, dir: filepath.Join(cfg.Host.Dir, "baresip-"+cfg.User), answers: make(chan reply, 16), keys: make(chan string, 64)}
	// #nosec G301 -- a test phone's, no secret
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, err
	}
	var config bytes.Buffer
	err := baresipConfig.Execute(&config, map[string]any{
		"Port": cfg.Port, "Dir": b.dir, "Tone": cfg.Tone, "Control": b.control(),
		"Listen": cfg.bind(), "RTP": b.rtp(), "RTPEnd": b.rtp() + 100, "Silence": cfg.Silence,
	})
	if err != nil {
		return nil, err
	}
	mode := "auto"
	if cfg.Manual {
		mode = "manual"
	}
	account := fmt.Sprintf("<%s%s>;regint=%d;audio_codecs=PCMU/8000/1;answermode=%s", cfg.AOR(), cfg.transport(), cfg.expires(), mode)
	if cfg.Proxy != "" {
		account += fmt.Sprintf(";outbound=%q", "sip:"+cfg.Proxy+cfg.transport())
	}
	if cfg.Password != "" {
		account += ";auth_pass=" + cfg.Password
	}
	var contacts strings.Builder
	for _, p := range cfg.Peers {
		fmt.Fprintf(&contacts, "\"%s\" <%s>\n", p, p)
	}
	for name, text := range map[string]string{"config": config.String(), "accounts": account + "\n", "contacts": contacts.String()} {
		// #nosec G306 -- a test phone's, no secret
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Ports of the control connection and of RTP follow from the SIP port, so that several phones fit on a host.
func (b *Baresip) control() int { return b.cfg.Port + 10000 }
func (b *Baresip) rtp() int     { return 20000 + b.cfg.Port%100*200 }

// Name is the program, the account and the host.
func (b *Baresip) Name() string { return "baresip " + b.cfg.User + " on " + b.cfg.Host.Name }

// Start runs baresip and connects to its control port.
func (b *Baresip) Start(ctx context.Context) error {
	proc, err := b.cfg.Host.Start("baresip-"+b.cfg.User, nil, "baresip", "-s", "-f", b.dir)
	if err != nil {
		return err
	}
	b.proc, b.mark = proc, 0
	if _, err := proc.Log.Wait(ctx, 0, regexp.MustCompile(`baresip is ready`)); err != nil {
		return fmt.Errorf("%s: %w", b.Name(), err)
	}
	conn, err := b.cfg.Host.Dial(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(b.control())))
	if err != nil {
		return fmt.Errorf("%s: control port: %w", b.Name(), err)
	}
	b.conn = conn
	go b.listen(conn)
	return nil
}

// listen hands the answers of the control port on. Of events only keys are needed, of others the log tells more.
func (b *Baresip) listen(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		data, err := readNetstring(r)
		if err != nil {
			return
		}
		var msg reply
		if json.Unmarshal(data, &msg) != nil {
			continue
		}
		if msg.Type == "CALL_DTMF_START" {
			select {
			case b.keys <- msg.Param:
			default: // nobody waits
			}
		}
		if msg.Token == "" {
			continue
		}
		select {
		case b.answers <- msg:
		default: // nobody waits
		}
	}
}

// command sends one command and waits for its answer.
func (b *Baresip) command(ctx context.Context, name, params string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token++
	token := strconv.Itoa(b.token)
	data, err := json.Marshal(map[string]string{"command": name, "params": params, "token": token})
	if err != nil {
		return "", err
	}
	if _, err := b.conn.Write(appendNetstring(nil, data)); err != nil {
		return "", fmt.Errorf("%s: %s: %w", b.Name(), name, err)
	}
	for {
		select {
		case a := <-b.answers:
			if a.Token != token {
				continue
			}
			if !a.OK {
				return a.Data, fmt.Errorf("%s refuses %q: %s", b.Name(), name+" "+params, strings.TrimSpace(a.Data))
			}
			return a.Data, nil
		case <-b.proc.Done():
			return "", fmt.Errorf("%s ended", b.Name())
		case <-ctx.Done():
			return "", fmt.Errorf("%s: %s: %w", b.Name(), name, context.Cause(ctx))
		}
	}
}

func (b *Baresip) wait(ctx context.Context, pattern string) ([]string, error) {
	m, err := b.proc.Log.Wait(ctx, b.mark, regexp.MustCompile(pattern))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return m, nil
}

// WaitRegistered waits for the registrar's 200.
func (b *Baresip) WaitRegistered(ctx context.Context) error {
	_, err := b.proc.Log.Wait(ctx, 0, regexp.MustCompile(`: \{\d+/\w+/v[46]\} 200 .*\[\d+ bindings?\]`))
	if err != nil {
		return fmt.Errorf("%s registers: %w", b.Name(), err)
	}
	return nil
}

// Ready turns to the next call.
func (b *Baresip) Ready(context.Context) error {
	found, err := filepath.Glob(filepath.Join(b.dir, "dump-*-dec.wav"))
	if err != nil {
		return err
	}
	b.known = make(map[string]bool)
	for _, f := range found {
		b.known[f] = true
	}
	b.mark = b.proc.Log.Len()
	return nil
}

// Dial calls.
func (b *Baresip) Dial(ctx context.Context, uri string) error {
	_, err := b.command(ctx, "dial", uri)
	return err
}

// WaitRinging waits for a 18x to the phone's INVITE.
func (b *Baresip) WaitRinging(ctx context.Context) error {
	_, err := b.wait(ctx, `^SIP/2\.0 18\d `)
	return err
}

// WaitEstablished waits until the call stands; a refusal ends the wait.
func (b *Baresip) WaitEstablished(ctx context.Context) error {
	m, err := b.wait(ctx, `: Call established: |: session closed: (.*)$`)
	if err == nil && m[1] != "" {
		err = fmt.Errorf("%s: call ended instead: %s", b.Name(), m[1])
	}
	return err
}

func (b *Baresip) recording() string { return newest(filepath.Join(b.dir, "dump-*-dec.wav"), b.known) }

// WaitHeard waits for sound in the recording.
func (b *Baresip) WaitHeard(ctx context.Context, d time.Duration) error {
	return waitHeard(ctx, b, d, func() time.Duration {
		heard, _ := tone.Length(b.recording()) // there may be none yet
		return heard
	})
}

// Hold puts the call on hold, by a re-INVITE.
func (b *Baresip) Hold(ctx context.Context) error { return b.change(ctx, "hold", "") }

// Resume takes the call up again.
func (b *Baresip) Resume(ctx context.Context) error { return b.change(ctx, "resume", "") }

// change gives a command and waits for the answer to the re-INVITE that it leads to.
func (b *Baresip) change(ctx context.Context, command, params string) error {
	mark := b.proc.Log.Len()
	if _, err := b.command(ctx, command, params); err != nil {
		return err
	}
	return waitFor(ctx, b.Name()+": "+command, func() bool {
		for _, m := range parseTrace(b.proc.Log.From(mark), b.cfg.own()...) {
			if m.Method == "INVITE" && m.Status == 200 && !m.Sent {
				return true
			}
		}
		return false
	})
}

// Digits presses keys, sent as RFC 4733 events.
func (b *Baresip) Digits(ctx context.Context, keys string) error {
	_, err := b.command(ctx, "sndcode", keys)
	return err
}

// WaitDigits waits for keys of the other side.
func (b *Baresip) WaitDigits(ctx context.Context, keys string) error {
	for got := ""; !strings.Contains(got, keys); {
		select {
		case key := <-b.keys:
			got += key
		case <-ctx.Done():
			return fmt.Errorf("%s heard the keys %q, not %q: %w", b.Name(), got, keys, context.Cause(ctx))
		}
	}
	return nil
}

// Transfer sends the other side to somebody; the phone hangs up when that has come through.
func (b *Baresip) Transfer(ctx context.Context, uri string) error {
	if _, err := b.command(ctx, "transfer", uri); err != nil {
		return err
	}
	_, err := b.wait(ctx, `: Call with .* terminated`)
	return err
}

// Hangup ends the call.
func (b *Baresip) Hangup(ctx context.Context) error {
	_, err := b.command(ctx, "hangup", "")
	return err
}

// WaitClosed waits for the end of the call, whoever ended it, and for the figures that the phone prints after it.
func (b *Baresip) WaitClosed(ctx context.Context) error {
	if err := waitFor(ctx, b.Name()+": call goes on", b.closed); err != nil || !b.established() {
		return err
	}
	_, err := b.wait(ctx, `^packets:`)
	return err
}

// closed tells whether the call is over. Of a call that is given up or refused at this phone, only the trace tells.
func (b *Baresip) closed() bool {
	for _, line := range b.proc.Log.From(b.mark) {
		if strings.Contains(line, ": session closed: ") || strings.Contains(line, ": Call with ") && strings.Contains(line, " terminated") {
			return true
		}
	}
	for _, m := range b.Trace() {
		if m.Method == "INVITE" && (m.Status == 486 || m.Status == 487) {
			return true
		}
	}
	return false
}

// established tells whether the call stood at some time.
func (b *Baresip) established() bool {
	for _, line := range b.proc.Log.From(b.mark) {
		if strings.Contains(line, ": Call established: ") {
			return true
		}
	}
	return false
}

var baresipPackets = regexp.MustCompile(`^packets:\s+\d+\s+(\d+)`)

// Outcome reads the log and the recording.
func (b *Baresip) Outcome() (Outcome, error) {
	trace := b.Trace()
	o := outcomeOf(trace)
	for _, line := range b.proc.Log.From(b.mark) {
		if m := baresipPackets.FindStringSubmatch(line); m != nil {
			o.Packets, _ = strconv.Atoi(m[1])
		}
	}
	path := b.recording()
	if path == "" {
		if o.Code == 0 {
			return o, fmt.Errorf("%s: %w", b.Name(), ErrNoCall)
		}
		return o, nil
	}
	var err error
	o.Sound, err = tone.Measure(path)
	return o, err
}

// Text sends a MESSAGE through the phone's contact list.
func (b *Baresip) Text(ctx context.Context, uri, words string) error {
	if len(b.cfg.Peers) == 0 || b.cfg.Peers[0] != uri {
		return fmt.Errorf("%s can write only to the first of its contacts, which %s is not", b.Name(), uri)
	}
	_, err := b.command(ctx, "message", words)
	return err
}

// WaitText waits for a MESSAGE.
func (b *Baresip) WaitText(ctx context.Context, words string) error {
	return waitText(ctx, b, words)
}

// Trace gives the SIP messages since Ready.
func (b *Baresip) Trace() []Message { return parseTrace(b.proc.Log.From(b.mark), b.cfg.own()...) }

// Off unregisters and ends the phone.
func (b *Baresip) Off(ctx context.Context) error {
	if _, err := b.command(ctx, "quit", ""); err != nil && ctx.Err() != nil {
		return err
	}
	return switchedOff(ctx, b, b.proc)
}

// Kill pulls the plug.
func (b *Baresip) Kill() {
	b.proc.Kill()
	if b.conn != nil {
		_ = b.conn.Close()
	}
}

// waitText looks for a received MESSAGE in a phone's trace.
func waitText(ctx context.Context, p Phone, words string) error {
	return waitFor(ctx, fmt.Sprintf("%s: no MESSAGE with %q", p.Name(), words), func() bool {
		for _, m := range p.Trace() {
			if m.Method == "MESSAGE" && m.Status == 0 && !m.Sent && strings.Contains(m.Content, words) {
				return true
			}
		}
		return false
	})
}
