// Package phone drives real SIP phones, without a screen or a sound card, behind one interface: baresip 1.0 through its
// control port, linphonec through its standard input.
//
// A phone plays a tone into every call and records what it hears. What happened in a call is read from the phone's own
// log, SIP trace included, so a test sees what the person at the phone would have seen: the code and reason of a refusal,
// whether a 302 arrived, how many audio packets came in.
package phone
