package main

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"tokend/pkg/atomicfile"
	"tokend/pkg/spec"
)

// ownPaths are what tokend itself keeps and reads on this host, beside what a
// configuration declares, so that no sink is written over it.
func (g *globals) ownPaths(s spec.StateSettings) []spec.OwnPath {
	own := []spec.OwnPath{
		{Path: g.gitDir(), Below: true, What: "belongs to tokend's checkout of the repository that it follows"},
		{Path: g.stateDir(s), Below: true, What: "belongs to tokend's state"},
		{Path: g.control, What: "is tokend's control socket"},
		{Path: g.signers, What: "has the keys that may sign a commit"},
		{Path: firstPath(g.getenv("CREDENTIALS_DIRECTORY")), Below: true, What: "is among the credentials that systemd gives to tokend"},
	}
	if g.limit != nil {
		own = append(own, spec.OwnPath{Path: g.policyWatched(), What: "is the policy of this host"})
	}
	return own
}

// refuseOwn says of a directory that is written to what [globals.ownPaths] and the configuration are to
// tokend: a directory may lead elsewhere by then than when they were loaded.
func (g *globals) refuseOwn(cfg *spec.Config) func(dirs []atomicfile.DirID) func(name string) string {
	settings := cfg.Settings().State
	own, config := g.ownPaths(settings), cfg.Dir()
	if key := settings.KeyFile; key != "" {
		if !filepath.IsAbs(key) {
			key = filepath.Join(config, key)
		}
		own = append(own, spec.OwnPath{Path: key, What: "has the key of tokend's state"})
	}
	return func(dirs []atomicfile.DirID) func(name string) string {
		names := map[string]string{}
		for _, p := range own {
			if p.Path == "" {
				continue
			}
			if id, ok := dirID(p.Path); p.Below && ok && slices.Contains(dirs, id) {
				return func(string) string { return p.What }
			}
			if id, ok := dirID(filepath.Dir(p.Path)); ok && id == dirs[0] {
				names[filepath.Base(p.Path)] = p.What
			}
		}
		id, ok := dirID(config)
		configured := ok && id == dirs[0]
		if !configured && len(names) == 0 {
			return nil
		}
		return func(name string) string {
			if configured && spec.IsConfigFile(name) {
				return "is a file of this configuration"
			}
			return names[name]
		}
	}
}

func dirID(path string) (atomicfile.DirID, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return atomicfile.DirID{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return atomicfile.DirID{}, false
	}
	return atomicfile.DirID{Device: uint64(st.Dev), Inode: st.Ino}, true
}
