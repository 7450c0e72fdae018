"""A node of Kubernetes on this machine, in namespaces of its own, with the images of this commit."""
