package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"tokend/pkg/atomicfile"
	"tokend/pkg/spec"
)

// openedByName is the file beside the state that says which key opened it last.
// Where it is said is the configuration; but a directory that is empty, or only
// half checked out, says nothing, and what was last in force lies in that state.
const openedByName = "state.opened-by"

// openedBy is the key that a configuration named.
type openedBy struct {
	KeyFile           string `json:"key_file,omitempty"`
	SystemdCredential string `json:"systemd_credential,omitempty"`
}

// noteKey writes down which key opened the state in a directory. Nothing depends
// on it but a start that is not told.
func (e *engine) noteKey(dir string, s spec.StateSettings) {
	path := filepath.Join(dir, openedByName)
	by := openedBy{s.KeyFile, s.SystemdCredential}
	if by == (openedBy{}) {
		_ = os.Remove(path) // mostly, there is none
		return
	}
	text, err := json.Marshal(by)
	if err != nil {
		return
	}
	if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, text) {
		return
	}
	if err := atomicfile.WriteFile(path, text, atomicfile.Attr{}); err != nil {
		e.log.Debug("which key opens the state is not noted", "path", path, "error", err)
	}
}

// notedKey adds to settings of a state that name no key the one that opened it
// last, if the policy lets it be named.
func (g *globals) notedKey(dir string, s spec.StateSettings) spec.StateSettings {
	if s.KeyFile != "" || s.SystemdCredential != "" || s.Transit != nil {
		return s
	}
	var by openedBy
	text, err := os.ReadFile(filepath.Join(dir, openedByName))
	if err != nil || json.Unmarshal(text, &by) != nil || by.KeyFile != "" && !g.allowsState(by.KeyFile) {
		return s
	}
	s.KeyFile, s.SystemdCredential = by.KeyFile, by.SystemdCredential
	return s
}
