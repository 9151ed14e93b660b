package wire

import "fmt"

// Type is the number of a message. Numbers are never used again for another
// message.
type Type uint8

// The types, by group.
const (
	TypeError      Type = 1
	TypeAck        Type = 2
	TypePing       Type = 3
	TypePong       Type = 4
	TypeGetTime    Type = 5
	TypeTime       Type = 6
	TypeGetCharter Type = 7
	TypeCharterIs  Type = 8
	TypeChallenge  Type = 9

	TypeGetBulletins Type = 10
	TypeBulletins    Type = 11
	TypePost         Type = 12

	TypeGetState Type = 16
	TypeState    Type = 17
	TypeFind     Type = 18
	TypeFound    Type = 19
	TypeJoin     Type = 20
	TypeJoined   Type = 21
	TypeNotify   Type = 22
	TypeLeave    Type = 23

	TypeGossip          Type = 24
	TypeDoubt           Type = 25
	TypeGetMembers      Type = 26
	TypeMembers         Type = 27
	TypeGetCertificates Type = 28
	TypeCertificates    Type = 29
	TypeUnchanged       Type = 30
	TypeChanged         Type = 31

	TypeStore      Type = 32
	TypeStored     Type = 33
	TypeStoreMany  Type = 34
	TypeStoredMany Type = 35
	TypeFetch      Type = 36
	TypeFetched    Type = 37
	TypeOffer      Type = 38
	TypeWanted     Type = 39

	TypeDialBack Type = 40
	TypeDialed   Type = 41
	TypeAttach   Type = 42
	TypeAttached Type = 43

	TypeEnrolStart     Type = 48
	TypeEnrolChallenge Type = 49
	TypeRegister       Type = 50
	TypeRegistered     Type = 51
	TypeRenew          Type = 52
	TypeDelegate       Type = 53
	TypeDelegated      Type = 54
	TypeRotate         Type = 55

	TypeVouch   Type = 60
	TypeVouched Type = 61
	TypePeek    Type = 62
	TypeAccuse  Type = 63

	TypeInvite     Type = 64
	TypeRedirect   Type = 65
	TypeCarry      Type = 66
	TypeCarryFrame Type = 67
	TypeText       Type = 68
	TypeTextAck    Type = 69
	TypeProtect    Type = 70

	TypeReattach   Type = 80
	TypeReattached Type = 81
	TypePunch      Type = 82
	TypePunched    Type = 83

	TypePass   Type = 103
	TypeTurn   Type = 104
	TypeAsk    Type = 105
	TypePassed Type = 106
)

// newMessage returns an empty message of type t, or nil.
func newMessage(t Type) Message {
	switch {
	case t < TypeGetState:
		return newGeneral(t)
	case t < TypeStore:
		return newRing(t)
	case t < TypeDialBack:
		return newRecords(t)
	case t < TypeEnrolStart:
		return newReach(t)
	case t < TypeVouch:
		return newEnrolment(t)
	case t < TypeInvite:
		return newEvidence(t)
	case t >= TypeReattach:
		return newWay(t)
	}
	return newCall(t)
}

func newGeneral(t Type) Message {
	switch t {
	case TypeError:
		return new(Error)
	case TypeAck:
		return new(Ack)
	case TypePing:
		return new(Ping)
	case TypePong:
		return new(Pong)
	case TypeGetTime:
		return new(GetTime)
	case TypeTime:
		return new(Time)
	case TypeGetCharter:
		return new(GetCharter)
	case TypeCharterIs:
		return new(CharterIs)
	case TypeChallenge:
		return new(Challenge)
	case TypeGetBulletins:
		return new(GetBulletins)
	case TypeBulletins:
		return new(Bulletins)
	case TypePost:
		return new(Post)
	}
	return nil
}

func newRing(t Type) Message {
	switch t {
	case TypeGetState:
		return new(GetState)
	case TypeState:
		return new(State)
	case TypeFind:
		return new(Find)
	case TypeFound:
		return new(Found)
	case TypeJoin:
		return new(Join)
	case TypeJoined:
		return new(Joined)
	case TypeNotify:
		return new(Notify)
	case TypeLeave:
		return new(Leave)
	}
	return newTable(t)
}

func newTable(t Type) Message {
	switch t {
	case TypeGossip:
		return new(Gossip)
	case TypeDoubt:
		return new(Doubt)
	case TypeGetMembers:
		return new(GetMembers)
	case TypeMembers:
		return new(Members)
	case TypeGetCertificates:
		return new(GetCertificates)
	case TypeCertificates:
		return new(Certificates)
	case TypeUnchanged:
		return new(Unchanged)
	case TypeChanged:
		return new(Changed)
	}
	return nil
}

func newRecords(t Type) Message {
	switch t {
	case TypeStore:
		return new(Store)
	case TypeStored:
		return new(Stored)
	case TypeStoreMany:
		return new(StoreMany)
	case TypeStoredMany:
		return new(StoredMany)
	case TypeFetch:
		return new(Fetch)
	case TypeFetched:
		return new(Fetched)
	case TypeOffer:
		return new(Offer)
	case TypeWanted:
		return new(Wanted)
	}
	return nil
}

func newReach(t Type) Message {
	switch t {
	case TypeDialBack:
		return new(DialBack)
	case TypeDialed:
		return new(Dialed)
	case TypeAttach:
		return new(Attach)
	case TypeAttached:
		return new(Attached)
	}
	return nil
}

func newEnrolment(t Type) Message {
	switch t {
	case TypeEnrolStart:
		return new(EnrolStart)
	case TypeEnrolChallenge:
		return new(EnrolChallenge)
	case TypeRegister:
		return new(Register)
	case TypeRegistered:
		return new(Registered)
	case TypeRenew:
		return new(Renew)
	case TypeDelegate:
		return new(Delegate)
	case TypeRotate:
		return new(Rotate)
	case TypeDelegated:
		return new(Delegated)
	}
	return nil
}

func newEvidence(t Type) Message {
	switch t {
	case TypeVouch:
		return new(Vouch)
	case TypeVouched:
		return new(Vouched)
	case TypePeek:
		return new(Peek)
	case TypeAccuse:
		return new(Accuse)
	}
	return nil
}

func newCall(t Type) Message {
	switch t {
	case TypeInvite:
		return new(Invite)
	case TypeRedirect:
		return new(Redirect)
	case TypeCarry:
		return new(Carry)
	case TypeCarryFrame:
		return new(CarryFrame)
	case TypeText:
		return new(Text)
	case TypeTextAck:
		return new(TextAck)
	case TypeProtect:
		return new(Protect)
	}
	return nil
}

func newWay(t Type) Message {
	switch t {
	case TypeReattach:
		return new(Reattach)
	case TypeReattached:
		return new(Reattached)
	case TypePunch:
		return new(Punch)
	case TypePunched:
		return new(Punched)
	}
	return newHidden(t)
}

func newHidden(t Type) Message {
	switch t {
	case TypePass:
		return new(Pass)
	case TypeTurn:
		return new(Turn)
	case TypeAsk:
		return new(Ask)
	case TypePassed:
		return new(Passed)
	}
	return nil
}

// String returns the message's name, as in its Go type.
func (t Type) String() string {
	m := newMessage(t)
	if m == nil {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return fmt.Sprintf("%T", m)[len("*wire."):]
}
