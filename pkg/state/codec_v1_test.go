package state

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/secret"
)

// Records as the first version of the format had them, every field filled in.
const (
	credentialV1 = "01010304626c6f621870726f76696465722e636f696e6966792e64656661756c7407636f696e6966790870617373776f726406616363657373064265" +
		"6172657207726566726573680d417574686f72697a6174696f6e0d42656172657220616363657373010472656164027b7d0180ee89ab0d050180ee89" +
		"ab0d0501a0a68aab0d050002001e687474703a2f2f3132372e302e302e313a383235302f63616c6c6261636b011b68747470733a2f2f6170692e6578" +
		"616d706c652e636f6d3a3434330105656d61696c016802696e00010304626c6f621870726f76696465722e636f696e6966792e64656661756c740763" +
		"6f696e6966790870617373776f7264066163636573730642656172657207726566726573680d417574686f72697a6174696f6e0d4265617265722061" +
		"6363657373010472656164027b7d0180ee89ab0d050180ee89ab0d0501a0a68aab0d050002001e687474703a2f2f3132372e302e302e313a38323530" +
		"2f63616c6c6261636b011b68747470733a2f2f6170692e6578616d706c652e636f6d3a3434330105656d61696c016802696e010180ee89ab0d050772" +
		"65706c6163650180ee89ab0d05040180ee89ab0d0507726566757365640101056772616e74097472616e7369656e74026e6f047761697404020180ee" +
		"89ab0d050180ee89ab0d050180ee89ab0d05010105656d61696c01680101077265667265736800000090030004626f64790000000006756e72656164" +
		"04067265766f6b650180e0ba84bf038080c58bc6d10101010180ee89ab0d0504676f6e650104736e6170086f627461696e6564020180ee89ab0d05"
	sinkV1 = "010466696c650177011963726564656e7469616c2e636f696e6966792e747261646572030180ee89ab0d05010b686f6f6b2e657865632e6101016c01" +
		"056772616e74097472616e7369656e74026e6f047761697404020180ee89ab0d050180ee89ab0d050180ee89ab0d05010105656d61696c0168010101" +
		"80ee89ab0d0504676f6e650004736e6170"
)

func TestRecordsOfTheFirstFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	g := Grant{
		Generation: 3, Endpoint: "blob", Provider: "provider.coinify.default", Type: "coinify", GrantType: "password", AccessToken: secret.New("access"),
		TokenType: "Bearer", RefreshToken: secret.New("refresh"), HeaderName: "Authorization", Header: secret.New("Bearer access"), Scopes: []string{"read"},
		Outputs: []byte("{}"), GrantedAt: at, ObtainedAt: at, ExpiresAt: at.Add(time.Hour), Rotation: RotationRotated, RefreshState: RefreshUsable,
		RedirectURI: "http://127.0.0.1:8250/callback", Origins: []string{"https://api.example.com:443"}, InputHashes: map[string]string{"email": "h"}, Inputs: []byte("in"),
	}
	old := g
	old.Retired = &Retired{Since: at, Cause: "replace", DeliveredAt: at, Attempts: 2, NextAt: at, Message: "refused"}
	f := &Failure{Op: "grant", Class: "transient", Message: "no", Hint: "wait", Count: 2, Reached: 1, FirstAt: at, LastAt: at, NextAt: at, Stopped: true, InputHash: map[string]string{"email": "h"}}
	wantCredential := Credential{
		Grant: &g, Retiring: []Grant{old}, Failure: f, Raw: &Raw{Op: "refresh", Status: 200, Body: secret.New("body"), Message: "unread"}, Orphans: Orphans{{Count: 2}},
		Lifecycle: Lifecycle{OnRemove: "revoke", PreventDestroy: true, Overlap: time.Minute, MaxOverlap: time.Hour, RevokeOnShutdown: true},
		Removing:  &Removing{Since: at, Reason: "gone"}, Note: "obtained",
	}
	wantSink := Sink{
		SinkKind: "file", Written: []byte("w"), Delivered: map[string]uint64{"credential.coinify.trader": 3}, WrittenAt: at, Notify: []string{"hook.exec.a"},
		Leaving: [][]byte{[]byte("l")}, Failure: f, Left: map[string]map[string]uint64{"": {"credential.coinify.trader": 3}},
	}
	readsCredential(t, credentialV1, wantCredential)
	readsSink(t, sinkV1, wantSink)
}

