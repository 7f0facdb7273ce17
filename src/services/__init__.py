"""Pure stages and small stateful parts between the swarm and the outside."""
