//go:build linux

package phone

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/e2e/internal/tone"
)

// linphoneConfig is linphonec's rc file. Ports of TCP and TLS are off, or two phones on a host would meet there.
var linphoneConfig = template.Must(template.New("rc").Parse(`[sip]
sip_port={{.Port}}
sip_tcp_port={{if .TCP}}-1{{else}}0{{end}}
sip_tls_port=0
default_proxy=0
inc_timeout=60
use_ipv6=0
{{if .Listen}}bind_address={{.Listen}}
{{end}}
[rtp]
audio_rtp_port={{.RTP}}
{{if .Silence}}nortp_timeout={{.Silence}}
{{end}}{{if .Listen}}bind_address={{.Listen}}
{{end}}
[video]
enabled=0
capture=0
display=0
automatically_initiate=0
automatically_accept=0

[sound]
echocancellation=0

[proxy_0]
reg_proxy=<{{.Registrar}}{{.Transport}}>
{{if .Route}}reg_route=<{{.Route}}{{.Transport}};lr>
{{end}}reg_identity={{.AOR}}
reg_expires={{.Expires}}
reg_sendregister=1
publish=0
{{if .Password}}
[auth_info_0]
username={{.User}}
passwd={{.Password}}
{{end}}`))

// Linphone is linphonec 5.1, controlled through its standard input.
type Linphone struct {
	cfg   Config
	dir   string
	proc  *lab.Proc
	mark  int
	calls int // names the recordings
}

// NewLinphone writes the phone's configuration; nothing runs yet.
func NewLinphone(cfg Config) (*Linphone, error) {
	l := &Linphone{cfg: cfg, dir: filepath.Join(cfg.Host.Dir, "linphone-"+cfg.User)}
	// linphonec makes no folders and loses its state where they are absent.
	// #nosec G301 -- a test phone's, no secret
	if err := os.MkdirAll(filepath.Join(l.dir, ".local", "share", "linphone"), 0o755); err != nil {
		return nil, err
	}
	params := map[string]any{
		"Port": cfg.Port, "RTP": 30000 + cfg.Port%100*200, "AOR": cfg.AOR(), "Expires": cfg.expires(),
		"Listen": cfg.bind(), "Registrar": "sip:" + cfg.Domain, "Route": "", "Transport": cfg.transport(), "TCP": cfg.TCP, "User": cfg.User, "Password": cfg.Password, "Silence": cfg.Silence,
	}
	if cfg.Proxy != "" { // linphonec sends REGISTER to the registrar itself, past the route
		params["Registrar"], params["Route"] = "sip:"+cfg.Proxy, "sip:"+cfg.Proxy
	}
	var rc bytes.Buffer
	if err := linphoneConfig.Execute(&rc, params); err != nil {
		return nil, err
	}
	return l, os.WriteFile(l.rc(), rc.Bytes(), 0o644) // #nosec G306 -- a test phone's, no secret
}

func (l *Linphone) rc() string { return filepath.Join(l.dir, "rc") }

// Name is the program, the account and the host.
func (l *Linphone) Name() string { return "linphonec " + l.cfg.User + " on " + l.cfg.Host.Name }

// Start runs linphonec and gives it files for microphone and loudspeaker.
func (l *Linphone) Start(ctx context.Context) error {
	env := []string{"HOME=" + l.dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "XDG_RUNTIME_DIR=" + l.dir}
	argv := []string{"linphonec", "-c", l.rc(), "-d", "6", "-l", "/dev/stderr"}
	if !l.cfg.Manual {
		argv = append(argv, "-a")
	}
	proc, err := l.cfg.Host.Start("linphonec-"+l.cfg.User, env, argv...)
	if err != nil {
		return err
	}
	l.proc, l.mark = proc, 0
	if err := proc.Type("soundcard use files"); err != nil {
		return err
	}
	if err := proc.Type("play " + l.cfg.Tone); err != nil {
		return err
	}
	_, err = l.wait(ctx, `Using wav files instead of soundcard`)
	return err
}

