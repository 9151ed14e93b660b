// Package archtest holds the rules of this code base as tests that fail: which
// room may import what and why, and what no file may contain. It reads the
// sources with go/parser and not with the compiler, so that files of other
// systems and build tags are held to the rules too.
package archtest
