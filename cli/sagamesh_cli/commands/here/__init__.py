"""Commands that run sagas on this machine. What they start lives in `local`."""
