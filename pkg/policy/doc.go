// Package policy is what the owner of a host lets a configuration do, kept where
// who changes the configuration cannot reach it.
//
// [Load] reads a policy; [Policy.Check] says what of a configuration it forbids,
// each as a diagnostic with the place in the configuration and the rule. What is
// known only at the moment of use (an address that comes from a secret, a link
// that was put into a path since) is asked again then: [Policy.Sink],
// [Policy.Secret], [Policy.Hook], [Policy.Origin], [Policy.Vault], [Policy.Read].
//
// # Rules
//
// A policy is a list of blocks named like those of the language, each of which
// allows something; what no block allows is forbidden, so that what a later
// version of this program learns is not allowed by a policy that never heard of
// it. An instance has to satisfy one block as a whole: a path of one block goes
// with the owners of the same block. An argument that a block does not mention
// may not be used beyond its harmless default.
//
// # Paths and commands
//
// A path is compared after it was evaluated, made absolute and cleaned, and once
// more with the links on its way resolved; both have to be allowed. A command is
// compared by the absolute path of its program, found as it will be found when
// it runs, and by its whole argument list.
package policy
