// Package filesink is the sink kind "file": one file with any text in it, such
// as a bare token, or a whole configuration file that contains one.
//
//	sink "file" "trader" {
//	  path    = "/run/tokend/trader.token"
//	  content = credential.coinify.trader["alice"].access_token
//	  owner   = "trader"
//	  mode    = "0640"
//	}
//
// [New] makes it. The file holds the content byte for byte, without a line break
// at its end unless the content has one. How it is written, and what protects it
// from other users, is said in tokend/pkg/atomicfile. Empty content is refused:
// an empty token helps nobody, and a consumer that finds the old one can still
// work.
package filesink

import (
	"errors"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/atomicfile"
	"tokend/pkg/secret"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/internal/hostfile"
	"tokend/pkg/spec"
)

// Sink is the kind "file". It is safe for concurrent use.
type Sink struct {
	hostfile.Files
	dir string
}

var _ sinks.Sink = (*Sink)(nil)

// New makes the kind. Files are written by w; relative paths are relative to
// dir, the directory of the configuration, and refused when it is empty.
func New(w *atomicfile.Writer, dir string) *Sink {
	return &Sink{Files: hostfile.New(w), dir: dir}
}

// Schema lists the arguments of the kind.
func Schema() spec.Schema {
	return spec.Schema{
		Doc: "One file with any text in it.",
		Attrs: append(hostfile.Attrs(), spec.Attr{
			Name: "content", Type: cty.String, Required: true, Deferred: true,
			Doc: "The whole content of the file, byte for byte; it must not be empty.",
		}),
	}
}

// Stands says in words what stands at a place of this kind, or of another that
// writes files; "" for nothing.
func Stands(place string) string { return hostfile.Stands(place) }

// Render implements [sinks.Sink].
func (s *Sink) Render(args spec.Values) (sinks.Desired, error) {
	target, content, err := parse(args, s.dir)
	if err != nil {
		return sinks.Desired{}, err
	}
	if content.Empty() {
		return target.Unknown()
	}
	return target.Desired(content), nil
}

// Check says what is wrong with arguments of which some may be unknown yet.
func Check(args spec.Values) error {
	_, _, err := parse(args, "/")
	return err
}

// parse reads the arguments; content that is not known yet is empty.
func parse(args spec.Values, dir string) (hostfile.Target, secret.Text, error) {
	target, err := hostfile.ParseTarget(args, dir)
	if err != nil || !args.Cty("content").IsWhollyKnown() {
		return target, secret.Text{}, err
	}
	content, err := args.Secret("content")
	if err == nil && content.Empty() {
		err = &spec.ArgumentError{Name: "content", Err: errors.New("the content is empty; a file without its token would only break what reads it")}
	}
	if err != nil {
		return target, secret.Text{}, hostfile.Wrong(target.Path, err)
	}
	return target, content, nil
}
