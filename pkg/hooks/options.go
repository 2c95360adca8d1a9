package hooks

import (
	"context"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// Options are what the kinds know of the daemon that they run in. The zero
// value works.
type Options struct {
	// Dir is the configuration's directory: where programs start, and what a
	// program named by a relative path ("./reload.sh") is relative to. Empty: /.
	Dir string
	// Environ is the daemon's environment ("NAME=value"), of which PATH, HOME
	// and LANG are handed on and nothing else. Nil: a default PATH alone.
	Environ []string
	// Scrub takes the secrets that the daemon holds at the moment out of a text
	// that somebody else wrote. Nil: only what looks like a token goes.
	Scrub func(string) string
}

// Defaults of the arguments that may be left out.
const (
	DefaultDebounce       = 500 * time.Millisecond
	DefaultTimeout        = 30 * time.Second
	DefaultSystemdTimeout = 90 * time.Second // as systemd's own DefaultTimeoutStartSec
)

// defaultPath is used where the daemon has no PATH of its own.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Schemas describe the blocks of all kinds, by kind.
func Schemas() map[string]spec.Schema {
	return map[string]spec.Schema{
		"exec":    execSchema(),
		"signal":  signalSchema(),
		"systemd": systemdSchema(),
	}
}

// Debounce is how long after a change the hook of these arguments waits for
// further ones, so that a hundred sinks written in one pass run it once.
func Debounce(args spec.Values) time.Duration {
	d, err := args.Duration("debounce", DefaultDebounce)
	if err != nil || d < 0 {
		return DefaultDebounce
	}
	return d
}

// WithAddress says which block a Run is for; a program finds it in $TOKEND_HOOK.
func WithAddress(ctx context.Context, hook spec.Address) context.Context {
	return context.WithValue(ctx, addressKey{}, hook)
}

type addressKey struct{}

func addressOf(ctx context.Context) spec.Address {
	a, _ := ctx.Value(addressKey{}).(spec.Address)
	return a
}

func debounceAttr() spec.Attr {
	return spec.Attr{Name: "debounce", Type: cty.String, Duration: true, Default: "500ms",
		Doc: "How long to wait for further changes after one, so that many make one run."}
}

func timeoutAttr(def string) spec.Attr {
	return spec.Attr{Name: "timeout", Type: cty.String, Duration: true, Default: def,
		Doc: "How long one run may take before it is killed and tried again later."}
}

// getenv looks a variable up in Environ; the last one counts, as in a shell.
func (o Options) getenv(name string) (string, bool) {
	for i := len(o.Environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(o.Environ[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// path is the PATH that programs are looked up in and are given.
func (o Options) path() string {
	if p, ok := o.getenv("PATH"); ok && p != "" {
		return p
	}
	return defaultPath
}

// environ is what every program gets.
func (o Options) environ() []string {
	env := []string{"PATH=" + o.path()}
	for _, name := range []string{"HOME", "LANG"} {
		if v, ok := o.getenv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// Timeout is how long one run of a kind of hook may take, by its block; zero: it has
// no timeout, or one that cannot be read, which a run says.
func Timeout(kind string, args spec.Values) time.Duration {
	def := map[string]time.Duration{"exec": DefaultTimeout, "systemd": DefaultSystemdTimeout}[kind]
	if d, err := args.Duration("timeout", def); err == nil {
		return d
	}
	return 0
}
