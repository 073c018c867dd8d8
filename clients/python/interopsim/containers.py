"""The simulator in a container, for suites that use testcontainers: the extra `interopsim[containers]`.

    with SimulatorContainer() as sim:
        client = ThirdPartyClient.direct(sim.endpoint, …)

The image is what this project's Dockerfile builds; nobody publishes one.
"""

import json
from typing import Any

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from interop_protocol.endpoint import Endpoint

IMAGE = "interopsim"
PORTS = {"grpc": 4460, "admin": 4461, "http": 4462}
"""In the container, by the field of the ready line that has the address."""
_READY = '{"event": "ready"'
_EVERYWHERE = "0.0.0.0"


class SimulatorContainer(DockerContainer):
    """A simulator in a container of its own. A context manager, which returns when it is ready.

    Args:
        *options: Options of `interopsim up`, such as `--seed`, `1`; not the addresses.
        image: The image.
        **kwargs: See DockerContainer.
    """

    def __init__(self, *options: str, image: str = IMAGE, **kwargs: Any) -> None:
        addresses = [word for name, port in PORTS.items() for word in (f"--{name}", f"{_EVERYWHERE}:{port}")]
        super().__init__(image, **kwargs)
        self.with_command(["up", *addresses, "--allow-remote", *options])
        self.with_exposed_ports(*PORTS.values())
        self.waiting_for(LogMessageWaitStrategy(_READY))

    @property
    def endpoint(self) -> Endpoint:
        """Where clients and the operator reach it from outside of the container.

        Raises:
            RuntimeError: It has not said that it is ready.
        """
        log = self.get_logs()[0].decode()
        line = next((each for each in log.splitlines() if each.startswith(_READY)), None)
        if line is None:
            raise RuntimeError("the simulator does not run: use it as `with SimulatorContainer() as sim`")
        ready = json.loads(line)
        host = self.get_container_host_ip()
        for name, port in PORTS.items():
            scheme, separator, _ = ready[name].rpartition("://")
            ready[name] = f"{scheme}{separator}{host}:{self.get_exposed_port(port)}"
        return Endpoint.from_ready_line(json.dumps(ready))
