"""One file a command and nothing else; what they print is made in `views`, what they run in `local`."""