func (l *Linphone) wait(ctx context.Context, pattern string) ([]string, error) {
	m, err := l.proc.Log.Wait(ctx, l.mark, regexp.MustCompile(pattern))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Name(), err)
	}
	return m, nil
}

// WaitRegistered waits for the registrar's 200.
func (l *Linphone) WaitRegistered(ctx context.Context) error {
	_, err := l.proc.Log.Wait(ctx, 0, regexp.MustCompile(`to \[?LinphoneRegistrationOk\]?`))
	if err != nil {
		return fmt.Errorf("%s registers: %w", l.Name(), err)
	}
	return nil
}

// Ready turns to the next call, with a recording of its own.
func (l *Linphone) Ready(ctx context.Context) error {
	l.mark = l.proc.Log.Len()
	l.calls++
	if err := l.proc.Type("record " + l.recording()); err != nil {
		return err
	}
	// The phone answers each command with its prompt; one that prints something shows that it has come so far.
	if err := l.proc.Type("duration"); err != nil {
		return err
	}
	_, err := l.wait(ctx, `[Dd]uration|[Cc]all`)
	return err
}

func (l *Linphone) recording() string {
	return filepath.Join(l.dir, fmt.Sprintf("call-%03d.wav", l.calls))
}

// Dial calls.
func (l *Linphone) Dial(_ context.Context, uri string) error { return l.proc.Type("call " + uri) }

// WaitRinging waits for a 18x to the phone's INVITE.
func (l *Linphone) WaitRinging(ctx context.Context) error {
	_, err := l.wait(ctx, `to \[?Linphone(CallOutgoingRinging|CallOutgoingEarlyMedia)`)
	return err
}

// WaitEstablished waits until sound can flow; a refusal ends the wait.
func (l *Linphone) WaitEstablished(ctx context.Context) error {
	m, err := l.wait(ctx, `to \[?Linphone(CallStreamsRunning|CallError|CallEnd|CallReleased)`)
	if err == nil && m[1] != "CallStreamsRunning" {
		o, _ := l.Outcome()
		err = fmt.Errorf("%s: call ended instead: %d %s (%s)", l.Name(), o.Code, o.Reason, o.Warning)
	}
	return err
}

var linphoneRecorder = regexp.MustCompile(`-->MSFileRec:\S+ from rate \[\d+\] to rate \[(\d+)\] and from channel \[\d+\] to channel \[(\d+)\]`)

// WaitHeard waits for sound in the recording. Its header is written last, so the length comes from the size, at the rate
// that the log names.
func (l *Linphone) WaitHeard(ctx context.Context, d time.Duration) error {
	return waitHeard(ctx, l, d, func() time.Duration {
		info, err := os.Stat(l.recording())
		if err != nil {
			return 0
		}
		for _, line := range l.proc.Log.From(l.mark) {
			if m := linphoneRecorder.FindStringSubmatch(line); m != nil {
				rate, _ := strconv.Atoi(m[1])
				channels, _ := strconv.Atoi(m[2])
				return time.Duration(info.Size()) * time.Second / time.Duration(2*rate*channels)
			}
		}
		return 0
	})
}

// Hold puts the call on hold, by a re-INVITE.
func (l *Linphone) Hold(ctx context.Context) error {
	return l.change(ctx, "pause", `to \[?LinphoneCallPaused\b`)
}

// Resume takes the call up again.
func (l *Linphone) Resume(ctx context.Context) error {
	return l.change(ctx, "resume", `to \[?LinphoneCallStreamsRunning\b`)
}

// Digits presses keys, sent as RFC 4733 events or, where the phone is set so, as INFO.
func (l *Linphone) Digits(_ context.Context, keys string) error { return l.proc.Type(keys) }

var linphoneKey = regexp.MustCompile(`Receiving tone (\S) from`)

