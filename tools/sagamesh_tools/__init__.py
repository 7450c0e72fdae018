"""What makes the files that are shipped, and what proves the page of the architecture. It is in no wheel and no image.

`python -m sagamesh_tools write` makes resource, reference, dashboard, manifests and the chart's table: see `made`.
"""
