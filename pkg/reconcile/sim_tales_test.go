package reconcile_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

var simTale = flag.String("sim.tale", "", "a story that every run has, which else few or none have")

// Stories that not all runs have. Whether one has it, and what happens in it, is
// drawn apart, so that runs without it stay as they were.
const (
	taleMoved   = "moved"   // a credential gets another name, as a moved block says, and back
	taleLogin   = "login"   // a person takes a while for a login
	taleAction  = "action"  // a person orders actions
	taleRemoved = "removed" // a removed block says that a token is left alone
	taleStop    = "stop"    // tokens end with the daemon
	talePages   = "pages"   // web pages answer instead of the APIs
	taleOutputs = "outputs" // sinks name what only another grant has
	taleDevice  = "device"  // a person approves a login on another device
	taleSecrets = "secrets" // secrets take their time, or fail
	taleGateway = "gateway" // something before the APIs refuses, or is away for a moment
	taleShared  = "shared"  // two credentials are of one account
	taleMidcall = "midcall" // a credential gets another name while a call for it is open
)

// simTales are all of them, and how likely a run is to have each.
var simTales = [...]struct {
	name   string
	chance float64
}{{taleMoved, 0.1}, {taleLogin, 0.05}, {taleAction, 0.05}, {taleRemoved, 0.04}, {taleStop, 0.04}, {talePages, 0.04}, {taleOutputs, 0.02}, {taleMidcall, 0.03}, {taleDevice, 0.04}, {taleSecrets, 0.05}, {taleGateway, 0.04}, {taleShared, 0.04}}

// drawTales draws which stories a run has.
func (s *simRun) drawTales() {
	for _, tale := range simTales {
		if s.draws.chance("not all have", tale.name, tale.chance) || *simTale == tale.name {
			s.tales = append(s.tales, tale.name)
		}
	}
	if s.has(taleShared) {
		s.drawSharing()
	}
	if !s.has(taleMoved) && !s.has(taleMidcall) {
		return
	}
	movers := []int{0, 1, 2}
	if s.more {
		movers = append(movers, 3)
	}
	s.config.mover = one(s.draws, "mover", "", movers...)
}

// isTale says that there is a story of that name.
func isTale(name string) bool {
	for _, tale := range simTales {
		if tale.name == name {
			return true
		}
	}
	return false
}

func (s *simRun) has(tale string) bool { return slices.Contains(s.tales, tale) }

// tell draws what happens next in one of a run's stories.
func (s *simRun) tell() {
	switch one(s.draws, "which tale", "", s.tales...) {
	case taleMoved:
		s.rename()
	case taleLogin:
		s.drawLogin()
	case taleAction:
		s.drawAction()
	case taleRemoved:
		s.drawRemoved()
	case taleStop:
		s.drawStop()
	case talePages:
		s.drawPages()
	case taleOutputs:
		s.drawOutputs()
	case taleDevice:
		s.drawDevice()
	case taleSecrets:
		s.drawSecrets()
	case taleGateway:
		s.drawGateway()
	case taleMidcall:
		s.renameMidcall()
	case taleShared:
		s.drawShared()
	}
}

// rename has a configuration call a credential something else from now on, with the
// moved block that says so; or takes that block out, once it has been followed.
func (s *simRun) rename() {
	d, c := s.draws, s.config
	if c.moved && s.followed() && d.chance("taken out", "moved", 0.3) {
		c.moved = false
	} else {
		c.moved, c.renamed = true, !c.renamed
		c.declared[c.mover] = max(c.declared[c.mover], 1) // a moved block leads to what is declared
	}
	if d.chance("another account", "moved", 0.15) {
		c.declared[c.mover] = 1 + d.below("to what", "moved", 2)
	}
	if d.chance("another style", "moved", 0.15) {
		c.style = d.below("style", "moved", simStyles)
	}
	s.declare(c, d.chance("while down", "moved", 0.2))
}

// renameMidcall has a process die while a call for a credential is on its way, and
// the next one find that credential under another name.
func (s *simRun) renameMidcall() {
	d, c := s.draws, s.config
	addr := simCredentials[c.mover]
	if !c.declares(c.mover) {
		s.rename()
		return
	}
	switch {
	case typeOfSim(c.mover) == "person" && d.chance("login", "midcall", 0.5):
		s.login()
	default:
		s.orderOf(addr, reconcile.Order{Kind: one(d, "order", "midcall", reconcile.OrderRefresh, reconcile.OrderTaint)})
	}
	s.wait(d.longOrShort("under way", "midcall", time.Millisecond, 600*time.Millisecond))
	if s.failed() {
		return
	}
	c.moved, c.renamed = true, !c.renamed
	s.declare(c, d.chance("while down", "midcall", 0.7))
}

// followed says that nothing is recorded under the name that the moved block leads
// from, the intent of a first call included, which a record comes after: what is
// known by one first name is one credential, and would be two without the block.
func (s *simRun) followed() bool {
	from := simCredentials[s.config.mover]
	if !s.config.renamed {
		from += secondName
	}
	_, _, err := s.mem.Credential(context.Background(), from)
	return errors.Is(err, state.ErrNotFound)
}

// secondName is what follows the name of a credential that got another one.
const secondName = "-renamed"

// firstName is what a credential is known by, whatever it is called at present.
func firstName(addr string) string {
	if strings.HasPrefix(addr, "credential.") {
		return strings.TrimSuffix(addr, secondName)
	}
	return addr
}

// nameOf is what a configuration calls what is known by a first name.
func (c simConfig) nameOf(addr string) string {
	if c.renamed && addr == simCredentials[c.mover] {
		return addr + secondName
	}
	return addr
}

// movedBlock is the block that says what the name was before.
func (c simConfig) movedBlock() string {
	if !c.moved || !c.declares(c.mover) {
		return ""
	}
	from, to := simCredentials[c.mover], simCredentials[c.mover]+secondName
	if !c.renamed {
		from, to = to, from
	}
	return fmt.Sprintf("moved {\n  from = %s\n  to   = %s\n}\n", from, to)
}

// lastOf is an address without its kind and type.
func lastOf(addr string) string { return addr[strings.LastIndex(addr, ".")+1:] }

// recordedAnew says that a commit records under another name what it deletes.
func recordedAnew(changes []state.Change, deleted string) bool {
	return slices.ContainsFunc(changes, func(c state.Change) bool {
		return c.Credential != nil && c.Credential.Head.Address != deleted && firstName(c.Credential.Head.Address) == firstName(deleted)
	})
}
