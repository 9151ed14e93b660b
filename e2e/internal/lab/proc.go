//go:build linux

package lab

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Proc is a program that runs on a host.
type Proc struct {
	Name string
	Log  *Log // both its outputs

	host  *Host
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	mu    sync.Mutex
	end   error
}

func startProc(h *Host, name, logPath string, cmd *exec.Cmd) (*Proc, error) {
	log, err := NewLog(logPath)
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// A run that is killed takes its programs with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Proc{Name: name, Log: log, host: h, cmd: cmd, stdin: stdin, done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.end = err
		p.mu.Unlock()
		log.Close()
		close(p.done)
	}()
	return p, nil
}

// Type writes a line to the program's standard input.
func (p *Proc) Type(line string) error {
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return fmt.Errorf("type %q to %s on %s: %w", line, p.Name, p.host.Name, err)
	}
	return nil
}

// Kill ends the program at once, as a power cut would, and waits until it is gone.
func (p *Proc) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the program to end and kills it after the grace time. It tells whether the program ended by itself with exit code 0.
func (p *Proc) Stop(grace time.Duration) error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.end
	case <-time.After(grace):
		p.Kill()
		return fmt.Errorf("%s on %s did not end within %v of SIGTERM", p.Name, p.host.Name, grace)
	}
}

// signal reaches the program and what it started; `ip netns exec` has become the program by then.
func (p *Proc) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// Done is closed when the program has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// State says in a few words how the program is.
func (p *Proc) State() string {
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.end != nil {
			return p.end.Error()
		}
		return "ended"
	default:
		return "running"
	}
}