// WaitDigits waits for keys of the other side.
func (l *Linphone) WaitDigits(ctx context.Context, keys string) error {
	got := ""
	err := waitFor(ctx, l.Name()+": no keys "+keys, func() bool {
		got = ""
		for _, line := range l.proc.Log.From(l.mark) {
			if m := linphoneKey.FindStringSubmatch(line); m != nil {
				got += m[1]
			}
		}
		return strings.Contains(got, keys)
	})
	if err != nil {
		return fmt.Errorf("%w: it heard %q", err, got)
	}
	return nil
}

// Transfer sends the other side to somebody, waits until that has come through, and hangs up.
func (l *Linphone) Transfer(ctx context.Context, uri string) error { return l.transfer(ctx, uri) }

var linphoneCall = regexp.MustCompile(`assigned id (\d+)`)

// Call is the number that the phone has given to its last call.
func (l *Linphone) Call() (n int) {
	for _, line := range l.proc.Log.From(0) {
		if m := linphoneCall.FindStringSubmatch(line); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
	}
	return n
}

// TransferToCall sends the other side of the phone's first call to that of its second one (RFC 5589 §7).
func (l *Linphone) TransferToCall(ctx context.Context, first, second int) error {
	return l.transfer(ctx, fmt.Sprintf("%d --to-call %d", first, second))
}

func (l *Linphone) transfer(ctx context.Context, to string) error {
	mark := l.proc.Log.Len()
	if err := l.proc.Type("transfer " + to); err != nil {
		return err
	}
	if _, err := l.proc.Log.Wait(ctx, mark, regexp.MustCompile(`can safely close the call|LinphoneCallConnected`)); err != nil {
		return fmt.Errorf("%s: transfer %s: %w", l.Name(), to, err)
	}
	return nil
}

// change types a command and waits for the state that it leads to.
func (l *Linphone) change(ctx context.Context, command, state string) error {
	mark := l.proc.Log.Len()
	if err := l.proc.Type(command); err != nil {
		return err
	}
	if _, err := l.proc.Log.Wait(ctx, mark, regexp.MustCompile(state)); err != nil {
		return fmt.Errorf("%s: %s: %w", l.Name(), command, err)
	}
	return nil
}

// Hangup ends the call.
func (l *Linphone) Hangup(context.Context) error { return l.proc.Type("terminate") }

// WaitClosed waits for the end of the call, whoever ended it.
func (l *Linphone) WaitClosed(ctx context.Context) error {
	_, err := l.wait(ctx, `to \[?LinphoneCallReleased`)
	return err
}

var linphonePackets = regexp.MustCompile(`ortp-message-received\s+(\d+) packets`)

// Outcome reads the log and the recording.
func (l *Linphone) Outcome() (Outcome, error) {
	o := outcomeOf(l.Trace())
	for _, line := range l.proc.Log.From(l.mark) {
		if m := linphonePackets.FindStringSubmatch(line); m != nil {
			o.Packets, _ = strconv.Atoi(m[1])
		}
	}
	if _, err := os.Stat(l.recording()); err != nil {
		if o.Code == 0 {
			return o, fmt.Errorf("%s: %w", l.Name(), ErrNoCall)
		}
		return o, nil
	}
	var err error
	o.Sound, err = tone.Measure(l.recording())
	return o, err
}

// Text sends a MESSAGE.
func (l *Linphone) Text(_ context.Context, uri, words string) error {
	return l.proc.Type("chat " + uri + " " + words)
}

// WaitText waits for a MESSAGE.
func (l *Linphone) WaitText(ctx context.Context, words string) error { return waitText(ctx, l, words) }

// Trace gives the SIP messages since Ready.
func (l *Linphone) Trace() []Message { return parseTrace(l.proc.Log.From(l.mark), l.cfg.own()...) }

// Off unregisters and ends the phone.
func (l *Linphone) Off(ctx context.Context) error {
	if err := l.proc.Type("quit"); err != nil {
		return err
	}
	return switchedOff(ctx, l, l.proc)
}

// Kill pulls the plug.
func (l *Linphone) Kill() { l.proc.Kill() }
