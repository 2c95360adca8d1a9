package main

import "tokend/pkg/spec"

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
