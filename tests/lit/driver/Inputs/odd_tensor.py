"""A safetensors file whose tensor has a name that tests escapes: written, or compared with lines on standard input."""
import json
import struct
import sys

name = 'a"\\</script>\u202e\u00e9\U0001f3a8\n' + "x" * 300
if len(sys.argv) > 1:
    header = json.dumps({name: {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}).encode()
    open(sys.argv[1], "wb").write(struct.pack("<Q", len(header)) + header + bytes(8))
else:
    text = sys.stdin.read()
    assert text.isascii() and "<" not in text, text
    assert [json.loads(line) for line in text.splitlines()] == [{"name": name, "dtype": "F32", "shape": [1, 2]}], text
