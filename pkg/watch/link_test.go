package watch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestLinksOnTheWayMayBePointedElsewhere(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	one, two := mkdir(t, root, "rev", "1", "conf"), mkdir(t, root, "rev", "2", "conf")
	for _, d := range []string{one, two} {
		put(t, filepath.Join(d, "main.hcl"), d)
	}
	// etc/tokend -> ../srv/current/conf, srv/current -> ../rev/1
	mkdir(t, root, "srv")
	mkdir(t, root, "etc")
	check(t, os.Symlink("../rev/1", filepath.Join(root, "srv", "current")))
	dir := filepath.Join(root, "etc", "tokend")
	check(t, os.Symlink("../srv/current/conf", dir))
	file := filepath.Join(dir, "main.hcl")
	o := observe(t, config(dir), files(file))

	put(t, filepath.Join(one, "main.hcl"), "x")
	o.want("written behind the links", dir, file)
	relink(t, "../rev/2", filepath.Join(root, "srv", "current"))
	o.want("the inner link is pointed elsewhere", dir, file)
	put(t, filepath.Join(two, "main.hcl"), "x")
	o.want("written where it points now", dir, file)
	put(t, filepath.Join(one, "main.hcl"), "y")
	o.none("written where it pointed before")
	relink(t, "../rev/1/conf", dir)
	o.want("the outer link is pointed elsewhere", dir, file)
	put(t, filepath.Join(one, "main.hcl"), "z")
	o.want("written where the outer link points now", dir, file)
	check(t, os.Remove(dir))
	o.want("the link is deleted", dir, file)
	check(t, os.Symlink(filepath.Join(root, "rev", "2", "conf"), dir))
	o.want("and made again, absolute", dir, file)
	put(t, filepath.Join(two, "main.hcl"), "z")
	o.want("written behind the new link", dir, file)
	relink(t, "tokend", dir)
	o.want("the link is a loop", dir, file)
	relink(t, one, dir)
	o.want("and mended", dir, file)
	put(t, filepath.Join(one, "main.hcl"), "end")
	o.want("written after all", dir, file)
}

func TestLinksThatAreTheFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir, store := mkdir(t, root, "conf"), mkdir(t, root, "store")
	target := filepath.Join(store, "a.hcl")
	put(t, target, "1")
	link := filepath.Join(dir, "a.hcl")
	check(t, os.Symlink(target, link))
	single := filepath.Join(root, "single")
	check(t, os.Symlink("conf/a.hcl", single))
	o := observe(t, config(dir), files(single))

	put(t, target, "2")
	o.want("the target is written", dir, single)
	replace(t, target, "3")
	o.want("the target is renamed over", dir, single)
	check(t, os.Remove(target))
	o.want("the target is deleted", dir, single)
	put(t, target, "4")
	o.want("the target is created", dir, single)
	late := filepath.Join(dir, "late.hcl")
	lateTarget := filepath.Join(store, "late.hcl")
	check(t, os.Symlink(lateTarget, late))
	o.want("a link appears", dir)
	put(t, lateTarget, "1")
	o.want("the new link's target is created", dir)
	check(t, os.Remove(late))
	o.want("the link is deleted", dir)
	put(t, lateTarget, "2")
	o.none("the target of the deleted link")
	put(t, filepath.Join(store, "other"), "x")
	o.none("a file beside the target")
}

// kubernetes lays a mounted volume out as the kubelet does.
type kubernetes struct {
	t   *testing.T
	dir string
	n   int
}

func (k *kubernetes) update(content string) {
	k.t.Helper()
	k.n++
	name := fmt.Sprintf("..2026_11_21_10_00_%02d.1", k.n)
	mkdir(k.t, k.dir, name)
	put(k.t, filepath.Join(k.dir, name, "main.hcl"), content)
	old, _ := os.Readlink(filepath.Join(k.dir, "..data"))
	check(k.t, os.Symlink(name, filepath.Join(k.dir, "..data_tmp")))
	check(k.t, os.Rename(filepath.Join(k.dir, "..data_tmp"), filepath.Join(k.dir, "..data")))
	if old != "" {
		check(k.t, os.RemoveAll(filepath.Join(k.dir, old)))
	}
}

func TestKubernetesVolume(t *testing.T) {
	t.Parallel()
	k := &kubernetes{t: t, dir: t.TempDir()}
	k.update("1")
	file := filepath.Join(k.dir, "main.hcl")
	check(t, os.Symlink("..data/main.hcl", file))
	o := observe(t, config(k.dir), files(file))
	for i := range 5 {
		k.update(fmt.Sprint("swap ", i))
		o.want("swapped", k.dir, file)
	}
}
