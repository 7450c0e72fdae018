"""What is stored: registers, their subjects and their bytes. `protocol` decides who writes which of them when."""
