"""Several API replicas as a balancer shows them: a request that one does not take goes to the next, once."""

import itertools

import httpx


class Replicas(httpx.BaseTransport):
    """Every request has one retry, at the next replica; `failed` says which of them that did not help."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._turn = itertools.cycle(range(len(ports)))
        self._inner = httpx.HTTPTransport(
            verify=False, limits=httpx.Limits(max_connections=100, keepalive_expiry=2)
        )
        self.retries = 0
        self.failed: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        first = next(self._turn)
        try:
            answer = self._send(request, first)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            answer.close()
        except httpx.TransportError:
            pass
        self.retries += 1
        try:
            answer = self._send(request, first + 1)
        except httpx.TransportError as error:
            self.failed.append(f"{request.method} {request.url}: {error!r}")
            raise
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self.failed.append(f"{request.method} {request.url}: 503")
        return answer

    def _send(self, request: httpx.Request, number: int) -> httpx.Response:
        request.url = request.url.copy_with(port=self._ports[number % len(self._ports)])
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Left open: it is shared by all the robots, each of whom closes its client."""
