package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

const backupHelp = `Writes a copy of the state to FILE ("-": standard output): of one moment, also
while the daemon works. The copy was read back and found whole before FILE is
there. It is sealed as the state is; the key is not in it, so keep the key too, at
another place. Without the key a copy cannot be read by anybody.

A copy grows old quickly: see "tokend state restore --help".`

func stateBackupCommand(g *globals) *cobra.Command {
	var force bool
	c := &cobra.Command{Use: "backup FILE", Short: "write a copy of the state", Long: backupHelp, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		t, err := g.target(c.Context(), targetOptions{state: true})
		if err != nil {
			return err
		}
		defer t.Close()
		if args[0] == "-" {
			out := bufio.NewWriterSize(g.out, 256<<10)
			if err := t.StateBackup(c.Context(), out); err != nil {
				return err
			}
			return out.Flush()
		}
		made, err := state.SaveBackup(args[0], force, func(w io.Writer) error { return t.StateBackup(c.Context(), w) })
		if err != nil {
			return backupError(args[0], err)
		}
		fmt.Fprintf(g.out, "%s: %s, %d KiB, sealed; its key is not in it\n", args[0], countOf(made.Records, "record"), made.Bytes>>10)
		return nil
	}}
	c.Flags().BoolVar(&force, "force", false, "replace FILE when it is there")
	return c
}

// backupError says why a copy could not be written to a file, and what to do. A
// copy begins as another file beside it, so a missing right names that one.
func backupError(file string, err error) error {
	if errors.Is(err, state.ErrExists) {
		return withHint(fmt.Errorf("writing a copy of the state: %w", err), "give another name, or --force to replace it")
	}
	err = fmt.Errorf("writing a copy of the state to %s: %w", file, err)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "name a FILE in a directory that is there, or - for standard output")
	}
	if errors.Is(err, fs.ErrPermission) {
		return withHint(err, "it is written beside FILE first, by another name: name a FILE in a directory where this user may do so, or - for standard output")
	}
	return err
}

const restoreHelp = `Puts a copy that "tokend state backup" wrote in the place of the state, with no
daemon running. The copy is checked and opened with the key first. A state that
is there already is replaced only with --force, and kept beside. A copy from before
"tokend state rotate-key" is opened with the key that was kept then, where tokend
made it; the two keys then change places.

What was obtained after the copy was made is not in it. A refresh token that
works once may have been spent since, and spending it again can end all that came
of it; so those are marked. Where a grant needs no person, a new token is obtained
by it at the next start; where it does, the access token is kept while it lives,
and "tokend status" says who has to log in. What was obtained since is not known
any more, and lives on at the provider until it expires. Counted as orphans are
those of them that were bound to come: one for each such refresh token, and one for
each token without one that was due to be obtained anew. One that was ordered (by
refresh, or a changed input) is not counted. A credential that was made after the
copy is obtained anew.`

func stateRestoreCommand(g *globals) *cobra.Command {
	var force bool
	c := &cobra.Command{Use: "restore FILE", Short: "put a copy in the place of the state", Long: restoreHelp, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		return g.restore(c.Context(), args[0], force)
	}}
	c.Flags().BoolVar(&force, "force", false, "replace a state that is there; it is kept beside")
	return c
}

func (g *globals) restore(ctx context.Context, file string, force bool) error {
	if _, _, err := g.dial(ctx); err == nil {
		return withHint(fmt.Errorf("restoring the state: a daemon works on it, and answers at %s", g.control), "stop it first (systemctl stop tokend)")
	}
	if _, err := os.Stat(file); err != nil {
		return withHint(fmt.Errorf("restoring the state: %w", err), "name the copy that tokend state backup wrote")
	}
	g.unserved()
	g.useLastCheckout()
	cfg, diags := g.read(nil)
	if diags.HasErrors() {
		g.printDiagnostics(diags)
		return withHint(errors.New("restoring the state: the configuration cannot be used, and it says where the state is and which key it has"), "mend what is marked above")
	}
	log, err := g.quietLogger()
	if err != nil {
		return err
	}
	e := g.newEngine(ctx, cfg, log)
	defer e.abandon()
	dir := g.stateDir(cfg.Settings().State)
	key, err := e.keySource(ctx, cfg.Settings().State, dir)
	if err != nil {
		return err
	}
	r, err := state.Restore(ctx, state.Options{Dir: dir, Key: key, Logger: log, Holder: g.command}, file, force)
	switch {
	case errors.Is(err, state.ErrExists):
		return withHint(fmt.Errorf("restoring the state: %w", err), "give --force to replace it; it is kept beside the new one")
	case errors.Is(err, state.ErrDamaged):
		return withHint(fmt.Errorf("restoring the state from %s: %w", file, err), "take another copy; the state is as it was")
	case errors.Is(err, state.ErrKey):
		return withHint(fmt.Errorf("restoring the state from %s: %w", file, err), "%s", formerKeyHint(file, dir))
	case err != nil:
		return fmt.Errorf("restoring the state from %s: %w", file, err)
	}
	g.sayRestored(dir, r)
	return nil
}

