package hidden

import "errors"

var (
	// ErrBox is what a box that cannot be opened brings.
	ErrBox = errors.New("the box cannot be opened")
	// ErrNoWay means that there is no member to ask through, or that none passed
	// the question on.
	ErrNoWay = errors.New("look-ups are hidden at this adapter, and no member of the ring passed this one on")
	// ErrNoAnswer means that the holder has not answered the member that asked it.
	ErrNoAnswer = errors.New("the holder does not answer")
	// ErrNoKey means that the key of a member is not known.
	ErrNoKey = errors.New("a member whose certificate is not known")
)

// The reasons with which refusals are counted, in the room "hidden".
const (
	ReasonRate       = "pass_rate"       // more questions than one link may bring
	ReasonBusy       = "pass_busy"       // more at once, of one link or of all
	ReasonBytes      = "pass_bytes"      // more bytes of answers than one link may fetch
	ReasonUnknown    = "pass_unknown"    // for a node that is no member as far as this one knows
	ReasonUnanswered = "pass_unanswered" // the next member did not answer
	ReasonBadBox     = "bad_box"         // a box that does not open, or with something else in it
	ReasonNotAFetch  = "not_a_fetch"     // a question that is no Fetch
	ReasonBadAnswer  = "bad_answer"      // an answer that does not open
)