// Records of the format before each place of a sink had its own generations: of one
// that leaves a place, and of one that does not.
const (
	sinkV2Leaves = "020466696c650966696c653a2f620a77011963726564656e7469616c2e636f696e6966792e747261646572030180ee89ab0d05010b686f6f6b2e657865632e61" +
		"010966696c653a2f610a6c0105636c65616e097472616e7369656e7400000000000180ee89ab0d05000000"
	sinkV2 = "020466696c650966696c653a2f620a77011963726564656e7469616c2e636f696e6966792e747261646572030180ee89ab0d05010b686f6f6b2e657865632e610001" +
		"05636c65616e097472616e7369656e7400000000000180ee89ab0d05000000"
)

func TestSinksOfTheSecondFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	want := Sink{SinkKind: "file", Written: []byte("file:/b\nw"), Delivered: map[string]uint64{"credential.coinify.trader": 3}, WrittenAt: at,
		Notify: []string{"hook.exec.a"}, Failure: &Failure{Op: "clean", Class: "transient", LastAt: at}}
	readsSink(t, sinkV2, want)
	want.Leaving, want.Left = [][]byte{[]byte("file:/a\nl")}, map[string]map[string]uint64{"": {"credential.coinify.trader": 3}}
	readsSink(t, sinkV2Leaves, want)
}

// readsSink is readsCredential of a sink.
func readsSink(t *testing.T, record string, want Sink) {
	t.Helper()
	b, err := hex.DecodeString(record)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeSink(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("a sink (-want +got):\n%s", d)
	}
}

// Records of the formats that brought a grant's revision, and when the state went
// back to an older copy: with what later formats do not have.
const (
	credentialV2 = "0201030000000006616363657373000000000000000180ee89ab0d050000000200000000036162630001030000000006616363657373000000000000" +
		"000180ee89ab0d05000000020000000003616263010180ee89ab0d05077265706c61636500040007726566757365640001077265667265736807756e" +
		"6b6e6f776e000002000180ee89ab0d05000000000001077265667265736800000180ee89ab0d0590030004626f6479000000000d6974206973206e6f" +
		"204a534f4e040000000000010180ee89ab0d0504676f6e650004736e6170086f627461696e6564020180ee89ab0d05"
	credentialV3 = "0301030000000006616363657373000000000000000180ee89ab0d050000000200000000036162630001030000000006616363657373000000000000" +
		"000180ee89ab0d05000000020000000003616263010180ee89ab0d05077265706c61636500040007726566757365640001077265667265736807756e" +
		"6b6e6f776e000002000180ee89ab0d05000000000001077265667265736800000180ee89ab0d0590030004626f6479000000000d6974206973206e6f" +
		"204a534f4e040000000000010180ee89ab0d0504676f6e650004736e6170086f627461696e6564020180ee89ab0d050180ee89ab0d05"
)

func TestRecordsOfTheSecondAndThirdFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	g := Grant{Generation: 3, AccessToken: secret.New("access"), ObtainedAt: at, RefreshState: RefreshRefused, Revision: "abc"}
	old := g
	old.Retired = &Retired{Since: at, Cause: "replace", Attempts: 2, Message: "refused"}
	want := Credential{
		Grant: &g, Retiring: []Grant{old}, Failure: &Failure{Op: "refresh", Class: "unknown", Count: 1, FirstAt: at},
		Raw:     &Raw{Op: "refresh", At: at, Status: 200, Body: secret.New("body"), Message: "it is no JSON"},
		Orphans: Orphans{{Count: 2}}, Removing: &Removing{Since: at, Reason: "gone"}, Note: "obtained",
	}
	readsCredential(t, credentialV2, want)
	want.Restored = at
	readsCredential(t, credentialV3, want)
}

