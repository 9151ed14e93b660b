package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
)

// Log keeps what a program writes, in a file and line by line in memory, and lets others wait for a line.
type Log struct {
	mu      sync.Mutex
	file    *os.File
	lines   []string
	partial []byte
	changed chan struct{} // closed and renewed with every line
	closed  bool
}

// NewLog makes a log that is copied to a file.
func NewLog(path string) (*Log, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &Log{file: f, changed: make(chan struct{})}, nil
}

// Write takes a piece of output. Carriage returns end a line too: baresip draws its call timer with them.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return len(p), nil
	}
	if _, err := l.file.Write(p); err != nil {
		return 0, err
	}
	l.partial = append(l.partial, p...)
	grown := false
	for {
		i := bytes.IndexByte(l.partial, '\n')
		if i < 0 {
			break
		}
		line := strings.TrimSuffix(string(l.partial[:i]), "\r")
		if at := strings.LastIndexByte(line, '\r'); at >= 0 {
			line = line[at+1:]
		}
		l.lines, l.partial, grown = append(l.lines, line), l.partial[i+1:], true
	}
	if grown {
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return len(p), nil
}

// Close ends the log; what waits for a line gives up.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if len(l.partial) > 0 {
		l.lines, l.partial = append(l.lines, string(l.partial)), nil
	}
	l.closed = true
	_ = l.file.Close()
	close(l.changed)
}

// Len counts the lines so far: a mark for From and Wait.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// From gives the lines since a mark.
func (l *Log) From(mark int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if mark >= len(l.lines) {
		return nil
	}
	return append([]string(nil), l.lines[mark:]...)
}

// Tail gives the last n lines.
func (l *Log) Tail(n int) []string { return l.From(max(0, l.Len()-n)) }

// Wait waits for a line, from the mark on, that matches the pattern, and gives its submatches.
func (l *Log) Wait(ctx context.Context, mark int, pattern *regexp.Regexp) ([]string, error) {
	for {
		l.mu.Lock()
		fresh, changed, closed := l.lines[min(mark, len(l.lines)):], l.changed, l.closed
		mark += len(fresh)
		l.mu.Unlock()
		for _, line := range fresh {
			if m := pattern.FindStringSubmatch(line); m != nil {
				return m, nil
			}
		}
		if closed {
			return nil, fmt.Errorf("the program ended before it wrote a line like %q", pattern)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no line like %q: %w", pattern, context.Cause(ctx))
		}
	}
}
