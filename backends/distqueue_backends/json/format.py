"""The bytes of a ``Queue.json``: a header, one commit a line, closing brackets, then blanks.

    {"distqueue":{"crc":"…","format":2,…},"commits":[
    {"crc":"89abcdef","seq":1,"at":1764000000.25,"cuts":[57,14],"ops":[…]},
    {"crc":"01234567","seq":2,"at":1764000000.75,"cuts":[],"ops":[…]}
    ]}

``crc`` is the CRC-32 of the rest of its line. ``cuts`` tells where the payloads are, as pairs: bytes
to skip from the ``[`` of ``ops`` or from the end of the payload before, then bytes of payload.
``docs/formats/queue-json.md`` says it all.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from typing import Final

import msgspec
import orjson

from distqueue.errors import UnsupportedFormat
from distqueue_backends.json.ops import AnyOp

FORMAT: Final = 2
"""The version of the format that is written. A file of a higher one is refused, of a lower one renewed."""

CLOSE: Final = b"\n]}"
"""What ends the file (but for blanks). A commit overwrites it."""

_HEADER_START: Final = b'{"distqueue":'
_HEADER_END: Final = b',"commits":['
_CRC: Final = b'{"crc":"'
_BODY: Final = len(b'{"crc":"01234567",')
_OPS: Final = b',"ops":['
_END: Final = b"]}"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself.

    ``epoch`` counts the files that the store has had: each compaction writes a new one. The first
    ``snapshot`` commits hold what was live after commit ``from_seq`` of the file before.
    """

    format: int = FORMAT
    version: str
    store: str
    epoch: int = 1
    from_seq: int = 0
    snapshot: int = 0


class Damaged(Exception):
    """A line is not what was written; the message says what is wrong with it."""


class Unlike(Damaged):
    """A file does not even begin like a store."""


class Unfit(Exception):
    """A commit is whole, but says what nobody can do."""


class Commit(msgspec.Struct, frozen=True, gc=False):
    """One commit as read: its ops without the payloads, and the cuts between which those are."""

    seq: int
    at: float
    cuts: list[int]
    ops: list[AnyOp]


class _Number(msgspec.Struct, frozen=True, gc=False):
    """As much of a commit as tells that it is one."""

    seq: int


_decode_commit: Final = msgspec.json.Decoder(Commit).decode
_decode_number: Final = msgspec.json.Decoder(_Number).decode


@cache
def this_version() -> str:
    """Return the version of distqueue; finding it costs a hundred system calls."""
    return version("distqueue")


def encode_header(header: Header) -> bytes:
    """Return the first line of a file."""
    body = orjson.dumps(msgspec.to_builtins(header))
    return b'%b{"crc":"%08x",%b%b' % (_HEADER_START, zlib.crc32(body[1:]), body[1:], _HEADER_END)


def decode_header(data: bytes) -> tuple[Header, int]:
    """Return the header that a file begins with, and where the line break behind it is.

    Raises:
        UnsupportedFormat: it is that of a newer format.
        Unlike: there is none, as far as can be seen.
        Damaged: it is a header, but its checksum is wrong.
    """
    end = data.find(_HEADER_END)
    if not data.startswith(_HEADER_START) or end < 0:
        raise Unlike("it does not begin like a distqueue store; is the path right?")
    inner = data[len(_HEADER_START) : end]
    try:
        fields = orjson.loads(inner)
        crc = fields["crc"]
        if crc != f"{zlib.crc32(inner[_BODY:]):08x}":
            raise Damaged("the checksum of the header is wrong")
        if fields["format"] > FORMAT:
            raise UnsupportedFormat(
                f"it has format {fields['format']}, newer than {FORMAT}: update distqueue"
            )
        return msgspec.convert(fields, Header), end + len(_HEADER_END)
    except (orjson.JSONDecodeError, KeyError, TypeError, msgspec.ValidationError) as error:
        raise Damaged(f"the header cannot be read: {error}") from None


def encode_commit(
    seq: int, at: float, cuts: Sequence[int], ops: Sequence[bytes]
) -> tuple[tuple[bytes, ...], int]:
    """Return the line of a commit, in pieces, and where in it the ``[`` of its ops is."""
    head = b'"seq":%d,"at":%b,"cuts":%b%b' % (seq, orjson.dumps(at), orjson.dumps(cuts), _OPS)
    body = b",".join(ops)
    crc = zlib.crc32(_END, zlib.crc32(body, zlib.crc32(head)))
    return (b'{"crc":"%08x",' % crc, head, body, _END), _BODY + len(head) - 1


def payload_spans(cuts: Sequence[int], base: int) -> list[tuple[int, int]]:
    """Return offset and size of each payload; ``base`` is where the ``[`` of ``ops`` is."""
    ends = list(accumulate(cuts, initial=base))
    return list(zip(ends[1::2], cuts[1::2]))


def spans_in(line: bytes, commit: Commit) -> list[tuple[int, int]]:
    """Return where in the line of a commit its payloads are, as offset and size."""
    return payload_spans(commit.cuts, line.find(_OPS) + len(_OPS) - 1) if commit.cuts else []


def decode_commit(line: bytes) -> Commit:
    """Return the commit in a line, its payloads left where they are.

    Raises:
        Damaged: the checksum is wrong, or the line is not a commit.
        Unfit: it is a commit, but one of a kind that is not known.
    """
    _check_sum(line)
    try:
        return _decode_commit(line)
    except msgspec.ValidationError as error:
        raise Unfit(f"a commit with a right checksum cannot be carried out: {error}") from None
    except msgspec.DecodeError as error:
        raise Damaged(f"a commit with a right checksum cannot be read: {error}") from None


def number_of(line: bytes) -> int:
    """Return the number of the commit in a line, whatever it says.

    Raises:
        Damaged: the line is not a commit.
    """
    _check_sum(line)
    try:
        return _decode_number(line).seq
    except msgspec.DecodeError as error:
        raise Damaged(f"a commit with a right checksum cannot be read: {error}") from None


def _check_sum(line: bytes) -> None:
    if line[:8] != _CRC or line[8:16] != b"%08x" % zlib.crc32(line[_BODY:]):
        raise Damaged("the checksum of a commit is wrong")


def first_of(line: bytes) -> bytes:
    """Return the commit that a line begins with, the whole line if it begins with none.

    For a commit behind which there is no line break: the bytes that followed it are lost or damaged.
    """
    crc, at = 0, _BODY
    while stop := line.find(b"}", at) + 1:
        crc = zlib.crc32(line[at:stop], crc)
        if line[8:16] == b"%08x" % crc:
            return line[:stop]
        at = stop
    return line
