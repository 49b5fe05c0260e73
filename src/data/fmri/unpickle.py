"""Reader of pickles from a download that executes nothing in them and memory-maps large arrays.

A pickle is a program for a stack machine that can call any function of any module. This machine implements only the
instructions and globals of lists, texts, numbers and numpy arrays, and refuses all others by name. The bytes of an
array are not read but mapped from their place in the file, so that a file of 4 GB can be read block by block.
"""

import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...files import require_regular
from ...utils import BadInput

DTYPE_KINDS = "biufSU"
SMALL_BYTES = 2**26  # budget of a pickle for what is held in memory: texts, copies and the upkeep of arrays
ARRAY_BYTES = 2**12  # of the budget, for each array
MAX_STEPS = 2**22  # instructions; those of a real file are counted in thousands
MAX_AXES = 32
_MARK = object()


@dataclass(frozen=True)
class _Bytes:
    """Place of bytes in the file."""

    start: int
    length: int


@dataclass
class _Type:
    """Numpy dtype under construction."""

    code: str
    order: str = "="

    def made(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order if self.order in "<>" else "=")


@dataclass
class _Array:
    """Array under construction."""

    value: np.ndarray | None = None


def read(path: Path) -> Any:
    """Return the content of a pickle of lists, tuples, texts, numbers and numeric arrays, large ones memory-mapped.

    Reads protocols 2 to 5. Raises BadInput for any other global, which it names, for a truncated file, and for one that
    would take more than 64 MiB of memory besides the mapped arrays, whose lists contain themselves, or whose
    instructions are more than a file of data has.
    """
    require_regular(path, "a pickle")
    with open(path, "rb") as handle:
        try:
            content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise BadInput(f"{path}: the file is empty; expected a pickle; fetch it again") from None
        with content:
            return _Machine(path, content).run()


