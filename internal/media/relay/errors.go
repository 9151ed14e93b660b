package relay

import "errors"

var (
	// ErrBusy: every port or every place is taken.
	ErrBusy = errors.New("no place for the media of another call")
	// ErrClosed: the session has ended.
	ErrClosed = errors.New("the call's media have ended")
	// ErrConfig: a configuration that cannot work.
	ErrConfig = errors.New("bad configuration of the media relay")
)

// The reasons that Config.Refused is called with, once for every packet.
const (
	RefusedFlow     = "media_unknown_flow" // of no call on this connection
	RefusedStranger = "media_stranger"     // from another port or host than the phone's
	RefusedNotMedia = "media_not_rtp"      // nothing that belongs to a media stream
	RefusedRate     = "media_rate"         // more than the call's codecs need
	RefusedNoPhone  = "media_no_phone"     // for a phone that has not said where it listens
	RefusedNotSent  = "media_not_sent"     // longer than the path takes, or the link has gone
)
