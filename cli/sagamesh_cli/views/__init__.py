"""What people see: drawings, tables, lines. Pure text out of values; `commands` say it."""
