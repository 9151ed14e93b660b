package wire

// EnrolStart begins an enrolment; the answer is EnrolChallenge.
//
//	[ ]
type EnrolStart struct {
	_ struct{} `cbor:",toarray"`
}

// Type implements Message.
func (*EnrolStart) Type() Type { return TypeEnrolStart }

func (*EnrolStart) check() error { return nil }
