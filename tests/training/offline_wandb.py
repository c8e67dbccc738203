"""What an offline run of W&B holds, read from its own log."""

import json
import struct

HEADER, BLOCK = 7, 32768  # bytes: of the file and of each record; a record that does not fit into a block is divided
WHOLE, FIRST, LAST = 1, 2, 4


def history(file):
    """(step, values) of each row that was logged, in order; none that is not yet whole."""
    from wandb.proto.wandb_internal_pb2 import Record

    for data in _records(file.read_bytes()):
        record = Record.FromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            yield record.history.step.num, items


def _records(data):
    place, parts = HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:  # the rest of a block, in which no record begins
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part = data[place + HEADER : place + HEADER + length]
        if not kind or len(part) < length:
            return
        place += HEADER + length
        parts = part if kind in (WHOLE, FIRST) else parts + part
        if kind in (WHOLE, LAST):
            yield parts
