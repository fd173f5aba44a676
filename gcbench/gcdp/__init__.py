"""The reference model: network + process."""
