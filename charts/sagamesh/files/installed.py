"""What `helm test` runs: all services, given as `host:port`, are ready, and the operator, the first, reaches NATS."""

import sys
import urllib.request


def read(service: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{service}{path}", timeout=10) as answer:
        return answer.read().decode()


for service in sys.argv[1:]:
    print(f"{service}: {read(service, '/readyz').strip()}")
if "\nsagamesh_operator_nats_connected 1.0\n" not in read(sys.argv[1], "/metrics"):
    sys.exit("NATS does not answer the operator; its log says why")
print("NATS: connected")
