"""Commands for whoever writes a saga. They need its file alone."""
