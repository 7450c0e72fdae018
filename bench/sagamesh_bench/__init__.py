"""How fast Sagamesh runs on one machine, as a share of the floor: the same I/O without rules. See docs/performance.md.

sagas       the sagas that are measured
script      what a saga costs, recorded from the real decision: writes, reads, deliveries, calls
floor       a process that carries a script out blindly
app, ledger a service that answers at once, and one that keeps books
rig         server, app, sidecars and floors, as processes, and what they use
load        so many sagas at once, for so long
retained, footprint, soak      the other measurements
report, chart                  what is printed and drawn
"""