func (g *globals) sayRestored(dir string, r state.Restored) {
	fmt.Fprintf(g.out, "%s: restored, %s\n", dir, countOf(r.Records, "record"))
	if r.Replaced != "" {
		fmt.Fprintf(g.out, "the state that was there: %s\n", r.Replaced)
	}
	if r.Former != "" {
		fmt.Fprintf(g.out, "the copy was made before the key was rotated: its key, which was kept, is in force again; the one that was is kept as state.key.former-… in its turn\n")
	}
	if r.Lost > 0 {
		fmt.Fprintf(g.out, "the copy is %s behind it\n", countOf(int(r.Lost), "commit"))
	}
	if r.Doubtful > 0 {
		fmt.Fprintf(g.out, "%s in doubt: a refresh token that works once may have been spent since; %s says what becomes of each\n", countOf(r.Doubtful, "credential"), g.spell("`tokend status`"))
	}
}

const rotateHelp = `Seals the state with another key, while the daemon works or without one. It takes
one commit, whatever the size of the state: only the key that seals the records is
sealed anew.

Without a flag it is the key that the configuration names now: change the
configuration, then rotate; the daemon need not be restarted:

    tokend state rotate-key

A configuration that cannot be used says no key: mend it first, or give a flag.
Where no key is configured, the one that tokend made is made anew; where it is a
transit key, its newest version is used. With a flag it is the key of the flag;
then the configuration has to name it before the next start.

Without a daemon the state has to be opened with the former key once more. Where
the configuration names the new one already, say which the former one is, unless
tokend made it:

    tokend state rotate-key --former /etc/tokend-state.key

The former key opens the state no more, and still opens copies made before: keep
it as long as those. One that tokend made stays beside the new one, as
state.key.former-…. At whatever moment this is cut short, either the former key
opens the state or the new one.`

func stateRotateKeyCommand(g *globals) *cobra.Command {
	var in keyRequest
	var former string
	c := &cobra.Command{Use: "rotate-key", Short: "seal the state with another key", Long: rotateHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return g.rotateKey(c.Context(), in, former)
	}}
	f := c.Flags()
	f.StringVar(&in.KeyFile, "key-file", "", "`file` with the new key: 32 bytes, raw or as hexadecimal or base64 text")
	f.StringVar(&in.SystemdCredential, "systemd-credential", "", "`name` of the systemd credential that holds the new key; the daemon's, where one runs")
	f.StringVar(&in.Transit, "transit", "", "the new key in Vault's transit engine, as `VAULT/MOUNT/KEY`, such as vault.main/transit/tokend")
	f.StringVar(&former, "former", "", "without a daemon: the `key` that seals the state until now, a file or VAULT/MOUNT/KEY")
	c.MarkFlagsMutuallyExclusive("key-file", "systemd-credential", "transit")
	return c
}

func (g *globals) rotateKey(ctx context.Context, in keyRequest, former string) error {
	if in.KeyFile != "" {
		path, err := filepath.Abs(in.KeyFile)
		if err != nil {
			return fmt.Errorf("rotating the state's key: %w", err)
		}
		in.KeyFile = path
	}
	t, err := g.target(ctx, targetOptions{state: true, rotates: true, former: former})
	if err != nil {
		return err
	}
	defer t.Close()
	r, err := t.StateRotateKey(ctx, in)
	if err != nil {
		return err
	}
	fmt.Fprintf(g.out, "the state is sealed with the %s now\n", r.Key)
	if !r.Configured {
		fmt.Fprintf(g.out, "name it in the configuration before the next start: tokend { state { %s } }\n", in.setting())
	}
	return nil
}

