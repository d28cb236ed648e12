"""A block of a given file and line, whoever asks for it."""

from __future__ import annotations

from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._core import Block, Recorder

# The core takes the line that asks for a block for the block's place. So the question is asked by
# code that is rewritten for each place, as if it stood there.
_ASK = (lambda ask, track, name: ask(track, name)).__code__


def block_at(profiler: Recorder, track: int | str, name: str, file: str, line: int) -> Block:
    """Return the block of a track and name that belongs to a file and line.

    :param profiler: whose block.
    :param track: the track's index or name.
    :param name: the block's name.
    :param file: what code calls the file, as in ``co_filename``.
    :param line: the line; the first is 1.
    :raises TypeError: for a track or a name of the wrong type.
    :raises ValueError: for a negative track or an empty name.
    """
    there = _ASK.replace(co_filename=file, co_name="<stichotrope>", co_firstlineno=line)
    block: Block = FunctionType(there, {})(profiler.block, track, name)
    return block
