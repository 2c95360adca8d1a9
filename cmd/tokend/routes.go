package main

import (
	"bufio"
	"context"
	"errors"
	"net/http"

	"tokend/pkg/control"
	"tokend/pkg/providers/login"
	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// routes is what the control socket serves: each method of a backend under a
// name of its own, JSON in and out.
func routes(b backend) http.Handler {
	mux := http.NewServeMux()
	handle(mux, "status", func(ctx context.Context, in addressRequest) (statusReply, error) { return b.Status(ctx, in.Address) })
	handle(mux, "plan", b.Plan)
	handle(mux, "apply", b.Apply)
	handle(mux, "get", b.Get)
	handle(mux, "order", b.Order)
	handle(mux, "action", b.Action)
	handle(mux, "login/start", b.LoginStart)
	handle(mux, "login/finish", func(ctx context.Context, in loginFinish) (struct{}, error) { return struct{}{}, b.LoginFinish(ctx, in) })
	handle(mux, "login/wait", func(ctx context.Context, in loginID) (struct{}, error) { return struct{}{}, b.LoginWait(ctx, in) })
	handle(mux, "login/cancel", func(ctx context.Context, in loginID) (struct{}, error) { return struct{}{}, b.LoginCancel(ctx, in) })
	handle(mux, "held", func(ctx context.Context, _ struct{}) (*reconcile.HeldChange, error) { return b.Held(ctx) })
	handle(mux, "approve", func(ctx context.Context, in reconcile.HeldChange) (struct{}, error) {
		return struct{}{}, b.Approve(ctx, &in)
	})
	handle(mux, "state/list", func(ctx context.Context, _ struct{}) ([]stateLine, error) { return b.StateList(ctx) })
	handle(mux, "state/show", func(ctx context.Context, in addressRequest) (stateRecord, error) { return b.StateShow(ctx, in.Address) })
	handle(mux, "state/rm", func(ctx context.Context, in addressRequest) (struct{}, error) {
		return struct{}{}, b.StateRemove(ctx, in.Address)
	})
	handle(mux, "state/export", func(ctx context.Context, _ struct{}) (stateExport, error) { return b.StateExport(ctx) })
	handle(mux, "state/rotate-key", b.StateRotateKey)
	mux.Handle("POST /v1/state/backup", control.HandleStream(func(ctx context.Context, _ struct{}, send func(any) error) error {
		w := bufio.NewWriterSize(partWriter(send), 256<<10)
		err := b.StateBackup(ctx, w)
		if err == nil {
			err = w.Flush()
		}
		if errors.Is(err, context.Canceled) {
			return crossing(err)
		}
		return err
	}))
	handle(mux, "state/mv", b.StateMove)
	return mux
}

// partWriter sends what is written as items of a stream.
type partWriter func(item any) error

func (p partWriter) Write(b []byte) (int, error) {
	if err := p(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

type addressRequest struct {
	Address string `json:"address"`
}

func handle[In, Out any](mux *http.ServeMux, name string, f func(context.Context, In) (Out, error)) {
	mux.Handle("POST /v1/"+name, control.Handle(func(ctx context.Context, in In) (Out, error) {
		out, err := f(ctx, in)
		return out, crossing(err)
	}))
}

// crossing is an error as a client is told of it. Who asks hears of a cancelled
// context only where it is the daemon that ends.
func crossing(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return &control.Error{Kind: control.KindInterrupted, Message: "the daemon was told to stop before it had done this",
			Hint: "the calls that it had begun come to their end and are recorded: `tokend status` says how it is, once that runs again"}
	}
	return &control.Error{Kind: kindOf(err), Message: err.Error(), Hint: hintOf(err)}
}

// kindOf is what a client can tell an error apart by.
func kindOf(err error) control.Kind {
	var missing *reconcile.NotFoundError
	switch {
	case errors.As(err, &missing), errors.Is(err, state.ErrNotFound):
		return control.KindNotFound
	case errors.Is(err, login.ErrIncomplete):
		return control.KindInvalid
	case errors.Is(err, reconcile.ErrChanged), errors.Is(err, login.ErrState):
		return control.KindRefused
	case errors.Is(err, reconcile.ErrClosed):
		return control.KindUnavailable
	}
	return control.KindFailed
}
