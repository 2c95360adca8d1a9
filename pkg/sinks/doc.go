// Package sinks says what a sink is: a place outside of tokend where values
// shall be, such as a file, an environment file or a secret in Vault.
//
// The interface is [Sink]; its comments are the contract. A kind turns a
// block's arguments into a [Desired] (Render), and then there are three things
// to do with one: look whether the place is as desired (Check), make it so
// (Write), and take away what was written once nobody declares it any more
// (Remove). Kinds live in packages of their own below this one, cmd/tokend
// lists them in a map, and package sinktest holds the one conformance suite
// that each of them passes.
//
// What every kind guarantees:
//
//   - A reader of the place sees one whole version, never a mixture.
//   - The place is the truth. A kind keeps nothing in memory about it, so a
//     crash between a write and its recording costs one look and no write.
//   - What somebody else changed is put right while it is declared, and left
//     alone when it is to be removed ([ErrForeign]): tokend never deletes what
//     it did not write.
//   - A kind tries once. Waiting, counting failures and trying again are the
//     queue's; [ErrPermanent] tells it when that is pointless.
//   - Moving a place is the caller's affair: Write at a new place leaves the old
//     one as it is, and Remove with the old account cleans it. Only the caller
//     knows whether another sink has taken the old place over meanwhile.
//   - A place is named in the state before it is written for the first time
//     (Intend), so that nothing is left behind at one that nobody knows of.
//   - No error, drift or account shows a value.
package sinks
