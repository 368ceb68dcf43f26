"""Processes that train one network together, each on a part of every batch, connected by MPI."""

import atexit
import pickle
import sys
from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter, sleep
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from attrs import Attribute, define, field

from deepbp._config import publish
from deepbp.errors import ArgumentTypeError, shown
from deepbp.errors.validators import explain_constructor, one_of
from deepbp.typing import Array

__all__ = ["Processes"]

TURN, NEXT, MOST = 1.0, 0.1, 4.0  # seconds that the first process has to report an error that all may have; others
EVERYWHERE = "_raised_by_all_processes"  # an attribute of exceptions that all raise, and of what reports them
FORWARD = 0.3  # seconds that mpiexec has to forward what was printed, before it ends all
LEFT, LOOK = 32_001, 0.5  # the tag of a message that its sender ends, and the seconds between looks for it
Result = TypeVar("Result")


def _communicator(instance: Any, attribute: "Attribute[Any]", comm: Any) -> None:
    if comm is not None and not all(hasattr(comm, name) for name in ("Get_rank", "Allreduce", "allgather", "Abort")):
        raise ArgumentTypeError(
            f"Processes: comm: expected a communicator of mpi4py, got {shown(comm)}: "
            "write Processes(MPI.COMM_WORLD), after from mpi4py import MPI"
        )


