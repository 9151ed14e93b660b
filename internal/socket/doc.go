// Package socket has UDP sockets for a program that wakes up for each packet,
// does little and sleeps again.
//
// Such a program spends less on a packet than Go's runtime spends on watching
// it: at the first system call after a sleep the runtime wakes a thread up that
// looks, every 20 µs, for system calls that block, and which gives their
// processor to others. None blocks here, the sockets being non-blocking, so on
// Linux packets are received and sent by system calls that the runtime is not
// told of (RawSyscall). The thread goes on sleeping, and no processor changes
// hands. Waiting for packets is the runtime's matter as ever.
//
// Elsewhere the sockets are the standard library's.
package socket
