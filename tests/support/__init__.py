"""What tests share: README.md is a map."""
