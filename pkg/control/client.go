package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxAnswer = 256 << 20
	maxItem   = 64 << 20
)

// Client asks the daemon behind one socket. It is safe for concurrent use and
// needs no closing: every request is a connection of its own.
type Client struct {
	path string
	http *http.Client
}

// Dial makes a client of the daemon at path. It does not connect yet; whether
// anybody answers is seen by the first request ([ErrNoDaemon]).
func Dial(path string) *Client {
	c := &Client{path: path}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
			// A connection that is used again may have lost its daemon, and a
			// request that went into it may or may not have been answered.
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Path is the socket's.
func (c *Client) Path() string { return c.path }

// Do asks once. in is the request's body, nil for none; the answer is decoded
// into out, unless that is nil. Errors of the daemon are of type [*Error].
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.ask(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode != http.StatusOK {
		return refusal(method+" "+path, resp, body)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(out)
	}
	if err != nil {
		return c.cutOff(ctx, err)
	}
	return nil
}

// Stream asks by POST for items and hands them to each as they come, until the
// daemon says that there are no more, each returns an error, or ctx ends. Their
// errors are returned as they are.
func (c *Client) Stream(ctx context.Context, path string, in any, each func(item json.RawMessage) error) error {
	resp, err := c.ask(ctx, http.MethodPost, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal("POST "+path, resp, io.LimitReader(resp.Body, maxAnswer))
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxItem)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return c.cutOff(ctx, errors.New("a line is cut"))
		}
		switch {
		case l.Error != nil:
			return l.Error
		case l.End:
			return nil
		}
		if err := each(l.Item); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return c.cutOff(ctx, err)
	}
	return c.cutOff(ctx, io.ErrUnexpectedEOF)
}

// ask sends the request and checks that it is tokend that answers.
func (c *Client) ask(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encoding a %T for the daemon failed", in) // not err: it may quote
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://tokend"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(versionHeader, strconv.Itoa(Version))
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unanswered(ctx, err)
	}
	if v := resp.Header.Get(versionHeader); v != strconv.Itoa(Version) {
		defer resp.Body.Close()
		if v == "" {
			return nil, &Error{Kind: KindProtocol, Message: fmt.Sprintf("what answers at %s is not tokend", c.path), Hint: "name the daemon's socket with --control"}
		}
		return nil, &Error{Kind: KindProtocol, Message: fmt.Sprintf("the daemon speaks version %q of the control protocol, and this command version %d", v, Version),
			Hint: "restart the daemon after an upgrade, or use the tokend binary that it runs"}
	}
	return resp, nil
}

// dial connects, and makes sure of who is there before anything is said.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if len(c.path) > maxPath {
		return nil, fmt.Errorf("the path of the control socket has %d bytes, and a socket's at most %d", len(c.path), maxPath)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOTDIR):
		return nil, &Error{Kind: KindUnavailable, Message: "no daemon answers at " + c.path, Hint: "start it (systemctl start tokend, or tokend run), or name its socket with --control"}
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{Kind: KindDenied, Message: "the control socket " + c.path + " is closed to this user", Hint: "run the command as root or as the daemon's user"}
	case err != nil:
		return nil, err
	}
	peer, err := peerOf(conn)
	if err == nil && !peer.trusted() {
		err = &Error{Kind: KindDenied, Message: fmt.Sprintf("the control socket %s is served by user %d, whom this user should not trust", c.path, peer.UID), Hint: "name the right daemon's socket with --control"}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// unanswered explains why there is no answer.
func (c *Client) unanswered(ctx context.Context, err error) error {
	e, ours := errors.AsType[*Error](err)
	switch {
	case ours && e.Kind == KindUnavailable:
		return &noDaemonError{reply: e}
	case ours:
		return e
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("connecting to the daemon at %s: %w", c.path, op.Err)
	}
	return c.cutOff(ctx, err)
}

// cutOff is for an answer that did not come whole.
func (c *Client) cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for the daemon: %w", ctx.Err())
	}
	why := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		why = "the connection broke off; did it stop?"
	}
	return &Error{Kind: KindInterrupted, Message: "the daemon's answer did not come whole, so what became of the request is not known: " + why, Hint: "see tokend status"}
}

// noDaemonError is an [ErrNoDaemon] with its kind and hint.
type noDaemonError struct{ reply *Error }

func (e *noDaemonError) Error() string   { return e.reply.Message }
func (e *noDaemonError) Unwrap() []error { return []error{ErrNoDaemon, e.reply} }

// refusal reads an error reply.
func refusal(request string, resp *http.Response, body io.Reader) error {
	var l line
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && json.NewDecoder(body).Decode(&l) == nil && l.Error != nil {
		return l.Error
	}
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed {
		return &Error{Kind: KindProtocol, Message: "the daemon does not know the request " + request, Hint: "it is older than this command: restart it"}
	}
	return &Error{Kind: KindInternal, Message: fmt.Sprintf("the daemon answered %s with status %d and no reason", request, resp.StatusCode), Hint: "please report it"}
}