class _Machine:
    """Stack machine: the stack, the memo and the position in the file."""

    def __init__(self, path: Path, content: mmap.mmap):
        self.path, self.content, self.at = path, content, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.spent, self.steps = 0, 0
        # an object is converted once, however often it is referred to; None while it is being converted
        self.done: dict[int, tuple[Any, Any] | None] = {}

    def run(self) -> Any:
        try:
            while (code := self.take(1)) != b".":
                step = _STEPS.get(code)
                if step is None:
                    raise self.refusal(f"pickle instruction {code!r} at byte {self.at - 1}")
                self.steps += 1
                if self.steps > MAX_STEPS:
                    raise self.refusal(f"more than {MAX_STEPS} instructions")
                step(self)
            return self.finished(self.stack.pop())
        except BadInput:
            raise
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError, OSError) as error:
            raise BadInput(f"{self.path}: no sound pickle at byte {self.at} ({error}); fetch it again") from error

    def take(self, n: int) -> bytes:
        self.skip(n)
        return self.content[self.at - n : self.at]

    def spend(self, n: int) -> None:
        """Take n bytes of the budget of memory; BadInput if it is used up."""
        self.spent += n
        if self.spent > SMALL_BYTES:
            raise self.refusal(f"texts and small values of more than {SMALL_BYTES} bytes")

    def skip(self, n: int) -> int:
        """Advance by n bytes; return their start."""
        start, self.at = self.at, self.at + n
        if n < 0:
            raise ValueError(f"a length of {n}")
        if self.at > len(self.content):
            raise BadInput(f"{self.path}: ends after {len(self.content)} bytes; expected {self.at}; fetch it again")
        return start

    def number(self, form: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def line(self) -> str:
        end = self.content.find(b"\n", self.at)
        if end < 0:
            raise BadInput(f"{self.path}: ends within a name; fetch it again")
        return self.take(end + 1 - self.at)[:-1].decode()

    def refusal(self, what: str) -> BadInput:
        return BadInput(
            f"{self.path}: the pickle contains {what}; expected lists, texts and numeric arrays only; do not open it "
            f"otherwise, it may run code: fetch it again"
        )

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _MARK:
            place -= 1
        if place < 0:
            raise IndexError("no mark")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def mapped(self, form: str) -> None:
        n = self.number(form)
        self.push(_Bytes(self.skip(n), n))

    def text(self, form: str) -> None:
        n = self.number(form)
        self.spend(n)
        self.push(self.take(n).decode("utf-8", "surrogatepass"))

    def raw(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        self.spend(value.length)
        return self.content[value.start : value.start + value.length]

    def found(self, module: str, name: str) -> None:
        call = _GLOBALS.get((re.sub(r"^numpy\._core\b", "numpy.core", module), name))
        if call is None:
            raise self.refusal(f"{module}.{name}")
        self.push(call)

    def reduce(self) -> None:
        arguments, call = self.stack.pop(), self.stack.pop()
        if call not in _GLOBALS.values():
            raise self.refusal(f"a call of {type(call).__name__}")
        self.push(call(self, *arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Type):
            target.order = self._name(state[1])
            if state[2] is not None or state[3] is not None:
                raise self.refusal("a structured dtype")
        elif isinstance(target, _Array):
            _, shape, kind, fortran, data = state
            target.value = self.array(data, kind, shape, "F" if fortran else "C")
        else:
            raise self.refusal(f"the state of a {type(target).__name__}")

    def _name(self, value: Any) -> str:
        return value if isinstance(value, str) else self.raw(value).decode("ascii")

    def array(self, data: Any, kind: Any, shape: tuple, order: str) -> np.ndarray:
        if not isinstance(kind, _Type) or not isinstance(data, (bytes, _Bytes)):
            raise self.refusal("an array of objects")
        self.spend(ARRAY_BYTES)
        if len(shape) > MAX_AXES:
            raise self.refusal(f"an array of {len(shape)} axes")
        made, shape = kind.made(), tuple(map(int, shape))
        n_bytes = made.itemsize * int(np.prod(shape, dtype=object))
        have = len(data) if isinstance(data, bytes) else data.length
        if n_bytes != have:
            raise BadInput(f"{self.path}: {have} bytes for an array of {n_bytes}; it is damaged: fetch it again")
        if isinstance(data, bytes) or not n_bytes:
            return np.frombuffer(self.raw(data), made).reshape(shape, order=order)
        return np.memmap(self.path, made, "r", data.start, shape, order)

    def finished(self, value: Any) -> Any:
        """Return `value` with finished arrays and texts in place of those under construction."""
        if value is None or isinstance(value, (str, int, float, np.ndarray)):
            return value
        if id(value) in self.done:
            known = self.done[id(value)]
            if known is None:
                raise self.refusal("a list that contains itself")
            return known[1]
        self.done[id(value)] = None
        made = self._converted(value)
        self.done[id(value)] = value, made  # with the value, so that its id stays its own
        return made

    def _converted(self, value: Any) -> Any:
        if isinstance(value, _Array):
            if value.value is None:
                raise BadInput(f"{self.path}: an array without content; it is damaged: fetch it again")
            return value.value
        if isinstance(value, _Bytes):
            return self.raw(value).decode("latin-1")
        if isinstance(value, (list, tuple)):
            self.spend(8 * len(value))
            return type(value)(self.finished(item) for item in value)
        raise self.refusal(f"a bare {getattr(value, '__name__', type(value).__name__)}")


def _dtype(machine: _Machine, code: Any, *_: Any) -> _Type:
    code = machine._name(code)
    if not re.fullmatch(rf"[{DTYPE_KINDS}]\d+", code):
        raise machine.refusal(f"an array of dtype '{code}'")
    return _Type(code)


def _ndarray(machine: _Machine, *_: Any) -> np.ndarray:
    raise machine.refusal("a call of numpy.ndarray")


def _reconstruct(machine: _Machine, kind: Any, *_: Any) -> _Array:
    if kind is not _ndarray:
        raise machine.refusal("an array of another class than numpy.ndarray")
    return _Array()


def _from_buffer(machine: _Machine, data: Any, kind: Any, shape: tuple, order: str) -> np.ndarray:
    return machine.array(data, kind, shape, order)


def _scalar(machine: _Machine, kind: Any, data: Any) -> Any:
    return machine.array(machine.raw(data), kind, (), "C").item()


def _encode(machine: _Machine, text: str, coding: str = "latin1") -> bytes:
    if coding not in ("latin1", "latin-1"):
        raise machine.refusal(f"a text encoded as {coding}")
    machine.spend(len(text))
    return text.encode("latin-1")


_GLOBALS: dict[tuple[str, str], Callable] = {
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
}


def _global_on_stack(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.found(module, name)


def _extend(machine: _Machine) -> None:
    items = machine.above_mark()
    machine.stack[-1].extend(items)


def _append(machine: _Machine) -> None:
    item = machine.stack.pop()
    machine.stack[-1].append(item)


def _tuple(n: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        if len(machine.stack) < n:
            raise IndexError("too few values")
        items = machine.stack[len(machine.stack) - n :]
        del machine.stack[len(machine.stack) - n :]
        machine.push(tuple(items))

    return step


def _memoize(machine: _Machine, key: int) -> None:
    machine.memo[key] = machine.stack[-1]


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.skip(1),  # PROTO
    b"\x95": lambda m: m.skip(8),  # FRAME
    b"(": lambda m: m.push(_MARK),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("i")),
    b"K": lambda m: m.push(m.number("B")),
    b"M": lambda m: m.push(m.number("H")),
    b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("B")), "little", signed=True)),
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    b"X": lambda m: m.text("I"),
    b"\x8c": lambda m: m.text("B"),
    b"\x8d": lambda m: m.text("Q"),
    b"B": lambda m: m.mapped("I"),
    b"C": lambda m: m.mapped("B"),
    b"\x8e": lambda m: m.mapped("Q"),
    b"\x96": lambda m: m.mapped("Q"),
    b"T": lambda m: m.mapped("i"),
    b"U": lambda m: m.mapped("B"),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"l": lambda m: m.push(m.above_mark()),
    b"t": lambda m: m.push(tuple(m.above_mark())),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"a": _append,
    b"e": _extend,
    b"h": lambda m: m.push(m.memo[m.number("B")]),
    b"j": lambda m: m.push(m.memo[m.number("I")]),
    b"q": lambda m: _memoize(m, m.number("B")),
    b"r": lambda m: _memoize(m, m.number("I")),
    b"\x94": lambda m: _memoize(m, len(m.memo)),
    b"c": lambda m: m.found(m.line(), m.line()),
    b"\x93": _global_on_stack,
    b"R": lambda m: m.reduce(),
    b"b": lambda m: m.build(),
}
