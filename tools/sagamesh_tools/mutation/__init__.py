"""Single-point changes of one module, drawn by a seed: which of them does no test see?

`sites` and `changes` say what can be changed; `record` reads from `tests/mutants.toml` which tests should see a module
and which changes are known to be without effect; `trial` runs the tests on a changed copy, `lines` notes what they run;
`python -m sagamesh_tools.mutation` puts them together.

The wrong versions of the protocol, which the simulation must catch, are no part of this: they are written by hand.

Why none of the libraries: cosmic-ray writes each change into the working tree; mutmut makes no change outside of
functions or under decorators, and numbers its changes, so that a list of judged ones is void after an edit; mutatest
ended with Python 3.8. Only the last one draws by a seed, and none of them keeps reasons.
"""
