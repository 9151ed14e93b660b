//go:build linux

package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// openDHT is a network of dhtnode processes and the client that is asked.
type openDHT struct {
	b       *testing.B
	pids    []int // of the dhtnode processes
	client  int
	ask     io.Writer
	answers *bufio.Scanner
}

const dhtPackages = "dhtnode libopendht-dev g++" // of Debian

// newOpenDHT starts n processes of dhtnode, and the client when they run.
func newOpenDHT(b *testing.B, n int) *openDHT {
	b.Helper()
	client := filepath.Join(b.TempDir(), "opendht")
	out, err := exec.Command("g++", "-std=c++17", "-O2", "-o", client, "testdata/opendht.cc", "-lopendht").CombinedOutput()
	if err != nil {
		b.Fatalf("the client does not build; the Debian packages %s are needed: %v\n%s", dhtPackages, err, out)
	}
	o := &openDHT{b: b}
	first := o.startNode(0)
	for range n - 1 {
		o.startNode(first)
	}
	cmd := exec.Command(client, strconv.Itoa(first), strconv.Itoa(dhtValue))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	read, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	o.ask, o.answers = in, bufio.NewScanner(read)
	o.client = o.run(cmd)
	dhtAwait(b, "OpenDHT's nodes know enough of each other", func() bool {
		var putter, getter int
		o.command("nodes")
		o.answer("nodes %d %d", &putter, &getter)
		return min(putter, getter) >= 8 // of which a look-up asks the closest
	})
	return o
}

// startNode starts a dhtnode that joins by the one at a port, and returns its
// own port when it is there: who finds nobody there waits long before trying
// again.
func (o *openDHT) startNode(by int) (port int) {
	o.b.Helper()
	for range 5 { // others may be given the port in between
		port = freePort(o.b)
		args := []string{"-s", "-p", strconv.Itoa(port)}
		if by != 0 {
			args = append(args, "-b", fmt.Sprintf("127.0.0.1:%d", by))
		}
		pid := o.run(exec.Command("dhtnode", args...))
		over := time.After(10 * time.Second)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for waiting := true; waiting; {
			select {
			case <-tick.C:
				if taken(port) {
					o.pids = append(o.pids, pid)
					return port
				}
			case <-over:
				waiting = false
			}
		}
	}
	o.b.Fatal("dhtnode does not start")
	return 0
}

// run starts a program that ends with the benchmark.
func (o *openDHT) run(cmd *exec.Cmd) (pid int) {
	o.b.Helper()
	if err := cmd.Start(); err != nil {
		o.b.Fatalf("%v; the Debian packages %s are needed", err, dhtPackages)
	}
	o.b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// freePort returns a port that nobody has at the moment.
func freePort(b *testing.B) int {
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

func taken(port int) bool {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
	if err != nil {
		return true
	}
	_ = c.Close()
	return false
}

func (o *openDHT) command(format string, args ...any) {
	if _, err := fmt.Fprintf(o.ask, format+"\n", args...); err != nil {
		o.b.Fatal(err)
	}
}

func (o *openDHT) answer(format string, into ...any) {
	if !o.answers.Scan() {
		o.b.Fatalf("OpenDHT's client has ended: %v", o.answers.Err())
	}
	if _, err := fmt.Sscanf(o.answers.Text(), format, into...); err != nil {
		o.b.Fatalf("%q: %v", o.answers.Text(), err)
	}
}

func (o *openDHT) put(n int) []dhtTime {
	o.command("put %d %d", n, dhtGap.Microseconds())
	var out []dhtTime
	for range n {
		var us, ok int
		if o.answer("put %d %d", &us, &ok); ok == 1 {
			out = append(out, dhtTime{complete: time.Duration(us) * time.Microsecond})
		}
	}
	return out
}

func (o *openDHT) get(n int) []dhtTime {
	o.command("get %d %d", n, dhtGap.Microseconds())
	var out []dhtTime
	for range n {
		var first, us, ok int
		if o.answer("get %d %d %d", &first, &us, &ok); ok == 1 {
			out = append(out, dhtTime{first: time.Duration(first) * time.Microsecond, complete: time.Duration(us) * time.Microsecond})
		}
	}
	return out
}

func (o *openDHT) cpu() time.Duration {
	sum := cpuOf(o.b, o.client)
	for _, pid := range o.pids {
		sum += cpuOf(o.b, pid)
	}
	return sum
}

func (o *openDHT) memory() []memory { return memories(o.b, o.pids) }

func memories(b *testing.B, pids []int) (out []memory) {
	for _, pid := range pids {
		out = append(out, memoryOf(b, pid))
	}
	return out
}
