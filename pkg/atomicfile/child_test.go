package atomicfile_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A test that needs a process of its own runs itself again as a child: childRole
// says which part of it the child plays, childArg is what it works on.
const (
	childRole = "ATOMICFILE_TEST_CHILD"
	childArg  = "ATOMICFILE_TEST_ARG"
)

func isChild(role string) bool { return os.Getenv(childRole) == role }

type childProcess struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// child prepares this test binary to run the current test alone in a role, below
// wrapper commands such as strace if there are any.
func child(t *testing.T, role, arg string, prepare func(*childProcess), wrapper ...string) *childProcess {
	t.Helper()
	argv := append(wrapper, testBinary(t), "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	c := &childProcess{cmd: exec.Command(argv[0], argv[1:]...)}
	c.cmd.Dir = "/"
	c.cmd.Env = append(os.Environ(), childRole+"="+role, childArg+"="+arg)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if prepare != nil {
		prepare(c)
	}
	return c
}

func (c *childProcess) credential(uid, gid uint32) {
	c.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
}

func (c *childProcess) mustRun(t *testing.T) {
	t.Helper()
	if err := c.cmd.Run(); err != nil {
		t.Fatalf("child: %v\n%s", err, c.out.Bytes())
	}
	if !bytes.Contains(c.out.Bytes(), []byte("--- PASS: "+t.Name())) {
		t.Fatalf("the child ran nothing:\n%s", c.out.Bytes())
	}
}

// testBinary is a copy of this binary where every user can execute it.
func testBinary(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("atomicfile: no /proc to run this test again from:", err)
	}
	path := filepath.Join(openTemp(t), "atomicfile.test")
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// openTemp is a temporary directory that every user can enter, and write to.
func openTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "atomicfile-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}
