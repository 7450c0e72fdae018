"""The command line: write a saga, run it here, see and steer."""
