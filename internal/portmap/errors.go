package portmap

import "errors"

// Errors that a round can end with.
var (
	ErrNoGateway = errors.New("portmap: this host has no IPv4 gateway")
	ErrAnswer    = errors.New("portmap: the router's answer makes no sense")
	ErrForeign   = errors.New("portmap: the router names another host than itself")
	ErrTooLarge  = errors.New("portmap: the answer is too large")
	ErrNoIGD     = errors.New("portmap: no answer of an Internet gateway device")
	ErrNoOutside = errors.New("portmap: the router has no usable address outside")
)

// The reasons with which the room "portmap" refuses.
const (
	reasonStranger  = "ssdp_stranger"      // an answer to the search by another host than the gateway
	reasonMalformed = "ssdp_malformed"     // one that is no answer to it
	reasonForeign   = "url_foreign"        // an address to fetch at another host than the gateway
	reasonTooLarge  = "description_large"  // more than a description or an answer may have
	reasonAnswer    = "mapping_answer"     // an answer for another port, or none that can be read
	reasonOutside   = "mapping_no_outside" // an address outside that nobody can have
)
