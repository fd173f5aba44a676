"""What a text says: classes named, attributes affirmed, captions."""
