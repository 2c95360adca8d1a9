// Package parts knows the real programs that tokend's tests meet: a Vault
// server, an OpenID provider, the dotenv reader, systemd, and the linter and the
// C compiler that a full run wants.
//
// A test asks for one through package rig, and is skipped with a reason when
// [Part.Missing] says that it is not there. The runner in test/run asks for
// [All] of them: it installs what is missing when it was told to, and otherwise
// says loudly what the tests went without.
//
// What is built or downloaded lands in a cache folder outside the checkout,
// under a name that contains a hash of everything that decides its content, so
// that a changed lock file means a new folder and an unchanged one no work at
// all. The folder is $TOKEND_TEST_CACHE, else tokend-test in the user's cache
// folder. Nothing in it is ever written to after it was made.
package parts

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Install is the environment variable that, set to 1, allows a test run to
// install and build what it is missing.
const Install = "TOKEND_TEST_INSTALL"

// A Part is one real program, or a few that come together.
type Part struct {
	// Name begins every reason to skip a test that misses the part.
	Name string
	// For says what the tests check with it.
	For string

	// Commands are looked up in PATH; Packages are the Debian packages that
	// bring them.
	Commands []string
	Packages []string

	// Script, in test/install, makes the folder [Part.Dir]; Files must be there
	// afterwards. Sources, in test/, are the files and folders whose content
	// decides what it makes; the script itself is one more.
	Script  string
	Files   []string
	Sources []string

	// Folder is the first half of the folder's name in the cache.
	Folder string

	// Target is what builds it, of the Makefile; "": test.
	Target string

	// Root says that only root can run it.
	Root bool

	// Probe is a command that fails where the machine does not allow what the part
	// needs, though all of it is installed.
	Probe []string
}

// Vault is a Vault server built from its Go module.
func Vault() Part {
	return Part{
		Name:    "Vault server",
		For:     "secrets out of Vault, tokens into Vault KV, logins and renewal, a sealed Vault",
		Script:  "vault.sh",
		Files:   []string{"vault"},
		Sources: []string{"vault"},
		Folder:  "vault",
	}
}

// VaultAgent is Vault with its command line, of which its agent is a part. No test
// needs it, so that [All] is without it: it is what the benchmark compares with.
func VaultAgent() Part {
	return Part{
		Name:    "Vault Agent",
		For:     "the delivery of Vault's secrets, to be compared with",
		Script:  "vaultagent.sh",
		Files:   []string{"vault"},
		Sources: []string{"vaultagent", "vault/nodiscovery"},
		Folder:  "vaultagent",
		Target:  "bench",
	}
}

// Node is Node 22 with dotenv and oidc-provider.
func Node() Part {
	return Part{
		Name:    "Node",
		For:     "env files read back by dotenv; oidc-provider as a certified OAuth 2 server",
		Script:  "node.sh",
		Files:   []string{"node_modules/.bin/node", "node_modules/dotenv/package.json", "node_modules/oidc-provider/package.json"},
		Sources: []string{"node/package.json", "node/package-lock.json"},
		Folder:  "node",
	}
}

// Systemd is systemd-nspawn, which boots a systemd as PID 1 of a container, and
// what the rig needs beside it.
func Systemd() Part {
	return Part{
		Name:     "systemd",
		For:      "the daemon under systemd as PID 1: readiness, watchdog, reload, credentials, env files of units",
		Commands: []string{"systemd-nspawn", "nsenter", "unshare"},
		Packages: []string{"systemd", "systemd-container", "util-linux"},
		Root:     true,
		Probe:    []string{"unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tokend-test", "/mnt"},
	}
}

// Shells are the shells that read env files back.
func Shells() Part {
	return Part{
		Name:     "Shells",
		For:      "env files read back by sh and bash",
		Commands: []string{"sh", "bash"},
		Packages: []string{"dash", "bash"},
	}
}

// Git is git with its daemon, and the two programs that sign commits: a minimal
// Debian has none of them, and git does not bring the others.
func Git() Part {
	return Part{
		Name:     "git",
		For:      "configurations that follow a repository, and the signatures of its commits",
		Commands: []string{"git", "ssh-keygen", "gpg", "gpg-agent"},
		Packages: []string{"git", "openssh-client", "gpg", "gpg-agent"},
	}
}

