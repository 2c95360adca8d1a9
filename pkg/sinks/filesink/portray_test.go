package filesink_test

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/filesink"
	"tokend/pkg/spec"
)

// A file's owner and group fit by name and by number, its mode in any form; and
// what is not asked for fits always.
func TestPortraitOfAFile(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	gid := strconv.Itoa(os.Getegid())
	group, err := user.LookupGroupId(gid)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "token")
	w := &atomicfile.Writer{}
	defer w.Close()
	sink := filesink.New(w, "")
	render := func(mode, owner, group string) sinks.Desired {
		t.Helper()
		m := map[string]cty.Value{"path": cty.StringVal(path), "content": spec.Sensitive(cty.StringVal("a token"))}
		for name, v := range map[string]string{"mode": mode, "owner": owner, "group": group} {
			if v != "" {
				m[name] = cty.StringVal(v)
			}
		}
		d, err := sink.Render(spec.NewValues(m))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	written, err := sink.Write(t.Context(), render("0640", "", gid), nil)
	if err != nil {
		t.Fatal(err)
	}
	hash := func(content []byte) string { return string(content) }
	is, err := sink.Portray(render("0640", "", gid), written, hash)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode, owner, group string
		fits               bool
	}{
		{"0640", "", "", true},
		{"640", me.Username, group.Name, true},
		{"0o640", me.Uid, gid, true},
		{"0640", "0" + me.Uid, "00" + gid, true},
		{"", "", "", false}, // 0600
		{"0644", "", "", false},
		{"0640", "tokend-nobody", "", false},
		{"0640", "", "54321", false},
	} {
		want, err := sink.Portray(render(c.mode, c.owner, c.group), nil, hash)
		if err != nil {
			t.Fatal(err)
		}
		fits := true
		for trait, values := range want.Traits {
			fits = fits && slices.Contains(is.Traits[trait], values[0])
		}
		if fits != c.fits {
			t.Errorf("mode %q, owner %q, group %q: fits is %v; it is %v and shall be %v", c.mode, c.owner, c.group, fits, is.Traits, want.Traits)
		}
	}
}
