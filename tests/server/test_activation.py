"""Handed sockets: which are taken, which are refused and why, and that callers wait while no process is there."""

import asyncio
import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.config import Settings
from proxy.server.activation import LAUNCHD_VARIABLE, BadHandover, Handed, handed
from proxy.token import Token
from tests.server.handover import handed_to

HERE = 4711
# Answers each caller with its own process id and what it knows of the handover.
SERVE = """
import os
from proxy.server.activation import handed
(sock,) = handed(os.environ, os.getpid()).api
left = [name for name in os.environ if name.startswith("LISTEN_")]
while True:
    line, _ = sock.accept()
    line.sendall(f"{os.getpid()} {os.get_inheritable(sock.fileno())} {left}".encode())
    line.close()
"""
LAUNCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_int)), ctypes.POINTER(ctypes.c_size_t)
)
Hand = Callable[..., dict[str, str]]


class Descriptors:
    """Descriptors in a row, as a process is started with: `first` is their first."""

    def __init__(self) -> None:
        with socket.socket() as some:
            self.first = fcntl.fcntl(some.fileno(), fcntl.F_DUPFD, 400)
        os.close(self.first)
        self.all: list[int] = []

    def add(self, descriptor: int) -> None:
        """The next one, a copy of this that children would inherit."""
        self.all.append(os.dup2(descriptor, self.first + len(self.all)))

    def variables(self, *names: str) -> dict[str, str]:
        """What systemd would set for them, for the process HERE."""
        return {"LISTEN_PID": str(HERE), "LISTEN_FDS": str(len(self.all)), "LISTEN_FDNAMES": ":".join(names)}

    @property
    def open(self) -> list[int]:
        """Those that nobody has closed."""
        return [each for each in self.all if Path(f"/dev/fd/{each}").exists()]


@pytest.fixture
def row() -> Iterator[Descriptors]:
    """An empty row; what is left open of it goes with the test."""
    descriptors = Descriptors()
    yield descriptors
    for each in descriptors.open:
        os.close(each)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that callers can connect to."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_without_a_handover_there_is_none() -> None:
    """Who starts Openline by hand has no sockets, and keeps the environment."""
    environ = {"PATH": "/bin"}
    assert handed(environ, HERE) == Handed()
    assert environ == {"PATH": "/bin"}


def test_the_sockets_are_taken_by_name(row: Descriptors, listening: socket.socket) -> None:
    """`admin` is for the admin listener, any other for callers; no child inherits one or the variables."""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as third:
        for sock in (listening, other, third):
            row.add(sock.fileno())
        environ = {**row.variables("api", "admin", "openline.socket"), "PATH": "/bin"}
        taken = handed(environ, HERE, first=row.first)
        assert [sock.getsockname() for sock in taken.api] == [listening.getsockname(), third.getsockname()]
        assert taken.admin is not None
        assert taken.admin.getsockname() == other.getsockname()
    assert environ == {"PATH": "/bin"}
    assert [os.get_inheritable(each) for each in row.all] == [False] * 3
    taken.close()
    assert row.open == []


def test_without_names_all_are_for_callers(row: Descriptors, listening: socket.socket) -> None:
    """LISTEN_FDNAMES is newer than the rest of the protocol, and may be missing."""
    row.add(listening.fileno())
    environ = row.variables()
    del environ["LISTEN_FDNAMES"]
    taken = handed(environ, HERE, first=row.first)
    assert [sock.getsockname() for sock in taken.api] == [listening.getsockname()]
    taken.close()


def test_what_another_process_was_handed_is_left(row: Descriptors, listening: socket.socket) -> None:
    """A variable that a parent left behind hands over nothing, and goes."""
    row.add(listening.fileno())
    environ = row.variables("api")
    assert handed(environ, HERE + 1, first=row.first) == Handed()
    assert environ == {}
    assert row.open == row.all


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where relative paths begin: a socket's path may not be long."""
    monkeypatch.chdir(tmp_path_factory.mktemp("s"))


def made(kind: str, stack: ExitStack) -> socket.socket:
    """A thing of this kind; the stack ends it."""
    if kind == "datagrams":
        return stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    if kind == "unix":
        sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.bind("s")
        sock.listen()
        return sock
    sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return stack.enter_context(socket.create_connection(sock.getsockname())) if kind == "connection" else sock


