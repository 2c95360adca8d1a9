//go:build unix

package providers

import "syscall"

// nothingThere says that an idle socket has nothing to be read, not even its end.
func nothingThere(fd uintptr, buf []byte) bool {
	_, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
}
