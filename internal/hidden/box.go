package hidden

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"encoding/binary"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

const (
	encapsulated = 32
	question     = 128 // a Fetch, padded
	answerKey    = 16

	labelTurn   = "secp2psip/1 hidden turn "
	labelAsk    = "secp2psip/1 hidden ask "
	labelAnswer = "answer"

	answered   = 0 // the holder's answer follows
	unanswered = 1
)

// exporter is a context of HPKE, of either side.
type exporter interface {
	Export(context string, length int) ([]byte, error)
}

// answerBox is what an answer is sealed with. The nonce is drawn: who passes a
// box on can have it answered twice, and not with the same words.
func answerBox(from exporter) (cipher.AEAD, error) {
	key, err := from.Export(labelAnswer, answerKey)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal makes a box for a node.
func seal(key identity.PublicKey, info string, plain []byte) (box []byte, answer cipher.AEAD, err error) {
	at, err := key.SealingKey()
	if err != nil {
		return nil, nil, err
	}
	public, err := hpke.NewDHKEMPublicKey(at)
	if err != nil {
		return nil, nil, err
	}
	enc, s, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(info))
	if err != nil {
		return nil, nil, err
	}
	sealed, err := s.Seal(nil, plain)
	if err != nil {
		return nil, nil, err
	}
	answer, err = answerBox(s)
	return append(enc, sealed...), answer, err
}

// open opens a box, of at least the length of an encapsulated key.
func open(key hpke.PrivateKey, info string, box []byte) (plain []byte, answer cipher.AEAD, err error) {
	r, err := hpke.NewRecipient(box[:encapsulated], key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(info))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrBox, err)
	}
	if plain, err = r.Open(nil, box[encapsulated:]); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrBox, err)
	}
	answer, err = answerBox(r)
	return plain, answer, err
}

// openingKey is the X25519 key of a node key.
func openingKey(key identity.PrivateKey) (hpke.PrivateKey, error) {
	at, err := key.OpeningKey()
	if err != nil {
		return nil, err
	}
	return hpke.NewDHKEMPrivateKey(at)
}

// sealAsk seals a question for its holder.
func sealAsk(key identity.PublicKey, overlay string, req wire.Message) ([]byte, cipher.AEAD, error) {
	plain, err := pad(req, 2, question)
	if err != nil {
		return nil, nil, err
	}
	return seal(key, labelAsk+overlay, plain)
}

// openAsk is what the holder does; the message may be any.
func openAsk(key hpke.PrivateKey, overlay string, box []byte) (wire.Message, cipher.AEAD, error) {
	if len(box) != wire.AskBox {
		return nil, nil, ErrBox
	}
	plain, answer, err := open(key, labelAsk+overlay, box)
	if err != nil {
		return nil, nil, err
	}
	req, err := unpad(plain, 2)
	return req, answer, err
}

// sealTurn seals, for the second member, whom it is to ask and the box for that.
func sealTurn(key identity.PublicKey, overlay string, to identity.NodeID, ask []byte) ([]byte, cipher.AEAD, error) {
	return seal(key, labelTurn+overlay, append(to[:], ask...))
}

// openTurn is what the second member does.
func openTurn(key hpke.PrivateKey, overlay string, box []byte) (to identity.NodeID, ask []byte, answer cipher.AEAD, err error) {
	if len(box) != wire.TurnBox {
		return to, nil, nil, ErrBox
	}
	plain, answer, err := open(key, labelTurn+overlay, box)
	if err != nil {
		return to, nil, nil, err
	}
	copy(to[:], plain)
	return to, plain[len(to):], answer, nil
}

// sealAnswer is what the holder answers.
func sealAnswer(with cipher.AEAD, m wire.Message) (*wire.Passed, error) {
	for _, size := range wire.AnswerSizes() {
		if plain, err := pad(m, 4, size); err == nil {
			return &wire.Passed{Box: with.Seal(nil, nil, plain, nil)}, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", wire.ErrTooLarge, m.Type())
}

// sealTurned is what the second member answers: the holder's answer, or, with
// nil, that there is none; as long as the shortest answer.
func sealTurned(with cipher.AEAD, holder *wire.Passed) *wire.Passed {
	plain := make([]byte, wire.TurnHead+wire.AnswerSizes()[0]+wire.AnswerBox)
	plain[0] = unanswered
	if holder != nil {
		plain = append([]byte{answered}, holder.Box...)
	}
	return &wire.Passed{Box: with.Seal(nil, nil, plain, nil)}
}

// openTurned is what the asker does with the answer. ErrBox, ErrNoAnswer.
func openTurned(turn, ask cipher.AEAD, box []byte) (wire.Message, error) {
	plain, err := turn.Open(nil, nil, box, nil)
	if err != nil || len(plain) < wire.TurnHead {
		return nil, ErrBox
	}
	if plain[0] != answered {
		return nil, ErrNoAnswer
	}
	if plain, err = ask.Open(nil, nil, plain[wire.TurnHead:], nil); err != nil {
		return nil, ErrBox
	}
	return unpad(plain, 4)
}

// pad writes a message behind its length, of 2 or 4 bytes, and zeros up to size.
func pad(m wire.Message, head, size int) ([]byte, error) {
	encoded, err := wire.Encode(m)
	if err != nil {
		return nil, err
	}
	if head+len(encoded) > size {
		return nil, fmt.Errorf("%w: %s of %d bytes", wire.ErrTooLarge, m.Type(), len(encoded))
	}
	out := make([]byte, size)
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(encoded)))
	copy(out, length[len(length)-head:])
	copy(out[head:], encoded)
	return out, nil
}

// unpad reads what pad has written, and nothing else.
func unpad(plain []byte, head int) (wire.Message, error) {
	if len(plain) < head {
		return nil, ErrBox
	}
	var length [8]byte
	copy(length[len(length)-head:], plain)
	n := binary.BigEndian.Uint64(length[:])
	rest := plain[head:]
	if n > uint64(len(rest)) || len(bytes.Trim(rest[n:], "\x00")) > 0 {
		return nil, fmt.Errorf("%w: its padding", ErrBox)
	}
	m, err := wire.Decode(rest[:n])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBox, err)
	}
	return m, nil
}
