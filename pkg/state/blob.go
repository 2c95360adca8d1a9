package state

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// What a blob's plain text begins with.
const (
	blobPlain   = 0
	blobDeflate = 1

	// Below this size compressing saves less than the file's pages waste.
	blobCompress = 512
)

// pack compresses content where that makes it smaller.
func pack(content []byte) []byte {
	plain := append([]byte{blobPlain}, content...)
	if len(content) < blobCompress {
		return plain
	}
	var out bytes.Buffer
	out.WriteByte(blobDeflate)
	// A configuration is packed at each change, so speed counts. Neither the level
	// nor a write into memory can fail.
	w, _ := flate.NewWriter(&out, flate.BestSpeed)
	_, _ = w.Write(content)
	_ = w.Close()
	if out.Len() >= len(plain) {
		return plain
	}
	return out.Bytes()
}

func unpack(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errShort
	}
	switch b[0] {
	case blobPlain:
		return b[1:], nil
	case blobDeflate:
		content, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b[1:])), maxValue+1))
		if err != nil {
			return nil, fmt.Errorf("unpacking it: %w", err)
		}
		if len(content) > maxValue {
			return nil, errors.New("unpacking it: it grows beyond all limits")
		}
		return content, nil
	}
	return nil, fmt.Errorf("it is packed in the unknown way %d", b[0])
}
