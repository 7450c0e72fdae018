"""What a participant is given: its own part of a saga, as a document and compiled. `language` is what it is made of."""
