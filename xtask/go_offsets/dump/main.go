// Prints where members of structs, and a variable on the stack, are in a Go program, by its DWARF.
// Usage: dump PROGRAM TYPE.MEMBER... *TYPE.MEMBER... FUNCTION:VARIABLE...
// A line for each: its name and the offset, or nothing where this version has none. With a star: 1 where the member is a
// pointer, else 0.
package main

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	file, err := elf.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	data, err := file.DWARF()
	if err != nil {
		log.Fatal(err)
	}
	found := map[string]int64{}
	wanted := map[string]bool{}
	for _, name := range os.Args[2:] {
		wanted[name] = true
	}
	entries := data.Reader()
	function := ""
	for {
		entry, err := entries.Next()
		if err != nil {
			log.Fatal(err)
		}
		if entry == nil {
			break
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		switch entry.Tag {
		case dwarf.TagSubprogram:
			function = name
		case dwarf.TagVariable:
			// DW_OP_fbreg and the offset from the frame's base, as a signed LEB128 number.
			place, _ := entry.Val(dwarf.AttrLocation).([]byte)
			if len(place) > 1 && place[0] == 0x91 && wanted[function+":"+name] {
				found[function+":"+name] = signed(place[1:])
			}
		case dwarf.TagStructType:
			for want := range wanted {
				if !strings.HasPrefix(strings.TrimPrefix(want, "*"), name+".") || strings.Contains(want, ":") {
					continue
				}
				kind, err := data.Type(entry.Offset)
				if err != nil {
					log.Fatal(err)
				}
				for _, field := range kind.(*dwarf.StructType).Field {
					switch want {
					case name + "." + field.Name:
						found[want] = field.ByteOffset
					case "*" + name + "." + field.Name:
						found[want] = 0
						if _, ok := field.Type.(*dwarf.PtrType); ok {
							found[want] = 1
						}
					}
				}
			}
		}
	}
	for _, name := range os.Args[2:] {
		if offset, ok := found[name]; ok {
			fmt.Println(name, offset)
		} else {
			fmt.Println(name)
		}
	}
}

func signed(bytes []byte) (value int64) {
	shift := 0
	for _, b := range bytes {
		value |= int64(b&0x7f) << shift
		shift += 7
		if b&0x80 == 0 {
			if b&0x40 != 0 {
				value |= -1 << shift
			}
			break
		}
	}
	return value
}