@explain_constructor
@define(eq=False)
class Processes:
    """Data-parallel training: the processes of an MPI communicator, each of which computes a part of every gradient.

    All run the same script with the same data, ``mpiexec -n 4 python -m mpi4py train.py``, and get the same network: of
    each batch of N samples, process r reads and learns from its n_r rows, and one sum over all processes,
    g = Σ n_r g_r / N, gives each the gradient of the whole batch. The weights are those of one process, up to rounding.
    The first process shows the progress and writes files. Needs the extra ``deepbp[mpi]``.

    Where one process alone raises an exception within ``fit``, its traceback is printed, and all processes end. They
    also end where some wait for one whose script has ended, such as by ``sys.exit`` or a branch without ``fit``.

    >>> from deepbp.processes import Processes
    >>> alone = Processes()  # with MPI: from mpi4py import MPI, then Processes(MPI.COMM_WORLD)
    >>> alone.rank, alone.size, alone.part(5)
    (0, 1, slice(0, 5, None))

    Args:
        comm: a communicator of mpi4py; None is this process alone.
        batch_statistics: what ``BatchNorm`` normalizes by: the statistics of the whole batch (``"shared"``), at three
            short messages for each such layer, or of each process's rows (``"own"``), which is another training.

    Attributes:
        messages, numbers, seconds: the sums of arrays over all processes so far: how many, of how many numbers in all,
            and how long this process was in them, waiting included.

    Raises:
        ArgumentTypeError: if ``comm`` is not a communicator.

    Source: Dean et al. 2012; Goyal et al. 2017, synchronous SGD with an all-reduce.
    """

    comm: Any = field(default=None, validator=_communicator)
    batch_statistics: Literal["shared", "own"] = field(
        default="shared", kw_only=True, validator=one_of("shared", "own")
    )
    messages: int = field(default=0, init=False)
    numbers: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    rank: int = field(default=0, init=False)
    size: int = field(default=1, init=False)
    _watch: "Watch" = field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.comm is not None:
            self.rank, self.size = int(self.comm.Get_rank()), int(self.comm.Get_size())
        if self.size > 1:
            self._watch_exceptions()
            self._watch = Watch.of(self.comm)

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # a copied trainer trains with the same processes

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()  # what is read from a pickle is alone

    def part(self, count: int) -> slice:
        """The rows of this process among ``count`` rows; they are divided evenly, and a process may have none."""
        return part_of(count, self.rank, self.size)

    def sum(self, numbers: Array) -> Array:
        """Replace an array by its sum over all processes, and return it; every process has the same bits."""
        if self.size > 1:
            from mpi4py import MPI

            self._watch.exchanges += 1
            start = perf_counter()
            self.comm.Allreduce(MPI.IN_PLACE, numbers)
            self.seconds += perf_counter() - start
            self.messages, self.numbers = self.messages + 1, self.numbers + numbers.size
        return numbers

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks; any object that can be pickled."""
        if self.size == 1:
            return [value]
        self._watch.exchanges += 1
        return list(self.comm.allgather(value))

    def of_first(self, make: Callable[[], Result]) -> Result:
        """What ``make`` returns in the first process, which alone calls it. All raise what it raises there."""
        result: Any = None
        error: Exception | None = None
        if self.rank == 0:
            try:
                result = make()
            except Exception as raised:
                error = raised if self.size == 1 else _portable(raised)
        if self.size > 1:
            self._watch.exchanges += 1
            result, error = self.comm.bcast((result, error), root=0)
        if error is not None:
            raise self._agreed(error)
        return result  # type: ignore[no-any-return]

    def of_each(self, make: Callable[..., Result], *arguments: Any) -> Result:
        """What ``make`` returns in this process. All raise what it raises in any of them, in the first one of those."""
        result: Any = None
        error: Exception | None = None
        try:
            result = make(*arguments)
        except Exception as raised:
            if self.size == 1:
                raise
            error = raised
        errors = [(rank, one) for rank, one in enumerate(self.gather(error and _portable(error))) if one is not None]
        if errors:
            rank, first = errors[0]
            if len(errors) < self.size:
                first.add_note(f"in process {rank}")
            raise self._agreed(first)
        return result  # type: ignore[no-any-return]

    def _agreed(self, error: Exception) -> Exception:
        """Note an exception that all processes raise at once: if nobody catches it, the first one reports it."""
        error.__dict__[EVERYWHERE] = True
        return error

    def _end_all(self, error: BaseException) -> None:
        """End all processes because of an exception in this one, after printing it; return if all have raised it."""
        if self.size == 1 or EVERYWHERE in error.__dict__:
            return
        code = 1
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            code = 130
        else:
            import traceback

            self._wait_turn()
            traceback.print_exception(error)
        self._abort(code)

    def _wait_turn(self) -> None:
        """Wait for the processes before this one, which end this one if they have the same exception to report."""
        sleep(min(TURN + self.rank * NEXT, MOST) if self.rank else 0)

    def _abort(self, code: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sleep(FORWARD)
        self.comm.Abort(code)

    def _watch_exceptions(self) -> None:
        """Have an exception that nobody catches end all processes: the others would wait for this one for ever."""
        usual = sys.excepthook
        if getattr(usual, EVERYWHERE, False):
            return

        def report(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
            everywhere = EVERYWHERE in error.__dict__
            self._wait_turn()
            if not everywhere or self.rank == 0:
                usual(kind, error, at)
            if not everywhere:
                self._abort(130 if issubclass(kind, KeyboardInterrupt) else 1)

        setattr(report, EVERYWHERE, True)
        sys.excepthook = report


def part_of(count: int, rank: int, size: int) -> slice:
    """The rows of one of ``size`` among ``count`` rows, divided evenly."""
    return slice(count * rank // size, count * (rank + 1) // size)


@define(eq=False)
class Watch:
    """Ends all processes of a communicator where one waits for another that has ended, which would be for ever.

    Processes form a ring. When the interpreter of one ends, it tells the next in how many exchanges it has taken part.
    A thread of the next ends all, once that one is in an exchange of a higher number. Where several have ended, the
    next of the last one in the ring has not, so somebody notices.
    """

    comm: Any
    exchanges: int = 0  # that this process has entered
    _known: ClassVar[list["Watch"]] = []
    _left: int | None = None  # the exchanges of the process before this one, after its end
    _ends: Event = field(factory=Event)

    @classmethod
    def of(cls, comm: Any) -> "Watch":
        """The one of this communicator."""
        from mpi4py import MPI

        for one in cls._known:
            if MPI.Comm.Compare(one.comm, comm) == MPI.IDENT:
                return one
        made = cls(comm)
        cls._known.append(made)
        if MPI.Query_thread() == MPI.THREAD_MULTIPLE:
            thread = Thread(target=made._look, name="deepbp-watch", daemon=True)
            thread.start()
            atexit.register(made._leave, thread)
        return made

    @property
    def _neighbors(self) -> tuple[int, int]:
        rank, size = self.comm.Get_rank(), self.comm.Get_size()
        return (rank - 1) % size, (rank + 1) % size

    def _look(self) -> None:
        from mpi4py import MPI

        before, _ = self._neighbors
        while not (self._ends.wait(LOOK) or MPI.Is_finalized()):
            if self._left is None and self.comm.Iprobe(before, LEFT):
                self._left = self.comm.recv(source=before, tag=LEFT)
            if self._left is not None and self.exchanges > self._left:
                waiting = f"process {self.comm.Get_rank()} waits for process {before}, which has ended"
                print(f"deepbp: {waiting}: all processes end", file=sys.stderr, flush=True)
                sleep(FORWARD)
                self.comm.Abort(1)

    def _leave(self, thread: Thread) -> None:
        from mpi4py import MPI

        self._ends.set()
        thread.join()
        if MPI.Is_finalized():
            return
        before, after = self._neighbors
        sent = self.comm.isend(self.exchanges, after, LEFT)
        if self._left is None:  # no message is left over; MPI would wait for the others next, anyway
            self.comm.recv(source=before, tag=LEFT)
        sent.wait()


def _portable(error: Exception) -> Exception:
    """The exception, or one with its words, if other processes could not make it from a pickle."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def measured_sum(processes: Processes, numbers: int, dtype: Any = np.float32, repeats: int = 20) -> float:
    """The median seconds of a sum of so many numbers over all processes."""
    array, times = np.zeros(numbers, dtype), []
    for _ in range(repeats):
        start = perf_counter()
        processes.sum(array)
        times.append(perf_counter() - start)
    return float(np.median(times))


publish(__name__)
