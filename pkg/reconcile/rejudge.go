package reconcile

import (
	"context"
	"errors"
	"sort"
	"time"

	"tokend/pkg/spec"
)

// rejudge has the guard look at a destructive step that it has not seen: the
// decision changed after the configuration was set (a token was obtained
// meanwhile, say). Until then the step waits.
func (l *Loop) rejudge() {
	if l.rejudging || l.stopping {
		return
	}
	l.rejudging = true
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := l.judgeAgain(ctx)
		if err != nil && !errors.Is(err, ErrClosed) {
			l.log.Error("judging a change again failed", "error", err)
			_ = l.do(context.Background(), func() { l.rejudging = false })
		}
	}()
}

func (l *Loop) judgeAgain(ctx context.Context) error {
	l.setting.Lock()
	defer l.setting.Unlock()
	cfg := l.config.Load()
	if cfg == nil {
		return l.do(ctx, func() { l.rejudging = false }) // the first one could not be taken over: nothing is judged yet
	}
	d := delta{last: map[string]*spec.Config{}}
	dry := false
	err := l.do(ctx, func() {
		l.rejudging, dry = false, l.dry
		for a, it := range l.items {
			switch {
			case it.kind == kindHook || !it.stored:
			case it.gone:
				d.gone, d.last[a] = append(d.gone, a), it.cfg
			default:
				d.changed = append(d.changed, a)
			}
		}
		sort.Strings(d.gone)
		sort.Strings(d.changed)
	})
	if err != nil {
		return err
	}
	v, err := l.judgeChange(ctx, cfg, cfg, d, SetOptions{})
	if err != nil {
		return err
	}
	a := acceptance{held: v.held, unseen: v.unseen}
	if err := l.do(ctx, func() { a.goesOn = l.goesOnThen(cfg, cfg, delta{}, v) }); err != nil {
		return err
	}
	if !dry {
		goes, err := v.goes()
		if err != nil {
			return err
		}
		if err := l.accept(ctx, cfg, a, goes...); err != nil {
			// Nothing goes ahead before that is recorded. What waits for a person does
			// so now, and is to be seen.
			return errors.Join(err, l.do(context.WithoutCancel(ctx), func() {
				if v.held != nil {
					l.holdBack(v.held)
				}
			}))
		}
	}
	return l.do(context.WithoutCancel(ctx), func() {
		l.holdBack(v.held)
		l.takeLog(v.log)
		for _, x := range a.goesOn {
			l.goOn(x, v)
		}
	})
}