// setting is what the configuration has to say for this key.
func (in keyRequest) setting() string {
	switch {
	case in.KeyFile != "":
		return fmt.Sprintf("key_file = %q", in.KeyFile)
	case in.SystemdCredential != "":
		return fmt.Sprintf("systemd_credential = %q", in.SystemdCredential)
	}
	vault, rest, _ := strings.Cut(in.Transit, "/")
	dir, key := filepath.Split(rest)
	return fmt.Sprintf("transit { vault = %s, mount = %q, key = %q }", vault, strings.TrimSuffix(dir, "/"), key)
}

// settings is the key as a configuration would name it.
func (in keyRequest) settings() (spec.StateSettings, error) {
	s := spec.StateSettings{KeyFile: in.KeyFile, SystemdCredential: in.SystemdCredential}
	if in.Transit == "" {
		return s, nil
	}
	vault, rest, _ := strings.Cut(in.Transit, "/")
	mount, key := filepath.Split(rest)
	mount = strings.Trim(mount, "/")
	if !strings.HasPrefix(vault, "vault.") || mount == "" || key == "" {
		return s, withHint(fmt.Errorf("reading --transit %q: it is not of the form VAULT/MOUNT/KEY", in.Transit), "for example: --transit vault.main/transit/tokend")
	}
	s.Transit = &spec.Transit{Vault: spec.Address(vault), Mount: mount, Key: key}
	return s, nil
}

// sameKey reports whether two settings name one key.
func sameKey(a, b spec.StateSettings) bool {
	if a.Transit == nil || b.Transit == nil {
		return a.Transit == b.Transit && a.KeyFile == b.KeyFile && a.SystemdCredential == b.SystemdCredential
	}
	return *a.Transit == *b.Transit
}

func (e *engine) StateBackup(ctx context.Context, w io.Writer) error {
	s, ok := e.store.(*state.Bolt)
	if !ok {
		return errors.New("copying the state: this one is in memory only")
	}
	return s.Backup(ctx, w)
}

func (e *engine) StateRotateKey(ctx context.Context, in keyRequest) (keyReply, error) {
	s, ok := e.store.(*state.Bolt)
	if !ok {
		return keyReply{}, errors.New("rotating the state's key: this state is in memory only")
	}
	if in == (keyRequest{}) {
		if err := e.saysItsKey(ctx); err != nil {
			return keyReply{}, err
		}
	}
	configured := e.loop.Config().Settings().State
	to := configured
	if in != (keyRequest{}) {
		var err error
		if to, err = in.settings(); err != nil {
			return keyReply{}, err
		}
	}
	dir := filepath.Dir(s.Info().Path)
	source := e.keySource
	if in != (keyRequest{}) {
		source = e.namedKey // also of dev's state: who rehearses a rotation has the key read
	}
	key, err := source(ctx, to, dir)
	if err != nil {
		return keyReply{}, err
	}
	if to.KeyFile == "" && to.SystemdCredential == "" && to.Transit == nil {
		key = state.RenewedKeyFile(filepath.Join(dir, state.GeneratedName))
	}
	if err := s.RotateKey(ctx, key); err != nil {
		if errors.Is(err, state.ErrKey) {
			err = withHint(err, "see to the new key, and rotate again; the state is sealed with the former one as before")
		}
		return keyReply{}, err
	}
	e.noteKey(dir, to)
	e.mu.Lock()
	e.began.state = to
	e.mu.Unlock()
	e.log.Info("the state is sealed with another key", "key", key.String())
	return keyReply{Key: key.String(), Configured: sameKey(configured, to)}, nil
}

// saysItsKey brings the configuration up to what its directory says, and is an error
// where that says no key: it cannot be read, or is not in force.
func (e *engine) saysItsKey(ctx context.Context) error {
	if err := e.abreast(ctx); err != nil {
		return fmt.Errorf("rotating the state's key: %w", err)
	}
	c := e.configuration()
	if c.Valid && c.NotTaken == "" {
		return nil
	}
	why := "cannot be used"
	if c.Valid {
		why = "cannot be taken over"
	}
	return withHint(fmt.Errorf("rotating the state's key: the configuration in %s %s, and it says which key the state gets", c.Directory, why),
		"mend what `tokend validate` and `tokend status` show; or name the key, as tokend state rotate-key --key-file FILE")
}

// abandon gives up an engine that has no state.
func (e *engine) abandon() {
	e.cancel()
	closing, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	e.pool.Close(closing)
	e.files.Close()
}
