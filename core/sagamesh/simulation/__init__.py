"""A saga carried through on a broker that loses, repeats, delays and lies, by the real decision code.

`world` runs one schedule: the real `attempt` generators of several replicas of every participant, interleaved at every
operation, on a `broker` and `apps` that misbehave as its `chooser` says, first with faults, then without. `invariants`
says what must hold at the end. Neither codec nor CEL, neither time nor event loop is inside: a schedule is plain
Python, and its seed replays it exactly.
"""

from sagamesh.simulation.chooser import Chooser, seeded
from sagamesh.simulation.invariants import violations
from sagamesh.simulation.outline import Outline
from sagamesh.simulation.world import HANDLERS, Handlers, World

__all__ = ["HANDLERS", "Chooser", "Handlers", "Outline", "World", "seeded", "violations"]
