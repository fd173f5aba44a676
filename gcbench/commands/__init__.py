"""What `gcbench` calls: one file a command."""
