"""gdb: the tensor IR in words. Load it with

    gdb -x scripts/gdb/ebru.py --args build/debug/bin/ebru compile MODEL -o OUT

Then `print` shows ir_type, ir_ref, ir_node and ir_i2/ir_i4/ir_dims values as the text form does, and the commands

    ir-dump FUNC          prints the function an ir_func * points to, as the text form
    ir-dump FUNC REF      prints one node of it

call ir_dump_func and ir_dump_node in the program (ir/text/print.c), which may also be called by hand.
"""
import gdb
import gdb.printing


def enum_name(value, prefix):
    """The name of an enum's value without its prefix, in small letters."""
    return str(value).split("::")[-1].removeprefix(prefix).lower()


class TypePrinter:
    """f32[2,320,64,64]:c16"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        dims = ",".join(str(int(v["dim"][i])) for i in range(int(v["rank"])))
        layout = enum_name(v["layout"], "IR_")
        return f"{enum_name(v['dtype'], 'IR_')}[{dims}]" + ("" if layout == "plain" else f":{layout}")


class RefPrinter:
    """ref 12, or ref none"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        number = int(self.value["id"])
        return "ref none" if number == 0xFFFFFFFF else f"ref {number}"


class NodePrinter:
    """conv2d(ref 3, ref 1, ref none) : f32[1,320,64,64]"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        operands = ", ".join(str(RefPrinter(v["operand"][i]).to_string()) for i in range(int(v["operand_count"])))
        text = f"{enum_name(v['op'], 'IR_OP_')}({operands}) : {TypePrinter(v['type']).to_string()}"
        if int(v["binding"]) != 0:
            text += f" by {v['binding']['kernel'].string()}"
        place = enum_name(v["place"]["kind"], "IR_")
        if place != "unplaced":
            text += f" {place} {int(v['place']['offset'])}"
        return text


class TuplePrinter:
    """[1,1]"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value["v"]
        count = v.type.range()[1] + 1
        if "n" in [f.name for f in self.value.type.fields()]:
            count = int(self.value["n"])
        return "[" + ",".join(str(int(v[i])) for i in range(count)) + "]"


def printers():
    found = gdb.printing.RegexpCollectionPrettyPrinter("ebru")
    found.add_printer("ir_type", "^ir_type$", TypePrinter)
    found.add_printer("ir_ref", "^ir_ref$", RefPrinter)
    found.add_printer("ir_node", "^ir_node$", NodePrinter)
    found.add_printer("ir_tuple", "^ir_(i2|i4|dims)$", TuplePrinter)
    return found


class Dump(gdb.Command):
    """ir-dump FUNC [REF]: a function of the IR, or one node of it, as text."""

    def __init__(self):
        super().__init__("ir-dump", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) == 1:
            gdb.execute(f"call (void)ir_dump_func({words[0]})")
        elif len(words) == 2:
            gdb.execute(f"call (void)ir_dump_node({words[0]}, {words[1]})")
        else:
            raise gdb.GdbError("ir-dump FUNC [REF]")


gdb.printing.register_pretty_printer(None, printers(), replace=True)
Dump()
