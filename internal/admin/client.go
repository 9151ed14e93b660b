package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// MaxAnswer bounds a JSON answer, in bytes; a stream has no bound.
const MaxAnswer = 16 << 20

const dialLimit = 5 * time.Second

// Client asks the daemon of one state folder. It is safe for concurrent use.
type Client struct {
	dir  string
	http *http.Client
}

// Dial returns a client for the daemon that works on stateDir. It connects
// with the first call.
func Dial(stateDir string) *Client {
	path := filepath.Join(stateDir, SocketName)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: dialLimit}
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // one call, one connection: nothing to close
	}
	return &Client{dir: stateDir, http: &http.Client{Transport: transport}}
}

// Answers tells whether a daemon listens on the socket in stateDir.
func Answers(stateDir string) bool {
	c, err := net.DialTimeout("unix", filepath.Join(stateDir, SocketName), probeLimit)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// Call sends req (nil for none) to method and decodes the answer into out
// (nil to drop it). It returns ErrUnreachable if no daemon answers, and an
// *Error if the daemon said no.
func (c *Client) Call(ctx context.Context, method string, req, out any) error {
	body, err := c.post(ctx, method, req)
	if err != nil {
		return err
	}
	defer body.Close()
	data, err := readAll(body)
	if err != nil {
		return c.broken(method, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return c.broken(method, err)
	}
	return nil
}

// Stream sends req to method and copies the answer to w. It returns how much
// was written, and an error unless that is all of it.
func (c *Client) Stream(ctx context.Context, method string, req any, w io.Writer) (int64, error) {
	body, err := c.post(ctx, method, req)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := io.Copy(w, body)
	if err != nil {
		return n, c.broken(method, err)
	}
	return n, nil
}

func (c *Client) post(ctx context.Context, method string, req any) (io.ReadCloser, error) {
	data, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode the %s request: %w", method, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin/v1/"+method, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	data, err = readAll(res.Body)
	if err != nil {
		return nil, c.broken(method, err)
	}
	var e Error
	if json.Unmarshal(data, &e) != nil || e.Code == "" {
		return nil, c.broken(method, errors.New(res.Status))
	}
	return nil, &e
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		if errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("%w: %s belongs to another user", ErrUnreachable, c.dir)
		}
		return fmt.Errorf("%w: %s", ErrUnreachable, c.dir)
	}
	return fmt.Errorf("%w: the daemon on %s went away: %w", ErrUnreachable, c.dir, err)
}

func (c *Client) broken(method string, err error) error {
	return fmt.Errorf("%w: the answer to %s from the daemon on %s is broken: %w", ErrSocket, method, c.dir, err)
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxAnswer+1))
	if err == nil && len(data) > MaxAnswer {
		err = fmt.Errorf("it has more than %d bytes", MaxAnswer)
	}
	return data, err
}

// decodeStrict reads exactly one JSON value without unknown fields.
func decodeStrict(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}
