// Package admin is the local door of a running daemon: JSON over HTTP/1.1 on
// a Unix socket in the state folder. Whoever may open the socket owns the
// daemon, so the file permissions of the folder (0700) and of the socket
// (0600) are the only access control.
//
//	POST /v1/METHOD HTTP/1.1      METHOD is one of the Method constants
//	Content-Type: application/json
//
//	REQUEST                       at most MaxRequest bytes; none reads as null
//
// and the answer is one of
//
//	200 application/json          the method's result
//	200 application/octet-stream  the method's stream (backup); cut short and
//	                              the connection broken off if it fails
//	4xx, 5xx application/json     {"code": …, "message": …, "hint": …}, an Error
//
// The types of all methods are here too, since the adapter, the bootstrap
// server and the command line share them. Times are RFC 3339 in UTC;
// durations carry their unit in the name.
package admin
