// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// picture_test.go: small files of pictures.

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"
)

// shrink writes a picture again, without loss: with a palette when 256 colours are
// enough, and compressed as far as possible.
func shrink(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if withPalette := toPalette(picture); withPalette != nil {
		picture = withPalette
	}
	var smaller bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&smaller, picture); err != nil {
		t.Fatal(err)
	}
	if smaller.Len() < len(content) {
		content = smaller.Bytes()
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s has %d bytes", path, len(content))
}

// toPalette returns the picture with a palette; nil when it has too many colours.
func toPalette(picture image.Image) image.Image {
	bounds := picture.Bounds()
	index := map[color.Color]uint8{}
	var palette color.Palette
	result := image.NewPaletted(bounds, nil)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := picture.At(x, y)
			i, known := index[c]
			if !known {
				if len(palette) == 256 {
					return nil
				}
				i = uint8(len(palette))
				index[c], palette = i, append(palette, c)
			}
			result.SetColorIndex(x, y, i)
		}
	}
	result.Palette = palette
	return result
}
