# Boots a systemd as PID 1 over a throw-away copy of this machine's own files.
#
# Run as root in a mount namespace of its own:
#	unshare --mount --propagation private sh machine.sh
#
# It says "staging in DIR", where files can be put that shall be in the container
# before it boots, reads the line "boot" from standard input, boots, and takes the
# container away when its standard input ends. Everything is written to a tmpfs that
# no other process sees, so nothing is left when the last process here is gone; the
# control groups are the one thing that has to be taken away by hand.
set -eu

id=tokend-test-$$
cgroups=
nspawn=

# kill_in DIR kills every process in a control group and those below it.
kill_in() {
	find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
}

finish() {
	trap - EXIT
	# The container first: systemd-nspawn then ends by itself and leaves no process
	# for others to reap.
	for dir in $cgroups; do
		echo $$ >"$(dirname "$dir")/cgroup.procs"
		kill_in "$dir/payload"
	done
	for try in 1 2 3 4 5 6 7 8 9 10; do
		[ -n "$nspawn" ] && kill -0 "$nspawn" 2>/dev/null || break
		sleep 0.1
	done
	for dir in $cgroups; do
		for try in 1 2 3 4 5 6 7 8 9 10; do
			kill_in "$dir"
			find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
			[ -d "$dir" ] || break
			sleep 0.1
		done
	done
	wait
}
trap finish EXIT
trap 'exit 1' TERM INT HUP

# A control group of our own in the hierarchies that systemd uses, so that two
# containers do not meet and a killed one can be found.
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
	hierarchies=/sys/fs/cgroup
	unified=1
else
	hierarchies="/sys/fs/cgroup/systemd /sys/fs/cgroup/unified"
	unified=0
fi
for h in $hierarchies; do
	[ -e "$h/cgroup.procs" ] || continue
	mkdir "$h/$id"
	cgroups="$cgroups $h/$id"
	echo $$ >"$h/$id/cgroup.procs"
done

mkdir -p /run/systemd/nspawn
mount -t tmpfs tokend-test /run/systemd/nspawn
mount -t tmpfs -o mode=0755 tokend-test /mnt
mkdir -p /mnt/stage /mnt/upper /mnt/work /mnt/root
echo "staging in /mnt/stage"

read -r go
[ "$go" = boot ]

mount -t overlay -o lowerdir=/mnt/stage:/,upperdir=/mnt/upper,workdir=/mnt/work tokend-test /mnt/root
# What is enabled on this machine stays out; units that the test put there come in
# by its own target.
rm -rf /mnt/root/etc/systemd/system/*.wants
: >/mnt/root/etc/fstab
echo 7465737474657374746573747465737f >/mnt/root/etc/machine-id

SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=$unified systemd-nspawn \
	--directory=/mnt/root --machine="$id" --register=no --keep-unit \
	--console=pipe --boot -- systemd.unit=tokend-test.target </dev/null >&2 &
nspawn=$!
echo $nspawn >/mnt/nspawn.pid

cat >/dev/null
