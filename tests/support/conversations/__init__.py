"""Conversations: one instance as text. `script` reads one, `talk` plays it on the real protocol, `wording` says it."""
