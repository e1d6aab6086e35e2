"""What each command does between the request that was read and the last line that it prints."""