@pytest.mark.parametrize(
    ("kind", "names", "said"),
    [
        ("datagrams", "api api", "('api'), with which Openline was started, is no stream socket: use ListenStream"),
        ("unix", "admin api", "('api'), with which Openline was started, is not of TCP: callers connect to HOST:PORT"),
        ("connection", "api x", "('x'), with which Openline was started, does not listen: use Accept=no"),
        ("listening", "admin admin", "2 sockets have the name 'admin': the admin listener has one address"),
        ("listening", "api", "LISTEN_FDNAMES: has 1 names for 2 sockets: give one for each, or unset it"),
    ],
)
@pytest.mark.usefixtures("short_folder")
def test_what_callers_cannot_connect_to_is_refused(
    kind: str, names: str, said: str, row: Descriptors, listening: socket.socket
) -> None:
    """The line says which socket it is and what is wrong with it; what was taken before it is closed again."""
    with ExitStack() as stack:
        row.add(listening.fileno())
        row.add(made(kind, stack).fileno())
        with pytest.raises(BadHandover) as refused:
            handed(row.variables(*names.split()), HERE, first=row.first)
    assert str(refused.value).endswith(said)
    assert row.open == (row.all if names == "api" else [])


def test_what_is_no_socket_is_refused(row: Descriptors, tmp_path: Path) -> None:
    """A file, or a descriptor that is not open, is said as such."""
    with (tmp_path / "file").open("wb") as file:
        row.add(file.fileno())
    with pytest.raises(
        BadHandover, match=r"\('api'\), with .* is no socket \(Socket operation on non-socket\): hand over"
    ):
        handed(row.variables("api"), HERE, first=row.first)
    os.close(row.first)
    with pytest.raises(BadHandover, match=r"is no socket \(Bad file descriptor\): hand over a listening one$"):
        handed(row.variables("api"), HERE, first=row.first)


@pytest.mark.parametrize("count", ["", "two", "-1", "1e3", "9999999"])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    """A number of sockets that cannot be read is a fault, not none."""
    environ = {"LISTEN_PID": str(HERE), "LISTEN_FDS": count}
    with pytest.raises(BadHandover, match=r"^LISTEN_FDS: '.*' is no number of sockets: start Openline by systemd"):
        handed(environ, HERE)


@pytest.mark.parametrize(
    ("listen", "fits"),
    [
        ("127.0.0.1:PORT", True),
        ("localhost:PORT", True),
        ("127.0.0.1:0", False),
        ("127.0.0.2:PORT", False),
        ("[::1]:PORT", False),
        ("0.0.0.0:PORT", False),
    ],
)
def test_the_sockets_are_where_the_settings_say(listen: str, *, fits: bool, listening: socket.socket) -> None:
    """What `listen` says decides who may call, so another address is refused; one of several is enough."""
    port = listening.getsockname()[1]
    settings = Settings(listen=listen.replace("PORT", str(port)), token=Token("0123456789abcdef"))
    if fits:
        Handed((listening,)).check(settings)
        return
    with pytest.raises(BadHandover) as refused:
        Handed((listening,)).check(settings)
    assert str(refused.value) == (
        f"listen: '{settings.listen}' is another address than 127.0.0.1:{port}, which Openline was started with: change"
        " one of them (a service: `openline service install` again)"
    )


def test_a_socket_for_everybody_is_not_taken_where_loopback_was_meant() -> None:
    """Handed sockets are no way around the token that other addresses ask for."""
    with socket.create_server(("0.0.0.0", 0)) as sock:  # noqa: S104 - it is the point
        settings = Settings(listen=f"127.0.0.1:{sock.getsockname()[1]}")
        with pytest.raises(BadHandover, match=r"is another address than 0\.0\.0\.0:"):
            Handed((sock,)).check(settings)


def test_a_host_without_an_address_is_refused(listening: socket.socket) -> None:
    """A name in `listen` that stands for nothing here is said as such."""
    settings = Settings(listen="no-such-host.invalid:1", token=Token("0123456789abcdef"))
    with pytest.raises(BadHandover, match=r"^listen: 'no-such-host\.invalid' has no address here: "):
        Handed((listening,)).check(settings)


