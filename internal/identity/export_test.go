package identity

import "testing"

// IssueUnchecked issues an account certificate with rotations that do not hold,
// as a dishonest issuer would.
func IssueUnchecked(t *testing.T, i *Issuer, p AccountParams) []byte {
	t.Helper()
	der, err := i.issueAccount(p)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