// A record of the format before a lost refresh was kept with its grant.
const credentialV4 = "0401030000000006616363657373000000000000000180ee89ab0d050000000100000000036162630001030000000006616363657373000000000000000180ee" +
	"89ab0d05000000010000000003616263010180ee89ab0d05077265706c6163650000000001077265667265736807756e6b6e6f776e0000000000000000000000000000000000" +
	"000180ee89ab0d05020180ee89ab0d05000000"

func TestRecordsOfTheFourthFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	g := Grant{Generation: 3, AccessToken: secret.New("access"), ObtainedAt: at, RefreshState: RefreshIndeterminate, Revision: "abc"}
	old := g
	old.Retired = &Retired{Since: at, Cause: "replace"}
	want := Credential{Grant: &g, Retiring: []Grant{old}, Failure: &Failure{Op: "refresh", Class: "unknown"}, Restored: at, Verified: Verified{Refused: 2, At: at}}
	readsCredential(t, credentialV4, want)
}

// A record of the format before it was kept that a revocation was sent while a
// reply waited to be read.
const credentialV5 = "0500000001056772616e7400000180ee89ab0d0590030004626f64790000000d6974206973206e6f204a534f4e00000000000000000180ee89ab0d050000000000"

func TestRecordsOfTheFifthFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	want := Credential{Raw: &Raw{Op: "grant", At: at, Status: 200, Body: secret.New("body"), Message: "it is no JSON"}, Restored: at}
	readsCredential(t, credentialV5, want)
}

// A record of the format before it was kept how much later than it says a token
// may end.
const credentialV6 = "0601030000000006616363657373000000000000000180ee89ab0d0501a0a68aab0d05000000000000000001000103000000000661636365737300000000000000" +
	"0180ee89ab0d0501a0a68aab0d05000000000000000001010180ee89ab0d05077265706c616365000000000001056772616e7400000180ee89ab0d050000000000" +
	"0000010000000000000000000000000000"

func TestRecordsOfTheSixthFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	g := Grant{Generation: 3, AccessToken: secret.New("access"), ObtainedAt: at, ExpiresAt: at.Add(time.Hour), LostRefresh: true}
	old := g
	old.Retired = &Retired{Since: at, Cause: "replace"}
	want := Credential{Grant: &g, Retiring: []Grant{old}, Raw: &Raw{Op: "grant", At: at, Revoked: true}}
	readsCredential(t, credentialV6, want)
}

// A record of the format before it was kept that a reply was slept over.
const credentialV7 = "0700000001056772616e7400000180ee89ab0d0590030004626f64790000000d6974206973206e6f204a534f4e0100000000000000000180ee89ab0d050000000000"

func TestRecordsOfTheSeventhFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	want := Credential{Raw: &Raw{Op: "grant", At: at, Status: 200, Body: secret.New("body"), Message: "it is no JSON", Revoked: true}, Restored: at}
	readsCredential(t, credentialV7, want)
}

// A record of the format before it was kept how many failures of a revocation were
// alike, and that a question about a device code was lost.
const credentialV8 = "080001030000000006616363657373000000000000000180ee89ab0d050000000000000000000000010180ee89ab0d050672656d6f76650012000a73" +
	"7461747573203430330000020000000000000000020180ee89ab0d05000000"

func TestRecordsOfTheEighthFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	old := Grant{Generation: 3, AccessToken: secret.New("access"), ObtainedAt: at, Retired: &Retired{Since: at, Cause: "remove", Attempts: 9, Message: "status 403"}}
	readsCredential(t, credentialV8, Credential{Retiring: []Grant{old}, Orphans: Orphans{{Count: 1}}, Verified: Verified{Refused: 2, At: at}})
}

// A record of the format that said of orphans how many there are, and no more.
const credentialV9 = "090001030000000006616363657373000000000000000180ee89ab0d050000000000000000000000010180ee89ab0d050672656d6f76650012000a73" +
	"74617475732034303304000006000000000000000002" + "0180ee89ab0d0500000006612d636f6465"

func TestRecordsOfTheNinthFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	old := Grant{Generation: 3, AccessToken: secret.New("access"), ObtainedAt: at, Retired: &Retired{Since: at, Cause: "remove", Attempts: 9, Message: "status 403", Alike: 2}}
	readsCredential(t, credentialV9, Credential{Retiring: []Grant{old}, Orphans: Orphans{{Count: 3}}, LostPoll: "a-code", Verified: Verified{Refused: 2, At: at}})
}

