package rig

import (
	"fmt"
	"strings"
	"time"
)

// Unit is a property of a unit, as systemctl show names and prints it: ActiveState,
// SubState, StatusText, Result, NRestarts, MainPID and so on.
func (m *Machine) Unit(unit, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.MustRun("systemctl", "show", "--property="+property, "--value", unit))
}

// WaitUnit waits until a property of a unit has the value.
func (m *Machine) WaitUnit(unit, property, want string, limit time.Duration) {
	m.t.Helper()
	err := poll(limit, func() (bool, string) {
		got := m.Unit(unit, property)
		return got == want, fmt.Sprintf("%s is %q", property, got)
	})
	if err != nil {
		m.t.Fatalf("waiting for %s of %s to be %q: %v", property, unit, want, err)
	}
}

// Journal is what a unit logged, one message a line.
func (m *Machine) Journal(unit string) string {
	m.t.Helper()
	return m.MustRun("journalctl", "--no-pager", "--output=cat", "--unit="+unit)
}

// Environ reads an env file as systemd does: it starts a unit with the file as its
// EnvironmentFile and returns what the unit finds in its environment.
func (m *Machine) Environ(path string) map[string]string {
	m.t.Helper()
	read := func(unit, setting, out string) map[string]string {
		m.WriteFile("/run/systemd/system/"+unit,
			"[Service]\nType=oneshot\nExecStart=/usr/bin/env -0\nStandardOutput=truncate:"+out+"\n"+setting, 0o644)
		m.MustRun("systemctl", "daemon-reload")
		m.MustRun("systemctl", "start", unit)
		content, err := m.ReadFile(out)
		if err != nil {
			m.t.Fatal(err)
		}
		return environ([]byte(content))
	}
	own := read("tokend-test-environ-own.service", "", "/run/tokend-test-environ-own")
	got := read("tokend-test-environ.service", "EnvironmentFile="+path+"\n", "/run/tokend-test-environ")
	for name, value := range own {
		// INVOCATION_ID and its like differ from unit to unit.
		if _, mine := got[name]; mine && (got[name] == value || strings.HasSuffix(name, "_ID") || name == "JOURNAL_STREAM" || name == "SYSTEMD_EXEC_PID") {
			delete(got, name)
		}
	}
	return got
}
