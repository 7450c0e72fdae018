"""The name that Sagamesh bears in Kubernetes and NATS: the API group. The only place that spells it.

Whatever is ours is marked by it: the resource, labels and annotations, the metadata of streams. What fields a Saga has
is the language's.
"""

from __future__ import annotations

GROUP, VERSION, KIND, PLURAL = "sagamesh.dev", "v1alpha1", "Saga", "sagas"
API_VERSION = f"{GROUP}/{VERSION}"
CRD = f"{PLURAL}.{GROUP}"
"""The name of the CustomResourceDefinition."""
PREFIX = f"{GROUP}/"
"""Of our labels, annotations and metadata, and of no one else's."""
PARTICIPANT = f"{PREFIX}participant"
"""The label that opts a Pod in; its value names the participant."""
APP_PORT_ANNOTATION = f"{PREFIX}app-port"
"""The annotation by which a Pod says where its app listens."""
OPERATOR = f"{PREFIX}operator"
"""Who reports the Events about Sagas."""
INJECTOR = f"{PREFIX}injector"
"""Who reports those about pods that were given a sidecar, or refused."""
DOCS = f"https://{GROUP}/docs/"
"""Where the pages of `docs` are to be read, each by its file's name."""