// A record of the format that kept no reply once a newer token was there.
const credentialV10 = "0a0001030000000006616363657373000000000000000180ee89ab0d050000000000000000000000010180ee89ab0d050672656d6f76650012000a7374617475732034" +
	"3033040001077265667265736800000180ee89ab0d0590030004626f64790000030d7468657265206973206e6f6e65000002020180ee89ab0d0501a0a68aab0d050100" +
	"000000000000000000020180ee89ab0d0500000006612d636f6465"

func TestRecordsOfTheTenthFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	old := Grant{Generation: 3, AccessToken: secret.New("access"), ObtainedAt: at, Retired: &Retired{Since: at, Cause: "remove", Attempts: 9, Message: "status 403", Alike: 2}}
	readsCredential(t, credentialV10, Credential{
		Retiring: []Grant{old}, Raw: &Raw{Op: "refresh", At: at, Status: 200, Body: secret.New("body"), Generation: 3, Message: "there is none"},
		Orphans: Orphans{{Count: 2, Since: at, Until: at.Add(time.Hour)}, {Count: 1}}, LostPoll: "a-code", Verified: Verified{Refused: 2, At: at},
	})
}

// A record of the format that did not keep of whose account a kept reply is.
const credentialV11 = "0b00000001056772616e7400000180ee89ab0d0590030004626f64790000000d6974206973206e6f204a534f4e000000000000000000000000000000000006612d636f646501" +
	"010772656672657368000870617373776f72640180ee89ab0d05900300056f6c6465720000030d7468657265206973206e6f6e65000001a0a68aab0d05"

func TestRecordsOfTheEleventhFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	readsCredential(t, credentialV11, Credential{
		Raw: &Raw{Op: "grant", At: at, Status: 200, Body: secret.New("body"), Message: "it is no JSON"}, LostPoll: "a-code",
		Kept: []Raw{{Op: "refresh", GrantType: "password", At: at, Status: 200, Body: secret.New("older"), Generation: 3, Message: "there is none", Until: at.Add(time.Hour)}},
	})
}

// A record of the format that did not keep when a refresh token was refused, and why.
const credentialV12 = "0c01030000000006616363657373000000000000000180ee89ab0d050000000200000000000080a8d6b9070001030000000006616363657373000000000000000180ee89" +
	"ab0d050000000200000000000080a8d6b907010180ee89ab0d05077265706c616365000000000400000000000000000000000000000000016c00"

func TestRecordsOfTheTwelfthFormatAreRead(t *testing.T) {
	at := time.Unix(1790000000, 5).UTC()
	g := Grant{Generation: 3, AccessToken: secret.New("access"), ObtainedAt: at, RefreshState: RefreshRefused, Late: time.Second}
	old := g
	old.Retired = &Retired{Since: at, Cause: "replace", Alike: 2}
	readsCredential(t, credentialV12, Credential{Grant: &g, Retiring: []Grant{old}, LostPoll: "l"})
}

// A head of the format that said of orphans how many there are, and no more.
func TestHeadsOfTheSecondFormatAreRead(t *testing.T) {
	b, err := hex.DecodeString("020101000400000000000000070180ee89ab0d0501a0a68aab0d0501020300000000000000000000000000030e63726564656e7469616c2e782e61")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1790000000, 5).UTC()
	want := Head{Address: "credential.x.a", Kind: KindCredential, Version: 4, Generation: 7, Due: at, ExpiresAt: at.Add(time.Hour), Digest: [16]byte{1, 2, 3}, Flags: FlagRetiring, Orphans: Orphan{Count: 3}}
	got, err := decodeHead(b)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if a := headAddress(b); string(a) != want.Address {
		t.Errorf("its address is %q", a)
	}
}

// readsCredential holds the record of a credential that an earlier program wrote
// against what it says.
func readsCredential(t *testing.T, record string, want Credential) {
	t.Helper()
	b, err := hex.DecodeString(record)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeCredential(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("a credential (-want +got):\n%s", d)
	}
}
