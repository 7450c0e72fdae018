"""What `dev` and `demo` run on this machine: a server, sidecars, services. `views` shows it."""
