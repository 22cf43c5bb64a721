"""One thin file a verb: parses, calls, prints."""
