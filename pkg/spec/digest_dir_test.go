package spec

import "testing"

// TestDigestOfAnotherDirectory: a sink with a relative path is somewhere else when
// the same configuration lies in another directory.
func TestDigestOfAnotherDirectory(t *testing.T) {
	const text = `
locals { where = "/run" }
sink "file" "relative" {
  path    = "tokens/x"
  content = "x"
}
sink "file" "absolute" {
  path    = "/tokens/x"
  content = "x"
}
sink "file" "template" {
  path    = "/tokens/${local.where}"
  content = "x"
}
sink "file" "named" {
  path    = "${local.where}/named"
  content = "x"
}
`
	load := func(dir string) *Config {
		c, diags := LoadFiles(dir, map[string][]byte{"main.hcl": []byte(text)}, testOptions())
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return c
	}
	one, two, again := load("/etc/one"), load("/etc/two"), load("/etc/one")
	for a, moves := range map[Address]bool{"sink.file.relative": true, "sink.file.absolute": false, "sink.file.template": false} {
		x, _ := one.Digest(a)
		y, _ := two.Digest(a)
		z, _ := again.Digest(a)
		if (x != y) != moves || x != z {
			t.Errorf("%s: %x, in another directory %x, read again %x", a, x, y, z)
		}
	}
}
