//go:build !linux

package main

// lateTimers is for Linux.
func lateTimers() {}