// Strace shows which system calls a process makes, and in which order.
func Strace() Part {
	return Part{
		Name:     "strace",
		For:      "the order of writes and fsyncs",
		Commands: []string{"strace"},
		Packages: []string{"strace"},
	}
}

// Compiler is the C compiler, which the race detector links with.
func Compiler() Part {
	return Part{
		Name:     "C compiler",
		For:      "the race detector",
		Commands: []string{"gcc"},
		Packages: []string{"gcc", "libc6-dev"},
	}
}

// Staticcheck is the linter.
func Staticcheck() Part {
	return Part{
		Name:    "staticcheck",
		For:     "linting",
		Script:  "staticcheck.sh",
		Files:   []string{"staticcheck"},
		Sources: []string{"tools/go.mod", "tools/go.sum"},
		Folder:  "staticcheck",
	}
}

// All returns every part, those that are quick to install first.
func All() []Part {
	return []Part{Compiler(), Shells(), Git(), Strace(), Systemd(), Staticcheck(), Node(), Vault()}
}

// Missing returns nil when the part can be used here and now, or an error that
// begins with the part's name and says why not.
func (p Part) Missing() error {
	if p.Root && os.Geteuid() != 0 {
		return fmt.Errorf("%s: needs root", p.Name)
	}
	if missing := p.missingCommands(); len(missing) > 0 {
		return fmt.Errorf("%s: %s not found in PATH (Debian: apt-get install %s)",
			p.Name, strings.Join(missing, ", "), strings.Join(p.Packages, " "))
	}
	if len(p.Probe) > 0 {
		if out, err := exec.Command(p.Probe[0], p.Probe[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: this machine does not allow %q: %w: %s", p.Name, p.Probe, err, bytes.TrimSpace(out))
		}
	}
	if len(p.Files) == 0 {
		return nil
	}
	dir, err := p.Dir()
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	for _, f := range p.Files {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			return fmt.Errorf("%s: not built in %s (%s=1 make %s does it)", p.Name, dir, Install, cmp.Or(p.Target, "test"))
		}
	}
	return nil
}

func (p Part) missingCommands() []string {
	var missing []string
	for _, c := range p.Commands {
		if _, err := exec.LookPath(c); err != nil {
			missing = append(missing, c)
		}
	}
	return missing
}

// NeedsPackages reports whether a Debian package of the part is missing.
func (p Part) NeedsPackages() bool { return len(p.missingCommands()) > 0 }

// Dir is the part's folder in the cache, whether it is there or not.
func (p Part) Dir() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	key, err := p.key(filepath.Join(root, "test"))
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, p.Folder+"-"+key), nil
}

// Path is the path of one of the part's Files, or the reason why it is missing.
func (p Part) Path(file string) (string, error) {
	if !slices.Contains(p.Files, file) {
		return "", fmt.Errorf("%s: no file %q belongs to this part", p.Name, file)
	}
	if err := p.Missing(); err != nil {
		return "", err
	}
	dir, err := p.Dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, file), nil
}

// key hashes what decides the folder's content: the sources, the script, the Go
// release and the architecture.
func (p Part) key(test string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, s := range append([]string{filepath.Join("install", p.Script)}, p.Sources...) {
		err := filepath.WalkDir(filepath.Join(test, s), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(test, path)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%s %d\n%s\n", name, len(content), content)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("hashing what the %s is made from: %w", p.Name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

func cacheDir() (string, error) {
	if dir := os.Getenv("TOKEND_TEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for a cache folder: %w (set TOKEND_TEST_CACHE)", err)
	}
	return filepath.Join(dir, "tokend-test"), nil
}

// Root is the root of tokend's checkout: the folder above the working directory
// whose go.mod names tokend, or else the one that this package was compiled from.
func Root() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the checkout: %w", err)
	}
	if root, ok := rootAbove(wd); ok {
		return root, nil
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		if root, ok := rootAbove(filepath.Dir(file)); ok {
			return root, nil
		}
	}
	return "", errors.New("looking for the checkout: no go.mod of tokend at or above " + wd)
}

func rootAbove(dir string) (string, bool) {
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			first, _, _ := strings.Cut(string(mod), "\n")
			if strings.TrimSpace(first) == "module tokend" {
				return dir, true
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}