@pytest.mark.parametrize(
    ("admin_listen", "bound", "fits"),
    [
        ("auto", "127.0.0.1", True),
        ("auto", "0.0.0.0", False),  # noqa: S104 - it is the point
        ("auto", "unix", True),
        ("off", "127.0.0.1", False),
        ("127.0.0.1:PORT", "127.0.0.1", True),
        ("127.0.0.1:1", "127.0.0.1", False),
        ("unix:s", "unix", True),
        ("unix:t", "unix", False),
        ("unix:s", "127.0.0.1", False),
    ],
)
@pytest.mark.usefixtures("short_folder")
def test_the_admin_socket_is_where_it_may_be(admin_listen: str, bound: str, *, fits: bool) -> None:
    """Status is told where `admin_listen` says, or with `auto` on loopback or a socket's file; nowhere else."""
    family = socket.AF_UNIX if bound == "unix" else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind(os.path.abspath("s") if bound == "unix" else (bound, 0))  # noqa: PTH100 - as settings do
        port = "" if bound == "unix" else str(sock.getsockname()[1])
        settings = Settings(admin_listen=admin_listen.replace("PORT", port))
        if fits:
            Handed(admin=sock).check(settings)
            return
        with pytest.raises(BadHandover, match=f"^admin_listen: '{settings.admin_listen}' is not where the socket"):
            Handed(admin=sock).check(settings)


class Launchd(ctypes.CDLL):
    """A stand-in for libSystem: real C functions, so that the arguments are those of a real call."""

    def __init__(self, sockets: dict[str, list[int]]) -> None:
        super().__init__(None)
        self._sockets = sockets
        self._lists: list[ctypes.Array[ctypes.c_int]] = []
        self.freed: list[int | None] = []
        self.launch_activate_socket = LAUNCH(self._activate)
        self.free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.freed.append)

    @property
    def addresses(self) -> list[int]:
        """Of the lists that were given out."""
        return [ctypes.addressof(each) for each in self._lists]

    def _activate(self, name: bytes, out: "ctypes._Pointer[ctypes._Pointer[ctypes.c_int]]", count: object) -> int:
        descriptors = self._sockets.pop(name.decode(), None)
        if descriptors is None:
            return errno.ENOENT
        self._lists.append((ctypes.c_int * len(descriptors))(*descriptors))
        out[0] = ctypes.cast(self._lists[-1], ctypes.POINTER(ctypes.c_int))
        count[0] = len(descriptors)  # type: ignore[index] # a pointer, which its type does not say
        return 0


def test_launchd_hands_over_by_name(row: Descriptors, listening: socket.socket) -> None:
    """The keys that the variable names are asked for, and the library's lists are freed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        for sock in (listening, listening, other):
            row.add(sock.fileno())
        library = Launchd({"api": row.all[:2], "admin": row.all[2:]})
        environ = {LAUNCHD_VARIABLE: "api,admin"}
        taken = handed(environ, HERE, library=library)
        assert [sock.fileno() for sock in taken.api] == row.all[:2]
        assert taken.admin is not None
        assert taken.admin.getsockname() == other.getsockname()
    assert environ == {}
    assert library.freed == library.addresses
    taken.close()


def test_what_launchd_does_not_have_is_refused() -> None:
    """A key that the job has not, or had already, is a fault."""
    with pytest.raises(BadHandover, match=r"^LAUNCH_ACTIVATE_SOCKET: launchd has no socket 'api' .*\(No such file"):
        handed({LAUNCHD_VARIABLE: "api"}, HERE, library=Launchd({}))


def test_launchd_gives_nothing_to_who_is_not_its_job() -> None:
    """The real library: elsewhere than on macOS it has no such call, there launchd does not know this process."""
    with pytest.raises(BadHandover, match=r"^LAUNCH_ACTIVATE_SOCKET: (only macOS has such sockets|launchd has no)"):
        handed({LAUNCHD_VARIABLE: "api"}, HERE)


async def said_at(address: tuple[str, int]) -> str:
    """What who serves there says to a caller; waits for it."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        return (await asyncio.wait_for(reader.read(), 20)).decode()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_callers_wait_while_no_process_is_there(listening: socket.socket) -> None:
    """A real process takes the socket from descriptor 3; after a crash the next one answers who called meanwhile."""
    address = listening.getsockname()
    async with asyncio.TaskGroup() as callers:
        before = callers.create_task(said_at(address))
        async with handed_to(("-c", SERVE), {"api": listening}) as first:
            assert await before == f"{first.pid} False []"
            first.kill()
            await first.wait()
        between = callers.create_task(said_at(address))
        async with handed_to(("-c", SERVE), {"api": listening}) as second:
            assert await between == f"{second.pid} False []"
