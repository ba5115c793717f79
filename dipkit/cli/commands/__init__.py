"""Commands, one module each: read arguments, call the other rooms, print."""
