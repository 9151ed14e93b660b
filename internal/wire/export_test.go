package wire

// For tests outside the package.

func NewMessage(t Type) Message { return newMessage(t) }

func Check(v interface{ check() error }) error { return v.check() }

func ParseInviteBody(b []byte) (InviteBody, error) { return parse[InviteBody]("test", b) }

func ParseRedirectBody(b []byte) (RedirectBody, error) { return parse[RedirectBody]("test", b) }

func ParseTextBody(b []byte) (TextBody, error) { return parse[TextBody]("test", b) }

func ParseTextAckBody(b []byte) (TextAckBody, error) { return parse[TextAckBody]("test", b) }

func ParseRegisterBody(b []byte) (RegisterBody, error) { return parse[RegisterBody]("test", b) }

func ParseRotateBody(b []byte) (RotateBody, error) { return parse[RotateBody]("test", b) }

func ParseRenewBody(b []byte) (RenewBody, error) { return parse[RenewBody]("test", b) }
