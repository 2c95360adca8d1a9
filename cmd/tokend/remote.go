package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"tokend/pkg/control"
	"tokend/pkg/reconcile"
)

// remote is a backend that asks the daemon.
type remote struct{ c *control.Client }

var _ backend = (*remote)(nil)

func ask[Out any](ctx context.Context, r *remote, name string, in any) (Out, error) {
	var out Out
	err := r.c.Do(ctx, "POST", "/v1/"+name, in, &out)
	return out, err
}

func (r *remote) Status(ctx context.Context, addr string) (statusReply, error) {
	return ask[statusReply](ctx, r, "status", addressRequest{addr})
}

func (r *remote) Plan(ctx context.Context, in planRequest) (planReply, error) {
	return ask[planReply](ctx, r, "plan", in)
}

func (r *remote) Apply(ctx context.Context, in applyRequest) (applyReply, error) {
	return ask[applyReply](ctx, r, "apply", in)
}

func (r *remote) Get(ctx context.Context, in getRequest) (getReply, error) {
	return ask[getReply](ctx, r, "get", in)
}

func (r *remote) Order(ctx context.Context, in orderRequest) (orderReply, error) {
	return ask[orderReply](ctx, r, "order", in)
}

func (r *remote) Action(ctx context.Context, in actionRequest) (actionReply, error) {
	return ask[actionReply](ctx, r, "action", in)
}

func (r *remote) LoginStart(ctx context.Context, in loginRequest) (loginReply, error) {
	return ask[loginReply](ctx, r, "login/start", in)
}

func (r *remote) LoginFinish(ctx context.Context, in loginFinish) error {
	_, err := ask[struct{}](ctx, r, "login/finish", in)
	return err
}

func (r *remote) LoginWait(ctx context.Context, in loginID) error {
	_, err := ask[struct{}](ctx, r, "login/wait", in)
	return err
}

func (r *remote) LoginCancel(ctx context.Context, in loginID) error {
	_, err := ask[struct{}](ctx, r, "login/cancel", in)
	return err
}

func (r *remote) Held(ctx context.Context) (*reconcile.HeldChange, error) {
	return ask[*reconcile.HeldChange](ctx, r, "held", struct{}{})
}

func (r *remote) Approve(ctx context.Context, shown *reconcile.HeldChange) error {
	_, err := ask[struct{}](ctx, r, "approve", shown)
	return err
}

func (r *remote) StateList(ctx context.Context) ([]stateLine, error) {
	return ask[[]stateLine](ctx, r, "state/list", struct{}{})
}

func (r *remote) StateShow(ctx context.Context, addr string) (stateRecord, error) {
	return ask[stateRecord](ctx, r, "state/show", addressRequest{addr})
}

func (r *remote) StateRemove(ctx context.Context, addr string) error {
	_, err := ask[struct{}](ctx, r, "state/rm", addressRequest{addr})
	return err
}

func (r *remote) StateExport(ctx context.Context) (stateExport, error) {
	return ask[stateExport](ctx, r, "state/export", struct{}{})
}

func (r *remote) StateBackup(ctx context.Context, w io.Writer) error {
	return r.c.Stream(ctx, "/v1/state/backup", nil, func(item json.RawMessage) error {
		var part []byte
		if err := json.Unmarshal(item, &part); err != nil {
			return errors.New("reading the daemon's copy of the state: a part of it is not what was expected")
		}
		_, err := w.Write(part)
		return err
	})
}

func (r *remote) StateRotateKey(ctx context.Context, in keyRequest) (keyReply, error) {
	return ask[keyReply](ctx, r, "state/rotate-key", in)
}

func (r *remote) StateMove(ctx context.Context, in moveRequest) ([]string, error) {
	return ask[[]string](ctx, r, "state/mv", in)
}

func (r *remote) Close() error { return nil }

// daemon is the one that holds the state, or control.ErrNoDaemon.
func (g *globals) dial(ctx context.Context) (*remote, statusReply, error) {
	r := &remote{control.Dial(g.control)}
	s, err := r.Status(ctx, noAddress)
	return r, s, err
}

// noAddress asks for the counts alone.
const noAddress = reconcile.CountsOnly

func noDaemon(err error) bool { return errors.Is(err, control.ErrNoDaemon) }
