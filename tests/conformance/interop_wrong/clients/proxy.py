"""Defects of clients behind a proxy."""

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_driver.device import Device
from interop_wrong.register import wrong_client

SOME_ADDRESS = "198.51.100.1"


@wrong_client("PRX-01.says-proxy", "PRX-02.says-the-address", "PRX-04.ends-with-its-client", mode="proxy")
def goes_past_its_proxy() -> None:
    """Connects itself, with an auth key of its own, where it should use the proxy."""
    prepare = Device.__init__

    def prepare_without_proxy(self: Device, name: str, start: pb.StartDeviceCommand, *rest: object) -> None:
        start.ClearField("proxy")
        prepare(self, name, start, *rest)  # type: ignore[arg-type]

    Device.__init__ = prepare_without_proxy  # type: ignore[method-assign,assignment]


@wrong_client("PRX-02.says-the-address", mode="proxy")
def says_one_address_for_all() -> None:
    """Gives its proxy an address that is not the client's."""
    prepare = ProxyTransport.__init__

    def prepare_with_another(self: ProxyTransport, url: str, login: ProxyLogin, client_ip: str = "") -> None:
        prepare(self, url, login, SOME_ADDRESS)

    ProxyTransport.__init__ = prepare_with_another  # type: ignore[method-assign]


@wrong_client(
    "PRX-04.ends-with-its-client",
    "CHN-01.ends-its-connection",
    also=("LIF-01.comes-when-pushed", "LIF-04.enlists-again-after-thirty-days"),
    mode="proxy",
)
def leaves_its_proxy_connected() -> None:
    """Shows that it is not connected when its user leaves, and leaves the proxy's connection open."""
    disconnect = Device.disconnect

    async def only_say_so(self: Device, *, is_abrupt: bool) -> None:
        if is_abrupt:
            await disconnect(self, is_abrupt=True)
        else:
            await self._note_connection(False, "CLOSED")

    Device.disconnect = only_say_so  # type: ignore[method-assign]


@wrong_client("PRX-04.ends-with-a-client-that-breaks-off", mode="proxy")
def outlives_a_lost_network() -> None:
    """Keeps the connection to its proxy when the client is gone without a word."""
    disconnect = Device.disconnect

    async def only_say_so(self: Device, *, is_abrupt: bool) -> None:
        if is_abrupt:
            await self._note_connection(False, "CLOSED")
        else:
            await disconnect(self, is_abrupt=False)

    Device.disconnect = only_say_so  # type: ignore[method-assign]
